//! The time that a message carries, in the spellings that devices use.
//!
//! It never guesses: a local time without a zone, and a date whose day and month could be
//! exchanged, are not read.

use super::Message;
use crate::profile::{TimeField, TimeFormat};
use crate::time::Timestamp;
use chrono::{DateTime, Duration, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use serde_json::Value as Json;

/// The time of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTime {
    /// It carries none.
    Absent,
    /// It carries one that cannot be read as the profile says.
    Unreadable,
    /// It was then.
    At(Timestamp),
    /// It was at one of these two: the hour that clocks show twice in autumn. The earlier is first.
    Either(Timestamp, Timestamp),
}

impl MessageTime {
    /// The time, of two the later one that was not still to come at `now`.
    pub fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Absent | Self::Unreadable => None,
            Self::At(at) => Some(at),
            // A clock may be a little ahead.
            Self::Either(_, later) if later.millis() <= now.millis() + 300_000 => Some(later),
            Self::Either(earlier, _) => Some(earlier),
        }
    }
}

impl TimeField {
    /// The time a message carries.
    pub fn read(&self, message: &Message<'_>) -> MessageTime {
        let found = message.json().and_then(|json| json.pointer(&self.pointer));
        let Some(found) = found.filter(|found| !found.is_null()) else {
            return MessageTime::Absent;
        };
        let read = match self.format {
            TimeFormat::UnixS => unix(found, 1000.0),
            TimeFormat::UnixMs => unix(found, 1.0),
            TimeFormat::UnixUs => unix(found, 0.001),
            TimeFormat::Rfc3339 => found.as_str().and_then(|text| self.text(text)),
        };
        read.unwrap_or(MessageTime::Unreadable)
    }

    fn text(&self, text: &str) -> Option<MessageTime> {
        let (local, offset) = date_and_time(text)?;
        if let Some(offset) = offset {
            return offset.from_local_datetime(&local).single().map(exact);
        }
        let zone: Tz = self.zone.as_ref()?.parse().ok()?;
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(at) => Some(exact(at)),
            MappedLocalTime::Ambiguous(first, second) => Some(MessageTime::Either(
                first.to_utc().into(),
                second.to_utc().into(),
            )),
            // An hour that is left out in spring: the device's clock was not changed yet.
            MappedLocalTime::None => {
                let before = local.checked_sub_signed(Duration::hours(3))?;
                let offset = zone.offset_from_local_datetime(&before).latest()?.fix();
                offset.from_local_datetime(&local).single().map(exact)
            }
        }
    }
}

fn exact(at: DateTime<impl TimeZone>) -> MessageTime {
    MessageTime::At(at.to_utc().into())
}

/// A count since 1970, as a number or its digits in a string; `unit` is in milliseconds.
fn unix(found: &Json, unit: f64) -> Option<MessageTime> {
    let count: f64 = match found {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => {
            let text = text.trim();
            let plain = text
                .chars()
                .all(|c| c.is_ascii_digit() || "+-.,".contains(c));
            plain.then(|| text.replace(',', ".").parse().ok())??
        }
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    let millis = (count * unit).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked against 2^53 first"
    )]
    let millis = (millis.abs() < 9_007_199_254_740_992.0).then_some(millis as i64)?;
    Some(MessageTime::At(Timestamp(millis)))
}

/// Date and time of the clock on the wall, and how far that is from UTC where the text says so.
fn date_and_time(text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    const FORMATS: [&str; 5] = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y/%m/%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y%m%dT%H%M%S%.f",
        "%Y%m%d%H%M%S",
    ];
    let text = text.trim().to_ascii_uppercase();
    let (text, offset) = split_offset(&text)?;
    let text = text.replace(',', ".");
    let joined = match text.split_once(' ') {
        Some((date, time)) => format!("{date}T{}", time.trim_start()),
        None => text,
    };
    // The year comes first and whole: 01/02/26 may be anything.
    let year = joined.find(|c: char| !c.is_ascii_digit());
    if !matches!(year, Some(4 | 8) | None) {
        return None;
    }
    let mut formats = FORMATS.iter();
    let local = formats.find_map(|format| NaiveDateTime::parse_from_str(&joined, format).ok())?;
    Some((local, offset))
}

