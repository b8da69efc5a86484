//! A gateway that says of every unit behind it that it cannot be reached (exceptions 10 and 11): its
//! serial side may have been replugged, and some say so on the same connection for ever. It must never
//! cost the units of a healthy line their connection.

use std::time::Duration;
use tokio::time::Instant;

/// After so long without any other answer the connection is made anew; doubled up to the second.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// What the gateway said lately.
#[derive(Debug)]
pub(super) struct Reach {
    since: Option<Instant>,
    patience: Duration,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            since: None,
            patience: PATIENCE.0,
        }
    }
}

impl Reach {
    /// A unit answered: the connection is good.
    pub(super) fn reached(&mut self) {
        *self = Self::default();
    }

    /// A unit was said to be out of reach; whether that was heard of all for so long that the
    /// connection is to be made anew.
    pub(super) fn unreachable(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if now - since < self.patience {
            return false;
        }
        self.since = None;
        self.patience = (self.patience * 2).min(PATIENCE.1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_over_which_nobody_is_reached_is_made_anew_ever_less_often() {
        let mut reach = Reach::default();
        let start = Instant::now();
        let mut renewed = Vec::new();
        for second in 0..1600 {
            if reach.unreachable(start + Duration::from_secs(second)) {
                renewed.push(second);
            }
        }
        assert_eq!(renewed, [10, 31, 72, 153, 314, 615, 916, 1217, 1518]);
        reach.reached();
        let later = start + Duration::from_secs(2000);
        assert!(!reach.unreachable(later));
        assert!(reach.unreachable(later + PATIENCE.0));
    }
}
