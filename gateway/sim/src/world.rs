//! The physical truth of the whole building and the scenarios that bend it, advanced in steps of fixed length.
//! Reads no clock and does no I/O: the same seed and the same steps give the same building.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::asset::{ASSETS, Asset};
use crate::booster::Booster;
use crate::elevator::{self, Elevator, Trouble};
use crate::fire_panel::{self, FirePanel};
use crate::fire_pump::{self, FirePump};
use crate::modbus::{Behaviour, Reply, Unit};
use crate::registers::Image;
use crate::scenario::{Kind, SCENARIOS};
use crate::sump::Sump;
use crate::tank::Tank;

/// Seconds of one step.
pub(crate) const STEP: f64 = 0.1;
const DAY: f64 = 86_400.0;
/// The building wakes at eight in the morning.
const MORNING: f64 = 8.0 * 3600.0;
/// Changes kept until somebody takes them; more are dropped and counted.
const MAX_CHANGES: usize = 256;

/// A flag of an MQTT asset that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) asset: Asset,
    /// Name of the point.
    pub(crate) flag: &'static str,
    pub(crate) value: bool,
}

/// A scenario under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Active {
    kind: Kind,
    /// `None`: the whole building.
    asset: Option<Asset>,
    /// Tells this start from a later one of the same scenario.
    number: u64,
}

