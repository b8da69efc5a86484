//! What a real server refuses, and what a network and a proxy in front of it do: nothing that can
//! be kept is lost, and nothing that cannot be kept stands in the way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::task::JoinSet;

use super::*;
use crate::support::proxy::{Fault, FaultProxy};

#[tokio::test]
async fn a_wrong_token_holds_everything_and_says_so() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let mut house = House::new(&server.url());
    house.influx.token = "not-the-token".to_owned().into();
    let from = now() - 100_000;
    let running = house.start().await;
    running.store(reads(from, 0..50)).await;
    running.wait_for_fault("401").await;
    let (_, detail) = running.influx_works();
    assert!(!detail.contains("not-the-token"), "{detail}");
    running.stop().await;
    house.influx.token = TOKEN.to_owned().into();
    let running = house.start().await;
    running.store(reads(from, 50..60)).await;
    running.wait_until_sent().await;
    assert!(points(&server, BUCKET).await == expected(&reads(from, 0..60)));
    running.stop().await;
}

#[tokio::test]
async fn a_token_that_only_writes_is_enough() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let made = buckets(&server).await;
    let bucket = made.iter().find(|bucket| bucket["name"] == BUCKET).unwrap();
    let body = json!({
        "orgID": bucket["orgID"],
        "permissions": [{
            "action": "write", "resource": {"type": "buckets", "id": bucket["id"]},
        }],
    });
    let post = reqwest::Method::POST;
    let token = api(&server, post, "authorizations", body).await;
    let mut house = House::new(&server.url());
    house.influx.token = token["token"].as_str().unwrap().to_owned().into();
    let running = house.start().await;
    let from = now() - 100_000;
    running.store(reads(from, 0..20)).await;
    running.wait_until_sent().await;
    assert!(points(&server, BUCKET).await == expected(&reads(from, 0..20)));
    running.stop().await;
}

#[tokio::test]
async fn a_deleted_bucket_is_made_again() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let house = House::new(&server.url());
    let running = house.start().await;
    let from = now() - 100_000;
    running.store(reads(from, 0..10)).await;
    running.wait_until_sent().await;
    let made = buckets(&server).await;
    let bucket = made.iter().find(|bucket| bucket["name"] == BUCKET).unwrap();
    let path = format!("buckets/{}", bucket["id"].as_str().unwrap());
    api(&server, reqwest::Method::DELETE, &path, json!({})).await;
    running.store(reads(from, 10..20)).await;
    running.wait_until_sent().await;
    assert!(points(&server, BUCKET).await == expected(&reads(from, 10..20)));
    running.stop().await;
}

#[tokio::test]
async fn a_field_of_another_type_costs_that_field_only() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let from = now() - 100_000;
    let (status, text) = server
        .write(&format!(
            "pump_set,asset=P9 pressure=\"text\" {}000000",
            from - 1000
        ))
        .await;
    assert_eq!(status, 204, "{text}");
    let house = House::new(&server.url());
    let running = house.start().await;
    running.store(reads(from, 0..20)).await;
    running.wait_until_sent().await;
    let mut found = points(&server, BUCKET).await;
    found.retain(|(_, time), _| *time >= from);
    let mut rest = expected(&reads(from, 0..20));
    rest.retain(|(field, _), _| field != "pressure");
    assert!(found == rest, "{} points", found.len());
    running.stop().await;
}

#[tokio::test]
async fn what_the_server_cannot_take_does_not_stand_in_the_way() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let mut house = House::new(&server.url());
    house.influx.bucket = "short".to_owned();
    house.influx.retention = Duration::from_secs(86_400);
    let running = house.start().await;
    let from = now() - 1_000_000;
    let mut updates = reads(from, 0..400);
    // Older than the bucket keeps: the rest of the batch is kept by the server.
    updates.extend(read(from - 10 * 86_400_000, 0));
    // A device whose clock says a year the server cannot: nothing of the batch is kept.
    updates.extend(read(9_300_000_000_000, 0));
    updates.extend(reads(from, 400..500));
    running.store(updates).await;
    running.wait_until_sent().await;
    let found = points(&server, "short").await;
    assert!(
        found == expected(&reads(from, 0..500)),
        "{} points",
        found.len()
    );
    let url = format!(
        "sqlite:{}",
        house.folder.path().join("telemetry.db").display()
    );
    running.stop().await;
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let query = "select line from quarantine";
    let lines: Vec<String> = sqlx::query_scalar(query).fetch_all(&pool).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("9300000000000\n"), "{}", lines[0]);
}

#[tokio::test]
async fn every_way_a_connection_breaks_only_delays() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let target = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let proxy = FaultProxy::start(target).await;
    let mut house = House::new(&format!("http://127.0.0.1:{}", proxy.port()));
    house.influx.timeout = Duration::from_millis(500);
    let running = house.start().await;
    let from = now() - 1_000_000;
    running.store(reads(from, 0..10)).await;
    running.wait_until_sent().await;
    let faults = [
        Fault::Refuse,
        Fault::BlackHole,
        Fault::CloseAfter(20),
        Fault::Corrupt { at: 9, bits: 0x07 },
    ];
    let mut next = 10;
    for fault in faults {
        proxy.set(fault);
        running.store(reads(from, next..next + 10)).await;
        next += 10;
        wait_until(PATIENCE, &format!("{fault:?} to be noticed"), async || {
            !running.influx_works().0
        })
        .await;
        proxy.set(Fault::None);
        proxy.cut();
        running.wait_until_sent().await;
    }
    assert!(points(&server, BUCKET).await == expected(&reads(from, 0..next)));
    running.stop().await;
}

