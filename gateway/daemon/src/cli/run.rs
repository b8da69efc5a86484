//! `zhiban run`: the gateway, until it is asked to end.
//!
//! All parts are started again within the process when the configuration is to be read again, a
//! backup is put back, or the record store needs it. A configuration with a fault changes nothing.

use super::signals::{Asked, Signals};
use crate::config::{Config, Fault, Loaded};
use crate::gateway::Gateway;
use crate::watchdog;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Runs the gateway.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration.
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let mut signals = Signals::listen()?;
    let mut loaded = load(&args.config)?;
    let mut gateway = Gateway::start(loaded.clone()).await?;
    let mut reloads = 0;
    loop {
        announce(&gateway, &loaded).await;
        let next = next(&args.config, &mut gateway, &mut signals, &mut reloads).await;
        if next.is_none() {
            tracing::info!("stopping");
            watchdog::stopping();
        }
        gateway.stop().await;
        let Some(next) = next else { return Ok(()) };
        (gateway, loaded) = start_again(*next, loaded).await?;
    }
}

/// Starts with the new configuration, and with the one of before where that does not start.
async fn start_again(new: Loaded, old: Loaded) -> Result<(Gateway, Loaded)> {
    watchdog::alive();
    match Box::pin(Gateway::start(new.clone())).await {
        Ok(gateway) => Ok((gateway, new)),
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the gateway does not start with what it read; it goes on with the configuration of before"
            );
            Ok((Box::pin(Gateway::start(old.clone())).await?, old))
        }
    }
}

/// The configuration to start again with; `None` when the gateway is to end.
async fn next(
    file: &Path,
    gateway: &mut Gateway,
    signals: &mut Signals,
    reloads: &mut u32,
) -> Option<Box<Loaded>> {
    loop {
        let (why, asked_for) = tokio::select! {
            asked = signals.next() => match asked {
                Asked::End => return None,
                // Numbered, so that each is answered: equal messages are only counted.
                Asked::Reload => {
                    *reloads += 1;
                    (format!("SIGHUP {reloads}: the configuration is read again"), true)
                }
            },
            why = gateway.wants_a_new_start() => (why, false),
        };
        match Config::load(file) {
            Ok(loaded) => {
                tracing::warn!(why, "all parts are started again");
                return Some(Box::new(loaded));
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                tracing::error!(
                    why,
                    "the configuration has faults, so the one of before stays"
                );
                if !asked_for {
                    return Some(Box::new(gateway.loaded().clone()));
                }
            }
        }
    }
}

/// Says where the gateway is and how the first account is made. Who listens to it may be gone.
async fn announce(gateway: &Gateway, loaded: &Loaded) {
    let scheme = if loaded.config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = super::url(scheme, gateway.address());
    tracing::info!(%url, "the gateway runs");
    // Inside a container the gateway's own address is nobody's.
    let public = loaded.config.http.public_url.as_deref();
    let alone = public.is_none() && gateway.address().ip().is_loopback();
    let url = public.map_or(url, |public| public.trim_end_matches('/').to_owned());
    let token = match gateway.accounts().setup_token().await {
        Ok(None) => return,
        Ok(Some(token)) => token,
        Err(error) => {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "no token for the first account can be made; start the gateway again when records can be written"
            );
            return;
        }
    };
    let elsewhere = if alone {
        " (only this machine reaches it; for another one set http.listen, for example to \"0.0.0.0:8080\")"
    } else {
        ""
    };
    let words = format!(
        "No account exists yet. Open {url}/setup{elsewhere} and enter this token once:\n{token}"
    );
    if let Err(error) = super::say(words) {
        tracing::error!(%error, "the token for the first account could not be printed");
    }
}

/// Reads a configuration; every fault goes to stderr, a line each.
///
/// # Errors
/// There was a fault.
pub(crate) fn load(path: &Path) -> Result<Loaded> {
    match Config::load(path) {
        Ok(loaded) => {
            for remark in &loaded.remarks {
                tracing::info!("{remark}");
            }
            Ok(loaded)
        }
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
            bail!("{}", lines.join("\n"))
        }
    }
}
