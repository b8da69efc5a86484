//! Which messages were received lately, so that a second copy does nothing a second time.
//!
//! It only ever answers "a copy" for a message that its sender says it sends again: two messages
//! that just say "on" are two events. A broker gives a number again once it is free, so only the
//! newest message under a number has a copy, and only for as long as it can still be on its way.

use crate::journal::InboxKey;
use std::collections::HashMap;
use zhiban_core::{Input, PointUpdate};

/// After how many further messages of its link a message is not sent again: a broker that counts its
/// numbers up comes back to one after 65 535, and none has as many on their way.
const ON_THEIR_WAY: u64 = 60_000;

/// Messages received lately, by link.
#[derive(Debug, Default)]
pub struct Inbox {
    links: HashMap<[u8; 4], Link>,
}

/// The messages of one link.
#[derive(Debug, Default)]
struct Link {
    count: u64,
    /// Under each number of the broker the newest message: how many came before it, and its hash.
    newest: HashMap<u16, (u64, [u8; 10])>,
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
        let (link, number, message) = parts(key);
        let newest = self.links.get(&link).and_then(|link| {
            let (before, newest) = link.newest.get(&number)?;
            (link.count - before <= ON_THEIR_WAY).then_some(newest)
        });
        key.unique && newest == Some(&message)
    }

    /// Remembers a message.
    pub fn insert(&mut self, key: InboxKey) {
        let (link, number, message) = parts(&key);
        let link = self.links.entry(link).or_default();
        link.newest.insert(number, (link.count, message));
        link.count += 1;
    }
}

/// The link, the broker's number, and the message.
fn parts(key: &InboxKey) -> ([u8; 4], u16, [u8; 10]) {
    let [a, b, c, d, high, low, message @ ..] = key.hash;
    ([a, b, c, d], u16::from_be_bytes([high, low]), message)
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

    /// What a broker sends again, by default.
    fn key(link: u8, number: u16, message: u8) -> InboxKey {
        let mut hash = [message; 16];
        hash[..4].copy_from_slice(&[link; 4]);
        hash[4..6].copy_from_slice(&number.to_be_bytes());
        InboxKey { hash, unique: true }
    }

    #[test]
    fn only_a_message_that_is_sent_again_is_a_copy() {
        let mut inbox = Inbox::default();
        let mut on = key(1, 7, 1);
        assert!(!inbox.is_copy(&on));
        inbox.insert(on);
        assert!(inbox.is_copy(&on));
        assert!(!inbox.is_copy(&key(2, 7, 1)) && !inbox.is_copy(&key(1, 8, 1)));
        on.unique = false;
        assert!(!inbox.is_copy(&on), "\"on\" twice is two events");
    }

    /// A broker that takes the smallest free number: on, off and on are all number 1.
    #[test]
    fn only_the_newest_message_of_a_number_has_a_copy_after_a_restart_too() {
        let (on, off) = (key(1, 1, 1), key(1, 1, 0));
        let inbox = Inbox::restore([on, off]);
        assert!(!inbox.is_copy(&on), "a new fire");
        assert!(inbox.is_copy(&off));
    }

    /// A broker that counts its numbers up comes back to each.
    #[test]
    fn what_cannot_be_on_its_way_any_more_has_no_copy() {
        let on = key(1, 1, 1);
        let others = |n: u16| (0..n).map(|n| key(1, n.wrapping_add(2), 0));
        let mut inbox = Inbox::restore([on].into_iter().chain(others(50_000)));
        for _ in 0..100_000 {
            inbox.insert(key(2, 9, 1));
        }
        assert!(inbox.is_copy(&on), "other links count for themselves");
        others(50_000).for_each(|key| inbox.insert(key));
        assert!(!inbox.is_copy(&on));
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
}
