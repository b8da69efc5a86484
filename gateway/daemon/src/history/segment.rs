//! Making a segment: everything in memory becomes chunks, and the journal behind it may go.
//!
//! A segment counts all at once, when its last row is written; a crash before leaves nothing of it.

use super::CHUNKS;
use super::chunk::Chunk;
use super::recent::Lanes;
use super::store::Db;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Points compressed and written at once.
const POINTS: usize = 500;

const HOUR: i64 = 3_600_000;

/// Why a segment was not made.
#[derive(Debug)]
pub(super) enum Failed {
    /// It could not be written to this file.
    Sql(sqlx::Error, Arc<Db>),
    /// It could not be compressed.
    Task(tokio::task::JoinError),
}

/// When segments are made.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The newest segment's time; the next one's is later.
    newest: i64,
    /// When the first sample that is in no segment came.
    since: Option<i64>,
    /// The segment that is being made, or was and failed.
    current: Option<(i64, i64)>,
    /// When a segment that failed may be made again, and how long the next failure waits.
    again: Option<Instant>,
    pause: Duration,
}

/// After a segment failed: making one is much work, and a full disk stays full for a while.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

impl State {
    /// With the newest segment on disk.
    pub(super) fn new(newest: i64) -> Self {
        Self {
            newest,
            ..Self::default()
        }
    }

    /// Samples came.
    pub(super) fn began(&mut self, now: i64) {
        self.since.get_or_insert(now);
    }

    /// Whether a segment is to be made: an hour is over, memory is full, or the last try failed.
    pub(super) fn is_due(&self, now: i64, full: bool, running: Instant) -> bool {
        if self.again.is_some_and(|again| running < again) {
            return false;
        }
        let over = |since: i64| since.div_euclid(HOUR) != now.div_euclid(HOUR);
        full || self.current.is_some() || self.since.is_some_and(over)
    }

    /// The segment to make, up to a row of the journal; the same one again when the last try failed.
    pub(super) fn begin(&mut self, lanes: Arc<Lanes>, seq: i64, now: i64) -> Segment {
        let newest = &mut self.newest;
        let (t0, seq) = *self.current.get_or_insert_with(|| {
            *newest = now.max(*newest + 1);
            (*newest, seq)
        });
        self.since = Some(now);
        Segment { t0, seq, lanes }
    }

    /// The segment is on disk.
    pub(super) fn done(&mut self) {
        (self.current, self.again, self.pause) = (None, None, PAUSE.0);
    }

    /// The segment could not be made.
    pub(super) fn failed(&mut self, running: Instant) {
        let pause = self.pause.max(PAUSE.0);
        self.again = Some(running + pause);
        self.pause = (pause * 2).min(PAUSE.1);
    }
}

/// A segment on its way.
pub(super) struct Segment {
    t0: i64,
    seq: i64,
    lanes: Arc<Lanes>,
}

impl Segment {
    /// Compresses and writes it, some points at a time, so that flushes go on between.
    pub(super) async fn write(self, db: Arc<Db>) -> Result<(), Failed> {
        let failed = |error| Failed::Sql(error, db.clone());
        let mut span: Option<(i64, i64)> = None;
        for start in (0..self.lanes.len()).step_by(POINTS) {
            let lanes = self.lanes.clone();
            let making = tokio::task::spawn_blocking(move || chunks(&lanes, start));
            let chunks = making.await.map_err(Failed::Task)?;
            for chunk in &chunks {
                let (first, last) = span.unwrap_or((chunk.first, chunk.last));
                span = Some((first.min(chunk.first), last.max(chunk.last)));
            }
            db.put_chunks(self.t0, &chunks).await.map_err(failed)?;
        }
        let written = match span {
            Some((first, last)) => db.put_segment(self.t0, first, last, CHUNKS, self.seq).await,
            None => db.set_cursor(CHUNKS, self.seq).await,
        };
        written.map_err(failed)
    }
}

fn chunks(lanes: &Lanes, start: usize) -> Vec<Chunk> {
    let end = lanes.len().min(start + POINTS);
    let some = (start..end).filter_map(|point| u32::try_from(point).ok());
    let chunk = |point: u32| match lanes.readings(point) {
        Ok(readings) => Chunk::new(point, readings),
        Err(error) => {
            tracing::error!(point, %error, "the readings of a point are lost");
            None
        }
    };
    some.filter_map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_fails_is_tried_again_less_and_less_often() {
        let (mut state, mut running) = (State::new(5), Instant::now());
        state.began(1);
        assert!(state.is_due(HOUR, false, running));
        for pause in [1, 2, 4, 8] {
            state.begin(Arc::default(), 7, HOUR);
            state.failed(running);
            running += Duration::from_millis(pause * 1000 - 1);
            assert!(!state.is_due(HOUR, true, running));
            running += Duration::from_millis(1);
            assert!(state.is_due(HOUR, false, running));
        }
    }

    #[test]
    fn a_segment_is_due_at_the_turn_of_the_hour_and_again_after_a_failure() {
        let mut state = State::new(5);
        assert!(!state.is_due(10 * HOUR, false, Instant::now()));
        state.began(10 * HOUR - 1);
        assert!(!state.is_due(10 * HOUR - 1, false, Instant::now()));
        assert!(state.is_due(10 * HOUR - 1, true, Instant::now()));
        assert!(state.is_due(10 * HOUR, false, Instant::now()));
        let first = state.begin(Arc::default(), 7, 10 * HOUR);
        let again = state.begin(Arc::default(), 9, 10 * HOUR + 5);
        assert_eq!((first.t0, first.seq), (again.t0, again.seq));
        state.done();
        assert!(!state.is_due(10 * HOUR + 6, false, Instant::now()));
        let later = state.begin(Arc::default(), 9, 9 * HOUR);
        assert_eq!(later.t0, 10 * HOUR + 1);
    }
}
