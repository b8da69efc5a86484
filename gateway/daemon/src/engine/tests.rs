//! The engine over a real record store: what it does while that store takes nothing.

use super::*;
use crate::channels::{Channel, Configured, DeliveryError, Rendered, Route};
use crate::journal::tests::building::{DOOR, TRAPPED, model};
use crate::outbox::{self, Outbox, Pace};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;
use zhiban_core::{
    AssetId, Command, Language, NotifyReason, Outcome, Priority, Quality, Sample, SampleBatch,
    Timestamp, Value,
};
use zhiban_dashboard::ports::{Archive, OnceKey, OrderFilter};

const PATIENT: Duration = Duration::from_secs(30);

/// Keeps what it is told.
#[derive(Default)]
struct Ear(Mutex<Vec<Rendered>>);

impl Channel for Ear {
    fn deliver<'a>(&'a self, message: &'a Rendered) -> BoxFuture<'a, Result<(), DeliveryError>> {
        self.0.lock().unwrap().push(message.clone());
        async { Ok(()) }.boxed()
    }
}

/// An engine at work, with everything around it.
struct Works {
    engine: EngineHandle,
    journal: Arc<Journal>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    ear: Arc<Ear>,
    stop: CancellationToken,
    tasks: TaskTracker,
    folder: TempDir,
}

impl Works {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("core.db");
        let now = Timestamp::from(chrono::Utc::now());
        let (journal, records) = Journal::open(&file, model(3, &[]), now).await.unwrap();
        let journal = Arc::new(journal);
        let facility = Facility::restore(journal.model().clone(), records, now);
        let (board, ear) = (Arc::new(Board::default()), Arc::new(Ear::default()));
        let (routes, wake) = (routes(), Arc::new(Notify::new()));
        let (outbox, unrecorded) = Outbox::new(outbox::Parts {
            journal: journal.clone(),
            channels: vec![Configured {
                name: "crew".to_owned(),
                language: Language::En,
                concurrency: 1,
                retry_for: Duration::from_secs(3600),
                channel: ear.clone(),
            }],
            routes: routes.clone(),
            url: None,
            board: board.clone(),
            pace: Pace::default(),
            steps: Arc::default(),
        })
        .unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(outbox.run(wake.clone(), stop.clone()));
        let (history, mut batches) = HistoryHandle::channel();
        tasks.spawn(async move {
            while let Some(batch) = batches.recv().await {
                for waiting in batch.durable {
                    waiting.send(()).ok();
                }
            }
        });
        let (sender, snapshot) = watch::channel(Arc::new(facility.snapshot(now)));
        let parts = Parts {
            facility,
            journal: journal.clone(),
            routes,
            unrecorded,
            history,
            inbox: Inbox::restore(Vec::new()),
            snapshot: sender,
            live: broadcast::channel(16).0,
            wake,
            board,
            tracker: tasks.clone(),
            pulse: Pulse::default(),
            steps: Arc::default(),
        };
        let (engine, queue) = EngineHandle::channel();
        tasks.spawn(Engine::new(parts).run(queue, stop.clone()));
        Self {
            engine,
            journal,
            snapshot,
            ear,
            stop,
            tasks,
            folder,
        }
    }

    /// The store takes nothing, as on a full disk, or takes again.
    fn writable(&self, yes: bool) {
        let full = &self.journal.store().full;
        full.store(!yes, std::sync::atomic::Ordering::SeqCst);
    }

    fn batch(&self, key: &str) -> Vec<Input> {
        let point = self.journal.model().point_by_key(key).unwrap();
        vec![Input::Samples(SampleBatch {
            asset: self.journal.model().point(point).asset,
            at: Timestamp::from(chrono::Utc::now()),
            samples: vec![Sample {
                point,
                value: Some(Value::Flag(true)),
                quality: Quality::Good,
            }],
            retained: false,
        })]
    }

    /// A message that its sender acknowledges when the receiver here answers.
    async fn deliver(&self, key: &str, number: u8) -> oneshot::Receiver<()> {
        let (durable, answered) = oneshot::channel();
        let delivery = Delivery {
            inputs: self.batch(key),
            key: InboxKey {
                hash: [number; 16],
                unique: true,
            },
            dead_letter: None,
            durable,
        };
        self.engine.deliver(delivery).await.unwrap();
        answered
    }

    async fn ask(&self, command: Command, key: &str) -> Result<Outcome, CommandError> {
        let (reply, answer) = oneshot::channel();
        let once = Some(OnceKey {
            key: key.to_owned(),
            request: "hash".to_owned(),
        });
        let request = CommandRequest {
            command,
            once,
            reply,
        };
        self.engine.command(request).await.unwrap();
        answer.await.unwrap()
    }

    async fn orders(&self) -> usize {
        let all = OrderFilter {
            limit: 100,
            ..OrderFilter::default()
        };
        self.journal.work_orders(all).await.unwrap().len()
    }

    async fn heard(&self, count: usize) -> Vec<Rendered> {
        let mut pulse = tokio::time::interval(Duration::from_millis(10));
        let enough = async {
            loop {
                pulse.tick().await;
                let heard = self.ear.0.lock().unwrap().clone();
                if heard.len() >= count {
                    return heard;
                }
            }
        };
        tokio::time::timeout(PATIENT, enough).await.unwrap()
    }

    async fn end(self) -> PathBuf {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.journal.store().close().await;
        self.folder.keep().join("core.db")
    }
}

