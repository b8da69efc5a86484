//! A small building in memory: one elevator, one pump set, a real facility and nothing stored.
//!
//! For tests and for working on pages only; the program that people run never has it.

mod building;
mod memory;

use crate::ports::{App, CommandError, CommandRequest, Live};
use memory::{Memory, Series};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zhiban_core::point::QualityReason;
use zhiban_core::{
    Effect, Effects, Facility, Input, LinkState, Model, Outcome, Quality, Refusal, Sample,
    SampleBatch, Snapshot, Timestamp, Value,
};

/// The user who can sign in.
pub const USER: &str = "duty";
/// Their password.
pub const PASSWORD: &str = "a quiet night shift";
/// A token that may do everything.
pub const TOKEN: &str = "fixture-token";
/// The token that sets up a building without accounts.
pub const SETUP_TOKEN: &str = "fixture-setup";

/// The reverse proxy that is trusted.
pub const PROXY: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 9, 9));

/// A running building; it stops when this is dropped.
pub struct Fixture {
    /// What the dashboard is given.
    pub app: App,
    engine: Arc<Engine>,
    memory: Arc<Memory>,
    _tasks: JoinSet<()>,
}

struct Engine {
    facility: Mutex<Facility>,
    memory: Arc<Memory>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    live: broadcast::Sender<Live>,
    deaf: AtomicBool,
}

impl Fixture {
    /// Starts a building in which all is well. Needs a tokio runtime.
    ///
    /// # Panics
    ///
    /// When the building's own description is wrong.
    #[must_use]
    pub fn start() -> Self {
        let fixture = Self::with(building::model());
        for asset in ["A3", "P1"] {
            fixture.link(asset, LinkState::Up);
        }
        fixture.set(building::CALM);
        fixture
    }

    /// A building of which nothing is known yet. Needs a tokio runtime.
    #[must_use]
    pub fn with(model: Model) -> Self {
        let model = Arc::new(model);
        let facility = Facility::new(model.clone(), now());
        let memory = Arc::new(Memory::default());
        let (snapshot, snapshots) = watch::channel(Arc::new(facility.snapshot(now())));
        let (live, _) = broadcast::channel(256);
        let engine = Arc::new(Engine {
            facility: Mutex::new(facility),
            memory: memory.clone(),
            snapshot,
            live: live.clone(),
            deaf: AtomicBool::new(false),
        });
        let (commands, mut inbox) = mpsc::channel::<CommandRequest>(16);
        let mut tasks = JoinSet::new();
        let worker = engine.clone();
        tasks.spawn(async move {
            while let Some(request) = inbox.recv().await {
                let CommandRequest {
                    command,
                    once,
                    reply,
                } = request;
                let answer = worker.command(Input::Command(command));
                if let (Some(once), Ok(outcome)) = (once, &answer) {
                    worker.memory.done(once, outcome);
                }
                // Whoever asked may have gone away.
                drop(reply.send(answer));
            }
        });
        Self {
            app: App {
                snapshot: snapshots,
                commands,
                live,
                history: Arc::new(Series),
                archive: memory.clone(),
                photos: memory.clone(),
                accounts: memory.clone(),
                health: memory.clone(),
                now: a_moment_later,
                tells: true,
                unwatched: Vec::new(),
                proxies: crate::TrustedProxies::new(&[PROXY.into()]),
                stop: CancellationToken::new(),
            },
            engine,
            memory,
            _tasks: tasks,
        }
    }

    /// Gives points good values, as a device would. Keys that do not exist are passed over.
    pub fn set(&self, values: &[(&str, Value)]) {
        self.sample(values.iter().map(|(key, value)| {
            let value = Some(value.clone());
            (*key, value, Quality::Good)
        }));
    }

    /// Makes a point's answers unusable.
    pub fn spoil(&self, key: &str, reason: QualityReason) {
        self.sample([(key, None, Quality::Bad(reason))].into_iter());
    }

