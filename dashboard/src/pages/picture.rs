//! Pictures of equipment: shaft, fire panel, pumps, indicators, drawn from data alone.
//!
//! A picture appears when an asset has the points it needs; nothing here knows the asset of any site.
//! Grey unless abnormal; what is not known is never drawn as if it were normal.

pub(crate) mod indicator;
pub(crate) mod lift;
pub(crate) mod panel;
pub(crate) mod pumps;

use super::frame::Visit;
use super::items::AlarmItem;
use super::show::{Reading, Symbol, quality_number};
use std::collections::BTreeSet;
use zhiban_core::alarm::Signal;
use zhiban_core::alarm::rule::Condition;
use zhiban_core::facility::AssetState;
use zhiban_core::point::PointState;
use zhiban_core::{Alarm, AlarmState, Asset, AssetId, Point, PointId, Value};

/// The points that say most about an asset of each class, in the order people ask for them.
const WORTH: [(&str, &[&str]); 6] = [
    (
        "elevator",
        &[
            "floor",
            "door_state",
            "service_mode",
            "fault_code",
            "load",
            "speed",
            "machine_room_temperature",
            "trips_today",
        ],
    ),
    (
        "fire_panel",
        &[
            "fire",
            "fault",
            "disabled",
            "first_alarm_text",
            "battery_voltage",
            "mains_voltage",
            "detector_dirt_max",
            "event_count",
        ],
    ),
    (
        "pump_set",
        &[
            "outlet_pressure",
            "setpoint",
            "inlet_pressure",
            "flow",
            "dry_run",
            "mains",
            "energy",
            "pump1_frequency",
        ],
    ),
    (
        "fire_pump",
        &[
            "outlet_pressure",
            "selector_auto",
            "power_ok",
            "running",
            "fault",
            "low_pressure",
            "patrol_result",
            "jockey_starts_day",
        ],
    ),
    (
        "sump",
        &[
            "level",
            "high_level",
            "pump1_running",
            "pump2_running",
            "mains",
        ],
    ),
    (
        "tank",
        &[
            "level",
            "level_percent",
            "inlet_valve",
            "high_high",
            "low_low",
            "temperature",
        ],
    ),
];

