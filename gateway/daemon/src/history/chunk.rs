//! The readings of one point in one segment, compressed by columns: times, qualities, values.
//!
//! A body that does not read as written is `Damaged`; one damaged chunk never hides another.

use super::codec::{Damaged, Reader, put_varint, quality_code, quality_of};
use super::recent::{Reading, in_order};
use std::collections::BTreeMap;
use std::sync::Arc;
use zhiban_core::Value;

/// A compressed chunk and what can be known of it without reading the body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    /// The point's number.
    pub(super) point: u32,
    /// How many readings.
    pub(super) count: i64,
    /// The time of the first reading.
    pub(super) first: i64,
    /// The time of the last reading.
    pub(super) last: i64,
    /// Of the values that are numbers, when there are any.
    pub(super) numbers: Option<Numbers>,
    /// The readings.
    pub(super) body: Vec<u8>,
}

/// What the numbers of a chunk were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numbers {
    /// The lowest.
    pub(super) min: f64,
    /// The highest.
    pub(super) max: f64,
    /// Their sum.
    pub(super) sum: f64,
    /// The last one.
    pub(super) last: f64,
}

const VERSION: u8 = 1;

const NONE: u8 = 0;
const FLAG: u8 = 1;
const INTEGER: u8 = 2;
const NUMBER: u8 = 3;
const TEXT: u8 = 4;

impl Chunk {
    /// Compresses the readings of one point; `None` when there are none. Of two readings of one
    /// time the later one stays.
    pub(super) fn new(point: u32, readings: Vec<Reading>) -> Option<Self> {
        let readings = in_order(readings);
        let (first, last) = (readings.first()?.at, readings.last()?.at);
        Some(Self {
            point,
            count: i64::try_from(readings.len()).ok()?,
            first,
            last,
            numbers: Numbers::of(&readings),
            body: compress(&readings),
        })
    }
}

impl Numbers {
    fn of(readings: &[Reading]) -> Option<Self> {
        let numbers = readings
            .iter()
            .filter_map(|one| one.value.as_ref()?.as_number());
        numbers.fold(None, |so_far, number| {
            Some(so_far.map_or(Self::one(number), |so_far| so_far.and(number)))
        })
    }

    fn one(number: f64) -> Self {
        Self {
            min: number,
            max: number,
            sum: number,
            last: number,
        }
    }

    fn and(self, number: f64) -> Self {
        Self {
            min: self.min.min(number),
            max: self.max.max(number),
            sum: self.sum + number,
            last: number,
        }
    }
}

/// The columns of some readings. Flags and texts are whole numbers: 0 and 1, places in a list.
#[derive(Default)]
struct Columns<'a> {
    times: Vec<i64>,
    /// Quality, kind of value, and how many readings in a row have both.
    runs: Vec<(u8, u8, u64)>,
    integers: Vec<i64>,
    numbers: Vec<f64>,
    texts: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(readings: &'a [Reading]) -> Self {
        let mut columns = Self::default();
        let mut places: BTreeMap<&str, i64> = BTreeMap::new();
        for reading in readings {
            columns.times.push(reading.at);
            let kind = match &reading.value {
                None => NONE,
                Some(Value::Flag(flag)) => {
                    columns.integers.push(i64::from(*flag));
                    FLAG
                }
                Some(Value::Integer(number)) => {
                    columns.integers.push(*number);
                    INTEGER
                }
                Some(Value::Number(number)) => {
                    columns.numbers.push(*number);
                    NUMBER
                }
                Some(Value::Text(text)) => {
                    let next = columns.texts.len() as i64;
                    let place = *places.entry(text).or_insert_with(|| {
                        columns.texts.push(text);
                        next
                    });
                    columns.integers.push(place);
                    TEXT
                }
            };
            let quality = quality_code(reading.quality);
            match columns.runs.last_mut() {
                Some((q, k, count)) if (*q, *k) == (quality, kind) => *count += 1,
                _ => columns.runs.push((quality, kind, 1)),
            }
        }
        columns
    }
}

fn compress(readings: &[Reading]) -> Vec<u8> {
    let columns = Columns::of(readings);
    let mut out = vec![VERSION];
    put_varint(&mut out, columns.runs.len() as u64);
    for (quality, kind, count) in &columns.runs {
        out.extend([*quality, *kind]);
        put_varint(&mut out, *count);
    }
    put_numbers(&mut out, &columns.times);
    put_numbers(&mut out, &columns.integers);
    put_numbers(&mut out, &columns.numbers);
    put_varint(&mut out, columns.texts.len() as u64);
    for text in &columns.texts {
        put_varint(&mut out, text.len() as u64);
        out.extend(text.as_bytes());
    }
    out
}

