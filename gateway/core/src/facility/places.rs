//! Where the fault of an alarm is: taken from the values when it is raised, and followed as long as
//! its fault stands.
//!
//! A place never changes silently: each change is an event of the alarm and of its order. What is no
//! longer sure is said to be the last known place.

use super::{Effects, Facility};
use crate::alarm::{AlarmChange, AlarmId};
use crate::facility::deadlines::Deadline;
use crate::model::{PointId, RuleId};
use crate::notification::NotifyReason;
use crate::place::Place;
use crate::time::{Duration, Timestamp};
use crate::work_order::{WorkOrder, WorkOrderChange};

/// Between two events of one alarm's place: a car that moves is followed, and fills no disk.
const EVENT_PAUSE: Duration = Duration::from_secs(5);
/// Between two messages about one alarm's place.
const TELL_PAUSE: Duration = Duration::from_secs(60);

/// What happened to the place of an alarm since it was raised.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    /// The last event.
    recorded: Option<Timestamp>,
    /// The last message that said a place, and what it said.
    told: Option<(Timestamp, Option<Place>)>,
}

impl Facility {
    /// Where the fault of a rule is by what is known now: the first of its places that is sure, else
    /// the first that was ever known.
    pub(super) fn place_of(&self, rule: RuleId) -> Option<Place> {
        let places = self.model.rule(rule).places.iter();
        let mut said = places.filter_map(|place| place.say(&self.points, &self.model.points));
        let first = said.next()?;
        if first.fresh {
            return Some(first);
        }
        Some(said.find(|place| place.fresh).unwrap_or(first))
    }

    /// An alarm was raised, and people are told where.
    pub(super) fn place_told(&mut self, id: AlarmId, place: Option<Place>, now: Timestamp) {
        let told = Some((now, place));
        self.followed.insert(
            id,
            Followed {
                recorded: None,
                told,
            },
        );
    }

    /// A point that says where faults are has another value, or another quality.
    pub(super) fn follow_point(&mut self, point: PointId, now: Timestamp, effects: &mut Effects) {
        for index in 0..self.placing[point.index()].len() {
            let rule = self.placing[point.index()][index];
            if let Some(id) = self.rules[rule.index()].alarm {
                self.follow(id, now, effects);
            }
        }
    }

    /// Brings the place of an alarm up to what is known, when it may, else when it may again.
    pub(super) fn follow(&mut self, id: AlarmId, now: Timestamp, effects: &mut Effects) {
        let Some(alarm) = self.alarms.get(&id).filter(|alarm| alarm.active) else {
            return;
        };
        let followed = self.followed.get(&id).cloned().unwrap_or(Followed {
            recorded: None,
            // What was told before the start is what the alarm had then.
            told: Some((alarm.raised_at, alarm.place.clone())),
        });
        self.followed.insert(id, followed.clone());
        // What was known once and is not any more is the last known place.
        let last = alarm.place.clone().map(|old| Place {
            fresh: false,
            ..old
        });
        let Some(place) = self.place_of(alarm.rule).or(last) else {
            return;
        };
        let same = alarm.place.as_ref().is_some_and(|old| old.says_as(&place));
        if !same {
            let free = followed.recorded.map(|at| at + EVENT_PAUSE);
            if let Some(at) = free.filter(|at| *at > now) {
                self.deadlines.set(Deadline::Place(id), at);
                return;
            }
            self.move_to(id, place, now, effects);
        }
        self.tell_place(id, now, effects);
    }

    fn move_to(&mut self, id: AlarmId, place: Place, now: Timestamp, effects: &mut Effects) {
        let Some(alarm) = self.alarms.get_mut(&id) else {
            return;
        };
        alarm.place = Some(place.clone());
        let (state, rule, no) = (alarm.state(), alarm.rule, alarm.work_order.clone());
        if let Some(followed) = self.followed.get_mut(&id) {
            followed.recorded = Some(now);
        }
        self.record_alarm(id, AlarmChange::Located, state, now, None, None, effects);
        let order = no.and_then(|no| self.orders.get(&no)).cloned();
        let names = |order: &WorkOrder| order.rule == Some(rule) || order.place.is_none();
        let order = order.filter(|order| !order.status.is_over() && names(order));
        if let Some(mut order) = order {
            order.place = Some(place);
            let from = order.status;
            let change = WorkOrderChange::Located;
            self.record_order(order, change, from, now, None, None, effects);
        }
    }

    /// Tells a place that is not the one that was told: at once when none was known, else not too often.
    fn tell_place(&mut self, id: AlarmId, now: Timestamp, effects: &mut Effects) {
        let Some(alarm) = self.alarms.get(&id).cloned() else {
            return;
        };
        let Some(followed) = self.followed.get(&id) else {
            return;
        };
        let (at, told) = match &followed.told {
            Some((at, told)) => (*at, told.as_ref()),
            None => (now, None),
        };
        // That a place became unsure sends nobody anywhere else.
        let Some(place) = alarm.place.as_ref().filter(|place| place.fresh) else {
            return;
        };
        if told.is_some_and(|told| told.says_as(place)) {
            return;
        }
        let known = told.is_some_and(|told| told.fresh);
        if known && at + TELL_PAUSE > now {
            self.deadlines.set(Deadline::Place(id), at + TELL_PAUSE);
            return;
        }
        let told = Some((now, Some(place.clone())));
        if let Some(followed) = self.followed.get_mut(&id) {
            followed.told = told;
        }
        let no = alarm.work_order.clone();
        let reason = NotifyReason::Located;
        self.tell(reason, Some(&alarm), no.as_ref(), now, effects);
    }
}
