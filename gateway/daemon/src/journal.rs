//! The record store, `core.db`: alarms, orders, what must be told, what was received.
//!
//! One writer, one transaction a step, every step durable on disk before `commit` returns.
//! A record that was committed is never changed away or lost by a later start.

mod archive;
pub(crate) mod aside;
pub mod backup;
mod carry;
pub(crate) mod cell;
mod check;
mod error;
mod files;
mod log;
mod maintain;
pub(crate) mod notice;
pub(crate) mod read;
mod record;
mod restore;
mod snapshot;
mod stand_in;
mod start;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod unread;
mod write;

pub use error::JournalError;
pub use restore::Unconfigured;
pub(crate) use stand_in::StandIn;
pub use store::Store;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use zhiban_core::{Effect, Model, PointId, Timestamp, Value};
use zhiban_dashboard::ports::StoredAnswer;

/// The record store of a running gateway.
#[derive(Debug)]
pub struct Journal {
    store: Store,
    model: Arc<Model>,
    unconfigured: Unconfigured,
    /// Dead letters since the oldest were last looked for.
    dead_letters: AtomicU64,
}

/// Everything that must become durable together.
#[derive(Debug, Default)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What the facility decided, in order.
    pub records: Vec<Effect>,
    /// The messages to send: one row for each notification and channel.
    pub outbox: Vec<OutboxEntry>,
    /// What acknowledged messages said of points that a rule looks at.
    pub points: Vec<(PointId, Value, Timestamp)>,
    /// The messages received, so that a second copy is known.
    pub inbox: Vec<InboxKey>,
    /// Messages that could not be decoded, kept raw.
    pub dead_letters: Vec<DeadLetter>,
    /// The idempotency keys of what people asked for, with what is known of the answer.
    pub answers: Vec<(String, StoredAnswer)>,
    /// The clock was set by as much since the step before: what waits in the store moves with it.
    pub clock_set: Option<zhiban_core::Duration>,
}

impl Step {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.outbox.is_empty()
            && self.points.is_empty()
            && self.inbox.is_empty()
            && self.dead_letters.is_empty()
            && self.answers.is_empty()
            && self.clock_set.is_none()
    }
}

/// One message to send through one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The notification's id.
    pub notification: String,
    /// The channel's name in the configuration.
    pub channel: String,
}

/// By what a second copy of a received message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InboxKey {
    /// The start of SHA-256 of the link, 4 bytes; the broker's number, 2 bytes; the start of SHA-256 of
    /// topic and payload, 10 bytes.
    pub hash: [u8; 16],
    /// Whether a known key means a second copy: the broker marked the message as sent again.
    /// Two messages that only say "on" are not copies of each other.
    pub unique: bool,
}

/// A message that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The link it came by.
    pub link: String,
    /// Its topic.
    pub topic: String,
    /// Its bytes, cut at 64 KiB.
    pub payload: Vec<u8>,
    /// Why it could not be decoded.
    pub reason: String,
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    chrono::Utc::now().into()
}
