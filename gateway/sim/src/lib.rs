//! A virtual building: elevators, a fire panel and pumps on real Modbus and MQTT, with faults on demand.
//! It knows nothing of the gateway that reads it: registers and payloads are made as docs/reference/virtual-building.md
//! prints them, so that an error of byte order can't cancel out between the two.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asset;
mod booster;
mod building;
mod control;
mod elevator;
mod error;
mod fire_panel;
mod fire_pump;
mod modbus;
mod mqtt;
mod registers;
mod rng;
mod scenario;
mod script;
mod sump;
mod tank;
mod world;

pub use building::{Building, BuildingOptions, MqttChoice, start};
pub use error::SimError;
pub use scenario::{Scenario, Title};

#[cfg(test)]
mod tests;