    fn sample<'a>(&self, values: impl Iterator<Item = (&'a str, Option<Value>, Quality)>) {
        let model = self.app.snapshot.borrow().model.clone();
        for (key, value, quality) in values {
            let Some(point) = model.point_by_key(key) else {
                continue;
            };
            self.engine.input(Input::Samples(SampleBatch {
                asset: model.point(point).asset,
                at: now(),
                samples: vec![Sample {
                    point,
                    value,
                    quality,
                }],
                retained: false,
            }));
        }
    }

    /// Changes the link to an asset.
    pub fn link(&self, asset: &str, state: LinkState) {
        let found = self.app.snapshot.borrow().model.asset_by_code(asset);
        if let Some(asset) = found {
            self.engine.input(Input::Link { asset, state });
        }
    }

    /// Somebody is caught in elevator A3.
    pub fn trap(&self) {
        self.set(building::TRAPPED);
    }

    /// A pump of P1 trips.
    pub fn trip(&self) {
        self.set(&[("P1/pump2_fault", Value::Flag(true))]);
    }

    /// All is well again.
    pub fn calm(&self) {
        self.set(building::CALM);
    }

    /// What people must be told, oldest first.
    #[must_use]
    pub fn told(&self) -> Vec<zhiban_core::Notification> {
        self.memory.told()
    }

    /// Makes the record store fail, or work again.
    pub fn break_store(&self, broken: bool) {
        self.memory.broken.store(broken, Ordering::SeqCst);
        self.engine.deaf.store(broken, Ordering::SeqCst);
    }

    /// Keeps no answer to a request with a key from now on, as when the gateway is killed each
    /// time between doing a thing and keeping its answer.
    pub fn lose_answers(&self) {
        self.memory.forgetful.store(true, Ordering::SeqCst);
    }

    /// Makes new records impossible while the old ones can still be read, or possible again.
    pub fn stop_recording(&self, stopped: bool) {
        self.memory.unrecorded.store(stopped, Ordering::SeqCst);
        self.engine.deaf.store(stopped, Ordering::SeqCst);
    }

    /// The records are those of an older copy, because the last ones were damaged, or not.
    pub fn use_older_records(&self, older: bool) {
        self.memory.older.store(older, Ordering::SeqCst);
    }

    /// Takes every account away, as at the very first start.
    pub fn forget_accounts(&self) {
        self.memory.forget_accounts();
    }
}

impl Engine {
    fn input(&self, input: Input) {
        // Only commands are ever refused.
        drop(self.step(input));
    }

    fn command(&self, input: Input) -> Result<Outcome, CommandError> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(CommandError::NotTaken);
        }
        Ok(self.step(input)?)
    }

    /// One step: handle, keep, publish, tell — in that order, as the daemon does it.
    fn step(&self, input: Input) -> Result<Outcome, Refusal> {
        let mut facility = self.facility.lock().unwrap_or_else(PoisonError::into_inner);
        let mut effects = Effects::default();
        let outcome = facility.handle(input, now(), &mut effects);
        self.memory.keep(facility.model(), &effects.records);
        self.snapshot
            .send_replace(Arc::new(facility.snapshot(now())));
        for effect in effects.records {
            let live = match effect {
                Effect::Alarm(one) => Live::Alarm {
                    id: one.alarm.id,
                    change: one.change,
                    state: one.to,
                },
                Effect::WorkOrder(one) => Live::WorkOrder {
                    no: one.order.no,
                    change: one.change,
                    status: one.to,
                },
                Effect::Notify(_) => continue,
            };
            // Nobody may be listening.
            drop(self.live.send(live));
        }
        outcome
    }
}

/// Nobody presses two buttons within a moment but by a double tap; tests send one form after the other.
fn a_moment_later() -> Timestamp {
    now() + zhiban_core::Duration::from_secs(1)
}

fn now() -> Timestamp {
    chrono::Utc::now().into()
}
