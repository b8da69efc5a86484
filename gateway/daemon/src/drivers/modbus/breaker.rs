//! How often something that does not answer is asked again: after two failures in a row only at
//! 1, 2, 4 … 64 seconds. It must never make the others on the line wait for long.

use crate::drivers::backoff::fraction;
use std::time::Duration;
use tokio::time::Instant;

const OPEN_AFTER: u32 = 2;
const LONGEST: Duration = Duration::from_secs(64);
/// The limit of a probe while nothing is known of the device's speed.
const UNKNOWN: Duration = Duration::from_millis(300);
const SHORTEST_LIMIT: Duration = Duration::from_millis(50);

/// Whether something may be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// As usual.
    Yes,
    /// Once, to see whether it is back.
    Probe,
    /// Not yet.
    Wait,
}

/// The failures of one unit or one request.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    next: Option<Instant>,
    /// The usual time of an answer, moving slowly.
    usual: Option<Duration>,
}

impl Breaker {
    /// Whether to ask now.
    pub(super) fn permit(&self, now: Instant) -> Permit {
        match self.next {
            None => Permit::Yes,
            Some(next) if next <= now => Permit::Probe,
            Some(_) => Permit::Wait,
        }
    }

    /// Whether it failed so often that it counts as silent.
    pub(super) fn is_open(&self) -> bool {
        self.next.is_some()
    }

    /// Counts an answer that took so long.
    pub(super) fn succeeded(&mut self, took: Duration) {
        let usual = self.usual.unwrap_or(took);
        self.usual = Some(usual.mul_f64(0.8) + took.mul_f64(0.2));
        self.close();
    }

    /// Forgets the failures.
    pub(super) fn close(&mut self) {
        self.failures = 0;
        self.next = None;
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= OPEN_AFTER {
            let jitter = 0.8 + 0.4 * fraction();
            self.next = Some(now + self.interval().mul_f64(jitter));
        }
    }

    /// How long a probe may take: a few times what is usual, and the full time at the longest
    /// interval, so that a device that became slow is found again.
    pub(super) fn probe_limit(&self, full: Duration) -> Duration {
        if self.interval() >= LONGEST {
            return full;
        }
        let few = self.usual.map_or(UNKNOWN, |usual| usual * 4);
        few.max(SHORTEST_LIMIT).min(full)
    }

    fn interval(&self) -> Duration {
        let doublings = self.failures.saturating_sub(OPEN_AFTER).min(6);
        Duration::from_secs(1 << doublings).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_unit_is_probed_ever_less_often_and_at_last_with_the_full_time() {
        let mut breaker = Breaker::default();
        let full = Duration::from_millis(500);
        breaker.succeeded(Duration::from_millis(20));
        let mut now = Instant::now();
        breaker.failed(now);
        assert_eq!(breaker.permit(now), Permit::Yes);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64, 64_u64] {
            breaker.failed(now);
            let interval = Duration::from_secs(seconds);
            assert!(breaker.is_open());
            assert_eq!(breaker.permit(now + interval.mul_f64(0.79)), Permit::Wait);
            now += interval.mul_f64(1.21);
            assert_eq!(breaker.permit(now), Permit::Probe);
            let limit = Duration::from_millis(if seconds == 64 { 500 } else { 80 });
            assert_eq!(breaker.probe_limit(full).as_millis(), limit.as_millis());
        }
        breaker.succeeded(Duration::from_millis(20));
        assert_eq!(breaker.permit(now), Permit::Yes);
    }

    #[test]
    fn a_probe_never_takes_longer_than_an_exchange_may() {
        let mut breaker = Breaker::default();
        let full = Duration::from_millis(100);
        assert_eq!(breaker.probe_limit(full), full);
        assert_eq!(breaker.probe_limit(full * 10), UNKNOWN);
        breaker.succeeded(Duration::from_micros(200));
        assert_eq!(breaker.probe_limit(full), SHORTEST_LIMIT);
    }
}