/// One asset with its points, as the pictures look at it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) visit: &'a Visit,
    pub(crate) id: AssetId,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(visit: &'a Visit, id: AssetId) -> Self {
        Self { visit, id }
    }

    pub(crate) fn asset(&self) -> &'a Asset {
        self.visit.snapshot.model.asset(self.id)
    }

    pub(crate) fn code(&self) -> &'a str {
        &self.asset().code
    }

    pub(crate) fn name(&self) -> String {
        self.asset().name.get(self.visit.words().0).to_owned()
    }

    /// Every point of the asset, in the profile's order.
    pub(crate) fn points(&self) -> impl Iterator<Item = PointId> + use<'a> {
        self.asset().points.clone().map(PointId)
    }

    /// A point by its name.
    pub(crate) fn find(&self, name: &str) -> Option<(&'a Point, &'a PointState)> {
        let snapshot = &self.visit.snapshot;
        let id = self
            .points()
            .find(|id| &*snapshot.model.point(*id).point == name)?;
        Some((snapshot.model.point(id), snapshot.points.get(id.index())?))
    }

    pub(crate) fn reading(&self, name: &str) -> Option<Reading> {
        let (point, state) = self.find(name)?;
        Some(Reading::new(&self.visit.times, point, state))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.find(name)?.1.value.as_ref()
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_number()
    }

    /// A point of the asset by its id.
    pub(crate) fn show(&self, id: PointId) -> Option<Reading> {
        let snapshot = &self.visit.snapshot;
        let state = snapshot.points.get(id.index())?;
        let point = snapshot.model.point(id);
        Some(Reading::new(&self.visit.times, point, state))
    }

    /// Every point, the most telling first: the given ones, the usual ones of the class, the rest.
    pub(crate) fn ranked(&self, first: &[PointId]) -> Vec<PointId> {
        let model = &self.visit.snapshot.model;
        let class = &self.asset().class;
        let worth = WORTH.iter().find(|(name, _)| name == class);
        let worth = worth.map_or(&[][..], |(_, names)| names).iter();
        let by_name = |name: &&str| {
            let mut points = self.points();
            points.find(|id| &&*model.point(*id).point == name)
        };
        let mut seen = BTreeSet::new();
        let all = first.iter().copied();
        all.chain(worth.filter_map(by_name))
            .chain(self.points())
            .filter(|id| seen.insert(*id))
            .collect()
    }

    /// The value as it travels to the page, empty when there is none.
    pub(crate) fn raw(&self, name: &str) -> String {
        self.value(name)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    pub(crate) fn quality(&self, name: &str) -> u8 {
        self.find(name)
            .map_or(3, |(_, state)| quality_number(state.quality))
    }

    /// How the asset is as a whole.
    pub(crate) fn state(&self) -> AssetState {
        self.visit
            .snapshot
            .assets
            .get(self.id.index())
            .map_or(AssetState::Stale, |view| view.state)
    }

    /// Whether nothing is known of it now, alarm or not.
    pub(crate) fn is_silent(&self) -> bool {
        let view = self.visit.snapshot.assets.get(self.id.index());
        self.state() != AssetState::OutOfService
            && view.is_none_or(|view| view.has_data != Some(true))
    }

    /// The alarm that marks the asset: its fault stands, the most urgent first.
    pub(crate) fn worst(&self) -> Option<&'a Alarm> {
        self.first_of(is_marking)
    }

    /// The alarm of a fault that is over and that nobody has acknowledged, the most urgent first.
    pub(crate) fn waiting(&self) -> Option<&'a Alarm> {
        self.first_of(|alarm| alarm.state() == AlarmState::ReturnedUnacknowledged)
    }

    fn first_of(&self, of: impl Fn(&Alarm) -> bool) -> Option<&'a Alarm> {
        let snapshot = &self.visit.snapshot;
        let alarms = snapshot.alarms.values();
        let mine = alarms.filter(|alarm| alarm.asset == self.id && of(alarm));
        mine.min_by_key(|alarm| snapshot.urgency(alarm))
    }

    /// What stands beside the asset's code: the symbol of the fault that stands, else a hollow one
    /// for what is over and waits.
    pub(crate) fn mark(&self) -> Option<Symbol> {
        let alarm = self.worst().or_else(|| self.waiting())?;
        Some(self.symbol(alarm))
    }

    /// What waits for a person though its fault is over, in words: what it was, and how it is now.
    pub(crate) fn waiting_words(&self) -> String {
        let Some(alarm) = self.waiting().filter(|_| self.worst().is_none()) else {
            return String::new();
        };
        let item = AlarmItem::live(self.visit, alarm);
        format!("{} · {} · {}", item.title, item.said.now, item.said.state)
    }

    /// The alarm that marks one point of the asset, as long as its value does not say otherwise.
    pub(crate) fn worst_of(&self, name: &str) -> Option<&'a Alarm> {
        let snapshot = &self.visit.snapshot;
        let model = &snapshot.model;
        let alarms = snapshot.alarms.values();
        let mine = alarms.filter(|alarm| alarm.asset == self.id && is_marking(alarm));
        let mine = mine.filter(|alarm| snapshot.signal(alarm.id) != Signal::Clearing);
        mine.filter(|alarm| {
            let condition = &model.rule(alarm.rule).rule.when;
            marked(condition).contains(&name)
        })
        .min_by_key(|alarm| snapshot.urgency(alarm))
    }

    pub(crate) fn symbol(&self, alarm: &Alarm) -> Symbol {
        let state = alarm.state();
        let over = state == AlarmState::ReturnedUnacknowledged;
        let waits = over || state == AlarmState::Unacknowledged;
        Symbol::new(self.visit.words(), alarm.priority, waits).hollow(over)
    }
}

/// The points an alarm's condition is about, not those that only say when it counts.
fn marked(condition: &Condition) -> Vec<&str> {
    match condition {
        Condition::Flag { point, .. }
        | Condition::State { point, .. }
        | Condition::Bit { point, .. }
        | Condition::Limit { point, .. }
        | Condition::Rate { point, .. } => vec![point],
        Condition::NoData {} | Condition::Unreadable {} => Vec::new(),
        Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
            list.iter().flat_map(marked).collect()
        }
        // Rules that are judged have none of these left.
        Condition::ForSome { .. } | Condition::ForAll { .. } => Vec::new(),
        Condition::All(list) => {
            let limit = list
                .iter()
                .find(|one| matches!(one, Condition::Limit { .. }));
            limit.or(list.first()).map_or_else(Vec::new, marked)
        }
    }
}

/// Whether an alarm marks its equipment: its fault stands, and it is not put aside.
fn is_marking(alarm: &Alarm) -> bool {
    matches!(
        alarm.state(),
        AlarmState::Unacknowledged | AlarmState::Acknowledged
    )
}