/// The building.
#[derive(Debug)]
pub(crate) struct World {
    steps: u64,
    elevators: Vec<Elevator>,
    fire_panel: FirePanel,
    fire_pump: FirePump,
    booster: Booster,
    sumps: Vec<Sump>,
    tank: Tank,
    units: Vec<Unit>,
    active: Vec<Active>,
    started: u64,
    flags: Vec<(Asset, &'static str, bool)>,
    changes: VecDeque<Change>,
    dropped_changes: u64,
}

impl World {
    /// Returns the building that grows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            steps: 0,
            elevators: (1..=6).map(|number| Elevator::new(seed, number)).collect(),
            fire_panel: FirePanel::new(seed),
            fire_pump: FirePump::new(seed),
            booster: Booster::new(seed, MORNING),
            sumps: (1..=2).map(|number| Sump::new(seed, number)).collect(),
            tank: Tank::new(seed),
            units: ASSETS
                .iter()
                .filter_map(|(_, asset)| asset.unit())
                .map(|id| Unit::new(id, seed))
                .collect(),
            active: Vec::new(),
            started: 0,
            flags: Vec::new(),
            changes: VecDeque::new(),
            dropped_changes: 0,
        };
        world.flags = world.current_flags();
        world
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self) {
        let before = self.second_of_day();
        self.steps += 1;
        let now = self.second_of_day();
        let new_day = now < before;
        for elevator in &mut self.elevators {
            if new_day {
                elevator.new_day();
            }
            elevator.step();
        }
        if new_day {
            self.fire_pump.new_day();
        }
        self.fire_panel.step();
        self.fire_pump.step();
        self.booster.step(now);
        for sump in &mut self.sumps {
            sump.step();
        }
        self.tank.step(now);
        self.notice_changes();
    }

    fn second_of_day(&self) -> f64 {
        (MORNING + self.steps as f64 * STEP) % DAY
    }

    fn current_flags(&self) -> Vec<(Asset, &'static str, bool)> {
        let of = |asset: Asset, flags: Vec<(&'static str, bool)>| {
            flags
                .into_iter()
                .map(move |(flag, value)| (asset, flag, value))
        };
        let mut all: Vec<_> = of(Asset::Booster, self.booster.flags()).collect();
        for (index, sump) in self.sumps.iter().enumerate() {
            all.extend(of(Asset::Sump(index), sump.flags()));
        }
        all.extend(of(Asset::Tank, self.tank.flags()));
        all
    }

    fn notice_changes(&mut self) {
        let now = self.current_flags();
        for (old, new) in self.flags.iter().zip(&now) {
            if old.2 != new.2 {
                if self.changes.len() == MAX_CHANGES {
                    self.changes.pop_front();
                    self.dropped_changes += 1;
                }
                let (asset, flag, value) = *new;
                self.changes.push_back(Change { asset, flag, value });
            }
        }
        self.flags = now;
    }

    /// Takes the changes of flags since the last call.
    pub(crate) fn take_changes(&mut self) -> VecDeque<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Begins a scenario and returns the number under which [`World::end`] ends it.
    pub(crate) fn begin(&mut self, kind: Kind, asset: Option<Asset>) -> u64 {
        self.active
            .retain(|active| (active.kind, active.asset) != (kind, asset));
        self.started += 1;
        self.active.push(Active {
            kind,
            asset,
            number: self.started,
        });
        self.settle();
        self.started
    }

    /// Ends the scenario that was begun under this number, unless it has been begun anew since.
    pub(crate) fn end(&mut self, number: u64) {
        self.active.retain(|active| active.number != number);
        self.settle();
    }

    /// Ends every scenario, or those of one asset.
    pub(crate) fn clear(&mut self, asset: Option<Asset>) {
        self.active
            .retain(|active| asset.is_some() && active.asset != asset);
        self.settle();
    }

    /// Whether the broker should be up.
    pub(crate) fn broker_up(&self) -> bool {
        !self.active.iter().any(|a| a.kind == Kind::BrokerDown)
    }

    /// Makes the devices what the active scenarios say.
    fn settle(&mut self) {
        let active = std::mem::take(&mut self.active);
        let on = |kind: Kind, asset: Asset| {
            active
                .iter()
                .any(|a| a.kind == kind && a.asset == Some(asset))
        };
        for (index, elevator) in self.elevators.iter_mut().enumerate() {
            elevator.set_trouble(latest(&active, Asset::Elevator(index), trouble));
        }
        let panel = Asset::FirePanel;
        self.fire_panel.set_smoke(on(Kind::Smoke, panel));
        self.fire_panel.set_dirty(on(Kind::DetectorDirty, panel));
        self.fire_panel
            .set_mains_lost(on(Kind::FireMainsLoss, panel));
        let pump = Asset::FirePump;
        self.fire_pump.set_power_lost(on(Kind::MainsLoss, pump));
        self.fire_pump.set_overload(on(Kind::PumpOverload, pump));
        let booster = Asset::Booster;
        self.booster.set_mains_lost(on(Kind::MainsLoss, booster));
        self.booster.set_overload(on(Kind::PumpOverload, booster));
        self.booster.set_no_inlet(on(Kind::DryRun, booster));
        for (index, sump) in self.sumps.iter_mut().enumerate() {
            let asset = Asset::Sump(index);
            sump.set_mains_lost(on(Kind::MainsLoss, asset));
            sump.set_overload(on(Kind::PumpOverload, asset));
            sump.set_flooding(on(Kind::SumpHigh, asset));
        }
        for unit in &mut self.units {
            unit.behaviour = Asset::by_unit(unit.id)
                .map_or(Behaviour::Normal, |asset| latest(&active, asset, behaviour));
        }
        self.active = active;
    }

    /// Answers a Modbus request and says how the unit behaves; `None` if there is no such unit.
    pub(crate) fn reply(&mut self, id: u8, request: &[u8]) -> Option<(Reply, Behaviour)> {
        let image = self.image(Asset::by_unit(id)?)?;
        let unit = self.units.iter_mut().find(|unit| unit.id == id)?;
        Some((unit.reply(&image, request), unit.behaviour))
    }

    /// Returns the register image of an asset; `None` for assets on MQTT.
    pub(crate) fn image(&self, asset: Asset) -> Option<Image> {
        match asset {
            Asset::Elevator(index) => self
                .elevators
                .get(index)
                .map(|elevator| elevator::registers::image(&elevator.readings())),
            Asset::FirePanel => Some(fire_panel::registers::image(&self.fire_panel.readings())),
            Asset::FirePump => Some(fire_pump::registers::image(&self.fire_pump.readings())),
            Asset::Booster | Asset::Sump(_) | Asset::Tank => None,
        }
    }

    /// Returns what an asset's controller knows, in the shape in which it tells it.
    pub(crate) fn telemetry(&self, asset: Asset) -> Value {
        let told = match asset {
            Asset::Elevator(index) => self
                .elevators
                .get(index)
                .map(|elevator| serde_json::to_value(elevator.readings())),
            Asset::FirePanel => Some(serde_json::to_value(self.fire_panel.readings())),
            Asset::FirePump => Some(serde_json::to_value(self.fire_pump.readings())),
            Asset::Booster => Some(serde_json::to_value(self.booster.telemetry())),
            Asset::Sump(index) => self
                .sumps
                .get(index)
                .map(|sump| serde_json::to_value(sump.telemetry())),
            Asset::Tank => Some(serde_json::to_value(self.tank.telemetry())),
        };
        told.and_then(Result::ok).unwrap_or(Value::Null)
    }

    /// Returns the truth about every asset by its code, and about the building under `building`.
    pub(crate) fn state(&self, speed: f64) -> Value {
        let mut state = Map::new();
        for (code, asset) in ASSETS {
            let mut points = flatten(self.telemetry(asset));
            if let Some(unit) = self.units.iter().find(|unit| asset.unit() == Some(unit.id)) {
                points.insert(
                    "modbus".to_owned(),
                    json!({ "unit": unit.id, "counters": unit.counters }),
                );
            }
            points.insert("scenarios".to_owned(), json!(self.scenarios(Some(asset))));
            state.insert(code.to_owned(), Value::Object(points));
        }
        let building = json!({
            "seconds": (self.steps as f64 * STEP).round(),
            "speed": speed,
            "scenarios": self.scenarios(None),
            "broker_up": self.broker_up(),
            "dropped_events": self.dropped_changes,
        });
        state.insert("building".to_owned(), building);
        Value::Object(state)
    }

    fn scenarios(&self, asset: Option<Asset>) -> Vec<&'static str> {
        self.active
            .iter()
            .filter(|active| active.asset == asset)
            .filter_map(|active| SCENARIOS.iter().find(|s| s.kind == active.kind))
            .map(|scenario| scenario.name)
            .collect()
    }
}

