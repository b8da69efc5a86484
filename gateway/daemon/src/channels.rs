//! Channels: how people are told. An open set, each behind the trait [`Channel`].
//!
//! A channel sends what the outbox gives it, once a call; retries are the outbox's.
