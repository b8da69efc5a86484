//! Webhooks against a real HTTP server: what it receives, and what becomes of each status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::mpsc;
use zhiban::channels::{Channel, DeliveryError, Webhook, WebhookOptions};

use super::{Bench, LIMIT, SECRET, Verdict, holds_what_every_channel_holds, judge, message};

struct Hook;

impl Bench for Hook {
    fn channel(port: u16) -> Box<dyn Channel> {
        let options = WebhookOptions {
            url: format!("http://127.0.0.1:{port}/hook?token={SECRET}"),
            secret: Some(SECRET.into()),
            timeout: LIMIT,
        };
        Box::new(Webhook::new(options).unwrap())
    }
}

/// A request as the server saw it.
struct Seen {
    headers: HeaderMap,
    body: Bytes,
}

/// Answers with the status it is set to; remembers what it was sent.
#[derive(Clone)]
struct Server {
    status: Arc<AtomicU16>,
    retry_after: Option<&'static str>,
    seen: mpsc::Sender<Seen>,
}

async fn take(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, &'static str) {
    server.seen.send(Seen { headers, body }).await.unwrap();
    let status = StatusCode::from_u16(server.status.load(Ordering::SeqCst)).unwrap();
    let mut answer = HeaderMap::new();
    answer.insert("location", "/elsewhere".parse().unwrap());
    if let Some(after) = server.retry_after {
        answer.insert("retry-after", after.parse().unwrap());
    }
    (status, answer, "an answer that nobody must log")
}

async fn serve(retry_after: Option<&'static str>) -> (u16, Arc<AtomicU16>, mpsc::Receiver<Seen>) {
    let (sender, receiver) = mpsc::channel(100);
    let status = Arc::new(AtomicU16::new(200));
    let server = Server {
        status: status.clone(),
        retry_after,
        seen: sender,
    };
    let router = Router::new()
        .route("/hook", post(take))
        .route("/elsewhere", post(take).get(take))
        .with_state(server);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, router).await });
    (port, status, receiver)
}

#[tokio::test]
async fn it_holds_what_every_channel_holds() {
    holds_what_every_channel_holds::<Hook>().await;
}

#[tokio::test]
async fn every_status_has_its_meaning() {
    let (port, status, mut seen) = serve(None).await;
    let hook = Hook::channel(port);
    let table = [
        (Verdict::Taken, &[200_u16, 201, 202, 204][..]),
        (Verdict::Again, &[408, 425, 429, 500, 502, 503, 504, 599]),
        (
            Verdict::Refused,
            &[
                301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 413, 415, 422,
            ],
        ),
    ];
    for (expected, codes) in table {
        for code in codes {
            status.store(*code, Ordering::SeqCst);
            let (verdict, error) = judge(&*hook).await;
            assert_eq!(verdict, expected, "{code}");
            if let Some(error) = error {
                assert_eq!(error.to_string(), format!("answered {code}"));
            }
            seen.recv().await.unwrap();
            assert!(
                seen.try_recv().is_err(),
                "{code}: one request, no redirect followed"
            );
        }
    }
}

#[tokio::test]
async fn it_is_asked_to_wait_and_waits() {
    for (header, expected) in [
        ("30", Some(30)),
        ("86400", Some(600)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", Some(600)),
        ("Thu, 01 Jan 2026 00:00:00 GMT", Some(0)),
        ("soon", None),
    ] {
        let (port, status, _seen) = serve(Some(header)).await;
        status.store(429, Ordering::SeqCst);
        let (_, error) = judge(&*Hook::channel(port)).await;
        let Some(DeliveryError::Transient { retry_after, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(retry_after, expected.map(Duration::from_secs), "{header}");
    }
}

#[tokio::test]
async fn the_body_is_whole_signed_and_the_same_on_every_try() {
    let (port, status, mut seen) = serve(None).await;
    let hook = Hook::channel(port);
    status.store(503, Ordering::SeqCst);
    judge(&*hook).await;
    status.store(200, Ordering::SeqCst);
    judge(&*hook).await;
    let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
    assert_eq!(first.body, second.body);
    for one in [&first, &second] {
        assert_eq!(one.headers["idempotency-key"], message().id.as_str());
        assert_eq!(one.headers["content-type"], "application/json");
        let timestamp = one.headers["x-zhiban-timestamp"].to_str().unwrap();
        let signature = one.headers["x-zhiban-signature"].to_str().unwrap();
        assert_eq!(signature, python_hmac(timestamp, &one.body));
    }
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    let fields: Vec<&str> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "id",
        "reason",
        "priority",
        "life_safety",
        "language",
        "title",
        "text",
        "asset",
        "work_order",
        "alarm",
        "person",
        "at",
        "site",
        "url",
        "respond_by",
        "due_at",
        "due_left_seconds",
        "reopened_at",
        "unrecorded",
        "signal",
        "raised_at",
        "returned_at",
        "place",
        "danger",
    ];
    expected.sort_unstable();
    let mut sorted = fields;
    sorted.sort_unstable();
    assert_eq!(
        sorted, expected,
        "fields are only ever added, and then here too"
    );
    assert_eq!(body["title"], message().title.as_str());
    assert_eq!(body["text"], message().text.as_str());
    assert_eq!(body["asset"]["name"], "3号客梯");
    assert_eq!(
        (&body["person"], &body["unrecorded"]),
        (&Value::Null, &Value::Bool(false))
    );
}

/// The signature as another implementation computes it.
fn python_hmac(timestamp: &str, body: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signed");
    let signed = [timestamp.as_bytes(), b".", body].concat();
    std::fs::write(&file, signed).unwrap();
    let script = "import hashlib, hmac, sys; \
        print(hmac.new(sys.argv[1].encode(), open(sys.argv[2], 'rb').read(), hashlib.sha256).hexdigest())";
    let output = std::process::Command::new("python3")
        .args(["-c", script, SECRET])
        .arg(&file)
        .output()
        .unwrap();
    format!(
        "sha256={}",
        String::from_utf8(output.stdout).unwrap().trim()
    )
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let (port, _status, mut seen) = serve(None).await;
    let options = WebhookOptions {
        url: format!("http://127.0.0.1:{port}/hook"),
        secret: None,
        timeout: LIMIT,
    };
    let hook = Webhook::new(options).unwrap();
    assert_eq!(judge(&hook).await.0, Verdict::Taken);
    let seen = seen.recv().await.unwrap();
    assert!(!seen.headers.contains_key("x-zhiban-signature"));
}
