//! What can go wrong when a building is started or asked for a scenario.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A refusal, worded for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No scenario of that name.
    #[error("there is no scenario `{0}`; there are {list}", list = crate::scenario::names())]
    UnknownScenario(String),
    /// No asset of that code.
    #[error("there is no asset `{0}`; there are {list}", list = crate::scenario::asset_codes())]
    UnknownAsset(String),
    /// The scenario can't happen to that asset.
    #[error("scenario `{scenario}` can't happen to {asset}; choose one of {suited}")]
    UnsuitedAsset {
        /// Name of the scenario.
        scenario: &'static str,
        /// Code of the asset asked for.
        asset: String,
        /// Codes that would do, or `no asset`.
        suited: String,
    },
    /// `broker-down` without a broker of the building's own.
    #[error("the broker is not the building's own, so it can't be taken down from here")]
    NoOwnBroker,
    /// The port would be open to the network.
    #[error("{what} must listen on a loopback address such as 127.0.0.1, not on {address}")]
    NotLoopback {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// The address is taken or not ours.
    #[error("{what} can't listen on {address} ({reason}); free the port, or choose another")]
    Bind {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The speed factor is no sensible number.
    #[error("speed must lie between 0.01 and 1000, not {0}")]
    Speed(f64),
    /// The script can't be read.
    #[error("{} can't be read ({reason}); name a file of scenarios and times", path.display())]
    ScriptFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The script is wrong.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// Line from 1.
        line: usize,
        /// Column from 1.
        column: usize,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// The embedded broker doesn't start.
    #[error("the embedded MQTT broker doesn't start: {0}")]
    Broker(String),
}
