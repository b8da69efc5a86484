//! Alarms as independent facts (as OPC UA Part 9 keeps them) and the ISA-18.2 state derived from them.
//!
//! The state is never stored: it always follows from the facts, so that a shelved alarm
//! still knows whether its condition holds.

pub mod fit;
pub mod rule;

use crate::model::{AssetId, RuleId};
use crate::place::Place;
use crate::point::Value;
use crate::time::Timestamp;
use crate::work_order::WorkOrderNumber;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How urgent an alarm or an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Priority {
    /// 1: people, fire, flooding.
    Urgent = 1,
    /// 2: a service is lost.
    High = 2,
    /// 3: a limit is passed, or reserve is lost.
    Medium = 3,
    /// 4: a device, a link, a diagnosis.
    Low = 4,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Priority {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Priority".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer",
            "enum": [1, 2, 3, 4],
            "description": "1 urgent, 2 high, 3 medium, 4 low",
        })
    }
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Priority; 4] = [
        Priority::Urgent,
        Priority::High,
        Priority::Medium,
        Priority::Low,
    ];

    /// The number people read, 1 to 4.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.number()
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        let found = Priority::ALL.into_iter().find(|one| one.number() == number);
        found.ok_or_else(|| format!("priority {number} does not exist; write 1, 2, 3 or 4"))
    }
}

/// The number of one occurrence of an alarm, unique in the site for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmId(pub u64);

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for AlarmId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(AlarmId)
    }
}

/// The ISA-18.2 state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlarmState {
    /// The condition is gone and, where it had to be, acknowledged.
    Normal,
    /// Active, and nobody has acknowledged it.
    Unacknowledged,
    /// Active and acknowledged.
    Acknowledged,
    /// The condition is gone before anybody acknowledged.
    ReturnedUnacknowledged,
    /// Put aside by a person for a limited time.
    Shelved,
    /// Put aside by logic.
    Suppressed,
    /// Put aside by maintenance.
    OutOfService,
}

impl AlarmState {
    /// Every state.
    pub const ALL: [AlarmState; 7] = [
        AlarmState::Normal,
        AlarmState::Unacknowledged,
        AlarmState::Acknowledged,
        AlarmState::ReturnedUnacknowledged,
        AlarmState::Shelved,
        AlarmState::Suppressed,
        AlarmState::OutOfService,
    ];

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            AlarmState::Normal => "normal",
            AlarmState::Unacknowledged => "unacknowledged",
            AlarmState::Acknowledged => "acknowledged",
            AlarmState::ReturnedUnacknowledged => "returned_unacknowledged",
            AlarmState::Shelved => "shelved",
            AlarmState::Suppressed => "suppressed",
            AlarmState::OutOfService => "out_of_service",
        }
    }

    /// The state of a stable name.
    pub fn from_code(code: &str) -> Option<Self> {
        AlarmState::ALL
            .into_iter()
            .find(|state| state.code() == code)
    }
}

/// What the machine says of a fault now. This, the alarm's state and its time are three things: an
/// alarm that waits for a person says nothing of now, and one whose data are old does not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// The fault is there.
    Present,
    /// It is gone, and not for long enough yet to count as gone.
    Clearing,
    /// It is gone.
    Gone,
    /// The data are old or bad: nobody knows.
    Unknown,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Signal; 4] = [
        Signal::Present,
        Signal::Clearing,
        Signal::Gone,
        Signal::Unknown,
    ];

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Signal::Present => "present",
            Signal::Clearing => "clearing",
            Signal::Gone => "gone",
            Signal::Unknown => "unknown",
        }
    }

    /// The signal of a stable name.
    pub fn from_code(code: &str) -> Option<Self> {
        Signal::ALL.into_iter().find(|signal| signal.code() == code)
    }

    /// What a verdict says of an alarm whose condition holds, delays passed, or does not.
    pub(crate) fn of(verdict: Option<bool>, active: bool) -> Self {
        match (verdict, active) {
            (None, _) => Signal::Unknown,
            (Some(true), _) => Signal::Present,
            (Some(false), true) => Signal::Clearing,
            (Some(false), false) => Signal::Gone,
        }
    }
}

/// One occurrence of an alarm: the facts, each kept on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its number.
    pub id: AlarmId,
    /// The rule, bound to the asset. Tables hold rule id and asset code.
    pub rule: RuleId,
    /// The asset.
    pub asset: AssetId,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether the condition holds, delays passed.
    pub active: bool,
    /// Whether the condition is gone and the rule keeps the alarm until a person has seen it.
    pub latched: bool,
    /// When it became active.
    pub raised_at: Timestamp,
    /// The value that raised it, with the point it belongs to being the rule's first.
    pub raised_value: Option<Value>,
    /// Where the fault is, or was last known to be; `None` when nothing says so.
    pub place: Option<Place>,
    /// When the condition went away.
    pub returned_at: Option<Timestamp>,
    /// When a person acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// What they wrote with it.
    pub comment: Option<String>,
    /// Until when it is shelved.
    pub shelved_until: Option<Timestamp>,
    /// Who shelved it, and why.
    pub shelved_by: Option<String>,
    /// What suppresses it, when logic does.
    pub suppressed_by: Option<String>,
    /// Whether maintenance took its asset out of service.
    pub out_of_service: bool,
    /// The order it belongs to.
    pub work_order: Option<WorkOrderNumber>,
}

impl Alarm {
    /// The ISA-18.2 state that follows from the facts.
    pub fn state(&self) -> AlarmState {
        if self.out_of_service {
            AlarmState::OutOfService
        } else if self.suppressed_by.is_some() {
            AlarmState::Suppressed
        } else if self.shelved_until.is_some() {
            AlarmState::Shelved
        } else {
            match (self.active, self.acknowledged_at.is_some()) {
                (true, false) => AlarmState::Unacknowledged,
                (true, true) => AlarmState::Acknowledged,
                (false, false) => AlarmState::ReturnedUnacknowledged,
                (false, true) => AlarmState::Normal,
            }
        }
    }

    /// Whether it is over: nothing holds it, and it will not be shown as open again.
    pub fn is_over(&self) -> bool {
        self.state() == AlarmState::Normal
    }
}

/// What changed of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlarmChange {
    /// The condition held for its delay.
    Raised,
    /// The condition is gone for its delay.
    Returned,
    /// A person has seen it.
    Acknowledged,
    /// A person put it aside for a time.
    Shelved,
    /// The time is over, or a person brought it back.
    Unshelved,
    /// A person wrote something.
    Commented,
    /// The place of the fault became known, changed, or is no longer sure.
    Located,
    /// The gateway's clock was set, and the end of its shelving with it.
    ClockSet,
}

impl AlarmChange {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            AlarmChange::Raised => "raised",
            AlarmChange::Returned => "returned",
            AlarmChange::Acknowledged => "acknowledged",
            AlarmChange::Shelved => "shelved",
            AlarmChange::Unshelved => "unshelved",
            AlarmChange::Commented => "commented",
            AlarmChange::Located => "located",
            AlarmChange::ClockSet => "clock_set",
        }
    }
}

/// One change of one alarm; step 3 of the way of a datum.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmTransition {
    /// The alarm as it is after the change.
    pub alarm: Alarm,
    /// What changed.
    pub change: AlarmChange,
    /// The state before.
    pub from: AlarmState,
    /// The state after.
    pub to: AlarmState,
    /// When.
    pub at: Timestamp,
    /// The person who did it; `None` when the gateway did.
    pub by: Option<String>,
    /// What was written with it.
    pub note: Option<String>,
}
