//! How samples become bytes: small numbers in few bytes, one tag byte for kind and quality.
//!
//! Bytes from disk are never trusted: whatever does not read as written is `Damaged`, never a panic.

use super::EventLine;
use zhiban_core::{Quality, QualityReason, Value};

/// A sample as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// The point's number in the dictionary.
    pub(super) point: u32,
    /// When it was acquired, in milliseconds since 1970.
    pub(super) at: i64,
    /// How far it may be trusted.
    pub(super) quality: Quality,
    /// The value; `None` when it may not be trusted.
    pub(super) value: Option<Value>,
}

/// What a row of the journal holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Row {
    /// Samples, in the order they came.
    Samples(Vec<Stored>),
    /// What happened to alarms and orders.
    Events(Vec<EventLine>),
}

/// Bytes that are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored telemetry is damaged")]
pub(super) struct Damaged;

const SAMPLES: u8 = 1;
const EVENTS: u8 = 2;

/// The bytes of a row of samples.
pub(super) fn samples_to_bytes(samples: &[Stored]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + samples.len() * 6);
    out.push(SAMPLES);
    put_varint(&mut out, samples.len() as u64);
    let (mut point, mut at) = (0, 0);
    for sample in samples {
        put_zigzag(&mut out, i64::from(sample.point) - point);
        put_zigzag(&mut out, sample.at.wrapping_sub(at));
        put_value(&mut out, sample.quality, sample.value.as_ref());
        (point, at) = (i64::from(sample.point), sample.at);
    }
    out
}

/// The bytes of a row of events; nothing that an event holds can fail to become JSON.
pub(super) fn events_to_bytes(events: &[EventLine]) -> Vec<u8> {
    let mut out = vec![EVENTS];
    match serde_json::to_writer(&mut out, events) {
        Ok(()) => out,
        Err(_) => vec![EVENTS, b'[', b']'],
    }
}

impl Row {
    /// Reads what `samples_to_bytes` or `events_to_bytes` wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        match reader.byte()? {
            SAMPLES => read_samples(&mut reader).map(Row::Samples),
            EVENTS => serde_json::from_slice(reader.0)
                .map(Row::Events)
                .map_err(|_| Damaged),
            _ => Err(Damaged),
        }
    }
}

fn read_samples(reader: &mut Reader<'_>) -> Result<Vec<Stored>, Damaged> {
    let count = reader.varint()?;
    // A sample takes at least three bytes, so a damaged count never asks for much memory.
    let most = reader.0.len() / 3;
    let count = usize::try_from(count).ok().filter(|count| *count <= most);
    let mut samples = Vec::with_capacity(count.ok_or(Damaged)?);
    let (mut point, mut at) = (0_i64, 0_i64);
    for _ in 0..count.ok_or(Damaged)? {
        point = point.wrapping_add(reader.zigzag()?);
        at = at.wrapping_add(reader.zigzag()?);
        let (quality, value) = reader.value()?;
        samples.push(Stored {
            point: u32::try_from(point).map_err(|_| Damaged)?,
            at,
            quality,
            value,
        });
    }
    Ok(samples)
}

/// The number of a quality on disk: it never changes its meaning.
pub(super) fn quality_code(quality: Quality) -> u8 {
    let reason = |reason: QualityReason| match reason {
        QualityReason::NeverRead => 0,
        QualityReason::LinkDown => 1,
        QualityReason::Timeout => 2,
        QualityReason::NoData => 3,
        QualityReason::Refused => 4,
        QualityReason::BadAnswer => 5,
        QualityReason::NotAvailable => 6,
        QualityReason::OutOfRange => 7,
        QualityReason::Undecodable => 8,
        QualityReason::Retained => 9,
        QualityReason::Disabled => 10,
        QualityReason::Late => 11,
        QualityReason::TimeUnreadable => 12,
    };
    match quality {
        Quality::Good => 0,
        Quality::Uncertain(why) => 0x20 + reason(why),
        Quality::Bad(why) => 0x40 + reason(why),
        Quality::Stale(why) => 0x60 + reason(why),
    }
}

