//! One lane for each channel: a channel that hangs never stops another.
//!
//! Delivery is at least once: what was sent and could not be written down is sent again after a
//! restart, with the same id.

use super::queue::{self, Attempt, Due, Outcome};
use super::told::{Renderer, Told};
use super::unrecorded::{Entry, Waiting};
use super::{Pace, lost};
use crate::channels::{Configured, DeliveryError};
use crate::clock::Steps;
use crate::journal::{JournalError, Store};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use zhiban_core::Timestamp;

/// The lane looks again after this, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The lane looks again after this when the store failed.
const STORE_FAILED: Duration = Duration::from_secs(2);
/// What is under way may end within this when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// One channel and what it works with.
pub(super) struct Lane {
    pub(super) channel: Configured,
    pub(super) store: Store,
    pub(super) renderer: Arc<Renderer>,
    pub(super) pace: Pace,
    pub(super) steps: Arc<Steps>,
    pub(super) wake: Arc<Notify>,
    /// Why its rows cannot be read or written; `None` when they can.
    pub(super) broken: Mutex<Option<String>>,
}

/// What is under way, by row.
#[derive(Default)]
struct Work<'a> {
    running: FuturesUnordered<BoxFuture<'a, Attempt>>,
    ids: BTreeSet<i64>,
    /// Ended, and not written down yet.
    unwritten: BTreeMap<i64, Attempt>,
}

impl Work<'_> {
    /// Whether a row is begun now: not while it is under way, and not before its time when the
    /// last try failed and could not be written down.
    fn begin(&mut self, mut due: Due, now: Timestamp) -> Option<Due> {
        if self.ids.insert(due.id) {
            return Some(due);
        }
        let last = self.unwritten.get(&due.id)?;
        let Outcome::Again { due_at, .. } = last.outcome else {
            return None;
        };
        if due_at > now {
            return None;
        }
        due.attempts = last.number;
        self.unwritten.remove(&due.id);
        Some(due)
    }
}

