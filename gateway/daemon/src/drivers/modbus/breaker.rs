//! How often something that does not answer is asked again: after two failures in a row only at
//! 1, 2, 4 … 64 seconds, and what guards life at least each 5 seconds. It must never ask for so short a
//! time that a device which is back could not answer: what all probes together cost the line is
//! `probes`' to bound.

use crate::drivers::backoff::fraction;
use std::time::Duration;
use tokio::time::Instant;

const OPEN_AFTER: u32 = 2;
const LONGEST: Duration = Duration::from_secs(64);
/// What guards life is asked again so often; with the jitter at least each 5 s.
pub(super) const LIFE_SAFETY: Duration = Duration::from_secs(4);
/// Each so many'th probe takes the full time: a device may be slower after it was silent.
const FULL: u32 = 3;
/// A probe waits for so many times the usual answer, and not less than this.
const USUAL: u32 = 2;
const SHORTEST_LIMIT: Duration = Duration::from_millis(100);
const HURRIED: u32 = 8;
const SHORTEST_HURRIED: Duration = Duration::from_millis(250);

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

    /// It may be asked at once: the way to it is another than the one it was silent on, or another
    /// unit behind it is back.
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

    /// Counts a failure of what was asked at `asked`.
    pub(super) fn failed(&mut self, asked: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= OPEN_AFTER {
            let jitter = 0.8 + 0.4 * fraction();
            self.next = Some(asked + self.interval().mul_f64(jitter));
        }
    }

    /// Whether what was asked last was not answered.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// How long an answer may take while others of the line fall silent: eight times what is usual for
    /// what has not failed yet, so that those who answer do not wait for all who may be gone.
    pub(super) fn hurried_limit(&self, full: Duration) -> Duration {
        match self.usual {
            Some(usual) if self.failures == 0 => (usual * HURRIED).max(SHORTEST_HURRIED).min(full),
            Some(_) | None => full,
        }
    }

    /// How long a probe may take: twice what is usual, and the full time while nothing is known of
    /// the device's speed and at each third probe.
    pub(super) fn probe_limit(&self, full: Duration) -> Duration {
        match self.usual {
            Some(usual) if !self.failures.is_multiple_of(FULL) => {
                (usual * USUAL).max(SHORTEST_LIMIT).min(full)
            }
            Some(_) | None => full,
        }
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
    fn a_silent_unit_is_probed_ever_less_often() {
        let mut breaker = Breaker::new(false);
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
        }
        breaker.succeeded(Duration::from_millis(20));
        assert_eq!(breaker.permit(now), Permit::Yes);
    }

    #[test]
    fn what_guards_life_is_probed_each_five_seconds() {
        let mut breaker = Breaker::new(true);
        let mut now = Instant::now();
        for _ in 0..64 {
            breaker.failed(now);
            now += Duration::from_secs(5);
            assert_ne!(breaker.permit(now), Permit::Wait);
        }
    }

    #[test]
    fn no_probe_is_too_short_for_an_answer_and_each_third_may_take_the_full_time() {
        let full = Duration::from_secs(2);
        for life_safety in [false, true] {
            // Of a device that never answered nothing is known: it may need all of it.
            let mut unknown = Breaker::new(life_safety);
            let mut slow = Breaker::new(life_safety);
            let mut quick = Breaker::new(life_safety);
            slow.succeeded(Duration::from_millis(120));
            quick.succeeded(Duration::from_micros(200));
            let mut in_full = 0;
            for _ in 0..30 {
                for breaker in [&mut unknown, &mut slow, &mut quick] {
                    breaker.failed(Instant::now());
                }
                assert_eq!(unknown.probe_limit(full), full);
                assert!(slow.probe_limit(full) >= Duration::from_millis(240));
                assert!(quick.probe_limit(full) >= SHORTEST_LIMIT);
                in_full += u32::from(quick.probe_limit(full) == full);
            }
            assert_eq!(in_full, 10);
            let short = Duration::from_millis(60);
            assert_eq!(quick.probe_limit(short), short);
        }
    }
}
