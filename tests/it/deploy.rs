//! Holds the deployment files to each other, to the program and to the servers that read them.
//! It must never need a container engine: what a container would do is done in a folder.

mod broker;
mod compose;
mod image;
mod secrets;
mod together;
mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use zhiban::config::{Config, LinkConfig};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Secrets as the first start makes them, owned by whoever runs the test.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_secrets(&folder, &["make"]);
    folder
}

/// Runs the script that makes secrets; what it prints.
fn run_secrets(folder: &TempDir, arguments: &[&str]) -> String {
    let output = try_secrets(folder, arguments, "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "secrets.sh: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the script with this as its input.
fn try_secrets(folder: &TempDir, arguments: &[&str], input: &str) -> Output {
    let me = Command::new("id").arg("-u").output().unwrap().stdout;
    let me = String::from_utf8(me).unwrap();
    let given = folder.path().with_extension("input");
    std::fs::write(&given, input).unwrap();
    let stdin = std::fs::File::open(&given).unwrap();
    std::fs::remove_file(&given).unwrap();
    Command::new("sh")
        .arg(root().join("deploy/secrets.sh"))
        .args(arguments)
        .env("ZHIBAN_SECRETS", folder.path())
        .env("ZHIBAN_GATEWAY_UID", me.trim())
        .env("ZHIBAN_INFLUXDB_UID", me.trim())
        .env("ZHIBAN_MOSQUITTO_UID", me.trim())
        .stdin(stdin)
        .output()
        .unwrap()
}

/// The configuration of the deployment, its secrets in this folder in place of their volume.
fn configuration(secrets: &Path) -> Config {
    let text =
        read("deploy/gateway.toml").replace("\"/secrets/", &format!("\"{}/", secrets.display()));
    match Config::parse(Path::new("/etc/zhiban/gateway.toml"), &text) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("deploy/gateway.toml:\n{}", faults.join("\n"));
        }
    }
}

/// Host, port, user name and password file of the broker's link.
fn broker_link(config: &Config) -> (&str, u16, &str, &Path) {
    match config.links.get("broker") {
        Some(LinkConfig::Mqtt(link)) => (
            &link.host,
            link.port.unwrap_or(1883),
            link.username.as_deref().unwrap(),
            link.password_file.as_deref().unwrap(),
        ),
        other => panic!("no broker in deploy/gateway.toml: {other:?}"),
    }
}

#[test]
fn the_configuration_is_accepted_by_the_program() {
    let Some(_) = crate::support::require(crate::support::Peer::Mosquitto) else {
        return;
    };
    let secrets = secrets();
    let text = read("deploy/gateway.toml")
        .replace("\"/secrets/", &format!("\"{}/", secrets.path().display()));
    let file = secrets.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let checked = crate::support::zhiban::run(&["check", "--config", file.to_str().unwrap()]);
    assert!(
        checked.status.success(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}
