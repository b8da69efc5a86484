//! Work orders: their states, the one table of moves between them, and what each move needs.
//!
//! An order never skips a step of the table, and is never closed while its fault still stands.

use crate::alarm::rule::ClosePolicy;
use crate::alarm::{AlarmId, Priority};
use crate::model::{AssetId, RuleId};
use crate::place::Place;
use crate::text::Text;
use crate::time::{Duration, Timestamp};
use std::fmt;
use std::str::FromStr;

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every variant.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The stable name.
            pub fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }

            /// The variant of a stable name.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
        }
    };
}

mod record;

pub use record::{
    MOST, NewPart, NewPhoto, Part, Photo, PhotoFormat, PhotoStage, Quantity, QuantityError,
    RecordEdit, Repair,
};

/// The number people read and say, `WO-20261123-018`: the site's day and a count within it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkOrderNumber {
    /// The day in the site's zone, as `20261123`.
    pub day: u32,
    /// The count within the day, from 1.
    pub sequence: u32,
}

impl fmt::Display for WorkOrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WO-{:08}-{:03}", self.day, self.sequence)
    }
}

/// A text that is not the number of a work order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a work order number; one looks like WO-20261123-018")]
pub struct WorkOrderNumberError(pub String);

impl FromStr for WorkOrderNumber {
    type Err = WorkOrderNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WorkOrderNumberError(text.to_owned());
        let rest = text.strip_prefix("WO-").ok_or_else(wrong)?;
        let (day, sequence) = rest.split_once('-').ok_or_else(wrong)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if day.len() != 8 || sequence.len() < 3 || !digits(day) || !digits(sequence) {
            return Err(wrong());
        }
        let day = day.parse().map_err(|_| wrong())?;
        let sequence = sequence.parse().map_err(|_| wrong())?;
        Ok(Self { day, sequence })
    }
}

coded! {
    /// Where an order stands.
    WorkOrderStatus {
        /// Reported, waits for review.
        Requested = "requested",
        /// Real and needed, waits for somebody to be sent.
        Approved = "approved",
        /// Somebody is named.
        Assigned = "assigned",
        /// They took it.
        Accepted = "accepted",
        /// They are there.
        OnSite = "on_site",
        /// They work.
        InProgress = "in_progress",
        /// They wait for a part, a person, a window.
        OnHold = "on_hold",
        /// The work is done, waits for acceptance.
        Completed = "completed",
        /// Accepted, waits for the call-back to who reported it.
        Verified = "verified",
        /// Over.
        Closed = "closed",
        /// Not real, or not ours.
        Rejected = "rejected",
        /// Not needed any more.
        Cancelled = "cancelled",
    }
}

impl WorkOrderStatus {
    /// Whether the order is over.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            WorkOrderStatus::Closed | WorkOrderStatus::Rejected | WorkOrderStatus::Cancelled
        )
    }

    /// Whether there is still something to do that nobody has called done.
    pub fn is_to_do(self) -> bool {
        let waits = matches!(self, WorkOrderStatus::Requested | WorkOrderStatus::OnHold);
        waits || self.clock_runs()
    }

    /// Whether the time limit runs: not before somebody found the order to be needed, not on hold,
    /// and not after the work was called done.
    pub fn clock_runs(self) -> bool {
        use WorkOrderStatus as S;
        match self {
            S::Approved | S::Assigned | S::Accepted | S::OnSite | S::InProgress => true,
            S::Requested | S::OnHold | S::Completed | S::Verified => false,
            S::Closed | S::Rejected | S::Cancelled => false,
        }
    }
}

coded! {
    /// Why an order exists.
    WorkOrderKind {
        /// A fault.
        Corrective = "corrective",
        /// A maintenance plan.
        Preventive = "preventive",
        /// An inspection round.
        Inspection = "inspection",
        /// Somebody asked.
        Request = "request",
    }
}

coded! {
    /// A field that a move needs.
    Field {
        /// Who does the work.
        Assignee = "assignee",
        /// Why.
        Reason = "reason",
        /// Why the fault happened.
        Cause = "cause",
        /// What was done against it.
        Remedy = "remedy",
    }
}

/// One row of the table of moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// From here.
    pub from: WorkOrderStatus,
    /// To there.
    pub to: WorkOrderStatus,
    /// What must be said.
    pub needs: &'static [Field],
    /// Who may make it.
    pub who: Who,
}

/// Who may make a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody who is signed in.
    Anybody,
    /// The one the order is given to: nobody accepts, arrives or works for somebody else.
    Assignee,
    /// Anybody but the one who did the work: nobody verifies their own repair.
    Another,
}

/// As whom somebody makes a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A person, one of several who may sign in.
    Person,
    /// The only person who may sign in: they do everything, and the record says so.
    OnlyPerson,
    /// Another system, by its token: it says what people decided there, and has no hands.
    Machine,
}

/// Why somebody may not make a move that the table has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    /// The order is given to somebody else.
    #[error("the work order is given to {0}; only they may do this")]
    GivenTo(String),
    /// They did the work themselves.
    #[error("who did the work cannot verify it")]
    OwnRepair,
}

