//! Alarm rules: data that says when something is wrong, what it means and what to do first.
//!
//! A rule never looks at a value that may not be trusted: its judgement is then "unknown".

use crate::alarm::Priority;
use crate::model::{AssetId, PointId};
use crate::place::BoundPlace;
use crate::point::{PointState, Quality, QualityReason, Value};
use crate::text::Text;
use crate::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file of rules for one class of asset, `config/alarms/<class>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The class of asset.
    pub class: String,
    /// What the faults of this class endanger, where a rule does not say otherwise.
    #[serde(default)]
    pub danger: Option<Danger>,
    /// Where a fault may be, by name, for the rules to choose from. In a text `{point}` is the value
    /// of a point, `{point:level}` a whole number as a floor (`7F`, `B1`), `{point?words}` words for a
    /// flag that is set, `{point!words}` words for one that is not.
    #[serde(default)]
    pub place: BTreeMap<String, Text>,
    /// The rules.
    #[serde(rename = "rule")]
    pub rules: Vec<AlarmRule>,
}

impl RuleFile {
    /// The rules, each with the danger and the places that the file gives it.
    pub fn into_rules(self) -> Vec<AlarmRule> {
        let (danger, places) = (self.danger, self.place);
        let mut rules = self.rules;
        for rule in &mut rules {
            rule.danger = rule.danger.or(danger);
            let named = rule.place.iter().filter_map(|name| places.get(name));
            rule.places = named.cloned().collect();
        }
        rules
    }
}

/// What a fault endangers. Of alarms that are as urgent, those of people, fire and gas come first,
/// then those of water and power, then those of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Danger {
    /// People are trapped, hurt or about to be.
    People,
    /// A fire, or the protection against it.
    Fire,
    /// Gas.
    Gas,
    /// Flooding, or no water.
    Water,
    /// No power.
    Power,
    /// A machine.
    Machine,
}

impl Danger {
    /// Every danger.
    pub const ALL: [Danger; 6] = [
        Danger::People,
        Danger::Fire,
        Danger::Gas,
        Danger::Water,
        Danger::Power,
        Danger::Machine,
    ];

    /// The place in the order: 0 comes first, 2 last.
    pub fn rank(self) -> u8 {
        match self {
            Danger::People | Danger::Fire | Danger::Gas => 0,
            Danger::Water | Danger::Power => 1,
            Danger::Machine => 2,
        }
    }

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Danger::People => "people",
            Danger::Fire => "fire",
            Danger::Gas => "gas",
            Danger::Water => "water",
            Danger::Power => "power",
            Danger::Machine => "machine",
        }
    }

    /// The danger of a stable name.
    pub fn from_code(code: &str) -> Option<Self> {
        Danger::ALL.into_iter().find(|danger| danger.code() == code)
    }
}

/// One alarm rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AlarmRule {
    /// Short stable name, unique within the class, for example `entrapment`.
    pub id: String,
    /// One rule for each number that the names of a device's points have here, for example
    /// `pump{n}` for `pump1_fault`, `pump2_fault`, …. `{n}` then stands for the number in id, family,
    /// texts and condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// The fault family: alarms of one family on one asset share one work order.
    pub family: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What it endangers; when neither the rule nor its file says so, people where it guards life and
    /// a machine otherwise.
    #[serde(default)]
    pub danger: Option<Danger>,
    /// Where the fault is: names of places of the file, the best first. The first whose points the
    /// device has and whose values are known is said.
    #[serde(default)]
    pub place: Vec<String>,
    /// The texts of those places.
    #[serde(skip)]
    pub places: Vec<Text>,
    /// What happened, in a few words.
    pub title: Text,
    /// The likely cause.
    pub cause: Text,
    /// What happens when nobody acts.
    pub consequence: Text,
    /// What to do first.
    pub action: Text,
    /// When it is wrong.
    pub when: Condition,
    /// How long it must be wrong before the alarm is raised.
    #[serde(default)]
    pub on_delay: Duration,
    /// How long it must be right before the alarm returns.
    #[serde(default)]
    pub off_delay: Duration,
    /// Whether the alarm stays active until somebody acknowledges it, even when the condition is gone.
    #[serde(default)]
    pub latch: bool,
    /// Fire, gas, flooding, entrapment: never shelved, delayed, grouped or limited away.
    #[serde(default)]
    pub life_safety: bool,
    /// Whether a work order is raised.
    #[serde(default = "yes")]
    pub work_order: bool,
    /// What becomes of the order when the machine is normal again.
    #[serde(default)]
    pub close: ClosePolicy,
    /// How long the crew has until the fault must be dealt with.
    pub due: Duration,
    /// Where the rule comes from: a standard, a manual, practice.
    #[serde(default)]
    pub source: String,
}

impl AlarmRule {
    /// What it endangers.
    pub fn danger(&self) -> Danger {
        let derived = if self.life_safety {
            Danger::People
        } else {
            Danger::Machine
        };
        self.danger.unwrap_or(derived)
    }

    /// Whether an alarm of this rule may be put aside by a person.
    pub fn may_be_shelved(&self) -> bool {
        !self.life_safety && self.priority != Priority::Urgent
    }
}

fn yes() -> bool {
    true
}

/// What becomes of an order when the machine is normal again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClosePolicy {
    /// A person must do the work, complete and verify it.
    Never,
    /// A person must verify.
    #[default]
    Verify,
    /// Declared harmless: closes by itself when nobody has taken it yet.
    Auto,
}

/// When something is wrong. Written as one of the keys, for example `{ flag = { point = "trapped" } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A flag is set, or not set.
    Flag {
        /// The point's name.
        point: String,
        /// The state that is wrong.
        #[serde(default = "yes")]
        is: bool,
    },
    /// An enumeration has, or a number equals, one of some values.
    State {
        /// The point's name.
        point: String,
        /// The values that are wrong.
        is: Vec<StateValue>,
    },
    /// One bit of a whole number is set, or not set.
    Bit {
        /// The point's name.
        point: String,
        /// The bit, 0 is the lowest.
        bit: u8,
        /// The state that is wrong.
        #[serde(default = "yes")]
        is: bool,
    },
    /// A number is beyond a limit; it must come back by the deadband before it is right again.
    Limit {
        /// The point's name.
        point: String,
        /// Wrong above this.
        #[serde(default)]
        above: Option<f64>,
        /// Wrong below this.
        #[serde(default)]
        below: Option<f64>,
        /// How far inside the limit it must be to be right again.
        #[serde(default)]
        deadband: f64,
        /// The unit of these numbers; a point in another unit of the same quantity is converted.
        /// `1`, or nothing, for a number without a unit.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        unit: String,
    },
    /// A number changes faster than it may.
    Rate {
        /// The point's name.
        point: String,
        /// The largest change allowed, up or down, within the window.
        change: f64,
        /// The window.
        window: Duration,
        /// The unit of the change; see `limit`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        unit: String,
    },
    /// The asset gives no usable data.
    NoData {},
    /// The device answers, and a point that an urgent rule of the asset looks at can't be read:
    /// its code has no meaning, or its value is impossible. Those rules can't be judged then.
    Unreadable {},
    /// All of some conditions.
    All(Vec<Condition>),
    /// Any of some conditions.
    Any(Vec<Condition>),
    /// Some of some conditions, as many as `count`.
    AtLeast {
        /// How many must be so.
        count: u16,
        /// The conditions.
        of: Vec<Condition>,
    },
    /// A condition that is so for some of the numbers that the names of the device's points have.
    ForSome {
        /// Where the number stands, for example `pump{n}`.
        each: String,
        /// For how many of them it must be so.
        #[serde(default = "one")]
        at_least: u16,
        /// The condition, with `{n}` for the number.
        when: Box<Condition>,
    },
    /// A condition that is so for each of the numbers that the names of the device's points have.
    ForAll {
        /// Where the number stands, for example `pump{n}`.
        each: String,
        /// The condition, with `{n}` for the number.
        when: Box<Condition>,
    },
}

