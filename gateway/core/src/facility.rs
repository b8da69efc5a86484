//! The heart: one value that owns everything known of the building and changes only by `handle`.
//!
//! `handle` goes through the way of a datum — accept, judge, act, tell — and returns effects.
//! It reads no clock and does no I/O; nothing it returns may be shown or told before it is durable.

mod alarms;
mod commands;
mod deadlines;
mod incident;
mod orders;
mod places;
mod points;
mod record;
mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::{AssetState, AssetView, Snapshot, Urgency};

use crate::alarm::rule::RateMemory;
use crate::alarm::{Alarm, AlarmId, AlarmTransition};
use crate::model::{AssetId, LinkState, Model, PointId, RuleId};
use crate::notification::Notification;
use crate::point::{PointState, PointUpdate, Quality, QualityReason, SampleBatch, Value};
use crate::time::{Duration, Timestamp};
use crate::work_order::{
    Actor, NotYours, RecordEdit, Repair, WorkOrder, WorkOrderEvent, WorkOrderNumber,
    WorkOrderStatus,
};
use deadlines::{Deadline, Deadlines};
use places::Followed;
use points::Wrong;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that can happen to the building.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A device was read, or sent.
    Samples(SampleBatch),
    /// The link to an asset changed.
    Link {
        /// The asset.
        asset: AssetId,
        /// How the link is now.
        state: LinkState,
    },
    /// The clock was set by this much, back when negative: what waits must wait neither longer nor
    /// shorter for it.
    ClockSet(Duration),
    /// A person decided something.
    Command(Command),
    /// Time passed.
    Tick,
}

/// What people decide. `by` is always the signed-in user.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// "I have seen it."
    Acknowledge {
        /// Which alarm.
        alarm: AlarmId,
        /// Who.
        by: String,
        /// What they want to say with it.
        comment: Option<String>,
    },
    /// Puts an alarm aside for a time. Refused for life safety.
    Shelve {
        /// Which alarm.
        alarm: AlarmId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// For how long, 1 minute to 8 hours.
        duration: Duration,
    },
    /// Brings a shelved alarm back.
    Unshelve {
        /// Which alarm.
        alarm: AlarmId,
        /// Who.
        by: String,
    },
    /// Writes something on an alarm.
    CommentAlarm {
        /// Which alarm.
        alarm: AlarmId,
        /// Who.
        by: String,
        /// What.
        comment: String,
    },
    /// Makes an order by hand.
    CreateWorkOrder(NewWorkOrder),
    /// Moves an order.
    MoveWorkOrder(Box<MoveWorkOrder>),
    /// Changes how urgent an order is.
    EditWorkOrder {
        /// Which order.
        no: WorkOrderNumber,
        /// Who.
        by: String,
        /// The version the person saw; `None` changes it whatever it is.
        version: Option<u32>,
        /// How urgent it is from now on.
        priority: crate::alarm::Priority,
    },
    /// Writes something on an order.
    CommentWorkOrder {
        /// Which order.
        no: WorkOrderNumber,
        /// Who.
        by: String,
        /// What.
        comment: String,
    },
    /// Changes what an open order's record holds.
    EditRecord {
        /// Which order.
        no: WorkOrderNumber,
        /// Who.
        by: String,
        /// What.
        edit: RecordEdit,
        /// When it happened, if the person was without a network then.
        recorded_at: Option<Timestamp>,
    },
}

/// An order made by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkOrder {
    /// The asset.
    pub asset: AssetId,
    /// What it is about, as the person wrote it.
    pub title: String,
    /// How urgent they say it is.
    pub priority: crate::alarm::Priority,
    /// Who.
    pub by: String,
    /// More words.
    pub note: Option<String>,
}

/// A move of an order, with all that may be said with it.
#[derive(Debug, Clone, PartialEq)]
pub struct MoveWorkOrder {
    /// The order.
    pub no: WorkOrderNumber,
    /// Where to.
    pub to: WorkOrderStatus,
    /// Who.
    pub by: String,
    /// As whom they do it: core knows no accounts.
    pub actor: Actor,
    /// The version the person saw; `None` moves it whatever it is.
    pub version: Option<u32>,
    /// Free words.
    pub note: Option<String>,
    /// Why, where the table asks.
    pub reason: Option<String>,
    /// Who shall do it, where the table asks.
    pub assignee: Option<String>,
    /// What was found and done; fields given replace those there.
    pub repair: Repair,
    /// When it happened, if the person was without a network then.
    pub recorded_at: Option<Timestamp>,
}

