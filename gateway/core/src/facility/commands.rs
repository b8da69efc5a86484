//! What people decide: acknowledge, shelve, comment, make and move orders.
//!
//! A command is checked whole before anything changes; a refusal changes nothing.

use super::{Command, Effects, Facility, MoveWorkOrder, NewWorkOrder, Outcome, Refusal};
use crate::alarm::rule::ClosePolicy;
use crate::alarm::{Alarm, AlarmChange, AlarmId, Priority};
use crate::facility::deadlines::Deadline;
use crate::notification::NotifyReason;
use crate::text::Text;
use crate::time::{Duration, Timestamp};
use crate::work_order::{
    Field, PERSON_NOTE, Repair, WorkOrder, WorkOrderChange, WorkOrderKind, WorkOrderNumber,
    WorkOrderStatus, moves_from,
};

/// The shortest and the longest time an alarm is put aside: one shift at most.
const SHELVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(8 * 3600));

impl Facility {
    pub(super) fn command(
        &mut self,
        command: Command,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        match command {
            Command::Acknowledge { alarm, by, comment } => {
                self.acknowledge(alarm, by, comment, now, effects)
            }
            Command::Shelve {
                alarm,
                by,
                reason,
                duration,
            } => self.shelve(alarm, by, reason, duration, now, effects),
            Command::Unshelve { alarm, by } => {
                let shelved = self.open_alarm(alarm)?.shelved_until.is_some();
                if !shelved {
                    return Err(Refusal::NotShelved(alarm));
                }
                self.unshelve(alarm, Some(by), now, effects);
                Ok(Outcome::Done)
            }
            Command::CommentAlarm { alarm, by, comment } => {
                let open = self.open_alarm(alarm)?;
                let from = open.state();
                open.comment = Some(comment.clone());
                let note = Some(comment);
                self.record_alarm(
                    alarm,
                    AlarmChange::Commented,
                    from,
                    now,
                    Some(by),
                    note,
                    effects,
                );
                Ok(Outcome::Done)
            }
            Command::CreateWorkOrder(new) => Ok(self.create(new, now, effects)),
            Command::MoveWorkOrder(step) => self.move_order(*step, now, effects),
            Command::EditWorkOrder {
                no,
                by,
                version,
                priority,
            } => self.edit(&no, by, version, priority, now, effects),
            Command::CommentWorkOrder { no, by, comment } => {
                let order = self.order(&no)?.clone();
                let from = order.status;
                let change = WorkOrderChange::Commented;
                self.record_order(order, change, from, now, Some(by), Some(comment), effects);
                self.outcome(&no)
            }
            Command::EditRecord {
                no,
                by,
                edit,
                recorded_at,
            } => self.edit_record(&no, by, edit, recorded_at, now, effects),
        }
    }

    fn open_alarm(&mut self, id: AlarmId) -> Result<&mut Alarm, Refusal> {
        self.alarms.get_mut(&id).ok_or(Refusal::NoAlarm(id))
    }

    pub(super) fn order(&self, no: &WorkOrderNumber) -> Result<&WorkOrder, Refusal> {
        self.orders
            .get(no)
            .ok_or_else(|| Refusal::NoWorkOrder(no.clone()))
    }

    pub(super) fn outcome(&self, no: &WorkOrderNumber) -> Result<Outcome, Refusal> {
        self.order(no)
            .map(|order| Outcome::WorkOrder(Box::new(order.clone())))
    }

    fn acknowledge(
        &mut self,
        id: AlarmId,
        by: String,
        comment: Option<String>,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        let alarm = self.open_alarm(id)?;
        if alarm.acknowledged_at.is_some() {
            let by = alarm.acknowledged_by.clone().unwrap_or_default();
            return Err(Refusal::AlreadyAcknowledged { id, by });
        }
        let from = alarm.state();
        alarm.acknowledged_at = Some(now);
        alarm.acknowledged_by = Some(by.clone());
        if comment.is_some() {
            alarm.comment.clone_from(&comment);
        }
        alarm.latched = false;
        self.record_alarm(
            id,
            AlarmChange::Acknowledged,
            from,
            now,
            Some(by),
            comment,
            effects,
        );
        Ok(Outcome::Done)
    }

