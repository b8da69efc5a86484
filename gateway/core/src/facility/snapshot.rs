//! What people may see of the building at one moment, made whole and never changed after.
//!
//! A snapshot is only published after what it shows is durable.

use super::Facility;
use crate::alarm::{Alarm, AlarmId, AlarmState, Priority, Signal};
use crate::model::{AssetId, LinkState, Model};
use crate::point::PointState;
use crate::time::Timestamp;
use crate::work_order::{WorkOrder, WorkOrderNumber};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How an asset is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssetState {
    /// Data come and no alarm is active.
    Normal,
    /// The fault of an alarm other than the lack of data stands, as far as is known.
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
    /// What the machine says now of the fault of each of them.
    pub signals: BTreeMap<AlarmId, Signal>,
    /// Every order that is not over.
    pub work_orders: BTreeMap<WorkOrderNumber, WorkOrder>,
}

/// Where an alarm stands among all: the smallest first. What stands and guards life comes first, seen or put aside
/// or not, and with it what stands, is most urgent and nobody has seen: however much else is raised, nobody may
/// lose it from sight. Then what was so and is over unseen; then the rest, unseen before seen before put aside.
/// Within each how urgent it is, what is in danger, whether life is guarded, whether it is seen, whether the fault
/// stands, and which is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency {
    tier: Tier,
    priority: Priority,
    danger: u8,
    no_life_safety: bool,
    seen: bool,
    over: bool,
    /// Another alarm of the same incident says better what it is.
    unnamed: bool,
    raised_at: Timestamp,
    id: AlarmId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Danger,
    UnseenDanger,
    Unseen,
    Seen,
    Aside,
}

/// Whether an alarm is put aside, and whether somebody has seen it.
fn standing(alarm: &Alarm) -> (bool, bool) {
    match alarm.state() {
        AlarmState::Shelved | AlarmState::Suppressed | AlarmState::OutOfService => (true, true),
        AlarmState::Acknowledged | AlarmState::Normal => (false, true),
        AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged => (false, false),
    }
}

impl Tier {
    /// In order, so that each stands at the place of its number.
    const ALL: [Self; 5] = [
        Self::Danger,
        Self::UnseenDanger,
        Self::Unseen,
        Self::Seen,
        Self::Aside,
    ];

    fn of(alarm: &Alarm, life_safety: bool) -> Self {
        let (aside, seen) = standing(alarm);
        let is_urgent = life_safety || alarm.priority == Priority::Urgent;
        match (aside, seen) {
            _ if life_safety && alarm.active => Self::Danger,
            (false, false) if is_urgent && alarm.active => Self::Danger,
            (false, false) if is_urgent => Self::UnseenDanger,
            (true, _) => Self::Aside,
            (false, false) => Self::Unseen,
            (false, true) => Self::Seen,
        }
    }
}

/// Made of numbers alone, so that a list can go on after it.
impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tier as u8)?;
        for flag in [self.no_life_safety, self.seen, self.over, self.unnamed] {
            f.write_str(if flag { "1" } else { "0" })?;
        }
        let (priority, at) = (self.priority.number(), self.raised_at.millis());
        write!(f, ".{priority}.{}.{at}.{}", self.danger, self.id)
    }
}

impl FromStr for Urgency {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not a place in a list of alarms".to_owned();
        let parts: Vec<&str> = text.split('.').collect();
        let [flags, priority, danger, at, id] = parts[..] else {
            return Err(wrong());
        };
        let (tier, flags) = flags.split_at_checked(1).ok_or_else(wrong)?;
        let tier: usize = tier.parse().map_err(|_| wrong())?;
        let flags: Vec<bool> = flags.chars().map(|flag| flag == '1').collect();
        let [no_life_safety, seen, over, unnamed] = flags[..] else {
            return Err(wrong());
        };
        let priority: u8 = priority.parse().map_err(|_| wrong())?;
        let raised_at: i64 = at.parse().map_err(|_| wrong())?;
        Ok(Self {
            tier: *Tier::ALL.get(tier).ok_or_else(wrong)?,
            priority: Priority::try_from(priority)?,
            danger: danger.parse().map_err(|_| wrong())?,
            no_life_safety,
            seen,
            over,
            unnamed,
            raised_at: Timestamp::from_millis(raised_at),
            id: id.parse().map_err(|_| wrong())?,
        })
    }
}

impl Snapshot {
    /// Where an alarm stands among all.
    pub fn urgency(&self, alarm: &Alarm) -> Urgency {
        let rule = &self.model.rule(alarm.rule).rule;
        let order = alarm.work_order.as_ref();
        let order = order.and_then(|no| self.work_orders.get(no));
        Urgency {
            tier: Tier::of(alarm, rule.life_safety),
            priority: alarm.priority,
            danger: rule.danger().rank(),
            no_life_safety: !rule.life_safety,
            seen: standing(alarm).1,
            over: !alarm.active,
            unnamed: order.is_none_or(|order| order.rule != Some(alarm.rule)),
            raised_at: alarm.raised_at,
            id: alarm.id,
        }
    }

    /// Whether an alarm stands, guards life, and was seen or put aside: nothing else asks for it any more.
    pub fn is_standing_danger(&self, alarm: &Alarm) -> bool {
        alarm.active && self.model.rule(alarm.rule).rule.life_safety && standing(alarm).1
    }

    /// Every open alarm, the one that must be looked at first at the top.
    pub fn by_urgency(&self) -> Vec<&Alarm> {
        let mut alarms: Vec<&Alarm> = self.alarms.values().collect();
        alarms.sort_by_cached_key(|alarm| self.urgency(alarm));
        alarms
    }

    /// What the machine says now of the fault of an alarm; of one that is not open, that it is gone.
    pub fn signal(&self, alarm: AlarmId) -> Signal {
        self.signals.get(&alarm).copied().unwrap_or(Signal::Gone)
    }
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
        let signals = self.alarms.iter();
        let signals = signals.map(|(id, alarm)| (*id, self.signal(alarm)));
        Snapshot {
            at: now,
            sequence: self.sequence,
            model: self.model.clone(),
            assets,
            points: self.points.clone(),
            alarms: self.alarms.clone(),
            signals: signals.collect(),
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
