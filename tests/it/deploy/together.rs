//! The deployment as a whole: the shipped configuration, the broker's and the secrets of a first start,
//! with the real Mosquitto, InfluxDB 2 and the program. It must never change more than addresses.

use serde_json::Value;

use super::broker::{Broker, Client};
use super::read;
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
    std::fs::write(broker.secrets().join("influxdb-token"), TOKEN).unwrap();
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
    wait_until(PATIENCE, "the level in InfluxDB", async || {
        stored(&influx).await
    })
    .await;
    assert!(gateway.stop().await.success());
}
