//! The samples since the last segment, kept in memory in the bytes of the journal.
//!
//! Whatever is here is also in the journal: it is made again from there at the start.

use super::codec::{Damaged, Reader, Stored, put_value, put_zigzag};
use std::sync::Arc;
use zhiban_core::{Quality, Value};

/// One reading of a point that is known from the context.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// How far it may be trusted.
    pub(super) quality: Quality,
    /// The value; `None` when it may not be trusted.
    pub(super) value: Option<Value>,
}

/// Sorts readings by time; of two at one time the later one stays.
pub(super) fn in_order(mut readings: Vec<Reading>) -> Vec<Reading> {
    readings.sort_by_key(|reading| reading.at);
    readings.reverse();
    readings.dedup_by_key(|reading| reading.at);
    readings.reverse();
    readings
}

/// The readings of one point, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Lane {
    bytes: Vec<u8>,
    last: i64,
}

impl Lane {
    fn push(&mut self, sample: &Stored) {
        put_zigzag(&mut self.bytes, sample.at.wrapping_sub(self.last));
        put_value(&mut self.bytes, sample.quality, sample.value.as_ref());
        self.last = sample.at;
    }

    /// Reads every reading.
    pub(super) fn readings(&self) -> Result<Vec<Reading>, Damaged> {
        let mut reader = Reader(&self.bytes);
        let mut at = 0_i64;
        let mut readings = Vec::with_capacity(self.bytes.len() / 4);
        while !reader.0.is_empty() {
            at = at.wrapping_add(reader.zigzag()?);
            let (quality, value) = reader.value()?;
            readings.push(Reading { at, quality, value });
        }
        Ok(readings)
    }
}

/// Every point's readings since the last segment. A lane's place is its point's number.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lanes: Vec<Lane>,
    bytes: usize,
    /// What is being made into a segment, and still counts until that is on disk.
    leaving: Option<Arc<Vec<Lane>>>,
}

impl Recent {
    /// Adds samples.
    pub(super) fn push(&mut self, samples: &[Stored]) {
        for sample in samples {
            let place = sample.point as usize;
            if self.lanes.len() <= place {
                self.lanes.resize_with(place + 1, Lane::default);
            }
            if let Some(lane) = self.lanes.get_mut(place) {
                let before = lane.bytes.len();
                lane.push(sample);
                self.bytes += lane.bytes.len() - before;
            }
        }
    }

    /// How many bytes of samples there are, without those that are leaving.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out to be made into a segment; what is taken still counts until `left`.
    /// Taking again before that gives the same again.
    pub(super) fn leave(&mut self) -> Arc<Vec<Lane>> {
        let leaving = self.leaving.take().unwrap_or_else(|| {
            self.bytes = 0;
            Arc::new(std::mem::take(&mut self.lanes))
        });
        self.leaving = Some(leaving.clone());
        leaving
    }

    /// The segment is on disk.
    pub(super) fn left(&mut self) {
        self.leaving = None;
    }

    /// The readings of one point.
    pub(super) fn readings(&self, point: u32) -> Vec<Reading> {
        let leaving = self.leaving.as_deref().map(Vec::as_slice);
        [leaving.unwrap_or_default(), &self.lanes]
            .into_iter()
            .filter_map(|lanes| lanes.get(point as usize)?.readings().ok())
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(point: u32, at: i64) -> Stored {
        Stored {
            point,
            at,
            quality: Quality::Good,
            value: Some(Value::Integer(at)),
        }
    }

    #[test]
    fn what_is_leaving_still_counts_until_it_is_on_disk() {
        let mut recent = Recent::default();
        let times =
            |recent: &Recent| -> Vec<i64> { recent.readings(2).iter().map(|one| one.at).collect() };
        recent.push(&[sample(2, 10), sample(1, 11), sample(2, 12)]);
        assert!(recent.bytes() > 0);
        let lanes = recent.leave();
        assert_eq!(recent.bytes(), 0);
        recent.push(&[sample(2, 13)]);
        assert_eq!(times(&recent), [10, 12, 13]);
        assert!(Arc::ptr_eq(&lanes, &recent.leave()));
        recent.left();
        assert_eq!(times(&recent), [13]);
        assert_eq!(recent.readings(99), []);
    }
}
