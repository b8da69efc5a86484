//! What can be wrong with one row of a profile.

use super::{OfPoint, Weight, is_plain, is_pointer, topics};
use crate::model::PointKind;
use crate::point::Value;
use crate::profile::decode::{Message, Reading, parse_integer};
use crate::profile::{
    ByteOrder, DataType, ExampleValue, MeaningRow, MessageFormat, MessageRow, PointRow, Profile,
    RegisterRow, Table,
};
use crate::unit;
use std::collections::BTreeSet;

/// So many codes without a meaning are named.
const MOST_CODES: usize = 16;

pub(super) fn check(profile: &Profile, row: &PointRow, at: &mut OfPoint<'_>) {
    if !is_plain(&row.point, "_") {
        let what = format!("the point's name \"{}\" is not plain", row.point);
        at.add(
            "point",
            what,
            "write lower-case letters, digits and underscores",
        );
    }
    if row.name.is_incomplete() {
        let what = format!("the name of \"{}\" lacks a language", row.point);
        at.add("name", what, "write both zh and en");
    }
    if !row.unit.is_empty() && unit::find(&row.unit).is_none() {
        let what = format!("unit \"{}\" is not known", row.unit);
        at.add("unit", what, known_unit(&row.unit));
    }
    if row.decimals > 6 {
        at.add("decimals", "there are too many decimals", "write 0 to 6");
    }
    numbers(row, at);
    meanings(profile, row, at);
    places(profile, row, at);
    if let Some(registers) = &row.modbus {
        self::registers(row, registers, profile, at);
    }
    if let Some(message) = &row.mqtt {
        self::message(message, at);
        if message.bit.is_some() && row.kind != PointKind::Flag {
            let what = "one bit of a message is a flag";
            at.add("kind", what, "write kind = \"flag\", or take bit out");
        }
    }
    example(profile, row, at);
}

/// What to write instead of a unit that is not known.
fn known_unit(wrong: &str) -> String {
    if wrong == unit::NUMBER {
        return "leave unit out; a share is counted in \"%\", with scale = 100".to_owned();
    }
    let meant: Vec<_> = unit::meant(wrong)
        .iter()
        .map(|code| format!("\"{code}\""))
        .collect();
    if meant.is_empty() {
        let known: Vec<_> = unit::UNITS.iter().map(|one| one.code).collect();
        return format!("write one of: {}", known.join(" "));
    }
    format!("write {}", meant.join(" or "))
}

fn numbers(row: &PointRow, at: &mut OfPoint<'_>) {
    if !row.scale.is_finite() || row.scale == 0.0 {
        at.add(
            "scale",
            "the scale is not a usable number",
            "write a number other than 0",
        );
    }
    if !row.offset.is_finite() {
        at.add(
            "offset",
            "the offset is not a usable number",
            "write a finite number",
        );
    }
    if row.deadband < 0.0 || !row.deadband.is_finite() {
        at.add("deadband", "the deadband is negative", "write 0 or more");
    }
    if row
        .range
        .is_some_and(|(low, high)| low.is_nan() || high.is_nan() || low >= high)
    {
        at.add(
            "range",
            "the range ends before it begins",
            "write [lowest, highest]",
        );
    }
    if let Some((low, high)) = row
        .range
        .filter(|(low, high)| row.deadband >= high - low && low < high)
    {
        let what = format!(
            "a deadband of {} is wider than the range from {low} to {high}: no change would ever be stored",
            row.deadband
        );
        at.add(
            "deadband",
            what,
            "write a small part of the range, or leave it out",
        );
    }
    let whole = |number: f64| number.fract() == 0.0;
    if row.kind == PointKind::Counter && !(whole(row.scale) && whole(row.offset)) {
        let what = "a counter is a whole number, and its scale makes a fraction";
        at.add(
            "scale",
            what,
            "write kind = \"analog\", or take the scale out",
        );
    }
    let plain = row.scale == 1.0 && row.offset == 0.0 && row.unit.is_empty();
    let words = matches!(
        row.kind,
        PointKind::Flag | PointKind::Enum | PointKind::Text
    );
    if words && !plain {
        let what = "a flag, enumeration or text has no scale, offset or unit";
        at.add("kind", what, "take them out, or write kind = \"analog\"");
    }
}

