//! What the program refuses at its start: one clear sentence with place and remedy on stderr,
//! exit code 1, and every file as it was.

use crate::support::{PATIENCE, wait_until, zhiban};
use sqlx::{Connection as _, SqliteConnection};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const CONFIG: &str = r#"[site]
code = "test"
name = { zh = "试验", en = "Test" }
[http]
listen = "127.0.0.1:0"
[link.line]
modbus_tcp = { host = "127.0.0.1", port = 1 }
[[asset]]
code = "A1"
name = { zh = "一号梯", en = "Lift 1" }
profile = "virtual-elevator"
link = "line"
unit = 1
"#;

/// Runs `zhiban run` and gives back what it wrote to stderr, which must be a refusal.
fn refusal(file: &Path) -> String {
    let run = zhiban::run(&["--log", "off", "run", "--config", file.to_str().unwrap()]);
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(run.stdout.is_empty(), "nothing on stdout");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = write(folder.path(), &CONFIG.replace("127.0.0.1:0", &address));
    let said = refusal(&file);
    assert!(
        said.contains(&address) && said.contains("http.listen"),
        "{said}"
    );
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "a file").unwrap();
    let text = format!("{CONFIG}\n[storage]\ndata_dir = \"plain/data\"\n");
    let said = refusal(&write(folder.path(), &text));
    assert!(
        said.contains("plain/data") && said.contains("storage.data_dir"),
        "{said}"
    );
}

/// What the program says to this file where the permissions of files hold.
fn refusal_without_privilege(file: &Path) -> String {
    let run =
        zhiban::run_without_privilege(&["--log", "off", "run", "--config", file.to_str().unwrap()]);
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    stderr
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    permit(&data, 0o555);
    let said = refusal_without_privilege(&write(folder.path(), CONFIG));
    permit(&data, 0o755);
    assert!(
        said.contains(data.to_str().unwrap()) && said.contains("choose another data folder"),
        "{said}"
    );
    assert_eq!(data.read_dir().unwrap().count(), 0, "nothing is made");
}

#[test]
fn a_secret_that_may_not_be_read_is_named_and_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    std::fs::write(&secret, "geheim").unwrap();
    permit(&secret, 0o000);
    let text = format!(
        "{CONFIG}\n[influxdb]\nurl = \"http://127.0.0.1:1\"\norg = \"o\"\nbucket = \"b\"\ntoken_file = \"token\"\n"
    );
    let said = refusal_without_privilege(&write(folder.path(), &text));
    assert!(
        said.contains("gateway.toml:19:1: the secret file")
            && said.contains(secret.to_str().unwrap())
            && said.contains("make it readable for the gateway's user"),
        "{said}"
    );
    assert!(!said.contains("geheim"), "{said}");
}

#[tokio::test]
async fn a_newer_record_store_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), CONFIG);
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let db = folder.path().join("data/core.db");
    let url = format!("sqlite://{}?mode=rwc", db.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let newer = "pragma journal_mode = wal; create table schema_version (version integer primary key); \
                 insert into schema_version (version) values (9999)";
    sqlx::raw_sql(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&db).unwrap();
    let said = refusal(&file);
    assert!(said.contains("core.db") && said.contains("newer"), "{said}");
    assert!(std::fs::read(&db).unwrap() == before, "not a byte of it");
}

#[test]
fn a_secret_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{CONFIG}\n[influxdb]\nurl = \"http://127.0.0.1:1\"\norg = \"o\"\nbucket = \"b\"\ntoken_file = \"missing\"\n"
    );
    let said = refusal(&write(folder.path(), &text));
    assert!(
        said.contains("missing") && said.contains("gateway.toml:"),
        "{said}"
    );
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIG
        .replace("unit = 1", "unit = 300")
        .replace("virtual-elevator", "no-such-profile");
    let file = write(folder.path(), &text);
    for arguments in [["run", "--config"], ["check", "--config"]] {
        let run = zhiban::run(&[
            "--log",
            "off",
            arguments[0],
            arguments[1],
            file.to_str().unwrap(),
        ]);
        assert_eq!(run.status.code(), Some(1));
        let said = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
        assert!(
            said.contains("no-such-profile") && said.contains("300"),
            "{said}"
        );
        assert!(
            said.contains("gateway.toml:11:") && said.contains("gateway.toml:13:"),
            "{said}"
        );
    }
}