/// A reverse proxy in front of a real server that refuses writes, as proxies and clouds do.
struct Gate {
    server: String,
    http: reqwest::Client,
    /// What the next writes are answered, and how many.
    status: AtomicU16,
    times: AtomicUsize,
    /// A longer body is refused with 413.
    longest: AtomicUsize,
    compressed: AtomicUsize,
}

impl Gate {
    async fn start(server: &Influx) -> (Arc<Self>, String, JoinSet<()>) {
        let gate = Arc::new(Self {
            server: server.url(),
            http: crate::support::http(),
            status: AtomicU16::new(0),
            times: AtomicUsize::new(0),
            longest: AtomicUsize::new(usize::MAX),
            compressed: AtomicUsize::new(0),
        });
        let router = axum::Router::new()
            .fallback(Self::pass)
            .with_state(gate.clone());
        // An address that does not look like this machine, so that bodies are compressed.
        let listener = tokio::net::TcpListener::bind(("127.0.0.2", 0))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (gate, url, tasks)
    }

    async fn pass(
        State(gate): State<Arc<Self>>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        if uri.path() == "/api/v2/write" {
            if headers
                .get("content-encoding")
                .is_some_and(|one| one == "gzip")
            {
                gate.compressed.fetch_add(1, Ordering::SeqCst);
            }
            if body.len() > gate.longest.load(Ordering::SeqCst) {
                return (StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
            }
            let left = gate.times.load(Ordering::SeqCst);
            if left > 0 {
                gate.times.store(left - 1, Ordering::SeqCst);
                let status = gate.status.load(Ordering::SeqCst);
                return (StatusCode::from_u16(status).unwrap(), Bytes::new());
            }
        }
        let mut request = gate.http.request(method, format!("{}{uri}", gate.server));
        for name in ["authorization", "content-type", "content-encoding"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value.clone());
            }
        }
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap())
    }
}

#[tokio::test]
async fn busy_servers_are_asked_again_and_large_bodies_halved() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let (gate, url, _tasks) = Gate::start(&server).await;
    let house = House::new(&url);
    let running = house.start().await;
    let from = now() - 10_000_000;
    let mut next = 0;
    // 200 is what a page in front of the server says that wrote nothing.
    for status in [429, 503, 500, 200] {
        gate.status.store(status, Ordering::SeqCst);
        gate.times.store(1, Ordering::SeqCst);
        running.store(reads(from, next..next + 100)).await;
        next += 100;
        running.wait_for_fault(&status.to_string()).await;
        running.wait_until_sent().await;
    }
    gate.longest.store(1000, Ordering::SeqCst);
    running.store(reads(from, next..next + 500)).await;
    next += 500;
    running.wait_until_sent().await;
    assert!(points(&server, BUCKET).await == expected(&reads(from, 0..next)));
    assert!(gate.compressed.load(Ordering::SeqCst) > 4);
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_is_back_is_found_soon_and_gets_what_is_new_at_once() {
    let Some(server) = Influx::start().await else {
        return;
    };
    let address: SocketAddr = server.url().trim_start_matches("http://").parse().unwrap();
    let proxy = FaultProxy::start(address).await;
    let house = House::new(&format!("http://127.0.0.1:{}", proxy.port()));
    let running = house.start().await;
    let from = now() - 20_000_000;
    running.store(reads(from, 0..10)).await;
    running.wait_until_sent().await;
    // It takes connections and says nothing: it must be looked for again and again.
    proxy.set(Fault::BlackHole);
    proxy.cut();
    let mut stored = 10;
    for _ in 0..6 {
        let tries = proxy.accepted();
        for _ in 0..20 {
            running.store(reads(from, stored..stored + 100)).await;
            stored += 100;
        }
        wait_until(PATIENCE, "another try", async || proxy.accepted() > tries).await;
    }
    proxy.set(Fault::None);
    let tries = proxy.accepted();
    let newest = read(now(), 0);
    running.store(newest.clone()).await;
    wait_until(PATIENCE, "the newest to be there", async || {
        let flux = format!("from(bucket: \"{BUCKET}\") |> range(start: -1m)");
        server.query(&flux).await.len() == 4
    })
    .await;
    // How far apart tries are is held where the waits are made; here, that one of the first brings
    // the newest: it asks on one connection and writes on another.
    let tried = proxy.accepted() - tries;
    assert!(tried <= 6, "the newest came after {tried} connections");
    running.wait_until_sent().await;
    let mut all = reads(from, 0..stored);
    all.extend(newest);
    assert!(points(&server, BUCKET).await == expected(&all));
    running.stop().await;
}
