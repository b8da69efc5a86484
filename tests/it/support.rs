//! What the tests stand on: real servers on free ports, a proxy that breaks connections, and
//! waiting without sleeping. It must never pretend to be a peer.
//!
//! A server that is not installed makes its test return early, visibly; in CI it fails.
#![allow(
    dead_code,
    reason = "a toolbox: a tool stays when the last test that used it goes"
)]

pub(crate) mod beacon;
pub(crate) mod certificates;
pub(crate) mod csv;
pub(crate) mod influx;
pub(crate) mod mosquitto;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod pymodbus;
pub(crate) mod smtp;
pub(crate) mod zhiban;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Long enough for a loaded machine with two cores; a test never waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Programs that `tests/run` installs and a plain `cargo test` does without.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// The MQTT broker.
    Mosquitto,
    /// The InfluxDB 2 server.
    Influxd,
    /// A Python that can import pymodbus.
    Pymodbus,
    /// The program with which systemd judges a unit.
    SystemdAnalyze,
    /// Makes certificates.
    Openssl,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Influxd => "influxd",
            Self::Pymodbus => "pymodbus",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::Openssl => "openssl",
        }
    }

    /// The environment variable by which `tests/run` says where it is.
    const fn variable(self) -> &'static str {
        match self {
            Self::Mosquitto => "ZHIBAN_MOSQUITTO",
            Self::Influxd => "ZHIBAN_INFLUXD",
            Self::Pymodbus => "ZHIBAN_PYMODBUS",
            Self::SystemdAnalyze => "ZHIBAN_SYSTEMD_ANALYZE",
            Self::Openssl => "ZHIBAN_OPENSSL",
        }
    }

    /// Where it is in a folder of the cache that `tests/run` keeps.
    const fn in_cache(self) -> Option<&'static str> {
        match self {
            Self::Mosquitto | Self::SystemdAnalyze | Self::Openssl => None,
            Self::Influxd => Some("influxd"),
            Self::Pymodbus => Some("bin/python"),
        }
    }

    fn find(self) -> Option<PathBuf> {
        if let Some(named) = std::env::var_os(self.variable()).filter(|path| !path.is_empty()) {
            return Some(PathBuf::from(named));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|folder| folder.join(self.name()))
            .find(|program| program.is_file())
            .or_else(|| self.find_in_cache())
    }

    fn find_in_cache(self) -> Option<PathBuf> {
        let program = self.in_cache()?;
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?
            .join("zhiban-tests");
        std::fs::read_dir(cache)
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(self.name()))
            .map(|entry| entry.path().join(program))
            .filter(|path| path.is_file())
            .max_by_key(|path| {
                path.symlink_metadata()
                    .and_then(|meta| meta.modified())
                    .ok()
            })
    }
}

/// Where a peer is, or `None` after saying that the test is skipped.
///
/// # Panics
/// With `CI=true`, where nothing may be skipped.
pub(crate) fn require(peer: Peer) -> Option<PathBuf> {
    let found = peer.find();
    if found.is_none() {
        skipped(&format!("no {} (tests/run installs it)", peer.name()));
    }
    found
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// With `CI=true`, where nothing may be skipped.
pub(crate) fn skipped(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{why}, and in CI no test is skipped"
    );
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let words = format!("skipped: {test}: {why}\n");
    // Past the capture of the test runner, so that it is seen.
    std::io::stderr().write_all(words.as_bytes()).unwrap();
}

/// A port that nobody listens on and that this run has not handed out before.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// Returns as soon as the condition holds; looks about every 10 ms.
///
/// # Panics
/// When it does not hold within the limit, naming what was waited for.
pub(crate) async fn wait_until(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut pulse = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        loop {
            pulse.tick().await;
            if holds().await {
                break;
            }
        }
    };
    if tokio::time::timeout(limit, waiting).await.is_err() {
        panic!("waited {limit:?} in vain for: {what}");
    }
}

/// An HTTP client with a time limit.
pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // Somebody else in this process may have been first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
