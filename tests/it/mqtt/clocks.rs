//! The built program and devices whose time is not the gateway's: what waited for days, and clocks
//! that stand still or only know seconds. No change that a device sent may ever be swallowed.

use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};

use super::driver::Publisher;
use crate::support::mosquitto::Mosquitto;
use crate::support::zhiban::Zhiban;
use crate::support::{PATIENCE, wait_until};

const PROFILE: &str = r#"
id = "beacon"
class = "beacon"
title = { zh = "信标", en = "Beacon" }
trust = "bench"
source = "made for this test"
[mqtt]
period = "1h"
time = { pointer = "/ts", format = "unix_s" }
[[point]]
point = "high"
name = { zh = "高水位", en = "High level" }
kind = "flag"
mqtt = { topic = "{topic}", read = { json = "/high" } }
example = { payload = '{"ts":0,"high":true}', value = true }
"#;

const RULES: &str = r#"
class = "beacon"
[[rule]]
id = "high"
family = "high"
priority = 2
title = { zh = "高水位", en = "High level" }
cause = { zh = "试验", en = "Test" }
consequence = { zh = "试验", en = "Test" }
action = { zh = "试验", en = "Test" }
when = { flag = { point = "high" } }
due = "1h"
"#;

fn config(folder: &Path, broker: u16) -> String {
    let mut text = format!(
        "[site]\ncode = \"clocks\"\nname = {{ zh = \"试\", en = \"Test\" }}\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [link.broker]\nmqtt = {{ host = \"127.0.0.1\", port = {broker} }}\n"
    );
    for code in ["B1", "B2", "B3"] {
        text += &format!(
            "[[asset]]\ncode = \"{code}\"\nname = {{ zh = \"信标\", en = \"Beacon\" }}\n\
             profile = \"beacon\"\nlink = \"broker\"\ntopic = \"beacon/{code}\"\n"
        );
    }
    for sub in ["profiles/beacon", "alarms"] {
        std::fs::create_dir_all(folder.join(sub)).unwrap();
    }
    let file = folder.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.join("profiles/beacon/beacon.toml"), PROFILE).unwrap();
    std::fs::write(folder.join("alarms/beacon.toml"), RULES).unwrap();
    file.to_str().unwrap().to_owned()
}

/// How often the fault of a device came, by its order.
async fn occurrences(db: &Path, asset: &str) -> Option<i64> {
    let url = format!("sqlite://{}?mode=ro", db.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("select occurrences from work_order where asset = $1")
        .bind(asset)
        .fetch_optional(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_waited_for_days_and_what_an_odd_clock_says_is_a_fault() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), broker.port());
    let db = folder.path().join("data/core.db");
    let start = || Zhiban::start(&["--log", "info", "run", "--config", &file]);
    let mut first = start();
    wait_until(crate::support::PATIENCE, "the subscription", async || {
        first.log().contains("subscribed")
    })
    .await;
    first.kill();

    // The gateway is away, and the device only speaks on change.
    let now = chrono::Utc::now().timestamp();
    let publisher = Publisher::start(broker.port()).await;
    for (hours, high) in [(47, false), (10, true)] {
        let ts = now - hours * 3600;
        let payload = format!("{{\"ts\":{ts},\"high\":{high}}}");
        publisher.publish("beacon/B1", payload).await;
    }
    publisher.confirmed(2).await;
    let _second = start();
    wait_until(PATIENCE, "the order of what waited", async || {
        occurrences(&db, "B1").await == Some(1)
    })
    .await;

    // A clock that stands still, and one that knows only seconds: each fault comes twice.
    for (asset, ts) in [("B2", 0), ("B3", now)] {
        for high in [true, false, true] {
            let payload = format!("{{\"ts\":{ts},\"high\":{high}}}");
            publisher.publish(&format!("beacon/{asset}"), payload).await;
        }
        wait_until(PATIENCE, "the second fault", async || {
            occurrences(&db, asset).await == Some(2)
        })
        .await;
    }
}
