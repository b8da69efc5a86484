//! Holds the register images and the payloads against the printed manual, row by row.

use serde_json::Value;

use crate::asset::Asset;
use crate::elevator::ElevatorReadings;
use crate::elevator::registers as elevator_registers;
use crate::fire_panel::FirePanelReadings;
use crate::fire_panel::registers as panel_registers;
use crate::fire_pump::FirePumpReadings;
use crate::fire_pump::registers as pump_registers;
use crate::registers::{Image, Table};
use crate::world::World;

const MANUAL: &str = include_str!("../../../../docs/reference/virtual-building.md");

/// A row of a register table.
struct Row {
    point: String,
    table: Table,
    wire: u16,
    printed: u32,
    kind: String,
    low_first: bool,
    scale: f64,
    invalid: Option<u64>,
    raw: Vec<u16>,
    value: String,
}

/// Returns the text between a heading and the next one of its level or above.
fn section(heading: &str) -> &'static str {
    let start = MANUAL.find(heading).unwrap() + heading.len();
    let rest = MANUAL.get(start..).unwrap();
    let end = ["\n### ", "\n## "]
        .iter()
        .filter_map(|mark| rest.find(mark))
        .min()
        .unwrap_or(rest.len());
    rest.get(..end).unwrap()
}

fn cells(line: &str) -> Vec<String> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
    cells
        .iter()
        .map(|cell| cell.trim().trim_matches('`').to_owned())
        .collect()
}

fn rows(heading: &str) -> Vec<Row> {
    section(heading)
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = cells(line);
            let words = |cell: &str| -> Vec<u16> {
                cell.split(' ')
                    .map(|word| u16::from_str_radix(word, 16).unwrap())
                    .collect()
            };
            Row {
                point: cells[0].clone(),
                table: match cells[1].as_str() {
                    "02" => Table::Discrete,
                    "03" => Table::Holding,
                    "04" => Table::Input,
                    other => panic!("function {other}"),
                },
                wire: cells[2].parse().unwrap(),
                printed: cells[3].parse().unwrap(),
                kind: cells[4].clone(),
                low_first: cells[5] == "low first",
                scale: cells[6].parse().unwrap_or(1.0),
                invalid: u64::from_str_radix(&cells[8], 16).ok(),
                raw: words(&cells[9]),
                value: cells[10].clone(),
            }
        })
        .collect()
}

/// Decodes the example of a row as the manual explains it.
fn decode(row: &Row) -> String {
    let number = || {
        let words = row.raw.iter();
        let order: Vec<u16> = if row.low_first {
            words.rev().copied().collect()
        } else {
            words.copied().collect()
        };
        order
            .iter()
            .fold(0u64, |all, word| all << 16 | u64::from(*word))
    };
    if row.invalid == Some(number()) {
        return "not available".to_owned();
    }
    let scaled = |value: f64| {
        let value = value * row.scale;
        ((value * 1e6).round() / 1e6).to_string()
    };
    let bcd = || {
        (0..16).rev().fold(0u64, |all, digit| {
            all * 10 + (number() >> (4 * digit) & 0xF)
        })
    };
    match row.kind.as_str() {
        "u16" | "u32" | "u64" => scaled(number() as f64),
        "i16" => scaled(f64::from(number() as i16)),
        "i32" => scaled(f64::from(number() as i32)),
        "f32" => scaled(f64::from(f32::from_bits(number() as u32))),
        "bcd4" | "bcd8" => scaled(bcd() as f64),
        "bit" => (row.raw[0] == 1).to_string(),
        "bits 0–7" => scaled((number() & 0xFF) as f64),
        "bits 8–15" => scaled((number() >> 8) as f64),
        "bits 12–13" => scaled((number() >> 12 & 3) as f64),
        text if text.starts_with("text ") => {
            let bytes: Vec<u8> = row.raw.iter().flat_map(|word| word.to_be_bytes()).collect();
            String::from_utf8(bytes)
                .unwrap()
                .trim_end_matches(['\0', ' '])
                .to_owned()
        }
        bit => {
            let bit: u32 = bit.strip_prefix("bit ").unwrap().parse().unwrap();
            (number() >> bit & 1 == 1).to_string()
        }
    }
}

fn check(heading: &str, image: &Image, least_rows: usize) {
    let rows = rows(heading);
    assert!(rows.len() >= least_rows, "{heading}: {} rows", rows.len());
    for row in rows {
        let base = match row.table {
            Table::Discrete => 10_001,
            Table::Holding => 40_001,
            Table::Input => 30_001,
        };
        assert_eq!(row.printed, base + u32::from(row.wire), "{}", row.point);
        assert_eq!(decode(&row), row.value, "example of {}", row.point);
        let served = image.read(row.table, row.wire, row.raw.len() as u16);
        assert_eq!(
            served,
            Some(row.raw.as_slice()),
            "registers of {}",
            row.point
        );
    }
}

