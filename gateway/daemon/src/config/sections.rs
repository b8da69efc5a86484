//! The sections of the file that are not links or channels.
//!
//! Plain shapes with their defaults; what may not be said together is judged by `check`.

use chrono_tz::Tz;
use ipnet::IpNet;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use zhiban_core::{Duration, Priority, Text};

use super::secret::{SecretError, read_secret};

/// The site this gateway watches.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Short code of lower-case letters, digits and hyphens; in topics and tags.
    pub code: String,
    /// The name people read.
    pub name: Text,
    /// IANA name of the zone whose calendar day numbers the work orders.
    #[serde(default = "china", deserialize_with = "time_zone")]
    #[schemars(with = "String")]
    pub time_zone: Tz,
}

fn china() -> Tz {
    Tz::Asia__Shanghai
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "time zone \"{name}\" is not known; write an IANA name, for example \"Asia/Shanghai\""
        ))
    })
}

/// The web page and the API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port to listen on.
    #[serde(deserialize_with = "socket_address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The address people open, for links in messages; absent leaves links out.
    pub public_url: Option<String>,
    /// Certificate and key; absent serves plain HTTP.
    pub tls: Option<TlsConfig>,
    /// How long a client may take to send its request's head, and how long a connection may wait for the next one.
    pub header_timeout: Duration,
    /// The most connections at once, 16 to 32768; never more than half of the descriptors that the process may have.
    pub max_connections: u16,
    /// The most connections of one address at once; a trusted proxy has no such limit.
    pub max_connections_per_address: u16,
    /// Addresses and networks of reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            tls: None,
            header_timeout: Duration::from_secs(10),
            max_connections: 512,
            max_connections_per_address: 32,
            trusted_proxies: Vec::new(),
        }
    }
}

pub(crate) fn socket_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not an address and a port; write one, for example \"0.0.0.0:8080\""
        ))
    })
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: String| {
        let single = text.parse::<IpAddr>().map(|one| one.to_canonical().into());
        single.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            serde::de::Error::custom(format!(
                "\"{text}\" is not an address or a network; write one, for example \"127.0.0.1\" or \"10.0.0.0/8\""
            ))
        })
    };
    texts.into_iter().map(network).collect()
}

/// Certificate and key, both PEM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, the own certificate first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Where everything is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The folder of the databases; made when it is missing.
    #[serde(deserialize_with = "folder")]
    pub data_dir: PathBuf,
    /// How long telemetry is kept here.
    pub history_retention: Duration,
    /// The most MiB that photos of repairs may take together.
    pub photo_quota_mib: u32,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            history_retention: Duration::from_secs(90 * 86_400),
            photo_quota_mib: 2048,
        }
    }
}

/// An InfluxDB 2 that gets all telemetry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfluxConfig {
    /// Its address, for example `http://127.0.0.1:8086`.
    pub url: String,
    /// The organisation.
    pub org: String,
    /// The bucket; made at the start when the token may.
    pub bucket: String,
    /// The file that holds the token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The environment variable that holds the token.
    #[serde(default)]
    pub token_env: Option<String>,
    /// How long a bucket that is made here keeps its data; `"0s"` for ever.
    #[serde(default)]
    pub retention: Duration,
    /// The most lines in one write.
    #[serde(default = "batch_lines")]
    pub batch_lines: u32,
    /// How long lines wait for more of them.
    #[serde(default = "batch_wait")]
    pub batch_wait: Duration,
    /// How long one write may take.
    #[serde(default = "write_timeout")]
    pub timeout: Duration,
}

fn batch_lines() -> u32 {
    5000
}

fn batch_wait() -> Duration {
    Duration::from_secs(1)
}

fn write_timeout() -> Duration {
    Duration::from_secs(10)
}

impl InfluxConfig {
    /// The token.
    ///
    /// # Errors
    /// Neither or both places named, or nothing usable there.
    pub fn token(&self) -> Result<SecretString, SecretError> {
        read_secret(
            "token",
            self.token_file.as_deref(),
            self.token_env.as_deref(),
        )
    }
}

/// A place inside the site.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationConfig {
    /// Short code, unique in the site.
    pub code: String,
    /// The name people read.
    pub name: Text,
}

/// One piece of equipment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetConfig {
    /// The short code on the equipment's label, unique in the site.
    pub code: String,
    /// The name people read.
    pub name: Text,
    /// The code of a location.
    #[serde(default)]
    pub location: Option<String>,
    /// The profile that describes it; it also gives the class.
    pub profile: String,
    /// The name of the link it is reached by.
    pub link: String,
    /// Its Modbus unit id, 1 to 247; for a Modbus link only.
    #[serde(default, deserialize_with = "unit")]
    pub unit: Option<u8>,
    /// Its own topic, put where the profile says `{topic}`; for a broker only.
    #[serde(default)]
    pub topic: Option<String>,
    /// Out of service: nothing is read, nothing is judged.
    #[serde(default)]
    pub disabled: bool,
    /// Without a usable sample for this long its points are stale; three poll periods when absent.
    #[serde(default)]
    pub stale_after: Option<Duration>,
}

fn folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let folder = PathBuf::deserialize(deserializer)?;
    let bytes = folder.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        let words = "this is no name of a folder; write one, for example \"/var/lib/zhiban\"";
        return Err(serde::de::Error::custom(words));
    }
    Ok(folder)
}

fn unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let unit = i64::deserialize(deserializer)?;
    let out_of_range = |_| {
        let words = format!("unit {unit} can't be addressed; write 1 to 247");
        serde::de::Error::custom(words)
    };
    u8::try_from(unit).map(Some).map_err(out_of_range)
}

/// What this site has otherwise than a rule that comes along.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmOverride {
    /// The id of the rule.
    pub rule: String,
    /// Only this asset's rule; give this or `class`.
    #[serde(default)]
    pub asset: Option<String>,
    /// The rule of every asset of this class; give this or `asset`.
    #[serde(default)]
    pub class: Option<String>,
    /// `false` takes the rule away.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Another priority.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Another on-delay.
    #[serde(default)]
    pub on_delay: Option<Duration>,
    /// Another off-delay.
    #[serde(default)]
    pub off_delay: Option<Duration>,
    /// Another upper limit.
    #[serde(default)]
    pub above: Option<f64>,
    /// Another lower limit.
    #[serde(default)]
    pub below: Option<f64>,
    /// Another deadband.
    #[serde(default)]
    pub deadband: Option<f64>,
    /// The unit of these numbers. May be left out where the rule and the point have the same one.
    #[serde(default)]
    pub unit: Option<String>,
}

fn yes() -> bool {
    true
}
