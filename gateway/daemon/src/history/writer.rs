//! The task that owns the journal: filters, flushes, makes segments, deletes what is too old.
//!
//! It never waits for InfluxDB. A batch is answered when it is on disk, or waits in memory because
//! the disk takes nothing.

use super::codec::{Row, Stored, events_to_bytes, samples_to_bytes};
use super::dictionary::Dictionary;
use super::filter::Filter;
use super::health::HistoryHealth;
use super::recent::Recent;
use super::segment;
use super::store::{Db, JournalRow, Store, is_damaged};
use super::{Batch, CHUNKS, EventLine, Options, count_dropped, wall};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Batches taken from the queue at once.
const BATCHES: usize = 256;

/// Samples that may wait in memory while the disk refuses them.
const WAITING: usize = 200_000;

/// How often rows and segments that are no longer needed are looked for.
const UPKEEP: Duration = Duration::from_secs(60);

/// Nothing is deleted for its age before the clock went steadily for so long,
const STEADY: Duration = Duration::from_secs(3600);
/// which it does not when it is set by more than this, in milliseconds.
const STEP: i64 = 60_000;

/// After a write failed.
const RETRY: Duration = Duration::from_secs(1);

/// After the stop, how long the engine may still send.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The bytes of the journal read back at once.
const READ: usize = 1 << 20;

/// What the task works with.
pub(super) struct Writer {
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) filter: Filter,
    pub(super) recent: Arc<Mutex<Recent>>,
    /// The last row of the journal whose samples are in memory, while those of later rows are not:
    /// memory was full, and the segment before was not on disk yet.
    pub(super) behind: Option<i64>,
    pub(super) health: HistoryHealth,
    /// The cursors there must be.
    pub(super) sinks: &'static [&'static str],
    /// Points that the file does not know yet; `None` once it knows all of them and its cursors.
    /// Nothing is written before: a number must never come to mean another point.
    pub(super) unsettled: Option<Vec<u32>>,
    /// How long the clock went steadily.
    pub(super) steady: Steady,
    /// Tells how far the journal goes.
    pub(super) seq: watch::Sender<i64>,
    pub(super) waiting: Waiting,
    pub(super) segments: JoinSet<Result<(), segment::Failed>>,
    pub(super) segment: segment::State,
}

/// What is not on disk yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    samples: Vec<Stored>,
    events: Vec<EventLine>,
    durable: Vec<oneshot::Sender<()>>,
    /// When it must be written.
    due: Option<Instant>,
}

