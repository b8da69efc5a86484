//! `zhiban health`: asks a running gateway whether it works, for container health checks.

use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Asks a running gateway whether it works; for container health checks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to ask; `/readyz` asks whether it can do its whole job.
    #[arg(
        long,
        default_value = "http://127.0.0.1:8080/healthz",
        value_name = "URL"
    )]
    pub url: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    crate::gateway::install_crypto();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client.get(&args.url).send().await;
    let answer = answer.with_context(|| format!("{} does not answer", args.url))?;
    ensure!(
        answer.status().is_success(),
        "{} answers {}",
        args.url,
        answer.status()
    );
    super::say("ok")
}
