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

/// Whether something is said of a row, and whether as a warning only.
fn said(row: &str, wanted: &str) -> Option<bool> {
    let text = format!(
        "id = \"m\"\nclass = \"test\"\ntitle = {{ zh = \"型\", en = \"M\" }}\ntrust = \"bench\"\n\
         source = \"a test\"\nmodbus = {{}}\nmqtt = {{ period = \"1s\" }}\n\
         [[point]]\npoint = \"p\"\nname = {{ zh = \"点\", en = \"Point\" }}\n{row}"
    );
    let profile: Profile = toml::from_str(&text).unwrap();
    let found = check(&profile).into_iter();
    let mut found = found.filter(|one| format!("{}; {}", one.what, one.remedy).contains(wanted));
    found.next().map(|one| one.weight != Weight::Error)
}

#[test]
fn codes_without_a_meaning_are_named_and_bits_are_known_as_such() {
    let state = |bits: u8, raws: &[u16]| {
        let meanings: Vec<_> = raws
            .iter()
            .map(|raw| format!("{raw} = {{ code = \"c{raw}\", zh = \"值\", en = \"V{raw}\" }}"))
            .collect();
        format!(
            "kind = \"enum\"\nmodbus = {{ table = \"input\", address = 0, type = \"u16\", bit = 4, bits = {bits} }}\n\
             example = {{ raw = [0], value = \"c0\" }}\nmeanings = {{ {} }}",
            meanings.join(", ")
        )
    };
    // A panel's alarm, fault, off and test: 0b0101 is an alarm of a point that is being tested.
    let flags = state(4, &[0, 1, 2, 4, 8]);
    let missing = "no meaning for the codes 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15:";
    assert_eq!(said(&flags, missing), Some(true));
    let cure = "kind = \"flag\" for each, with type = \"bool\" and bit = 4 to 7";
    assert_eq!(said(&flags, cure), Some(true));
    // The same word in a message, whose width nobody says.
    let wire = flags.split("example").next().unwrap();
    let message = flags.replace(
        wire,
        "kind = \"enum\"\nmqtt = { topic = \"{topic}/state\", read = { json = \"/word\" } }\n",
    );
    assert_eq!(said(&message, missing), Some(true));
    let cure = "kind = \"flag\" for each, with bit = 0 to 3";
    assert_eq!(said(&message, cure), Some(true));
    // One of three, and a code that the manual does not name.
    let modes = state(2, &[0, 1, 2]);
    assert_eq!(said(&modes, "no meaning for the codes 3: "), Some(true));
    assert_eq!(said(&modes, "kind = \"flag\""), None);
    let whole: Vec<u16> = (0..16).collect();
    assert_eq!(said(&state(4, &whole), "no meaning"), None);
    assert_eq!(
        said(
            &state(4, &[0, 16]),
            "raw value 16 can't come: the field holds 0 to 15"
        ),
        Some(false)
    );
}

#[test]
fn a_number_that_a_manual_prints_is_no_address() {
    let row = |table: &str, address: u16, rest: &str| {
        format!(
            "kind = \"counter\"\nmodbus = {{ table = \"{table}\", address = {address}, type = \"u16\"{rest} }}\n\
             example = {{ raw = [1], value = 1 }}"
        )
    };
    let found = said(
        &row("input", 30_001, ""),
        "write address = 0 and printed = \"30001\"",
    );
    assert_eq!(found, Some(true));
    let found = said(&row("holding", 40_012, ""), "on the wire it would be 11");
    assert_eq!(found, Some(true));
    let found = said(
        &row("input", 29, ", printed = \"40030\""),
        "is one of table \"holding\"",
    );
    assert_eq!(found, Some(true));
    let found = said(
        &row("input", 30, ", printed = \"30030\""),
        "is 29 on the wire, and the row reads 30",
    );
    assert_eq!(found, Some(true));
    // A device that really has it there says so by the manual's number.
    for sound in [
        row("input", 30_001, ", printed = \"330002\""),
        row("holding", 13, ", printed = \"40014\""),
        row("holding", 16_899, ", printed = \"16-90\""),
        row("input", 200, ", printed = \"00201\""),
    ] {
        assert_eq!(said(&sound, ""), None, "{sound}");
    }
}

