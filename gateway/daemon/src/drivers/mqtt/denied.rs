//! Which topics a broker closes the connection for: some do that instead of refusing a subscription, and MQTT 3.1.1
//! says no reason. So topics are asked for one at a time once the broker closed while it owed an answer.
//!
//! Another client under the same name must never look like that: a connection is left quiet first, and who takes it
//! does so then. A topic is never left out for longer than an hour.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A connection is left alone for so long before topics are asked for one at a time.
pub(super) const QUIET: Duration = Duration::from_secs(2);
/// So often in a row the broker closes when it is asked for a topic alone, before the topic is left out.
const TIMES: u8 = 2;
/// A topic that was left out is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// What is known of one broker.
#[derive(Debug, Default)]
pub(super) struct Denied {
    apart: bool,
    /// What it was asked for alone when it last closed, and how often in a row.
    suspect: Option<(String, u8)>,
    /// What is left out, and since when.
    out: BTreeMap<String, Instant>,
}

impl Denied {
    /// Whether topics are to be asked for one at a time.
    pub(super) fn apart(&self) -> bool {
        self.apart
    }

    /// Whether a topic is not to be asked for now.
    pub(super) fn is_out(&self, filter: &str) -> bool {
        self.out.contains_key(filter)
    }

    /// All that is left out.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.out.keys()
    }

    /// A connection ended while these topics had no answer. Returns the one that is left out from now on.
    pub(super) fn ended(
        &mut self,
        by_broker: bool,
        unanswered: &[&str],
        now: Instant,
    ) -> Option<String> {
        let suspect = self.suspect.take();
        if !by_broker || unanswered.is_empty() {
            return None;
        }
        let was_apart = std::mem::replace(&mut self.apart, true);
        let [only] = unanswered else { return None };
        if !was_apart {
            return None;
        }
        let before = suspect.filter(|(filter, _)| filter == only);
        let times = before.map_or(1, |(_, times)| times + 1);
        // That this broker closes for topics is known once one is out.
        if times < TIMES && self.out.is_empty() {
            self.suspect = Some(((*only).to_owned(), times));
            return None;
        }
        self.out.insert((*only).to_owned(), now);
        Some((*only).to_owned())
    }

    /// The broker answered all that it was asked.
    pub(super) fn answered(&mut self) {
        self.apart = false;
        self.suspect = None;
    }

    /// When the next one is to be asked for again; `None` when nothing is left out.
    pub(super) fn due(&self) -> Option<Instant> {
        self.out.values().min().map(|since| *since + AGAIN)
    }

    /// Takes the one that is due, to be asked for alone; one more close leaves it out again.
    pub(super) fn again(&mut self) -> Option<String> {
        let (filter, _) = self.out.iter().min_by_key(|(_, since)| **since)?;
        let filter = filter.clone();
        self.out.remove(&filter);
        self.apart = true;
        self.suspect = Some((filter.clone(), TIMES - 1));
        Some(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_topic_that_was_asked_for_alone_twice_in_a_row_is_left_out() {
        let mut denied = Denied::default();
        let now = Instant::now();
        let mut ended = |by_broker, unanswered: &[&str]| denied.ended(by_broker, unanswered, now);
        assert_eq!(ended(true, &["a", "b"]), None);
        assert_eq!(ended(true, &["b"]), None);
        // Another client, a line that broke, another topic: not for this one.
        assert_eq!(ended(true, &[]), None);
        assert_eq!(ended(true, &["b"]), None);
        assert_eq!(ended(false, &["b"]), None);
        assert_eq!(ended(true, &["b"]), None);
        assert_eq!(ended(true, &["a"]), None);
        assert_eq!(ended(true, &["b"]), None);
        assert_eq!(ended(true, &["b"]).as_deref(), Some("b"));
        assert!(denied.is_out("b") && !denied.is_out("a"));
        assert_eq!(denied.due(), Some(now + AGAIN));
        assert_eq!(
            denied.ended(true, &["c"], now + AGAIN).as_deref(),
            Some("c")
        );
        denied.answered();
        assert!(!denied.apart());
        assert_eq!(denied.again().as_deref(), Some("b"));
        assert!(denied.apart() && !denied.is_out("b"));
        assert_eq!(denied.ended(true, &["b"], now).as_deref(), Some("b"));
    }

    #[test]
    fn the_only_topic_of_a_link_is_not_left_out_before_it_was_asked_for_in_quiet() {
        let mut denied = Denied::default();
        let now = Instant::now();
        for left_out in [false, false, true] {
            assert_eq!(denied.ended(true, &["a"], now).is_some(), left_out);
        }
    }
}
