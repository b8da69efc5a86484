//! Report by exception: what says nothing new is not stored, except once a heartbeat.
//!
//! A change is always stored, and with it the last unchanged sample before it, so that a line
//! between two stored samples never slants over a time in which nothing moved.

use super::codec::Stored;
use zhiban_core::{Duration, Model, PointUpdate, Quality, Value};

/// Remembers for each point what was stored last.
#[derive(Debug)]
pub(super) struct Filter {
    points: Vec<Memory>,
    heartbeat: i64,
}

#[derive(Debug, Default)]
struct Memory {
    number: u32,
    deadband: f64,
    kept: Option<Kept>,
    /// The newest sample that was not stored; it is once the next one differs.
    held: Option<Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// When it was acquired.
    seen: i64,
    /// The time it is stored under: later by what keeps two samples from sharing one millisecond.
    at: i64,
    quality: Quality,
    value: Option<Value>,
}

impl Filter {
    /// Knows nothing yet; `numbers` are the points' numbers in the dictionary, in the model's order.
    pub(super) fn new(model: &Model, numbers: &[u32], heartbeat: Duration) -> Self {
        let points = model.points.iter().zip(numbers);
        let points = points.map(|(point, number)| Memory {
            number: *number,
            deadband: point.deadband,
            ..Memory::default()
        });
        Self {
            points: points.collect(),
            heartbeat: heartbeat.millis(),
        }
    }

    /// Takes one update: what is to be stored goes to `out`. Returns how many samples it let go
    /// for good, 0 or 1: every sample taken is put out, let go, or held.
    pub(super) fn take(&mut self, update: &PointUpdate, out: &mut Vec<Stored>) -> u64 {
        let Some(memory) = self.points.get_mut(update.point.index()) else {
            return 1;
        };
        let mut new = Kept {
            seen: update.at.millis(),
            at: update.at.millis(),
            quality: update.quality,
            // An untrusted update repeats the last value, which is not what was read then.
            value: update.value.clone().filter(|_| update.quality.may_raise()),
        };
        let Some(kept) = &memory.kept else {
            memory.put(new, out);
            return 0;
        };
        let newest = memory.held.as_ref().unwrap_or(kept).seen;
        if new.seen < newest {
            // Late, and still true of its time.
            out.push(memory.stored(&new));
            return 0;
        }
        let same = kept.says_the_same(&new, memory.deadband);
        if same && new.seen - kept.seen < self.heartbeat {
            return u64::from(memory.held.replace(new).is_some());
        }
        let (kept_at, held) = (kept.at, memory.held.take());
        let mut let_go = u64::from(held.is_some());
        let mut floor = kept_at;
        if let Some(held) = held.filter(|held| !same && held.at > kept_at) {
            floor = held.at;
            let_go = 0;
            memory.put(held, out);
        }
        new.at = new.at.max(floor.saturating_add(1));
        memory.put(new, out);
        let_go
    }

    /// Puts out what is held: at the end, so that the last reading is on disk. Returns how many it
    /// let go, because a stored one has their time.
    pub(super) fn finish(&mut self, out: &mut Vec<Stored>) -> u64 {
        let mut let_go = 0;
        for memory in &mut self.points {
            let kept_at = memory.kept.as_ref().map(|kept| kept.at);
            match memory.held.take() {
                Some(held) if Some(held.at) > kept_at => memory.put(held, out),
                Some(_) => let_go += 1,
                None => {}
            }
        }
        let_go
    }
}

impl Memory {
    fn put(&mut self, sample: Kept, out: &mut Vec<Stored>) {
        out.push(self.stored(&sample));
        self.kept = Some(sample);
    }

    fn stored(&self, sample: &Kept) -> Stored {
        Stored {
            point: self.number,
            at: sample.at,
            quality: sample.quality,
            value: sample.value.clone(),
        }
    }
}

