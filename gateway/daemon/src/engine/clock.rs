//! The gateway's clock: wall time that does not run backwards by accident.
//!
//! A small step back (the time service correcting itself) is waited out; a larger one, and one
//! forward, is a fact: it is logged, and told to what waits.

use std::time::{Duration, Instant};
use zhiban_core::{Duration as Span, Timestamp};

/// A step smaller than this, in milliseconds, is none.
const SMALL: i64 = 2_000;

/// The clock.
#[derive(Debug)]
pub(super) struct Clock {
    last: Timestamp,
    /// Wall time and running time when the two were last compared.
    base: (Timestamp, Instant),
}

impl Clock {
    pub(super) fn new() -> Self {
        Self::at(wall(), Instant::now())
    }

    fn at(wall: Timestamp, running: Instant) -> Self {
        Self {
            last: wall,
            base: (wall, running),
        }
    }

    /// The time now, for everything that happens in one turn, and by how much the clock was set
    /// since the turn before, when it was.
    pub(super) fn now(&mut self) -> (Timestamp, Option<Span>) {
        self.read(wall(), Instant::now())
    }

    fn read(&mut self, wall: Timestamp, running: Instant) -> (Timestamp, Option<Span>) {
        let (base, since) = self.base;
        let ran = running.saturating_duration_since(since).as_millis();
        let ran = i64::try_from(ran).unwrap_or(i64::MAX);
        let skew = wall.millis() - base.millis() - ran;
        if skew.abs() > SMALL {
            tracing::warn!(skew_ms = skew, "the clock was set");
            metrics::counter!("zhiban_clock_steps_total").increment(1);
            *self = Self::at(wall, running);
            return (wall, Some(Span::from_millis(skew)));
        }
        self.last = self.last.max(wall);
        (self.last, None)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_once_and_a_small_one_is_waited_out() {
        let (wall, begun) = (Timestamp::from_millis(1_795_000_000_000), Instant::now());
        let mut clock = Clock::at(wall, begun);
        let mut at = |wall_ms: i64, ran_ms: u64| {
            let (now, set) = clock.read(
                wall + Span::from_millis(wall_ms),
                begun + Duration::from_millis(ran_ms),
            );
            (now.millis() - wall.millis(), set.map(Span::millis))
        };
        assert_eq!(at(1_000, 1_000), (1_000, None));
        assert_eq!(at(500, 1_200), (1_000, None), "waited out");
        assert_eq!(at(3_601_300, 1_300), (3_601_300, Some(3_600_000)));
        assert_eq!(at(3_601_400, 1_400), (3_601_400, None), "told once");
        assert_eq!(at(-98_500, 1_500), (-98_500, Some(-3_700_000)));
        assert_eq!(at(-98_400, 1_600), (-98_400, None));
        // The process stood still, the world did not: nothing was set.
        assert_eq!(at(-68_400, 31_600), (-68_400, None));
    }
}
