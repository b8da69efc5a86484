//! Step 2, accept: samples and link reports become point states.
//!
//! A sample without a usable value takes the trust from a point, never its last value. One that was
//! old when it came clears nothing, and one older than the known counts only where it raises: an
//! old fault that nobody was told of is one all the same. One that was judged before is told once.

use super::{Effects, Facility};
use crate::alarm::AlarmChange;
use crate::facility::deadlines::Deadline;
use crate::model::{AssetId, LinkState, PointId, RuleId};
use crate::point::{PointUpdate, Quality, QualityReason, Sample, SampleBatch, Value};
use crate::time::{Duration, Timestamp};
use crate::work_order::WorkOrderChange;
use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

/// A device's clock may be behind by so much and still speak of now, however short its period.
const SLACK: Duration = Duration::from_secs(60);

/// A move of the clock that is smaller is not written down on every order that waits.
const SEEN: Duration = Duration::from_secs(60);

/// When and how a sample came.
struct Origin {
    at: Timestamp,
    retained: bool,
    /// Whether it was not too old when it came.
    fresh: bool,
    now: Timestamp,
}

/// So many stretches of wrong values are known of each point.
const STRETCHES: usize = 32;

/// When a point last had which values that a rule called wrong: a message that comes twice, after
/// the machine is well again, must not be taken for an old fault that nobody was told of.
#[derive(Debug, Default)]
pub(super) struct Wrong(VecDeque<(Value, RangeInclusive<Timestamp>)>);

impl Wrong {
    /// The point had a value that is wrong.
    pub(super) fn add(&mut self, value: &Value, at: Timestamp) {
        let mut known = self.0.iter();
        let within = known.any(|(wrong, span)| wrong == value && span.contains(&at));
        if within || self.goes_on(value, at) {
            return;
        }
        self.0.truncate(STRETCHES - 1);
        self.0.push_front((value.clone(), at..=at));
    }

    /// The point still has its value; whether that one is wrong.
    fn goes_on(&mut self, value: &Value, at: Timestamp) -> bool {
        match self.0.front_mut() {
            Some((known, span)) if known == value && *span.start() <= at => {
                *span = *span.start()..=at.max(*span.end());
                true
            }
            _ => false,
        }
    }

    /// Whether a message with this value and time was taken. One of a time between the first and the last may be another:
    /// of a fault that is new, from a clock that was set back.
    fn has(&self, value: &Value, at: Timestamp) -> bool {
        let mut known = self.0.iter();
        known.any(|(wrong, span)| wrong == value && (*span.start() == at || *span.end() == at))
    }
}

impl Facility {
    pub(super) fn accept(&mut self, batch: SampleBatch, now: Timestamp, effects: &mut Effects) {
        let asset = batch.asset;
        if self.model.asset(asset).disabled {
            return;
        }
        let fresh = batch.at + self.model.asset(asset).stale_after.max(SLACK) >= now;
        let origin = Origin {
            at: batch.at,
            retained: batch.retained,
            fresh,
            now,
        };
        let mut heard = false;
        let mut touched = Vec::new();
        let (late, rest): (Vec<_>, Vec<_>) = batch
            .samples
            .into_iter()
            .partition(|sample| self.changes_nothing(sample.point, &origin));
        for sample in rest {
            let point = sample.point;
            let update = self.update(sample, &origin);
            if update.quality.may_raise() && fresh && !batch.retained {
                heard = true;
                self.point_heard[point.index()] = now;
            }
            if update.changed || self.rated[point.index()] {
                touched.push(point);
            } else if let (Some(value), true) = (&update.value, update.quality.may_raise()) {
                self.wrong[point.index()].goes_on(value, update.at);
            }
            effects.updates.push(update);
        }
        let late = self.late(late, &origin);
        touched.extend(late.iter().filter(|one| one.changed).map(|one| one.point));
        effects.updates.extend(late);
        if heard {
            self.heard[asset.index()] = Some(now);
            self.set_has_data(asset, true, now, effects);
        }
        for point in touched {
            self.judge_point(point, now, effects);
        }
    }

    /// Whether a sample does not replace what is known of its point, unless it says that something is wrong: it is older,
    /// or the broker kept it, so that nobody knows how old it is, and what is known is good.
    fn changes_nothing(&self, point: PointId, of: &Origin) -> bool {
        if of.retained {
            let state = &self.points[point.index()];
            return state.at.is_some() && state.quality == Quality::Good;
        }
        // A known time that is still to come was set by a clock that was wrong: it binds nobody.
        let binds = |known: Timestamp| of.at < known && known <= of.now;
        let known = self.points[point.index()].at;
        known.is_some_and(binds)
    }