impl Move {
    /// What must be said to move this very order: work in progress is always somebody's.
    pub fn needs_of(&self, order: &WorkOrder) -> Vec<Field> {
        let nobody = self.to == WorkOrderStatus::InProgress && order.assignee.is_none();
        let assignee = nobody.then_some(Field::Assignee);
        self.needs.iter().copied().chain(assignee).collect()
    }

    /// Whether somebody may make this move of an order; `true` when only because nobody else can.
    ///
    /// # Errors
    /// Somebody else must make it.
    pub fn check(&self, order: &WorkOrder, by: &str, actor: Actor) -> Result<bool, NotYours> {
        let refusal = match self.who {
            Who::Anybody => None,
            Who::Assignee => {
                let other = order.assignee.as_deref().filter(|assignee| *assignee != by);
                other.map(|assignee| NotYours::GivenTo(assignee.to_owned()))
            }
            Who::Another => {
                let worked = [&order.completed_by, &order.assignee];
                let own = order.completed_by.is_some()
                    && worked.into_iter().flatten().any(|person| person == by);
                own.then_some(NotYours::OwnRepair)
            }
        };
        match (refusal, actor) {
            (None, _) | (Some(_), Actor::Machine) => Ok(false),
            (Some(_), Actor::OnlyPerson) => Ok(true),
            (Some(refusal), Actor::Person) => Err(refusal),
        }
    }
}

/// The whole table of moves that people make. What the gateway does by itself is in `facility`.
pub const MOVES: &[Move] = {
    use Field::{Assignee, Cause, Reason, Remedy};
    use WorkOrderStatus as S;
    const fn row(from: S, to: S, needs: &'static [Field]) -> Move {
        let who = Who::Anybody;
        Move {
            from,
            to,
            needs,
            who,
        }
    }
    const fn only(who: Who, row: Move) -> Move {
        Move { who, ..row }
    }
    &[
        row(S::Requested, S::Approved, &[]),
        row(S::Requested, S::Rejected, &[Reason]),
        row(S::Requested, S::Cancelled, &[Reason]),
        row(S::Approved, S::Assigned, &[Assignee]),
        row(S::Approved, S::Cancelled, &[Reason]),
        only(Who::Assignee, row(S::Assigned, S::Accepted, &[])),
        row(S::Assigned, S::Assigned, &[Assignee, Reason]),
        row(S::Assigned, S::Approved, &[Reason]),
        row(S::Assigned, S::Cancelled, &[Reason]),
        only(Who::Assignee, row(S::Accepted, S::OnSite, &[])),
        row(S::Accepted, S::Assigned, &[Assignee, Reason]),
        row(S::Accepted, S::Approved, &[Reason]),
        row(S::Accepted, S::Cancelled, &[Reason]),
        only(Who::Assignee, row(S::OnSite, S::InProgress, &[])),
        row(S::OnSite, S::Assigned, &[Assignee, Reason]),
        row(S::OnSite, S::Approved, &[Reason]),
        only(Who::Assignee, row(S::InProgress, S::OnHold, &[Reason])),
        only(
            Who::Assignee,
            row(S::InProgress, S::Completed, &[Cause, Remedy]),
        ),
        row(S::InProgress, S::Assigned, &[Assignee, Reason]),
        row(S::InProgress, S::Approved, &[Reason]),
        only(Who::Assignee, row(S::OnHold, S::InProgress, &[])),
        row(S::OnHold, S::Approved, &[Reason]),
        row(S::OnHold, S::Cancelled, &[Reason]),
        only(Who::Another, row(S::Completed, S::Verified, &[])),
        row(S::Completed, S::InProgress, &[Reason]),
        row(S::Completed, S::Approved, &[Reason]),
        row(S::Verified, S::Closed, &[]),
        row(S::Verified, S::InProgress, &[Reason]),
        row(S::Verified, S::Approved, &[Reason]),
    ]
};

/// The moves that people may make from a status.
pub fn moves_from(from: WorkOrderStatus) -> impl Iterator<Item = &'static Move> {
    MOVES.iter().filter(move |row| row.from == from)
}