/// What a command brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The order as it is now.
    WorkOrder(Box<WorkOrder>),
}

/// Why a command is refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is no such open alarm.
    #[error("alarm {0} is not open")]
    NoAlarm(AlarmId),
    /// Somebody was faster.
    #[error("alarm {id} is already acknowledged by {by}")]
    AlreadyAcknowledged {
        /// The alarm.
        id: AlarmId,
        /// Who did it.
        by: String,
    },
    /// Life safety is never put aside.
    #[error("a life-safety alarm cannot be shelved")]
    LifeSafety,
    /// Somebody else did so; another time of theirs is not overwritten.
    #[error("alarm {id} is already shelved by {by} until {until}")]
    AlreadyShelved {
        /// The alarm.
        id: AlarmId,
        /// Who did it.
        by: String,
        /// Until when.
        until: Timestamp,
    },
    /// Not shelved.
    #[error("alarm {0} is not shelved")]
    NotShelved(AlarmId),
    /// A shelf time that is no shelf time.
    #[error("shelving takes from 1 minute to 8 hours")]
    ShelveTooLong,
    /// There is no such order.
    #[error("work order {0} does not exist or is over")]
    NoWorkOrder(WorkOrderNumber),
    /// The table has no such move.
    #[error("a work order cannot go from {} to {}", from.code(), to.code())]
    NotAllowed {
        /// From here.
        from: WorkOrderStatus,
        /// To there.
        to: WorkOrderStatus,
    },
    /// Somebody else must make the move.
    #[error(transparent)]
    NotYours(#[from] NotYours),
    /// The table asks for more.
    #[error("fields are missing: {}", missing.iter().map(|field| field.code()).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Each missing field.
        missing: Vec<crate::work_order::Field>,
    },
    /// The machine's own signal is not normal yet.
    #[error("the fault still stands: the machine has not reported normal")]
    FaultStands,
    /// Somebody changed it meanwhile.
    #[error("work order {no} was changed by somebody else (version {version})")]
    Changed {
        /// The order.
        no: WorkOrderNumber,
        /// Its version now.
        version: u32,
    },
    /// The order's record has no such part or photo.
    #[error("the record has no entry {0}")]
    NoEntry(u32),
    /// The order's record holds as many as one may.
    #[error(
        "the record of a work order holds at most {} of them",
        crate::work_order::MOST
    )]
    RecordFull,
}

/// Something that must become durable before anybody sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An alarm changed.
    Alarm(AlarmTransition),
    /// Something happened to an order.
    WorkOrder(Box<WorkOrderEvent>),
    /// Somebody must be told.
    Notify(Notification),
}

/// What one or more inputs brought.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// For the history: every point that was read.
    pub updates: Vec<PointUpdate>,
    /// For the journal, in order, in one transaction.
    pub records: Vec<Effect>,
}

impl Effects {
    /// When the person says that what was recorded last happened.
    fn recorded(&mut self, at: Option<Timestamp>) {
        if let Some(Effect::WorkOrder(event)) = self.records.last_mut() {
            event.recorded_at = at;
        }
    }

    /// That what was recorded last was allowed only because the site has no other account.
    fn only_account(&mut self, only: bool) {
        if let Some(Effect::WorkOrder(event)) = self.records.last_mut() {
            event.only_account = only;
        }
    }
}

/// What the journal knew when the gateway started.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Every alarm that is not over.
    pub alarms: Vec<Alarm>,
    /// Every order that is not over, and those closed within the re-open window.
    pub work_orders: Vec<WorkOrder>,
    /// The highest alarm number ever given.
    pub last_alarm: u64,
    /// The highest order number ever given.
    pub last_work_order: Option<WorkOrderNumber>,
    /// What was last known of points whose device does not say it again when asked, and since when.
    pub points: Vec<(PointId, Value, Timestamp)>,
}