#[test]
fn elevator_registers_are_as_printed() {
    let readings = ElevatorReadings {
        service_mode: 1,
        car_moving: true,
        door_zone: false,
        door_closed: true,
        passenger_present: true,
        alarm_button: false,
        trapped: false,
        mains: true,
        safety_circuit: true,
        overload: false,
        overspeed: false,
        direction: 2,
        floor: -1,
        door_state: 0,
        fault_code: 0,
        speed: -1.75,
        car_position: -2350,
        load: Some(23.5),
        machine_room_temperature: Some(27.4),
        run_count: 1_234_567,
        door_cycles: 2_503_118,
        run_hours: 8765.25,
        motor_current: Some(18.2),
        supply_voltage: Some(387.6),
        trips_today: 417,
        target_floor: Some(-2),
        model: "ZB-EL 1600/2.5",
        serial_number: 24_060_003,
        rated_load: 1600,
        rated_speed: 2.5,
        lowest_floor: -2,
        highest_floor: 18,
    };
    let image = elevator_registers::image(&readings);
    check("### 1.1 Elevator", &image, 32);
    let lost = ElevatorReadings {
        load: None,
        machine_room_temperature: None,
        target_floor: None,
        ..readings
    };
    let image = elevator_registers::image(&lost);
    assert_eq!(
        image.read(Table::Input, 8, 2),
        Some([0xFFFF, 0x7FFF].as_slice())
    );
    assert_eq!(image.read(Table::Input, 19, 1), Some([0x7FFF].as_slice()));
}

#[test]
fn fire_panel_registers_are_as_printed() {
    let mut points = [vec![1; 32], vec![1; 32]];
    points[0][8] = 3;
    points[0][30] = 0x61;
    let mut dirt = [vec![None; 32], vec![None; 32]];
    dirt[0][0] = Some(11);
    dirt[1][11] = Some(34);
    let readings = FirePanelReadings {
        normal: true,
        fire: true,
        fault: false,
        disabled: false,
        supervisory: false,
        started: true,
        feedback: true,
        delayed: false,
        mains_fault: false,
        battery_fault: false,
        bus_fault: false,
        manual_mode: false,
        config_changed: false,
        reset: false,
        prealarm: false,
        loop1_fires: 1,
        loop1_faults: 0,
        loop1_disabled: 0,
        loop2_fires: 0,
        loop2_faults: 0,
        loop2_disabled: 0,
        battery_voltage: 27.31,
        mains_voltage: 228.7,
        first_alarm_loop: 1,
        first_alarm_address: 9,
        first_alarm_text: "FLOOR 07 EAST".to_owned(),
        detector_dirt_max: 34,
        dirtiest_loop: 2,
        dirtiest_address: 12,
        event_count: 70_412,
        firmware: 3.12,
        sounders_on: 1,
        points,
        dirt,
    };
    check("### 1.2 Fire panel", &panel_registers::image(&readings), 40);
}

#[test]
fn fire_pump_registers_are_as_printed() {
    let readings = FirePumpReadings {
        selector_auto: true,
        power_ok: true,
        running: false,
        fault: false,
        pump1_running: false,
        pump1_fault: false,
        pump2_running: false,
        pump2_fault: false,
        jockey_running: true,
        jockey_fault: false,
        low_pressure: false,
        flow_switch: false,
        phase_fault: false,
        outlet_pressure: 1.083,
        inlet_pressure: -0.012,
        voltage_l1: 398.2,
        voltage_l2: 397.5,
        voltage_l3: 399.1,
        pump1_current: 0.0,
        pump2_current: 0.0,
        jockey_current: 3.4,
        start_count_day: 0,
        jockey_starts_day: 17,
        pump1_run_hours: 128.7,
        pump2_run_hours: 120.2,
        jockey_run_hours: 1502.5,
        energy: 48_213.907,
        patrol_result: 1,
        pump_fault_code: 0,
        model: "ZB-FP 2x45+J",
        design_pressure: 1.1,
    };
    check("### 1.3 Fire pump", &pump_registers::image(&readings), 31);
}

/// Returns the sample payload of a section.
fn sample(section: &str) -> Value {
    let json = section.split("```json").nth(1).unwrap();
    serde_json::from_str(json.split("```").next().unwrap()).unwrap()
}

/// Whether two values have the same fields and types all the way down.
fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same_shape(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.is_f64() == b.is_f64(),
        (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => true,
        _ => false,
    }
}

#[test]
fn payloads_are_as_printed() {
    let world = World::new(1);
    for (heading, asset) in [
        ("### 2.1 Booster", Asset::Booster),
        ("### 2.2 Sump", Asset::Sump(0)),
        ("### 2.3 Roof tank", Asset::Tank),
    ] {
        let section = section(heading);
        let mut sample = sample(section);
        let mut rows = 0;
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let cells = cells(line);
            let told = sample.pointer(&cells[1]).unwrap();
            let same = match told.as_f64() {
                Some(number) => Some(number) == cells[4].parse().ok(),
                None => told.as_bool().map(|flag| flag.to_string()) == Some(cells[4].clone()),
            };
            assert!(same, "{heading}: {} is {told}", cells[0]);
            rows += 1;
        }
        assert!(rows >= 6, "{heading}");
        for field in ["ts", "seq"] {
            assert!(sample.as_object_mut().unwrap().remove(field).is_some());
        }
        let told = world.telemetry(asset);
        assert!(same_shape(&sample, &told), "{heading}: {told}");
    }
}

#[test]
fn every_scenario_is_in_the_manual_with_its_default_asset() {
    let table = section("## 3. Scenarios");
    let printed: Vec<(String, String)> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| (cells(line)[0].clone(), cells(line)[1].clone()))
        .collect();
    let real: Vec<(String, String)> = crate::scenario::SCENARIOS
        .iter()
        .map(|scenario| {
            let asset = match (scenario.name, scenario.asset(None).unwrap()) {
                ("all-clear", None) => "all",
                (_, None) => "–",
                (_, Some(asset)) => asset.code(),
            };
            (scenario.name.to_owned(), asset.to_owned())
        })
        .collect();
    assert_eq!(printed, real);
}
