//! Assets and points as the API shows them.

use crate::wire::{PointValue, time, value};
use serde::Serialize;
use utoipa::ToSchema;
use zhiban_core::{AssetId, Language, PointId, Snapshot};

/// One piece of equipment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    /// The code on its label.
    #[schema(example = "A3")]
    pub(crate) code: String,
    /// The class.
    #[schema(example = "elevator")]
    pub(crate) class: String,
    /// The name people read.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) location: Option<String>,
    /// The profile that describes its points.
    pub(crate) profile: String,
    /// `normal`, `alarm`, `stale` or `out_of_service`.
    pub(crate) state: &'static str,
    /// `up`, `degraded`, `down` or `disabled`.
    pub(crate) link: &'static str,
    /// How many of its alarms are not normal.
    pub(crate) open_alarms: u32,
    /// How many of its orders are not over.
    pub(crate) open_work_orders: u32,
}

impl Asset {
    /// The asset at this place; `None` when there is none.
    pub(crate) fn of(snapshot: &Snapshot, id: AssetId, language: Language) -> Option<Self> {
        let asset = snapshot.model.assets.get(id.index())?;
        let view = snapshot.assets.get(id.index())?;
        let place = asset.location.as_ref();
        Some(Self {
            code: asset.code.clone(),
            class: asset.class.clone(),
            name: asset.name.get(language).to_owned(),
            location: place.map(|place| place.name.get(language).to_owned()),
            profile: asset.profile.clone(),
            state: view.state.code(),
            link: view.link.code(),
            open_alarms: view.open_alarms,
            open_work_orders: view.open_work_orders,
        })
    }
}

/// One point and its value now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Point {
    /// `{asset}/{point}`.
    #[schema(example = "A3/car_position")]
    pub(crate) key: String,
    /// The name people read.
    pub(crate) name: String,
    /// The last usable value: true or false, a number, a text or an enumeration's code.
    #[schema(value_type = Option<PointValue>)]
    pub(crate) value: Option<serde_json::Value>,
    /// The unit; `null` when it has none.
    pub(crate) unit: Option<String>,
    /// `good`, `uncertain`, `bad` or `stale`.
    pub(crate) quality: &'static str,
    /// Why it is not good.
    pub(crate) reason: Option<&'static str>,
    /// When the value was acquired.
    #[schema(format = DateTime)]
    pub(crate) at: Option<String>,
}

impl Point {
    /// The point at this place; `None` when there is none.
    pub(crate) fn of(snapshot: &Snapshot, id: PointId, language: Language) -> Option<Self> {
        let point = snapshot.model.points.get(id.index())?;
        let state = snapshot.points.get(id.index())?;
        Some(Self {
            key: point.key.to_string(),
            name: point.name.get(language).to_owned(),
            value: state.value.as_ref().map(value),
            unit: Some(point.unit.to_string()).filter(|unit| !unit.is_empty()),
            quality: state.quality.code(),
            reason: state.quality.reason().map(|reason| reason.code()),
            at: state.at.map(time),
        })
    }
}
