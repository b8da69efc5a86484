//! The building behaves as a building: without scenarios it is healthy, with them it isn't, and all-clear mends it.

use serde_json::Value;

use crate::booster::Booster;
use crate::fire_pump::FirePump;
use crate::scenario::{Kind, SCENARIOS, Scenario};
use crate::sump::Sump;
use crate::tank::Tank;
use crate::world::{STEP, World};

fn run(world: &mut World, seconds: u32) {
    for _ in 0..seconds * 10 {
        world.step();
    }
}

fn state(world: &World) -> Value {
    world.state(1.0)
}

/// Runs until `wanted` holds, at most `seconds`, and returns how long it took.
fn run_until(world: &mut World, seconds: u32, wanted: impl Fn(&Value) -> bool) -> f64 {
    for step in 0..seconds * 10 {
        if wanted(&state(world)) {
            return f64::from(step) / 10.0;
        }
        world.step();
    }
    panic!("not within {seconds} s: {}", state(world));
}

fn begin(world: &mut World, name: &str) {
    let scenario = Scenario::find(name).unwrap();
    let asset = scenario.asset(None).unwrap();
    world.begin(scenario.kind, asset);
}

/// Everything that a technician would be called for, as `asset/point`.
fn troubles(state: &Value) -> Vec<String> {
    let bad = [
        "trapped",
        "alarm_button",
        "overload",
        "overspeed",
        "fire",
        "fault",
        "prealarm",
        "disabled",
        "mains_fault",
        "battery_fault",
        "bus_fault",
        "pump1_fault",
        "pump2_fault",
        "pump3_fault",
        "jockey_fault",
        "low_pressure",
        "phase_fault",
        "dry_run",
        "high_level",
        "high_high",
        "low_low",
    ];
    let good = [
        "mains",
        "safety_circuit",
        "normal",
        "selector_auto",
        "power_ok",
    ];
    let mut found = Vec::new();
    for (asset, points) in state.as_object().unwrap() {
        for (point, value) in points.as_object().unwrap() {
            let named = |list: &[&str]| list.contains(&point.as_str());
            let wrong = (named(&bad) && value == true)
                || (named(&good) && value == false)
                || (point == "fault_code" && value != 0)
                || (point == "detector_dirt_max" && value.as_f64() > Some(80.0));
            if wrong {
                found.push(format!("{asset}/{point}"));
            }
        }
    }
    found
}

#[test]
fn an_hour_without_scenarios_is_a_quiet_hour() {
    let mut world = World::new(7);
    let mut rides = 0;
    let mut last_position = [0; 6];
    for _ in 0..3600 * 2 {
        for _ in 0..5 {
            world.step();
        }
        let now = state(&world);
        assert_eq!(troubles(&now), Vec::<String>::new());
        for (index, last) in last_position.iter_mut().enumerate() {
            let car = &now[format!("A{}", index + 1)];
            let position = car["car_position"].as_i64().unwrap();
            if car["door_closed"] == false {
                assert_eq!(car["car_moving"], false, "{car}");
                assert_eq!(car["door_zone"], true, "{car}");
            }
            assert_eq!(car["car_moving"] == true, car["speed"] != 0.0, "{car}");
            rides += u32::from(*last != position);
            *last = position;
        }
    }
    assert!(rides > 1_000);
    assert!(world.take_changes().is_empty());
}

#[test]
fn water_stays_within_its_limits_all_day() {
    let mut booster = Booster::new(7, 0.0);
    let mut pump = FirePump::new(7);
    let mut tank = Tank::new(7);
    let mut sump = Sump::new(7, 1);
    for step in 0..864_000 {
        let now = f64::from(step) * STEP;
        booster.step(now);
        pump.step();
        tank.step(now);
        sump.step();
        let pressure = booster.telemetry().outlet_pressure;
        assert!((0.42..=0.48).contains(&pressure), "{pressure} at {now}");
        let pressure = pump.readings().outlet_pressure;
        assert!((0.99..=1.11).contains(&pressure), "{pressure} at {now}");
        let level = tank.telemetry().level;
        assert!((1.0..=2.7).contains(&level), "{level} at {now}");
        let level = sump.telemetry().level;
        assert!((0.35..=1.05).contains(&level), "{level} at {now}");
    }
}

#[test]
fn the_same_seed_gives_the_same_building() {
    let mut worlds = [World::new(3), World::new(3), World::new(4)];
    for world in &mut worlds {
        run(world, 60);
        begin(world, "entrapment");
        begin(world, "pump-overload");
        run(world, 600);
    }
    assert_eq!(state(&worlds[0]), state(&worlds[1]));
    assert_ne!(state(&worlds[0]), state(&worlds[2]));
}

#[test]
fn entrapment_follows_the_manual_from_any_moment() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        run(&mut world, seed as u32 * 3);
        begin(&mut world, "entrapment");
        run_until(&mut world, 12, |s| s["A3"]["fault_code"] == 4);
        let stopped = state(&world)["A3"].clone();
        assert_eq!(stopped["car_moving"], false);
        assert_eq!(stopped["door_zone"], false);
        assert_eq!(stopped["door_closed"], true);
        assert_eq!(stopped["passenger_present"], true);
        let pressed = run_until(&mut world, 3, |s| s["A3"]["alarm_button"] == true);
        assert!((0.8..=1.2).contains(&pressed), "{pressed}");
        run(&mut world, 8);
        assert_eq!(state(&world)["A3"]["trapped"], false);
        run(&mut world, 2);
        assert_eq!(state(&world)["A3"]["trapped"], true);
        world.clear(None);
        run_until(&mut world, 15, |s| {
            s["A3"]["door_state"] == 2 && troubles(s).is_empty()
        });
        let freed = state(&world)["A3"].clone();
        assert_eq!(freed["door_zone"], true);
        assert_eq!(freed["trapped"], false);
    }
}