impl Kept {
    fn says_the_same(&self, new: &Kept, deadband: f64) -> bool {
        self.quality == new.quality
            && match (&self.value, &new.value) {
                (Some(Value::Number(old)), Some(Value::Number(new))) => {
                    old == new || (old - new).abs() < deadband
                }
                (old, new) => old == new,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{analog, model};
    use proptest::prelude::*;
    use zhiban_core::{PointId, QualityReason, Timestamp};

    fn filter(deadband: f64) -> Filter {
        let model = model(vec![analog("level", deadband)]);
        Filter::new(&model, &[9], Duration::from_secs(60))
    }

    fn number(at: i64, value: f64) -> PointUpdate {
        PointUpdate {
            point: PointId(0),
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            at: Timestamp::from_millis(at),
            changed: true,
        }
    }

    /// What is stored of some updates, as times and values, and how many were let go.
    fn stored(filter: &mut Filter, updates: &[PointUpdate]) -> (Vec<(i64, Option<f64>)>, u64) {
        let mut out = Vec::new();
        let let_go = updates.iter().map(|one| filter.take(one, &mut out)).sum();
        let values = out.iter().map(|one| {
            assert_eq!(one.point, 9);
            (one.at, one.value.as_ref().and_then(Value::as_number))
        });
        (values.collect(), let_go)
    }

    #[test]
    fn a_change_is_stored_with_the_last_sample_before_it() {
        let updates = [
            number(0, 1.0),
            number(1000, 1.0),
            number(2000, 1.0),
            number(3000, 2.0),
        ];
        let (out, let_go) = stored(&mut filter(0.0), &updates);
        let expected = [(0, Some(1.0)), (2000, Some(1.0)), (3000, Some(2.0))];
        assert_eq!(out, expected);
        assert_eq!(let_go, 1);
    }

    #[test]
    fn an_idle_point_is_stored_once_a_heartbeat() {
        let updates: Vec<_> = (0..=180).map(|second| number(second * 1000, 5.0)).collect();
        let (out, let_go) = stored(&mut filter(0.0), &updates);
        let times: Vec<i64> = out.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 60_000, 120_000, 180_000]);
        assert_eq!(let_go, 177);
    }

    #[test]
    fn within_the_deadband_nothing_changed_and_drift_does_not_escape_it() {
        let updates = [
            number(0, 10.0),
            number(1000, 10.2),
            number(2000, 10.4),
            number(3000, 10.6),
        ];
        let (out, _) = stored(&mut filter(0.5), &updates);
        let expected = [(0, Some(10.0)), (2000, Some(10.4)), (3000, Some(10.6))];
        assert_eq!(out, expected);
    }

    #[test]
    fn trust_lost_is_a_change_and_the_old_value_is_not_stored_again() {
        let mut lost = number(1000, 1.0);
        lost.quality = Quality::Stale(QualityReason::LinkDown);
        let (out, _) = stored(&mut filter(0.0), &[number(0, 1.0), lost, number(2000, 1.0)]);
        assert_eq!(out, [(0, Some(1.0)), (1000, None), (2000, Some(1.0))]);
    }

    #[test]
    fn two_changes_in_one_millisecond_keep_both_and_a_late_one_its_own_time() {
        let updates = [
            number(5, 1.0),
            number(5, 2.0),
            number(5, 3.0),
            number(6, 4.0),
            number(2, 9.0),
        ];
        let (out, let_go) = stored(&mut filter(0.0), &updates);
        let times: Vec<i64> = out.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [5, 6, 7, 8, 2]);
        assert_eq!(let_go, 0);
    }

    #[test]
    fn the_last_reading_is_stored_at_the_end() {
        let mut filter = filter(0.0);
        stored(&mut filter, &[number(0, 1.0), number(1000, 1.0)]);
        let mut out = Vec::new();
        assert_eq!(filter.finish(&mut out), 0);
        assert_eq!((out.len(), out[0].at), (1, 1000));
        filter.finish(&mut out);
        assert_eq!(out.len(), 1);
    }

    proptest! {
        /// Every sample is stored or let go, and two changes never share a time.
        #[test]
        fn nothing_vanishes(
            steps in prop::collection::vec((0..3_i64, 0..3_u8, any::<bool>()), 0..60),
        ) {
            let mut filter = filter(0.0);
            let (mut at, mut out, mut let_go) = (1000, Vec::new(), 0);
            for (wait, value, good) in &steps {
                at += wait;
                let mut update = number(at, f64::from(*value));
                if !good {
                    update.quality = Quality::Bad(QualityReason::Timeout);
                }
                let_go += filter.take(&update, &mut out);
            }
            let_go += filter.finish(&mut out);
            prop_assert_eq!(out.len() as u64 + let_go, steps.len() as u64);
            prop_assert!(out.windows(2).all(|two| two[0].at < two[1].at));
        }
    }
}