    /// Takes one sample over.
    fn update(&mut self, sample: Sample, of: &Origin) -> PointUpdate {
        let state = &mut self.points[sample.point.index()];
        let value = sample.value.filter(is_finite);
        let quality = match (&value, sample.quality) {
            (None, Quality::Good | Quality::Uncertain(_)) => {
                Quality::Bad(QualityReason::Undecodable)
            }
            (Some(_), Quality::Good) if of.retained => Quality::Uncertain(QualityReason::Retained),
            (Some(_), Quality::Good) if !of.fresh => Quality::Uncertain(QualityReason::Late),
            (_, quality) => quality,
        };
        let mut changed = quality != state.quality;
        if let Some(value) = value.filter(|_| quality.may_raise()) {
            changed |= state.value.as_ref() != Some(&value);
            state.value = Some(value);
            state.at = Some(of.at);
        }
        state.quality = quality;
        self.sequence += u64::from(changed);
        PointUpdate {
            point: sample.point,
            value: state.value.clone(),
            quality,
            at: of.at,
            changed,
        }
    }

    /// Late or kept by the broker, and still true of their time: the history keeps them, and the present does not change —
    /// unless together they say that something is wrong, which nothing known says. Their order may be
    /// that of a clock that was set back, and then they are the device's last word.
    fn late(&mut self, samples: Vec<Sample>, of: &Origin) -> Vec<PointUpdate> {
        let quality = Quality::Uncertain(match of.retained {
            true => QualityReason::Retained,
            false => QualityReason::Late,
        });
        let told = samples.into_iter().filter_map(|sample| {
            let value = sample.value.filter(is_finite)?;
            Some((sample.point, value))
        });
        let (copies, told): (Vec<_>, Vec<_>) =
            told.partition(|(point, value)| self.wrong[point.index()].has(value, of.at));
        let raising = self.raising(&told);
        let mut known = Vec::new();
        for (point, value) in &told {
            let state = &mut self.points[point.index()];
            known.push((*point, state.clone()));
            (state.value, state.quality) = (Some(value.clone()), quality);
        }
        let changed = !self.raising(&told).is_subset(&raising);
        if changed {
            self.sequence += 1;
            for (point, value) in &told {
                self.wrong[point.index()].add(value, of.at);
            }
        } else {
            for (point, state) in known {
                self.points[point.index()] = state;
            }
        }
        let update = |(point, value), changed| PointUpdate {
            point,
            value: Some(value),
            quality,
            at: of.at,
            changed,
        };
        let copies = copies.into_iter().map(|one| update(one, false));
        let told = told.into_iter().map(|one| update(one, changed));
        copies.chain(told).collect()
    }

    /// The rules that look at any of these points and say by what is known now that something is
    /// wrong.
    fn raising(&self, points: &[(PointId, Value)]) -> BTreeSet<RuleId> {
        let rules = points
            .iter()
            .flat_map(|(point, _)| self.watchers[point.index()].iter().copied());
        rules
            .filter(|rule| self.verdict(*rule) == Some(true))
            .collect()
    }

    pub(super) fn link(
        &mut self,
        asset: AssetId,
        state: LinkState,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        if self.links[asset.index()] == state || self.model.asset(asset).disabled {
            return;
        }
        let before = std::mem::replace(&mut self.links[asset.index()], state);
        self.sequence += 1;
        if state == LinkState::Down {
            self.lose(asset, QualityReason::LinkDown, now, effects);
        }
        if [before, state].contains(&LinkState::Contested) {
            self.judge_no_data(asset, now, effects);
        }
    }

    /// Something of an asset may have been silent for long enough: the asset, or some of its points.
    pub(super) fn stale_due(&mut self, asset: AssetId, now: Timestamp, effects: &mut Effects) {
        let span = self.model.asset(asset).stale_after;
        let due = self.heard[asset.index()].map_or(now, |heard| heard + span);
        if due <= now {
            self.lose(asset, QualityReason::NoData, now, effects);
            return;
        }
        let (silent, next) = self.silent_points(asset, now);
        self.lose_points(silent, QualityReason::NoData, now, effects);
        self.deadlines
            .set(Deadline::Stale(asset), next.unwrap_or(due).min(due));
    }