fn routes() -> Arc<crate::channels::Routes> {
    Arc::new(crate::channels::Routes::new(vec![Route {
        channel: "crew".to_owned(),
        reasons: NotifyReason::ALL.to_vec(),
        priorities: Priority::ALL.to_vec(),
    }]))
}

fn noise() -> Command {
    Command::CreateWorkOrder(zhiban_core::facility::NewWorkOrder {
        asset: AssetId(0),
        title: "noise".to_owned(),
        priority: Priority::Low,
        by: "li".to_owned(),
        note: None,
    })
}

#[tokio::test]
async fn while_nothing_can_be_recorded_people_are_told_and_nobody_is_acknowledged() {
    let works = Works::start().await;
    works.writable(false);
    let mut trapped = works.deliver(TRAPPED, 1).await;
    let told = works.heard(1).await.remove(0);
    assert!(told.unrecorded && told.life_safety, "{told:?}");
    assert!(trapped.try_recv().is_err(), "nothing is durable");
    // The page shows it all the same.
    let mut snapshot = works.snapshot.clone();
    let shown = snapshot.wait_for(|one| one.alarms.len() == 1);
    tokio::time::timeout(PATIENT, shown).await.unwrap().unwrap();
    // A decision could not be kept, so none is taken.
    let refused = works.ask(noise(), "k").await;
    assert!(matches!(refused, Err(CommandError::NotTaken)));

    works.writable(true);
    tokio::time::timeout(PATIENT, trapped)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(works.orders().await, 1);
    assert!(
        works.ask(noise(), "k").await.is_ok(),
        "nothing was done before"
    );
    assert_eq!(works.orders().await, 2);
    let ids: Vec<String> = works.heard(2).await.into_iter().map(|one| one.id).collect();
    assert_eq!(ids[0], ids[1], "recorded, it comes with the same id");
    works.end().await;
}

#[tokio::test]
async fn a_stop_keeps_what_can_be_written_by_then() {
    let works = Works::start().await;
    works.writable(false);
    let answered = works.deliver(DOOR, 1).await;
    works.heard(1).await;
    works.writable(true);
    let model = works.journal.model().clone();
    let file = works.end().await;
    assert!(answered.await.is_ok(), "durable, and said so");
    let (_, records) = Journal::open(&file, model, Timestamp::default())
        .await
        .unwrap();
    assert_eq!((records.alarms.len(), records.work_orders.len()), (1, 1));
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_key_is_durable_with_what_it_did_and_does_nothing_twice() {
    let works = Works::start().await;
    let Ok(Outcome::WorkOrder(order)) = works.ask(noise(), "li/1").await else {
        panic!("it was refused");
    };
    let known = works
        .journal
        .replay("li/1".to_owned())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (known.status, known.request.as_str()),
        (StoredAnswer::DONE, "hash")
    );
    assert_eq!(known.body, order.no.to_string());
    let again = works.ask(noise(), "li/1").await;
    assert!(matches!(again, Err(CommandError::Repeated)));
    assert_eq!(works.orders().await, 1);
    let answer = StoredAnswer {
        request: "hash".to_owned(),
        status: 201,
        body: "{}".into(),
    };
    for answer in [
        answer.clone(),
        StoredAnswer {
            status: 500,
            ..answer.clone()
        },
    ] {
        works
            .journal
            .keep_answer("li/1".to_owned(), answer)
            .await
            .unwrap();
    }
    let kept = works.journal.replay("li/1".to_owned()).await.unwrap();
    assert_eq!(kept, Some(answer), "the first answer stays");
    works.end().await;
}

#[tokio::test]
async fn a_record_that_is_refused_holds_up_no_other() {
    let works = Works::start().await;
    // The store knows an open alarm that memory does not know.
    let mut transaction = works.journal.store().begin().await.unwrap();
    let row = "insert into alarm (id, asset, rule, title_zh, title_en, priority, active, latched, \
        raised_at, out_of_service) values (900, 'A1', 'door', '', '', 2, 1, 0, 1000, 0)";
    sqlx::query(row).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let door = works.deliver(DOOR, 1).await;
    let trapped = works.deliver(TRAPPED, 2).await;
    for answered in [door, trapped] {
        tokio::time::timeout(PATIENT, answered)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(works.orders().await, 2);
    assert!(works.ask(noise(), "k").await.is_ok(), "work goes on");
    let file = works.journal.store().file().to_owned();
    assert_eq!(crate::journal::aside::count(&file), 1);
    works.end().await;
}
