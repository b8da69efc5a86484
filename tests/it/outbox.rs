//! From a fault to the people: the channels of a configuration file, a real HTTP server and a
//! real mail server, and a record store that fails in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use zhiban::channels;
use zhiban::config::{Config, Loaded};
use zhiban::health::Board;
use zhiban::journal::{Journal, OutboxEntry, Step};
use zhiban::outbox::{Outbox, Pace, Parts, Unrecorded};
use zhiban_core::{Effect, Effects, Facility, Input, Quality, Sample, SampleBatch, Timestamp};

use crate::support::PATIENCE;
use crate::support::smtp::Smtp;

/// The building of the demo, telling a webhook in Chinese and a mailbox in English.
fn building(folder: &Path, webhook: u16, mail: u16) -> Loaded {
    let secret = folder.join("secret");
    std::fs::write(&secret, "geheim").unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let channels = format!(
        r#"
[notify.channel.crew]
to = {{ webhook = {{ url = "http://127.0.0.1:{webhook}/hook", secret_file = "{}" }} }}

[notify.channel.office]
to = {{ email = {{ host = "127.0.0.1", port = {mail}, tls = "none", from = "duty@example.com", to = ["office@example.com"] }} }}
language = "en"
reasons = ["recovered"]
"#,
        secret.display()
    );
    let loaded = Config::parse(&file, &format!("{text}{channels}"));
    loaded.unwrap_or_else(|faults| panic!("{faults:?}"))
}

type Hooks = mpsc::Receiver<(HeaderMap, Value)>;

/// Fails once, then takes everything.
async fn serve_hook() -> (u16, Hooks) {
    let (sender, receiver) = mpsc::channel(100);
    let state = (sender, Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let hook = post(
        |State((seen, first)): State<(mpsc::Sender<_>, Arc<std::sync::atomic::AtomicBool>)>,
         headers: HeaderMap,
         body: axum::body::Bytes| async move {
            let body: Value = serde_json::from_slice(&body).unwrap();
            seen.send((headers, body)).await.unwrap();
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::NO_CONTENT
            }
        },
    );
    let router = Router::new().route("/hook", hook).with_state(state);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, router).await });
    (port, receiver)
}

/// What the facility makes of elevator A3 catching somebody.
fn entrapment(loaded: &Loaded) -> Vec<Effect> {
    let now = Timestamp::from(chrono::Utc::now());
    let mut facility = Facility::new(loaded.model.clone(), now);
    let point = loaded.model.point_by_key("A3/trapped").unwrap();
    let batch = SampleBatch {
        asset: loaded.model.point(point).asset,
        at: now,
        samples: vec![Sample {
            point,
            value: Some(zhiban_core::Value::Flag(true)),
            quality: Quality::Good,
        }],
        retained: false,
    };
    let mut effects = Effects::default();
    facility
        .handle(Input::Samples(batch), now, &mut effects)
        .unwrap();
    effects.records
}

fn start(
    loaded: &Loaded,
    journal: Journal,
    stop: &CancellationToken,
) -> (Arc<Journal>, Unrecorded) {
    let journal = Arc::new(journal);
    let (channels, routes) = channels::set_up(&loaded.config.notify.channels).unwrap();
    let parts = Parts {
        journal: journal.clone(),
        channels,
        routes: Arc::new(routes),
        url: Some("https://duty.example".to_owned()),
        board: Arc::new(Board::default()),
        pace: Pace {
            first: Duration::from_millis(20),
            ..Pace::default()
        },
        steps: Arc::default(),
    };
    let (outbox, unrecorded) = Outbox::new(parts).unwrap();
    tokio::spawn(outbox.run(Arc::new(Notify::new()), stop.clone()));
    (journal, unrecorded)
}

async fn next(hooks: &mut Hooks) -> (HeaderMap, Value) {
    let hook = tokio::time::timeout(PATIENCE, hooks.recv()).await;
    hook.unwrap().unwrap()
}

#[tokio::test]
async fn a_fault_reaches_everybody_after_a_kill_and_a_failure() {
    let Some(mut mail) = Smtp::start(&[]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (port, mut hooks) = serve_hook().await;
    let loaded = building(folder.path(), port, mail.port());
    let (_, routes) = channels::set_up(&loaded.config.notify.channels).unwrap();
    let mut step = Step {
        records: entrapment(&loaded),
        ..Step::default()
    };
    for record in &step.records {
        if let Effect::Notify(about) = record {
            let entry = |channel| OutboxEntry {
                notification: about.id.clone(),
                channel,
            };
            step.outbox
                .extend(routes.route(about).into_iter().map(entry));
        }
    }
    assert_eq!(step.outbox.len(), 2, "life safety passes every filter");
    let file = folder.path().join("core.db");
    let opened = Journal::open(&file, loaded.model.clone(), step.at).await;
    let (journal, _) = opened.unwrap();
    journal.commit(&step).await.unwrap();
    // Durable, told to nobody yet, and killed.
    drop(journal);

    let opened = Journal::open(&file, loaded.model.clone(), step.at).await;
    let (journal, records) = opened.unwrap();
    assert_eq!((records.alarms.len(), records.work_orders.len()), (1, 1));
    let stop = CancellationToken::new();
    let (_journal, _) = start(&loaded, journal, &stop);
    let (failed, taken) = (next(&mut hooks).await, next(&mut hooks).await);
    assert_eq!(failed.0["idempotency-key"], taken.0["idempotency-key"]);
    assert_eq!(failed.1, taken.1);
    let no = records.work_orders[0].no.to_string();
    assert_eq!(taken.1["work_order"], no.as_str());
    assert_eq!(taken.1["title"], "【紧急】A3 3 号电梯 困人");
    assert!(
        taken.1["text"]
            .as_str()
            .unwrap()
            .contains("严禁无证人员盘车放人")
    );
    assert_eq!(
        taken.1["url"],
        format!("https://duty.example/work-orders/{no}")
    );
    let mail = mail.mail().await;
    assert_eq!(
        mail["subject"],
        "[Urgent] A3 Elevator 3: Passengers trapped"
    );
    assert_eq!(mail["to"][0], "office@example.com");
    stop.cancel();
}

#[tokio::test]
async fn a_fault_that_cannot_be_recorded_is_told_and_says_so() {
    let Some(mut mail) = Smtp::start(&[]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (port, mut hooks) = serve_hook().await;
    let loaded = building(folder.path(), port, mail.port());
    let file = folder.path().join("core.db");
    let opened = Journal::open(&file, loaded.model.clone(), Timestamp::default()).await;
    let stop = CancellationToken::new();
    let (journal, unrecorded) = start(&loaded, opened.unwrap().0, &stop);
    journal.store().close().await;
    unrecorded.tell(&entrapment(&loaded));
    for _ in 0..2 {
        assert_eq!(next(&mut hooks).await.1["unrecorded"], true);
    }
    let text = mail.mail().await["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("[NOT RECORDED]"), "{text}");
    stop.cancel();
}