fn one() -> u16 {
    1
}

impl Condition {
    /// Every point it looks at, as it stands there: with `{n}` where a number is to come.
    pub fn points(&self) -> BTreeSet<&str> {
        match self {
            Condition::Flag { point, .. }
            | Condition::State { point, .. }
            | Condition::Bit { point, .. }
            | Condition::Limit { point, .. }
            | Condition::Rate { point, .. } => [point.as_str()].into(),
            Condition::NoData {} | Condition::Unreadable {} => BTreeSet::new(),
            Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
                list.iter().flat_map(Condition::points).collect()
            }
            Condition::ForSome { when, .. } | Condition::ForAll { when, .. } => when.points(),
        }
    }
}

/// A value in a state condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum StateValue {
    /// A whole number.
    Integer(i64),
    /// The code of an enumeration, or a text.
    Text(String),
}

/// A rule bound to one asset: its points are numbered.
#[derive(Debug, Clone)]
pub struct BoundRule {
    /// The rule.
    pub rule: Arc<AlarmRule>,
    /// The asset.
    pub asset: AssetId,
    pub(crate) condition: BoundCondition,
    /// Every point the condition looks at.
    pub points: Vec<PointId>,
    /// Where the fault is, as far as the asset's points can say it; the best first.
    pub(crate) places: Vec<BoundPlace>,
    /// Whether the condition is the lack of data.
    pub no_data: bool,
    /// The points that must be readable, of a rule whose condition is that one is not.
    pub(crate) blind_without: Vec<PointId>,
}