/// The length of the compressed column, then the column; nothing but a zero for an empty one.
fn put_numbers<T: pco::data_types::Number>(out: &mut Vec<u8>, numbers: &[T]) {
    let config = pco::ChunkConfig::default();
    let bytes = if numbers.is_empty() {
        Vec::new()
    } else {
        // It fails only on a configuration that does not exist; the column then reads as damaged.
        pco::standalone::simple_compress(numbers, &config).unwrap_or_default()
    };
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn take_numbers<T: pco::data_types::Number>(reader: &mut Reader<'_>) -> Result<Vec<T>, Damaged> {
    let count = reader.count()?;
    let bytes = reader.bytes(count)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    pco::standalone::simple_decompress(bytes).map_err(|_| Damaged)
}

/// The readings of a chunk's body, by time.
pub(super) fn decompress(body: &[u8]) -> Result<Vec<Reading>, Damaged> {
    let mut reader = Reader(body);
    if reader.byte()? != VERSION {
        return Err(Damaged);
    }
    let mut runs = Vec::new();
    for _ in 0..reader.count()? {
        runs.push((reader.byte()?, reader.byte()?, reader.varint()?));
    }
    let times: Vec<i64> = take_numbers(&mut reader)?;
    let mut integers = take_numbers::<i64>(&mut reader)?.into_iter();
    let mut numbers = take_numbers::<f64>(&mut reader)?.into_iter();
    let mut texts: Vec<Arc<str>> = Vec::new();
    for _ in 0..reader.count()? {
        texts.push(reader.text()?.into());
    }
    let mut readings = Vec::with_capacity(times.len());
    let mut times = times.into_iter();
    for (quality, kind, count) in runs {
        let quality = quality_of(quality)?;
        for _ in 0..count {
            let at = times.next().ok_or(Damaged)?;
            let mut integer = || integers.next().ok_or(Damaged);
            let value = match kind {
                NONE => None,
                FLAG => Some(Value::Flag(integer()? != 0)),
                INTEGER => Some(Value::Integer(integer()?)),
                NUMBER => Some(Value::Number(numbers.next().ok_or(Damaged)?)),
                TEXT => {
                    let place = usize::try_from(integer()?).map_err(|_| Damaged)?;
                    Some(Value::Text(texts.get(place).ok_or(Damaged)?.clone()))
                }
                _ => return Err(Damaged),
            };
            readings.push(Reading { at, quality, value });
        }
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::codec::tests::{quality, value};
    use proptest::prelude::*;
    use zhiban_core::Quality;

    fn reading() -> impl Strategy<Value = Reading> {
        (any::<i64>(), quality(), value()).prop_map(|(at, quality, value)| Reading {
            at,
            quality,
            value,
        })
    }

    proptest! {
        #[test]
        fn readings_come_back_by_time_and_the_later_of_one_time(
            readings in prop::collection::vec(reading(), 0..60)
        ) {
            let mut expected = BTreeMap::new();
            for one in &readings {
                expected.insert(one.at, one.clone());
            }
            let expected: Vec<Reading> = expected.into_values().collect();
            match Chunk::new(7, readings) {
                None => prop_assert!(expected.is_empty()),
                Some(chunk) => {
                    prop_assert_eq!(decompress(&chunk.body), Ok(expected.clone()));
                    prop_assert_eq!(chunk.first, expected[0].at);
                    prop_assert_eq!(chunk.last, expected[expected.len() - 1].at);
                    prop_assert_eq!(chunk.count, i64::try_from(expected.len()).unwrap());
                }
            }
        }

        #[test]
        fn a_body_cut_short_is_an_error(
            readings in prop::collection::vec(reading(), 1..20),
            keep in any::<prop::sample::Index>(),
        ) {
            let body = Chunk::new(7, readings).unwrap().body;
            let kept = &body[..keep.index(body.len())];
            prop_assert_eq!(decompress(kept), Err(Damaged));
        }
    }

    fn numbers(count: i64, value: impl Fn(i64) -> f64) -> Vec<Reading> {
        let at = |i: i64| Reading {
            at: 1_795_000_000_000 + i * 1000,
            quality: Quality::Good,
            value: Some(Value::Number(value(i))),
        };
        (0..count).map(at).collect()
    }

    #[test]
    fn the_head_says_what_the_numbers_were() {
        let chunk = Chunk::new(1, numbers(5, |i| [3.0, -1.0, 8.0, 2.0, 4.0][i as usize])).unwrap();
        let expected = Numbers {
            min: -1.0,
            max: 8.0,
            sum: 16.0,
            last: 4.0,
        };
        assert_eq!(chunk.numbers, Some(expected));
    }

    #[test]
    fn an_hour_of_a_temperature_takes_little_room() {
        let hour = numbers(3600, |i| {
            (200.0 + 30.0 * (i as f64 / 600.0).sin()).round() / 10.0
        });
        let chunk = Chunk::new(1, hour).unwrap();
        assert!(chunk.body.len() < 3600, "{} bytes", chunk.body.len());
    }
}
