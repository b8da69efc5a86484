//! What people see: pages, the API and the live stream, over one axum router.
//!
//! This crate knows core and nothing of drivers, SQL or InfluxDB. Everything it shows it gets
//! through [`App`]; the only way from people to state is a [`zhiban_core::Command`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ports;

pub use ports::App;