/// Parts the offset from the rest: `Z`, `+08`, `+0800`, `+08:00`, with or without a space before.
/// `None` when there is something that looks like one and is none.
fn split_offset(text: &str) -> Option<(&str, Option<FixedOffset>)> {
    for utc in ["Z", "UTC", "GMT"] {
        if let Some(rest) = text.strip_suffix(utc) {
            return Some((rest.trim_end(), FixedOffset::east_opt(0)));
        }
    }
    // A sign behind the time; those of the date stand before it.
    let Some(time) = text.find(['T', ' ', ':']) else {
        return Some((text, None));
    };
    let Some(sign) = text.get(time..)?.find(['+', '-', '\u{2212}']) else {
        return Some((text, None));
    };
    let (rest, offset) = text.split_at_checked(time + sign)?;
    let west = !offset.starts_with('+');
    let digits: String = offset.chars().skip(1).filter(|c| *c != ':').collect();
    let colon = offset.chars().nth(3) == Some(':') || !offset.contains(':');
    let numbers = digits.chars().all(|c| c.is_ascii_digit());
    if !numbers || !colon || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = match digits.get(2..4) {
        Some(minutes) => minutes.parse().ok()?,
        None => 0,
    };
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let offset = FixedOffset::east_opt(if west { -seconds } else { seconds })?;
    Some((rest.trim_end(), Some(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(format: TimeFormat, zone: Option<&str>, found: &Json) -> MessageTime {
        let field = TimeField {
            pointer: "/ts".to_owned(),
            format,
            zone: zone.map(str::to_owned),
        };
        let payload = json!({ "ts": found }).to_string();
        field.read(&Message::new(payload.as_bytes()))
    }

    fn text(zone: Option<&str>, text: &str) -> MessageTime {
        read(TimeFormat::Rfc3339, zone, &json!(text))
    }

    fn at(text: &str) -> MessageTime {
        exact(DateTime::parse_from_rfc3339(text).unwrap())
    }

    #[test]
    fn the_common_spellings_of_one_instant_are_one() {
        let wanted = at("2026-11-25T22:46:44.5Z");
        for spelling in [
            "2026-11-25T23:46:44.5+0100",
            "2026-11-25T23:46:44.5+01:00",
            "2026-11-25T23:46:44.500+01",
            "2026-11-25 23:46:44.5 +01:00",
            "2026-11-25T22:46:44.500Z",
            "2026-11-25t22:46:44.5z",
            "2026-11-25 22:46:44.5 UTC",
            "2026-11-25T22:46:44,5Z",
            "2026/11/25 22:46:44.5Z",
            "20261126T064644.5+0800",
            "2026-11-25T17:16:44.5-05:30",
            " 2026-11-25T22:46:44.5Z\n",
        ] {
            assert_eq!(text(None, spelling), wanted, "{spelling}");
            assert_eq!(text(Some("Asia/Shanghai"), spelling), wanted, "{spelling}");
        }
        for local in [
            "2026-11-26T06:46:44.5",
            "2026-11-26 06:46:44,500",
            "2026/11/26 6:46:44.5",
        ] {
            assert_eq!(text(Some("Asia/Shanghai"), local), wanted, "{local}");
            assert_eq!(text(None, local), MessageTime::Unreadable, "{local}");
        }
        let minute = text(Some("Asia/Shanghai"), "2026-11-26 06:46");
        assert_eq!(minute, at("2026-11-25T22:46:00Z"));
        let packed = text(Some("Asia/Shanghai"), "20261126064644");
        assert_eq!(packed, at("2026-11-25T22:46:44Z"));
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_not_read() {
        for odd in [
            "",
            "now",
            "25/11/2026 10:00:00Z",
            "11-25-2026 10:00Z",
            "26-11-25T10:00:00Z",
            "2026-11-25",
            "2026-13-25T10:00:00Z",
            "2026-11-25T10:00:00+1",
            "2026-11-25T10:00:00+123",
            "2026-11-25T10:00:00+25:00",
            "2026-11-25T10:00:00+0:100",
            "2026-11-25T10:00:00 CST",
            "2026-11-25T10:00:00+08:00+08:00",
            "2026-11-25T24:61:00Z",
        ] {
            assert_eq!(
                text(Some("Asia/Shanghai"), odd),
                MessageTime::Unreadable,
                "{odd}"
            );
        }
        assert_eq!(
            text(Some("Mars/Base"), "2026-11-26 06:46"),
            MessageTime::Unreadable
        );
    }

    #[test]
    fn counts_are_read_from_numbers_and_digits() {
        use TimeFormat::{UnixMs, UnixS, UnixUs};
        let wanted = MessageTime::At(Timestamp(1_800_000_000_250));
        for (format, found) in [
            (UnixS, json!(1_800_000_000.25)),
            (UnixS, json!("1800000000.25")),
            (UnixS, json!(" 1800000000,25 ")),
            (UnixMs, json!(1_800_000_000_250_i64)),
            (UnixMs, json!("1800000000250")),
            (UnixMs, json!(1_800_000_000_250.0)),
            (UnixUs, json!(1_800_000_000_250_000_i64)),
            (UnixUs, json!("1800000000250000")),
        ] {
            assert_eq!(read(format, None, &found), wanted, "{found}");
        }
        for odd in [
            json!("1e12"),
            json!("nan"),
            json!(""),
            json!(true),
            json!({}),
            json!(1e300),
        ] {
            assert_eq!(read(UnixMs, None, &odd), MessageTime::Unreadable, "{odd}");
        }
        assert_eq!(read(UnixMs, None, &Json::Null), MessageTime::Absent);
        assert_eq!(
            read(TimeFormat::Rfc3339, None, &json!(5)),
            MessageTime::Unreadable
        );
    }

    #[test]
    fn clocks_that_are_changed_are_followed() {
        let berlin = |spelling| text(Some("Europe/Berlin"), spelling);
        // Left out in spring: the device has not changed its clock.
        assert_eq!(berlin("2026-03-29 02:30:00"), at("2026-03-29T01:30:00Z"));
        assert_eq!(berlin("2026-03-29 03:30:00"), at("2026-03-29T01:30:00Z"));
        // Shown twice in autumn: the later one, unless that is still to come.
        let twice = berlin("2026-10-25 02:30:00");
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        let (MessageTime::At(first), MessageTime::At(second)) = (first, second) else {
            panic!("exact times");
        };
        assert_eq!(twice, MessageTime::Either(first, second));
        assert_eq!(twice.at(Timestamp(first.0 + 1000)), Some(first));
        assert_eq!(twice.at(Timestamp(second.0 + 1000)), Some(second));
        assert_eq!(twice.at(Timestamp(second.0 + 86_400_000)), Some(second));
    }

    proptest! {
        #[test]
        fn an_instant_is_read_back_in_every_zone(seconds in 0_i64..4_102_444_800, zone in 0_usize..4) {
            let zone = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"][zone];
            let tz: Tz = zone.parse().unwrap();
            let instant = DateTime::from_timestamp(seconds, 0).unwrap();
            let wanted = Timestamp(seconds * 1000);
            let local = instant.with_timezone(&tz);
            let written = local.format("%Y-%m-%d %H:%M:%S").to_string();
            prop_assert_eq!(text(Some(zone), &written).at(wanted), Some(wanted));
            let written = local.format("%Y-%m-%dT%H:%M:%S%z").to_string();
            prop_assert_eq!(text(None, &written), MessageTime::At(wanted));
        }

        #[test]
        fn text_never_panics(odd in "[\\PC]{0,30}") {
            text(Some("Europe/Berlin"), &odd);
        }

        #[test]
        fn text_of_digits_never_panics(odd in "[0-9TZ:+ ,.é-]{0,30}") {
            text(Some("Europe/Berlin"), &odd);
        }
    }
}
