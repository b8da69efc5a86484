//! What people may see of the building at one moment, made whole and never changed after.
//!
//! A snapshot is only published after what it shows is durable.

use super::Facility;
use crate::alarm::{Alarm, AlarmId, Priority};
use crate::model::{AssetId, LinkState, Model};
use crate::point::PointState;
use crate::time::Timestamp;
use crate::work_order::{WorkOrder, WorkOrderNumber};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How an asset is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssetState {
    /// Data come and no alarm is active.
    Normal,
    /// An alarm other than the lack of data is active.
    Alarm,
    /// No fresh data: nothing can be said.
    Stale,
    /// Not watched, by configuration.
    OutOfService,
}

impl AssetState {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            AssetState::Normal => "normal",
            AssetState::Alarm => "alarm",
            AssetState::Stale => "stale",
            AssetState::OutOfService => "out_of_service",
        }
    }
}

/// One asset at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetView {
    /// How it is.
    pub state: AssetState,
    /// How its link is.
    pub link: LinkState,
    /// Whether its data are fresh; `None` until that is known.
    pub has_data: Option<bool>,
    /// When it last gave a usable sample.
    pub heard_at: Option<Timestamp>,
    /// How many of its alarms are not normal.
    pub open_alarms: u32,
    /// How many of its orders are not over.
    pub open_work_orders: u32,
    /// The most urgent of its active alarms.
    pub worst: Option<Priority>,
}

/// The building at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// Grows with every change people can see.
    pub sequence: u64,
    /// What the building is.
    pub model: Arc<Model>,
    /// By the place of [`crate::AssetId`].
    pub assets: Vec<AssetView>,
    /// By the place of [`crate::PointId`].
    pub points: Vec<PointState>,
    /// Every alarm that is not normal.
    pub alarms: BTreeMap<AlarmId, Alarm>,
    /// Every order that is not over.
    pub work_orders: BTreeMap<WorkOrderNumber, WorkOrder>,
}

impl Facility {
    /// The building as it is now.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut assets: Vec<AssetView> = (0..self.model.assets.len())
            .map(|index| AssetView {
                state: AssetState::Normal,
                link: self.links[index],
                has_data: self.has_data[index],
                heard_at: self.heard[index],
                open_alarms: 0,
                open_work_orders: 0,
                worst: None,
            })
            .collect();
        for alarm in self.alarms.values() {
            let view = &mut assets[alarm.asset.index()];
            view.open_alarms += 1;
            if alarm.active {
                view.worst = Some(
                    view.worst
                        .map_or(alarm.priority, |worst| worst.min(alarm.priority)),
                );
                if !self.model.rule(alarm.rule).no_data {
                    view.state = AssetState::Alarm;
                }
            }
        }
        let open = self
            .orders
            .iter()
            .filter(|(_, order)| !order.status.is_over());
        let work_orders: BTreeMap<_, _> = open
            .map(|(no, order)| (no.clone(), order.clone()))
            .collect();
        for order in work_orders.values() {
            assets[order.asset.index()].open_work_orders += 1;
        }
        for (index, view) in assets.iter_mut().enumerate() {
            view.state = self.asset_state(
                AssetId(u32::try_from(index).unwrap_or(u32::MAX)),
                view.state,
            );
        }
        Snapshot {
            at: now,
            sequence: self.sequence,
            model: self.model.clone(),
            assets,
            points: self.points.clone(),
            alarms: self.alarms.clone(),
            work_orders,
        }
    }

    fn asset_state(&self, asset: AssetId, so_far: AssetState) -> AssetState {
        if self.model.asset(asset).disabled {
            AssetState::OutOfService
        } else if so_far == AssetState::Alarm {
            AssetState::Alarm
        } else if self.has_data[asset.index()] == Some(true) {
            AssetState::Normal
        } else {
            AssetState::Stale
        }
    }
}