#[test]
fn a_wrong_spelling_of_a_unit_is_told_the_right_one() {
    for (unit, right) in [
        ("℃", "write \"°C\""),
        ("KWH", "write \"kWh\""),
        ("bars", "write \"bar\""),
        ("Mw", "write \"mW\" or \"MW\""),
        ("1", "leave unit out"),
        ("furlong", "write one of: % °C"),
    ] {
        let row = format!(
            "kind = \"analog\"\nunit = \"{unit}\"\nmodbus = {{ table = \"input\", address = 0, type = \"u16\" }}\n\
             example = {{ raw = [1], value = 1 }}"
        );
        assert_eq!(said(&row, right), Some(false), "{unit}");
    }
}

#[test]
fn what_could_never_be_or_never_change_is_named() {
    let analog = |rest: &str| {
        format!(
            "kind = \"analog\"\n{rest}\nmodbus = {{ table = \"input\", address = 0, type = \"u16\" }}\n\
             example = {{ raw = [1], value = 1 }}"
        )
    };
    let wide = analog("range = [0.0, 10.0]\ndeadband = 10.0");
    assert_eq!(said(&wide, "no change would ever be stored"), Some(false));
    let topic = |topic: &str| {
        format!(
            "kind = \"analog\"\nmqtt = {{ topic = \"{topic}\", read = \"raw\" }}\n\
             example = {{ payload = \"1\", value = 1 }}"
        )
    };
    assert_eq!(said(&topic("{door}/x"), "stands for nothing"), Some(false));
    assert_eq!(said(&topic("a/+/x"), "fits many topics"), Some(true));
    assert_eq!(said(&topic("{topic}/x"), ""), None);
    let twice = "kind = \"enum\"\nmodbus = { table = \"input\", address = 0, type = \"u16\" }\n\
                 example = { raw = [0], value = \"on\" }\n\
                 meanings = { 0 = { code = \"on\", zh = \"开\", en = \"On\" }, 1 = { code = \"on\", zh = \"关\", en = \"Off\" } }";
    assert_eq!(
        said(twice, "the code \"on\" means \"Off\" and \"On\""),
        Some(false)
    );
}

/// What is said of a profile with this time, sample and example.
fn with(time: &str, sample: &str, example: &str) -> Vec<String> {
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
}

#[test]
fn a_time_that_cannot_be_read_is_refused_with_its_sample() {
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
            r#"{"ts":1795000000}"#,
            r#"{"n":1}"#
        ),
        ["mqtt.time: a count since 1970 has no time zone"]
    );
}

#[test]
fn a_time_of_another_scale_is_refused_with_its_sample() {
    // In the wrong scale a time is of 1970 or of no calendar, and at run time every message would be dated anew.
    for (format, ts, day) in [
        ("unix_ms", 1_795_000_000_i64, "1970-01-21"),
        ("unix_us", 1_795_000_000_000, "1970-01-21"),
        ("unix_s", 1_795_000_000_000, "time beyond|+58851|-"),
    ] {
        let sample = format!(r#"{{"ts":{ts},"n":1}}"#);
        let found = with(&format!("format = \"{format}\""), &sample, &sample).join("\n");
        assert!(found.contains("is read as"), "{format}: {found}");
        assert!(
            day.split('|').any(|day| found.contains(day)),
            "{format}: {found}"
        );
    }
    let sample = r#"{"ts":1795000000,"n":1}"#;
    assert_eq!(with(r#"format = "unix_s""#, sample, sample), [""; 0]);
}