/// Returns what the latest scenario of the asset means to `reading`, or the default.
fn latest<T: Default>(active: &[Active], asset: Asset, reading: fn(Kind) -> Option<T>) -> T {
    active
        .iter()
        .rev()
        .filter(|active| active.asset == Some(asset))
        .find_map(|active| reading(active.kind))
        .unwrap_or_default()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most scenarios have nothing to do with elevators"
)]
fn trouble(kind: Kind) -> Option<Trouble> {
    match kind {
        Kind::Entrapment => Some(Trouble::Entrapment),
        Kind::DoorFault => Some(Trouble::Door),
        Kind::MainsLoss => Some(Trouble::Mains),
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most scenarios leave the line alone"
)]
fn behaviour(kind: Kind) -> Option<Behaviour> {
    match kind {
        Kind::UnitSilent => Some(Behaviour::Silent),
        Kind::UnitSlow => Some(Behaviour::Slow),
        Kind::UnitLate => Some(Behaviour::Late),
        Kind::Garbage => Some(Behaviour::Garbage),
        _ => None,
    }
}

/// Names the values of a telemetry message as the points of the manual: `pumps[0].running` is `pump1_running`.
fn flatten(value: Value) -> Map<String, Value> {
    let Value::Object(mut points) = value else {
        return Map::new();
    };
    if let Some(Value::Array(pumps)) = points.remove("pumps") {
        for (index, pump) in pumps.into_iter().enumerate() {
            if let Value::Object(fields) = pump {
                let number = index + 1;
                points.extend(
                    fields
                        .into_iter()
                        .map(|(name, value)| (format!("pump{number}_{name}"), value)),
                );
            }
        }
    }
    points
}
