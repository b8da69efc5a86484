//! The topics of an earlier configuration: a session that the broker kept goes on sending them until they are taken
//! back. What is subscribed to is written down before it is asked for, and forgotten once the broker confirmed.

use super::line::FILTERS;
use crate::drivers::MqttLink;
use crate::drivers::memory::Topics;
use rumqttc::Unsubscribe;
use std::collections::BTreeSet;

/// What one client may still get of one broker.
pub(super) struct Earlier {
    kept: Topics,
    /// Under which name it is kept.
    session: String,
    wanted: BTreeSet<String>,
    /// What it may get and nobody wants.
    left: BTreeSet<String>,
    /// The requests that the broker has not confirmed.
    asked: BTreeSet<u16>,
}

impl Earlier {
    pub(super) fn new(kept: Topics, link: &MqttLink, wanted: &BTreeSet<String>) -> Self {
        let session = format!("{}@{}:{}", link.client_id, link.host, link.port);
        let known = kept.get(&session).unwrap_or_default();
        let left: BTreeSet<String> = known.difference(wanted).cloned().collect();
        let all = known.union(wanted).cloned().collect();
        kept.keep(&session, Some(all));
        Self {
            kept,
            session,
            wanted: wanted.clone(),
            left,
            asked: BTreeSet::new(),
        }
    }

    /// What to take back on a new connection, in requests numbered from here on. A session that the broker did not
    /// keep has no topics.
    pub(super) fn take_back(&mut self, session_present: bool, first: u16) -> Vec<Unsubscribe> {
        if !session_present {
            self.done();
        }
        let left: Vec<String> = self.left.iter().cloned().collect();
        let requests: Vec<Unsubscribe> = (first..)
            .zip(left.chunks(FILTERS))
            .map(|(pkid, topics)| Unsubscribe {
                pkid,
                topics: topics.to_vec(),
            })
            .collect();
        self.asked = requests.iter().map(|request| request.pkid).collect();
        requests
    }

    /// The broker confirmed a request. Says how many topics are taken back once it was the last.
    pub(super) fn confirmed(&mut self, number: u16) -> Option<usize> {
        let known = self.asked.remove(&number);
        if !known || !self.asked.is_empty() {
            return None;
        }
        let count = self.left.len();
        self.done();
        Some(count)
    }

    fn done(&mut self) {
        self.left.clear();
        self.kept.keep(&self.session, Some(self.wanted.clone()));
    }
}