    fn shelve(
        &mut self,
        id: AlarmId,
        by: String,
        reason: String,
        duration: Duration,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        let rule = self.open_alarm(id)?.rule;
        let rule = &self.model.rule(rule).rule;
        if !rule.may_be_shelved() {
            return Err(Refusal::LifeSafety);
        }
        if duration < SHELVE.0 || duration > SHELVE.1 {
            return Err(Refusal::ShelveTooLong);
        }
        let alarm = self.open_alarm(id)?;
        if let Some(until) = alarm.shelved_until {
            let by = alarm.shelved_by.clone().unwrap_or_default();
            return Err(Refusal::AlreadyShelved { id, by, until });
        }
        let from = alarm.state();
        alarm.shelved_until = Some(now + duration);
        alarm.shelved_by = Some(by.clone());
        self.deadlines.set(Deadline::Unshelve(id), now + duration);
        let change = AlarmChange::Shelved;
        self.record_alarm(id, change, from, now, Some(by), Some(reason), effects);
        Ok(Outcome::Done)
    }

    fn create(&mut self, new: NewWorkOrder, now: Timestamp, effects: &mut Effects) -> Outcome {
        let order = WorkOrder {
            no: self.next_number(now),
            kind: WorkOrderKind::Request,
            status: WorkOrderStatus::Requested,
            priority: new.priority,
            asset: new.asset,
            rule: None,
            title: Text::new(new.title.clone(), new.title),
            place: None,
            fault_family: String::new(),
            alarms: Vec::new(),
            occurrences: 1,
            assignee: None,
            completed_by: None,
            reported_by: Some(new.by.clone()),
            close: ClosePolicy::Never,
            created_at: now,
            limit: None,
            due_at: None,
            due_left: None,
            escalate_at: None,
            recovered_at: None,
            reopened_at: None,
            closed_at: None,
            repair: Repair::default(),
            parts: Vec::new(),
            photos: Vec::new(),
            version: 0,
        };
        let (status, no) = (order.status, order.no.clone());
        let change = WorkOrderChange::Created;
        self.record_order(order, change, status, now, Some(new.by), new.note, effects);
        self.tell(NotifyReason::Raised, None, Some(&no), now, effects);
        self.outcome(&no).unwrap_or(Outcome::Done)
    }

    fn move_order(
        &mut self,
        step: MoveWorkOrder,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        let (mut order, only_account) = self.check_move(&step)?;
        let from = order.status;
        order.status = step.to;
        fill(&mut order.repair.problem, step.repair.problem);
        fill(&mut order.repair.cause, step.repair.cause);
        fill(&mut order.repair.remedy, step.repair.remedy);
        order.repair.labor_minutes = step.repair.labor_minutes.or(order.repair.labor_minutes);
        let nobody = order.assignee.is_none();
        let given = step.to == WorkOrderStatus::Assigned
            || (step.to == WorkOrderStatus::InProgress && nobody);
        if given {
            order.assignee = step.assignee;
        } else if step.to == WorkOrderStatus::Approved {
            order.assignee = None;
        }
        let back = is_sent_back(from, step.to);
        if step.to == WorkOrderStatus::Completed {
            order.completed_by = Some(step.by.clone());
        } else if back {
            order.reopened_at = Some(now);
        }
        // Nobody needs to be told what they did themselves.
        let tell_completer = back && order.completed_by.as_ref() != Some(&step.by);
        let (no, by) = (order.no.clone(), Some(step.by));
        let note = match (step.reason, step.note) {
            (Some(reason), Some(note)) => Some(format!("{reason}\n{note}")),
            (reason, note) => reason.or(note),
        };
        let why = by.iter().chain(&note).map(String::as_str);
        let why = why.collect::<Vec<_>>().join(": ");
        let to = order.assignee.as_ref().filter(|_| given);
        let to = to.map(|person| format!("{PERSON_NOTE}{person}"));
        let note = to
            .into_iter()
            .chain(note)
            .reduce(|to, note| format!("{to}\n{note}"));
        self.record_order(
            order,
            WorkOrderChange::Moved,
            from,
            now,
            by.clone(),
            note,
            effects,
        );
        effects.recorded(step.recorded_at);
        effects.only_account(only_account);
        if given {
            self.tell(NotifyReason::Assigned, None, Some(&no), now, effects);
        } else if step.to == WorkOrderStatus::Approved && from != WorkOrderStatus::Requested {
            // Given back: the crew must know that nobody has it any more.
            self.tell(NotifyReason::Raised, None, Some(&no), now, effects);
        }
        if tell_completer {
            self.tell_completer(&no, None, Some(why), now, effects);
        }
        self.close_unreported(&no, by, now, effects);
        self.outcome(&no)
    }

