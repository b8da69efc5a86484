//! Step 3, judge: verdicts of rules become transitions of alarms.
//!
//! An unknown verdict changes nothing: it neither raises nor clears, and delays stand still.

use super::{Effect, Effects, Facility, Pending};
use crate::alarm::rule::Evidence;
use crate::alarm::{Alarm, AlarmChange, AlarmId, AlarmState, AlarmTransition, Signal};
use crate::facility::deadlines::Deadline;
use crate::model::{AssetId, LinkState, PointId, RuleId};
use crate::point::Quality;
use crate::time::{Duration, Timestamp};

impl Facility {
    pub(super) fn judge_point(&mut self, point: PointId, now: Timestamp, effects: &mut Effects) {
        let mut wrong = false;
        let rated = self.rated[point.index()];
        for index in 0..self.watchers[point.index()].len() {
            let rule = self.watchers[point.index()][index];
            if rated {
                self.remember_rate(rule, point);
            }
            // A value that can't be read makes the last one no wrong one.
            let blindness = self.model.rule(rule).is_of_blindness();
            wrong |= self.judge(rule, now, effects) == Some(true) && !blindness;
        }
        let state = &self.points[point.index()];
        if let (true, Some(value), Some(at)) = (wrong, &state.value, state.at) {
            self.wrong[point.index()].add(value, at);
        }
        self.follow_point(point, now, effects);
    }

    pub(super) fn judge_no_data(&mut self, asset: AssetId, now: Timestamp, effects: &mut Effects) {
        for rule in self.model.asset(asset).rules.clone().map(RuleId) {
            if self.model.rule(rule).no_data {
                self.judge(rule, now, effects);
            }
        }
    }

    /// Whether an asset is heard, and all that it says; `None` while that is not known.
    fn has_whole_data(&self, asset: AssetId) -> Option<bool> {
        let whole = self.links[asset.index()] != LinkState::Contested;
        self.has_data[asset.index()].map(|has_data| has_data && whole)
    }

    /// Only what was measured counts, at the time it was measured: a value from before a restart
    /// or a backlog that comes at once is no fast change.
    fn remember_rate(&mut self, rule: RuleId, point: PointId) {
        let rates = self.model.rule(rule).rates();
        let windows = rates.iter().filter(|(rated, _)| *rated == point);
        let Some(window) = windows.map(|(_, window)| *window).max() else {
            return;
        };
        let state = &self.points[point.index()];
        let number = state
            .value
            .as_ref()
            .and_then(crate::point::Value::as_number);
        if let (Quality::Good, Some(at), Some(number)) = (state.quality, state.at, number) {
            let memory = self.rules[rule.index()].memory.entry(point).or_default();
            memory.push(at, number, window);
        }
    }

    /// Gives back what the rule says.
    fn judge(&mut self, rule: RuleId, now: Timestamp, effects: &mut Effects) -> Option<bool> {
        let holds = self.condition_holds(rule);
        let verdict = self.verdict(rule);
        let bound = self.model.rule(rule);
        let delays = (bound.rule.on_delay, bound.rule.off_delay);
        let state = &mut self.rules[rule.index()];
        match (verdict, &mut state.pending) {
            (None, Some(pending)) => {
                pending.paused.get_or_insert(now);
                self.deadlines.clear(&Deadline::Rule(rule));
            }
            (None, None) => {}
            (Some(verdict), _) if verdict == holds => {
                if state.pending.take().is_some() {
                    self.deadlines.clear(&Deadline::Rule(rule));
                }
            }
            (Some(verdict), Some(pending)) if pending.verdict == verdict => {
                if let Some(paused) = pending.paused.take() {
                    pending.since = pending.since + now.since(paused);
                    self.wait(rule, delays, now, effects);
                }
            }
            (Some(verdict), _) => {
                state.pending = Some(Pending {
                    verdict,
                    since: now,
                    paused: None,
                });
                self.wait(rule, delays, now, effects);
            }
        }
        verdict
    }

    /// What a rule says by what is known now; `None` when it cannot be known.
    pub(super) fn verdict(&self, rule: RuleId) -> Option<bool> {
        let bound = self.model.rule(rule);
        bound.judge(&Evidence {
            points: &self.points,
            has_data: self.has_whole_data(bound.asset),
            active: self.condition_holds(rule),
            history: &self.rules[rule.index()].memory,
        })
    }

    /// What the machine says now of an open alarm's fault.
    pub(super) fn signal(&self, alarm: &Alarm) -> Signal {
        Signal::of(self.verdict(alarm.rule), alarm.active)
    }

    /// Lets a pending verdict wait for its delay, or takes it at once when the delay is over.
    fn wait(
        &mut self,
        rule: RuleId,
        (on, off): (Duration, Duration),
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.rules[rule.index()].pending else {
            return;
        };
        let due = pending.since + if pending.verdict { on } else { off };
        if due > now {
            self.deadlines.set(Deadline::Rule(rule), due);
        } else {
            self.deadlines.clear(&Deadline::Rule(rule));
            self.rule_due(rule, now, effects);
        }
    }

