//! Part of a series as a chart needs it: every sample when they fit, else lowest, highest and last
//! of each bucket.
//!
//! A value holds until the next sample, since what did not change was not stored; it never holds
//! over a time in which nothing was known, which is a gap.

use super::chunk::{Chunk, decompress};
use super::recent::Reading;
use zhiban_core::{Timestamp, Value};
use zhiban_dashboard::ports::{Number, Series};

/// What part of a series is asked for. All times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// From here, inclusive.
    pub(super) from: i64,
    /// To here, exclusive; after `from`.
    pub(super) to: i64,
    /// How long a value holds when nothing follows.
    pub(super) lapse: i64,
    /// Nothing is known after this.
    pub(super) now: i64,
}

impl Window {
    /// The width of a bucket when there are at most so many.
    pub(super) fn step(&self, buckets: u32) -> i64 {
        let span = self.to.saturating_sub(self.from);
        (span / i64::from(buckets.max(1)) + 1).max(1)
    }

    fn holds(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }
}

/// How many of the readings are in the window.
pub(super) fn count(readings: &[Reading], window: Window) -> usize {
    readings.iter().filter(|one| window.holds(one.at)).count()
}

/// Every sample in the window, with an empty one where a gap begins.
pub(super) fn raw(readings: &[Reading], window: Window) -> Series {
    let mut series = Series::default();
    let mut push = |at: i64, value: Option<Number>| {
        series.t.push(Timestamp::from_millis(at));
        for column in [&mut series.min, &mut series.max, &mut series.last] {
            column.push(value);
        }
    };
    let mut before: Option<i64> = None;
    for reading in readings.iter().filter(|one| window.holds(one.at)) {
        let lapsed = before.map(|at| at.saturating_add(window.lapse));
        if let Some(end) = lapsed.filter(|end| *end < reading.at) {
            push(end, None);
        }
        let value = number(reading);
        if value.is_some() || before.is_some() {
            push(reading.at, value);
        }
        before = value.map(|_| reading.at);
    }
    let lapsed = before.map(|at| at.saturating_add(window.lapse));
    if let Some(end) = lapsed.filter(|end| *end < window.to.min(window.now)) {
        push(end, None);
    }
    series
}

/// Fills buckets from readings that come by time.
#[derive(Debug)]
pub(super) struct Buckets {
    window: Window,
    step: i64,
    min: Vec<Option<Number>>,
    max: Vec<Option<Number>>,
    last: Vec<Option<Number>>,
    /// The newest reading, whose end is not known yet.
    open: Option<Reading>,
}

impl Buckets {
    /// Empty buckets of a width.
    pub(super) fn new(window: Window, step: i64) -> Self {
        let span = window.to.saturating_sub(window.from).max(0);
        let count = usize::try_from(span.saturating_add(step - 1) / step).unwrap_or(0);
        Self {
            window,
            step,
            min: vec![None; count],
            max: vec![None; count],
            last: vec![None; count],
            open: None,
        }
    }

    /// Takes the next reading. One that is older than the last counts at its own time only.
    pub(super) fn push(&mut self, reading: Reading) {
        match self.open.take() {
            Some(open) if reading.at < open.at => {
                self.open = Some(open);
                self.hold(&reading, reading.at + 1);
            }
            Some(open) => {
                self.hold(&open, reading.at);
                self.open = Some(reading);
            }
            None => self.open = Some(reading),
        }
    }

    /// Takes a chunk by what is known of it without its readings: fractions, so that the last digits of whole
    /// numbers beyond 2^53 are lost.
    pub(super) fn push_head(&mut self, chunk: &Chunk) {
        if let Some(numbers) = chunk.numbers {
            for value in [numbers.min, numbers.max, numbers.last] {
                self.fill(
                    chunk.first,
                    chunk.last.saturating_add(1),
                    Number::Real(value),
                );
            }
        }
    }

    /// Takes every reading of a chunk; a damaged one is left out.
    pub(super) fn push_chunk(&mut self, chunk: &Chunk) {
        for reading in decompress(&chunk.body).unwrap_or_default() {
            self.push(reading);
        }
    }

    /// The series.
    pub(super) fn finish(mut self) -> Series {
        if let Some(open) = self.open.take() {
            let end = self.window.now.max(open.at.saturating_add(1));
            self.hold(&open, end);
        }
        let starts = (0..).map(|place: i64| self.window.from + place * self.step);
        Series {
            t: starts
                .take(self.min.len())
                .map(Timestamp::from_millis)
                .collect(),
            min: self.min,
            max: self.max,
            last: self.last,
            step_ms: self.step,
        }
    }

    fn hold(&mut self, reading: &Reading, until: i64) {
        if let Some(value) = number(reading) {
            let end = until.min(reading.at.saturating_add(self.window.lapse));
            self.fill(reading.at, end, value);
        }
    }

    fn fill(&mut self, from: i64, until: i64, value: Number) {
        let from = from.max(self.window.from);
        let until = until.min(self.window.to);
        if from >= until {
            return;
        }
        let place = |at: i64| usize::try_from((at - self.window.from) / self.step).unwrap_or(0);
        let span = place(from)..=place(until - 1);
        for column in [
            (&mut self.min, Number::min as fn(Number, Number) -> Number),
            (&mut self.max, Number::max),
            (&mut self.last, |_, new| new),
        ] {
            let (values, join) = column;
            for bucket in values.get_mut(span.clone()).unwrap_or_default() {
                *bucket = Some(bucket.map_or(value, |old| join(old, value)));
            }
        }
    }
}

