//! Whether the times of a profile's own samples can be read: on a site nobody looks at each message.

use super::{Faults, is_pointer};
use crate::Timestamp;
use crate::profile::decode::{Message, MessageTime};
use crate::profile::{MqttSettings, Profile, TimeField, TimeFormat};

const CURE: &str = "for a local time write zone, for example zone = \"Asia/Shanghai\"; else correct \
                    format (unix_s, unix_ms, unix_us, rfc3339) or the sample";

const SCALE: &str = "correct format: unix_s counts seconds since 1970 (10 digits today), unix_ms milliseconds (13), unix_us \
                     microseconds (16)";

fn day(at: Timestamp) -> String {
    let day = chrono::DateTime::from_timestamp_millis(at.millis());
    day.map_or_else(
        || "a time beyond all calendars".to_owned(),
        |day| day.format("%Y-%m-%d").to_string(),
    )
}

/// Whether a time is of these days: one in the wrong scale is of 1970 or thousands of years away.
fn is_likely(at: Timestamp) -> bool {
    const YEAR: i64 = 31_556_952_000;
    (30 * YEAR..130 * YEAR).contains(&at.millis())
}

pub(super) fn check(profile: &Profile, mqtt: &MqttSettings, faults: &mut Faults) {
    let Some(time) = &mqtt.time else {
        return;
    };
    if !is_pointer(&time.pointer) {
        let remedy = "write a JSON pointer, for example \"/ts\"";
        faults.add("mqtt.time", "the time's pointer is none", remedy);
    }
    if let Some(zone) = &time.zone {
        if zone.parse::<chrono_tz::Tz>().is_err() {
            let what = format!("there is no time zone \"{zone}\"");
            faults.add("mqtt.time", what, "write one such as \"Asia/Shanghai\"");
            return;
        }
        if time.format != TimeFormat::Rfc3339 {
            let what = "a count since 1970 has no time zone";
            faults.add("mqtt.time", what, "leave zone out");
        }
    }
    match read(time, &mqtt.sample) {
        Some(MessageTime::Unreadable) => {
            let what = format!("the sample's time at \"{}\" cannot be read", time.pointer);
            faults.add("mqtt.sample", what, CURE);
        }
        Some(MessageTime::Absent) => {
            let what = format!("the sample has no time at \"{}\"", time.pointer);
            let remedy = "correct the pointer, or take a sample that carries its time";
            faults.add("mqtt.sample", what, remedy);
        }
        Some(MessageTime::At(at)) if !is_likely(at) => {
            let what = format!(
                "the sample's time at \"{}\" is read as {}, which no device sends",
                time.pointer,
                day(at)
            );
            faults.add("mqtt.sample", what, SCALE);
        }
        None | Some(MessageTime::At(_) | MessageTime::Either(..)) => {}
    }
    for (index, row) in profile.points.iter().enumerate() {
        let example = row.example.as_ref().filter(|_| row.mqtt.is_some());
        let payload = example.map_or("", |example| &example.payload);
        if read(time, payload) == Some(MessageTime::Unreadable) {
            let what = format!("the example's time at \"{}\" cannot be read", time.pointer);
            faults.of_point(index).add("example", what, CURE);
        }
    }
}

/// The time of a payload; `None` when it is no JSON, and so carries none.
fn read(time: &TimeField, payload: &str) -> Option<MessageTime> {
    let message = Message::new(payload.as_bytes());
    message.json()?;
    Some(time.read(&message))
}
