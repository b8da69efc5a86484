//! Backup, restore and a removed record store, with the program running; and the signals that it
//! must survive.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::beacon::count;
use crate::support::zhiban::{Zhiban, run};
use crate::support::{PATIENCE, free_port, http, wait_until};

/// One elevator that nobody answers for: orders are made by hand.
const BUILDING: &str = r#"
[site]
code = "records"
name = { zh = "试验", en = "Test" }
[link.plant]
modbus_tcp = { host = "127.0.0.1", port = 1 }
[[asset]]
code = "A1"
name = { zh = "1 号电梯", en = "Elevator 1" }
profile = "virtual-elevator"
link = "plant"
unit = 1
"#;

struct Site {
    folder: tempfile::TempDir,
    url: String,
    token: String,
    gateway: Zhiban,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let text = format!("{BUILDING}[http]\nlisten = \"{listen}\"\n");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let mut gateway = Zhiban::start(&["run", "--config", file.to_str().unwrap()]);
        let url = format!("http://{listen}");
        gateway.answers(&format!("{url}/healthz")).await;
        let added = run(&["token", "add", "script", "--config", file.to_str().unwrap()]);
        let token = String::from_utf8(added.stdout).unwrap().trim().to_owned();
        assert!(added.status.success(), "{}", gateway.log());
        Self {
            folder,
            url,
            token,
            gateway,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, command: &str, file: &Path) -> String {
        let config = self.config();
        let arguments = [
            command,
            file.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ];
        let done = run(&arguments);
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{errors}\n{}", self.gateway.log());
        String::from_utf8(done.stdout).unwrap()
    }

    async fn add_order(&self, title: &str) {
        let made = http()
            .post(format!("{}/api/v1/work-orders", self.url))
            .bearer_auth(&self.token)
            .header("Idempotency-Key", format!("key-of-{title}"))
            .json(&json!({ "asset": "A1", "title": title, "priority": 3 }))
            .send()
            .await
            .unwrap();
        assert_eq!(
            made.status().as_u16(),
            201,
            "{}",
            made.text().await.unwrap()
        );
    }

