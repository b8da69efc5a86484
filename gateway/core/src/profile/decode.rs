//! Turns registers and payloads into values, exactly as a profile's row says.
//!
//! It never panics and never guesses: what does not decode is a reason, not a number.

mod json;
mod message;
mod registers;
mod time;

pub use message::Message;
pub use time::MessageTime;

use super::{MessageFormat, PointRow, Profile, Table};
use crate::model::PointKind;
use crate::point::{Quality, QualityReason, Value};
use registers::Layout;
use std::sync::Arc;

/// What one point was read as.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The value in the point's unit; `None` when there is nothing usable.
    pub value: Option<Value>,
    /// How far it may be trusted.
    pub quality: Quality,
}

impl Reading {
    fn good(value: Value) -> Self {
        Self {
            value: Some(value),
            quality: Quality::Good,
        }
    }

    /// A reading that gave nothing usable, and why.
    pub fn bad(reason: QualityReason) -> Self {
        Self {
            value: None,
            quality: Quality::Bad(reason),
        }
    }
}

/// What stands on the wire, before it has a meaning.
#[derive(Debug, Clone, PartialEq)]
enum Raw {
    Flag(bool),
    Integer(i64),
    Float(f64),
    Text(Arc<str>),
}

impl Raw {
    /// The whole number that stands there, however the device writes it: `32767`, `"32767"` and
    /// `32767.0` are one.
    fn integer(&self) -> Option<i64> {
        match self {
            Raw::Integer(number) => Some(*number),
            Raw::Float(number) => whole(*number).ok(),
            Raw::Text(text) => {
                let text = text.trim();
                let parsed = text.parse().ok();
                parsed.or_else(|| whole(text.parse().ok()?).ok())
            }
            Raw::Flag(_) => None,
        }
    }
}

/// A profile's row made ready to decode many values a second: no names, no look-ups by text.
#[derive(Debug, Clone)]
pub struct Decoder {
    kind: PointKind,
    layout: Option<Layout>,
    message: Option<MessageFormat>,
    /// The bit of a message's whole number that is meant.
    message_bit: Option<u8>,
    factor: Factor,
    offset: f64,
    range: Option<(f64, f64)>,
    invalid: Box<[i64]>,
    /// Sorted by the raw value.
    codes: Box<[(i64, Arc<str>)]>,
    /// For raw values that are texts.
    words: Box<[(Box<str>, Arc<str>)]>,
}

/// `raw × scale`, as the division that gives the decimal people expect where there is one:
/// 2731 × 0.01 is 27.310000000000002, and 2731 ÷ 100 is 27.31.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Factor {
    One,
    Multiply(f64),
    Divide(f64),
}

impl Factor {
    fn of(scale: f64) -> Self {
        let inverse = (1.0 / scale).round();
        if scale == 1.0 {
            Factor::One
        } else if scale.abs() < 1.0 && (inverse * scale - 1.0).abs() < 1e-12 {
            Factor::Divide(inverse)
        } else {
            Factor::Multiply(scale)
        }
    }

    fn apply(self, raw: f64) -> f64 {
        match self {
            Factor::One => raw,
            Factor::Multiply(scale) => raw * scale,
            Factor::Divide(by) => raw / by,
        }
    }
}

impl Profile {
    /// Makes every row ready to decode, in the order of the rows.
    pub fn decoders(&self) -> Arc<[Decoder]> {
        self.points.iter().map(PointRow::decoder).collect()
    }
}

impl PointRow {
    /// Makes the row ready to decode.
    pub fn decoder(&self) -> Decoder {
        let code = |code: &str| -> Arc<str> { code.into() };
        let mut codes: Vec<_> = self
            .meanings
            .iter()
            .filter_map(|(raw, one)| Some((parse_integer(raw)?, code(&one.code))))
            .collect();
        codes.sort_by_key(|(raw, _)| *raw);
        let words = self
            .meanings
            .iter()
            .map(|(raw, one)| (raw.as_str().into(), code(&one.code)));
        let layout = self.modbus.as_ref().map(Layout::of);
        let pattern = |raw: &i64| layout.map_or(*raw, |layout| layout.pattern_of(*raw));
        Decoder {
            kind: self.kind,
            message: self.mqtt.as_ref().map(|row| row.read.clone()),
            message_bit: self.mqtt.as_ref().and_then(|row| row.bit),
            factor: Factor::of(self.scale),
            offset: self.offset,
            range: self.range,
            invalid: self.invalid.iter().map(pattern).collect(),
            codes: codes.into(),
            words: words.collect(),
            layout,
        }
    }
}

