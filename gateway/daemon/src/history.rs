//! Telemetry: a journal of batches that is spool and history at once.
//!
//! Losing it never touches alarms or orders, and nothing waits for InfluxDB. A batch that asks to
//! be durable is answered when it is on disk; while the disk takes nothing it waits in memory and
//! is answered all the same, because what it decided is in the record store already.

mod chunk;
mod codec;
mod dictionary;
mod elsewhere;
mod embedded;
mod events;
mod filter;
mod health;
pub mod influxdb;
mod line_protocol;
mod recent;
mod segment;
mod series;
mod store;
mod writer;

pub use elsewhere::{Elsewhere, start_anyhow};
pub use embedded::Embedded;
pub use events::{EventLine, EventValue, events};
pub use health::HistoryHealth;

use crate::disk::Disk;
use sqlx::sqlite::SqliteSynchronous;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_core::{Duration, Model, PointUpdate};

/// The cursor of what is in segments.
const CHUNKS: &str = "chunks";

/// The cursor of what InfluxDB has.
const INFLUXDB: &str = "influxdb";

/// How many batches may wait for the history task; beyond it periodic ones are dropped and counted.
pub const QUEUE: usize = 1024;

/// How many durable batches may wait for room in the queue; beyond it they are let go unanswered.
const WAITERS: usize = 64;

/// How the history works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file, for example `data/telemetry.db`; its folder must exist.
    pub path: PathBuf,
    /// How long a sample that nobody waits for may stay in memory only: 200 ms to 5 s.
    pub flush: Duration,
    /// Whether a flush waits for the disk.
    pub synchronous: Synchronous,
    /// A point that does not change is stored this often.
    pub heartbeat: Duration,
    /// How long samples are kept here.
    pub retention: Duration,
    /// How long samples wait for InfluxDB before they are given up.
    pub backlog: Duration,
    /// Bytes of memory for samples; when they take more, a segment is made before its hour is over.
    pub memory: usize,
    /// Bytes more that newer samples may take while a segment is written. What comes beyond is on
    /// disk, and can be read again when the segment is written.
    pub ahead: usize,
    /// Where samples go besides.
    pub influxdb: Option<influxdb::Options>,
    /// The disk, when records share it: they come first.
    pub disk: Option<Arc<Disk>>,
}

impl Options {
    /// The usual way to work with a file.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            flush: Duration::from_millis(200),
            synchronous: Synchronous::Full,
            heartbeat: Duration::from_secs(60),
            retention: Duration::from_secs(90 * 86_400),
            backlog: Duration::from_secs(7 * 86_400),
            memory: 12 << 20,
            ahead: 4 << 20,
            influxdb: None,
            disk: None,
        }
    }
}

/// What a flush survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// A power cut.
    Full,
    /// A crash of the gateway; of a power cut the last seconds are lost, and less is written.
    Normal,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be opened or made.
    #[error(
        "telemetry cannot be kept in {path}: make sure that the folder exists, may be written and has room"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The file was written by a newer gateway. It is not touched.
    #[error(
        "{path} is of version {version}, and this gateway knows up to {known}: start the newer gateway again, or move the file away"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The newest version this gateway knows.
        known: usize,
    },
    /// A damaged file cannot be moved out of the way.
    #[error("{path} is damaged and cannot be renamed: move it away by hand")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address of InfluxDB is none.
    #[error("\"{url}\" is not an address of an InfluxDB: write one like http://127.0.0.1:8086")]
    Url {
        /// What was written.
        url: String,
    },
    /// The HTTP client for InfluxDB cannot be made.
    #[error("no HTTP client for InfluxDB can be made: {why}")]
    Client {
        /// Why.
        why: String,
    },
}