    /// The titles of all orders, the oldest first; `None` while the gateway does not answer.
    async fn titles(&self) -> Option<Vec<String>> {
        let list = http()
            .get(format!("{}/api/v1/work-orders?lang=en", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .ok()?;
        let list: Value = list.json().await.ok()?;
        let mut titles: Vec<String> = list["items"]
            .as_array()?
            .iter()
            .map(|order| order["title"].as_str().unwrap_or_default().to_owned())
            .collect();
        titles.reverse();
        Some(titles)
    }

    async fn wait_for_titles(&self, wanted: &[&str]) {
        wait_until(PATIENCE * 2, "the orders", async || {
            let titles = self.titles().await;
            titles.is_some_and(|titles| titles.iter().eq(wanted))
        })
        .await;
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.gateway.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_and_put_back_while_the_gateway_runs() {
    let site = Site::start().await;
    site.add_order("before").await;
    let backup = site.folder.path().join("night.tar");
    let said = site.run("backup", &backup);
    assert!(said.contains("1 work orders, the newest WO-"), "{said}");
    site.add_order("after").await;
    site.wait_for_titles(&["before", "after"]).await;

    let said = site.run("restore", &backup);
    assert!(said.contains("The running gateway has put"), "{said}");
    site.wait_for_titles(&["before"]).await;
    site.add_order("later").await;
    site.wait_for_titles(&["before", "later"]).await;
    let kept = std::fs::read_dir(site.data()).unwrap();
    let kept = kept.flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("core.db.before-restore-")
    });
    assert!(kept, "what was replaced is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_store_that_is_removed_under_the_gateway_comes_back_whole() {
    let site = Site::start().await;
    site.add_order("one").await;
    std::fs::remove_file(site.data().join("core.db")).unwrap();
    wait_until(PATIENCE * 2, "a new start", async || {
        site.gateway.log().contains("all parts are started again")
    })
    .await;
    site.wait_for_titles(&["one"]).await;
    site.add_order("two").await;
    let log = site.gateway.log();
    assert!(log.contains("was removed while the gateway runs"), "{log}");
    assert!(log.contains("no record is lost"), "{log}");
    site.wait_for_titles(&["one", "two"]).await;
}

/// As when its disk is unmounted: a start on an empty folder in its place would begin anew without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_goes_away_and_comes_back_costs_no_record() {
    let site = Site::start().await;
    site.add_order("before").await;
    let away = site.folder.path().join("away");
    std::fs::rename(site.data(), &away).unwrap();
    let ready = async || http().get(format!("{}/readyz", site.url)).send().await;
    wait_until(PATIENCE, "not ready", async || {
        ready().await.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    wait_until(PATIENCE, "what to do is said", async || {
        site.gateway.log().contains("put the folder back")
    })
    .await;
    assert!(!site.data().exists(), "nothing is begun anew");
    std::fs::rename(&away, site.data()).unwrap();
    wait_until(PATIENCE, "ready", async || {
        ready().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    site.add_order("after").await;
    site.wait_for_titles(&["before", "after"]).await;
}

/// What was recorded last is only in the log: a job that tidies up, or copies the folder, may take it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_removed_under_the_gateway_loses_no_record() {
    let mut site = Site::start().await;
    site.add_order("one").await;
    std::fs::remove_file(site.data().join("core.db-wal")).unwrap();
    wait_until(PATIENCE * 2, "a new start", async || {
        site.gateway.log().contains("all parts are started again")
    })
    .await;
    let log = site.gateway.log();
    assert!(
        log.contains("core.db-wal was removed while the gateway runs"),
        "{log}"
    );
    site.gateway.kill();
    let file = site.data().join("core.db");
    let orders = count(&file, "select count(*) from work_order").await;
    assert_eq!(orders, 1);
}

impl Site {
    /// Has the gateway read another configuration, and waits until it knows this asset.
    async fn configure(&self, text: &str, asset: &str) {
        std::fs::write(self.config(), text).unwrap();
        self.signal("HUP");
        wait_until(PATIENCE * 2, "the new configuration", async || {
            self.get(&format!("assets/{asset}")).await["code"] == asset
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let asked = http()
            .get(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token);
        let answer = asked.header("Accept-Language", "en").send().await;
        match answer {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (u16, Value) {
        let asked = http()
            .post(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token)
            .header("Accept-Language", "en")
            .header("Idempotency-Key", key);
        let answer = asked.json(&body).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }
}

/// Somebody renames a device, or takes it out, while its alarm stands: nobody watches it from then on, and nothing may
/// look as if it were over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_of_equipment_that_left_the_configuration_is_said_not_to_be_watched() {
    let site = Site::start().await;
    site.add_order("by hand").await;
    // Nobody answers for the elevator.
    wait_until(PATIENCE * 3, "an alarm", async || {
        site.get("alarms?state=open").await["items"][0]["id"].is_string()
    })
    .await;
    let alarm = site.get("alarms?state=open").await["items"][0]["id"].clone();
    let alarm = format!("alarms/{}", alarm.as_str().unwrap());
    let orders = site.get("work-orders?status=open").await;
    let by_hand = orders["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["title"] == "by hand");
    let order = format!("work-orders/{}", by_hand.unwrap()["no"].as_str().unwrap());
    let version = site.get(&order).await["version"].clone();

    let good = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&good.replace("\"A1\"", "\"AX\""), "AX")
        .await;
    let row = site.get(&alarm).await;
    assert_ne!(row["state"], "normal");
    assert_eq!(row["signal"], "unknown", "nothing is known of it: {row}");
    assert_eq!(
        site.get(&format!("{order}/transitions")).await["items"],
        json!([])
    );
    for (path, body) in [
        (format!("{alarm}/ack"), json!({})),
        (
            format!("{order}/transitions"),
            json!({ "to": "rejected", "reason": "x" }),
        ),
    ] {
        let (status, said) = site.post(&path, &path, body).await;
        assert_eq!(
            (status, &said["code"]),
            (409, &json!("asset.not_configured")),
            "{said}"
        );
        assert!(
            said["detail"]
                .as_str()
                .unwrap()
                .contains("Put it back under its code")
        );
    }
    let ready: Value = http()
        .get(format!("{}/readyz", site.url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(ready["degraded"], json!(["unconfigured"]));

    site.configure(&good, "A1").await;
    assert_eq!(site.get(&order).await["version"], version);
    let moves = site.get(&format!("{order}/transitions")).await;
    assert_ne!(moves["items"], json!([]));
    let (status, said) = site.post(&format!("{alarm}/ack"), "again", json!({})).await;
    assert_eq!(status, 204, "{said}");
}

/// Somebody takes a device out of service while its alarm stands: it is named, and every list says the same of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_equipment_out_of_service_is_named_and_stands_alike_everywhere() {
    let site = Site::start().await;
    wait_until(PATIENCE * 3, "an alarm", async || {
        site.get("alarms?state=open").await["items"][0]["id"].is_string()
    })
    .await;
    let alike = async |state: &str| {
        let open = site.get("alarms?state=open").await["items"][0].clone();
        let id = open["id"].as_str().unwrap().to_owned();
        let all = site.get("alarms").await["items"][0].clone();
        let one = site.get(&format!("alarms/{id}")).await;
        for said in [&open, &all, &one] {
            assert_eq!(said["state"], state, "{said}");
        }
    };
    let degraded = async || -> Value {
        let url = format!("{}/readyz", site.url);
        let ready: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        ready["degraded"].clone()
    };
    alike("unacknowledged").await;
    let good = std::fs::read_to_string(site.config()).unwrap();
    // A second device tells when the new configuration is read.
    let (_, asset) = BUILDING.split_once("[[asset]]").unwrap();
    let mark = |code: &str| {
        let second = asset.replace("\"A1\"", &format!("\"{code}\""));
        format!("[[asset]]{}", second.replace("unit = 1", "unit = 2"))
    };
    let off = good.replacen("unit = 1", "unit = 1\ndisabled = true", 1);
    site.configure(&format!("{off}{}", mark("B1")), "B1").await;
    alike("out_of_service").await;
    assert_eq!(degraded().await, json!(["unconfigured"]));
    assert!(
        site.gateway
            .log()
            .contains("alarms are open on assets that are disabled")
    );
    site.configure(&format!("{good}{}", mark("B2")), "B2").await;
    alike("unacknowledged").await;
    assert_eq!(degraded().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_data_folder_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::start().await;
    site.add_order("one").await;
    wait_until(PATIENCE, "a first snapshot", async || {
        std::fs::read_dir(site.data().join("snapshots")).is_ok_and(|some| {
            some.flatten()
                .any(|one| one.path().extension().is_some_and(|end| end == "db"))
        })
    })
    .await;
    let backup = site.folder.path().join("night.tar");
    site.run("backup", &backup);
    let mut paths = vec![site.data(), backup];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        // What is only written for a moment may be gone.
        let Ok(found) = std::fs::metadata(&path) else {
            continue;
        };
        seen += 1;
        let mode = found.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
        if found.is_dir() {
            paths.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .flatten()
                    .map(|one| one.path()),
            );
        }
    }
    assert!(seen > 6, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_configuration_again_and_a_wrong_one_changes_nothing() {
    let mut site = Site::start().await;
    site.add_order("one").await;
    let good = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), "site = 7").unwrap();
    site.signal("HUP");
    wait_until(PATIENCE, "a word on it", async || {
        site.gateway.log().contains("the one of before stays")
    })
    .await;
    site.wait_for_titles(&["one"]).await;

    let (_, asset) = BUILDING.split_once("[[asset]]").unwrap();
    let second = asset.replace("A1", "A2").replace("unit = 1", "unit = 2");
    let more = format!("{good}[[asset]]{second}");
    std::fs::write(site.config(), more).unwrap();
    site.signal("HUP");
    wait_until(PATIENCE * 2, "the second elevator", async || {
        let asked = http()
            .get(format!("{}/api/v1/assets/A2", site.url))
            .bearer_auth(&site.token)
            .send()
            .await;
        asked.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    site.wait_for_titles(&["one"]).await;
    // Each is answered, however soon it follows.
    site.signal("HUP");
    wait_until(PATIENCE * 2, "a word on the third", async || {
        site.gateway
            .log()
            .contains("SIGHUP 3: the configuration is read again")
    })
    .await;
    site.wait_for_titles(&["one"]).await;
    for signal in ["USR1", "USR2", "PIPE"] {
        site.signal(signal);
    }
    wait_until(PATIENCE, "a word on them", async || {
        let log = site.gateway.log();
        log.contains("SIGUSR1") && log.contains("SIGUSR2")
    })
    .await;
    site.wait_for_titles(&["one"]).await;
    assert!(site.gateway.stop().await.success());
}
