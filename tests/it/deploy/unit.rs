//! The systemd unit, read by systemd itself where it is installed.
//! It must never be judged by eye alone: a misspelt key is only a warning in a log.

use std::process::Command;

use super::read;
use crate::support::zhiban::program;
use crate::support::{Peer, require};

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let Some(analyze) = require(Peer::SystemdAnalyze) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zhiban.service");
    // It looks whether the program is there.
    let text = read("deploy/systemd/zhiban.service");
    let text = text.replace("/usr/local/bin/zhiban", program().to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    let verified = Command::new(analyze)
        .arg("verify")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("zhiban"))
        .collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_unit_names_what_the_account_and_the_program_have() {
    let unit = read("deploy/systemd/zhiban.service");
    let users = read("deploy/systemd/zhiban.sysusers.conf");
    assert!(unit.contains("\nUser=zhiban\n") && users.contains("\nu zhiban "));
    let arguments = "run --config /etc/zhiban/gateway.toml";
    assert!(unit.contains(&format!("\nExecStart=/usr/local/bin/zhiban {arguments}\n")));
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nWatchdogSec="));
    assert!(
        unit.contains("\nLimitNOFILE=65536\n"),
        "twice the connections and more"
    );
}