fn meanings(profile: &Profile, row: &PointRow, at: &mut OfPoint<'_>) {
    let shared = row.meanings_of.as_ref();
    if let Some(name) = shared.filter(|name| !profile.meanings.contains_key(*name)) {
        let what = format!("there are no meanings \"{name}\"");
        at.add(
            "meanings_of",
            what,
            format!("add a table [meanings.{name}]"),
        );
        return;
    }
    if row.kind != PointKind::Enum {
        if !row.meanings.is_empty() {
            let what = "only an enumeration has meanings";
            at.add("meanings", what, "write kind = \"enum\", or take them out");
        }
        return;
    }
    if row.meanings.is_empty() {
        let what = format!("the enumeration \"{}\" has no meanings", row.point);
        let remedy = "add each raw value under [point.meanings], for example 0 = { code = \"off\", zh = \"停\", en = \"Off\" }";
        at.add("kind", what, remedy);
    }
    let mut numbers = BTreeSet::new();
    for (raw, meaning) in &row.meanings {
        let path = format!("meanings.{raw}");
        if !is_plain(&meaning.code, "_") {
            let what = format!("the code \"{}\" is not plain", meaning.code);
            at.add(
                &path,
                what,
                "write lower-case letters, digits and underscores",
            );
        }
        if meaning.zh.trim().is_empty() || meaning.en.trim().is_empty() {
            let what = format!("the meaning of {raw} lacks a language");
            at.add(&path, what, "write both zh and en");
        }
        let number = parse_integer(raw);
        if number.is_none() && row.modbus.is_some() {
            let what = format!("\"{raw}\" is no raw value of a register");
            at.add(&path, what, "write a whole number, for example 3 or 0x1F");
        }
        if number.is_some_and(|number| !numbers.insert(number)) {
            at.add(
                &path,
                format!("the raw value {raw} is there twice"),
                "keep one",
            );
        }
        if number.is_some_and(|number| row.invalid.contains(&number)) {
            let what = format!("the raw value {raw} has a meaning and is invalid at once");
            at.add(&path, what, "take it out here, or out of invalid");
        }
        let same = |other: &&MeaningRow| {
            other.code == meaning.code && (other.zh != meaning.zh || other.en != meaning.en)
        };
        if let Some(other) = row.meanings.values().find(same) {
            let what = format!(
                "the code \"{}\" means \"{}\" and \"{}\"",
                meaning.code, other.en, meaning.en
            );
            at.add(&path, what, "give each meaning its own code");
        }
    }
    codes(row, &numbers, at);
}

/// Codes that can't come, and codes that may come and mean nothing.
fn codes(row: &PointRow, numbers: &BTreeSet<i64>, at: &mut OfPoint<'_>) {
    // Of a message, and of more than a word, nobody knows how wide the field is.
    let field = row.modbus.as_ref().and_then(width);
    let outside = |number: &&i64| field.is_some_and(|(low, high)| !(low..=high).contains(*number));
    for number in numbers.iter().filter(outside) {
        let (low, high) = field.unwrap_or_default();
        let what = format!("the raw value {number} can't come: the field holds {low} to {high}");
        let remedy = "correct the raw value, or bit, bits and type of the field";
        at.add(&format!("meanings.{number}"), what, remedy);
    }
    let single = |number: &&i64| **number > 0 && (**number & (**number - 1)) == 0;
    let bits: Vec<i64> = numbers.iter().filter(single).copied().collect();
    let others = numbers.iter().filter(|number| **number > 0).count() - bits.len();
    let looks_like_bits = bits.len() >= 3 && others == 0;
    let all_bits = bits.iter().fold(0, |all, bit| all | bit);
    let (low, high) = field.unwrap_or((0, all_bits));
    let missing: Vec<i64> = (low..=high)
        .filter(|number| !numbers.contains(number) && !row.invalid.contains(number))
        .take(MOST_CODES + 1)
        .collect();
    let lowest = row.modbus.as_ref().and_then(|place| place.bit);
    let small = lowest.is_some() && high < 256;
    if missing.is_empty() || !(small || looks_like_bits) {
        return;
    }
    let listed: Vec<_> = missing
        .iter()
        .take(MOST_CODES)
        .map(i64::to_string)
        .collect();
    let more = if missing.len() > MOST_CODES {
        " and more"
    } else {
        ""
    };
    let what = format!(
        "\"{}\" has no meaning for the codes {}{more}: with one of them it is unreadable and no rule can judge it",
        row.point,
        listed.join(", ")
    );
    let remedy = if looks_like_bits {
        let lowest = lowest.unwrap_or(0);
        let highest = bits.iter().map(|bit| bit.trailing_zeros()).max();
        let kind = if row.modbus.is_some() {
            "type = \"bool\" and "
        } else {
            ""
        };
        format!(
            "the codes are single bits, which may be set together: write a point of kind = \"flag\" for each, with {kind}bit = {lowest} to {}",
            u32::from(lowest) + highest.unwrap_or(0)
        )
    } else {
        "add a meaning for each that the manual names; several may have the same code".to_owned()
    };
    // One that the manual leaves out is usual; most of them is not.
    let most = looks_like_bits || missing.len() > numbers.len();
    let weight = if most { Weight::Warning } else { Weight::Note };
    at.say(weight, "meanings", what, remedy);
}

