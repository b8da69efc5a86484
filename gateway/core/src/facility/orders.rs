//! Steps 4 and 5, act and tell: faults become orders, orders are told.
//!
//! One open corrective order per asset and fault family; a repeat is added to it, never lost,
//! and no order closes by itself that a person has taken.

use super::{Effect, Effects, Facility};
use crate::alarm::rule::ClosePolicy;
use crate::alarm::{Alarm, AlarmId, Priority};
use crate::facility::deadlines::Deadline;
use crate::model::RuleId;
use crate::notification::{Audience, Notification, NotifyReason};
use crate::time::{Duration, Timestamp};
use crate::work_order::{
    ALARM_NOTE, Repair, WorkOrder, WorkOrderChange, WorkOrderEvent, WorkOrderKind, WorkOrderNumber,
    WorkOrderStatus,
};
use chrono::Datelike;

impl Facility {
    /// A raised alarm opens an order, joins the open one, or re-opens the last one. Only one that
    /// comes after the machine was normal is the fault again; what comes before belongs to it.
    pub(super) fn act(
        &mut self,
        alarm: &Alarm,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Option<WorkOrderNumber> {
        let rule = self.model.rule(alarm.rule).rule.clone();
        if !rule.work_order {
            self.tell(NotifyReason::Raised, Some(alarm), None, now, effects);
            return None;
        }
        let key = (alarm.asset, rule.family.clone());
        let known = self
            .families
            .get(&key)
            .and_then(|no| self.orders.get(no))
            .cloned();
        let order = match known {
            None => return Some(self.open(alarm, now, effects)),
            Some(order) => order,
        };
        let no = order.no.clone();
        if order.status.is_over() {
            self.reopen(order, alarm, now, effects);
        } else if self.fault_stands(&order.alarms) {
            self.further(order, alarm, now, effects);
        } else {
            self.repeat(order, alarm, now, effects);
        }
        Some(no)
    }

    fn open(&mut self, alarm: &Alarm, now: Timestamp, effects: &mut Effects) -> WorkOrderNumber {
        let rule = self.model.rule(alarm.rule).rule.clone();
        let no = self.next_number(now);
        let assignee = self.on_call(alarm);
        let order = WorkOrder {
            no: no.clone(),
            kind: WorkOrderKind::Corrective,
            status: start(assignee.as_deref()),
            priority: rule.priority,
            asset: alarm.asset,
            rule: Some(alarm.rule),
            title: rule.title.clone(),
            place: alarm.place.clone(),
            fault_family: rule.family.clone(),
            alarms: vec![alarm.id],
            occurrences: 1,
            assignee,
            completed_by: None,
            reported_by: None,
            close: rule.close,
            created_at: now,
            limit: Some(rule.due),
            due_at: Some(now + rule.due),
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
        let status = order.status;
        self.families
            .insert((alarm.asset, rule.family.clone()), no.clone());
        self.record_order(
            order,
            WorkOrderChange::Created,
            status,
            now,
            None,
            None,
            effects,
        );
        self.tell(NotifyReason::Raised, Some(alarm), Some(&no), now, effects);
        no
    }

    fn reopen(
        &mut self,
        mut order: WorkOrder,
        alarm: &Alarm,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let from = order.status;
        self.deadlines.clear(&Deadline::Forget(order.no.clone()));
        order.assignee = self.on_call(alarm);
        order.status = start(order.assignee.as_deref());
        order.closed_at = None;
        // Where the fault was last time says nothing of this time.
        order.place = None;
        // What was done before was not enough: it stays in the order's life, and what is done now
        // must be said anew.
        let before = told(&std::mem::take(&mut order.repair));
        self.join(&mut order, alarm);
        order.occurrences += 1;
        begin_again(&mut order, now);
        let no = order.no.clone();
        self.record_order(
            order,
            WorkOrderChange::Reopened,
            from,
            now,
            None,
            before,
            effects,
        );
        self.tell(NotifyReason::Reopened, Some(alarm), Some(&no), now, effects);
        self.tell_completer(&no, Some(alarm), None, now, effects);
    }

    /// Another alarm of a fault that still stands: it belongs to the order and moves nothing.
    fn further(
        &mut self,
        mut order: WorkOrder,
        alarm: &Alarm,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let (from, before) = (order.status, order.priority);
        self.join(&mut order, alarm);
        if order.priority < before || self.model.rule(alarm.rule).rule.life_safety {
            self.escalate_again(&mut order, now);
        }
        let no = order.no.clone();
        self.record_order(
            order,
            WorkOrderChange::Joined,
            from,
            now,
            None,
            about(alarm),
            effects,
        );
        self.tell(NotifyReason::Joined, Some(alarm), Some(&no), now, effects);
    }

    /// The fault is there again after the machine was normal.
    fn repeat(
        &mut self,
        mut order: WorkOrder,
        alarm: &Alarm,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let from = order.status;
        self.join(&mut order, alarm);
        order.occurrences += 1;
        // Work that was called done is not: the fault is back.
        let back = matches!(from, WorkOrderStatus::Completed | WorkOrderStatus::Verified);
        if back {
            begin_again(&mut order, now);
            order.status = if order.repair.remedy.is_some() && order.assignee.is_some() {
                WorkOrderStatus::InProgress
            } else {
                start(order.assignee.as_deref())
            };
        }
        self.escalate_again(&mut order, now);
        let no = order.no.clone();
        self.record_order(
            order,
            WorkOrderChange::Repeated,
            from,
            now,
            None,
            about(alarm),
            effects,
        );
        self.tell(NotifyReason::Repeated, Some(alarm), Some(&no), now, effects);
        if back {
            self.tell_completer(&no, Some(alarm), None, now, effects);
        }
    }

    /// Who said that the work is done learns when and why it is work again, whoever has it now.
    pub(super) fn tell_completer(
        &self,
        no: &WorkOrderNumber,
        alarm: Option<&Alarm>,
        note: Option<String>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let completer = self
            .orders
            .get(no)
            .and_then(|order| order.completed_by.clone());
        let Some(person) = completer else {
            return;
        };
        self.tell(NotifyReason::SentBack, alarm, Some(no), now, effects);
        if let Some(Effect::Notify(told)) = effects.records.last_mut() {
            told.audience = Audience::Person(person);
            told.note = note;
        }
    }

    /// Adds an alarm to an order; the worse of the two priorities and the stricter close policy hold.
    fn join(&self, order: &mut WorkOrder, alarm: &Alarm) {
        let rule = &self.model.rule(alarm.rule).rule;
        if !order.alarms.contains(&alarm.id) {
            order.alarms.push(alarm.id);
        }
        if order.recovered_at.take().is_some() {
            order.place = None;
        }
        order.priority = order.priority.min(rule.priority);
        // The worst fault gives the order its name: what guards life before what does not, whatever
        // priority people gave the order; of two as urgent, the one that stands first in the rules of
        // the class.
        let rank = |id: RuleId| {
            let rule = &self.model.rule(id).rule;
            (!rule.life_safety, rule.priority, id)
        };
        if order
            .rule
            .is_none_or(|named| rank(alarm.rule) < rank(named))
        {
            order.title = rule.title.clone();
            order.rule = Some(alarm.rule);
        }
        order.limit = shorter(order.limit, rule.due);
        if let Some(at) = &mut order.due_at {
            *at = (*at).min(alarm.raised_at + rule.due);
        } else if let Some(left) = &mut order.due_left {
            *left = (*left).min(rule.due);
        }
        if order.rule == Some(alarm.rule) || order.place.is_none() {
            order.place = alarm.place.clone().or(order.place.take());
        }
        order.close = stricter(order.close, rule.close);
    }

    /// An alarm of an order returned: when it was the last, the machine is normal again.
    pub(super) fn recovered(
        &mut self,
        no: &WorkOrderNumber,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(order) = self.orders.get(no) else {
            return;
        };
        if order.status.is_over() || self.fault_stands(&order.alarms) {
            return;
        }
        let (mut order, from) = (order.clone(), order.status);
        order.recovered_at = Some(now);
        let untouched = matches!(from, WorkOrderStatus::Approved | WorkOrderStatus::Assigned);
        match order.close {
            ClosePolicy::Auto if untouched => order.status = WorkOrderStatus::Closed,
            ClosePolicy::Verify if untouched => {
                order.status = WorkOrderStatus::Completed;
                // Whoever completed it before did not do so now: the machine was normal by itself.
                order.completed_by = None;
            }
            ClosePolicy::Auto | ClosePolicy::Verify | ClosePolicy::Never => {}
        }
        self.record_order(
            order,
            WorkOrderChange::Recovered,
            from,
            now,
            None,
            None,
            effects,
        );
        self.tell(NotifyReason::Recovered, None, Some(no), now, effects);
    }

    /// Whether the condition of any of these alarms still holds. A lost link clears nothing.
    pub(super) fn fault_stands(&self, alarms: &[AlarmId]) -> bool {
        let open = alarms.iter().filter_map(|id| self.alarms.get(id));
        open.into_iter()
            .any(|alarm| alarm.active && !alarm.out_of_service)
    }

    /// Whether an alarm of these that still stands is one of life safety.
    pub(super) fn endangers_life(&self, alarms: &[AlarmId]) -> bool {
        let open = alarms.iter().filter_map(|id| self.alarms.get(id));
        open.filter(|alarm| alarm.active)
            .any(|alarm| self.model.rule(alarm.rule).rule.life_safety)
    }

    /// Nobody accepted the order in time: everybody is told. Who could be is not known here.
    pub(super) fn escalate(&mut self, no: &WorkOrderNumber, now: Timestamp, effects: &mut Effects) {
        let Some(mut order) = self.orders.get(no).cloned() else {
            return;
        };
        let from = order.status;
        if order.waits_for_somebody() {
            order.escalate_at = None;
            self.record_order(
                order,
                WorkOrderChange::Escalated,
                from,
                now,
                None,
                None,
                effects,
            );
            self.tell(NotifyReason::Escalated, None, Some(no), now, effects);
        }
    }

    /// A closed order's window is over: the next fault of the family opens a new one.
    pub(super) fn forget(&mut self, no: &WorkOrderNumber) {
        self.orders.remove(no);
        self.families.retain(|_, known| known != no);
    }

    /// Takes an order from the journal into memory.
    pub(super) fn remember(&mut self, mut order: WorkOrder, now: Timestamp) {
        let no = order.no.clone();
        // An order that was dropped takes no repeats, before a restart or after it.
        let takes_repeats = !order.status.is_over() || order.status == WorkOrderStatus::Closed;
        if takes_repeats
            && order.kind == WorkOrderKind::Corrective
            && !order.fault_family.is_empty()
        {
            self.families
                .insert((order.asset, order.fault_family.clone()), no.clone());
        }
        if let Some(closed) = order.closed_at {
            self.deadlines.set(
                Deadline::Forget(no.clone()),
                closed + self.model.policy.reopen_window,
            );
        } else if let Some(at) = order.escalate_at {
            // What the clock was before the start is not known: nobody waits longer than is set.
            let after = self.model.policy.escalate_after;
            order.escalate_at = (after > Duration::ZERO).then(|| at.min(now + after));
            self.arm(&order);
        }
        self.orders.insert(no, order);
    }

    pub(super) fn next_number(&mut self, now: Timestamp) -> WorkOrderNumber {
        let local = now.to_utc().with_timezone(&self.model.site.time_zone);
        let year = u32::try_from(local.year()).unwrap_or(0);
        let today = year * 10_000 + local.month() * 100 + local.day();
        // A clock that was set back must not give a number twice.
        let next = match &self.last_work_order {
            Some(last) if last.day >= today => WorkOrderNumber {
                day: last.day,
                sequence: last.sequence + 1,
            },
            _ => WorkOrderNumber {
                day: today,
                sequence: 1,
            },
        };
        self.last_work_order = Some(next.clone());
        next
    }

    /// An order that waits for somebody is told again when nobody takes it in time.
    fn watch(&mut self, order: &mut WorkOrder, anew: bool, now: Timestamp) {
        if !order.waits_for_somebody() {
            order.escalate_at = None;
        } else if anew {
            self.wait_anew(order, now);
        } else if let Some(due) = order.due_at.filter(|due| *due > now) {
            // A more urgent alarm may have come since.
            order.escalate_at = order.escalate_at.map(|at| at.min(due));
        }
        self.arm(order);
    }

    /// From now on somebody has the time that the site gives to take the order; no longer than until the work must be
    /// completed.
    pub(super) fn wait_anew(&self, order: &mut WorkOrder, now: Timestamp) {
        let after = self.model.policy.escalate_after;
        if after > Duration::ZERO {
            let due = order.due_at.filter(|due| *due > now);
            order.escalate_at = Some(due.map_or(now + after, |due| due.min(now + after)));
        }
    }

    /// What has become worse, or is there again, is told again when nobody takes it, though everybody was told once that
    /// nobody did.
    fn escalate_again(&self, order: &mut WorkOrder, now: Timestamp) {
        if order.escalate_at.is_none() && order.waits_for_somebody() {
            self.wait_anew(order, now);
        }
    }

    fn arm(&mut self, order: &WorkOrder) {
        let key = Deadline::Escalate(order.no.clone());
        match order.escalate_at {
            Some(at) => self.deadlines.set(key, at),
            None => self.deadlines.clear(&key),
        }
    }

    /// Puts an event into the effects and keeps the order as it is after it.
    #[expect(clippy::too_many_arguments, reason = "they are the columns of one row")]
    pub(super) fn record_order(
        &mut self,
        mut order: WorkOrder,
        change: WorkOrderChange,
        from: WorkOrderStatus,
        at: Timestamp,
        by: Option<String>,
        note: Option<String>,
        effects: &mut Effects,
    ) {
        order.version += 1;
        self.sequence += 1;
        let no = order.no.clone();
        if order.status.is_over() && !from.is_over() {
            order.closed_at = Some(at);
            let window = self.model.policy.reopen_window;
            self.deadlines
                .set(Deadline::Forget(no.clone()), at + window);
            if order.status != WorkOrderStatus::Closed {
                self.families.retain(|_, known| *known != no);
            }
        }
        run_clock(&mut order, at);
        let to = order.status;
        let given = matches!(change, WorkOrderChange::Created | WorkOrderChange::Moved);
        self.watch(&mut order, given || from != to, at);
        self.orders.insert(no, order.clone());
        let event = WorkOrderEvent {
            order,
            change,
            from,
            to,
            at,
            recorded_at: None,
            by,
            only_account: false,
            note,
        };
        effects.records.push(Effect::WorkOrder(Box::new(event)));
    }

    /// Step 5: what happened becomes something to tell.
    pub(super) fn tell(
        &self,
        reason: NotifyReason,
        alarm: Option<&Alarm>,
        no: Option<&WorkOrderNumber>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let order = no.and_then(|no| self.orders.get(no));
        let rule = alarm
            .map(|alarm| alarm.rule)
            .or(order.and_then(|order| order.rule));
        let Some(asset) = alarm
            .map(|alarm| alarm.asset)
            .or(order.map(|order| order.asset))
        else {
            return;
        };
        let about = rule.map(|rule| self.model.rule(rule).rule.clone());
        let person = order.and_then(|order| order.assignee.clone());
        let audience = match (reason, person) {
            (NotifyReason::Escalated, _) | (_, None) => Audience::Crew,
            (_, Some(person)) => Audience::Person(person),
        };
        let subject = match (no, alarm) {
            (Some(no), _) => no.to_string(),
            (None, Some(alarm)) => format!("alarm-{}", alarm.id),
            (None, None) => return,
        };
        let count = order.map_or(0, |order| order.version);
        let title = order.map(|order| order.title.clone());
        effects.records.push(Effect::Notify(Notification {
            // The time tells it from another event of the same number, after a record that was
            // told and lost, or a record store that was moved away.
            id: format!(
                "{}/{subject}/{}/{count}/{}",
                self.model.site.code,
                reason.code(),
                now.millis()
            ),
            reason,
            audience,
            priority: order
                .map(|order| order.priority)
                .or(alarm.map(|alarm| alarm.priority))
                .unwrap_or(Priority::Low),
            // Of an order, what any of its faults that stand is, or what people say it is.
            life_safety: about.as_ref().is_some_and(|rule| rule.life_safety)
                || order.is_some_and(|order| {
                    order.reported_urgent() || self.endangers_life(&order.alarms)
                }),
            asset,
            rule,
            alarm: alarm.map(|alarm| alarm.id),
            work_order: no.cloned(),
            title: about
                .map(|rule| rule.title.clone())
                .or(title)
                .unwrap_or_default(),
            note: None,
            respond_by: order.and_then(|order| order.escalate_at),
            due_at: order.and_then(|order| order.due_at),
            due_left: order
                .filter(|order| order.status == WorkOrderStatus::OnHold)
                .and_then(|order| order.due_left),
            reopened_at: order.and_then(|order| order.reopened_at),
            at: now,
            incident: self.incident(alarm, order),
        }));
    }

    fn on_call(&self, alarm: &Alarm) -> Option<String> {
        self.model
            .on_call(&self.model.asset(alarm.asset).class)
            .map(str::to_owned)
    }
}

/// Which alarm an entry of an order's life is about, as pages find it again.
fn about(alarm: &Alarm) -> Option<String> {
    Some(format!("{ALARM_NOTE}{}", alarm.id))
}

/// What was found and done, in one text; `None` when nothing was said.
fn told(repair: &Repair) -> Option<String> {
    let labor = repair.labor_minutes.map(|minutes| format!("{minutes} min"));
    let said = [&repair.problem, &repair.cause, &repair.remedy, &labor];
    let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
    (!said.is_empty()).then(|| said.join("\n"))
}

/// A fault order needs no review: its rule was the review.
fn start(assignee: Option<&str>) -> WorkOrderStatus {
    if assignee.is_some() {
        WorkOrderStatus::Assigned
    } else {
        WorkOrderStatus::Approved
    }
}

/// What was called done is work again: its limit begins anew, as that of a new order does.
fn begin_again(order: &mut WorkOrder, now: Timestamp) {
    order.reopened_at = Some(now);
    order.due_at = order.limit.map(|limit| now + limit);
    order.due_left = None;
}

/// The clock of the limit stands and runs as the status says.
fn run_clock(order: &mut WorkOrder, now: Timestamp) {
    match (order.status.clock_runs(), order.due_at, order.due_left) {
        (false, Some(due), _) => {
            order.due_left = Some(Duration::from_millis(due.millis() - now.millis()));
            order.due_at = None;
        }
        (true, None, Some(left)) => {
            order.due_at = Some(now + left);
            order.due_left = None;
        }
        (true | false, _, _) => {}
    }
}

fn shorter(limit: Option<Duration>, due: Duration) -> Option<Duration> {
    Some(limit.map_or(due, |limit| limit.min(due)))
}

fn stricter(one: ClosePolicy, other: ClosePolicy) -> ClosePolicy {
    match (one, other) {
        (ClosePolicy::Never, _) | (_, ClosePolicy::Never) => ClosePolicy::Never,
        (ClosePolicy::Verify, _) | (_, ClosePolicy::Verify) => ClosePolicy::Verify,
        (ClosePolicy::Auto, ClosePolicy::Auto) => ClosePolicy::Auto,
    }
}