#[test]
fn a_rule_that_can_never_raise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), CONFIG);
    // The rules that come along, but for one slip of the pen.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/alarms/elevator.toml");
    let shipped = std::fs::read_to_string(shipped).unwrap();
    std::fs::create_dir(folder.path().join("alarms")).unwrap();
    for (right, wrong, said_of_it) in [
        (
            "{ flag = { point = \"trapped\" } }",
            "{ flag = { point = \"traped\" } }",
            "rule \"entrapment\" looks at point \"traped\"",
        ),
        (
            "[\"unintended_movement\"]",
            "[\"unintended_movment\"]",
            "rule \"unintended_movement\" waits for \"unintended_movment\"",
        ),
        (
            "{ flag = { point = \"trapped\" } }",
            "{ limit = { point = \"trapped\", above = 1.0 } }",
            "rule \"entrapment\" asks for a limit",
        ),
    ] {
        let rules = shipped.replacen(right, wrong, 1);
        assert_ne!(rules, shipped);
        std::fs::write(folder.path().join("alarms/elevator.toml"), rules).unwrap();
        let said = refusal(&file);
        assert!(said.contains(said_of_it), "{said}");
    }
}

#[test]
fn wrong_usage_is_exit_code_two() {
    for wrong in [
        &["run"][..],
        &["no-such-command"],
        &["user", "list"],
        &["token", "list"],
        &["profile", "list", "--log", "zhiban=no-level"],
    ] {
        let run = zhiban::run(wrong);
        let stderr = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{wrong:?}: {stderr}");
        assert!(!stderr.is_empty(), "{wrong:?}");
    }
    assert_eq!(zhiban::run(&["--help"]).status.code(), Some(0));
    for switch in ["1", "true", "0", ""] {
        let list = std::process::Command::new(zhiban::program())
            .args(["profile", "list"])
            .env("ZHIBAN_LOG_JSON", switch)
            .output()
            .unwrap();
        assert_eq!(list.status.code(), Some(0), "ZHIBAN_LOG_JSON={switch}");
    }
}

/// Runs `zhiban simulate` with this file and gives back its refusal, one line.
fn simulate(folder: &Path, text: &str) -> String {
    let file = folder.join("building.toml");
    std::fs::write(&file, text).unwrap();
    let run = zhiban::run(&["simulate", "--config", file.to_str().unwrap()]);
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn a_virtual_building_that_cannot_be_is_refused_with_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let free = "control = \"127.0.0.1:0\"\nmodbus_rtu_over_tcp = \"127.0.0.1:0\"\nmqtt = \"127.0.0.1:0\"\n";
    let said = simulate(folder, "modbus = \"localhost\"\nspede = 2\n");
    let lines: Vec<&str> = said.lines().collect();
    let [address, key] = lines[..] else {
        panic!("{said}");
    };
    assert!(
        address.contains("building.toml:1:10: \"localhost\" is not an address and a port; write"),
        "{said}"
    );
    assert!(
        key.contains("building.toml:2:1: key \"spede\" is not known here; write"),
        "{said}"
    );
    let said = simulate(folder, &format!("modbus = \"{taken}\"\n{free}"));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(&taken.to_string()) && said.contains("choose another"),
        "{said}"
    );
    assert_eq!(said.matches("os error").count(), 1, "{said}");
    // The script is looked for beside the file.
    let script = "modbus = \"127.0.0.1:0\"\nscript = \"night.toml\"\n";
    let said = simulate(folder, &format!("{script}{free}"));
    let place = folder.join("night.toml").display().to_string();
    assert!(said.contains(&format!("{place} can't be read")), "{said}");
    std::fs::write(
        folder.join("night.toml"),
        "[[step]]\nat = \"now\"\nscenario = \"smoke\"\n",
    )
    .unwrap();
    let said = simulate(folder, &format!("{script}{free}"));
    assert!(said.contains(&format!("{place}:2:6: ")), "{said}");
}