#[derive(Debug, Clone)]
pub(crate) enum BoundCondition {
    Flag(PointId, bool),
    State(PointId, Vec<StateValue>),
    Bit(PointId, u8, bool),
    Limit {
        point: PointId,
        above: Option<f64>,
        below: Option<f64>,
        deadband: f64,
    },
    Rate {
        point: PointId,
        change: f64,
        window: Duration,
    },
    NoData,
    Unreadable,
    All(Vec<BoundCondition>),
    Any(Vec<BoundCondition>),
    AtLeast(usize, Vec<BoundCondition>),
}

/// What a condition may look at.
pub(crate) struct Evidence<'a> {
    pub(crate) points: &'a [PointState],
    /// Whether the asset gives data: `None` until that is known.
    pub(crate) has_data: Option<bool>,
    /// Whether the alarm is active now, for the deadband.
    pub(crate) active: bool,
    /// The latest values of each point whose rate is looked at.
    pub(crate) history: &'a std::collections::BTreeMap<PointId, RateMemory>,
}

/// What a rate condition remembers: the values of its window, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateMemory {
    pub(crate) values: std::collections::VecDeque<(Timestamp, f64)>,
}

/// The most values a rate condition keeps; beyond it the oldest go, and the window is shorter.
const RATE_MEMORY: usize = 512;

impl RateMemory {
    pub(crate) fn push(&mut self, at: Timestamp, value: f64, window: Duration) {
        // The clock of a device that was ahead was set: what it stamped before belongs to no window.
        while self.values.back().is_some_and(|(last, _)| *last > at) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        while self.values.len() > RATE_MEMORY
            || self
                .values
                .front()
                .is_some_and(|(first, _)| at.since(*first) > window)
        {
            self.values.pop_front();
        }
    }

    /// How far the values of a window are apart. The window ends with the latest value, by the clock
    /// that stamped it: that of a device need not agree with ours.
    fn span(&self, window: Duration) -> Option<f64> {
        let (last, _) = self.values.back()?;
        let window = self
            .values
            .iter()
            .filter(|(at, _)| last.since(*at) <= window);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (_, value) in window {
            low = low.min(*value);
            high = high.max(*value);
        }
        Some(high - low)
    }
}

