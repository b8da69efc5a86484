//! Links: the physical lines, endpoints and brokers that assets are reached by.
//!
//! Only shapes and their translation for the drivers; nothing is opened here.

use super::secret::{SecretError, read_secret};
use crate::drivers::{Framing, Leniency, ModbusLink, MqttLink, MqttTls};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use zhiban_core::Duration;

/// One link, written as one of the keys, for example `modbus_tcp = { host = "10.0.0.7" }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LinkConfig {
    /// Modbus TCP.
    ModbusTcp(ModbusTcpConfig),
    /// RTU frames inside a TCP stream, as serial servers send them.
    ModbusRtuOverTcp(ModbusRtuOverTcpConfig),
    /// An MQTT broker.
    Mqtt(MqttConfig),
}

/// Modbus TCP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusTcpConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    #[serde(default = "modbus_port")]
    pub port: u16,
    /// How long one exchange may take.
    #[serde(default = "exchange_timeout")]
    pub timeout: Duration,
    /// How long connecting may take.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// Quiet time between two requests.
    #[serde(default)]
    pub gap: Duration,
    /// How long after an answer the line may repeat it. Needed only where a gateway may number a
    /// repeated answer of its serial line anew; 0 s, and 250 ms with `accept_any_transaction`.
    #[serde(default)]
    pub repeat_window: Option<Duration>,
    /// Answers as unit 0 are taken, whatever unit was asked.
    #[serde(default)]
    pub accept_unit_0: bool,
    /// Answers are taken that do not carry the number of their request; they are as little to be told
    /// apart as those of a serial line then.
    #[serde(default)]
    pub accept_any_transaction: bool,
    /// An asset may have unit 0: a device that must be asked so.
    #[serde(default)]
    pub ask_unit_0: bool,
}

/// RTU frames inside a TCP stream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusRtuOverTcpConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port; serial servers have no usual one.
    pub port: u16,
    /// How long one exchange may take.
    #[serde(default = "exchange_timeout")]
    pub timeout: Duration,
    /// How long connecting may take.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// Quiet time between two requests.
    #[serde(default = "serial_gap")]
    pub gap: Duration,
    /// How long after an answer the line may repeat it; nothing is asked in between that the
    /// repetition would fit.
    #[serde(default = "repeat_window")]
    pub repeat_window: Duration,
}

/// An MQTT broker.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port; 1883, or 8883 with `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Must never change and be the gateway's alone: the broker keeps the session under it.
    /// `zhiban-` and the site's code when absent.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The user name, when the broker asks.
    #[serde(default)]
    pub username: Option<String>,
    /// The file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// How often the broker is asked whether it is there.
    #[serde(default = "keep_alive")]
    pub keep_alive: Duration,
    /// Present when the link is encrypted; `{}` trusts the system's authorities.
    #[serde(default)]
    pub tls: Option<MqttTlsConfig>,
}

/// Encryption of a broker's link.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttTlsConfig {
    /// A PEM file of the authority that signed the broker's certificate.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn modbus_port() -> u16 {
    502
}

fn exchange_timeout() -> Duration {
    Duration::from_millis(500)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(2)
}

fn serial_gap() -> Duration {
    Duration::from_millis(20)
}

fn repeat_window() -> Duration {
    Duration::from_millis(250)
}

fn keep_alive() -> Duration {
    Duration::from_secs(5)
}

impl LinkConfig {
    /// Whether assets on it have a unit id.
    pub fn is_modbus(&self) -> bool {
        match self {
            LinkConfig::ModbusTcp(_) | LinkConfig::ModbusRtuOverTcp(_) => true,
            LinkConfig::Mqtt(_) => false,
        }
    }

    /// What the Modbus driver needs; `None` for a broker.
    pub fn modbus(&self) -> Option<ModbusLink> {
        match self {
            LinkConfig::ModbusTcp(link) => Some(ModbusLink {
                host: link.host.clone(),
                port: link.port,
                framing: Framing::Tcp,
                timeout: link.timeout,
                connect_timeout: link.connect_timeout,
                gap: link.gap,
                repeat_window: link.repeat_window.unwrap_or_else(|| {
                    match link.accept_any_transaction {
                        true => repeat_window(),
                        false => Duration::ZERO,
                    }
                }),
                leniency: Leniency {
                    unit_0: link.accept_unit_0,
                    any_transaction: link.accept_any_transaction,
                },
            }),
            LinkConfig::ModbusRtuOverTcp(link) => Some(ModbusLink {
                host: link.host.clone(),
                port: link.port,
                framing: Framing::RtuOverTcp,
                timeout: link.timeout,
                connect_timeout: link.connect_timeout,
                gap: link.gap,
                repeat_window: link.repeat_window,
                leniency: Leniency::default(),
            }),
            LinkConfig::Mqtt(_) => None,
        }
    }

    /// What the MQTT driver needs, its password read; `None` for a Modbus link.
    ///
    /// # Errors
    /// The password cannot be read.
    pub fn mqtt(&self, site: &str) -> Option<Result<MqttLink, SecretError>> {
        match self {
            LinkConfig::Mqtt(link) => Some(link.connect(site)),
            LinkConfig::ModbusTcp(_) | LinkConfig::ModbusRtuOverTcp(_) => None,
        }
    }

    /// The files it names.
    pub(crate) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let link = match self {
            LinkConfig::Mqtt(link) => Some(link),
            LinkConfig::ModbusTcp(_) | LinkConfig::ModbusRtuOverTcp(_) => None,
        };
        link.into_iter().flat_map(|link| {
            let tls = link.tls.as_mut().and_then(|tls| tls.ca_file.as_mut());
            link.password_file.as_mut().into_iter().chain(tls)
        })
    }
}

impl MqttConfig {
    fn connect(&self, site: &str) -> Result<MqttLink, SecretError> {
        let credentials = match &self.username {
            None => None,
            Some(name) => Some((name.clone(), self.password()?)),
        };
        Ok(MqttLink {
            host: self.host.clone(),
            port: self.port(),
            client_id: self.client_id(site),
            credentials,
            keep_alive: self.keep_alive,
            tls: self.tls.as_ref().map(|tls| MqttTls {
                ca_file: tls.ca_file.clone(),
            }),
        })
    }

    /// The port to use.
    pub(crate) fn port(&self) -> u16 {
        let usual = if self.tls.is_some() { 8883 } else { 1883 };
        self.port.unwrap_or(usual)
    }

    /// The name that the broker keeps the session under.
    pub(crate) fn client_id(&self, site: &str) -> String {
        let own = self.client_id.clone();
        own.unwrap_or_else(|| format!("zhiban-{site}"))
    }

    pub(crate) fn password(&self) -> Result<secrecy::SecretString, SecretError> {
        read_secret(
            "password",
            self.password_file.as_deref(),
            self.password_env.as_deref(),
        )
    }
}