    /// An order that is over is a record: only an open one can be changed.
    fn edit(
        &mut self,
        no: &WorkOrderNumber,
        by: String,
        version: Option<u32>,
        priority: Priority,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        let mut order = self.order(no)?.clone();
        let from = order.status;
        if from.is_over() {
            return Err(Refusal::NoWorkOrder(no.clone()));
        }
        check_version(&order, version)?;
        if order.priority != priority {
            let note = format!("{} → {}", order.priority.number(), priority.number());
            order.priority = priority;
            // What turns out to be urgent is told as what came urgent, to who has it or could.
            let urgent = priority == Priority::Urgent && order.status.is_to_do();
            if urgent && order.waits_for_somebody() {
                self.wait_anew(&mut order, now);
            }
            let change = WorkOrderChange::Edited;
            self.record_order(order, change, from, now, Some(by), Some(note), effects);
            if urgent {
                self.tell(NotifyReason::Raised, None, Some(no), now, effects);
            }
        }
        self.outcome(no)
    }

    /// Where nobody reported the fault, nobody needs a call-back: a verified order closes.
    fn close_unreported(
        &mut self,
        no: &WorkOrderNumber,
        by: Option<String>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(order) = self.orders.get(no) else {
            return;
        };
        if order.status == WorkOrderStatus::Verified && order.reported_by.is_none() {
            let mut order = order.clone();
            order.status = WorkOrderStatus::Closed;
            let from = WorkOrderStatus::Verified;
            self.record_order(order, WorkOrderChange::Moved, from, now, by, None, effects);
        }
    }

    /// The order, and whether it may be moved only because the site has no other account.
    fn check_move(&self, step: &MoveWorkOrder) -> Result<(WorkOrder, bool), Refusal> {
        let order = self.order(&step.no)?;
        let (from, to) = (order.status, step.to);
        check_version(order, step.version)?;
        let row = moves_from(from).find(|row| row.to == to);
        let row = row.ok_or(Refusal::NotAllowed { from, to })?;
        let only_account = row.check(order, &step.by, step.actor)?;
        let said =
            |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        let missing: Vec<Field> = row
            .needs_of(order)
            .into_iter()
            .filter(|field| match field {
                Field::Assignee => !said(&step.assignee),
                Field::Reason => !said(&step.reason),
                Field::Cause => !said(&step.repair.cause) && order.repair.cause.is_none(),
                Field::Remedy => !said(&step.repair.remedy) && order.repair.remedy.is_none(),
            })
            .collect();
        if !missing.is_empty() {
            return Err(Refusal::Missing { missing });
        }
        // An order ends on the machine's own signal; only one that is no life-safety fault may be dropped before.
        let ends = matches!(to, WorkOrderStatus::Verified | WorkOrderStatus::Closed);
        let dropped = to == WorkOrderStatus::Cancelled
            && (order.close == ClosePolicy::Never || self.endangers_life(&order.alarms));
        if (ends || dropped) && self.fault_stands(&order.alarms) {
            return Err(Refusal::FaultStands);
        }
        Ok((order.clone(), only_account))
    }
}

fn check_version(order: &WorkOrder, seen: Option<u32>) -> Result<(), Refusal> {
    match seen {
        Some(seen) if seen != order.version => Err(Refusal::Changed {
            no: order.no.clone(),
            version: order.version,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a move makes work again of what was called done.
fn is_sent_back(from: WorkOrderStatus, to: WorkOrderStatus) -> bool {
    matches!(from, WorkOrderStatus::Completed | WorkOrderStatus::Verified)
        && matches!(to, WorkOrderStatus::InProgress | WorkOrderStatus::Approved)
}

fn fill(field: &mut Option<String>, new: Option<String>) {
    if let Some(text) = new.filter(|text| !text.trim().is_empty()) {
        *field = Some(text);
    }
}