    /// A delay is over: the verdict becomes the alarm's condition.
    pub(super) fn rule_due(&mut self, rule: RuleId, now: Timestamp, effects: &mut Effects) {
        let waits = |pending: &mut Pending| pending.paused.is_none();
        let Some(pending) = self.rules[rule.index()].pending.take_if(waits) else {
            return;
        };
        if pending.verdict {
            self.raise(rule, now, effects);
        } else {
            self.give_back(rule, now, effects);
        }
    }

    /// Whether the condition of a rule holds, delays passed.
    fn condition_holds(&self, rule: RuleId) -> bool {
        let open = self.rules[rule.index()]
            .alarm
            .and_then(|id| self.alarms.get(&id));
        open.is_some_and(|alarm| alarm.active)
    }

    fn raise(&mut self, rule: RuleId, now: Timestamp, effects: &mut Effects) {
        let bound = self.model.rule(rule);
        let value = bound
            .points
            .first()
            .and_then(|id| self.points[id.index()].value.clone());
        let (asset, priority) = (bound.asset, bound.rule.priority);
        let (id, from) = match self.rules[rule.index()].alarm {
            Some(id) => (
                id,
                self.alarms
                    .get(&id)
                    .map_or(AlarmState::Normal, Alarm::state),
            ),
            None => {
                self.last_alarm += 1;
                (AlarmId(self.last_alarm), AlarmState::Normal)
            }
        };
        self.rules[rule.index()].alarm = Some(id);
        let known = self.alarms.remove(&id);
        let mut alarm = known.unwrap_or_else(|| blank(id, rule, asset, priority, now));
        alarm.active = true;
        alarm.latched = false;
        alarm.raised_at = now;
        alarm.raised_value = value;
        alarm.place = self.place_of(rule);
        self.place_told(id, alarm.place.clone(), now);
        alarm.returned_at = None;
        alarm.acknowledged_at = None;
        alarm.acknowledged_by = None;
        alarm.work_order = self.act(&alarm, now, effects).or(alarm.work_order);
        let change = AlarmChange::Raised;
        self.alarms.insert(id, alarm);
        self.record_alarm(id, change, from, now, None, None, effects);
    }

    fn give_back(&mut self, rule: RuleId, now: Timestamp, effects: &mut Effects) {
        let Some(id) = self.rules[rule.index()].alarm else {
            return;
        };
        let latch = self.model.rule(rule).rule.latch;
        let Some(alarm) = self.alarms.get_mut(&id) else {
            return;
        };
        let from = alarm.state();
        alarm.returned_at = Some(now);
        alarm.active = false;
        alarm.latched = latch && alarm.acknowledged_at.is_none();
        let (order, raised_at) = (alarm.work_order.clone(), alarm.raised_at);
        self.record_alarm(id, AlarmChange::Returned, from, now, None, None, effects);
        if let Some(no) = order {
            let told = effects.records.len();
            self.recovered(&no, now, effects);
            // The alarm itself may be over, and then its order no longer knows when it began.
            for effect in effects.records.iter_mut().skip(told) {
                if let Effect::Notify(notification) = effect {
                    let began = &mut notification.incident.raised_at;
                    *began = Some(began.map_or(raised_at, |known| known.min(raised_at)));
                }
            }
        }
    }

    pub(super) fn unshelve(
        &mut self,
        id: AlarmId,
        by: Option<String>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(alarm) = self.alarms.get_mut(&id) else {
            return;
        };
        let from = alarm.state();
        alarm.shelved_until = None;
        alarm.shelved_by = None;
        self.deadlines.clear(&Deadline::Unshelve(id));
        self.record_alarm(id, AlarmChange::Unshelved, from, now, by, None, effects);
    }

    /// Puts a change into the effects, and forgets the occurrence when it is over.
    #[expect(clippy::too_many_arguments, reason = "they are the columns of one row")]
    pub(super) fn record_alarm(
        &mut self,
        id: AlarmId,
        change: AlarmChange,
        from: AlarmState,
        at: Timestamp,
        by: Option<String>,
        note: Option<String>,
        effects: &mut Effects,
    ) {
        let Some(alarm) = self.alarms.get(&id).cloned() else {
            return;
        };
        let to = alarm.state();
        if alarm.is_over() {
            self.alarms.remove(&id);
            self.followed.remove(&id);
            self.deadlines.clear(&Deadline::Place(id));
            self.rules[alarm.rule.index()].alarm = None;
        }
        self.sequence += 1;
        let transition = AlarmTransition {
            alarm,
            change,
            from,
            to,
            at,
            by,
            note,
        };
        effects.records.push(Effect::Alarm(transition));
    }
}

fn blank(
    id: AlarmId,
    rule: RuleId,
    asset: AssetId,
    priority: crate::alarm::Priority,
    now: Timestamp,
) -> Alarm {
    Alarm {
        id,
        rule,
        asset,
        priority,
        active: false,
        latched: false,
        raised_at: now,
        raised_value: None,
        place: None,
        returned_at: None,
        acknowledged_at: None,
        acknowledged_by: None,
        comment: None,
        shelved_until: None,
        shelved_by: None,
        suppressed_by: None,
        out_of_service: false,
        work_order: None,
    }
}
