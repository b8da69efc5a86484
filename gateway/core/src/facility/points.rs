//! Step 2, accept: samples and link reports become point states.
//!
//! A sample without a usable value takes the trust from a point, never its last value,
//! and an older sample never replaces a newer one.

use super::{Effects, Facility};
use crate::facility::deadlines::Deadline;
use crate::model::{AssetId, LinkState, PointId};
use crate::point::{PointUpdate, Quality, QualityReason, Sample, SampleBatch, Value};
use crate::time::{Duration, Timestamp};

/// A sample older than the known one by less than this came out of order. By more, the device's clock was set.
const CLOCK_SET: Duration = Duration::from_secs(3600);

impl Facility {
    pub(super) fn accept(&mut self, batch: SampleBatch, now: Timestamp, effects: &mut Effects) {
        let asset = batch.asset;
        if self.model.asset(asset).disabled {
            return;
        }
        let mut heard = false;
        let mut touched = Vec::new();
        for sample in batch.samples {
            let point = sample.point;
            let usable = sample.value.is_some() && sample.quality.may_raise();
            if let Some(update) = self.update(sample, batch.at, batch.retained) {
                heard |= usable && !batch.retained;
                if update.changed || self.rated[point.index()] {
                    touched.push(point);
                }
                effects.updates.push(update);
            }
        }
        if heard {
            self.heard[asset.index()] = Some(now);
            self.set_has_data(asset, true, now, effects);
        }
        for point in touched {
            self.judge_point(point, now, effects);
        }
    }

    /// Takes one sample over; `None` when it must not change anything.
    fn update(&mut self, sample: Sample, at: Timestamp, retained: bool) -> Option<PointUpdate> {
        let state = &mut self.points[sample.point.index()];
        if retained && state.at.is_some() {
            return None;
        }
        let old = state
            .at
            .is_some_and(|known| at < known && known.since(at) < CLOCK_SET);
        if old {
            // Late, and still true of its time: the history keeps it, the present does not change.
            return sample.value.map(|value| PointUpdate {
                point: sample.point,
                value: Some(value),
                quality: sample.quality,
                at,
                changed: false,
            });
        }
        let value = sample.value.filter(is_finite);
        let quality = match (&value, sample.quality) {
            (None, Quality::Good | Quality::Uncertain(_)) => {
                Quality::Bad(QualityReason::Undecodable)
            }
            (Some(_), Quality::Good) if retained => Quality::Uncertain(QualityReason::Retained),
            (_, quality) => quality,
        };
        let mut changed = quality != state.quality;
        if let Some(value) = value.filter(|_| quality.may_raise()) {
            changed |= state.value.as_ref() != Some(&value);
            state.value = Some(value);
            state.at = Some(at);
        }
        state.quality = quality;
        self.sequence += u64::from(changed);
        Some(PointUpdate {
            point: sample.point,
            value: state.value.clone(),
            quality,
            at,
            changed,
        })
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
        self.links[asset.index()] = state;
        self.sequence += 1;
        if state == LinkState::Down {
            self.lose(asset, QualityReason::LinkDown, now, effects);
        }
    }

    /// An asset's silence was waited for long enough.
    pub(super) fn stale_due(&mut self, asset: AssetId, now: Timestamp, effects: &mut Effects) {
        let span = self.model.asset(asset).stale_after;
        let due = self.heard[asset.index()].map_or(now, |heard| heard + span);
        if due > now {
            self.deadlines.set(Deadline::Stale(asset), due);
        } else {
            self.lose(asset, QualityReason::NoData, now, effects);
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
        let points: Vec<PointId> = self
            .model
            .asset(asset)
            .points
            .clone()
            .map(PointId)
            .collect();
        let mut touched = Vec::new();
        for point in points {
            let state = &mut self.points[point.index()];
            if state.quality.may_raise() {
                state.quality = Quality::Stale(reason);
                effects.updates.push(PointUpdate {
                    point,
                    value: state.value.clone(),
                    quality: state.quality,
                    at: now,
                    changed: true,
                });
                touched.push(point);
            }
        }
        self.sequence += 1;
        self.set_has_data(asset, false, now, effects);
        for point in touched {
            self.judge_point(point, now, effects);
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
