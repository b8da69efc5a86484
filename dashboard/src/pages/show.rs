//! How times, values and numbers look on a page; the scripts in `web/` do the same to live values.
//!
//! Never shows an unknown value as zero, nor an old one as fresh.

use super::words::Words;
use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use zhiban_core::model::PointKind;
use zhiban_core::point::PointState;
use zhiban_core::{Point, Priority, Quality, Timestamp, Value};

/// The alarm symbol: shape, number and colour, with a ring while nobody has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "piece/symbol.html")]
pub(crate) struct Symbol {
    /// 1 to 4.
    pub(crate) p: u8,
    /// Whether the ring blinks.
    pub(crate) ring: bool,
    /// Drawn without filling: the fault is over.
    pub(crate) hollow: bool,
    /// The word for it.
    pub(crate) label: String,
}

impl HtmlSafe for Symbol {}

impl Symbol {
    pub(crate) fn new(words: Words, priority: Priority, ring: bool) -> Self {
        let p = priority.number();
        let label = words.t(&format!("priority.{p}"));
        Self {
            p,
            ring,
            hollow: false,
            label,
        }
    }

    /// The symbol of a fault that is over, or not.
    pub(crate) fn hollow(self, hollow: bool) -> Self {
        Self { hollow, ..self }
    }
}

/// A moment as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// RFC 3339 in UTC, for the scripts.
    pub(crate) iso: String,
    /// The time of day at the site, with the day when it is not today's.
    pub(crate) clock: String,
    /// Everything, with the zone.
    pub(crate) full: String,
    /// How long ago, or how long until.
    pub(crate) age: String,
}

/// Writes times in the site's zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) words: Words,
    pub(crate) zone: Tz,
    pub(crate) now: Timestamp,
}

impl Times {
    pub(crate) fn when(&self, at: Timestamp) -> When {
        let local = self.local(at);
        let today = self.local(self.now);
        let time = format!(
            "{:02}:{:02}:{:02}",
            local.hour(),
            local.minute(),
            local.second()
        );
        let clock = if local.date_naive() == today.date_naive() {
            time
        } else if local.year() == today.year() {
            format!("{:02}-{:02} {time}", local.month(), local.day())
        } else {
            format!("{} {time}", local.date_naive())
        };
        When {
            iso: at.to_string(),
            clock,
            full: local.format("%Y-%m-%d %H:%M:%S %:z").to_string(),
            age: self.span(self.now.millis().abs_diff(at.millis())),
        }
    }

    /// A span in words, two units at most: `2 分 41 秒`.
    pub(crate) fn span(&self, millis: u64) -> String {
        let seconds = millis / 1000;
        let unit = |name: &str| self.words.code("span", name);
        let two = |a: u64, x: &str, b: u64, y: &str| format!("{a} {} {b} {}", unit(x), unit(y));
        match seconds {
            0..60 => format!("{seconds} {}", unit("second")),
            60..3600 => two(seconds / 60, "minute", seconds % 60, "second"),
            3600..86_400 => two(seconds / 3600, "hour", seconds / 60 % 60, "minute"),
            _ => two(seconds / 86_400, "day", seconds / 3600 % 24, "hour"),
        }
    }

    pub(crate) fn local(&self, at: Timestamp) -> DateTime<Tz> {
        at.to_utc().with_timezone(&self.zone)
    }
}

/// One point as a page shows it, with all that the scripts need to keep it so.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) key: String,
    pub(crate) point: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) kind: &'static str,
    pub(crate) decimals: u8,
    /// Words of codes as JSON; empty when there are none.
    pub(crate) codes: String,
    pub(crate) text: String,
    /// The value as it travels, for shapes that follow it.
    pub(crate) raw: String,
    /// 0 good, 1 uncertain, 2 bad, 3 stale.
    pub(crate) q: u8,
    pub(crate) quality: String,
    pub(crate) reason: String,
    /// The word for a value that says nothing about now.
    pub(crate) old: String,
    pub(crate) at: Option<When>,
    /// Whether it has a trend.
    pub(crate) numeric: bool,
}

