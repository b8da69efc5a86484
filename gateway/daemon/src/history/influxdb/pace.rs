//! How long to wait after a try that failed. A server that is back must be found within five
//! seconds, also when it did not answer at all meanwhile, and must never be asked in a storm.

use std::time::Duration;

/// Between the beginnings of two tries: at first, and at most.
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Between the end of a try and the next one.
const LEAST: Duration = Duration::from_millis(100);

/// How long a server that failed may take to say that it is there.
pub(super) const PROBE: Duration = Duration::from_secs(3);

/// How often a server is tried that fails.
#[derive(Debug)]
pub(super) struct Pace {
    wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { wait: BETWEEN.0 }
    }
}

impl Pace {
    /// A try failed that took so long: how long to wait before the next one.
    pub(super) fn failed(&mut self, took: Duration) -> Duration {
        let left = BETWEEN.1.saturating_sub(took);
        let wait = jitter(self.wait).min(left).max(LEAST);
        self.wait = (self.wait * 2).min(BETWEEN.1);
        wait
    }

    /// A try went well: the next failure is a first one.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

/// Between half of a span and all of it, so that many gateways do not try at once.
fn jitter(span: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    span.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_begin_at_most_five_seconds_apart_however_long_one_takes() {
        // A refusal, a slow page, no answer at all to a probe, and to a write as it was under way.
        for millis in [0, 1, 900, 3000, 4990, 10_000] {
            let took = Duration::from_millis(millis);
            let mut pace = Pace::default();
            for _ in 0..1000 {
                let wait = pace.failed(took);
                assert!(wait >= LEAST, "{wait:?}");
                let between = took + wait;
                assert!(
                    between <= BETWEEN.1.max(took + LEAST),
                    "{between:?} between tries of {took:?}"
                );
            }
        }
        assert!(PROBE + LEAST <= BETWEEN.1);
    }

    #[test]
    fn waits_grow_are_spread_and_begin_anew_after_success() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            for longest in [1, 2, 4, 5, 5_u64] {
                let longest = Duration::from_secs(longest);
                let wait = pace.failed(Duration::ZERO);
                assert!(wait <= longest && wait * 2 >= longest, "{wait:?}");
            }
            pace.succeeded();
        }
    }
}
