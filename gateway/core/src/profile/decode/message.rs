//! From the payload of a message to a raw value: JSON, plain text, columns, hexadecimal.
//!
//! A payload is bytes from outside: anything may stand in it, and it is parsed once for all points.

use super::json::{self, Document};
use super::{MessageFormat, Raw};
use crate::point::QualityReason;
use serde_json::Value as Json;
use std::cell::OnceCell;

/// One message, parsed when the first point asks for it.
#[derive(Debug)]
pub struct Message<'p> {
    payload: &'p [u8],
    json: OnceCell<Document>,
}

impl<'p> Message<'p> {
    /// Wraps a payload.
    pub fn new(payload: &'p [u8]) -> Self {
        Self {
            payload,
            json: OnceCell::new(),
        }
    }

    /// The payload as JSON; `None` when it is none.
    pub fn json(&self) -> Option<&Json> {
        let document = self.json.get_or_init(|| json::read(self.payload));
        document.json.as_ref()
    }

    /// Whether it was asked for as JSON and only became it by putting something right.
    pub fn repaired(&self) -> bool {
        self.json.get().is_some_and(|document| document.repaired)
    }

    fn text(&self) -> Result<&'p str, QualityReason> {
        let text = std::str::from_utf8(self.payload).map_err(|_| QualityReason::Undecodable)?;
        // A mark in front or padding behind belongs to no value.
        Ok(text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{FEFF}')))
    }

    /// The raw value; `None` when a JSON message does not speak of it.
    pub(super) fn raw(&self, format: &MessageFormat) -> Result<Option<Raw>, QualityReason> {
        match format {
            MessageFormat::Json(pointer) => {
                let json = self.json().ok_or(QualityReason::Undecodable)?;
                json.pointer(pointer).map(scalar).transpose()
            }
            MessageFormat::Raw => Ok(Some(Raw::Text(self.text()?.into()))),
            MessageFormat::Csv { column } => {
                let cell = self.text()?.split(',').nth(usize::from(*column));
                let cell = cell.ok_or(QualityReason::BadAnswer)?;
                Ok(Some(Raw::Text(cell.trim().into())))
            }
            MessageFormat::Hex { first, length } => {
                hexadecimal(self.text()?, usize::from(*first), usize::from(*length)).map(Some)
            }
        }
    }
}

fn scalar(json: &Json) -> Result<Raw, QualityReason> {
    match json {
        Json::Bool(flag) => Ok(Raw::Flag(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(Raw::Integer(number)),
            (None, Some(number)) => Ok(Raw::Float(number)),
            (None, None) => Err(QualityReason::Undecodable),
        },
        // Bytes of another character set: what they were is not known.
        Json::String(text) if text.contains('\u{FFFD}') => Err(QualityReason::Undecodable),
        Json::String(text) => Ok(Raw::Text(text.as_str().into())),
        Json::Null => Err(QualityReason::NotAvailable),
        Json::Array(_) | Json::Object(_) => Err(QualityReason::Undecodable),
    }
}

/// `length` bytes from byte `first` of hexadecimal text, as a big-endian unsigned number.
fn hexadecimal(text: &str, first: usize, length: usize) -> Result<Raw, QualityReason> {
    let from = first.saturating_mul(2);
    let digits = text.get(from..from.saturating_add(length.saturating_mul(2)));
    let digits = digits.ok_or(QualityReason::BadAnswer)?;
    let sign = digits.starts_with(['+', '-']);
    let number = i64::from_str_radix(digits, 16).ok().filter(|_| !sign);
    number.map(Raw::Integer).ok_or(QualityReason::Undecodable)
}
