//! Holds the configuration to its word: the shipped files load and are complete, the schemas are
//! those of the types, and every kind of wrong file is refused with a place and a remedy.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zhiban::config::{Config, Fault, Library, schema};

use crate::support::zhiban::run;
use crate::tls::pem;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn print(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

/// With `UPDATE=1` what is expected is written, else it is compared.
pub(crate) fn hold(path: &Path, found: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, found, "{}", path.display());
}

#[test]
fn shipped_files_load_as_they_stand() {
    for (file, assets) in [("config/gateway.toml", 1), ("config/demo.toml", 12)] {
        let loaded = Config::load(&root().join(file));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{}", print(&faults)));
        assert_eq!(loaded.model.assets.len(), assets, "{file}");
    }
}

#[test]
fn the_demo_reads_every_device_of_the_virtual_building() {
    let loaded = Config::load(&root().join("config/demo.toml")).unwrap();
    let codes = |link: &str| -> Vec<_> {
        let devices = loaded.devices[link].iter();
        devices.map(|device| device.code.as_str()).collect()
    };
    let plant = ["A1", "A2", "A3", "A4", "A5", "A6", "FP1", "FPU1"];
    assert_eq!(codes("plant"), plant);
    assert_eq!(codes("broker"), ["BW1", "SP1", "SP2", "TK1"]);
    for devices in loaded.devices.values() {
        for device in devices {
            let first = loaded.model.point(device.first_point);
            assert_eq!(first.asset, device.asset);
            assert_eq!(*first.point, *device.profile.points[0].point);
        }
    }
    for asset in &loaded.model.assets {
        assert!(!asset.rules.is_empty(), "{} has no rules", asset.code);
    }
}

/// The file with every option taken into use, and the files it names.
fn with_every_option() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    for name in ["secrets", "tls"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in [
        "secrets/influxdb-token",
        "secrets/mqtt-password",
        "secrets/smtp-password",
        "secrets/webhook",
    ] {
        std::fs::write(folder.path().join(name), "content\n").unwrap();
    }
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        std::fs::copy(pem(name), folder.path().join("tls").join(name)).unwrap();
    }
    let is_option = |line: &&str| {
        let rest = line.strip_prefix('#').unwrap_or_default();
        rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase())
    };
    let lines = text("config/gateway.toml");
    let lines: Vec<_> = lines
        .lines()
        .map(|line| {
            if is_option(&line) {
                line.trim_start_matches('#')
            } else {
                line
            }
        })
        .collect();
    (folder, lines.join("\n"))
}

#[test]
fn every_option_of_the_shipped_file_can_be_used() {
    let (folder, text) = with_every_option();
    let file = folder.path().join("gateway.toml");
    let loaded = Config::parse(&file, &text).unwrap_or_else(|faults| panic!("{}", print(&faults)));
    assert!(loaded.config.influxdb.unwrap().token().is_ok());
    assert_eq!(loaded.config.notify.channels.len(), 2);
    assert_eq!(loaded.config.links.len(), 4);
    assert_eq!(loaded.model.rota.len(), 2);
    let data_dir = loaded.config.storage.data_dir;
    assert_eq!(data_dir, folder.path().join("data"), "relative to the file");
}

#[test]
fn a_broker_setting_that_could_never_work_is_named() {
    let (folder, text) = with_every_option();
    let file = folder.path().join("gateway.toml");
    std::fs::write(folder.path().join("tls/ca.pem"), "no certificate\n").unwrap();
    let text = text.replace("keep_alive = \"5s\"", "keep_alive = \"2h\"");
    let faults = print(&Config::parse(&file, &text).unwrap_err());
    assert!(faults.contains("ca.pem holds no certificate"), "{faults}");
    assert!(faults.contains("write \"1s\" to \"10m\""), "{faults}");
}

#[test]
fn the_shipped_file_names_every_option() {
    let (_, schema) = schema::all().into_iter().next().unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&serde_json::from_str(&schema).unwrap(), &mut keys);
    assert!(keys.len() > 50, "{keys:?}");
    let text = text("config/gateway.toml");
    let words: BTreeSet<_> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let other_place = ["password_env", "token_env", "secret_env"];
    for key in keys {
        let said = words.contains(key.as_str()) || other_place.contains(&key.as_str());
        assert!(said, "config/gateway.toml says nothing of {key}");
    }
}

fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        keys.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| collect_keys(value, keys)),
        Value::Array(list) => list.iter().for_each(|value| collect_keys(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn schemas_are_those_of_the_types() {
    for (name, schema) in schema::all() {
        hold(&root().join("config/schema").join(name), &schema);
    }
}

#[test]
fn every_bad_file_is_refused_with_place_and_remedy() {
    let folder = root().join("tests/it/config/bad");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = path.with_extension("expected");
        // A folder is a site with files of its own beside its configuration.
        let path = if path.is_dir() {
            path.join("gateway.toml")
        } else {
            path
        };
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let faults = if text.contains("[[point]]") {
            zhiban::config::check_profile_text(&path, &text).unwrap_err()
        } else {
            Config::parse(&path, &text).unwrap_err()
        };
        assert!(faults.iter().any(Fault::is_error), "{}", path.display());
        for fault in &faults {
            assert!(!fault.what.is_empty(), "{fault}");
            assert!(!fault.is_error() || !fault.remedy.is_empty(), "{fault}");
        }
        let base = format!("{}/", path.parent().unwrap().display());
        hold(&expected, &print(&faults).replace(&base, ""));
    }
    assert!(count >= 12, "{count} files");
}

#[test]
fn a_file_in_another_encoding_is_named_with_its_first_wrong_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    let said = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        print(&Config::load(&file).unwrap_err())
    };
    // 一号楼 as GBK has it.
    let gbk = b"[site]\ncode = \"t\"\nname = { zh = \"\xd2\xbb\xba\xc5\xc2\xa5\" }\n";
    let found = said(gbk);
    let expected = "gateway.toml:3:17: what stands here is no UTF-8: the file is in another encoding, such as GBK; save it as UTF-8";
    assert!(found.contains(expected), "{found}");
    let wide: Vec<u8> = "\u{feff}[site]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(
        said(&wide)
            .contains("gateway.toml:1:1: what stands here is no UTF-8: the file is in UTF-16")
    );
    // So is one of the files beside it.
    std::fs::create_dir(folder.path().join("alarms")).unwrap();
    std::fs::write(folder.path().join("alarms/pump.toml"), b"\xba\xc5").unwrap();
    assert!(said(b"").contains("alarms/pump.toml:1:1: what stands here is no UTF-8"));
}

#[test]
fn a_client_id_that_no_broker_can_take_is_refused() {
    let text = text("config/demo.toml");
    let id = "x".repeat(65_536);
    let long = text.replacen("mqtt = { ", &format!("mqtt = {{ client_id = \"{id}\", "), 1);
    assert!(long.len() > id.len(), "the demo has a broker");
    let faults = Config::parse(Path::new("demo.toml"), &long).unwrap_err();
    assert!(print(&faults).contains("client_id is longer than the 65535 bytes"));
    let topic = text.replacen("topic = \"", &format!("topic = \"{id}"), 1);
    let faults = Config::parse(Path::new("demo.toml"), &topic).unwrap_err();
    assert!(print(&faults).contains("bytes is longer than a broker takes"));
}

#[test]
fn a_file_that_is_not_there_is_one_clear_sentence() {
    let faults = Config::load(Path::new("/nowhere/gateway.toml")).unwrap_err();
    let found = print(&faults);
    assert!(
        found.starts_with("/nowhere/gateway.toml: the file cannot be read"),
        "{found}"
    );
}

#[test]
fn a_secret_file_must_be_readable_and_should_be_private() {
    let (folder, text) = with_every_option();
    let file = folder.path().join("gateway.toml");
    std::fs::remove_file(folder.path().join("secrets/influxdb-token")).unwrap();
    std::fs::write(folder.path().join("secrets/webhook"), "\n").unwrap();
    let found = print(&Config::parse(&file, &text).unwrap_err());
    assert!(found.contains("influxdb-token cannot be read"), "{found}");
    assert!(found.contains("secrets/webhook is empty"), "{found}");
    assert!(
        found.contains("warning: everybody on this machine can read"),
        "{found}"
    );
    assert!(!found.contains("content"), "a secret is told: {found}");
}