impl BoundRule {
    /// Numbers the points of a rule; the error is the name of a point that is not there.
    pub(crate) fn bind(
        rule: Arc<AlarmRule>,
        asset: AssetId,
        find: impl Fn(&str) -> Option<PointId>,
    ) -> Result<Self, String> {
        let mut points = Vec::new();
        let condition = bind(&rule.when, &find, &mut points)?;
        let no_data = matches!(condition, BoundCondition::NoData);
        points.sort_unstable();
        points.dedup();
        let places = rule.places.iter();
        let places = places.filter_map(|place| BoundPlace::bind(place, &find));
        Ok(Self {
            places: places.collect(),
            rule,
            asset,
            condition,
            points,
            no_data,
            blind_without: Vec::new(),
        })
    }

    /// Whether the condition is that a point can't be read.
    pub(crate) fn is_of_blindness(&self) -> bool {
        matches!(self.condition, BoundCondition::Unreadable)
    }

    /// Whether people are in danger when it can't be judged.
    pub(crate) fn is_vital(&self) -> bool {
        self.rule.life_safety || self.rule.priority == Priority::Urgent
    }

    /// Judges: `Some(true)` it is wrong, `Some(false)` it is right, `None` it cannot be known.
    pub(crate) fn judge(&self, evidence: &Evidence<'_>) -> Option<bool> {
        if self.is_of_blindness() {
            let points = self.blind_without.iter();
            let states = points.map(|point| &evidence.points[point.index()]);
            return together(states.map(is_unreadable), true);
        }
        judge(&self.condition, evidence)
    }

    /// The points whose rate the rule looks at, each with its window.
    pub(crate) fn rates(&self) -> Vec<(PointId, Duration)> {
        find_rates(&self.condition)
    }
}

fn find_rates(condition: &BoundCondition) -> Vec<(PointId, Duration)> {
    match condition {
        BoundCondition::Rate { point, window, .. } => vec![(*point, *window)],
        BoundCondition::All(list)
        | BoundCondition::Any(list)
        | BoundCondition::AtLeast(_, list) => list.iter().flat_map(find_rates).collect(),
        BoundCondition::Flag(..)
        | BoundCondition::State(..)
        | BoundCondition::Bit(..)
        | BoundCondition::Limit { .. }
        | BoundCondition::NoData
        | BoundCondition::Unreadable => Vec::new(),
    }
}

fn bind(
    condition: &Condition,
    find: &impl Fn(&str) -> Option<PointId>,
    points: &mut Vec<PointId>,
) -> Result<BoundCondition, String> {
    let mut id = |name: &String| {
        let id = find(name).ok_or_else(|| name.clone())?;
        points.push(id);
        Ok::<PointId, String>(id)
    };
    Ok(match condition {
        Condition::Flag { point, is } => BoundCondition::Flag(id(point)?, *is),
        Condition::State { point, is } => BoundCondition::State(id(point)?, is.clone()),
        Condition::Bit { point, bit, is } => BoundCondition::Bit(id(point)?, *bit, *is),
        Condition::Limit {
            point,
            above,
            below,
            deadband,
            ..
        } => BoundCondition::Limit {
            point: id(point)?,
            above: *above,
            below: *below,
            deadband: *deadband,
        },
        Condition::Rate {
            point,
            change,
            window,
            ..
        } => BoundCondition::Rate {
            point: id(point)?,
            change: *change,
            window: *window,
        },
        Condition::NoData {} => BoundCondition::NoData,
        Condition::Unreadable {} => BoundCondition::Unreadable,
        Condition::All(list) => BoundCondition::All(bind_all(list, find, points)?),
        Condition::Any(list) => BoundCondition::Any(bind_all(list, find, points)?),
        Condition::AtLeast { count, of } => {
            BoundCondition::AtLeast(usize::from(*count), bind_all(of, find, points)?)
        }
        // `fit` has made conditions of these; what is left has no numbers to stand for.
        Condition::ForSome { each, .. } | Condition::ForAll { each, .. } => {
            return Err(each.clone());
        }
    })
}

fn bind_all(
    list: &[Condition],
    find: &impl Fn(&str) -> Option<PointId>,
    points: &mut Vec<PointId>,
) -> Result<Vec<BoundCondition>, String> {
    list.iter()
        .map(|condition| bind(condition, find, points))
        .collect()
}