#[test]
fn a_door_fault_stops_the_car_at_a_landing() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        run(&mut world, seed as u32 * 3);
        begin(&mut world, "door-fault");
        run_until(&mut world, 20, |s| s["A2"]["fault_code"] == 2);
        for _ in 0..300 {
            world.step();
            let car = &state(&world)["A2"];
            assert_eq!(car["door_closed"], false);
            assert_eq!(car["door_zone"], true);
            assert_eq!(car["fault_code"], 2);
        }
        world.clear(None);
        run_until(&mut world, 10, |s| troubles(s).is_empty());
    }
}

#[test]
fn mains_loss_brings_the_car_to_a_landing_and_opens_it() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        run(&mut world, seed as u32 * 3);
        begin(&mut world, "mains-loss");
        run_until(&mut world, 1, |s| s["A1"]["mains"] == false);
        run_until(&mut world, 30, |s| s["A1"]["door_state"] == 2);
        let car = state(&world)["A1"].clone();
        assert_eq!(car["service_mode"], 5);
        assert!(car["load"].is_null());
        world.clear(None);
        run_until(&mut world, 30, |s| s["A1"]["car_moving"] == true);
        assert_eq!(state(&world)["A1"]["service_mode"], 1);
    }
}

/// Scenario, seconds until it must show, asset or "" for the default, and how it shows.
type Show = (&'static str, u32, &'static str, fn(&Value) -> bool);

#[test]
fn every_scenario_shows_in_time_and_all_clear_mends_it() {
    let shows: [Show; 9] = [
        ("smoke", 3, "", |s| {
            s["FP1"]["fire"] == true && s["FP1"]["first_alarm_address"] == 9
        }),
        ("detector-dirty", 6, "", |s| {
            s["FP1"]["detector_dirt_max"] == 88
        }),
        ("fire-mains-loss", 1, "", |s| {
            s["FP1"]["mains_fault"] == true
        }),
        ("pump-overload", 4, "", |s| {
            s["BW1"]["flow"].as_f64() > Some(0.0) && fault(&s["BW1"])
        }),
        ("pump-overload", 4, "FPU1", |s| {
            let pump = &s["FPU1"];
            pump["pump1_fault"] == true
                && pump["pump2_running"] == true
                && pump["patrol_result"] == 2
        }),
        ("pump-overload", 4, "SP2", |s| fault(&s["SP2"])),
        ("dry-run", 5, "", |s| s["BW1"]["dry_run"] == true),
        ("sump-high", 10, "", |s| s["SP1"]["high_level"] == true),
        ("mains-loss", 1, "FPU1", |s| s["FPU1"]["power_ok"] == false),
    ];
    for (name, seconds, asset, wanted) in shows {
        let mut world = World::new(11);
        run(&mut world, 30);
        let scenario = Scenario::find(name).unwrap();
        let asked = (!asset.is_empty()).then_some(asset);
        world.begin(scenario.kind, scenario.asset(asked).unwrap());
        run_until(&mut world, seconds, wanted);
        run(&mut world, 60);
        assert!(!troubles(&state(&world)).is_empty(), "{name} holds");
        world.clear(None);
        run_until(&mut world, 15, |s| troubles(s).is_empty());
        run(&mut world, 120);
        assert_eq!(troubles(&state(&world)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_test_run_of_the_fire_pump_says_so() {
    let mut world = World::new(11);
    let result = |world: &World| state(world)["FPU1"]["patrol_result"].clone();
    assert_eq!(result(&world), 1, "the last one passed");
    let scenario = Scenario::find("pump-overload").unwrap();
    world.begin(scenario.kind, scenario.asset(Some("FPU1")).unwrap());
    while state(&world)["FPU1"]["pump1_fault"] == false {
        assert_eq!(state(&world)["FPU1"]["running"], true);
        assert_eq!(result(&world), 3, "under way");
        world.step();
    }
    assert_eq!(result(&world), 2, "failed");
    world.clear(None);
    assert_eq!(result(&world), 1);
}

fn fault(asset: &Value) -> bool {
    (1..=3).any(|pump| asset[format!("pump{pump}_fault")] == true)
}

#[test]
fn every_scenario_is_named_in_the_state_while_it_lasts() {
    for scenario in SCENARIOS.iter().filter(|s| s.kind != Kind::AllClear) {
        let mut world = World::new(1);
        let asset = scenario.asset(None).unwrap();
        let first = world.begin(scenario.kind, asset);
        let again = world.begin(scenario.kind, asset);
        let place = asset.map_or("building", |asset| asset.code());
        let named = |world: &World| state(world)[place]["scenarios"].to_string();
        assert_eq!(named(&world), format!("[\"{}\"]", scenario.name));
        world.end(first);
        assert_ne!(
            named(&world),
            "[]",
            "an older end doesn't end a newer start"
        );
        world.end(again);
        assert_eq!(named(&world), "[]");
    }
}

#[test]
fn flags_of_pumps_are_reported_once_each_way() {
    let mut world = World::new(5);
    begin(&mut world, "sump-high");
    run(&mut world, 60);
    world.clear(None);
    run(&mut world, 60);
    let changes: Vec<(&str, bool)> = world
        .take_changes()
        .into_iter()
        .map(|change| (change.flag, change.value))
        .collect();
    assert_eq!(changes, [("high_level", true), ("high_level", false)]);
}