impl Lane {
    /// Why the rows of the channel cannot be read or written; `None` when they can.
    pub(super) fn broken(&self) -> Option<String> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.clone()
    }

    fn set_broken(&self, why: Option<String>) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Sends what is due, until stopped.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut work = Work::default();
        loop {
            let wait = match self.advance(&mut work).await {
                Ok(wait) => {
                    self.set_broken(None);
                    wait
                }
                Err(error) => {
                    self.set_broken(Some(error.chain()));
                    tracing::warn!(
                        channel = self.channel.name,
                        error = error.chain(),
                        "the outbox cannot be read or written; tried again"
                    );
                    STORE_FAILED
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(attempt) = work.running.next() => self.ended(&mut work, attempt),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        let rest = async {
            while let Some(attempt) = work.running.next().await {
                self.ended(&mut work, attempt);
            }
            self.write_down(&mut work).await
        };
        if !matches!(tokio::time::timeout(LAST_WORDS, rest).await, Ok(Ok(()))) {
            tracing::info!(
                channel = self.channel.name,
                "some messages are sent after the next start"
            );
        }
    }

    /// Writes down what ended and starts what is due; returns how long nothing else is.
    async fn advance<'a>(&'a self, work: &mut Work<'a>) -> Result<Duration, JournalError> {
        // A store that takes nothing keeps nobody from hearing what it holds.
        let written = self.write_down(work).await;
        let now = self.steps.stored_now();
        let free = self.channel.concurrency.saturating_sub(work.running.len());
        if free > 0 {
            let most = free + work.ids.len();
            let longest = self.pace.longest_wait();
            let due = queue::due(&self.store, &self.channel.name, now, longest, most);
            for due in due.await? {
                if work.running.len() >= self.channel.concurrency {
                    break;
                }
                if let Some(due) = work.begin(due, now) {
                    work.running.push(self.attempt(due).boxed());
                }
            }
        }
        written?;
        if work.running.len() >= self.channel.concurrency {
            return Ok(LOOK_AGAIN);
        }
        let next = queue::next_due(&self.store, &self.channel.name, now).await?;
        let wait = next.map_or(LOOK_AGAIN, |at| at.since(now).to_std());
        Ok(wait.min(LOOK_AGAIN))
    }

    fn ended(&self, work: &mut Work, attempt: Attempt) {
        let labels = [
            ("channel", self.channel.name.clone()),
            ("outcome", attempt.outcome.code().to_owned()),
        ];
        metrics::counter!("zhiban_deliveries_total", &labels).increment(1);
        work.unwritten.insert(attempt.id, attempt);
    }

    async fn write_down(&self, work: &mut Work<'_>) -> Result<(), JournalError> {
        while let Some(entry) = work.unwritten.first_entry() {
            queue::record(&self.store, entry.get()).await?;
            work.ids.remove(entry.key());
            entry.remove();
        }
        Ok(())
    }

    async fn attempt(&self, due: Due) -> Attempt {
        let message = self
            .renderer
            .render(&due.told, self.channel.language, false);
        let begun = Instant::now();
        let result = self.channel.channel.deliver(&message).await;
        let (at, number) = (self.steps.stored_now(), due.attempts + 1);
        let outcome = match result {
            Ok(()) => Outcome::Sent,
            Err(error) => self.failed(&due, number, error, at),
        };
        Attempt {
            id: due.id,
            number,
            at,
            took: begun.elapsed(),
            outcome,
        }
    }

    fn failed(&self, due: &Due, number: u32, error: DeliveryError, now: Timestamp) -> Outcome {
        let channel = self.channel.name.as_str();
        let age = now.since(due.created_at).to_std();
        let (reason, wait) = self.judge(&due.told, number, age, error);
        let Some(wait) = wait else {
            tracing::error!(
                channel,
                notification.id = due.told.id,
                error = reason,
                "not delivered, given up"
            );
            return Outcome::Dead { error: reason };
        };
        if number == 1 {
            tracing::warn!(
                channel,
                notification.id = due.told.id,
                reason,
                "not delivered; tried again"
            );
        }
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Outcome::Again {
            due_at: now + zhiban_core::Duration::from_millis(wait),
            error: reason,
        }
    }

    /// Why a message was not delivered, and how long to wait for the next try; `None` when it is given up.
    fn judge(
        &self,
        told: &Told,
        number: u32,
        age: Duration,
        error: DeliveryError,
    ) -> (String, Option<Duration>) {
        let (reason, retry_after) = match error {
            DeliveryError::Transient {
                reason,
                retry_after,
            } => (reason, retry_after.unwrap_or_default()),
            DeliveryError::Permanent(reason) => (reason, Duration::ZERO),
        };
        let wait = self.pace.wait(number).max(retry_after);
        (reason, self.keeps_trying(told, number, age).then_some(wait))
    }

    /// Whether a message that was not delivered is tried again, whatever the other side answered:
    /// what it refuses during its redeployment it takes afterwards. The same holds for what could
    /// not be recorded.
    fn keeps_trying(&self, told: &Told, number: u32, age: Duration) -> bool {
        if told.life_safety {
            age < self.pace.give_up.max(self.channel.retry_for) || number < self.pace.least
        } else {
            age < self.channel.retry_for
        }
    }

    /// Tells what could not be recorded, straight from memory, until stopped.
    pub(super) async fn run_unrecorded(&self, waiting: &Waiting, stop: CancellationToken) {
        let mut running = FuturesUnordered::new();
        loop {
            let mut next = None;
            while running.len() < self.channel.concurrency {
                match waiting.take(Instant::now()) {
                    Ok(entry) => running.push(self.tell_unrecorded(entry)),
                    Err(at) => {
                        next = at;
                        break;
                    }
                }
            }
            let until_next = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(failed) = running.next() => {
                    if let Some(told) = failed.and_then(|entry| waiting.put_back(entry)) {
                        lost(&self.channel.name, &told, "too many wait");
                    }
                }
                () = waiting.bell() => {}
                () = until_next => {}
            }
        }
        // The last try of what is under way.
        let rest = async {
            while let Some(failed) = running.next().await {
                let full = failed.and_then(|entry| waiting.put_back(entry));
                full.into_iter()
                    .for_each(|told| lost(&self.channel.name, &told, "stopping"));
            }
        };
        let ended = tokio::time::timeout(LAST_WORDS, rest).await;
        for told in waiting.take_all() {
            lost(&self.channel.name, &told, "stopping");
        }
        if ended.is_err() {
            tracing::error!(
                channel = self.channel.name,
                "the channel did not answer before the stop: some messages that could not be recorded \
                 may not have been delivered"
            );
        }
    }

    /// Tries once; gives back what is to be tried again.
    async fn tell_unrecorded(&self, entry: Entry) -> Option<Entry> {
        let told = &entry.told;
        let message = self.renderer.render(told, self.channel.language, true);
        let error = self.channel.channel.deliver(&message).await.err()?;
        let number = entry.attempts.saturating_add(1);
        let (reason, wait) = self.judge(told, number, entry.since.elapsed(), error);
        let Some(wait) = wait else {
            lost(&self.channel.name, told, &reason);
            return None;
        };
        if number == 1 {
            tracing::warn!(
                channel = self.channel.name,
                notification.id = told.id,
                reason,
                "not recorded and not delivered; tried again"
            );
        }
        Some(entry.again_after(wait))
    }
}
