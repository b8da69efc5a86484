//! What must be told to people, and why; step 5 of the way of a datum.
//!
//! A notification says what happened; how each channel words and carries it is not known here.

use crate::alarm::rule::Danger;
use crate::alarm::{AlarmId, Priority, Signal};
use crate::model::{AssetId, RuleId};
use crate::place::Place;
use crate::text::Text;
use crate::time::{Duration, Timestamp};
use crate::work_order::WorkOrderNumber;

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotifyReason {
    /// A fault opened an order.
    Raised,
    /// Another alarm of a fault that still stands joined its open order.
    Joined,
    /// The fault came again after the machine was normal, while its order was still open.
    Repeated,
    /// A fault came back and re-opened its order.
    Reopened,
    /// The machine is normal again.
    Recovered,
    /// An order was given to somebody.
    Assigned,
    /// Nobody took the order in time.
    Escalated,
    /// The place of the fault became known, or changed.
    Located,
    /// An order that somebody completed is work again: told to who completed it.
    SentBack,
}

impl NotifyReason {
    /// Every reason.
    pub const ALL: [NotifyReason; 9] = [
        NotifyReason::Raised,
        NotifyReason::Joined,
        NotifyReason::Repeated,
        NotifyReason::Reopened,
        NotifyReason::Recovered,
        NotifyReason::Assigned,
        NotifyReason::Escalated,
        NotifyReason::Located,
        NotifyReason::SentBack,
    ];

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            NotifyReason::Raised => "raised",
            NotifyReason::Joined => "joined",
            NotifyReason::Repeated => "repeated",
            NotifyReason::Reopened => "reopened",
            NotifyReason::Recovered => "recovered",
            NotifyReason::Assigned => "assigned",
            NotifyReason::Escalated => "escalated",
            NotifyReason::Located => "located",
            NotifyReason::SentBack => "sent_back",
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

/// How the fault behind a message is when it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incident {
    /// What the machine says; `None` when no alarm is behind it.
    pub signal: Option<Signal>,
    /// When it began, as far as is still known.
    pub raised_at: Option<Timestamp>,
    /// When it was gone.
    pub returned_at: Option<Timestamp>,
    /// What it endangers; `None` when no rule says so.
    pub danger: Option<Danger>,
    /// Where it is, or was last known to be.
    pub place: Option<Place>,
}

impl Notification {
    /// The place in the order in which messages are sent, the smallest first: how urgent, then what
    /// is in danger.
    pub fn urgency(&self) -> u8 {
        let rank = self.incident.danger.map_or(2, Danger::rank);
        self.priority.number() * 10 + rank
    }
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
    /// What a person wrote with it, with their name; `None` when the gateway did it.
    pub note: Option<String>,
    /// Until when somebody must have accepted the order; `None` when nothing says.
    pub respond_by: Option<Timestamp>,
    /// When the work must be completed; `None` while that clock stands, and when nothing says.
    pub due_at: Option<Timestamp>,
    /// What is left of that while the order is on hold, negative when it was late; `None` otherwise.
    pub due_left: Option<Duration>,
    /// When the order last became work again; `None` when it is open for the first time.
    pub reopened_at: Option<Timestamp>,
    /// When it happened.
    pub at: Timestamp,
    /// How the fault is at that moment.
    pub incident: Incident,
}
