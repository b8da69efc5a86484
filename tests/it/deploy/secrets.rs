//! The script that makes the secrets of a deployment: what is there stays, what is missing is made,
//! what is asked for is changed. It must never be run on a folder that is not the test's own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::{run_secrets, secrets, try_secrets};
use crate::support::{Peer, require};

/// Every secret by its name; all of them are nobody else's.
fn all(folder: &TempDir) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn secrets_are_made_once_and_are_nobody_elses() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let folder = secrets();
    let made = all(&folder);
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "influxdb-admin-token",
            "influxdb-password",
            "influxdb-token",
            "mosquitto-passwords",
            "mqtt-password",
        ]
    );
    run_secrets(&folder, &["make"]);
    assert_eq!(all(&folder), made, "a second start changes nothing");
    for (name, secret) in all(&secrets()) {
        assert_ne!(secret, made[&name], "{name} is that of another site");
    }
}

#[test]
fn what_is_missing_is_made_and_fits_what_is_there() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    // Which file is gone, and which others may change with it.
    for (gone, with_it) in [
        ("influxdb-token", &["influxdb-token"][..]),
        ("influxdb-admin-token", &["influxdb-admin-token"]),
        ("influxdb-password", &["influxdb-password"]),
        ("mqtt-password", &["mqtt-password", "mosquitto-passwords"]),
        ("mosquitto-passwords", &["mosquitto-passwords"]),
    ] {
        let folder = secrets();
        run_secrets(&folder, &["add-device", "BW1"]);
        let before = all(&folder);
        std::fs::remove_file(folder.path().join(gone)).unwrap();
        run_secrets(&folder, &["make"]);
        let after = all(&folder);
        assert!(after.keys().eq(before.keys()), "{gone}");
        let changed = before.iter().filter(|(name, was)| after[*name] != **was);
        let changed: Vec<&str> = changed.map(|(name, _)| name.as_str()).collect();
        let mut with_it = with_it.to_vec();
        with_it.sort_unstable();
        assert_eq!(changed, with_it, "{gone}");
        let accounts = &after["mosquitto-passwords"];
        assert_eq!(accounts.matches("zhiban:").count(), 1, "{gone}");
        if gone != "mosquitto-passwords" {
            let device = |all: &BTreeMap<String, String>| {
                let lines = all["mosquitto-passwords"].lines();
                let mut lines = lines.filter(|line| line.starts_with("BW1:"));
                lines.next().unwrap().to_owned()
            };
            assert_eq!(device(&after), device(&before), "{gone}: a device is lost");
        }
    }
}

#[test]
fn a_secret_of_the_operator_is_put_in_whole_or_not_at_all() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let folder = secrets();
    let made = all(&folder);
    for (name, secret) in [("smtp-password", "first\n"), ("smtp-password", "second\n")] {
        let put = try_secrets(&folder, &["put", name], secret);
        assert!(put.status.success(), "{put:?}");
        assert!(!String::from_utf8_lossy(&put.stdout).contains(secret.trim()));
        assert_eq!(all(&folder)[name], secret);
    }
    for (name, secret) in [
        ("smtp-password", ""),
        ("mosquitto-passwords", "x"),
        ("influxdb-admin-token", "x"),
        ("mqtt-password", "x"),
        ("../outside", "x"),
        ("", "x"),
    ] {
        let put = try_secrets(&folder, &["put", name], secret);
        assert_eq!(put.status.code(), Some(1), "{name}");
        assert!(!put.stderr.is_empty());
    }
    let mut after = all(&folder);
    assert_eq!(after.remove("smtp-password").unwrap(), "second\n");
    assert_eq!(after, made);
}