/// Reads `12`, `-3` or `0x1F`.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Decoder {
    /// How many registers, or bits of a coil or discrete input, the point takes; 0 when it is not
    /// read by Modbus.
    pub fn words(&self) -> u16 {
        self.layout.map_or(0, |layout| layout.words)
    }

    /// Decodes the point's own registers, in the order of the wire.
    pub fn registers(&self, registers: &[u16]) -> Reading {
        let Some(layout) = self.layout.filter(|layout| !layout.is_bit_table()) else {
            return Reading::bad(QualityReason::Undecodable);
        };
        if registers.len() != usize::from(layout.words) {
            return Reading::bad(QualityReason::BadAnswer);
        }
        match layout.read(registers) {
            Some((_, Some(pattern))) if self.invalid.contains(&pattern) => {
                Reading::bad(QualityReason::NotAvailable)
            }
            Some((raw, _)) => self.meaning(raw),
            None => Reading::bad(QualityReason::Undecodable),
        }
    }

    /// Decodes a coil or a discrete input.
    pub fn bit(&self, bit: bool) -> Reading {
        match self.layout.filter(|layout| layout.is_bit_table()) {
            Some(layout) => self.meaning(Raw::Flag(bit != layout.inverted)),
            None => Reading::bad(QualityReason::Undecodable),
        }
    }

    /// Decodes the point out of a message; `None` when a JSON message does not speak of it.
    pub fn message(&self, message: &Message<'_>) -> Option<Reading> {
        let raw = match message.raw(self.message.as_ref()?) {
            Ok(raw) => raw?,
            Err(reason) => return Some(Reading::bad(reason)),
        };
        let invalid = |raw: &Raw| raw.integer().is_some_and(|one| self.invalid.contains(&one));
        if !self.invalid.is_empty() && invalid(&raw) {
            return Some(Reading::bad(QualityReason::NotAvailable));
        }
        let Some(bit) = self.message_bit else {
            return Some(self.meaning(raw));
        };
        // A negative number, or one with a fraction, has no bits that a manual speaks of.
        let number = raw.integer().filter(|number| *number >= 0);
        let set = number.and_then(|number| number.checked_shr(u32::from(bit)));
        Some(match set {
            Some(shifted) => self.meaning(Raw::Flag(shifted & 1 == 1)),
            None => Reading::bad(QualityReason::Undecodable),
        })
    }

    fn meaning(&self, raw: Raw) -> Reading {
        let meant = match self.kind {
            PointKind::Analog => self.analog(&raw),
            PointKind::Flag => flag(&raw).map(Value::Flag),
            PointKind::Counter => self.counter(&raw),
            PointKind::Enum => self.code(&raw),
            PointKind::Text => text(raw),
        };
        meant.map_or_else(Reading::bad, Reading::good)
    }

    fn analog(&self, raw: &Raw) -> Result<Value, QualityReason> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a device's number beyond 2^53 is rounded"
        )]
        let number = match raw {
            Raw::Integer(number) => *number as f64,
            Raw::Float(number) => *number,
            Raw::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| QualityReason::Undecodable)?,
            Raw::Flag(_) => return Err(QualityReason::Undecodable),
        };
        if number.is_nan() {
            return Err(QualityReason::NotAvailable);
        }
        let value = self.factor.apply(number) + self.offset;
        if !value.is_finite() || self.is_impossible(value) {
            return Err(QualityReason::OutOfRange);
        }
        Ok(Value::Number(value))
    }

    fn counter(&self, raw: &Raw) -> Result<Value, QualityReason> {
        let number = match raw {
            Raw::Integer(number) => *number,
            Raw::Float(number) => whole(*number)?,
            Raw::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| QualityReason::Undecodable)?,
            Raw::Flag(_) => return Err(QualityReason::Undecodable),
        };
        let number = match self.factor {
            Factor::One => number,
            Factor::Multiply(scale) => number
                .checked_mul(whole(scale)?)
                .ok_or(QualityReason::OutOfRange)?,
            Factor::Divide(by) if number % whole(by)? == 0 => number / whole(by)?,
            Factor::Divide(_) => return Err(QualityReason::Undecodable),
        };
        let number = number
            .checked_add(whole(self.offset)?)
            .ok_or(QualityReason::OutOfRange)?;
        #[expect(clippy::cast_precision_loss, reason = "a range is far below 2^53")]
        if self.is_impossible(number as f64) {
            return Err(QualityReason::OutOfRange);
        }
        Ok(Value::Integer(number))
    }

    fn code(&self, raw: &Raw) -> Result<Value, QualityReason> {
        let number = match raw {
            Raw::Integer(number) => *number,
            Raw::Flag(flag) => i64::from(*flag),
            Raw::Float(number) => whole(*number)?,
            Raw::Text(text) => {
                let found = self.words.iter().find(|(word, _)| **word == **text);
                let (_, code) = found.ok_or(QualityReason::Undecodable)?;
                return Ok(Value::Text(code.clone()));
            }
        };
        let found = self.codes.binary_search_by_key(&number, |(raw, _)| *raw);
        let found = found.ok().and_then(|at| self.codes.get(at));
        let (_, code) = found.ok_or(QualityReason::Undecodable)?;
        Ok(Value::Text(code.clone()))
    }

    fn is_impossible(&self, value: f64) -> bool {
        self.range
            .is_some_and(|(low, high)| value < low || value > high)
    }
}

fn flag(raw: &Raw) -> Result<bool, QualityReason> {
    let words = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(QualityReason::Undecodable),
    };
    match raw {
        Raw::Flag(flag) => Ok(*flag),
        Raw::Integer(0) => Ok(false),
        Raw::Integer(1) => Ok(true),
        Raw::Integer(_) | Raw::Float(_) => Err(QualityReason::Undecodable),
        Raw::Text(text) => words(text),
    }
}

fn text(raw: Raw) -> Result<Value, QualityReason> {
    match raw {
        Raw::Text(text) => Ok(Value::Text(text)),
        Raw::Integer(number) => Ok(Value::Text(number.to_string().into())),
        Raw::Flag(_) | Raw::Float(_) => Err(QualityReason::Undecodable),
    }
}

/// A float that is a whole number, as one.
fn whole(number: f64) -> Result<i64, QualityReason> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 {
        return Err(QualityReason::Undecodable);
    }
    if number.abs() > LIMIT {
        return Err(QualityReason::OutOfRange);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    Ok(number as i64)
}

#[cfg(test)]
mod tests;
