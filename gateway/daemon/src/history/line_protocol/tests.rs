//! The encoder against a parser that somebody else wrote.

use super::*;
use crate::history::codec::tests::{quality, value};
use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use proptest::prelude::*;
use zhiban_core::{Quality, QualityReason, Timestamp};

fn dictionary(entries: Vec<Entry>) -> Dictionary {
    Dictionary::known((1..).zip(entries).collect())
}

fn entry(key: &str, kind: PointKind) -> Entry {
    Entry {
        key: key.into(),
        kind,
        class: "pump_set".into(),
        location: Some("B2 plant".into()),
    }
}

fn sample(point: u32, at: i64, value: Value) -> Stored {
    Stored {
        point,
        at,
        quality: Quality::Good,
        value: Some(value),
    }
}

fn encode(dictionary: &Dictionary, samples: Vec<Stored>) -> Lines {
    encode_at("tower", dictionary, samples)
}

fn encode_at(site: &str, dictionary: &Dictionary, samples: Vec<Stored>) -> Lines {
    let mut lines = Lines::default();
    Encoder::new(site, dictionary).add(&Row::Samples(samples), &BTreeSet::new(), &mut lines);
    lines
}

fn text(lines: &Lines) -> String {
    String::from_utf8(lines.bytes(0..lines.len()).to_vec()).unwrap()
}

#[test]
fn one_line_for_each_asset_and_time_with_the_type_of_each_kind() {
    let dictionary = dictionary(vec![
        entry("P1/pressure", PointKind::Analog),
        entry("P1/running", PointKind::Flag),
        entry("P1/starts", PointKind::Counter),
        entry("P1/mode", PointKind::Enum),
        entry("P2/pressure", PointKind::Analog),
    ]);
    let stale = Stored {
        quality: Quality::Stale(QualityReason::NoData),
        value: None,
        ..sample(2, 8, Value::Flag(true))
    };
    let doubtful = Stored {
        quality: Quality::Uncertain(QualityReason::Retained),
        ..sample(1, 9, Value::Number(0.5))
    };
    let lines = encode(
        &dictionary,
        vec![
            sample(5, 7, Value::Integer(3)),
            sample(1, 7, Value::Number(-0.05)),
            sample(2, 7, Value::Flag(true)),
            sample(3, 7, Value::Integer(12)),
            sample(4, 7, Value::Text("auto \"1\"".into())),
            stale,
            doubtful,
            sample(3, 9, Value::Number(13.0)),
            sample(2, 9, Value::Number(1.0)),
            sample(99, 9, Value::Number(1.0)),
        ],
    );
    let expected = "pump_set,asset=P1,location=B2\\ plant,site=tower \
        pressure=-0.05,running=true,starts=12i,mode=\"auto \\\"1\\\"\" 7\n\
        pump_set,asset=P1,location=B2\\ plant,site=tower pressure=0.5,starts=13i 9\n\
        pump_set,asset=P2,location=B2\\ plant,site=tower pressure=3 7\n";
    assert_eq!(text(&lines), expected);
    assert_eq!((lines.len(), lines.misfits), (3, 1));
    assert!(lines.bytes(2..3).starts_with(b"pump_set,asset=P2"));
    assert_eq!(lines.bytes(1..1), b"");
}

#[test]
fn events_are_lines_of_their_own_measurement() {
    let event = EventLine {
        measurement: "alarm".to_owned(),
        tags: vec![
            ("asset".to_owned(), "A 3".to_owned()),
            ("location".to_owned(), String::new()),
        ],
        fields: vec![
            ("id".to_owned(), EventValue::Integer(-7)),
            ("active".to_owned(), EventValue::Flag(true)),
            ("note".to_owned(), EventValue::Text("困人\\\n".to_owned())),
        ],
        at: Timestamp::from_millis(5),
    };
    let mut lines = Lines::default();
    let encoder = Encoder::new("tower", &dictionary(Vec::new()));
    encoder.add(&Row::Events(vec![event]), &BTreeSet::new(), &mut lines);
    let expected = "alarm,asset=A\\ 3 id=-7i,active=true,note=\"困人\\\\\n\" 5\n";
    assert_eq!(text(&lines), expected);
}