/// One work order as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkOrder {
    /// Its number.
    pub no: WorkOrderNumber,
    /// Why it exists.
    pub kind: WorkOrderKind,
    /// Where it stands.
    pub status: WorkOrderStatus,
    /// How urgent it is.
    pub priority: Priority,
    /// The asset.
    pub asset: AssetId,
    /// The rule that raised it; `None` when a person did.
    pub rule: Option<RuleId>,
    /// What it is about.
    pub title: Text,
    /// Where the fault is, or was last known to be; `None` when nothing says so.
    pub place: Option<Place>,
    /// The fault family; empty when a person reported it.
    pub fault_family: String,
    /// Every alarm that belongs to it, oldest first.
    pub alarms: Vec<AlarmId>,
    /// How often the fault came: 1 is the first time. A further alarm of a fault that still stands
    /// is no second time.
    pub occurrences: u32,
    /// Who does it.
    pub assignee: Option<String>,
    /// Who said last that the work is done; `None` when nobody did, or the gateway by itself.
    pub completed_by: Option<String>,
    /// Who reported it; `None` when the gateway did.
    pub reported_by: Option<String>,
    /// What becomes of it when the machine is normal again.
    pub close: ClosePolicy,
    /// When it was made.
    pub created_at: Timestamp,
    /// How long the work may take until it is completed: the shortest `due` of the rules whose
    /// alarms belong to the order, the same when it is new and when it is open again.
    pub limit: Option<Duration>,
    /// When the work must be completed; `None` while the clock stands, and when nothing says.
    pub due_at: Option<Timestamp>,
    /// What was left of the limit when the clock stopped, negative when it was late; `None` while
    /// it runs, and when nothing says.
    pub due_left: Option<Duration>,
    /// Until when somebody must have accepted it, or it is told again; `None` when it was, or
    /// need not be.
    pub escalate_at: Option<Timestamp>,
    /// When the machine's own signal became normal; `None` while the fault stands.
    pub recovered_at: Option<Timestamp>,
    /// When it last became work again after it was completed or closed.
    pub reopened_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// What was found and done.
    pub repair: Repair,
    /// The parts it took, in the order they were written down.
    pub parts: Vec<Part>,
    /// Photos of the work, in the order they came.
    pub photos: Vec<Photo>,
    /// Counts every change; guards against two people changing it at once.
    pub version: u32,
}

impl WorkOrder {
    /// Whether people say that somebody is in danger: no rule made the order, and its priority is 1.
    /// What a rule made guards life when its rule says so, whatever priority people gave it.
    pub fn reported_urgent(&self) -> bool {
        self.rule.is_none() && self.priority == Priority::Urgent && !self.status.is_over()
    }

    /// Whether it waits for somebody to take it, and is told again when nobody does: what people
    /// report as urgent does so before anybody has reviewed it.
    pub fn waits_for_somebody(&self) -> bool {
        use WorkOrderStatus as S;
        match self.status {
            S::Approved | S::Assigned => true,
            S::Requested => self.reported_urgent(),
            S::Accepted | S::OnSite | S::InProgress | S::OnHold => false,
            S::Completed | S::Verified | S::Closed | S::Rejected | S::Cancelled => false,
        }
    }
}

coded! {
    /// What happened to an order.
    WorkOrderChange {
        /// It was made.
        Created = "created",
        /// It moved in the table.
        Moved = "moved",
        /// Another alarm came of a fault that still stands.
        Joined = "joined",
        /// The same fault came again after the machine was normal.
        Repeated = "repeated",
        /// The machine is normal again.
        Recovered = "recovered",
        /// The fault came back within the window after closing.
        Reopened = "reopened",
        /// It became more urgent because a worse fault of the family came.
        Raised = "raised",
        /// Nobody accepted it in time.
        Escalated = "escalated",
        /// The gateway's clock was set, and what the order waits for with it.
        ClockSet = "clock_set",
        /// Somebody wrote something.
        Commented = "commented",
        /// Somebody changed how urgent it is.
        Edited = "edited",
        /// The place of the fault became known, changed, or is no longer sure.
        Located = "located",
        /// A part was written down.
        PartAdded = "part_added",
        /// A part was taken out of the record.
        PartRemoved = "part_removed",
        /// A photo came.
        PhotoAdded = "photo_added",
        /// A photo was taken out of the record.
        PhotoRemoved = "photo_removed",
    }
}

/// How the note of an entry begins that is about an alarm; its number follows.
pub const ALARM_NOTE: &str = "alarm ";
/// Begins the note of an entry by which somebody got the order; their user name follows, then what was written, on
/// lines of their own.
pub const PERSON_NOTE: &str = "person ";

impl WorkOrderChange {
    /// Whether it changes what the order's record holds: its parts or photos.
    pub fn edits_record(self) -> bool {
        use WorkOrderChange as C;
        match self {
            C::PartAdded | C::PartRemoved | C::PhotoAdded | C::PhotoRemoved => true,
            C::Created
            | C::Moved
            | C::Joined
            | C::Repeated
            | C::Recovered
            | C::Reopened
            | C::Raised
            | C::Escalated
            | C::ClockSet
            | C::Commented
            | C::Edited
            | C::Located => false,
        }
    }
}

/// One thing that happened to an order; step 4 of the way of a datum.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkOrderEvent {
    /// The order as it is after it.
    pub order: WorkOrder,
    /// What happened.
    pub change: WorkOrderChange,
    /// The status before.
    pub from: WorkOrderStatus,
    /// The status after.
    pub to: WorkOrderStatus,
    /// When.
    pub at: Timestamp,
    /// When the person says it happened, if they were without a network then.
    pub recorded_at: Option<Timestamp>,
    /// The person; `None` when the gateway did it.
    pub by: Option<String>,
    /// Whether the person may have made the move only because the site has no other account.
    pub only_account: bool,
    /// What was written with it.
    pub note: Option<String>,
}
