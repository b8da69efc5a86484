//! Messages that could not be recorded, in memory until their channel takes them: life safety first,
//! then by urgency, then the oldest. It must never let anything less urgent take the room of what
//! guards life.

use super::told::Told;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many messages wait for one channel; beyond it the least urgent goes.
const MOST: usize = 1024;
/// How many that guard life do, beside which nothing else is kept beyond [`MOST`]: some megabytes.
const MOST_LIFE_SAFETY: usize = 8 * MOST;

/// The place of a message in the order: whether it guards no life, how urgent it is, when it came.
type Rank = (bool, u8, u64);

/// A message on its way.
#[derive(Debug)]
pub(super) struct Entry {
    rank: Rank,
    pub(super) told: Told,
    /// When it came.
    pub(super) since: Instant,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// When it may be tried again.
    next: Instant,
}

impl Entry {
    /// It was tried once more, and is to be tried again after a while.
    pub(super) fn again_after(mut self, wait: Duration) -> Self {
        self.attempts = self.attempts.saturating_add(1);
        self.next = Instant::now() + wait;
        self
    }
}

#[derive(Debug, Default)]
struct Queue {
    entries: BTreeMap<Rank, Entry>,
    came: u64,
}

impl Queue {
    /// Adds a message. Returns the one that has no room, which may be the same.
    fn add(&mut self, entry: Entry) -> Option<Entry> {
        self.entries.insert(entry.rank, entry);
        let last = self.entries.last_entry()?;
        let (guards_no_life, ..) = *last.key();
        let most = if guards_no_life {
            MOST
        } else {
            MOST_LIFE_SAFETY
        };
        (self.entries.len() > most)
            .then(|| self.entries.pop_last())?
            .map(|(_, entry)| entry)
    }
}

/// The messages that wait for one channel.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
    bell: Notify,
}

impl Waiting {
    /// Adds a message; never waits. Returns the one that has no room any more, if there is one.
    pub(super) fn put(&self, told: Told, urgency: u8) -> Option<Told> {
        let now = Instant::now();
        let mut queue = self.queue();
        queue.came += 1;
        let rank = (!told.life_safety, urgency, queue.came);
        let lost = queue.add(Entry {
            rank,
            told,
            since: now,
            attempts: 0,
            next: now,
        });
        drop(queue);
        self.bell.notify_one();
        lost.map(|entry| entry.told)
    }

    /// Brings a message back that was not delivered. Returns the one that has no room any more.
    pub(super) fn put_back(&self, entry: Entry) -> Option<Told> {
        self.queue().add(entry).map(|entry| entry.told)
    }

    /// Takes the first message that may be tried now, else says when one may be.
    pub(super) fn take(&self, now: Instant) -> Result<Entry, Option<Instant>> {
        let mut queue = self.queue();
        let due = queue.entries.values().find(|entry| entry.next <= now);
        match due.map(|entry| entry.rank) {
            Some(rank) => queue.entries.remove(&rank).ok_or(None),
            None => Err(queue.entries.values().map(|entry| entry.next).min()),
        }
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.queue().entries.len()
    }

    /// Waits until a message comes.
    pub(super) async fn bell(&self) {
        self.bell.notified().await;
    }

    /// Takes out all that is left.
    pub(super) fn take_all(&self) -> Vec<Told> {
        let entries = std::mem::take(&mut self.queue().entries);
        entries.into_values().map(|entry| entry.told).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(waiting: &Waiting, id: usize, life_safety: bool, urgency: u8) -> Option<Told> {
        waiting.put(Told::sample(id, life_safety), urgency)
    }

    fn taken(waiting: &Waiting) -> Vec<String> {
        let all = std::iter::from_fn(|| waiting.take(Instant::now()).ok());
        all.map(|entry| entry.told.id).collect()
    }

    #[test]
    fn life_safety_is_first_and_then_the_urgent_and_the_oldest() {
        let waiting = Waiting::default();
        for (id, life_safety, urgency) in [
            (1, false, 32),
            (2, false, 11),
            (3, true, 11),
            (4, true, 10),
            (5, false, 11),
        ] {
            assert!(put(&waiting, id, life_safety, urgency).is_none());
        }
        assert_eq!(taken(&waiting), ["4", "3", "2", "5", "1"]);
    }

    #[test]
    fn a_flood_of_the_less_urgent_takes_no_room_from_what_guards_life() {
        let waiting = Waiting::default();
        let mut lost = 0;
        for id in 0..MOST {
            assert!(put(&waiting, id, false, 32).is_none());
        }
        for id in MOST..MOST + 2 * MOST {
            lost += usize::from(put(&waiting, id, true, 10).is_some_and(|one| !one.life_safety));
            let more = put(&waiting, id + 100_000, false, 11);
            lost += usize::from(more.is_some_and(|one| !one.life_safety));
        }
        // All of the less urgent is gone, one for one; of what guards life nothing is.
        assert_eq!(lost, MOST + 2 * MOST);
        assert_eq!(taken(&waiting).len(), 2 * MOST);
        for id in 0..MOST_LIFE_SAFETY {
            assert!(put(&waiting, id, true, 10).is_none());
        }
        let newest = put(&waiting, 9, true, 10);
        assert_eq!(newest.map(|told| told.id).as_deref(), Some("9"));
    }

    #[test]
    fn what_failed_waits_and_lets_others_pass() {
        let waiting = Waiting::default();
        let hour = Duration::from_secs(3600);
        put(&waiting, 1, true, 10);
        put(&waiting, 2, false, 32);
        let first = waiting.take(Instant::now()).unwrap();
        assert!(waiting.put_back(first.again_after(hour)).is_none());
        let second = waiting.take(Instant::now()).unwrap();
        assert_eq!(second.told.id, "2");
        let next = waiting.take(Instant::now()).unwrap_err().unwrap();
        assert!(next > Instant::now());
        let again = waiting.take(next).unwrap();
        assert_eq!((again.told.id.as_str(), again.attempts), ("1", 1));
        assert!(waiting.take_all().is_empty());
    }
}
