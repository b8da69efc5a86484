//! Pictures of equipment: shaft, fire panel, pumps, indicators, drawn from data alone.
//!
//! A picture appears when an asset has the points it needs; nothing here knows the asset of any site.
//! Grey unless abnormal; what is not known is never drawn as if it were normal.

pub(crate) mod indicator;
pub(crate) mod lift;
pub(crate) mod panel;
pub(crate) mod pumps;

use super::frame::Visit;
use super::show::{Reading, Symbol, quality_number};
use zhiban_core::facility::AssetState;
use zhiban_core::point::PointState;
use zhiban_core::{Alarm, AlarmState, Asset, AssetId, Point, PointId, Value};

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

    /// The alarm that marks the asset: active, the most urgent first.
    pub(crate) fn worst(&self) -> Option<&'a Alarm> {
        let alarms = self.visit.snapshot.alarms.values();
        let mine = alarms.filter(|alarm| alarm.asset == self.id && is_marking(alarm));
        mine.min_by_key(|alarm| (alarm.priority, alarm.raised_at))
    }

    /// The alarm that marks one point of the asset.
    pub(crate) fn worst_of(&self, name: &str) -> Option<&'a Alarm> {
        let model = &self.visit.snapshot.model;
        let alarms = self.visit.snapshot.alarms.values();
        let mine = alarms.filter(|alarm| alarm.asset == self.id && is_marking(alarm));
        mine.filter(|alarm| {
            let points = &model.rule(alarm.rule).points;
            points.iter().any(|id| &*model.point(*id).point == name)
        })
        .min_by_key(|alarm| (alarm.priority, alarm.raised_at))
    }

    pub(crate) fn symbol(&self, alarm: &Alarm) -> Symbol {
        let waits = matches!(alarm.state(), AlarmState::Unacknowledged);
        Symbol::new(self.visit.words(), alarm.priority, waits)
    }
}

/// Whether an alarm marks its equipment: active, and not put aside.
fn is_marking(alarm: &Alarm) -> bool {
    matches!(
        alarm.state(),
        AlarmState::Unacknowledged | AlarmState::Acknowledged
    )
}
