//! W7: from a fault on the wire to what people get: the order durable, the crew told, the page's
//! stream. All clocks are this process's own. It must never count a fault that was not seen
//! everywhere.

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::lean::Lean;
use crate::peers::Tools;
use crate::process::Program;
use crate::site::{Site, UNITS, modbus_code, mqtt_code};
use crate::stats::{figure, millis, percentile, row, table};
use crate::zhiban::{PATIENCE, Zhiban, free_port};

/// One by one: 10 faults a second.
const CALM: Duration = Duration::from_millis(100);
/// A storm: 50 faults a second.
const STORM: Duration = Duration::from_millis(20);
/// How often the database is asked whether it changed.
const LOOK: Duration = Duration::from_micros(200);

/// Where a fault was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Sent,
    Durable,
    Told,
    Streamed,
}

/// When each asset's fault was first seen where.
#[derive(Clone, Default)]
struct Sightings(Arc<Mutex<BTreeMap<(String, Seen), Instant>>>);

impl Sightings {
    fn add(&self, asset: &str, seen: Seen, at: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((asset.to_owned(), seen)).or_insert(at);
    }

    fn count(&self, seen: Seen) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.keys().filter(|(_, one)| *one == seen).count()
    }

    /// Milliseconds from the wire to here, for every fault.
    fn since_sent(&self, seen: Seen) -> Vec<f64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = all.iter().filter(|((_, one), _)| *one == Seen::Sent);
        let pairs = sent.filter_map(|((asset, _), sent)| {
            let there = all.get(&(asset.clone(), seen))?;
            Some(millis(there.saturating_duration_since(*sent)))
        });
        pairs.collect()
    }
}

/// Everything that looks on while faults happen.
struct Bench {
    zhiban: Zhiban,
    seen: Sightings,
    stop: CancellationToken,
    observers: Vec<tokio::task::JoinHandle<Result<()>>>,
    _folder: tempfile::TempDir,
}

/// Both ways in, one after the other; a quick run is a storm only.
pub(crate) async fn run(tools: &Tools, faults: usize, quick: bool) -> Result<()> {
    println!("### W7: from a fault on the wire to people\n");
    println!("{faults} faults each time, each on an asset of its own; milliseconds\n");
    let mut rows = vec![row([
        "way in",
        "faults/s",
        "order durable p50",
        "p99",
        "crew told p50",
        "p99",
        "page's stream p50",
        "p99",
        "faults seen",
    ])];
    let paces = if quick { &[STORM][..] } else { &[CALM, STORM] };
    for pace in paces {
        let rate = figure(1.0 / pace.as_secs_f64());
        match mqtt(tools, faults, *pace).await {
            Ok(Some(seen)) => rows.push(line("MQTT, since publishing", &rate, &seen)),
            Ok(None) => println!("MQTT: skipped, no Mosquitto here\n"),
            Err(error) => println!("MQTT: {error:#}\n"),
        }
        match modbus(tools, faults, *pace).await {
            Ok(seen) => rows.push(line("Modbus, since the answer left", &rate, &seen)),
            Err(error) => println!("Modbus: {error:#}\n"),
        }
    }
    table(&rows);
    Ok(())
}

fn line(way: &str, rate: &str, seen: &Sightings) -> Vec<String> {
    let mut cells = vec![way.to_owned(), rate.to_owned()];
    for place in [Seen::Durable, Seen::Told, Seen::Streamed] {
        let times = seen.since_sent(place);
        cells.push(figure(percentile(&times, 0.5)));
        cells.push(figure(percentile(&times, 0.99)));
    }
    cells.push(seen.since_sent(Seen::Streamed).len().to_string());
    cells
}

async fn mqtt(tools: &Tools, faults: usize, pace: Duration) -> Result<Option<Sightings>> {
    let Some(mosquitto) = &tools.mosquitto else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let broker = start_broker(mosquitto, folder.path(), port).await?;
    let bench = Bench::start(tools, folder, |site| site.messages(port, faults)).await?;
    let mut options = rumqttc::MqttOptions::new("bench-devices", "127.0.0.1", port);
    options.set_inflight(500);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 500);
    let stop = bench.stop.clone();
    let publisher =
        tokio::spawn(async move { while !stop.is_cancelled() && events.poll().await.is_ok() {} });
    let publish = async |index: usize, fault: bool| {
        let topic = format!("bench/{}/state", mqtt_code(index));
        let payload = format!("{{\"fault\":{fault},\"level\":{index}}}");
        client
            .publish(topic, rumqttc::QoS::AtLeastOnce, false, payload)
            .await
    };
    for index in 0..faults {
        publish(index, false).await?;
    }
    bench.known("level", &mqtt_code(faults - 1)).await?;
    let mut beat = interval(pace);
    for index in 0..faults {
        beat.tick().await;
        bench
            .seen
            .add(&mqtt_code(index), Seen::Sent, Instant::now());
        publish(index, true).await?;
    }
    let seen = bench.finish(faults).await;
    publisher.abort();
    drop(broker);
    seen.map(Some)
}