#[test]
fn numbers_are_written_so_that_they_read_the_same() {
    for number in [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.001,
        1e12,
        1e300,
        5e-324,
        0.1 + 0.2,
        f64::MAX,
    ] {
        let mut out = Vec::new();
        assert!(put_float(&mut out, number));
        let read: f64 = String::from_utf8(out).unwrap().parse().unwrap();
        assert_eq!(read.to_bits(), number.to_bits());
    }
    for number in [f64::NAN, f64::INFINITY] {
        assert!(!put_float(&mut Vec::new(), number));
    }
    let mut out = Vec::new();
    put_integer(&mut out, i64::MIN);
    assert_eq!(out, i64::MIN.to_string().as_bytes());
}

/// What a name becomes, said a second time.
fn plain(name: &str) -> String {
    let mark = |mark: char| match mark {
        '\\' => '/',
        control if control.is_control() => '_',
        other => other,
    };
    name.chars().map(mark).collect()
}

fn one_line(lines: &Lines) -> ParsedLine<'_> {
    let text = std::str::from_utf8(lines.bytes(0..lines.len())).unwrap();
    let mut parsed = parse_lines(text);
    let line = parsed.next().unwrap().unwrap();
    assert!(parsed.next().is_none(), "more than one line: {text:?}");
    line
}

/// Names as nasty as they come: mostly what the protocol means something by.
fn name() -> impl Strategy<Value = String> {
    let mark = prop_oneof![
        prop::sample::select(vec![
            ',', '=', ' ', '\\', '"', '\n', '\r', '\t', '\0', '#', '/', 'i', '困', 'a',
        ]),
        any::<char>(),
    ];
    prop::collection::vec(mark, 1..8).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_a_name_or_text_holds_it_stays_one(
        asset in name(), point in name(), location in name(), site in name(), words in name(),
    ) {
        prop_assume!(!point.contains('/') && plain(&point) != "time");
        // The parser does not take a name that begins with a quote; the server does.
        prop_assume!(!plain(&point).starts_with('"'));
        let entry = Entry {
            key: format!("{asset}/{point}").into(),
            kind: PointKind::Text,
            class: "lift".into(),
            location: Some(location.as_str().into()),
        };
        let dictionary = dictionary(vec![entry]);
        let words_sample = sample(1, 42, Value::Text(words.as_str().into()));
        let lines = encode_at(&site, &dictionary, vec![words_sample]);
        let line = one_line(&lines);
        prop_assert_eq!(line.series.measurement.to_string(), "lift");
        let tags: BTreeMap<String, String> = line.series.tag_set.iter().flatten()
            .map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let expected = [("asset", asset), ("location", location), ("site", site)];
        let expected: BTreeMap<String, String> = expected.into_iter()
            .map(|(key, value)| (key.to_owned(), plain(&value))).collect();
        prop_assert_eq!(tags, expected);
        prop_assert_eq!(line.field_set.len(), 1);
        let (key, value) = &line.field_set[0];
        prop_assert_eq!(key.to_string(), plain(&point));
        let FieldValue::String(read) = value else { panic!("{value:?}") };
        prop_assert_eq!(read.to_string(), words);
        prop_assert_eq!(line.timestamp, Some(42));
    }

    #[test]
    fn every_value_reads_as_it_was_or_is_left_out(
        kind in prop::sample::select(vec![
            PointKind::Analog, PointKind::Flag, PointKind::Counter, PointKind::Enum,
        ]),
        quality in quality(),
        value in value(),
        at in any::<i64>(),
    ) {
        let dictionary = dictionary(vec![entry("P1/x", kind)]);
        let sample = Stored { point: 1, at, quality, value: value.clone() };
        let lines = encode(&dictionary, vec![sample]);
        if lines.len() == 0 {
            return Ok(());
        }
        prop_assert!(quality.may_raise());
        let line = one_line(&lines);
        prop_assert_eq!(line.timestamp, Some(at));
        match (&line.field_set[0].1, value.unwrap()) {
            (FieldValue::F64(read), Value::Number(number)) => {
                prop_assert_eq!(read.to_bits(), number.to_bits());
            }
            (FieldValue::F64(read), Value::Integer(number)) => {
                prop_assert_eq!(*read, number as f64);
            }
            (FieldValue::I64(read), Value::Integer(number)) => prop_assert_eq!(*read, number),
            (FieldValue::I64(read), Value::Number(number)) => {
                prop_assert_eq!(*read as f64, number);
            }
            (FieldValue::Boolean(read), Value::Flag(flag)) => prop_assert_eq!(*read, flag),
            (FieldValue::String(read), Value::Text(text)) => {
                prop_assert_eq!(read.as_str(), &*text);
            }
            (read, value) => panic!("{value:?} became {read:?}"),
        }
    }
}