/// The quality of a number on disk.
pub(super) fn quality_of(code: u8) -> Result<Quality, Damaged> {
    if code == 0 {
        return Ok(Quality::Good);
    }
    let of = |make: fn(QualityReason) -> Quality| {
        let mut all = QualityReason::ALL.into_iter().map(make);
        all.find(|quality| quality_code(*quality) == code)
            .ok_or(Damaged)
    };
    match code >> 5 {
        1 => of(Quality::Uncertain),
        2 => of(Quality::Bad),
        3 => of(Quality::Stale),
        _ => Err(Damaged),
    }
}

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const NUMBER: u8 = 4;
const TEXT: u8 = 5;
/// `DECIMAL + d`: a number with `d` digits after the point, stored as a whole number.
const DECIMAL: u8 = 8;
/// Set in the tag when a quality byte follows; without it the quality is good.
const NOT_GOOD: u8 = 0x80;

/// A quality and a value: a tag byte, the quality when it is not good, the value.
pub(super) fn put_value(out: &mut Vec<u8>, quality: Quality, value: Option<&Value>) {
    let mut tag = |kind: u8| {
        if quality == Quality::Good {
            out.push(kind);
        } else {
            out.extend([kind | NOT_GOOD, quality_code(quality)]);
        }
    };
    match value {
        None => tag(NONE),
        Some(Value::Flag(false)) => tag(FALSE),
        Some(Value::Flag(true)) => tag(TRUE),
        Some(Value::Integer(number)) => {
            tag(INTEGER);
            put_zigzag(out, *number);
        }
        Some(Value::Number(number)) => {
            if let Some((digits, mantissa)) = decimal(*number) {
                tag(DECIMAL + digits);
                put_zigzag(out, mantissa);
            } else {
                tag(NUMBER);
                out.extend(number.to_le_bytes());
            }
        }
        Some(Value::Text(text)) => {
            tag(TEXT);
            put_varint(out, text.len() as u64);
            out.extend(text.as_bytes());
        }
    }
}

const POWERS: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];

/// A number as `mantissa / 10^digits` with up to three digits, when that is exactly the same number.
pub(super) fn decimal(number: f64) -> Option<(u8, i64)> {
    const MOST: f64 = 1e12;
    for (digits, power) in (0_u8..).zip(POWERS) {
        let scaled = (number * power).round();
        if !scaled.is_finite() || scaled.abs() > MOST {
            return None;
        }
        // Minus zero has no whole number.
        if (scaled / power).to_bits() == number.to_bits() && number.to_bits() != 1 << 63 {
            #[expect(clippy::cast_possible_truncation, reason = "at most 1e12, and rounded")]
            return Some((digits, scaled as i64));
        }
    }
    None
}