async fn modbus(tools: &Tools, faults: usize, pace: Duration) -> Result<Sightings> {
    let ports = faults.div_ceil(usize::from(UNITS));
    let lean = Lean::start(ports, Duration::ZERO)?;
    let addresses = lean.ports();
    let bench = Bench::start(tools, tempfile::tempdir()?, |site| site.bits(&addresses)).await?;
    bench.known("fault", &modbus_code(ports - 1, UNITS)).await?;
    let places = (1..=UNITS).flat_map(|unit| (0..ports).map(move |port| (port, unit)));
    let places: Vec<(usize, u8)> = places.take(faults).collect();
    let mut beat = interval(pace);
    for (port, unit) in &places {
        beat.tick().await;
        lean.raise(*port, *unit);
    }
    let seen = bench.finish(faults).await?;
    for (port, unit) in places {
        let answered = lean
            .answered(port, unit)
            .context("a fault was never read")?;
        seen.add(&modbus_code(port, unit), Seen::Sent, answered);
    }
    Ok(seen)
}

async fn start_broker(mosquitto: &Path, folder: &Path, port: u16) -> Result<Program> {
    let conf = folder.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
         max_inflight_messages 500\nmax_queued_messages 0\n"
    );
    std::fs::write(&conf, text)?;
    let mut command = Command::new(mosquitto);
    command.arg("-c").arg(conf).stdout(Stdio::null());
    let log = folder.join("mosquitto.log");
    let mut broker = Program::start("mosquitto", &mut command, &log)?;
    let accepts = async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    };
    broker.until("it listens", PATIENCE, accepts).await?;
    Ok(broker)
}

impl Bench {
    /// Runs the gateway on a site, and everything that looks on.
    async fn start(
        tools: &Tools,
        folder: tempfile::TempDir,
        equip: impl FnOnce(Site) -> Result<Site>,
    ) -> Result<Self> {
        let seen = Sightings::default();
        let stop = CancellationToken::new();
        let crew = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = free_port()?;
        let site = Site::new(folder.path(), port).tells(crew.local_addr()?.port())?;
        let config = equip(site)?.write()?;
        let mut observers = vec![tokio::spawn(listen(crew, seen.clone(), stop.clone()))];
        let zhiban = Zhiban::start(&tools.zhiban, &config, port).await?;
        let stream = zhiban.api.get("/api/v1/stream").await?;
        observers.push(tokio::spawn(read_stream(
            stream,
            seen.clone(),
            stop.clone(),
        )));
        watch_database(zhiban.data.join("core.db"), seen.clone(), stop.clone())?;
        Ok(Self {
            zhiban,
            seen,
            stop,
            observers,
            _folder: folder,
        })
    }

    /// Waits until the gateway has a value of this point.
    async fn known(&self, point: &str, asset: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut beat = interval(Duration::from_millis(20));
        while self.zhiban.api.value(asset, point).await?.is_null() {
            ensure!(
                Instant::now() < deadline,
                "{asset}/{point} never had a value"
            );
            beat.tick().await;
        }
        Ok(())
    }

    /// Waits until every fault was seen everywhere.
    async fn finish(self, faults: usize) -> Result<Sightings> {
        let deadline = Instant::now() + PATIENCE;
        let mut beat = interval(Duration::from_millis(20));
        let places = [Seen::Durable, Seen::Told, Seen::Streamed];
        let counts = || places.map(|place| self.seen.count(place));
        while counts().iter().any(|count| *count < faults) {
            let counts = counts();
            ensure!(
                Instant::now() < deadline,
                "of {faults} faults only {counts:?} were seen (durable, told, streamed)"
            );
            beat.tick().await;
        }
        self.stop.cancel();
        for observer in self.observers {
            observer.abort();
        }
        Ok(self.seen)
    }
}

/// The crew's webhook.
async fn listen(listener: TcpListener, seen: Sightings, stop: CancellationToken) -> Result<()> {
    let told = async |State(seen): State<Sightings>, body: Bytes| {
        let at = Instant::now();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(code) = message.pointer("/asset/code").and_then(Value::as_str) {
            seen.add(code, Seen::Told, at);
        }
    };
    let router = Router::new().route("/", post(told)).with_state(seen);
    let served = axum::serve(listener, router);
    Ok(served
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?)
}

/// The page's own stream: an order's event names its asset.
async fn read_stream(
    mut stream: reqwest::Response,
    seen: Sightings,
    stop: CancellationToken,
) -> Result<()> {
    let mut waiting = Vec::new();
    while let Some(part) = stream.chunk().await? {
        let at = Instant::now();
        waiting.extend_from_slice(&part);
        while let Some(end) = waiting.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = waiting.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            if event.lines().any(|line| line == "event: wo") {
                let data: Value = serde_json::from_str(data.unwrap_or_default())?;
                if let Some(asset) = data.get("asset").and_then(Value::as_str) {
                    seen.add(asset, Seen::Streamed, at);
                }
            }
        }
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}

/// Another process's view of the database: a row that it sees has been committed.
fn watch_database(file: PathBuf, seen: Sightings, stop: CancellationToken) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        let watched = runtime.block_on(look(&file, &seen, &stop));
        if let Err(error) = watched {
            eprintln!("bench: the database cannot be watched: {error:#}");
        }
    });
    Ok(())
}

async fn look(file: &Path, seen: &Sightings, stop: &CancellationToken) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut database = options.connect().await?;
    let mut version = 0_i64;
    let mut newest = 0_i64;
    while !stop.is_cancelled() {
        let now: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut database)
            .await?;
        if now != version {
            version = now;
            let query = "SELECT id, asset FROM work_order WHERE id > ? ORDER BY id";
            let rows: Vec<(i64, String)> = sqlx::query_as(query)
                .bind(newest)
                .fetch_all(&mut database)
                .await?;
            let at = Instant::now();
            for (id, asset) in rows {
                newest = id;
                seen.add(&asset, Seen::Durable, at);
            }
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
