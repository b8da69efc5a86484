//! The way of telemetry into a real InfluxDB 2: what is stored arrives once and as it was, through
//! stops, refusals and broken connections. The tests read it back through the server's own query.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban::history::{self, EventLine, EventValue, HistoryHandle, HistoryHealth, influxdb};
use zhiban_core::model::{AssetSpec, Location, Model, Policy, Site};
use zhiban_core::{Duration, PointId, PointUpdate, Quality, QualityReason, Text, Timestamp, Value};

use crate::support::influx::{BUCKET, Influx, ORG, TOKEN};
use crate::support::{PATIENCE, wait_until};

const PROFILE: &str = r#"
id = "pump"
class = "pump_set"
title = { zh = "泵", en = "Pump" }
trust = "bench"
source = "test"
[[point]]
point = "pressure"
kind = "analog"
name = { zh = "压力", en = "Pressure" }
[[point]]
point = "running"
kind = "flag"
name = { zh = "运行", en = "Running" }
[[point]]
point = "starts"
kind = "counter"
name = { zh = "启动次数", en = "Starts" }
[[point]]
point = "mode"
kind = "text"
name = { zh = "方式", en = "Mode" }
"#;

const PRESSURE: u32 = 0;
const RUNNING: u32 = 1;
const STARTS: u32 = 2;
const MODE: u32 = 3;

/// A building with one pump set, and its history in a folder of its own.
struct House {
    folder: TempDir,
    model: Arc<Model>,
    influx: influxdb::Options,
}

/// A history at work.
struct Running {
    handle: Option<HistoryHandle>,
    health: HistoryHealth,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl House {
    fn new(url: &str) -> Self {
        Self::named(url, "tower", "P1", "B2 plant")
    }

    fn named(url: &str, site: &str, asset: &str, location: &str) -> Self {
        let site = Site {
            code: site.to_owned(),
            name: Text::new("楼", "Tower"),
            time_zone: "Asia/Shanghai".parse().unwrap(),
        };
        let asset = AssetSpec {
            code: asset.to_owned(),
            name: Text::new("泵", "Pump"),
            location: Some(Location {
                code: location.to_owned(),
                name: Text::new("泵房", "Plant room"),
            }),
            profile: Arc::new(toml::from_str(PROFILE).unwrap()),
            link: "line".to_owned(),
            disabled: false,
            stale_after: Duration::from_secs(10),
            rules: Vec::new(),
        };
        let model = Model::build(site, vec![asset], Vec::new(), Policy::default()).unwrap();
        let mut influx = influxdb::Options::new(url, ORG, BUCKET, TOKEN.to_owned().into());
        influx.batch_wait = Duration::from_millis(20);
        influx.timeout = Duration::from_secs(2);
        Self {
            folder: tempfile::tempdir().unwrap(),
            model: Arc::new(model),
            influx,
        }
    }

    async fn start(&self) -> Running {
        let mut options = history::Options::new(self.folder.path().join("telemetry.db"));
        options.influxdb = Some(self.influx.clone());
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let started = history::start(options, self.model.clone(), stop.clone(), &tracker);
        let (handle, _, health) = started.await.unwrap();
        Running {
            handle: Some(handle),
            health,
            stop,
            tracker,
        }
    }
}

impl Running {
    /// Stores updates; returns when they are on disk.
    async fn store(&self, updates: Vec<PointUpdate>) {
        let (durable, answer) = oneshot::channel();
        let handle = self.handle.as_ref().unwrap();
        handle.store(updates, Vec::new(), vec![durable], &self.tracker);
        answer.await.unwrap();
    }

    fn influx_works(&self) -> (bool, String) {
        let checks = self.health.checks();
        let check = checks
            .iter()
            .find(|check| check.name == "influxdb")
            .unwrap();
        assert!(!check.critical);
        (check.ok, check.detail.clone())
    }

    async fn wait_until_sent(&self) {
        self.wait_for("InfluxDB to have everything", |ok, detail| {
            ok && detail.starts_with("0 rows behind")
        })
        .await;
    }

    async fn wait_for_fault(&self, part: &str) {
        self.wait_for(part, |ok, detail| !ok && detail.contains(part))
            .await;
    }

    async fn wait_for(&self, what: &str, holds: impl Fn(bool, &str) -> bool) {
        let mut seen = (true, String::new());
        let waiting = wait_until(PATIENCE * 2, what, async || {
            seen = self.influx_works();
            holds(seen.0, &seen.1)
        });
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited in vain for: {what}; last seen: {seen:?}");
        }
    }

