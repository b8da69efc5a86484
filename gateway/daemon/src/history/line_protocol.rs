//! Writes InfluxDB line protocol. Whatever a name or a text holds, it stays one name or one text:
//! nothing that comes from outside can begin a tag, a field or a line of its own.
//!
//! Names: a backslash becomes a slash, since the protocol cannot say one before a separator, and a
//! control character an underscore. Texts are exact, and cut at what the server takes.

use super::codec::{Row, Stored, decimal};
use super::dictionary::{Dictionary, Entry};
use super::events::{EventLine, EventValue};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use zhiban_core::Value;
use zhiban_core::model::PointKind;

/// The longest text field; the server takes 64 KiB.
const LONGEST_TEXT: usize = 60_000;

/// Lines one after the other, each with its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Values whose type does not fit their point's kind; they are not in the lines.
    pub(super) misfits: usize,
    /// Values of points that were to be left out.
    pub(super) left_out: usize,
}

impl Lines {
    /// How many lines.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Some of the lines as they are sent.
    pub(super) fn bytes(&self, lines: Range<usize>) -> &[u8] {
        let start = lines
            .start
            .checked_sub(1)
            .and_then(|last| self.ends.get(last));
        let end = lines
            .end
            .checked_sub(1)
            .and_then(|last| self.ends.get(last));
        let span = start.copied().unwrap_or(0)..end.copied().unwrap_or(0);
        self.text.get(span).unwrap_or_default()
    }

    fn begin(&mut self, series: &[u8]) {
        self.text.extend(series);
    }

    /// Ends a line that has fields, takes back one that has none.
    fn end(&mut self, has_fields: bool, at: i64) {
        let start = self.ends.last().copied().unwrap_or(0);
        if !has_fields {
            self.text.truncate(start);
            return;
        }
        self.text.push(b' ');
        put_integer(&mut self.text, at);
        self.text.push(b'\n');
        self.ends.push(self.text.len());
    }
}

/// Writes the journal's rows as lines.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Measurement and tags, ready to be copied.
    series: Vec<Vec<u8>>,
    /// By the points' numbers.
    points: Vec<Option<Field>>,
}

#[derive(Debug)]
struct Field {
    series: usize,
    /// The name and `=`.
    name: Vec<u8>,
    kind: PointKind,
}

impl Encoder {
    /// Prepares every point of the dictionary.
    pub(super) fn new(site: &str, dictionary: &Dictionary) -> Self {
        let mut encoder = Self {
            series: Vec::new(),
            points: Vec::new(),
        };
        let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for number in dictionary.all() {
            let Some(entry) = dictionary.entry(number) else {
                continue;
            };
            let series = series(site, entry);
            let next = encoder.series.len();
            let place = *known.entry(series.clone()).or_insert(next);
            if place == next {
                encoder.series.push(series);
            }
            let mut name = Vec::new();
            put_key(&mut name, entry.point());
            name.push(b'=');
            let number = number as usize;
            if encoder.points.len() <= number {
                encoder.points.resize_with(number + 1, || None);
            }
            if let Some(point) = encoder.points.get_mut(number) {
                *point = Some(Field {
                    series: place,
                    name,
                    kind: entry.kind,
                });
            }
        }
        encoder
    }

    /// Adds the lines of one row, without some points.
    pub(super) fn add(&self, row: &Row, without: &BTreeSet<u32>, lines: &mut Lines) {
        match row {
            Row::Samples(samples) => self.add_samples(samples, without, lines),
            Row::Events(events) => events.iter().for_each(|event| add_event(event, lines)),
        }
    }

    /// One line for each asset and time of acquisition.
    fn add_samples(&self, samples: &[Stored], without: &BTreeSet<u32>, lines: &mut Lines) {
        let field = |point: u32| self.points.get(point as usize)?.as_ref();
        let known = samples
            .iter()
            .filter_map(|one| Some((field(one.point)?, one)));
        let mut known: Vec<(&Field, &Stored)> = known.collect();
        known.sort_by_key(|(field, one)| (field.series, one.at, one.point));
        let alike = |(a, one): &(&Field, &Stored), (b, two): &(&Field, &Stored)| {
            a.series == b.series && one.at == two.at && one.point != two.point
        };
        for line in known.chunk_by(alike) {
            let Some((first, sample)) = line.first() else {
                continue;
            };
            let series = self.series.get(first.series).map_or(&[][..], Vec::as_slice);
            lines.begin(series);
            let mut has_fields = false;
            for (field, sample) in line {
                let Some(value) = sample.value.as_ref().filter(|_| sample.quality.may_raise())
                else {
                    continue;
                };
                if without.contains(&sample.point) {
                    lines.left_out += 1;
                } else {
                    has_fields |= put_field(lines, field, value, has_fields);
                }
            }
            lines.end(has_fields, sample.at);
        }
    }
}

/// Measurement and tags of a point's asset.
fn series(site: &str, entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    put_measurement(&mut out, &entry.class);
    put_tag(&mut out, "asset", entry.asset());
    put_tag(
        &mut out,
        "location",
        entry.location.as_deref().unwrap_or_default(),
    );
    put_tag(&mut out, "site", site);
    out
}