/// Everything known of the building.
pub struct Facility {
    model: Arc<Model>,
    points: Vec<PointState>,
    links: Vec<LinkState>,
    /// When an asset last gave a usable sample; `None` before the first.
    heard: Vec<Option<Timestamp>>,
    /// When a point last came with a usable value, by the gateway's clock.
    point_heard: Vec<Timestamp>,
    /// Whether an asset gives data; `None` until that is known.
    has_data: Vec<Option<bool>>,
    rules: Vec<RuleState>,
    /// For each point, the rules that look at it.
    watchers: Vec<Vec<RuleId>>,
    /// For each point, whether a rule looks at how fast it changes.
    rated: Vec<bool>,
    /// For each point, the rules whose faults it says the place of.
    placing: Vec<Vec<RuleId>>,
    /// Of open alarms, what happened to their place.
    followed: BTreeMap<AlarmId, Followed>,
    /// Open alarms by number.
    alarms: BTreeMap<AlarmId, Alarm>,
    /// Open orders, and closed ones within the re-open window.
    orders: BTreeMap<WorkOrderNumber, WorkOrder>,
    /// The order of each (asset, fault family) that repeats are added to.
    families: BTreeMap<(AssetId, String), WorkOrderNumber>,
    deadlines: Deadlines,
    last_alarm: u64,
    last_work_order: Option<WorkOrderNumber>,
    /// For each point, which of its values were called wrong.
    wrong: Vec<Wrong>,
    /// Counts every change people can see.
    sequence: u64,
    /// Points known from before the start: judged with the first input, because what they raise
    /// must be durable before anybody sees it.
    unjudged: Vec<PointId>,
    /// Alarms from before the start whose place is not known to be so now.
    unfollowed: Vec<AlarmId>,
}

/// What a rule bound to an asset remembers between samples.
#[derive(Debug, Default)]
struct RuleState {
    /// The open occurrence, if there is one.
    alarm: Option<AlarmId>,
    /// A verdict that differs from the alarm's condition and waits for its delay.
    pending: Option<Pending>,
    /// For each point whose rate the rule looks at, its latest values.
    memory: BTreeMap<PointId, RateMemory>,
}

/// A verdict that waits for its delay.
#[derive(Debug, Clone, Copy)]
struct Pending {
    verdict: bool,
    /// When the delay began; moved on by the time the data could not be trusted.
    since: Timestamp,
    /// Since when the data cannot be trusted: the delay stands still.
    paused: Option<Timestamp>,
}

impl Facility {
    /// A building of which nothing is known yet.
    pub fn new(model: Arc<Model>, now: Timestamp) -> Self {
        Self::restore(model, Records::default(), now)
    }

    /// A building as the journal knew it: alarms and orders stand, every value waits to be read.
    pub fn restore(model: Arc<Model>, records: Records, now: Timestamp) -> Self {
        let mut watchers = vec![Vec::new(); model.points.len()];
        let mut rated = vec![false; model.points.len()];
        let mut placing = vec![Vec::new(); model.points.len()];
        for (index, bound) in model.rules.iter().enumerate() {
            let rule = RuleId(u32::try_from(index).unwrap_or(u32::MAX));
            for point in bound.points.iter().chain(&bound.blind_without) {
                watchers[point.index()].push(rule);
            }
            let points: BTreeSet<PointId> = bound
                .places
                .iter()
                .flat_map(|place| place.points())
                .collect();
            for point in points {
                placing[point.index()].push(rule);
            }
            for (point, _) in bound.rates() {
                rated[point.index()] = true;
            }
        }
        let disabled = model.assets.iter().map(|asset| asset.disabled);
        let links = disabled.map(|off| {
            if off {
                LinkState::Disabled
            } else {
                LinkState::Unknown
            }
        });
        let mut facility = Self {
            points: vec![PointState::default(); model.points.len()],
            links: links.collect(),
            heard: vec![None; model.assets.len()],
            point_heard: vec![now; model.points.len()],
            wrong: model.points.iter().map(|_| Wrong::default()).collect(),
            has_data: vec![None; model.assets.len()],
            rules: model.rules.iter().map(|_| RuleState::default()).collect(),
            watchers,
            rated,
            placing,
            followed: BTreeMap::new(),
            alarms: BTreeMap::new(),
            orders: BTreeMap::new(),
            families: BTreeMap::new(),
            deadlines: Deadlines::default(),
            last_alarm: records.last_alarm,
            last_work_order: records.last_work_order.clone(),
            sequence: 0,
            unjudged: Vec::new(),
            unfollowed: Vec::new(),
            model,
        };
        facility.recall(records, now);
        facility
    }

