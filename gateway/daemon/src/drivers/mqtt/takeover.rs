//! Whether another client takes this one's place at the broker: MQTT 3.1.1 gives no reason, the
//! broker only ends the older connection of two under one name. So it is seen by the pattern:
//! accepted each time at once, and closed by the broker soon after, again and again.
//!
//! A broker that is away or restarts must never look like that: it accepts nothing meanwhile.

use std::time::Duration;
use tokio::time::Instant;

/// A connection that the broker ended sooner than this ended early.
const EARLY: Duration = Duration::from_secs(60);
/// So many early ends,
const ENDS: usize = 3;
/// within this time, are a pattern.
const WITHIN: Duration = Duration::from_secs(300);
/// A connection that holds for so long ends the suspicion.
const HOLDS: Duration = Duration::from_secs(90);

/// How the last connections ended.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// When the present connection was accepted.
    accepted: Option<Instant>,
    /// When connections ended early, oldest first.
    ends: Vec<Instant>,
}

impl Takeover {
    /// The broker accepted a connection.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.accepted = Some(now);
    }

    /// A connection, or the attempt to have one, ended; by the broker or otherwise.
    pub(super) fn ended(&mut self, by_broker: bool, now: Instant) {
        let early = self.accepted.take().is_some_and(|at| now - at < EARLY);
        if !(by_broker && early) {
            self.ends.clear();
            return;
        }
        self.ends.retain(|end| now - *end < WITHIN);
        if self.ends.len() == ENDS {
            self.ends.remove(0);
        }
        self.ends.push(now);
    }

    /// Whether another client seems to use the same name.
    pub(super) fn suspected(&self) -> bool {
        self.ends.len() >= ENDS
    }

    /// When the present connection has held for long enough; `None` while nothing is suspected.
    pub(super) fn over(&self) -> Option<Instant> {
        let accepted = self.accepted.filter(|_| self.suspected());
        accepted.map(|accepted| accepted + HOLDS)
    }

    /// The present connection held.
    pub(super) fn forget(&mut self) {
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is suspected after connections that lasted so many seconds, each followed by a wait;
    /// 0 is an attempt that failed.
    fn suspected(connections: &[(u64, bool)]) -> bool {
        let mut takeover = Takeover::default();
        let mut now = Instant::now();
        for (seconds, by_broker) in connections {
            if *seconds > 0 {
                takeover.accepted(now);
            }
            now += Duration::from_secs(*seconds);
            takeover.ended(*by_broker, now);
            now += Duration::from_secs(5);
        }
        takeover.suspected()
    }

    #[test]
    fn only_connections_that_the_broker_accepts_and_soon_ends_are_suspicious() {
        assert!(suspected(&[(1, true), (20, true), (50, true)]));
        assert!(!suspected(&[(1, true), (1, true)]));
        // The broker is restarted again and again: between, it accepts nothing.
        assert!(!suspected(&[
            (1, true),
            (0, false),
            (1, true),
            (0, false),
            (1, true)
        ]));
        // Ended here, for want of an answer.
        assert!(!suspected(&[(1, false), (1, false), (1, false)]));
        // A line that is cut each quarter of an hour.
        assert!(!suspected(&[(900, true), (900, true), (900, true)]));
        assert!(suspected(&[(900, true), (9, true), (9, true), (9, true)]));
    }

    #[test]
    fn a_connection_that_holds_ends_the_suspicion() {
        let mut takeover = Takeover::default();
        let now = Instant::now();
        for _ in 0..4 {
            takeover.accepted(now);
            takeover.ended(true, now);
        }
        assert_eq!(takeover.over(), None, "there is no connection");
        takeover.accepted(now);
        assert_eq!(takeover.over(), Some(now + HOLDS));
        takeover.forget();
        assert!(!takeover.suspected());
        assert_eq!(takeover.over(), None);
    }
}
