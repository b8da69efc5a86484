//! What must be told to people, and why; step 5 of the way of a datum.
//!
//! A notification says what happened; how each channel words and carries it is not known here.

use crate::alarm::{AlarmId, Priority};
use crate::model::{AssetId, RuleId};
use crate::text::Text;
use crate::time::Timestamp;
use crate::work_order::WorkOrderNumber;

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotifyReason {
    /// A fault opened an order.
    Raised,
    /// The same fault came again on an open order.
    Repeated,
    /// A fault came back and re-opened its order.
    Reopened,
    /// The machine is normal again.
    Recovered,
    /// An order was given to somebody.
    Assigned,
    /// Nobody took the order in time.
    Escalated,
}

impl NotifyReason {
    /// Every reason.
    pub const ALL: [NotifyReason; 6] = [
        NotifyReason::Raised,
        NotifyReason::Repeated,
        NotifyReason::Reopened,
        NotifyReason::Recovered,
        NotifyReason::Assigned,
        NotifyReason::Escalated,
    ];

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            NotifyReason::Raised => "raised",
            NotifyReason::Repeated => "repeated",
            NotifyReason::Reopened => "reopened",
            NotifyReason::Recovered => "recovered",
            NotifyReason::Assigned => "assigned",
            NotifyReason::Escalated => "escalated",
        }
    }
}

/// Who must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One person, by user name, and with them everybody whose channel takes all.
    Person(String),
    /// The whole crew.
    Crew,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Stable for ever: the same on every retry and in every channel.
    pub id: String,
    /// Why.
    pub reason: NotifyReason,
    /// Who.
    pub audience: Audience,
    /// How urgent it is.
    pub priority: Priority,
    /// Fire, gas, flooding, entrapment: no limit may hold it back.
    pub life_safety: bool,
    /// The asset.
    pub asset: AssetId,
    /// The rule; `None` when a person made the order.
    pub rule: Option<RuleId>,
    /// The alarm, when one is behind it.
    pub alarm: Option<AlarmId>,
    /// The order, when one is behind it.
    pub work_order: Option<WorkOrderNumber>,
    /// What it is about.
    pub title: Text,
    /// When it happened.
    pub at: Timestamp,
}