/// Starts the history: one task that owns the file, and one that feeds InfluxDB when there is one.
/// Both end at `stop`; the first one takes what the engine still sends.
pub async fn start(
    options: Options,
    model: Arc<Model>,
    stop: CancellationToken,
    tracker: &TaskTracker,
) -> Result<(HistoryHandle, Embedded, HistoryHealth), HistoryError> {
    let health = HistoryHealth::default();
    let synchronous = match options.synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Normal => SqliteSynchronous::Normal,
    };
    let path = options.path.clone();
    let place = store::Place { path, synchronous };
    let (store, aside) = store::Store::open(place).await?;
    if let Some(aside) = aside {
        tracing::error!(
            aside,
            "telemetry.db was damaged; it is set aside, a new one begun"
        );
        health.set_aside(aside);
    }
    let sinks: &[&str] = match options.influxdb {
        Some(_) => &[CHUNKS, INFLUXDB],
        None => &[CHUNKS],
    };
    let prepared = prepare(&store, &model).await;
    let (dictionary, changed, seq, newest) = prepared.map_err(|source| HistoryError::Open {
        path: options.path.clone(),
        source,
    })?;
    let dictionary = Arc::new(dictionary);
    let recent = Arc::default();
    let embedded = Embedded {
        store: store.clone(),
        dictionary: dictionary.clone(),
        recent: Arc::clone(&recent),
        model: model.clone(),
        heartbeat: options.heartbeat,
    };
    let (seq, grown) = watch::channel(seq);
    let (handle, queue) = HistoryHandle::channel();
    let influxdb = options.influxdb.clone();
    let mut writer = writer::Writer {
        filter: filter::Filter::new(&model, dictionary.numbers(), options.heartbeat),
        options,
        store: store.clone(),
        dictionary: dictionary.clone(),
        recent,
        behind: None,
        health: health.clone(),
        sinks,
        unsettled: Some(changed),
        steady: writer::Steady::new(wall(), tokio::time::Instant::now()),
        seq,
        waiting: writer::Waiting::default(),
        segments: JoinSet::new(),
        segment: segment::State::new(newest),
    };
    writer.begin().await;
    if let Some(influx) = influxdb {
        let names = (model.site.code.as_str(), dictionary);
        let sink = influxdb::Sink::new(influx, store, names, health.clone(), grown)?;
        tracker.spawn(sink.run(stop.clone()));
    }
    tracker.spawn(writer.run(queue, stop));
    Ok((handle, embedded, health))
}

/// Reads what a start needs of the file: the points, those of them that are not in it yet, and
/// how far it goes.
async fn prepare(
    store: &store::Store,
    model: &Model,
) -> Result<(dictionary::Dictionary, Vec<u32>, i64, i64), sqlx::Error> {
    let db = store.db();
    let known = db.points().await?;
    let (dictionary, changed) = dictionary::Dictionary::new(known, model);
    let (seq, newest) = (db.last_seq().await?, db.newest_segment().await?);
    Ok((dictionary, changed, seq, newest))
}

/// The wall clock, in milliseconds since 1970.
fn wall() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A batch for the history.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was read, in the order it came.
    pub updates: Vec<PointUpdate>,
    /// What happened to alarms and orders; goes to InfluxDB only.
    pub events: Vec<EventLine>,
    /// Answered when the batch is on disk, or in memory while the disk takes nothing; dropped when
    /// there is no room for it. Empty lets the batch wait for the next flush.
    pub durable: Vec<oneshot::Sender<()>>,
}

/// The way to the history task.
#[derive(Debug, Clone)]
pub struct HistoryHandle {
    sender: mpsc::Sender<Batch>,
    waiters: Arc<Semaphore>,
}

impl HistoryHandle {
    /// A handle and the queue it feeds; tests read the queue in place of the history task.
    pub fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let waiters = Arc::new(Semaphore::new(WAITERS));
        (Self { sender, waiters }, receiver)
    }

    /// Hands over what a turn brought, without waiting. When the queue is full, a batch with
    /// somebody waiting for it waits in `tracker` for room; any other is dropped and counted.
    pub fn store(
        &self,
        updates: Vec<PointUpdate>,
        events: Vec<EventLine>,
        durable: Vec<oneshot::Sender<()>>,
        tracker: &TaskTracker,
    ) {
        if updates.is_empty() && events.is_empty() {
            for waiting in durable {
                // Whoever asked may have left; then nobody needs the answer.
                waiting.send(()).ok();
            }
            return;
        }
        let batch = Batch {
            updates,
            events,
            durable,
        };
        match self.sender.try_send(batch) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(batch)) if !batch.durable.is_empty() => {
                self.wait_for_room(batch, tracker);
            }
            Err(mpsc::error::TrySendError::Full(batch)) => dropped(&batch, "queue_full"),
            Err(mpsc::error::TrySendError::Closed(batch)) => dropped(&batch, "stopping"),
        }
    }

    fn wait_for_room(&self, batch: Batch, tracker: &TaskTracker) {
        let Ok(permit) = self.waiters.clone().try_acquire_owned() else {
            dropped(&batch, "queue_full");
            return;
        };
        let sender = self.sender.clone();
        tracker.spawn(async move {
            if let Err(mpsc::error::SendError(batch)) = sender.send(batch).await {
                dropped(&batch, "stopping");
            }
            drop(permit);
        });
    }
}

/// Counts the points of a batch that goes no further.
fn dropped(batch: &Batch, reason: &'static str) {
    count_dropped(batch.updates.len(), reason);
    if !batch.events.is_empty() {
        metrics::counter!("zhiban_history_events_dropped_total", "reason" => reason)
            .increment(batch.events.len() as u64);
    }
}

/// Counts points that are lost, by reason.
fn count_dropped(points: usize, reason: &'static str) {
    metrics::counter!("zhiban_points_dropped_total", "reason" => reason).increment(points as u64);
}

#[cfg(test)]
mod tests;
