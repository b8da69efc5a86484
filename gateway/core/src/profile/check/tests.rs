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