impl Reading {
    pub(crate) fn new(times: &Times, point: &Point, state: &PointState) -> Self {
        let words = times.words;
        let codes = code_words(words, point);
        let text = match &state.value {
            Some(value) => value_text(value, point.decimals, &codes),
            None => String::new(),
        };
        let text = if text.trim().is_empty() {
            words.t("value.none")
        } else {
            text
        };
        let reason = state.quality.reason();
        Self {
            key: point.key.to_string(),
            point: point.point.to_string(),
            name: point.name.get(words.0).to_owned(),
            unit: point.unit.to_string(),
            kind: kind_code(point.kind),
            decimals: point.decimals,
            codes: if codes.is_empty() {
                String::new()
            } else {
                serde_json::to_string(&codes).unwrap_or_default()
            },
            text,
            raw: state
                .value
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            q: quality_number(state.quality),
            quality: words.code("quality", state.quality.code()),
            old: words.t("value.old"),
            reason: reason.map_or_else(String::new, |one| words.code("reason", one.code())),
            at: state.at.map(|at| times.when(at)),
            numeric: matches!(point.kind, PointKind::Analog | PointKind::Counter),
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.q == 0
    }
}

/// The words of a point's codes; a flag without meanings is yes or no.
fn code_words(words: Words, point: &Point) -> BTreeMap<String, String> {
    let mut codes: BTreeMap<String, String> = point
        .meanings
        .iter()
        .map(|one| (one.code.to_string(), one.name.get(words.0).to_owned()))
        .collect();
    if codes.is_empty() && point.kind == PointKind::Flag {
        codes.insert("true".into(), words.t("value.yes"));
        codes.insert("false".into(), words.t("value.no"));
    }
    codes
}

/// The stable name of a kind, as the scripts know it.
fn kind_code(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Analog => "analog",
        PointKind::Flag => "flag",
        PointKind::Counter => "counter",
        PointKind::Enum => "enum",
        PointKind::Text => "text",
    }
}

/// 0 good, 1 uncertain, 2 bad, 3 stale: the order of the live stream.
pub(crate) fn quality_number(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
        Quality::Stale(_) => 3,
    }
}

fn value_text(value: &Value, decimals: u8, codes: &BTreeMap<String, String>) -> String {
    let plain = value.to_string();
    if let Some(word) = codes.get(&plain) {
        return word.clone();
    }
    match value {
        Value::Number(number) => number_text(*number, decimals),
        Value::Integer(number) => grouped(&number.to_string()),
        Value::Flag(_) | Value::Text(_) => plain,
    }
}

/// A value with its point's decimals and meanings, for alarms: `0.52 MPa`.
pub(crate) fn value_with_unit(words: Words, value: &Value, point: &Point) -> String {
    let text = value_text(value, point.decimals, &code_words(words, point));
    if point.unit.is_empty() {
        text
    } else {
        format!("{text} {}", point.unit)
    }
}

/// A number with fixed decimals and commas from 10 000 on.
pub(crate) fn number_text(number: f64, decimals: u8) -> String {
    let text = format!("{number:.*}", usize::from(decimals));
    let zero = text.trim_start_matches('-').trim_matches(['0', '.']);
    if zero.is_empty() {
        return grouped(text.trim_start_matches('-'));
    }
    grouped(&text)
}

fn grouped(text: &str) -> String {
    let (sign, rest) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (whole, part) = rest
        .split_once('.')
        .map_or((rest, None), |(whole, part)| (whole, Some(part)));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if whole.len() > 4 && index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(part) = part {
        out.push('.');
        out.push_str(part);
    }
    out
}

/// A floor as people say it: `12F`, `B2`.
pub(crate) fn floor_name(floor: i64) -> String {
    if floor > 0 {
        format!("{floor}F")
    } else {
        format!("B{}", floor.unsigned_abs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_fixed_decimals_and_no_negative_zero() {
        assert_eq!(number_text(0.52, 3), "0.520");
        assert_eq!(number_text(-0.0001, 2), "0.00");
        assert_eq!(number_text(-7500.0, 0), "-7500");
        assert_eq!(number_text(1_234_567.5, 1), "1,234,567.5");
        assert_eq!(number_text(12_345.0, 0), "12,345");
    }

    #[test]
    fn floors_have_no_zero() {
        assert_eq!(floor_name(12), "12F");
        assert_eq!(floor_name(-2), "B2");
        assert_eq!(floor_name(0), "B1");
    }

    #[test]
    fn times_are_the_sites_and_name_the_day_when_it_is_not_today() {
        let now = Timestamp::from_millis(1_795_415_528_000);
        for (language, ago) in [
            (zhiban_core::Language::ZhCn, "2 分 41 秒"),
            (zhiban_core::Language::En, "2 min 41 s"),
        ] {
            let times = Times {
                words: Words(language),
                zone: chrono_tz::Asia::Shanghai,
                now,
            };
            let at = times.when(Timestamp::from_millis(now.millis() - 161_000));
            assert_eq!(at.age, ago);
            assert_eq!(at.clock.len(), 8, "{}", at.clock);
            assert!(at.full.ends_with("+08:00"), "{}", at.full);
            let before = times.when(Timestamp::from_millis(now.millis() - 86_400_000 * 2));
            assert!(before.clock.contains('-'), "{}", before.clock);
        }
    }
}