    async fn stop(mut self) {
        self.handle = None;
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn update(point: u32, at: i64, value: Value) -> PointUpdate {
    PointUpdate {
        point: PointId(point),
        value: Some(value),
        quality: Quality::Good,
        at: Timestamp::from_millis(at),
        changed: true,
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// One read of the whole pump set; every value differs from the read before.
fn read(from: i64, second: i64) -> Vec<PointUpdate> {
    let at = from + second * 1000;
    vec![
        update(PRESSURE, at, Value::Number(second as f64 / 8.0)),
        update(RUNNING, at, Value::Flag(second % 2 == 0)),
        update(STARTS, at, Value::Integer(second)),
        update(MODE, at, Value::Text(format!("方式 {second}").into())),
    ]
}

fn reads(from: i64, seconds: std::ops::Range<i64>) -> Vec<PointUpdate> {
    seconds.flat_map(|second| read(from, second)).collect()
}

/// What the server holds: (field, time) and the value as text. Each is there once.
async fn points(server: &Influx, bucket: &str) -> BTreeMap<(String, i64), String> {
    let flux = format!("from(bucket: \"{bucket}\") |> range(start: 0, stop: 2100-01-01T00:00:00Z)");
    let mut points = BTreeMap::new();
    for row in server.query(&flux).await {
        let time = chrono::DateTime::parse_from_rfc3339(&row["_time"]).unwrap();
        let key = (row["_field"].clone(), time.timestamp_millis());
        let twice = points.insert(key, row["_value"].clone());
        assert_eq!(twice, None, "{row:?}");
    }
    points
}

/// What it must hold of some updates.
fn expected(updates: &[PointUpdate]) -> BTreeMap<(String, i64), String> {
    let fields = ["pressure", "running", "starts", "mode"];
    let point = |update: &PointUpdate| {
        let field = fields[update.point.index()].to_owned();
        let value = update.value.as_ref().unwrap().to_string();
        ((field, update.at.millis()), value)
    };
    updates.iter().map(point).collect()
}

/// A request to the server's API.
async fn api(server: &Influx, method: reqwest::Method, path: &str, body: Json) -> Json {
    let request = crate::support::http()
        .request(method, format!("{}/api/v2/{path}", server.url()))
        .header("Authorization", format!("Token {TOKEN}"));
    let answer = request.json(&body).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

async fn buckets(server: &Influx) -> Vec<Json> {
    let found = api(server, reqwest::Method::GET, "buckets?limit=100", json!({})).await;
    found["buckets"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_points_are_those_acquired_over_a_stop_and_start_of_the_server() {
    let Some(mut server) = Influx::start().await else {
        return;
    };
    let house = House::new(&server.url());
    let from = now() - 3_600_000;
    let running = house.start().await;
    for second in 0..100 {
        running.store(read(from, second)).await;
    }
    running.wait_until_sent().await;
    server.kill();
    for second in 100..200 {
        running.store(read(from, second)).await;
    }
    running.wait_for_fault("rows behind").await;
    // The gateway, too, ends while the server is away.
    running.stop().await;
    let running = house.start().await;
    running.store(reads(from, 200..1500)).await;
    server.start_again().await;
    running.store(reads(from, 1500..3000)).await;
    running.wait_until_sent().await;
    let found = points(&server, BUCKET).await;
    assert!(
        found == expected(&reads(from, 0..3000)),
        "{} points",
        found.len()
    );
    running.stop().await;
}

#[tokio::test]
async fn the_schema_is_what_the_design_says() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let house = House::new(&server.url());
    let running = house.start().await;
    let at = now() - 10_000;
    let mut bad = update(STARTS, at + 1, Value::Integer(9));
    bad.quality = Quality::Bad(QualityReason::OutOfRange);
    let mut doubtful = update(PRESSURE, at + 1, Value::Number(2.0));
    doubtful.quality = Quality::Uncertain(QualityReason::Retained);
    let mut updates = read(at, 0);
    updates.extend([bad, doubtful]);
    let event = EventLine {
        measurement: "alarm".to_owned(),
        tags: vec![("asset".to_owned(), "P1".to_owned())],
        fields: vec![("id".to_owned(), EventValue::Integer(7))],
        at: Timestamp::from_millis(at),
    };
    let handle = running.handle.as_ref().unwrap();
    handle.store(Vec::new(), vec![event], Vec::new(), &running.tracker);
    running.store(updates).await;
    running.wait_until_sent().await;
    let flux = format!("from(bucket: \"{BUCKET}\") |> range(start: 0)");
    let rows = server.query(&flux).await;
    assert_eq!(rows.len(), 6);
    for row in rows.iter().filter(|row| row["_measurement"] != "alarm") {
        let tags = (
            row["site"].as_str(),
            row["asset"].as_str(),
            row["location"].as_str(),
        );
        assert_eq!(tags, ("tower", "P1", "B2 plant"));
        assert_eq!(row["_measurement"], "pump_set");
    }
    // The types, as the server knows them.
    let kinds = [
        ("pressure", "float"),
        ("running", "bool"),
        ("starts", "int"),
        ("mode", "string"),
        ("id", "int"),
    ];
    for (field, kind) in kinds {
        let flux = format!(
            "import \"types\" from(bucket: \"{BUCKET}\") |> range(start: 0) \
             |> filter(fn: (r) => r._field == \"{field}\" \
             and types.isType(v: r._value, type: \"{kind}\"))"
        );
        assert!(!server.query(&flux).await.is_empty(), "{field} is {kind}");
    }
    running.stop().await;
}

#[tokio::test]
async fn names_and_texts_arrive_as_they_are() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let nasty = "a,b=c d\"e'f{g}#h,";
    let house = House::named(
        &server.url(),
        &format!("{nasty}1"),
        &format!("{nasty}2"),
        nasty,
    );
    let running = house.start().await;
    let from = now() - 10_000;
    let all: String = (1_u8..=127)
        .map(char::from)
        .filter(|mark| *mark != '\r')
        .collect();
    let texts = [
        "",
        "plain",
        "\"",
        "\\",
        "a\\",
        "\\\"",
        "x\n",
        "困人 🚨",
        "a,b c=d 1i",
        &all,
    ];
    let text = |(n, text): (i64, &&str)| update(MODE, from + n, Value::Text((**text).into()));
    running.store((0..).zip(&texts).map(text).collect()).await;
    running.wait_until_sent().await;
    let flux = format!("from(bucket: \"{BUCKET}\") |> range(start: 0)");
    let rows = server.query(&flux).await;
    // The server ends lines in its CSV by CRLF, those inside a text too.
    let found = rows.iter().map(|row| row["_value"].replace("\r\n", "\n"));
    let found: BTreeSet<String> = found.collect();
    assert_eq!(found, texts.into_iter().map(str::to_owned).collect());
    for row in &rows {
        assert_eq!(row["site"], format!("{nasty}1"));
        assert_eq!(row["asset"], format!("{nasty}2"));
        assert_eq!(row["location"], nasty);
    }
    running.stop().await;
}

#[tokio::test]
async fn buckets_and_the_task_are_made_and_the_task_works() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let mut house = House::new(&server.url());
    house.influx.bucket = "tower 1".to_owned();
    house.influx.retention = Duration::from_secs(30 * 86_400);
    let running = house.start().await;
    // Whole windows of five minutes that are over.
    let from = (now() - 1_200_000).div_euclid(300_000) * 300_000;
    running.store(reads(from, 0..300)).await;
    running.wait_until_sent().await;
    let made = buckets(&server).await;
    for name in ["tower 1", "tower 1_5m"] {
        let bucket = made.iter().find(|bucket| bucket["name"] == name).unwrap();
        assert_eq!(bucket["retentionRules"][0]["everySeconds"], 30 * 86_400);
    }
    let get = reqwest::Method::GET;
    let tasks = api(&server, get.clone(), "tasks", json!({})).await;
    let tasks = tasks["tasks"].as_array().unwrap().clone();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    // A second start makes nothing twice.
    running.stop().await;
    let running = house.start().await;
    running.store(reads(from, 300..301)).await;
    running.wait_until_sent().await;
    let again = api(&server, get.clone(), "tasks", json!({})).await;
    assert_eq!(again["tasks"].as_array().unwrap().len(), 1);

    let runs = format!("tasks/{}/runs", tasks[0]["id"].as_str().unwrap());
    let post = reqwest::Method::POST;
    api(&server, post, &runs, json!({})).await;
    let flux = "from(bucket: \"tower 1_5m\") |> range(start: 0) \
                |> filter(fn: (r) => r._field == \"pressure\" and r._time <= now()) \
                |> filter(fn: (r) => r.agg == \"max\") |> min()";
    wait_until(PATIENCE, "the task to have run", async || {
        !server.query(flux).await.is_empty()
    })
    .await;
    assert_eq!(
        server.query(flux).await[0]["_value"],
        (299.0 / 8.0).to_string()
    );
    running.stop().await;
}
