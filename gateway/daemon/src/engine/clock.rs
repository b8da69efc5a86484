//! The gateway's clock: wall time that does not run backwards by accident.
//!
//! A small step back (the time service correcting itself) is waited out; a larger one, and one
//! forward, is a fact: it is logged, and told to what waits.

use crate::clock::{SMALL, Steps, wall};
use std::sync::Arc;
use std::time::Instant;
use zhiban_core::{Duration as Span, Timestamp};

/// The clock.
#[derive(Debug)]
pub(super) struct Clock {
    last: Timestamp,
    steps: Arc<Steps>,
}

impl Clock {
    pub(super) fn new(steps: Arc<Steps>) -> Self {
        Self {
            last: wall(),
            steps,
        }
    }

    /// The time now, for everything that happens in one turn, and by how much the clock was set
    /// since the turn before, when it was.
    pub(super) fn now(&mut self) -> (Timestamp, Option<Span>) {
        self.read(wall(), Instant::now())
    }

    fn read(&mut self, wall: Timestamp, running: Instant) -> (Timestamp, Option<Span>) {
        if let Some(by) = self.steps.take(wall, running) {
            tracing::warn!(skew_ms = by.millis(), "the clock was set");
            metrics::counter!("zhiban_clock_steps_total").increment(1);
            self.last = wall;
            return (wall, Some(by));
        }
        self.last = self.last.max(wall);
        (self.last, None)
    }

    /// What is stored has moved by a step.
    pub(super) fn written(&self, by: Span) {
        self.steps.written(by);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_step_is_told_once_and_a_small_one_is_waited_out() {
        let (wall, begun) = (Timestamp::from_millis(1_795_000_000_000), Instant::now());
        let steps = Arc::new(Steps::at(wall, begun));
        let mut clock = Clock {
            last: wall,
            steps: steps.clone(),
        };
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

    #[test]
    fn stored_times_are_compared_without_the_step_until_they_have_moved() {
        let (wall, begun) = (Timestamp::from_millis(1_795_000_000_000), Instant::now());
        let steps = Steps::at(wall, begun);
        let hour = Span::from_secs(3600);
        let unsettled = |ran: u64| {
            let running = begun + Duration::from_secs(ran);
            let now = wall + Span::from_secs(3600 + ran as i64);
            steps.unsettled_at(now, running).millis()
        };
        assert_eq!(unsettled(1), 3_600_000, "before the engine looked");
        let seen = steps.take(wall + Span::from_secs(3602), begun + Duration::from_secs(2));
        assert_eq!(seen, Some(hour));
        assert_eq!(unsettled(3), 3_600_000, "before it is written");
        steps.written(hour);
        assert_eq!(unsettled(4), 0);
    }
}