/// A value that may be judged: a good one either way, an uncertain one only as wrong.
fn weigh(state: &PointState, wrong: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    if !state.quality.may_raise() {
        return None;
    }
    let verdict = wrong(state.value.as_ref()?)?;
    (verdict || state.quality.may_clear()).then_some(verdict)
}

fn judge(condition: &BoundCondition, evidence: &Evidence<'_>) -> Option<bool> {
    let state = |point: &PointId| &evidence.points[point.index()];
    match condition {
        BoundCondition::Flag(point, is) => weigh(state(point), |value| match value {
            Value::Flag(flag) => Some(flag == is),
            Value::Integer(number) => Some((*number != 0) == *is),
            Value::Number(_) | Value::Text(_) => None,
        }),
        BoundCondition::State(point, list) => weigh(state(point), |value| equals_any(value, list)),
        BoundCondition::Bit(point, bit, is) => weigh(state(point), |value| match value {
            Value::Integer(number) => Some((number >> (*bit).min(63) & 1 == 1) == *is),
            Value::Flag(_) | Value::Number(_) | Value::Text(_) => None,
        }),
        BoundCondition::Limit {
            point,
            above,
            below,
            deadband,
        } => {
            let margin = if evidence.active { *deadband } else { 0.0 };
            weigh(state(point), |value| {
                let number = value.as_number()?;
                let high = above.is_some_and(|limit| number > limit - margin);
                let low = below.is_some_and(|limit| number < limit + margin);
                Some(high || low)
            })
        }
        BoundCondition::Rate {
            point,
            change,
            window,
        } => weigh(state(point), |_| {
            let memory = evidence.history.get(point)?;
            memory.span(*window).map(|span| span > *change)
        }),
        BoundCondition::NoData => evidence.has_data.map(|has_data| !has_data),
        // Judged for the whole rule: it is never a part of another condition.
        BoundCondition::Unreadable => None,
        BoundCondition::All(list) => together(list.iter().map(|one| judge(one, evidence)), false),
        BoundCondition::Any(list) => together(list.iter().map(|one| judge(one, evidence)), true),
        BoundCondition::AtLeast(count, list) => {
            at_least(*count, list.iter().map(|one| judge(one, evidence)))
        }
    }
}

/// As many as `count` of some verdicts; unknown as long as the unknown ones could settle it.
fn at_least(count: usize, verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let (mut wrong, mut unknown) = (0, 0);
    for verdict in verdicts {
        match verdict {
            Some(true) => wrong += 1,
            Some(false) => {}
            None => unknown += 1,
        }
    }
    if wrong >= count {
        return Some(true);
    }
    (wrong + unknown < count).then_some(false)
}

/// Whether the device gave what its profile can't make a value of; `None` when it has fallen silent.
fn is_unreadable(state: &PointState) -> Option<bool> {
    match state.quality {
        Quality::Good | Quality::Uncertain(_) => Some(false),
        Quality::Bad(reason) => Some(matches!(
            reason,
            QualityReason::Undecodable | QualityReason::OutOfRange | QualityReason::BadAnswer
        )),
        // What never came is no part of this device.
        Quality::Stale(QualityReason::NeverRead) => Some(false),
        Quality::Stale(_) => None,
    }
}

fn equals_any(value: &Value, list: &[StateValue]) -> Option<bool> {
    match value {
        Value::Integer(number) => Some(
            list.iter()
                .any(|one| matches!(one, StateValue::Integer(n) if n == number)),
        ),
        Value::Text(text) => Some(
            list.iter()
                .any(|one| matches!(one, StateValue::Text(t) if **t == **text)),
        ),
        Value::Flag(_) | Value::Number(_) => None,
    }
}

/// Three-valued logic: one decisive verdict settles it, else one unknown leaves it unknown.
fn together(verdicts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for verdict in verdicts {
        match verdict {
            Some(verdict) if verdict == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decisive)
}