impl Writer {
    /// Works until every sender is gone, or for a short while after the stop.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Batch>, stop: CancellationToken) {
        self.restore().await;
        let mut batches = Vec::with_capacity(BATCHES);
        let mut upkeep = tokio::time::interval(UPKEEP);
        let mut end: Option<Instant> = None;
        loop {
            let due = self.waiting.due;
            tokio::select! {
                taken = queue.recv_many(&mut batches, BATCHES) => {
                    if taken == 0 {
                        break;
                    }
                    self.take(&mut batches);
                }
                () = at(due) => {}
                _ = upkeep.tick() => self.upkeep().await,
                Some(done) = self.segments.join_next() => self.segment_done(done).await,
                () = stop.cancelled(), if end.is_none() => end = Some(Instant::now() + LAST_WORDS),
                () = at(end), if end.is_some() => break,
            }
            if self.waiting.due.is_some_and(|due| due <= Instant::now()) {
                self.flush().await;
            }
        }
        queue.close();
        while let Ok(batch) = queue.try_recv() {
            self.take(&mut vec![batch]);
        }
        count_unchanged(self.filter.finish(&mut self.waiting.samples));
        self.flush().await;
        count_dropped(self.waiting.samples.len(), "stopping");
        self.segments.shutdown().await;
        self.store.db().close().await;
    }

    /// The first settling, before anything else looks at the file. A disk that takes nothing keeps
    /// no gateway from starting: it is tried again with each flush.
    pub(super) async fn begin(&mut self) {
        if let Err(error) = self.settle().await {
            tracing::error!(%error, "telemetry cannot be written; it waits in memory");
            self.health.fails(error.to_string());
        }
    }

    /// Tells the file which points there are, and which cursors there must be.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        let Some(changed) = &self.unsettled else {
            return Ok(());
        };
        let db = self.store.db();
        db.save_points(&self.dictionary, changed).await?;
        db.set_sinks(self.sinks).await?;
        self.unsettled = None;
        // Room that is nobody's; without it the rest works too.
        if let Err(error) = db.drop_orphans().await {
            tracing::warn!(%error, "what a kill left of a segment cannot be deleted");
        }
        Ok(())
    }

    /// Makes the samples that are in no segment readable again.
    async fn restore(&mut self) {
        let db = self.store.db();
        match db.cursor(CHUNKS).await {
            Ok(seq) => {
                self.behind = Some(seq);
                self.go_on().await;
            }
            Err(error) => {
                tracing::error!(%error, "the newest telemetry cannot be read back");
                self.after_failure(&error, &db).await;
            }
        }
    }

    /// Fills memory again with what is only in the journal, and makes the next segment of it.
    async fn go_on(&mut self) {
        let db = self.store.db();
        if let Err(error) = self.catch_up(&db).await {
            tracing::error!(%error, "telemetry cannot be read back from the journal");
            self.after_failure(&error, &db).await;
        }
        if self.is_full() && !self.recent().is_leaving() {
            self.begin_segment();
        }
    }

    /// Reads rows of the journal whose samples are not in memory, as many as memory holds.
    async fn catch_up(&mut self, db: &Db) -> Result<(), sqlx::Error> {
        while let Some(seq) = self.behind.filter(|_| !self.is_full()) {
            let rows = db.rows_after(seq, READ).await?;
            self.behind = rows.last().map(|row| row.seq);
            for row in &rows {
                match Row::from_bytes(&row.body) {
                    Ok(Row::Samples(samples)) => self.remember(&samples, row.t),
                    Ok(Row::Events(_)) => {}
                    Err(error) => {
                        tracing::error!(row = row.seq, %error, "a row of the journal is lost");
                        count_dropped(usize::try_from(row.count).unwrap_or(0), "damaged");
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether memory holds as many samples as it may.
    fn is_full(&self) -> bool {
        self.recent().resident() > self.options.memory
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&mut self, samples: &[Stored], now: i64) {
        let bytes = {
            let mut recent = self.recent();
            recent.push(samples);
            recent.resident()
        };
        #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
        metrics::gauge!("zhiban_history_memory_bytes").set(bytes as f64);
        self.segment.began(now);
    }

    /// Filters what came, and decides when it must be on disk.
    fn take(&mut self, batches: &mut Vec<Batch>) {
        let (mut received, mut unchanged) = (0, 0);
        let waiting = &mut self.waiting;
        for batch in batches.drain(..) {
            received += batch.updates.len() as u64;
            for update in &batch.updates {
                unchanged += self.filter.take(update, &mut waiting.samples);
            }
            waiting.events.extend(batch.events);
            waiting.durable.extend(batch.durable);
        }
        metrics::counter!("zhiban_history_points_total", "what" => "received").increment(received);
        count_unchanged(unchanged);
        let empty = waiting.samples.is_empty() && waiting.events.is_empty();
        if !waiting.durable.is_empty() {
            waiting.due = Some(Instant::now());
        } else if waiting.due.is_none() && !empty {
            waiting.due = Some(Instant::now() + self.options.flush.to_std());
        }
    }

    /// Writes what waits, and answers who waits for it.
    pub(super) async fn flush(&mut self) {
        self.waiting.due = None;
        let disk = self.options.disk.as_ref();
        if disk.is_some_and(|disk| disk.is_given_up()) {
            let why = "the disk is full, and what room is left is for records";
            self.health.fails(why.to_owned());
            self.waiting.fail();
            return;
        }
        let now = wall();
        let rows = self.rows(now);
        let db = self.store.db();
        let written = async {
            self.settle().await?;
            if rows.is_empty() {
                return Ok(());
            }
            db.append(&rows).await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "telemetry cannot be written; it waits in memory");
            self.health.fails(error.to_string());
            self.waiting.fail();
            self.after_failure(&error, &db).await;
            return;
        }
        if let Some(last) = rows.last() {
            self.seq.send_replace(last.seq);
            self.health.works(last.seq, now);
        }
        let samples = std::mem::take(&mut self.waiting.samples);
        self.waiting.events.clear();
        self.keep(&samples, &rows, now);
        metrics::counter!("zhiban_history_points_total", "what" => "stored")
            .increment(samples.len() as u64);
        for waiting in self.waiting.durable.drain(..) {
            // Whoever asked may have left; then nobody needs the answer.
            waiting.send(()).ok();
        }
        if self.segments.is_empty() && self.segment.is_due(now, self.is_full(), Instant::now()) {
            self.begin_segment();
        }
    }

    /// Makes samples that are on disk readable, when there is room for them: a segment that cannot
    /// be written must not make memory grow.
    fn keep(&mut self, samples: &[Stored], rows: &[JournalRow], now: i64) {
        let most = self.options.memory + self.options.ahead;
        let over = self.recent().is_leaving() && self.recent().resident() > most;
        if self.behind.is_none() && over {
            self.behind = rows.first().map(|row| row.seq - 1);
        }
        if self.behind.is_none() {
            self.remember(samples, now);
        }
    }

    fn rows(&self, t: i64) -> Vec<JournalRow> {
        let mut seq = *self.seq.borrow();
        let mut rows = Vec::new();
        let mut push = |count: usize, body: Vec<u8>| {
            seq += 1;
            rows.push(JournalRow {
                seq,
                t,
                count: i64::try_from(count).unwrap_or(i64::MAX),
                body,
            });
        };
        let Waiting {
            samples, events, ..
        } = &self.waiting;
        if !samples.is_empty() {
            push(samples.len(), samples_to_bytes(samples));
        }
        if !events.is_empty() {
            push(0, events_to_bytes(events));
        }
        rows
    }

    /// A damaged file is set aside and another one begun; any other failure may pass.
    async fn after_failure(&mut self, error: &sqlx::Error, db: &Arc<Db>) {
        if !is_damaged(error) {
            return;
        }
        match self.store.renew(db).await {
            Ok(None) => return,
            Ok(Some(aside)) => {
                tracing::error!(
                    aside,
                    "telemetry.db is damaged; it is set aside, a new one begun"
                );
                self.health.set_aside(aside);
            }
            Err(error) => {
                tracing::error!(%error, "telemetry.db is damaged and stays");
                return;
            }
        }
        self.unsettled = Some(self.dictionary.all());
        if let Err(error) = self.settle().await {
            tracing::error!(%error, "the new telemetry.db cannot be written");
        }
    }

    /// Turns what is in memory into a segment, while this task goes on.
    pub(super) fn begin_segment(&mut self) {
        let seq = self.behind.unwrap_or(*self.seq.borrow());
        let lanes = self.recent().leave();
        let segment = self.segment.begin(lanes, seq, wall());
        self.segments.spawn(segment.write(self.store.db()));
    }

    async fn segment_done(
        &mut self,
        done: Result<Result<(), segment::Failed>, tokio::task::JoinError>,
    ) {
        match done {
            Ok(Ok(())) => {
                self.recent().left();
                self.segment.done();
                self.trim().await;
                self.go_on().await;
            }
            Ok(Err(segment::Failed::Sql(error, db))) => {
                self.segment.failed(Instant::now());
                tracing::error!(%error, "a segment of telemetry cannot be written; tried again");
                self.after_failure(&error, &db).await;
            }
            Ok(Err(segment::Failed::Task(error))) | Err(error) => {
                self.segment.failed(Instant::now());
                tracing::error!(%error, "a segment of telemetry cannot be made; tried again");
            }
        }
    }

    /// Deletes what nobody needs any more.
    async fn upkeep(&mut self) {
        if self.behind.is_some() && !self.recent().is_leaving() {
            self.go_on().await;
        }
        let db = self.store.db();
        if let Err(error) = self.try_upkeep(&db).await {
            tracing::warn!(%error, "old telemetry cannot be deleted; tried again");
            self.after_failure(&error, &db).await;
        }
    }

    async fn try_upkeep(&mut self, db: &Db) -> Result<(), sqlx::Error> {
        let now = wall();
        if !self.steady.may_forget(now, Instant::now()) {
            return Ok(());
        }
        while db
            .expire(now.saturating_sub(self.options.retention.millis()))
            .await?
        {}
        for sink in self.sinks.iter().filter(|sink| **sink != CHUNKS) {
            let oldest = now.saturating_sub(self.options.backlog.millis());
            let lost = db.give_up_before(sink, oldest, now).await?;
            if lost > 0 {
                tracing::error!(sink, lost, "telemetry waited too long and is not delivered");
                count_dropped(usize::try_from(lost).unwrap_or(0), "backlog");
            }
        }
        self.trim().await;
        Ok(())
    }

    async fn trim(&mut self) {
        let db = self.store.db();
        loop {
            match db.trim().await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the journal cannot be shortened; tried again");
                    return;
                }
            }
        }
    }
}

/// Whether the wall clock can be trusted with deleting: one that was just set, or runs since a
/// moment only, may be off by years.
#[derive(Debug)]
pub(super) struct Steady {
    /// Wall time and running time when it was last found to be steady from.
    since: (i64, Instant),
}

impl Steady {
    pub(super) fn new(now: i64, running: Instant) -> Self {
        Self {
            since: (now, running),
        }
    }

    /// Whether what is older than it is kept may be deleted by this clock.
    pub(super) fn may_forget(&mut self, now: i64, running: Instant) -> bool {
        let (wall, since) = self.since;
        let ran = running.saturating_duration_since(since);
        let passed = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX);
        if (now - wall - passed).abs() > STEP {
            *self = Self::new(now, running);
            return false;
        }
        ran >= STEADY
    }
}

impl Waiting {
    /// What waits is bounded, and the oldest goes first. Who waits is answered: what their message
    /// decided is in the record store, and a broker that hears nothing would bring no more faults.
    fn fail(&mut self) {
        for waiting in self.durable.drain(..) {
            waiting.send(()).ok();
        }
        self.due = Some(Instant::now() + RETRY);
        let over = self.samples.len().saturating_sub(WAITING);
        self.samples.drain(..over);
        count_dropped(over, "disk");
        if self.events.len() > WAITING {
            self.events.clear();
        }
    }
}

/// Counts samples that say what was stored before.
fn count_unchanged(samples: u64) {
    metrics::counter!("zhiban_history_points_total", "what" => "unchanged").increment(samples);
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
