//! The profiles of the virtual building held against its printed manual, row by row and both ways.
//! The simulator's own tests hold the manual against what it serves; here nothing is decoded again.

use super::config_folder;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// A register table's row as printed, by the names of its columns.
type Row = BTreeMap<&'static str, String>;

const COLUMNS: [&str; 11] = [
    "point", "fc", "wire", "printed", "type", "order", "scale", "unit", "invalid", "raw", "value",
];

fn manual(heading: &str) -> BTreeMap<String, Row> {
    let file = config_folder().join("../docs/reference/virtual-building.md");
    let text = std::fs::read_to_string(file).unwrap();
    let mut sections = text.split("\n## ").flat_map(|part| part.split("\n### "));
    let section = sections.find(|part| part.starts_with(heading));
    let lines = section.unwrap().lines();
    let rows = lines.filter(|line| line.starts_with("| `")).map(|line| {
        let cells = line.trim_matches('|').split('|');
        let cells = cells.map(|cell| cell.trim().trim_matches('`').to_owned());
        let row: Row = COLUMNS.into_iter().zip(cells).collect();
        assert_eq!(row.len(), COLUMNS.len(), "{line}");
        (row["point"].clone(), row)
    });
    rows.collect()
}

fn profile(path: &str) -> Table {
    let file = config_folder().join("profiles").join(path);
    toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What a row of a profile says, in the words of the manual.
fn printed(row: &Table) -> Row {
    let at = row["modbus"].as_table().unwrap();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("–").to_owned();
    let whole = |value: &Value| value.as_integer().unwrap();
    let kind = match (at["type"].as_str().unwrap(), at.get("bit").map(whole)) {
        ("bool", Some(bit)) => format!("bit {bit}"),
        ("bool", None) => "bit".to_owned(),
        (_, Some(bit)) => format!("bits {bit}–{}", bit + whole(&at["bits"]) - 1),
        ("bcd16", None) => "bcd4".to_owned(),
        ("bcd32", None) => "bcd8".to_owned(),
        ("string", None) => format!("text {}", whole(&at["length"])),
        (other, None) => other.to_owned(),
    };
    let long = at["type"]
        .as_str()
        .is_some_and(|one| ["u32", "i32", "u64", "f32", "bcd32"].contains(&one));
    let order = match (at.get("order").and_then(Value::as_str), long) {
        (Some("cdab"), true) => "low first",
        (None, true) => "high first",
        (None, false) => "–",
        other => panic!("{other:?}"),
    };
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|word| format!("{:04X}", whole(word))).collect()
    };
    let fc = match at["table"].as_str().unwrap() {
        "discrete" => "02",
        "holding" => "03",
        "input" => "04",
        other => panic!("{other}"),
    };
    let raw = words(&row["example"]["raw"]).join(" ");
    let row = [
        ("point", text(row.get("point"))),
        ("fc", fc.to_owned()),
        ("wire", whole(&at["address"]).to_string()),
        ("printed", text(at.get("printed"))),
        ("type", kind.clone()),
        ("order", order.to_owned()),
        ("scale", scale(row, &kind)),
        ("unit", text(row.get("unit"))),
        (
            "invalid",
            row.get("invalid")
                .map_or("–".to_owned(), |one| words(one).concat()),
        ),
        (
            "raw",
            if fc == "02" {
                raw.trim_start_matches("000").to_owned()
            } else {
                raw
            },
        ),
        ("value", value(row)),
    ];
    row.into_iter().collect()
}

/// Flags and texts have none, everything else has 1 when it says nothing.
fn scale(row: &Table, kind: &str) -> String {
    let plain = kind.starts_with("bit ") || kind == "bit" || kind.starts_with("text ");
    match row.get("scale").and_then(Value::as_float) {
        Some(scale) => scale.to_string(),
        None if plain => "–".to_owned(),
        None => "1".to_owned(),
    }
}

/// The example's value; of an enumeration its number, as the manual prints it.
fn value(row: &Table) -> String {
    let value = &row["example"]["value"];
    let meanings = row.get("meanings").and_then(Value::as_table);
    match (value, meanings) {
        (Value::String(code), Some(meanings)) => {
            let found = meanings
                .iter()
                .find(|(_, one)| one["code"].as_str() == Some(code));
            found.unwrap().0.clone()
        }
        (Value::String(text), None) => text.clone(),
        (Value::Float(number), _) => number.to_string(),
        (other, _) => other.to_string(),
    }
}

#[test]
fn the_profiles_of_the_virtual_building_are_its_manual() {
    for (path, heading, least) in [
        ("elevator/virtual-elevator.toml", "1.1 Elevator", 32),
        ("fire_panel/virtual-fire-panel.toml", "1.2 Fire panel", 96),
        ("fire_pump/virtual-fire-pump.toml", "1.3 Fire pump", 31),
    ] {
        let mut manual = manual(heading);
        let profile = profile(path);
        let rows = profile["point"].as_array().unwrap();
        assert!(rows.len() >= least, "{path}: {} rows", rows.len());
        for row in rows {
            let row = row.as_table().unwrap();
            let name = row["point"].as_str().unwrap();
            match (manual.remove(name), loop_point(name)) {
                // The manual prints some and gives the rule for all.
                (expected, Some(wire)) => {
                    let at = &row["modbus"];
                    assert_eq!(at["address"].as_integer(), Some(wire), "{name}");
                    assert_eq!(at["printed"].as_str(), Some(&*(40_001 + wire).to_string()));
                    assert_eq!(
                        (&at["table"], &at["type"]),
                        (&"holding".into(), &"u16".into())
                    );
                    let raw = expected.map(|row| i64::from_str_radix(&row["raw"], 16).unwrap());
                    let shown = row["example"]["raw"][0].as_integer();
                    // Bits 1 to 4 of the word: the row reads a field of it.
                    assert!(raw.is_none() || raw == shown, "{name}: {raw:?} {shown:?}");
                }
                (Some(expected), None) => assert_eq!(printed(row), expected, "{path}"),
                (None, None) => panic!("{path}: the manual has no {name}"),
            }
        }
        // Nobody needs the dirt of each chamber; the panel tells the worst.
        manual.retain(|name, _| !name.ends_with("_dirt"));
        assert!(manual.is_empty(), "{path} lacks {:?}", manual.keys());
    }
}

/// The wire address of a point of a loop: `l2_p05` is 2004.
fn loop_point(name: &str) -> Option<i64> {
    let (line, point) = name.strip_prefix('l')?.split_once("_p")?;
    let (line, point): (i64, i64) = (line.parse().ok()?, point.parse().ok()?);
    Some(1000 * line + point - 1)
}
