//! `zhiban simulate`: the virtual building alone, for trying a gateway against it.

use super::say;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use zhiban_sim::{BuildingOptions, MqttChoice};

/// Serves the virtual building alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the building is like; `config/building.toml` is a complete example.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Simulation {
    /// Where Modbus TCP is served.
    modbus: SocketAddr,
    /// Where the control port is served; loopback only.
    control: SocketAddr,
    /// Where the broker is served; absent when the building sends to another broker.
    mqtt: Option<SocketAddr>,
    /// Another broker to send to.
    broker: Option<Broker>,
    /// The same seed gives the same building.
    seed: u64,
    /// How much faster than real time it runs.
    speed: f64,
    /// Scenarios that hold from the start.
    scenarios: Vec<String>,
    /// A file of scenarios and times.
    script: Option<PathBuf>,
}

/// Another broker to send to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broker {
    host: String,
    port: u16,
}

impl Default for Simulation {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            modbus: local(1502),
            control: local(8090),
            mqtt: Some(local(1883)),
            broker: None,
            seed: 1,
            speed: 1.0,
            scenarios: Vec::new(),
            script: None,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let path = args.config.display();
    let text = std::fs::read_to_string(&args.config)
        .with_context(|| format!("cannot read {path}: name a file such as config/building.toml"))?;
    let simulation: Simulation =
        toml::from_str(&text).with_context(|| format!("{path} is not usable"))?;
    let mqtt = match (simulation.broker, simulation.mqtt) {
        (Some(broker), _) => MqttChoice::External {
            host: broker.host,
            port: broker.port,
            username: None,
            password: None,
        },
        (None, Some(address)) => MqttChoice::Embedded(address),
        (None, None) => MqttChoice::None,
    };
    let building = zhiban_sim::start(BuildingOptions {
        seed: simulation.seed,
        speed: simulation.speed,
        modbus: simulation.modbus,
        control: simulation.control,
        mqtt,
        script: simulation.script,
        scenario: simulation.scenarios,
        ..BuildingOptions::default()
    })
    .await?;
    say(format!(
        "Modbus TCP    modbus+tcp://{}",
        building.modbus_addr()
    ))?;
    if let Some(mqtt) = building.mqtt_addr() {
        say(format!("MQTT          mqtt://{mqtt}"))?;
    }
    say(format!("Control port  http://{}", building.control_addr()))?;
    super::until_stopped().await?;
    building.stop().await;
    Ok(())
}
