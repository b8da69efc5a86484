//! The gateway: all wiring of drivers, engine, stores, channels and dashboard.
//!
//! This crate touches the world. It decides nothing about alarms or orders: core does.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounts;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod drivers;
pub mod engine;
pub mod gateway;
pub mod health;
pub mod history;
pub mod journal;
mod keeper;
pub mod log;
pub mod outbox;
pub mod photos;
mod private;
mod rota;
mod server;
mod tls;
pub mod watchdog;