/// The lowest and highest raw value of a field of one register.
fn width(place: &RegisterRow) -> Option<(i64, i64)> {
    match (place.data_type, place.bit) {
        (DataType::U16, Some(_)) => {
            let bits = u32::from(place.bits.unwrap_or(1).clamp(1, 16));
            Some((0, (1_i64 << bits) - 1))
        }
        (DataType::U16, None) => Some((0, 0xFFFF)),
        (DataType::I16, _) => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
        _ => None,
    }
}

fn places(profile: &Profile, row: &PointRow, at: &mut OfPoint<'_>) {
    let what = format!("point \"{}\"", row.point);
    match (&row.modbus, &row.mqtt) {
        (None, None) => {
            let what = format!("{what} stands nowhere");
            at.add("point", what, "add modbus = { … } or mqtt = { … }");
        }
        (Some(_), _) if profile.modbus.is_none() => {
            let what = format!("{what} is read by Modbus, and the profile has no [modbus] table");
            at.add("modbus", what, "add one");
        }
        (_, Some(_)) if profile.mqtt.is_none() => {
            let what = format!("{what} is read by MQTT, and the profile has no [mqtt] table");
            at.add("mqtt", what, "add one");
        }
        (Some(_), _) | (None, Some(_)) => {}
    }
}

fn registers(row: &PointRow, place: &RegisterRow, profile: &Profile, at: &mut OfPoint<'_>) {
    let words = place.words();
    if u32::from(place.address) + u32::from(words) > 0x1_0000 {
        let what = format!("{words} registers from {} go beyond 65535", place.address);
        at.add(
            "modbus.address",
            what,
            "write the address on the wire, from 0",
        );
    }
    printed(place, at);
    let most = profile
        .modbus
        .as_ref()
        .map_or(125, |modbus| modbus.max_registers);
    if words > most {
        let what = format!("the point takes {words} registers, and one request {most}");
        at.add("modbus.length", what, "shorten it, or raise max_registers");
    }
    let text = place.data_type == DataType::String;
    if text == (place.length == 0) {
        let what = "a length belongs to a string, and to nothing else";
        let remedy = "write length with type = \"string\" only";
        at.add("modbus.length", what, remedy);
    }
    let bit_table = matches!(place.table, Table::Coil | Table::Discrete);
    if bit_table && (place.data_type != DataType::Bool || place.bit.is_some()) {
        let what = "a coil or discrete input is one bit";
        at.add("modbus.type", what, "write type = \"bool\" without bit");
    }
    bits(place, at);
    let flag = place.data_type == DataType::Bool;
    let fits = match row.kind {
        PointKind::Flag => flag,
        PointKind::Analog | PointKind::Counter => !flag && !text,
        PointKind::Enum => !text && !is_float(place.data_type),
        PointKind::Text => text || !flag && !is_float(place.data_type),
    };
    if !fits {
        let what = "this type does not give this kind of value";
        let remedy = "a flag needs type = \"bool\"; a number, a code or a text their own types";
        at.add("modbus.type", what, remedy);
    }
    if row.kind == PointKind::Counter && is_float(place.data_type) {
        let what = "a counter is a whole number, and the register holds a fraction";
        at.add("kind", what, "write kind = \"analog\"");
    }
    if place.inverted && !flag {
        at.add(
            "modbus.inverted",
            "only a flag can be inverted",
            "take it out",
        );
    }
}

