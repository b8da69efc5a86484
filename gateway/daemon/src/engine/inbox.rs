//! Which messages were received lately, so that a second copy does nothing a second time.
//!
//! It only ever answers "a copy" for a message that its sender says it sends again: two messages
//! that just say "on" are two events.

use crate::journal::InboxKey;
use std::collections::{HashSet, VecDeque};
use zhiban_core::{Input, PointUpdate};

/// How many messages are remembered; a broker sends again far fewer.
const REMEMBERED: usize = 200_000;

/// Messages received lately, oldest forgotten first.
#[derive(Debug, Default)]
pub struct Inbox {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Inbox {
    /// The messages the journal knows, oldest first.
    pub fn restore(keys: impl IntoIterator<Item = InboxKey>) -> Self {
        let mut inbox = Self::default();
        for key in keys {
            inbox.insert(key);
        }
        inbox
    }

    /// Whether this is a second copy.
    pub fn is_copy(&self, key: &InboxKey) -> bool {
        key.unique && self.known.contains(&key.hash)
    }

    /// Remembers a message.
    pub fn insert(&mut self, key: InboxKey) {
        if self.known.insert(key.hash) {
            self.order.push_back(key.hash);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// What still counts of a copy: how the link stands, which its driver will not say again, and the
/// samples as the history keeps them.
pub(super) fn of_copy(inputs: Vec<Input>) -> (Vec<Input>, Vec<PointUpdate>) {
    let mut links = Vec::new();
    let mut updates = Vec::new();
    for input in inputs {
        match input {
            Input::Link { .. } => links.push(input),
            Input::Samples(batch) if !batch.retained => {
                let at = batch.at;
                updates.extend(batch.samples.into_iter().map(|sample| PointUpdate {
                    point: sample.point,
                    value: sample.value,
                    quality: sample.quality,
                    at,
                    changed: true,
                }));
            }
            Input::Samples(_) | Input::ClockSet(_) | Input::Command(_) | Input::Tick => {}
        }
    }
    (links, updates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::{
        AssetId, LinkState, PointId, Quality, Sample, SampleBatch, Timestamp, Value,
    };

    #[test]
    fn only_a_message_that_is_sent_again_is_a_copy() {
        let mut inbox = Inbox::default();
        let mut key = InboxKey {
            hash: [7; 16],
            unique: true,
        };
        assert!(!inbox.is_copy(&key));
        inbox.insert(key);
        assert!(inbox.is_copy(&key));
        key.unique = false;
        assert!(!inbox.is_copy(&key), "\"on\" twice is two events");
    }

    #[test]
    fn a_copy_still_says_how_the_link_stands() {
        let link = Input::Link {
            asset: AssetId(1),
            state: LinkState::Up,
        };
        let batch = |retained| {
            Input::Samples(SampleBatch {
                asset: AssetId(1),
                at: Timestamp(5),
                samples: vec![Sample {
                    point: PointId(1),
                    value: Some(Value::Flag(true)),
                    quality: Quality::Good,
                }],
                retained,
            })
        };
        let (links, updates) = of_copy(vec![link.clone(), batch(false), batch(true)]);
        assert_eq!(links, [link]);
        assert_eq!(updates.len(), 1);
        assert_eq!(updates[0].at, Timestamp(5));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let key = |n: usize| {
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            InboxKey { hash, unique: true }
        };
        let inbox = Inbox::restore((0..=REMEMBERED).map(key));
        assert!(!inbox.is_copy(&key(0)));
        assert!(inbox.is_copy(&key(1)));
        assert!(inbox.is_copy(&key(REMEMBERED)));
    }
}
