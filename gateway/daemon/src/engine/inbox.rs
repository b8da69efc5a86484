//! Which messages were received lately, so that a second copy does nothing a second time.
//!
//! It only ever answers "a copy" for a message that its sender says it sends again: two messages
//! that just say "on" are two events.

use crate::journal::InboxKey;
use std::collections::{HashSet, VecDeque};

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

#[cfg(test)]
mod tests {
    use super::*;

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
