//! Assets and points as the API shows them.

use crate::ports::{DeviceFault, Health};
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
    /// Why it is not read, when it is not.
    pub(crate) fault: Option<Fault>,
    /// How many of its alarms are not normal.
    pub(crate) open_alarms: u32,
    /// How many of its orders are not over.
    pub(crate) open_work_orders: u32,
}

impl Asset {
    /// The asset at this place; `None` when there is none.
    pub(crate) fn of(
        snapshot: &Snapshot,
        id: AssetId,
        language: Language,
        health: &dyn Health,
    ) -> Option<Self> {
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
            fault: health.device_fault(&asset.code).map(Fault::new),
            open_alarms: view.open_alarms,
            open_work_orders: view.open_work_orders,
        })
    }
}

/// Why a device is not read: what was asked in vain last, and what came instead of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// `connection_refused`, `no_connection`, `closed`, `timeout`, `incomplete`, `other_framing`, `exception`,
    /// `unreachable`, `short_answer`, `long_answer`, `wrong_unit`, `wrong_transaction`, `wrong_function` or `garbage`;
    /// behind a broker `broker_not_reached`, `broker_refused`, `no_mqtt`, `broker_tls`, `broker_lost`, `other_client`,
    /// `filter_refused`, `nothing_came`, `too_large`, `nothing_of_it`, `undecodable` or `time_unreadable`.
    #[schema(example = "timeout")]
    pub(crate) reason: &'static str,
    /// The number of the exception by which the device or its gateway refused.
    pub(crate) exception: Option<u8>,
    /// Host and port.
    #[schema(example = "10.0.0.8:4001")]
    pub(crate) endpoint: String,
    /// The unit that was asked.
    pub(crate) unit: Option<u8>,
    /// What was asked for: table, address, count; or the topic.
    #[schema(example = "holding 100, 4")]
    pub(crate) asked: String,
    /// The first bytes that came, in hex; or the beginning of the message.
    #[schema(example = "04 03 08")]
    pub(crate) answer: String,
    /// What the system said, in its own words; or the point that the message is wrong about.
    pub(crate) detail: String,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
}

impl Fault {
    fn new(fault: DeviceFault) -> Self {
        Self {
            reason: fault.kind,
            exception: fault.exception,
            endpoint: fault.endpoint,
            unit: fault.unit,
            asked: fault.asked,
            answer: fault.answer,
            detail: fault.detail,
            at: time(fault.at),
        }
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