/// An address that is probably the number a manual prints, or stands in another table than that.
fn printed(place: &RegisterRow, at: &mut OfPoint<'_>) {
    let (table, first) = match place.table {
        Table::Discrete => ("discrete", 10_001),
        Table::Input => ("input", 30_001),
        Table::Holding => ("holding", 40_001),
        Table::Coil => ("coil", 1),
    };
    let address = u32::from(place.address);
    let said = place.printed.trim();
    let same = said.is_empty() || said == address.to_string();
    if first > 1 && same && (first..first + 9_999).contains(&address) {
        let what = format!(
            "address {address} of table \"{table}\" looks like the number that a manual prints; on the wire it would be {}",
            address - first
        );
        let remedy = format!(
            "write address = {} and printed = \"{address}\"; when the device really has {address} on the wire, give printed = \"{}{:05}\"",
            address - first,
            first / 10_000,
            address + 1
        );
        at.warn("modbus.address", what, remedy);
    }
    let digits = said.len() == 5 || said.len() == 6;
    let number = said.parse::<u32>().ok().filter(|_| digits);
    let Some(number) = number else {
        return;
    };
    let base = if said.len() == 5 { 10_000 } else { 100_000 };
    let meant = match number / base {
        1 => "discrete",
        3 => "input",
        4 => "holding",
        _ => return,
    };
    if meant != table {
        let what = format!(
            "the manual's number {said} is one of table \"{meant}\", and the row reads \"{table}\""
        );
        at.warn(
            "modbus.table",
            what,
            format!("write table = \"{meant}\", or correct printed"),
        );
        return;
    }
    let wire = (number % base).checked_sub(1);
    if wire.is_some_and(|wire| wire != address) && number != address {
        let what = format!(
            "the manual's number {said} is {} on the wire, and the row reads {address}",
            wire.unwrap_or(0)
        );
        let remedy = format!("write address = {}, or correct printed", wire.unwrap_or(0));
        at.warn("modbus.address", what, remedy);
    }
}

fn is_float(data_type: DataType) -> bool {
    matches!(data_type, DataType::F32 | DataType::F64)
}

fn bits(place: &RegisterRow, at: &mut OfPoint<'_>) {
    let Some(bit) = place.bit else {
        if place.bits.is_some() {
            at.add(
                "modbus.bits",
                "bits stands without bit",
                "add bit, the lowest one",
            );
        }
        return;
    };
    let count = place.bits.unwrap_or(1);
    let inside = count >= 1 && u32::from(bit) + u32::from(count) <= 16;
    if bit > 15 || !inside {
        let what = format!("{count} bits from bit {bit} are not inside a register");
        at.add("modbus.bit", what, "bits are counted from 0 to 15");
    }
    let fits = match place.data_type {
        DataType::Bool => count == 1,
        DataType::U16 => true,
        DataType::I16
        | DataType::I32
        | DataType::U32
        | DataType::I64
        | DataType::U64
        | DataType::F32
        | DataType::F64
        | DataType::Bcd16
        | DataType::Bcd32
        | DataType::String => false,
    };
    if !fits {
        let what = "bits can only be taken out of one register";
        at.add(
            "modbus.type",
            what,
            "write type = \"bool\" for one bit, \"u16\" for several",
        );
    }
}

fn message(place: &MessageRow, at: &mut OfPoint<'_>) {
    for (what, remedy, is_warning) in topics::faults(&place.topic) {
        if is_warning {
            at.warn("mqtt.topic", what, remedy);
        } else {
            at.add("mqtt.topic", what, remedy);
        }
    }
    if place.bit.is_some_and(|bit| bit > 62) {
        at.add(
            "mqtt.bit",
            "there is no such bit",
            "write 0, the lowest, to 62",
        );
    }
    match &place.read {
        MessageFormat::Json(pointer) if !is_pointer(pointer) => {
            let what = format!("\"{pointer}\" is not a JSON pointer");
            at.add("mqtt.read", what, format!("write \"/{pointer}\""));
        }
        MessageFormat::Hex { length, .. } if !(1..=8).contains(length) => {
            at.add(
                "mqtt.read",
                format!("{length} bytes are no number"),
                "write 1 to 8",
            );
        }
        MessageFormat::Json(_)
        | MessageFormat::Raw
        | MessageFormat::Csv { .. }
        | MessageFormat::Hex { .. } => {}
    }
}