#[tokio::test]
async fn a_virtual_building_says_where_all_its_ports_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("building.toml");
    let text = "modbus = \"127.0.0.1:0\"\nmodbus_rtu_over_tcp = \"127.0.0.1:0\"\ncontrol = \"127.0.0.1:0\"\nmqtt = \"127.0.0.1:0\"\n";
    std::fs::write(&file, text).unwrap();
    let mut building = zhiban::Zhiban::start(&["simulate", "--config", file.to_str().unwrap()]);
    wait_until(PATIENCE, "four addresses", async || {
        building.stdout().len() == 4
    })
    .await;
    let said = building.stdout().join("\n");
    for scheme in [
        "modbus+tcp://",
        "modbus+rtuovertcp://",
        "mqtt://",
        "http://",
    ] {
        assert!(said.contains(&format!("{scheme}127.0.0.1:")), "{said}");
    }
    assert!(building.stop().await.success());
}

#[tokio::test]
async fn the_first_start_names_the_address_that_people_open() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIG.replace(
        "[http]",
        "[http]\npublic_url = \"https://duty.example.com/\"",
    );
    let file = write(folder.path(), &text);
    let mut gateway = zhiban::Zhiban::start(&["run", "--config", file.to_str().unwrap()]);
    let said = gateway.first_line().await;
    assert!(
        said.contains("Open https://duty.example.com/setup "),
        "{said}"
    );
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn the_first_start_says_who_reaches_its_page() {
    let port = crate::support::free_port();
    for (listen, opened, alone) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("0.0.0.0", "localhost", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let old = "listen = \"127.0.0.1:0\"";
        assert!(CONFIG.contains(old));
        let text = CONFIG.replace(old, &format!("listen = \"{listen}:{port}\""));
        let file = write(folder.path(), &text);
        let mut gateway = zhiban::Zhiban::start(&["run", "--config", file.to_str().unwrap()]);
        wait_until(PATIENCE, "the token", async || gateway.stdout().len() >= 2).await;
        assert!(gateway.stop().await.success());
        let said = gateway.stdout().join("\n");
        assert!(
            said.contains(&format!("http://{opened}:{port}/setup")),
            "{said}"
        );
        assert_eq!(
            said.contains("only this machine reaches it"),
            alone,
            "{said}"
        );
    }
}

#[tokio::test]
async fn somebody_on_the_rota_who_cannot_sign_in_is_named_until_he_can() {
    let folder = tempfile::tempdir().unwrap();
    let port = crate::support::free_port();
    let text = CONFIG.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let file = write(
        folder.path(),
        &format!("{text}[[notify.rota]]\nperson = \"wang\"\n"),
    );
    let file = file.to_str().unwrap();
    let gateway = zhiban::Zhiban::start(&["run", "--config", file]);
    let degraded = async |named: bool| {
        wait_until(PATIENCE, "the rota on the board", async || {
            let url = format!("http://127.0.0.1:{port}/readyz");
            let Ok(answer) = crate::support::http().get(url).send().await else {
                return false;
            };
            let board: serde_json::Value = answer.json().await.unwrap();
            let degraded = board["degraded"].as_array().unwrap();
            degraded.iter().any(|check| check == "rota") == named
        })
        .await;
    };
    degraded(true).await;
    assert!(
        gateway.log().contains("notify.rota names wang"),
        "{}",
        gateway.log()
    );
    let password = folder.path().join("password");
    std::fs::write(&password, "a long enough one 42").unwrap();
    let password = ["--password-file", password.to_str().unwrap()];
    let added = ["user", "add", "wang", "--config", file];
    let added = zhiban::run(&[&added[..], &password].concat());
    assert!(added.status.success());
    degraded(false).await;
}

#[tokio::test]
async fn a_demo_without_its_token_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["demo", "--json", "--listen", "127.0.0.1:0", "--data-dir"];
    let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
    let mut demo = zhiban::Zhiban::start(&arguments);
    demo.first_line().await;
    assert!(demo.stop().await.success());
    // The gateway's own commands on the demo's folder.
    let text = format!("{CONFIG}\n[storage]\ndata_dir = \"data\"\n");
    let file = write(folder.path(), &text);
    let revoke = [
        "token",
        "revoke",
        "demo",
        "--config",
        file.to_str().unwrap(),
    ];
    let revoked = zhiban::run(&revoke);
    assert!(revoked.status.success(), "{revoked:?}");
    let mut demo = zhiban::Zhiban::start(&arguments);
    assert!(demo.first_line().await.contains("\"token\""));
    assert!(demo.stop().await.success());
}
