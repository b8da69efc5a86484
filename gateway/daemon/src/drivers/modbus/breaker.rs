//! How often something that does not answer is asked again: after two failures in a row only at
//! 1, 2, 4 … 64 seconds, and what guards life at least each 5 seconds. It must never make the others
//! on the line wait for long.

use crate::drivers::backoff::fraction;
use std::time::Duration;
use tokio::time::Instant;

const OPEN_AFTER: u32 = 2;
const LONGEST: Duration = Duration::from_secs(64);
/// What guards life is asked again so often; with the jitter at least each 5 s.
pub(super) const LIFE_SAFETY: Duration = Duration::from_secs(4);
/// Of the probes at such an interval, each so many'th may take the full time.
const FULL: u32 = 16;
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
#[derive(Debug)]
pub(super) struct Breaker {
    /// The longest interval.
    longest: Duration,
    failures: u32,
    next: Option<Instant>,
    /// The usual time of an answer, moving slowly.
    usual: Option<Duration>,
}

impl Breaker {
    /// Without failures yet; what `life_safety` says is asked more often while it is silent.
    pub(super) fn new(life_safety: bool) -> Self {
        Self {
            longest: if life_safety { LIFE_SAFETY } else { LONGEST },
            failures: 0,
            next: None,
            usual: None,
        }
    }

    /// When it may be asked again, while it counts as silent.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// It may be asked at once: the way to it is another than the one it was silent on.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.next = self.next.map(|next| next.min(now));
    }

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

    /// How long a probe may take: a few times what is usual and not more than `most`; now and then
    /// the full time, so that a device that became slow is found again.
    pub(super) fn probe_limit(&self, full: Duration, most: Duration) -> Duration {
        let in_full = match self.longest < LONGEST {
            true => self.failures > OPEN_AFTER && self.failures.is_multiple_of(FULL),
            false => self.interval() >= LONGEST,
        };
        if in_full {
            return full;
        }
        let few = self.usual.map_or(UNKNOWN, |usual| usual * 4);
        few.min(most).max(SHORTEST_LIMIT).min(full)
    }

    fn interval(&self) -> Duration {
        let doublings = self.failures.saturating_sub(OPEN_AFTER).min(6);
        Duration::from_secs(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_unit_is_probed_ever_less_often_and_at_last_with_the_full_time() {
        let mut breaker = Breaker::new(false);
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
            assert_eq!(
                breaker.probe_limit(full, full).as_millis(),
                limit.as_millis()
            );
        }
        breaker.succeeded(Duration::from_millis(20));
        assert_eq!(breaker.permit(now), Permit::Yes);
    }

    #[test]
    fn a_probe_never_takes_longer_than_an_exchange_may() {
        let mut breaker = Breaker::new(false);
        let full = Duration::from_millis(100);
        assert_eq!(breaker.probe_limit(full, full), full);
        assert_eq!(breaker.probe_limit(full * 10, full * 10), UNKNOWN);
        breaker.succeeded(Duration::from_micros(200));
        assert_eq!(breaker.probe_limit(full, full), SHORTEST_LIMIT);
    }
    #[test]
    fn what_guards_life_is_probed_each_five_seconds_and_at_times_with_the_full_time() {
        let mut breaker = Breaker::new(true);
        let (full, most) = (Duration::from_secs(2), Duration::from_millis(90));
        let mut now = Instant::now();
        let mut long = 0;
        for _ in 0..64 {
            breaker.failed(now);
            now += Duration::from_secs(5);
            assert_ne!(breaker.permit(now), Permit::Wait);
            let limit = breaker.probe_limit(full, most);
            assert!(limit == full || limit <= most, "{limit:?}");
            long += u32::from(limit == full);
        }
        assert_eq!(long, 4);
    }
}