fn number(reading: &Reading) -> Option<Number> {
    match reading.value.as_ref()? {
        Value::Integer(number) => Some(Number::Integer(*number)),
        value @ (Value::Flag(_) | Value::Number(_) | Value::Text(_)) => {
            value.as_number().map(Number::Real)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::recent::in_order;
    use proptest::prelude::*;
    use zhiban_core::{Quality, QualityReason};

    fn good(at: i64, value: f64) -> Reading {
        Reading {
            at,
            quality: Quality::Good,
            value: Some(Value::Number(value)),
        }
    }

    fn stale(at: i64) -> Reading {
        Reading {
            at,
            quality: Quality::Stale(QualityReason::NoData),
            value: None,
        }
    }

    fn numbers_of(column: &[Option<Number>]) -> impl Iterator<Item = f64> {
        column.iter().flatten().map(|number| number.as_f64())
    }

    fn f(value: f64) -> Option<Number> {
        Some(Number::Real(value))
    }

    #[test]
    fn a_counter_with_many_digits_keeps_each_of_them() {
        const COUNT: i64 = 9_007_199_254_740_993;
        let reading = |at, count| Reading {
            at,
            quality: Quality::Good,
            value: Some(Value::Integer(count)),
        };
        let readings = [reading(1000, COUNT), reading(1010, COUNT - 2)];
        let (low, high) = (
            Some(Number::Integer(COUNT - 2)),
            Some(Number::Integer(COUNT)),
        );
        assert_eq!(raw(&readings, WINDOW).last[..2], [high, low]);
        let series = bucketed(readings.to_vec(), WINDOW, 100);
        assert_eq!(
            (series.min[0], series.max[0], series.last[0]),
            (low, high, low)
        );
    }

    const WINDOW: Window = Window {
        from: 1000,
        to: 2000,
        lapse: 300,
        now: 5000,
    };

    fn bucketed(readings: Vec<Reading>, window: Window, step: i64) -> Series {
        let mut buckets = Buckets::new(window, step);
        readings.into_iter().for_each(|one| buckets.push(one));
        buckets.finish()
    }

    #[test]
    fn raw_samples_have_gaps_where_nothing_was_known() {
        let readings = [
            good(900, 0.0),
            good(1000, 1.0),
            good(1100, 2.0),
            stale(1200),
            stale(1250),
            good(1300, 3.0),
            good(1900, 4.0),
            good(2000, 5.0),
        ];
        let series = raw(&readings, WINDOW);
        let times: Vec<i64> = series.t.iter().map(|t| t.millis()).collect();
        assert_eq!(times, [1000, 1100, 1200, 1300, 1600, 1900]);
        let some = [f(1.0), f(2.0), None, f(3.0), None, f(4.0)];
        assert_eq!(series.last, some);
        assert_eq!(
            (series.step_ms, series.min.len(), series.max.len()),
            (0, 6, 6)
        );
    }

    #[test]
    fn a_value_holds_through_buckets_until_the_next_or_its_lapse() {
        let readings = vec![
            good(950, 1.0),
            good(1150, 5.0),
            good(1160, 2.0),
            stale(1310),
        ];
        let series = bucketed(readings, WINDOW, 100);
        assert_eq!(series.t.len(), 10);
        let n = None;
        assert_eq!(
            series.min,
            [f(1.0), f(1.0), f(2.0), f(2.0), n, n, n, n, n, n]
        );
        assert_eq!(
            series.max,
            [f(1.0), f(5.0), f(2.0), f(2.0), n, n, n, n, n, n]
        );
        assert_eq!(
            series.last,
            [f(1.0), f(2.0), f(2.0), f(2.0), n, n, n, n, n, n]
        );
        let lapsed = bucketed(vec![good(1000, 7.0)], WINDOW, 100);
        assert_eq!(lapsed.last.iter().flatten().count(), 3);
    }

    #[test]
    fn nothing_is_shown_of_the_time_to_come() {
        let window = Window {
            now: 1250,
            ..WINDOW
        };
        let series = bucketed(vec![good(1200, 7.0)], window, 100);
        assert_eq!(series.last.iter().flatten().count(), 1);
    }

    #[test]
    fn a_late_reading_counts_at_its_own_time() {
        let series = bucketed(vec![good(1500, 1.0), good(1100, 9.0)], WINDOW, 100);
        assert_eq!(series.max[1], f(9.0));
        assert_eq!((series.max[2], series.max[5]), (None, f(1.0)));
    }

    proptest! {
        /// Lowest and highest over all buckets are those of the samples: nothing is made up or lost.
        #[test]
        fn buckets_keep_the_extremes(
            values in prop::collection::vec((1000..2000_i64, -50..50_i32), 1..40),
            buckets in 1..64_u32,
        ) {
            let readings = values.iter().map(|(at, value)| good(*at, f64::from(*value)));
            let readings = in_order(readings.collect());
            let numbers: Vec<f64> = readings.iter().filter_map(number).map(Number::as_f64).collect();
            let step = WINDOW.step(buckets);
            let series = bucketed(readings, WINDOW, step);
            prop_assert!(series.t.len() <= buckets as usize);
            let low = numbers_of(&series.min).fold(f64::INFINITY, f64::min);
            let high = numbers_of(&series.max).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(low, numbers.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(high, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            for bucket in 0..series.t.len() {
                let at = |column: &[Option<Number>]| column[bucket].map(Number::as_f64);
                prop_assert!(at(&series.min) <= at(&series.last));
                prop_assert!(at(&series.last) <= at(&series.max));
            }
        }
    }
}
