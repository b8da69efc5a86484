//! Every timer of the building in one ordered map: what is due next, and why.
//!
//! A key has at most one deadline; setting it again moves it.

use crate::alarm::AlarmId;
use crate::model::{AssetId, RuleId};
use crate::time::{Duration, Timestamp};
use crate::work_order::WorkOrderNumber;
use std::collections::{BTreeMap, BTreeSet};

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// A rule's on- or off-delay ends.
    Rule(RuleId),
    /// An asset that was not heard becomes stale.
    Stale(AssetId),
    /// The place of an alarm may be followed again.
    Place(AlarmId),
    /// A shelved alarm comes back.
    Unshelve(AlarmId),
    /// An order that nobody accepted is told again.
    Escalate(WorkOrderNumber),
    /// A closed order can no longer be re-opened.
    Forget(WorkOrderNumber),
}

impl Deadline {
    /// The name shown for "what does it wait for".
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Deadline::Rule(_) => "rule delay",
            Deadline::Stale(_) => "staleness",
            Deadline::Place(_) => "place of a fault",
            Deadline::Unshelve(_) => "shelving",
            Deadline::Escalate(_) => "escalation",
            Deadline::Forget(_) => "re-open window",
        }
    }
}

/// The ordered map.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Timestamp, Deadline)>,
    by_key: BTreeMap<Deadline, Timestamp>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, key: Deadline, at: Timestamp) {
        self.clear(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    pub(crate) fn clear(&mut self, key: &Deadline) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// The clock was set by as much: what waits, waits as long as it would have.
    pub(crate) fn shift(&mut self, by: Duration) {
        let all = std::mem::take(&mut self.by_key);
        self.by_time.clear();
        for (key, at) in all {
            self.set(key, at + by);
        }
    }

    pub(crate) fn next(&self) -> Option<(Timestamp, &'static str)> {
        self.by_time.first().map(|(at, key)| (*at, key.name()))
    }

    /// Takes the earliest deadline that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Deadline> {
        if self.by_time.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}
