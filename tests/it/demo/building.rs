//! The virtual building through the built program: its scenarios and scripts, every register of it,
//! and units that misbehave. What is shown must never differ from what is so.

use super::{Demo, SOON, same};
use crate::support::zhiban::Zhiban;
use crate::support::{http, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::prelude::Reader;
use tokio_modbus::slave::{Slave, SlaveContext};
use zhiban::config::Config;
use zhiban_core::Value as Known;
use zhiban_core::profile::{PointRow, Profile, Table};

/// What a unit says of its points, by their names; `Null` is "not available".
async fn read(profile: &Profile, line: &mut Context) -> BTreeMap<String, Value> {
    let mut said = BTreeMap::new();
    for request in profile.plan() {
        let (address, count) = (request.address, request.count);
        let words: Vec<u16> = match request.table {
            Table::Discrete => {
                let bits = line.read_discrete_inputs(address, count).await;
                bits.unwrap().unwrap().into_iter().map(u16::from).collect()
            }
            Table::Holding => line
                .read_holding_registers(address, count)
                .await
                .unwrap()
                .unwrap(),
            Table::Input => line
                .read_input_registers(address, count)
                .await
                .unwrap()
                .unwrap(),
            Table::Coil => panic!("the building has no coils"),
        };
        for place in &request.rows {
            let row = &profile.points[place.row];
            let first = usize::from(place.offset);
            let own = &words[first..first + usize::from(place.words)];
            let decoder = row.decoder();
            let reading = match request.table {
                Table::Discrete => decoder.bit(own[0] == 1),
                Table::Holding | Table::Input | Table::Coil => decoder.registers(own),
            };
            let value = reading.value.map_or(Value::Null, |value| plain(row, value));
            said.insert(row.point.clone(), value);
        }
    }
    said
}

/// A value as the building itself tells it: numbers for codes.
fn plain(row: &PointRow, value: Known) -> Value {
    match value {
        Known::Flag(flag) => json!(flag),
        Known::Integer(number) => json!(number),
        Known::Number(number) => json!(number),
        Known::Text(text) => {
            let mut codes = row.meanings.iter();
            let raw = codes.find(|(_, meaning)| *meaning.code == *text);
            match raw.and_then(|(raw, _)| raw.parse::<i64>().ok()) {
                Some(raw) => json!(raw),
                None => json!(&*text),
            }
        }
    }
}

/// Loop and number of a point of a loop: `l2_p05`.
fn loop_point(point: &str) -> Option<(usize, usize)> {
    let (line, number) = point.strip_prefix('l')?.split_once("_p")?;
    Some((line.parse().ok()?, number.parse().ok()?))
}

/// What is so, of one point of an asset.
fn truth(asset: &Value, point: &str) -> Value {
    if let Some((line, number)) = loop_point(point) {
        return asset["points"][line - 1][number - 1].clone();
    }
    let so = asset[point].clone();
    // The nameplate prints it as text.
    if point == "serial_number" {
        return json!(so.to_string());
    }
    so
}

/// Whether a row shows what is so. Of a loop's point it shows the most urgent of four bits.
fn agrees(row: &PointRow, shown: &Value, so: &Value) -> bool {
    if loop_point(&row.point).is_none() {
        return same(shown, so);
    }
    let bits = so.as_u64().unwrap() >> 1 & 0xF;
    let meaning = &row.meanings[&bits.to_string()];
    let shown = row.meanings.get(&shown.to_string());
    shown.is_some_and(|shown| shown.code == meaning.code)
}

async fn state(control: &str) -> Value {
    let answer = http().get(format!("{control}/state")).send().await;
    answer.unwrap().json().await.unwrap()
}

/// The building alone, with scenarios from its file and from a script; its control port and line.
async fn simulate(folder: &Path) -> (Zhiban, String, SocketAddr) {
    let script = folder.join("night.toml");
    std::fs::write(
        &script,
        "[[step]]\nat = \"200ms\"\nscenario = \"fire-mains-loss\"\n",
    )
    .unwrap();
    let file = folder.join("building.toml");
    let text = format!(
        "modbus = \"127.0.0.1:0\"\ncontrol = \"127.0.0.1:0\"\nseed = 3\nspeed = 1.0\nscript = {script:?}\nscenarios = [\"smoke\", \"entrapment@A3\", \"mains-loss@A2\", \"door-fault@A1\", \"pump-overload@FPU1\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut process = Zhiban::start(&["simulate", "--config", file.to_str().unwrap()]);
    process.first_line().await;
    let place = async |name: &str| {
        let mut found = None;
        wait_until(SOON, name, async || {
            let lines = process.stdout();
            let line = lines.iter().find_map(|line| line.strip_prefix(name));
            found = line.map(|rest| rest.trim().to_owned());
            found.is_some()
        })
        .await;
        found.unwrap()
    };
    let modbus = place("Modbus TCP").await;
    let modbus = modbus
        .strip_prefix("modbus+tcp://")
        .unwrap()
        .parse()
        .unwrap();
    let control = place("Control port").await;
    (process, control, modbus)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_register_of_the_building_shows_what_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, control, modbus) = simulate(folder.path()).await;
    let config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo.toml"));
    let config = config.unwrap();
    // The script and the scenarios of the file are under way.
    wait_until(SOON, "the scenarios to show", async || {
        let state = state(&control).await;
        let panel = &state["FP1"];
        panel["mains_fault"] == true
            && panel["feedback"] == true
            && state["A3"]["trapped"] == true
            && state["FPU1"]["pump1_fault"] == true
    })
    .await;
    let mut line = tcp::connect(modbus).await.unwrap();
    for device in &config.devices["plant"] {
        line.set_slave(Slave(device.unit));
        let rows = &device.profile.points;
        let mut open: BTreeSet<&str> = rows.iter().map(|row| &*row.point).collect();
        assert!(open.len() > 30, "{}", device.code);
        let mut last = String::new();
        // What moves has moved on when it is asked for: each point must agree once.
        let deadline = tokio::time::Instant::now() + SOON;
        while !open.is_empty() {
            let before = state(&control).await;
            let said = read(&device.profile, &mut line).await;
            let after = state(&control).await;
            for row in rows {
                let point = &*row.point;
                let so = [&before, &after].map(|state| truth(&state[&device.code], point));
                if so.iter().any(|so| agrees(row, &said[point], so)) {
                    open.remove(point);
                } else if open.contains(point) {
                    last = format!("{point}: {} for {so:?}", said[point]);
                }
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{}: {last}",
                device.code
            );
        }
    }
    line.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_begins_with_its_scenarios_and_plays_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("night.toml");
    let step = "[[step]]\nat = \"1s\"\nscenario = \"door-fault\"\nasset = \"A6\"\n";
    std::fs::write(&script, step).unwrap();
    let script = script.to_str().unwrap();
    let demo = Demo::start_with("10", &["--scenario", "sump-high@SP2", "--script", script]).await;
    let order = demo.order("SP2", "flooding").await;
    assert_eq!(order["priority"], 1);
    demo.order("A6", "door").await;
    let truth = demo.truth().await;
    assert_eq!(truth["SP2"]["scenarios"], json!(["sump-high"]));
    assert_eq!(truth["A6"]["scenarios"], json!(["door-fault"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_late_and_silent_units_are_told_apart() {
    let demo = Demo::start("1").await;
    demo.calm().await;
    for (scenario, asset) in [
        ("unit-slow", "A5"),
        ("unit-late", "A6"),
        ("unit-silent", "A4"),
    ] {
        demo.scenario(scenario, asset).await;
    }
    let counter = |truth: &Value, asset: &str, what: &str| {
        truth[asset]["modbus"]["counters"][what].as_u64().unwrap()
    };
    let begun = demo.truth().await;
    for lost in ["A4", "A6"] {
        wait_until(SOON, &format!("{lost} to be lost"), async || {
            demo.get(&format!("/assets/{lost}")).await["link"] == "down"
        })
        .await;
    }
    // The silent one answers nothing, the late one in vain.
    let later = demo.truth().await;
    let grown = |asset, what| counter(&later, asset, what) - counter(&begun, asset, what);
    assert!(grown("A4", "unanswered") > 0);
    assert!(grown("A6", "answered") > 0);
    assert_eq!(grown("A6", "unanswered"), 0);
    assert_eq!(grown("A5", "unanswered"), 0);
    // The slow one is read all the same.
    let read_at = async || {
        let points = demo.get("/assets/A5/points").await;
        let items = points["items"].as_array().unwrap().clone();
        let floor = items.into_iter().find(|one| one["key"] == "A5/floor");
        let floor = floor.unwrap();
        (floor["quality"] == "good").then(|| floor["at"].as_str().unwrap().to_owned())
    };
    let first = read_at().await;
    wait_until(SOON, "the slow unit to be read again", async || {
        let asset = demo.get("/assets/A5").await;
        let again = read_at().await;
        again.is_some() && again > first && asset["link"] == "up" && asset["state"] == "normal"
    })
    .await;
}

/// Points of a car that stands without mains, which stay as they are.
const STILL: [&str; 14] = [
    "service_mode",
    "car_moving",
    "door_zone",
    "door_closed",
    "trapped",
    "mains",
    "safety_circuit",
    "direction",
    "floor",
    "door_state",
    "fault_code",
    "car_position",
    "run_count",
    "highest_floor",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_liar_is_ever_shown() {
    let demo = Demo::start("10").await;
    demo.calm().await;
    demo.scenario("mains-loss", "A4").await;
    let shown = async || {
        let points = demo.get("/assets/A4/points?limit=200").await;
        let items = points["items"].as_array().unwrap().clone();
        let named = items.into_iter().filter_map(|one| {
            let name = one["key"].as_str()?.strip_prefix("A4/")?.to_owned();
            let still = STILL.contains(&name.as_str());
            still.then(|| (name, (one["value"].clone(), one["quality"].clone())))
        });
        let named: BTreeMap<String, (Value, Value)> = named.collect();
        assert_eq!(named.len(), STILL.len());
        named
    };
    let mut before = BTreeMap::new();
    wait_until(SOON, "the car to stand and to be shown so", async || {
        let truth = demo.truth().await;
        before = shown().await;
        let so = |(name, (value, quality)): (&String, &(Value, Value))| {
            // Of a code the name is shown; that it is the right one shows elsewhere.
            let code = value.is_string();
            quality == "good" && (code || same(value, &truth["A4"][name]))
        };
        truth["A4"]["door_state"] == 2 && truth["A4"]["mains"] == false && before.iter().all(so)
    })
    .await;
    demo.scenario("garbage", "A4").await;
    // Every lie there is, and twice the worst of them.
    wait_until(SOON, "the liar to have told all its lies", async || {
        for (name, (value, _)) in shown().await {
            assert_eq!(value, before[&name].0, "{name}");
        }
        let truth = demo.truth().await;
        truth["A4"]["modbus"]["counters"]["spoiled"].as_u64() >= Some(9)
    })
    .await;
    for (name, (value, _)) in shown().await {
        assert_eq!(value, before[&name].0, "{name}");
    }
    assert_ne!(demo.get("/assets/A4").await["link"], "up");
}
