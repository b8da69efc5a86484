//! What the gateway knows: points, alarms, work orders and who must be told.
//!
//! This crate does no I/O, reads no clock and has no async code: time is an
//! argument, effects are returned, and the same inputs always give the same
//! effects. It must never depend on another package of this workspace.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alarm;
pub mod facility;
pub mod model;
pub mod notification;
pub mod numbered;
pub mod place;
pub mod point;
pub mod profile;
pub mod text;
pub mod time;
pub mod unit;
pub mod work_order;

pub use alarm::{Alarm, AlarmId, AlarmState, AlarmTransition, Priority, Signal};
pub use facility::{Command, Effect, Effects, Facility, Input, Outcome, Refusal, Snapshot};
pub use model::{Asset, AssetId, LinkState, Model, Point, PointId, RuleId};
pub use notification::{Notification, NotifyReason};
pub use place::Place;
pub use point::{PointUpdate, Quality, QualityReason, Sample, SampleBatch, Value};
pub use text::{Language, Text};
pub use time::{Duration, Timestamp};
pub use work_order::{WorkOrder, WorkOrderEvent, WorkOrderNumber, WorkOrderStatus};