    fn recall(&mut self, records: Records, now: Timestamp) {
        for index in 0..self.model.assets.len() {
            let asset = AssetId(u32::try_from(index).unwrap_or(u32::MAX));
            if self.model.asset(asset).disabled {
                for point in self.model.asset(asset).points.clone() {
                    self.points[point as usize].quality = Quality::Stale(QualityReason::Disabled);
                }
            } else {
                let due = now + self.model.asset(asset).stale_after;
                self.deadlines.set(Deadline::Stale(asset), due);
            }
        }
        for mut alarm in records.alarms {
            self.rules[alarm.rule.index()].alarm = Some(alarm.id);
            alarm.out_of_service = self.model.asset(alarm.asset).disabled;
            if alarm.active && alarm.place.is_some() {
                self.unfollowed.push(alarm.id);
            }
            if let Some(until) = alarm.shelved_until {
                self.deadlines.set(Deadline::Unshelve(alarm.id), until);
            }
            self.alarms.insert(alarm.id, alarm);
        }
        for order in records.work_orders {
            self.remember(order, now);
        }
        self.recall_points(records.points);
    }

    /// What was known before is not sure any more: it may raise, and clears nothing. A fault whose
    /// delay was running when the gateway ended begins its delay anew.
    fn recall_points(&mut self, points: Vec<(PointId, Value, Timestamp)>) {
        for (point, value, at) in points {
            if !self.model.asset(self.model.point(point).asset).disabled {
                let quality = Quality::Uncertain(QualityReason::Late);
                self.points[point.index()] = PointState {
                    value: Some(value),
                    quality,
                    at: Some(at),
                };
                self.unjudged.push(point);
            }
        }
    }

    /// Takes one input, and everything that became due, through accept, judge, act and tell.
    ///
    /// Only commands can be refused; a refused command changes nothing.
    pub fn handle(
        &mut self,
        input: Input,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        for point in std::mem::take(&mut self.unjudged) {
            self.judge_point(point, now, effects);
        }
        for alarm in std::mem::take(&mut self.unfollowed) {
            self.follow(alarm, now, effects);
        }
        if let Input::ClockSet(by) = input {
            // Before anything is found to be due by the new time.
            self.clock_set(by, now, effects);
        }
        self.run_due(now, effects);
        match input {
            Input::Samples(batch) => self.accept(batch, now, effects),
            Input::Link { asset, state } => self.link(asset, state, now, effects),
            Input::Command(command) => return self.command(command, now, effects),
            Input::ClockSet(_) | Input::Tick => {}
        }
        Ok(Outcome::Done)
    }

    /// When `handle` must be called next, at the latest, and what it waits for.
    pub fn next_deadline(&self) -> Option<(Timestamp, &'static str)> {
        self.deadlines.next()
    }

    /// Grows with every change people can see.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a rule looks at a point.
    pub fn is_judged(&self, point: PointId) -> bool {
        !self.watchers[point.index()].is_empty()
    }

    /// What the building is.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    fn run_due(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some(deadline) = self.deadlines.pop_due(now) {
            match deadline {
                Deadline::Rule(rule) => self.rule_due(rule, now, effects),
                Deadline::Stale(asset) => self.stale_due(asset, now, effects),
                Deadline::Place(alarm) => self.follow(alarm, now, effects),
                Deadline::Unshelve(alarm) => self.unshelve(alarm, None, now, effects),
                Deadline::Escalate(no) => self.escalate(&no, now, effects),
                Deadline::Forget(no) => self.forget(&no),
            }
        }
    }
}
