//! The live stream over a real socket, read as a browser reads it.

use super::{Web, request};
use crate::fixture::TOKEN;
use crate::live::Hub;
use crate::ports::Identity;
use axum::http::{Method, StatusCode};
use serde_json::{Value as Json, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;
use zhiban_core::Value;
use zhiban_core::point::QualityReason;

const DEADLINE: Duration = Duration::from_secs(20);

struct Served {
    web: Web,
    port: u16,
    _server: JoinSet<()>,
}

async fn serve() -> Served {
    let web = Web::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (router, stop) = (web.router.clone(), web.fixture.app.stop.clone());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let serving = axum::serve(listener, router);
        serving
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .unwrap();
    });
    Served {
        web,
        port,
        _server: server,
    }
}

struct Listener {
    socket: TcpStream,
    text: String,
    ids: Vec<u64>,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    data: Json,
}

impl Listener {
    async fn open(port: u16, query: &str) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!(
            "GET /api/v1/stream{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\naccept-encoding: gzip\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self {
            socket,
            text: String::new(),
            ids: Vec::new(),
        };
        while !listener.text.contains("\r\n\r\n") {
            assert!(listener.read().await);
        }
        let (head, rest) = listener.text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream") && head.contains("no-store"));
        assert!(!head.contains("gzip"));
        listener.text = rest.to_owned();
        listener
    }

    async fn read(&mut self) -> bool {
        let mut buffer = vec![0; 65536];
        let read = timeout(DEADLINE, self.socket.read(&mut buffer)).await;
        let count = read.unwrap().unwrap();
        self.text
            .push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        count > 0
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            if !self.read().await || self.text.ends_with("\r\n0\r\n\r\n") {
                return None;
            }
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let (event, rest) = (event.to_owned(), rest.to_owned());
        self.text = rest;
        let field = |name: &str| {
            let mut lines = event.lines();
            lines.find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
        };
        let id = field("id").unwrap();
        self.ids
            .push(id.split_once('-').unwrap().1.parse().unwrap());
        Some(Event {
            name: field("event").unwrap(),
            data: serde_json::from_str(&field("data").unwrap()).unwrap(),
        })
    }

    /// The next event of a kind; others are passed over.
    async fn wait(&mut self, name: &str) -> Json {
        loop {
            let event = self.next().await.unwrap();
            if event.name == name {
                return event.data;
            }
        }
    }
}

#[tokio::test]
async fn first_all_then_only_what_changes() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "?sets=asset:P1").await;
    let hello = listener.next().await.unwrap();
    assert_eq!(
        (hello.name.as_str(), &hello.data["sets"]),
        ("hello", &json!(["asset:P1"]))
    );
    assert!(hello.data["server_time"].is_number() && hello.data["version"].is_string());
    let all = listener.wait("p").await;
    assert_eq!(all.as_array().unwrap().len(), 8);
    assert_eq!(all[0][0], "P1/outlet_pressure");
    assert_eq!((&all[0][1], &all[0][2]), (&json!(0.42), &json!(0)));
    assert!(all[0][3].is_number());

    // The same value read again, and a change elsewhere, are no news here.
    served.web.fixture.set(&[
        ("P1/setpoint", Value::Number(0.42)),
        ("A3/floor", Value::Integer(9)),
    ]);
    served
        .web
        .fixture
        .set(&[("P1/outlet_pressure", Value::Number(0.38))]);
    let change = listener.wait("p").await;
    assert_eq!(change.as_array().unwrap().len(), 1);
    assert_eq!(
        (&change[0][0], &change[0][1]),
        (&json!("P1/outlet_pressure"), &json!(0.38))
    );

    served
        .web
        .fixture
        .spoil("P1/setpoint", QualityReason::OutOfRange);
    let change = listener.wait("p").await;
    assert_eq!((&change[0][1], &change[0][2]), (&json!(0.42), &json!(2)));
    assert!(listener.ids.is_sorted_by(|one, other| one < other));
}

#[tokio::test]
async fn whole_numbers_that_browsers_would_round_come_as_their_digits() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "?sets=asset:A3").await;
    listener.wait("p").await;
    for (number, sent) in [
        ((1 << 53) - 1, json!(9_007_199_254_740_991_i64)),
        ((1 << 53) + 1, json!("9007199254740993")),
        (i64::MIN, json!("-9223372036854775808")),
    ] {
        served
            .web
            .fixture
            .set(&[("A3/floor", Value::Integer(number))]);
        assert_eq!(listener.wait("p").await[0][1], sent);
    }
}

#[tokio::test]
async fn the_overview_has_every_point_and_beats() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "").await;
    assert_eq!(
        listener.next().await.unwrap().data["sets"],
        json!(["overview"])
    );
    assert_eq!(listener.wait("p").await.as_array().unwrap().len(), 19);
    assert!(listener.wait("hb").await.is_number());
}

