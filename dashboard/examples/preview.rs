//! Serves the pages over a building in memory, for work on them: `cargo run -p zhiban-dashboard --features fixture
//! --example preview -- [calm] [PORT]`. Values move by themselves. Never part of the program.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for developers"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use zhiban_core::alarm::rule::{Condition, RuleFile};
use zhiban_core::model::{AssetSpec, Location, Model, Policy, RotaEntry, Site};
use zhiban_core::profile::Profile;
use zhiban_core::{Duration, LinkState, Text, Value};
use zhiban_dashboard::fixture::{Fixture, PASSWORD, USER};
use zhiban_dashboard::router;

/// Code, profile, Chinese and English name, place.
const ASSETS: [(&str, &str, &str, &str, &str); 12] = [
    (
        "A1",
        "elevator/virtual-elevator",
        "1 号客梯",
        "Car 1",
        "A 座",
    ),
    (
        "A2",
        "elevator/virtual-elevator",
        "2 号客梯",
        "Car 2",
        "A 座",
    ),
    (
        "A3",
        "elevator/virtual-elevator",
        "3 号客梯",
        "Car 3",
        "A 座",
    ),
    (
        "A4",
        "elevator/virtual-elevator",
        "4 号客梯",
        "Car 4",
        "A 座",
    ),
    (
        "A5",
        "elevator/virtual-elevator",
        "5 号货梯",
        "Goods car 5",
        "A 座",
    ),
    (
        "A6",
        "elevator/virtual-elevator",
        "6 号消防梯",
        "Fire car 6",
        "A 座",
    ),
    (
        "FP1",
        "fire_panel/virtual-fire-panel",
        "火灾报警控制器",
        "Fire panel",
        "消控室",
    ),
    (
        "FPU1",
        "fire_pump/virtual-fire-pump",
        "消火栓泵组",
        "Hydrant pumps",
        "B2 消防泵房",
    ),
    (
        "BW1",
        "pump_set/virtual-booster",
        "生活给水泵组",
        "Water booster",
        "B2 给水泵房",
    ),
    (
        "SP1",
        "sump/virtual-sump",
        "1 号集水坑",
        "Sump pit 1",
        "B2 北",
    ),
    (
        "SP2",
        "sump/virtual-sump",
        "2 号集水坑",
        "Sump pit 2",
        "B2 南",
    ),
    ("TK1", "tank/virtual-tank", "屋顶水箱", "Roof tank", "屋面"),
];

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let calm = words.iter().any(|word| word == "calm");
    let port = words
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(8190);
    let fixture = Arc::new(Fixture::of(model()));
    for (asset, ..) in ASSETS {
        fixture.link(asset, LinkState::Up);
    }
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    println!("http://{address} {USER} {PASSWORD}");
    let moved = fixture.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        for second in 0_u32.. {
            beat(&moved, second, calm);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    let service = router(fixture.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.unwrap();
}

fn model() -> Model {
    let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config");
    let read = |path: String| std::fs::read_to_string(config.join(path)).unwrap();
    let specs = ASSETS.iter().map(|(code, profile, zh, en, place)| {
        let profile: Profile = toml::from_str(&read(format!("profiles/{profile}.toml"))).unwrap();
        let file: RuleFile =
            toml::from_str(&read(format!("alarms/{}.toml", profile.class))).unwrap();
        let has = |name: &str| profile.points.iter().any(|row| row.point == name);
        let rules = file
            .rules
            .into_iter()
            .filter(|rule| names(&rule.when).iter().all(|name| has(name)));
        AssetSpec {
            code: (*code).to_owned(),
            name: Text::new(*zh, *en),
            location: Some(Location {
                code: (*place).to_owned(),
                name: Text::new(*place, *place),
            }),
            link: "plant".into(),
            disabled: false,
            stale_after: Duration::from_secs(10),
            rules: rules.map(Arc::new).collect(),
            profile: Arc::new(profile),
        }
    });
    let site = Site {
        code: "chenghu".into(),
        name: Text::new("澄湖广场", "Chenghu Plaza"),
        time_zone: chrono_tz::Asia::Shanghai,
    };
    let rota = vec![RotaEntry {
        class: None,
        person: "zhao".into(),
    }];
    Model::build(site, specs.collect(), rota, Policy::default()).unwrap()
}

/// Every point a condition names.
fn names(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Flag { point, .. }
        | Condition::State { point, .. }
        | Condition::Bit { point, .. }
        | Condition::Limit { point, .. }
        | Condition::Rate { point, .. } => vec![point.clone()],
        Condition::NoData {} => Vec::new(),
        Condition::All(list) | Condition::Any(list) => list.iter().flat_map(names).collect(),
    }
}