/// Seven bits a byte, lowest first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A signed number so that small ones of either sign take few bytes.
pub(super) fn put_zigzag(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Reads bytes from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// A count of something that is in the rest of the bytes, so never more than those.
    pub(super) fn count(&mut self) -> Result<usize, Damaged> {
        let count = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(Damaged)
        }
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, Damaged> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        let count = self.count()?;
        std::str::from_utf8(self.bytes(count)?).map_err(|_| Damaged)
    }

    /// What `put_value` wrote.
    pub(super) fn value(&mut self) -> Result<(Quality, Option<Value>), Damaged> {
        let tag = self.byte()?;
        let quality = if tag & NOT_GOOD == 0 {
            Quality::Good
        } else {
            quality_of(self.byte()?)?
        };
        let value = match tag & !NOT_GOOD {
            NONE => None,
            FALSE => Some(Value::Flag(false)),
            TRUE => Some(Value::Flag(true)),
            INTEGER => Some(Value::Integer(self.zigzag()?)),
            NUMBER => {
                let bytes = self.bytes(8)?.try_into().map_err(|_| Damaged)?;
                Some(Value::Number(f64::from_le_bytes(bytes)))
            }
            TEXT => Some(Value::Text(self.text()?.into())),
            kind => {
                let power = kind
                    .checked_sub(DECIMAL)
                    .and_then(|digits| POWERS.get(usize::from(digits)));
                #[expect(clippy::cast_precision_loss, reason = "written from at most 1e12")]
                let mantissa = self.zigzag()? as f64;
                Some(Value::Number(mantissa / power.ok_or(Damaged)?))
            }
        };
        Ok((quality, value))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::history::EventValue;
    use proptest::prelude::*;
    use zhiban_core::Timestamp;

    pub(crate) fn quality() -> impl Strategy<Value = Quality> {
        let reason = prop::sample::select(QualityReason::ALL.to_vec());
        prop_oneof![
            4 => Just(Quality::Good),
            1 => reason.clone().prop_map(Quality::Uncertain),
            1 => reason.clone().prop_map(Quality::Bad),
            1 => reason.prop_map(Quality::Stale),
        ]
    }

    pub(crate) fn value() -> impl Strategy<Value = Option<Value>> {
        let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
        prop_oneof![
            Just(None),
            any::<bool>().prop_map(|flag| Some(Value::Flag(flag))),
            any::<i64>().prop_map(|number| Some(Value::Integer(number))),
            (-99_999..99_999_i32).prop_map(|tenth| Some(Value::Number(f64::from(tenth) / 10.0))),
            finite.prop_map(|number| Some(Value::Number(number))),
            "\\PC{0,20}".prop_map(|text| Some(Value::Text(text.into()))),
        ]
    }

    fn sample() -> impl Strategy<Value = Stored> {
        let parts = (any::<u32>(), any::<i64>(), quality(), value());
        parts.prop_map(|(point, at, quality, value)| Stored {
            point,
            at,
            quality,
            value,
        })
    }

    proptest! {
        #[test]
        fn samples_read_as_they_were_written(samples in prop::collection::vec(sample(), 0..50)) {
            let bytes = samples_to_bytes(&samples);
            let Row::Samples(read) = Row::from_bytes(&bytes).unwrap() else { panic!() };
            prop_assert_eq!(&read, &samples);
            // Also that minus zero stays what it is, which `==` does not see.
            prop_assert_eq!(samples_to_bytes(&read), bytes);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_other_samples_never_a_panic(
            samples in prop::collection::vec(sample(), 0..8),
            at in any::<prop::sample::Index>(),
            bits in 1..=255_u8,
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = samples_to_bytes(&samples);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            drop(Row::from_bytes(&bytes));
            drop(Row::from_bytes(&bytes[..keep.index(bytes.len())]));
        }
    }

    #[test]
    fn events_read_as_they_were_written() {
        let event = EventLine {
            measurement: "alarm".to_owned(),
            tags: vec![("asset".to_owned(), "A3".to_owned())],
            fields: vec![
                ("id".to_owned(), EventValue::Integer(7)),
                ("active".to_owned(), EventValue::Flag(true)),
                ("note".to_owned(), EventValue::Text("困人 \"1\"".to_owned())),
            ],
            at: Timestamp::from_millis(12),
        };
        let bytes = events_to_bytes(std::slice::from_ref(&event));
        assert_eq!(Row::from_bytes(&bytes), Ok(Row::Events(vec![event])));
    }

    #[test]
    fn a_number_on_disk_never_changes_its_meaning() {
        assert_eq!(quality_code(Quality::Good), 0);
        assert_eq!(
            quality_code(Quality::Uncertain(QualityReason::Retained)),
            41
        );
        assert_eq!(quality_code(Quality::Bad(QualityReason::Refused)), 68);
        assert_eq!(quality_code(Quality::Stale(QualityReason::Disabled)), 106);
        for code in 0..=u8::MAX {
            if let Ok(quality) = quality_of(code) {
                assert_eq!(quality_code(quality), code);
            }
        }
    }

    #[test]
    fn a_reading_of_a_meter_takes_six_bytes() {
        let read = |at, tenth: i32| Stored {
            point: 3,
            at,
            quality: Quality::Good,
            value: Some(Value::Number(f64::from(tenth) / 10.0)),
        };
        let one = samples_to_bytes(&[read(1_795_000_000_000, 231)]).len();
        let two = samples_to_bytes(&[read(1_795_000_000_000, 231), read(1_795_000_000_200, 232)]);
        assert_eq!(two.len() - one, 6);
    }
}
