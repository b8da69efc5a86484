//! The gateway's clock: wall time that does not run backwards by accident.
//!
//! A small step back (the time service correcting itself) is waited out; a large one is a fact
//! and is logged.

use std::time::Duration;
use zhiban_core::{Duration as Span, Timestamp};

/// A step back smaller than this is waited out.
const SMALL: i64 = 2_000;

/// The clock.
#[derive(Debug)]
pub(super) struct Clock {
    last: Timestamp,
    started: std::time::Instant,
    base: Timestamp,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = wall();
        Self {
            last: now,
            started: std::time::Instant::now(),
            base: now,
        }
    }

    /// The time now, for everything that happens in one turn, and by how much the clock was set
    /// back since the turn before: by more than is waited out.
    pub(super) fn now(&mut self) -> (Timestamp, Option<Span>) {
        let wall = wall();
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let skew = wall.millis() - self.base.millis() - elapsed;
        if skew.abs() > SMALL {
            tracing::warn!(skew_ms = skew, "the clock was set");
            metrics::counter!("zhiban_clock_steps_total").increment(1);
            self.base = wall;
            self.started = std::time::Instant::now();
        }
        let back = self.last.millis() - wall.millis();
        if back > 0 && back <= SMALL {
            return (self.last, None);
        }
        self.last = wall;
        (
            wall,
            (back > 0).then(|| Span::from_millis(-skew.min(-back))),
        )
    }

    /// The time of the last turn.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    /// The time now, without taking it.
    pub(super) fn peek(&self) -> Timestamp {
        wall().max(self.last - Span::from_millis(SMALL))
    }
}

fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
