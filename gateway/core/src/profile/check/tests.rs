//! Each fault of a profile is found, once, at its place.

use super::*;
use crate::profile::{Example, ExampleValue};

/// A profile of rows written as in a file; every row gets what a row must have.
fn faults(rows: &str) -> Vec<String> {
    let head = r#"
        id = "maker-model"
        class = "test"
        title = { zh = "型号", en = "Model" }
        trust = "transcribed"
        source = "a test"
        modbus = {}
        mqtt = { period = "1s" }
    "#;
    let profile: Profile = toml::from_str(&format!("{head}{rows}")).unwrap();
    let line = |fault: ProfileFault| format!("{}: {}", fault.path.join("."), fault.what);
    check(&profile).into_iter().map(line).collect()
}

fn of_row(row: &str) -> Vec<String> {
    faults(&format!(
        "[[point]]\npoint = \"p\"\nname = {{ zh = \"点\", en = \"Point\" }}\n{row}"
    ))
}

#[test]
fn a_sound_row_has_no_fault() {
    let row = r#"
        kind = "analog"
        unit = "bar"
        scale = 0.1
        modbus = { table = "input", address = 65535, type = "u16" }
        example = { raw = [17], value = 1.7 }
    "#;
    assert_eq!(of_row(row), [""; 0]);
}

#[test]
fn impossible_places_are_found() {
    let row = |place: &str, example: &str| {
        of_row(&format!(
            "kind = \"analog\"\nmodbus = {{ {place} }}\nexample = {example}"
        ))
    };
    assert_eq!(
        row(
            r#"table = "input", address = 65535, type = "u32""#,
            "{ raw = [0, 1], value = 1 }"
        ),
        ["point.0.modbus.address: 2 registers from 65535 go beyond 65535"]
    );
    assert_eq!(
        row(
            r#"table = "input", address = 0, type = "u16", bit = 12, bits = 8"#,
            "{ raw = [0], value = 0 }"
        ),
        ["point.0.modbus.bit: 8 bits from bit 12 are not inside a register"]
    );
    assert_eq!(
        row(
            r#"table = "input", address = 0, type = "u32", bit = 1"#,
            "{ raw = [0, 1], value = 1 }"
        ),
        ["point.0.modbus.type: bits can only be taken out of one register"]
    );
}

#[test]
fn a_row_says_what_it_must() {
    let row = r#"
        kind = "enum"
        unit = "bars"
        range = [5.0, 1.0]
        modbus = { table = "input", address = 0, type = "u16" }
    "#;
    assert_eq!(
        of_row(row),
        [
            "point.0.unit: unit \"bars\" is not known",
            "point.0.range: the range ends before it begins",
            "point.0.kind: a flag, enumeration or text has no scale, offset or unit",
            "point.0.kind: the enumeration \"p\" has no meanings",
            "point.0.point: point \"p\" has no example",
        ]
    );
}

#[test]
fn an_example_must_decode_to_its_value() {
    let row = |example: &str| {
        of_row(&format!(
            "kind = \"counter\"\nmqtt = {{ topic = \"t\", read = {{ json = \"/n\" }} }}\nexample = {example}"
        ))
    };
    assert_eq!(row(r#"{ payload = '{"n":5}', value = 5 }"#), [""; 0]);
    assert_eq!(
        row(r#"{ payload = '{"n":5}', value = 6 }"#),
        ["point.0.example: the example of \"p\" decodes to 5"]
    );
    assert_eq!(
        row(r#"{ payload = '{"n":null}', value = 6 }"#),
        ["point.0.example: the example of \"p\" decodes to nothing (not_available)"]
    );
    assert_eq!(
        row("{ value = 6 }"),
        ["point.0.example: the example of \"p\" has nothing to decode"]
    );
}

#[test]
fn registers_are_shared_only_by_bits_and_equals() {
    let row = |name: &str, address: u16, place: &str| {
        format!(
            "[[point]]\npoint = \"{name}\"\nname = {{ zh = \"点\", en = \"Point\" }}\nkind = \"counter\"\n\
             modbus = {{ table = \"holding\", address = {address}, {place} }}\n"
        )
    };
    let both = |one: String, other: String| {
        let mut found = faults(&(one + &other));
        found.retain(|fault| fault.contains("overlaps"));
        found
    };
    let wide = row("wide", 10, "type = \"u32\"");
    assert_eq!(
        both(wide.clone(), row("low", 11, "type = \"u16\"")),
        ["point.1.modbus.address: point \"low\" overlaps point \"wide\" in the registers from 11"]
    );
    let bit = row("bit", 11, "type = \"u16\", bit = 3, bits = 2");
    assert_eq!(both(wide.clone(), bit), [""; 0]);
    assert_eq!(both(wide.clone(), wide), [""; 0]);
}

#[test]
fn a_class_has_its_points() {
    let mut profile = super::super::tests::profile(Vec::new());
    profile.class = "tank".to_owned();
    let mut row = super::super::tests::registers(Table::Input, 0, super::super::DataType::U16);
    row.example = Some(Example {
        raw: vec![1],
        payload: String::new(),
        value: ExampleValue::Integer(1),
    });
    profile.points = vec![row];
    let found = check(&profile);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].what, "class \"tank\" needs point level");
    profile.points[0].point = "level".to_owned();
    assert_eq!(check(&profile), []);
}

#[test]
fn a_time_that_cannot_be_read_is_refused_with_its_sample() {
    let with = |time: &str, sample: &str, example: &str| {
        let text = format!(
            r#"
            id = "maker-model"
            class = "test"
            title = {{ zh = "型号", en = "Model" }}
            trust = "transcribed"
            source = "a test"
            [mqtt]
            period = "1s"
            time = {{ pointer = "/ts", {time} }}
            sample = '{sample}'
            [[point]]
            point = "p"
            name = {{ zh = "点", en = "Point" }}
            kind = "counter"
            mqtt = {{ topic = "t", read = {{ json = "/n" }} }}
            example = {{ payload = '{example}', value = 1 }}
            "#
        );
        let profile: Profile = toml::from_str(&text).unwrap();
        let line = |fault: ProfileFault| format!("{}: {}", fault.path.join("."), fault.what);
        check(&profile).into_iter().map(line).collect::<Vec<_>>()
    };
    let text = r#"format = "rfc3339""#;
    let shanghai = r#"format = "rfc3339", zone = "Asia/Shanghai""#;
    let local = r#"{"ts":"2026-11-25 23:46:44","n":1}"#;
    let unread = "the sample's time at \"/ts\" cannot be read";
    assert_eq!(
        with(text, local, r#"{"n":1}"#),
        [format!("mqtt.sample: {unread}")]
    );
    assert_eq!(with(shanghai, local, local), [""; 0]);
    let european = r#"{"ts":"2026-11-25T23:46:44+0100","n":1}"#;
    assert_eq!(with(text, european, european), [""; 0]);
    assert_eq!(
        with(text, european, local),
        ["point.0.example: the example's time at \"/ts\" cannot be read"]
    );
    assert_eq!(
        with(text, r#"{"n":1}"#, r#"{"n":1}"#),
        ["mqtt.sample: the sample has no time at \"/ts\""]
    );
    assert_eq!(
        with(r#"format = "rfc3339", zone = "Peking""#, local, local),
        ["mqtt.time: there is no time zone \"Peking\""]
    );
    assert_eq!(
        with(
            r#"format = "unix_s", zone = "Asia/Shanghai""#,
            r#"{"ts":5}"#,
            r#"{"n":1}"#
        ),
        ["mqtt.time: a count since 1970 has no time zone"]
    );
}
