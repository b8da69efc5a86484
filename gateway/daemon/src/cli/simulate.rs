//! `zhiban simulate`: the virtual building alone, for trying a gateway against it.

use super::say;
use crate::config::{read_toml, socket_address};
use anyhow::{Result, anyhow};
use serde::{Deserialize, Deserializer};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
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
    #[serde(deserialize_with = "socket_address")]
    modbus: SocketAddr,
    /// Where the same units are served as RTU frames over TCP.
    #[serde(deserialize_with = "socket_address")]
    modbus_rtu_over_tcp: SocketAddr,
    /// Where the control port is served; loopback only.
    #[serde(deserialize_with = "socket_address")]
    control: SocketAddr,
    /// Where the broker is served; absent when the building sends to another broker.
    #[serde(deserialize_with = "maybe_address")]
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
            modbus_rtu_over_tcp: local(1503),
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

fn maybe_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    socket_address(deserializer).map(Some)
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let simulation: Simulation =
        read_toml(&args.config).map_err(|faults| anyhow!("{}", super::check::lines(&faults)))?;
    let folder = args.config.parent().unwrap_or(Path::new(""));
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
        rtu: simulation.modbus_rtu_over_tcp,
        control: simulation.control,
        mqtt,
        script: simulation.script.map(|path| folder.join(path)),
        scenario: simulation.scenarios,
        ..BuildingOptions::default()
    })
    .await?;
    say(format!(
        "Modbus TCP    modbus+tcp://{}",
        building.modbus_addr()
    ))?;
    say(format!(
        "Modbus RTU    modbus+rtuovertcp://{}",
        building.rtu_addr()
    ))?;
    if let Some(mqtt) = building.mqtt_addr() {
        say(format!("MQTT          mqtt://{mqtt}"))?;
    }
    say(format!("Control port  http://{}", building.control_addr()))?;
    super::until_stopped().await?;
    building.stop().await;
    Ok(())
}