fn example(profile: &Profile, row: &PointRow, at: &mut OfPoint<'_>) {
    let Some(example) = &row.example else {
        let what = format!("point \"{}\" has no example", row.point);
        at.add(
            "point",
            what,
            "add one from the manual: example = { raw = […], value = … }",
        );
        return;
    };
    let Some(reading) = decode_example(profile, row) else {
        let what = format!("the example of \"{}\" has nothing to decode", row.point);
        let remedy = "give raw for registers, payload (or the profile's sample) for messages";
        at.add("example", what, remedy);
        return;
    };
    let good = reading
        .value
        .as_ref()
        .is_some_and(|value| equals(value, &example.value));
    if !good {
        let found = match (&reading.value, reading.quality.reason()) {
            (Some(value), _) => short(value),
            (None, Some(reason)) => format!("nothing ({})", reason.code()),
            (None, None) => "nothing".to_owned(),
        };
        let what = format!("the example of \"{}\" decodes to {found}", row.point);
        let remedy = if is_the_other_flag(reading.value.as_ref(), &example.value) {
            "write inverted = true where the contact is inverted, or correct bit or the example"
                .to_owned()
        } else if let Some(order) = fitting_order(profile, row) {
            format!("write order = \"{order}\": with it the example fits")
        } else {
            "correct the row, or the example".to_owned()
        };
        at.add("example", what, remedy);
    }
}

/// An order of bytes that only finds another bit would make the example fit, and read a foreign bit for ever.
fn is_the_other_flag(found: Option<&Value>, wanted: &ExampleValue) -> bool {
    matches!((found, wanted), (Some(Value::Flag(found)), ExampleValue::Flag(wanted)) if found != wanted)
}

/// A value as people read it: what a wrong order of bytes makes has dozens of digits.
fn short(value: &Value) -> String {
    match value {
        Value::Number(number) if *number != 0.0 && !(1e-6..1e15).contains(&number.abs()) => {
            format!("{number:e}")
        }
        Value::Flag(_) | Value::Integer(_) | Value::Number(_) | Value::Text(_) => value.to_string(),
    }
}

/// The order of bytes with which the example of a row fits, when another one than its own does.
fn fitting_order(profile: &Profile, row: &PointRow) -> Option<&'static str> {
    let wanted = &row.example.as_ref()?.value;
    let orders = [
        (ByteOrder::Abcd, "abcd"),
        (ByteOrder::Cdab, "cdab"),
        (ByteOrder::Badc, "badc"),
        (ByteOrder::Dcba, "dcba"),
    ];
    orders.into_iter().find_map(|(order, name)| {
        let mut other = row.clone();
        other.modbus.as_mut()?.order = order;
        let value = decode_example(profile, &other)?.value?;
        equals(&value, wanted).then_some(name)
    })
}

/// What the row makes of its example; `None` when there is nothing to decode.
pub(crate) fn decode_example(profile: &Profile, row: &PointRow) -> Option<Reading> {
    let example = row.example.as_ref()?;
    let decoder = row.decoder();
    if let (Some(place), [first, ..]) = (&row.modbus, example.raw.as_slice()) {
        return Some(match place.table {
            Table::Coil | Table::Discrete => decoder.bit(*first != 0),
            Table::Holding | Table::Input => decoder.registers(&example.raw),
        });
    }
    row.mqtt.as_ref()?;
    let shared = profile.mqtt.as_ref().map_or("", |mqtt| &mqtt.sample);
    let payload = if example.payload.is_empty() {
        shared
    } else {
        &example.payload
    };
    if payload.is_empty() {
        return None;
    }
    decoder.message(&Message::new(payload.as_bytes()))
}

fn equals(value: &Value, wanted: &ExampleValue) -> bool {
    match (value, wanted) {
        (Value::Flag(value), ExampleValue::Flag(wanted)) => value == wanted,
        (Value::Integer(value), ExampleValue::Integer(wanted)) => value == wanted,
        (Value::Text(value), ExampleValue::Text(wanted)) => **value == **wanted,
        (Value::Number(value), ExampleValue::Number(wanted)) => near(*value, *wanted),
        #[expect(clippy::cast_precision_loss, reason = "an example's number is small")]
        (Value::Number(value), ExampleValue::Integer(wanted)) => near(*value, *wanted as f64),
        (Value::Flag(_) | Value::Integer(_) | Value::Text(_) | Value::Number(_), _) => false,
    }
}

fn near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() <= 1e-6 * wanted.abs().max(1.0)
}
