//! The configuration: one TOML file and folders of data beside it, read once at the start.
//!
//! It never holds a secret, only where one is found, and it never guesses: what is wrong is a
//! fault with a place and a remedy, and all faults are reported together.

mod build;
mod check;
mod fault;
mod library;
mod links;
mod notify;
mod places;
mod profile;
pub mod schema;
mod secret;
mod sections;
mod source;

pub use fault::{Fault, Severity};
pub use library::Library;
pub use links::{LinkConfig, ModbusRtuOverTcpConfig, ModbusTcpConfig, MqttConfig, MqttTlsConfig};
pub use notify::{
    ChannelConfig, ChannelKind, EmailConfig, EmailTls, NotifyConfig, RotaConfig, WebhookConfig,
};
pub use profile::{Checked, check_profile, check_profile_text};
pub use secret::{SecretError, read_secret};
pub(crate) use sections::socket_address;
pub use sections::{
    AlarmOverride, AssetConfig, HttpConfig, InfluxConfig, LocationConfig, SiteConfig,
    StorageConfig, TlsConfig,
};

use crate::drivers::Device;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zhiban_core::Model;

/// Reads a TOML file of another kind, in the same manner.
///
/// # Errors
/// Every fault of the file, in the order of its lines; never an empty list.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Vec<Fault>> {
    let text = source::text_of(path).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    match source::read(path, &text, &mut faults) {
        Some((value, _)) if faults.is_empty() => Ok(value),
        Some(_) | None => {
            faults.sort_by(Fault::place_order);
            Err(faults)
        }
    }
}

/// The whole file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site this gateway watches.
    pub site: SiteConfig,
    /// The web page and the API.
    #[serde(default)]
    pub http: HttpConfig,
    /// Where everything is kept.
    #[serde(default)]
    pub storage: StorageConfig,
    /// An InfluxDB 2 that gets all telemetry; absent when there is none.
    #[serde(default)]
    pub influxdb: Option<InfluxConfig>,
    /// The lines, endpoints and brokers, by name.
    #[serde(default, rename = "link")]
    pub links: BTreeMap<String, LinkConfig>,
    /// The places inside the site.
    #[serde(default, rename = "location")]
    pub locations: Vec<LocationConfig>,
    /// The equipment.
    #[serde(default, rename = "asset")]
    pub assets: Vec<AssetConfig>,
    /// What this site has otherwise than the rules that come along.
    #[serde(default, rename = "alarm")]
    pub alarms: Vec<AlarmOverride>,
    /// Who is told, and how.
    #[serde(default)]
    pub notify: NotifyConfig,
}

/// A configuration without a fault, and what is made of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file; its relative paths are resolved against its folder.
    pub config: Config,
    /// Assets, points and rules.
    pub model: Arc<Model>,
    /// The devices to read, by the name of their link; a disabled asset is not among them.
    pub devices: BTreeMap<String, Vec<Device>>,
    /// What is allowed and deserves a word: a link nobody uses, a rule that an asset can't have.
    pub remarks: Vec<Fault>,
}

impl Config {
    /// Reads a file and the `profiles` and `alarms` folders beside it.
    ///
    /// # Errors
    /// Every fault of every file, in the order of files and lines; never an empty list.
    pub fn load(path: &Path) -> Result<Loaded, Vec<Fault>> {
        let text = source::text_of(path).map_err(|fault| vec![fault])?;
        Self::parse(path, &text)
    }

    /// Reads a text as if it stood in the file `path`, which need not exist.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Loaded, Vec<Fault>> {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut faults = Vec::new();
        let library = Library::read(&folder, &mut faults);
        let document = source::read::<Config>(path, text, &mut faults);
        let Some((mut config, document)) = document else {
            faults.sort_by(Fault::place_order);
            return Err(faults);
        };
        config.resolve(&folder);
        check::check(&config, &library, &document, &mut faults);
        faults.sort_by(Fault::place_order);
        if faults.iter().any(Fault::is_error) {
            faults.retain(|fault| fault.severity != Severity::Info);
            return Err(faults);
        }
        let (model, devices) = build::build(&config, &library)
            .map_err(|error| vec![document.fault(&[], error.to_string(), "")])?;
        Ok(Loaded {
            config,
            model: Arc::new(model),
            devices,
            remarks: faults,
        })
    }

    fn resolve(&mut self, folder: &Path) {
        let mut absolute = |path: &mut PathBuf| *path = folder.join(&*path);
        absolute(&mut self.storage.data_dir);
        if let Some(tls) = &mut self.http.tls {
            absolute(&mut tls.cert_file);
            absolute(&mut tls.key_file);
        }
        if let Some(influx) = &mut self.influxdb {
            influx.token_file.iter_mut().for_each(&mut absolute);
        }
        for link in self.links.values_mut() {
            link.files().for_each(&mut absolute);
        }
        for channel in self.notify.channels.values_mut() {
            channel.to.secret_file().iter_mut().for_each(&mut absolute);
        }
    }
}
