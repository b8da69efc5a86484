//! `zhiban run`: the gateway, until it is asked to end.

use crate::config::{Config, Fault, Loaded};
use crate::gateway::Gateway;
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
    let loaded = load(&args.config)?;
    let scheme = if loaded.config.http.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let public = loaded.config.http.public_url.clone();
    let gateway = Gateway::start(loaded).await?;
    let url = format!("{scheme}://{}", gateway.address());
    tracing::info!(%url, "the gateway runs");
    // Inside a container the gateway's own address is nobody's.
    let url = public.map_or(url, |public| public.trim_end_matches('/').to_owned());
    if let Some(token) = gateway.accounts().setup_token().await? {
        super::say(format!(
            "No account exists yet. Open {url}/setup and enter this token once:"
        ))?;
        super::say(token)?;
    }
    super::until_stopped().await?;
    tracing::info!("stopping");
    gateway.stop().await;
    Ok(())
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
