//! A message above every limit: whether the broker's session is given up for it.
//!
//! Only what the broker keeps for this gateway ends each connection, and that it sends first.
//! Giving up must never be repeated for what it does not help against, as for a retained message.

use std::time::Duration;
use tokio::time::Instant;

/// What the broker sends again comes so soon after a connection's beginning.
const SOON: Duration = Duration::from_secs(5);
/// A message that comes again within this time is the same one.
const AGAIN: Duration = Duration::from_secs(300);
/// A connection that lasts for so long shows that giving up helped.
const HELPED: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Connect again: it was not one that the broker keeps, or that is not known yet.
    Retry,
    /// Give up the session, for nothing behind it would ever come.
    GiveUp,
    /// Wait for long: the session was given up, and it came again.
    Pause,
}

/// What was refused, and when.
#[derive(Debug, Default)]
pub(super) struct Oversize {
    connected: Option<Instant>,
    refused: Option<(usize, Instant)>,
    given_up: bool,
}

impl Oversize {
    /// A connection is up.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// A message of this size ended the connection.
    pub(super) fn refused(&mut self, size: usize, now: Instant) -> Remedy {
        let soon = self.connected.is_some_and(|at| now - at < SOON);
        let last = self.refused.replace((size, now));
        let again = last.is_some_and(|(known, at)| known == size && now - at < AGAIN);
        if soon && self.given_up {
            return Remedy::Pause;
        }
        if soon && again {
            self.given_up = true;
            return Remedy::GiveUp;
        }
        Remedy::Retry
    }

    /// The connection is gone.
    pub(super) fn ended(&mut self, now: Instant) {
        let held = self.connected.take();
        self.given_up &= held.is_none_or(|at| now - at < HELPED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done when connections are ended by messages of these sizes after so many seconds.
    fn remedies(connections: &[(usize, u64)]) -> Vec<Remedy> {
        let mut oversize = Oversize::default();
        let mut now = Instant::now();
        let ended = connections.iter().map(|(size, seconds)| {
            oversize.connected(now);
            now += Duration::from_secs(*seconds);
            let remedy = oversize.refused(*size, now);
            oversize.ended(now);
            remedy
        });
        ended.collect()
    }

    #[test]
    fn the_session_is_given_up_once_and_only_for_what_is_sent_again_first() {
        use Remedy::{GiveUp, Pause, Retry};
        assert_eq!(remedies(&[(17, 60), (17, 1)]), [Retry, GiveUp]);
        // Sent once at a time, by a device that does not wait to hear of it.
        assert_eq!(remedies(&[(17, 60), (17, 60), (17, 60)]), [Retry; 3]);
        assert_eq!(remedies(&[(17, 1), (18, 1), (19, 1)]), [Retry; 3]);
        // Retained, it comes to each session anew.
        let retained = [(17, 1); 4];
        assert_eq!(remedies(&retained), [Retry, GiveUp, Pause, Pause]);
        // Giving up helped, and another one came.
        let another = [(17, 1), (17, 1), (17, 60), (17, 1)];
        assert_eq!(remedies(&another), [Retry, GiveUp, Retry, GiveUp]);
    }
}
