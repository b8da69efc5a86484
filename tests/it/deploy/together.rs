//! The deployment as a whole: the shipped configuration, the broker's and the secrets of a first start,
//! with the real Mosquitto, InfluxDB 2 and the program. It must never change more than addresses.

use std::process::Command;

use serde_json::Value;

use super::broker::{Broker, Client};
use super::{read, root};
use crate::support::influx::{Influx, ORG, TOKEN};
use crate::support::zhiban::{Zhiban, run};
use crate::support::{PATIENCE, free_port, http, wait_until};

/// A tank behind the broker, as somebody would add it.
const TANK: &str = r#"
[[asset]]
code = "TK1"
name = { zh = "屋顶水箱", en = "Roof tank" }
profile = "virtual-tank"
link = "broker"
topic = "building/TK1"
"#;

/// What it sends; NOW is the time in milliseconds.
const SAMPLE: &str = r#"{"ts":NOW,"seq":1,"level":2.41,"level_percent":80.3,"high_high":false,"low_low":false,"inlet_valve":35.0,"temperature":18.6}"#;

/// Whether the level has arrived in the bucket, which the gateway makes.
async fn stored(influx: &Influx) -> bool {
    let buckets = http()
        .get(format!("{}/api/v2/buckets?name=telemetry", influx.url()))
        .header("Authorization", format!("Token {TOKEN}"))
        .send()
        .await
        .unwrap();
    let buckets: Value = buckets.json().await.unwrap();
    if buckets["buckets"].as_array().is_none_or(Vec::is_empty) {
        return false;
    }
    let flux = "from(bucket: \"telemetry\") |> range(start: -1h) \
         |> filter(fn: (r) => r._measurement == \"tank\" and r._field == \"level\")";
    let rows = influx.query(flux).await;
    rows.iter()
        .any(|row| row.get("_value").is_some_and(|value| value == "2.41"))
}

/// What the service `influxdb-token` does.
fn make_token(influx: &Influx, secrets: &std::path::Path) -> String {
    let me = Command::new("id").arg("-u").output().unwrap().stdout;
    let me = String::from_utf8(me).unwrap();
    let made = Command::new("sh")
        .arg(root().join("deploy/influxdb.sh"))
        .env("ZHIBAN_SECRETS", secrets)
        .env("ZHIBAN_INFLUXDB_URL", influx.url())
        .env("ZHIBAN_GATEWAY_UID", me.trim())
        .env("ZHIBAN_INFLUXDB_UID", me.trim())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap()
}

/// The gateway's token sees the two buckets it writes, and may make nothing.
async fn only_its_buckets(influx: &Influx, token: &str) {
    let ask = |path: &str, token: &str| {
        let path = format!("{}/api/v2/{path}", influx.url());
        http()
            .get(path)
            .header("Authorization", format!("Token {token}"))
    };
    let seen: Value = ask("buckets", token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let mut names: Vec<&str> = seen["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["telemetry", "telemetry_5m"]);
    for secret in ["authorizations", "tasks"] {
        let seen: Value = ask(secret, token)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let some = seen[secret].as_array().is_some_and(|some| !some.is_empty());
        assert!(!some, "{secret}: {seen}");
    }
    let tasks: Value = ask("tasks", TOKEN)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let flux = tasks["tasks"][0]["flux"].as_str().unwrap().to_owned();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(flux, zhiban::history::influxdb::task_of("telemetry"));
}

#[tokio::test]
async fn a_device_reaches_the_page_and_influxdb() {
    let Some(mut broker) = Broker::start().await else {
        return;
    };
    let Some(influx) = Influx::start().await else {
        return;
    };
    let device = broker.add_device("TK1").await;
    let secrets = broker.secrets().display().to_string();
    let token = broker.secrets().join("influxdb-token");
    std::fs::write(broker.secrets().join("influxdb-admin-token"), TOKEN).unwrap();
    let stand_in = std::fs::read_to_string(&token).unwrap();
    let data = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let text = read("deploy/gateway.toml")
        .replace("\"/secrets/", &format!("\"{secrets}/"))
        .replace("/var/lib/zhiban", &data.path().display().to_string())
        .replace("0.0.0.0:8080", &listen)
        .replace("http://influxdb:8086", &influx.url())
        .replace(
            "host = \"mosquitto\"",
            &format!("host = \"127.0.0.1\", port = {}", broker.port()),
        );
    assert!(text.contains(&format!("org = \"{ORG}\"")));
    let file = broker.secrets().join("gateway.toml");
    std::fs::write(&file, text + TANK).unwrap();
    let file = file.to_str().unwrap();
    let mut gateway = Zhiban::start(&["run", "--config", file]);
    // It runs before InfluxDB knows its token.
    wait_until(PATIENCE, "the stand-in to be refused", async || {
        gateway
            .log()
            .contains("buckets and tasks are left as they are")
    })
    .await;
    for said in ["a new token", "a token of its own"] {
        assert!(make_token(&influx, broker.secrets()).contains(said));
    }
    let own = std::fs::read_to_string(&token).unwrap();
    assert!(own != stand_in && own.trim() != TOKEN);
    only_its_buckets(&influx, own.trim()).await;
    gateway.answers(&format!("http://{listen}/healthz")).await;
    let healthy = run(&["health", "--url", &format!("http://{listen}/readyz")]);
    assert!(healthy.status.success(), "{healthy:?}\n{}", gateway.log());
    let token = run(&["token", "add", "script", "--config", file]).stdout;
    let token = String::from_utf8(token).unwrap();

    let (mut client, _) = Client::connect(&broker, "TK1", "TK1", &device).await;
    // A device sends again and again: nobody knows when the gateway has subscribed.
    wait_until(PATIENCE, "the level on the page", async || {
        let sample = SAMPLE.replace("NOW", &chrono::Utc::now().timestamp_millis().to_string());
        client.publish("building/TK1/telemetry", &sample).await;
        let points = http()
            .get(format!("http://{listen}/api/v1/assets/TK1/points"))
            .bearer_auth(token.trim())
            .send()
            .await
            .unwrap();
        let points: Value = points.json().await.unwrap();
        let mut items = points["items"].as_array().into_iter().flatten();
        items.any(|point| point["key"] == "TK1/level" && point["value"] == 2.41)
    })
    .await;
    // The token is read again when it was refused.
    wait_until(PATIENCE * 5, "the level in InfluxDB", async || {
        stored(&influx).await
    })
    .await;
    assert!(gateway.stop().await.success());
}