#[test]
fn own_profiles_and_rules_go_before_those_that_come_along() {
    let folder = TempDir::new().unwrap();
    let write = |path: &str, text: String| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let profile = text("config/profiles/tank/virtual-tank.toml");
    let profile = profile.replace("虚拟楼宇屋顶水箱", "我的水箱");
    write("profiles/tank/virtual-tank.toml", profile);
    let rules = text("config/alarms/tank.toml").replace("id = \"frost\"", "id = \"cold\"");
    write("alarms/tank.toml", rules);
    let loaded = Config::parse(&folder.path().join("demo.toml"), &text("config/demo.toml"));
    let loaded = loaded.unwrap_or_else(|faults| panic!("{}", print(&faults)));
    let tank = loaded.model.asset_by_code("TK1").unwrap();
    assert!(loaded.model.rule_by_name(tank, "cold").is_some());
    assert!(loaded.model.rule_by_name(tank, "frost").is_none());
    let device = loaded.devices["broker"].last().unwrap();
    assert_eq!(device.profile.title.zh, "我的水箱");
}

/// One asset with a profile, and the remarks on it, when the folder has this profile too.
fn remarks(profile: &str, own: Option<String>) -> String {
    let folder = TempDir::new().unwrap();
    if let Some(text) = own {
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        let file = format!("profiles/{profile}.toml");
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let asset = |link: &str, rest: &str| {
        format!(
            "site = {{ code = \"t\", name = {{ zh = \"甲\", en = \"A\" }} }}\n\
             link.line.{link} = {{ host = \"h\" }}\n[[asset]]\ncode = \"X\"\n\
             name = {{ zh = \"甲\", en = \"X\" }}\nprofile = \"{profile}\"\n\
             link = \"line\"\n{rest}\n"
        )
    };
    let file = folder.path().join("gateway.toml");
    let loaded = Config::parse(&file, &asset("modbus_tcp", "unit = 1"));
    let loaded = loaded.or_else(|_| Config::parse(&file, &asset("mqtt", "topic = \"x\"")));
    let loaded = loaded.unwrap_or_else(|faults| panic!("{}", print(&faults)));
    print(&loaded.remarks)
}

#[test]
fn a_rule_that_guards_life_and_sees_but_half_is_named() {
    let profile = text("config/profiles/fire_panel/honeywell-clss-gateway.toml");
    let profile = profile.replace("loop2_module_alarms", "loop2_module_alarm");
    let found = remarks("honeywell-clss-gateway", Some(profile));
    let expected = "fire_on_loop2 without loop2_module_alarms";
    assert!(found.contains(expected), "{found}");
    // A rule that a profile of ours has in part was looked at when it was written.
    for name in Library::built_in(&mut Vec::new()).profiles.keys() {
        let found = remarks(name, None);
        assert!(!found.contains(" without "), "{name}: {found}");
    }
    let copy = text("config/profiles/elevator/lift-sensor-terminal.toml");
    let found = remarks("lift-sensor-terminal", Some(copy));
    assert!(!found.contains(" without "), "{found}");
}

#[test]
fn a_unit_that_a_profile_is_not_for_is_warned_of() {
    let profile = text("config/profiles/fire_panel/honeywell-clss-gateway.toml");
    let warned = |text: String| {
        let found = remarks("honeywell-clss-gateway", Some(text));
        found.contains("warning: profile \"honeywell-clss-gateway\" is for unit")
    };
    assert!(!warned(profile.clone()), "it is for unit 1");
    assert!(warned(profile.replace("unit = 1 }", "unit = 2 }")));
    let lift = remarks("lift-sensor-terminal", None);
    assert!(
        lift.contains("warning: profile \"lift-sensor-terminal\" is for unit 247"),
        "{lift}"
    );
}

#[test]
fn two_assets_are_never_one_device_with_fixed_topics() {
    let folder = TempDir::new().unwrap();
    let profile = text("config/profiles/tank/virtual-tank.toml");
    let fixed = profile
        .replace("{topic}", "roof/tank")
        .replace("id = \"virtual-tank\"", "id = \"fixed\"");
    std::fs::create_dir_all(folder.path().join("profiles/tank")).unwrap();
    std::fs::write(folder.path().join("profiles/tank/fixed.toml"), fixed).unwrap();
    let asset = |code: &str, topic: &str| {
        format!(
            "[[asset]]\ncode = \"{code}\"\nname = {{ zh = \"甲\", en = \"A\" }}\nprofile = \"fixed\"\nlink = \"broker\"\n{topic}"
        )
    };
    let site = "[site]\ncode = \"test\"\nname = { zh = \"甲\", en = \"A\" }\n\
                [link.broker]\nmqtt = { host = \"b\" }\n";
    let file = folder.path().join("gateway.toml");
    let one = format!("{site}{}", asset("TK1", ""));
    let loaded = Config::parse(&file, &one);
    loaded.unwrap_or_else(|faults| panic!("{}", print(&faults)));
    let two = format!("{one}{}", asset("TK2", "topic = \"roof/2\"\n"));
    let found = print(&Config::parse(&file, &two).unwrap_err());
    assert!(
        found.contains("write {topic} into the profile's topics"),
        "{found}"
    );
    assert!(
        found.contains("gateway.toml:14:1: topic \"roof/tank/telemetry\" of profile \"fixed\" is the same for each asset"),
        "{found}"
    );
    assert!(
        found.contains("gateway.toml:16:1: no topic of profile \"fixed\" has {topic} in it; take"),
        "{found}"
    );
}

#[test]
fn a_site_changes_rules_for_a_class_and_then_for_an_asset() {
    let changes = r#"
        [[alarm]]
        class = "elevator"
        rule = "machine_room_hot"
        priority = 4
        above = 45.0

        [[alarm]]
        asset = "A2"
        rule = "machine_room_hot"
        on_delay = "5m"

        [[alarm]]
        asset = "A3"
        rule = "machine_room_hot"
        enabled = false
    "#;
    let text = text("config/demo.toml") + changes;
    let loaded = Config::parse(&root().join("config/demo.toml"), &text);
    let model = loaded
        .unwrap_or_else(|faults| panic!("{}", print(&faults)))
        .model;
    let rule = |asset: &str| {
        let asset = model.asset_by_code(asset).unwrap();
        let id = model.rule_by_name(asset, "machine_room_hot")?;
        let rule = &model.rule(id).rule;
        let when = serde_json::to_value(&rule.when).unwrap();
        Some((
            rule.priority.number(),
            when["limit"]["above"].as_f64().unwrap(),
            rule.on_delay.to_string(),
        ))
    };
    assert_eq!(rule("A1"), Some((4, 45.0, "1m".to_owned())));
    assert_eq!(rule("A2"), Some((4, 45.0, "5m".to_owned())));
    assert_eq!(rule("A3"), None);
}

fn shell(arguments: &[&str]) -> (Option<i32>, String, String) {
    let done = run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn check_says_all_faults_on_stderr_and_ends_with_1() {
    let good = root().join("config/gateway.toml");
    let (code, stdout, stderr) = shell(&["check", "--config", good.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("no fault"), "{stdout}");
    let bad = root().join("tests/it/config/bad/assets.toml");
    let (code, stdout, stderr) = shell(&["check", "--config", bad.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 6, "{stderr}");
    assert!(stderr.contains("assets.toml:29:1: unit 248 can't be addressed; write 1 to 247"));
    let (code, stdout, _) = shell(&["check", "--json", "--config", bad.to_str().unwrap()]);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &told["ok"]), (Some(1), &Value::Bool(false)));
    assert_eq!(told["faults"][2]["line"], 29);
}

#[test]
fn profiles_are_listed_and_checked_from_the_shell() {
    let (code, stdout, stderr) = shell(&["profile", "list", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let list: Value = serde_json::from_str(&stdout).unwrap();
    let ids: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert!(ids.contains(&&Value::from("virtual-elevator")), "{ids:?}");
    let good = root().join("config/profiles/pump/grundfos-cim.toml");
    let (code, stdout, stderr) = shell(&["profile", "check", good.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Every example decodes"), "{stdout}");
    let bad = root().join("tests/it/config/bad/profile.toml");
    let (code, _, stderr) = shell(&["profile", "check", bad.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("profile.toml:29:1: \"write\" is not allowed"),
        "{stderr}"
    );
}
