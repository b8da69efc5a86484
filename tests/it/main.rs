//! Proof across crates: one binary of integration tests. It talks to the product as its users
//! and peers do, and must never use a mock of somebody else's protocol.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its panic"
)]

mod accounts;
mod channels;
mod config;
mod demo;
mod deploy;
mod disk;
mod docs;
mod field_cases;
mod influx;
mod kill;
mod modbus;
mod mqtt;
mod outbox;
mod profiles;
mod records;
mod refusals;
mod support;
mod support_works;
mod tidy;
mod tls;
mod web;
