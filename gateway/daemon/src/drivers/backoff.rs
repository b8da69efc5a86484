//! Waiting between attempts: full jitter under a growing cap, so that many gateways never come
//! back in step. It must never forget a failure before a link was healthy for a minute.

use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);
const LEAST: Duration = Duration::from_millis(50);
const HEALTHY: Duration = Duration::from_secs(60);

/// How often something failed lately.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    last: Option<Instant>,
    /// The longest wait, where it is not the usual one.
    most: Option<Duration>,
}

impl Backoff {
    /// Never waits for longer than this.
    pub(crate) fn at_most(most: Duration) -> Self {
        Self {
            most: Some(most),
            ..Self::default()
        }
    }

    /// Counts a failure and says until when to wait.
    pub(crate) fn failed(&mut self, now: Instant) -> Instant {
        self.forget(now);
        let cap = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(self.most.unwrap_or(MOST))
            .max(LEAST);
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        now + cap.mul_f64(fraction()).max(LEAST)
    }

    /// A short wait after something useful was cut off; counts as no failure.
    pub(crate) fn interrupted(now: Instant) -> Instant {
        now + FIRST.mul_f64(fraction()).max(LEAST)
    }

    fn forget(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now - last >= HEALTHY) {
            self.failures = 0;
            self.last = None;
        }
    }
}

/// A random number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    // Without a source of chance the middle is as good.
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_a_growing_cap_and_are_forgotten_after_a_healthy_minute() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        for round in 0..40_u32 {
            let wait = backoff.failed(start) - start;
            let cap = FIRST * 2_u32.pow(round.min(10));
            assert!(wait >= LEAST && wait <= cap.min(MOST), "{round}: {wait:?}");
        }
        backoff.forget(start + Duration::from_secs(59));
        assert_eq!(backoff.failures, 40);
        backoff.forget(start + HEALTHY);
        assert_eq!(backoff.failures, 0);
    }
}
