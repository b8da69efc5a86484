//! `zhiban health`: asks a running gateway whether it works, for container health checks.
//!
//! It asks the gateway itself, never through a proxy, and sends nothing that is secret.

use anyhow::{Context, Result, ensure};
use std::net::IpAddr;
use std::time::Duration;

/// Asks a running gateway whether it works; for container health checks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to ask: `/healthz` whether the engine works and records reach the disk, `/readyz` whether
    /// the whole gateway does. On this machine itself any certificate is good.
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
        .no_proxy()
        // The certificate is made out to the name that people open, not to 127.0.0.1.
        .tls_danger_accept_invalid_certs(is_this_machine(&args.url))
        .redirect(reqwest::redirect::Policy::none())
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

fn is_this_machine(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
    })
}
