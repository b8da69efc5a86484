//! `zhiban health`: asks a running gateway whether it works, for container health checks.
//!
//! It asks the gateway itself, never through a proxy, and sends nothing that is secret.

use crate::config::HttpConfig;
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Asks a running gateway whether it works; for container health checks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, which says where the gateway listens
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to ask: `/healthz` whether the engine works and records reach the disk, `/readyz` whether
    /// the whole gateway does. On this machine itself any certificate is good. Without it `/healthz`
    /// is asked, where the configuration says that the gateway listens.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    crate::gateway::install_crypto();
    let url = args.url.unwrap_or_else(|| written(args.config.as_deref()));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .no_proxy()
        // The certificate is made out to the name that people open, not to 127.0.0.1.
        .tls_danger_accept_invalid_certs(is_this_machine(&url))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let answer = client.get(&url).send().await;
    let answer = answer.with_context(|| format!("{url} does not answer"))?;
    ensure!(
        answer.status().is_success(),
        "{url} answers {}",
        answer.status()
    );
    super::say("ok")
}

/// Where the configuration says that the gateway listens. Only that is read: a file that is being
/// changed in another place says nothing of the gateway that runs.
fn written(config: Option<&Path>) -> String {
    let text = config.and_then(|file| std::fs::read_to_string(file).ok());
    let table: Option<toml::Table> = text.and_then(|text| text.parse().ok());
    let http = table.as_ref().and_then(|table| table.get("http"));
    let listen = http.and_then(|http| http.get("listen")?.as_str()?.parse().ok());
    let scheme = match http.and_then(|http| http.get("tls")) {
        Some(_) => "https",
        None => "http",
    };
    let listen = reached_at(listen.unwrap_or(HttpConfig::default().listen));
    format!("{scheme}://{listen}/healthz")
}

/// What listens on every address is asked at this machine's own.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn is_this_machine(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_address_it_asks_where_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let asked = |text: &str| {
            std::fs::write(&file, text).unwrap();
            written(Some(&file))
        };
        let tls = r#"tls = { cert_file = "c", key_file = "k" }"#;
        let all = "[http]\nlisten = \"0.0.0.0:8443\"\n";
        assert_eq!(
            asked(&format!("{all}{tls}")),
            "https://127.0.0.1:8443/healthz"
        );
        assert_eq!(
            asked("[http]\nlisten = \"[::]:80\"\n[asset.A]\nnonsense = 1"),
            "http://[::1]:80/healthz"
        );
        assert_eq!(
            asked("[http]\nlisten = \"192.0.2.7:81\""),
            "http://192.0.2.7:81/healthz"
        );
        for text in ["", "[http]", "not = toml = at all"] {
            assert_eq!(asked(text), "http://127.0.0.1:8080/healthz", "{text}");
        }
        assert_eq!(written(None), "http://127.0.0.1:8080/healthz");
    }
}