    /// The points that did not come for three of their periods though the asset did, and when the
    /// next of the others would be due.
    fn silent_points(&self, asset: AssetId, now: Timestamp) -> (Vec<PointId>, Option<Timestamp>) {
        let span = self.model.asset(asset).stale_after;
        let mut silent = Vec::new();
        let mut next: Option<Timestamp> = None;
        for point in self.model.asset(asset).points.clone().map(PointId) {
            if !self.points[point.index()].quality.may_raise() {
                continue;
            }
            let periods = self.model.point(point).period.millis().saturating_mul(3);
            let due = self.point_heard[point.index()] + span.max(Duration::from_millis(periods));
            if due <= now {
                silent.push(point);
            } else {
                next = Some(next.map_or(due, |known| known.min(due)));
            }
        }
        (silent, next)
    }

    /// The clock was set: everything that waits, waits as long as it would have. What stands in the
    /// records with a time of day, such as the limit of an order, moves with the clock.
    pub(super) fn clock_set(&mut self, by: Duration, now: Timestamp, effects: &mut Effects) {
        self.deadlines.shift(by);
        self.move_limits(by, now, effects);
        for heard in self.heard.iter_mut().flatten().chain(&mut self.point_heard) {
            *heard = *heard + by;
        }
        if by < Duration::ZERO {
            for state in &mut self.points {
                state.at = state.at.map(|at| at + by);
            }
            self.wrong.fill_with(Wrong::default);
        }
        self.followed.clear();
        for rule in &mut self.rules {
            if let Some(pending) = &mut rule.pending {
                pending.since = pending.since + by;
                pending.paused = pending.paused.map(|paused| paused + by);
            }
            rule.memory.clear();
        }
    }

    /// Moves the limits of orders and the ends of shelvings, and writes down a move that people see.
    fn move_limits(&mut self, by: Duration, now: Timestamp, effects: &mut Effects) {
        let seen = by.millis().abs() >= SEEN.millis();
        let sign = if by < Duration::ZERO { "-" } else { "+" };
        let note = format!("{sign}{}", Duration::from_millis(by.millis().abs()));
        let mut moved = Vec::new();
        for (no, order) in &mut self.orders {
            if order.due_at.is_some() || order.escalate_at.is_some() {
                order.due_at = order.due_at.map(|at| at + by);
                order.escalate_at = order.escalate_at.map(|at| at + by);
                moved.push(no.clone());
            }
        }
        for order in moved.iter().filter(|_| seen) {
            let Some(order) = self.orders.get(order).cloned() else {
                continue;
            };
            let (change, from) = (WorkOrderChange::ClockSet, order.status);
            self.record_order(order, change, from, now, None, Some(note.clone()), effects);
        }
        let mut shelved = Vec::new();
        for (id, alarm) in &mut self.alarms {
            if let Some(until) = &mut alarm.shelved_until {
                *until = *until + by;
                shelved.push((*id, alarm.state()));
            }
        }
        for (id, state) in shelved.into_iter().filter(|_| seen) {
            let (change, note) = (AlarmChange::ClockSet, Some(note.clone()));
            self.record_alarm(id, change, state, now, None, note, effects);
        }
    }

    /// From now on nothing of the asset is fresh.
    fn lose(
        &mut self,
        asset: AssetId,
        reason: QualityReason,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let points = self
            .model
            .asset(asset)
            .points
            .clone()
            .map(PointId)
            .collect();
        self.sequence += 1;
        self.set_has_data(asset, false, now, effects);
        self.lose_points(points, reason, now, effects);
    }

    fn lose_points(
        &mut self,
        points: Vec<PointId>,
        reason: QualityReason,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        for point in points {
            let state = &mut self.points[point.index()];
            if state.quality.may_raise() {
                state.quality = Quality::Stale(reason);
                self.sequence += 1;
                effects.updates.push(PointUpdate {
                    point,
                    value: state.value.clone(),
                    quality: state.quality,
                    at: now,
                    changed: true,
                });
                self.judge_point(point, now, effects);
            }
        }
    }

    fn set_has_data(
        &mut self,
        asset: AssetId,
        has_data: bool,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let known = &mut self.has_data[asset.index()];
        if *known == Some(has_data) {
            return;
        }
        *known = Some(has_data);
        self.sequence += 1;
        if has_data {
            let span = self.model.asset(asset).stale_after;
            self.deadlines.set(Deadline::Stale(asset), now + span);
        }
        self.judge_no_data(asset, now, effects);
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_finite(),
        Value::Flag(_) | Value::Integer(_) | Value::Text(_) => true,
    }
}