/// One second of the building.
fn beat(fixture: &Fixture, second: u32, calm: bool) {
    let text = |code: &str| Value::Text(code.into());
    let sway = f64::from(second % 60 * 6).to_radians().sin();
    let mut values: Vec<(String, Value)> = Vec::new();
    let mut put = |key: &str, value: Value| values.push((key.to_owned(), value));
    for (index, code) in ["A1", "A2", "A3", "A4", "A6"].into_iter().enumerate() {
        let n = i64::try_from(index).unwrap();
        let phase = (i64::from(second) + n * 7) % 40;
        let place = if phase < 17 {
            phase
        } else if phase < 20 {
            17
        } else if phase < 37 {
            37 - phase
        } else {
            0
        };
        let trapped = code == "A3" && !calm && second > 3;
        let (floor, moving) = if trapped {
            (4, false)
        } else {
            (place + 1, !matches!(phase, 17..=19 | 37..))
        };
        let up = phase < 17;
        put(
            &format!("{code}/service_mode"),
            text(if code == "A6" { "inspection" } else { "normal" }),
        );
        put(
            &format!("{code}/car_moving"),
            Value::Flag(moving && code != "A6"),
        );
        put(
            &format!("{code}/direction"),
            text(match (moving && code != "A6", up) {
                (false, _) => "none",
                (true, true) => "up",
                (true, false) => "down",
            }),
        );
        put(
            &format!("{code}/floor"),
            Value::Integer(if code == "A6" { 1 } else { floor }),
        );
        put(&format!("{code}/lowest_floor"), Value::Integer(-2));
        put(&format!("{code}/highest_floor"), Value::Integer(18));
        put(
            &format!("{code}/door_state"),
            text(if moving || trapped { "closed" } else { "open" }),
        );
        put(
            &format!("{code}/door_closed"),
            Value::Flag(moving || trapped),
        );
        put(&format!("{code}/door_zone"), Value::Flag(!trapped));
        put(&format!("{code}/trapped"), Value::Flag(trapped));
        put(
            &format!("{code}/passenger_present"),
            Value::Flag(trapped || moving),
        );
        put(
            &format!("{code}/fault_code"),
            text(if trapped { "outside_door_zone" } else { "none" }),
        );
        put(&format!("{code}/mains"), Value::Flag(true));
        put(&format!("{code}/safety_circuit"), Value::Flag(true));
        put(
            &format!("{code}/load"),
            Value::Number(if moving { 23.5 + sway } else { 0.0 }),
        );
        put(
            &format!("{code}/speed"),
            Value::Number(if moving { 1.75 } else { 0.0 }),
        );
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        put(
            &format!("{code}/car_position"),
            Value::Number(floor as f64 * 3600.0 - if trapped { 1900.0 } else { 3600.0 }),
        );
        put(
            &format!("{code}/machine_room_temperature"),
            Value::Number(27.4 + sway),
        );
        put(
            &format!("{code}/run_count"),
            Value::Integer(1_234_567 + i64::from(second)),
        );
        put(&format!("{code}/trips_today"), Value::Integer(417));
    }
    for flag in [
        "fire",
        "prealarm",
        "supervisory",
        "started",
        "feedback",
        "delayed",
        "bus_fault",
        "mains_fault",
        "battery_fault",
        "manual_mode",
    ] {
        put(&format!("FP1/{flag}"), Value::Flag(false));
    }
    put("FP1/normal", Value::Flag(true));
    put("FP1/fault", Value::Flag(!calm && second > 5));
    put("FP1/disabled", Value::Flag(!calm && second > 5));
    put("FP1/battery_voltage", Value::Number(27.31));
    put("FP1/detector_dirt_max", Value::Number(34.0));
    for flag in [
        "pump1_running",
        "pump2_running",
        "running",
        "fault",
        "pump1_fault",
        "pump2_fault",
        "jockey_fault",
        "low_pressure",
        "phase_fault",
    ] {
        put(&format!("FPU1/{flag}"), Value::Flag(false));
    }
    put("FPU1/selector_auto", Value::Flag(true));
    put("FPU1/power_ok", Value::Flag(true));
    put("FPU1/jockey_running", Value::Flag(sway > 0.5));
    put("FPU1/outlet_pressure", Value::Number(1.06 + 0.02 * sway));
    let pressure = if calm || second < 6 { 0.45 } else { 0.33 };
    put("BW1/outlet_pressure", Value::Number(pressure + 0.01 * sway));
    put("BW1/inlet_pressure", Value::Number(0.12 + 0.01 * sway));
    put("BW1/setpoint", Value::Number(0.45));
    put("BW1/mains", Value::Flag(true));
    put("BW1/dry_run", Value::Flag(false));
    for n in 1..=3 {
        put(
            &format!("BW1/pump{n}_running"),
            Value::Flag(n == 1 || (n == 3 && !calm)),
        );
        put(
            &format!("BW1/pump{n}_fault"),
            Value::Flag(n == 2 && !calm && second > 4),
        );
        put(&format!("BW1/pump{n}_auto"), Value::Flag(true));
    }
    for pit in ["SP1", "SP2"] {
        put(&format!("{pit}/level"), Value::Number(0.83 + 0.2 * sway));
        put(&format!("{pit}/high_level"), Value::Flag(false));
        put(&format!("{pit}/mains"), Value::Flag(true));
        for n in 1..=2 {
            put(
                &format!("{pit}/pump{n}_running"),
                Value::Flag(n == 1 && sway > 0.0),
            );
            put(&format!("{pit}/pump{n}_fault"), Value::Flag(false));
        }
    }
    put("TK1/level", Value::Number(2.41));
    put("TK1/level_percent", Value::Number(80.3 + sway));
    put("TK1/high_high", Value::Flag(false));
    put("TK1/low_low", Value::Flag(false));
    put("TK1/temperature", Value::Number(18.6));
    let borrowed: Vec<(&str, Value)> = values
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    fixture.set(&borrowed);
}