#[tokio::test]
async fn alarms_and_orders_come_at_once() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "").await;
    listener.wait("p").await;
    served.web.fixture.trap();
    let mut seen = (None, None);
    while seen.0.is_none() || seen.1.is_none() {
        let event = listener.next().await.unwrap();
        match event.name.as_str() {
            "alarm" => seen.0 = Some(event.data),
            "wo" => seen.1 = Some(event.data),
            _ => {}
        }
    }
    let (alarm, order) = (seen.0.unwrap(), seen.1.unwrap());
    assert_eq!(
        (&alarm["rule"], &alarm["change"], &alarm["asset"]),
        (&json!("entrapment"), &json!("raised"), &json!("A3"))
    );
    assert_eq!(
        (&alarm["counts"], &alarm["unacked"]),
        (&json!([1, 0, 0, 0]), &json!([1, 0, 0, 0]))
    );
    assert_eq!(
        (&alarm["top"]["p"], &alarm["top"]["title"]["zh"]),
        (&json!(1), &json!("电梯困人"))
    );
    assert_eq!(
        (&order["change"], &order["status"], &order["asset"]),
        (&json!("created"), &json!("approved"), &json!("A3"))
    );
    assert_eq!(order["state"], order["status"]);

    let id = served.web.alarm("entrapment").await;
    served
        .web
        .post(&format!("/api/v1/alarms/{id}/ack"), json!({}))
        .await;
    let alarm = listener.wait("alarm").await;
    assert_eq!(
        (&alarm["state"], &alarm["unacked"]),
        (&json!("acknowledged"), &json!([0, 0, 0, 0]))
    );
    assert_eq!(
        (&alarm["counts"], &alarm["top"]),
        (&json!([1, 0, 0, 0]), &Json::Null)
    );
}

#[tokio::test]
async fn whoever_falls_behind_is_told_to_read_anew() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "").await;
    listener.wait("p").await;
    // One worker thread: the stream cannot run while this floods its queue.
    for _ in 0..300 {
        served.web.fixture.trip();
        served.web.fixture.calm();
    }
    assert_eq!(listener.wait("reload").await, json!({ "why": "resync" }));
    assert_eq!(listener.wait("p").await.as_array().unwrap().len(), 19);
}

#[tokio::test]
async fn streams_are_counted() {
    let web = Web::new();
    let bearer = format!("Bearer {TOKEN}");
    let open = async || {
        let headers = [("authorization", bearer.as_str())];
        let request = request(Method::GET, "/api/v1/stream", &headers, None);
        web.router.clone().oneshot(request).await.unwrap()
    };
    let mut held = Vec::new();
    // One token, one user: neither may take all the places.
    for _ in 0..32 {
        let stream = open().await;
        assert_eq!(stream.status(), StatusCode::OK);
        held.push(stream);
    }
    let refused = open().await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "10");
    drop(held.pop());
    assert_eq!(open().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn one_person_leaves_places_for_the_others() {
    let fixture = crate::fixture::Fixture::start();
    let hub = Hub::new(fixture.app.snapshot.clone(), (fixture.app.now)());
    let take = |user: String| {
        let display_name = user.clone();
        hub.ticket(&Identity {
            user,
            display_name,
            session: true,
        })
    };
    let mut held: Vec<_> = (0..8).filter_map(|_| take("duty".into())).collect();
    assert_eq!(held.len(), 8);
    assert!(take("duty".into()).is_none());
    held.extend((0..192).filter_map(|n| take(format!("other{n}"))));
    assert_eq!(held.len(), 200);
    assert!(take("late".into()).is_none(), "all places are taken");
    held.remove(0);
    assert!(take("duty".into()).is_some());
}

#[tokio::test]
async fn a_set_that_does_not_exist_takes_nothing_from_the_others() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "?sets=asset:P1,asset:X9,none").await;
    let hello = listener.next().await.unwrap();
    assert_eq!(hello.data["sets"], json!(["asset:P1"]));
    assert_eq!(listener.wait("p").await.as_array().unwrap().len(), 8);
    let mut listener = Listener::open(served.port, "?sets=asset:X9").await;
    assert_eq!(listener.next().await.unwrap().data["sets"], json!([]));
    served.web.fixture.trip();
    assert_eq!(listener.wait("alarm").await["rule"], "pump2_fault");
}

#[tokio::test]
async fn streams_end_with_the_gateway() {
    let served = serve().await;
    let mut listener = Listener::open(served.port, "").await;
    listener.wait("p").await;
    served.web.fixture.app.stop.cancel();
    while listener.next().await.is_some() {}
}