/// Writes a field in the type that its point's kind fixes; whether it did.
fn put_field(lines: &mut Lines, field: &Field, value: &Value, others: bool) -> bool {
    let start = lines.text.len();
    let out = &mut lines.text;
    out.push(if others { b',' } else { b' ' });
    out.extend(&field.name);
    let fits = match (field.kind, value) {
        (PointKind::Analog, Value::Number(number)) => put_float(out, *number),
        (PointKind::Analog, Value::Integer(number)) => {
            put_integer(out, *number);
            true
        }
        (PointKind::Flag, Value::Flag(flag)) => put_flag(out, *flag),
        (PointKind::Counter, Value::Integer(number)) => {
            put_integer(out, *number);
            out.push(b'i');
            true
        }
        (PointKind::Counter, Value::Number(number)) => put_whole(out, *number),
        (PointKind::Enum | PointKind::Text, Value::Text(text)) => {
            put_text(out, text);
            true
        }
        (PointKind::Analog | PointKind::Counter, Value::Flag(_) | Value::Text(_))
        | (PointKind::Flag, Value::Integer(_) | Value::Number(_) | Value::Text(_))
        | (
            PointKind::Enum | PointKind::Text,
            Value::Flag(_) | Value::Integer(_) | Value::Number(_),
        ) => false,
    };
    if !fits {
        lines.text.truncate(start);
        lines.misfits += 1;
    }
    fits
}

fn add_event(event: &EventLine, lines: &mut Lines) {
    let mut series = Vec::new();
    put_measurement(&mut series, &event.measurement);
    for (key, value) in &event.tags {
        put_tag(&mut series, key, value);
    }
    lines.begin(&series);
    let mut has_fields = false;
    for (key, value) in &event.fields {
        lines.text.push(if has_fields { b',' } else { b' ' });
        put_key(&mut lines.text, key);
        lines.text.push(b'=');
        has_fields = true;
        match value {
            EventValue::Flag(flag) => {
                put_flag(&mut lines.text, *flag);
            }
            EventValue::Integer(number) => {
                put_integer(&mut lines.text, *number);
                lines.text.push(b'i');
            }
            EventValue::Text(text) => put_text(&mut lines.text, text),
        }
    }
    lines.end(has_fields, event.at.millis());
}

fn put_measurement(out: &mut Vec<u8>, name: &str) {
    let start = out.len();
    for mark in name.chars() {
        put_mark(out, if mark == '=' { '_' } else { mark });
    }
    // A line that begins with `#` is a comment; one that begins with a separator has no name.
    match out.get_mut(start) {
        Some(first) if *first == b'#' => *first = b'_',
        Some(_) => {}
        None => out.push(b'_'),
    }
}

/// A tag with its comma; nothing when it has no value, since the protocol has no empty tags.
fn put_tag(out: &mut Vec<u8>, key: &str, value: &str) {
    if !key.is_empty() && !value.is_empty() {
        out.push(b',');
        put_key(out, key);
        out.push(b'=');
        value.chars().for_each(|mark| put_mark(out, mark));
    }
}

/// A tag's or field's name. The server keeps `time` for itself, and an empty name is none.
fn put_key(out: &mut Vec<u8>, key: &str) {
    key.chars().for_each(|mark| put_mark(out, mark));
    if key.is_empty() || key == "time" {
        out.push(b'_');
    }
}

fn put_mark(out: &mut Vec<u8>, mark: char) {
    let mark = match mark {
        '\\' => '/',
        control if control.is_control() => '_',
        other => other,
    };
    if matches!(mark, ',' | '=' | ' ') {
        out.push(b'\\');
    }
    out.extend(mark.encode_utf8(&mut [0; 4]).bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = text
        .get(..text.floor_char_boundary(LONGEST_TEXT))
        .unwrap_or(text);
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn put_flag(out: &mut Vec<u8>, flag: bool) -> bool {
    out.extend(if flag { &b"true"[..] } else { b"false" });
    true
}

/// A number that is no number cannot be said.
fn put_float(out: &mut Vec<u8>, number: f64) -> bool {
    if !number.is_finite() {
        return false;
    }
    if let Some((digits, mantissa)) = decimal(number) {
        put_decimal(out, mantissa, digits);
        return true;
    }
    let size = number.abs();
    let written = if size == 0.0 || (1e-5..1e15).contains(&size) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
    // Writing to memory does not fail.
    written.is_ok()
}

fn put_decimal(out: &mut Vec<u8>, mantissa: i64, digits: u8) {
    if mantissa < 0 {
        out.push(b'-');
    }
    let start = out.len();
    let mut rest = mantissa.unsigned_abs();
    let mut place = 0;
    while rest > 0 || place <= digits {
        if place == digits && digits > 0 {
            out.push(b'.');
        }
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        place += 1;
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    put_decimal(out, number, 0);
}

/// A count that came as a number with no fraction.
fn put_whole(out: &mut Vec<u8>, number: f64) -> bool {
    let Some((0, whole)) = decimal(number) else {
        return false;
    };
    put_integer(out, whole);
    out.push(b'i');
    true
}

#[cfg(test)]
mod tests;
