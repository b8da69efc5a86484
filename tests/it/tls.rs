//! The page over TLS, as browsers and health checks ask for it. The certificates beside this file
//! are for tests alone; they must never be near a real gateway.

use std::path::{Path, PathBuf};

use crate::support::zhiban::{Zhiban, program, run};
use crate::support::{PATIENCE, free_port, http};

/// One of the PEM files.
pub(crate) fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("it/tls")
        .join(name)
}

/// A configuration of nothing but the page, encrypted with these files; its address.
fn configuration(folder: &Path, cert: &Path, key: &Path) -> (PathBuf, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let text = format!(
        "[site]\ncode = \"test\"\nname = {{ zh = \"试验\", en = \"Test\" }}\n[http]\nlisten = \"{listen}\"\n\
         tls = {{ cert_file = \"{}\", key_file = \"{}\" }}\n",
        cert.display(),
        key.display()
    );
    let file = folder.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    (file, listen)
}

/// A client that would rather speak HTTP/2, as every browser would.
fn browser() -> reqwest::Client {
    drop(http());
    let authority = std::fs::read(pem("ca.pem")).unwrap();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_browser_and_a_health_check_get_the_page_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (file, listen) = configuration(folder.path(), &pem("cert.pem"), &pem("key.pem"));
    let mut gateway = Zhiban::start(&["run", "--config", file.to_str().unwrap()]);
    assert!(gateway.first_line().await.contains("https://"));
    let url = format!("https://{listen}");
    let page = browser().get(format!("{url}/setup")).send().await.unwrap();
    assert!(page.status().is_success(), "{page:?}");
    let health = format!("{url}/healthz");
    let healthy = run(&["health", "--url", &health]);
    assert!(healthy.status.success(), "{healthy:?}\n{}", gateway.log());
    let proxied = std::process::Command::new(program())
        .args(["health", "--url", &health])
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert!(proxied.status.success(), "through a proxy: {proxied:?}");
    assert!(gateway.stop().await.success());
}

#[test]
fn a_certificate_of_no_use_is_refused_before_anything_is_made() {
    let cases = [
        ("key.pem", "key.pem", "holds no certificate"),
        ("cert.pem", "ca.pem", "holds no private key"),
        ("stranger.pem", "key.pem", "of no use together"),
        ("missing.pem", "key.pem", "missing.pem cannot be read"),
    ];
    for (cert, key, said) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = configuration(folder.path(), &pem(cert), &pem(key));
        for command in ["check", "run"] {
            let refused = run(&[command, "--config", file.to_str().unwrap()]);
            let stderr = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(said), "{command}: {stderr}");
            assert!(stderr.contains("gateway.toml:6:"), "{command}: {stderr}");
        }
        assert!(!folder.path().join("data").exists(), "nothing is made");
    }
}
