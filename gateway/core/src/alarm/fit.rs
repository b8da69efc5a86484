//! What a device makes of a rule: one rule for each pump or loop it has, limits in its own units,
//! and of an `any` what its points allow.
//!
//! Nothing is guessed: a point that is not there leaves the rule out and a unit that can't be
//! converted refuses it, and either is named.

use super::rule::{AlarmRule, Condition};
use crate::numbered::{NUMBER, number_in};
use crate::place::for_each_number;
use crate::profile::{PointRow, Profile};
use crate::text::Text;
use crate::unit::{Conversion, Mismatch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a device makes of one rule, or of one number of a rule that has `for_each`.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The rule as its file has it.
    pub written: Arc<AlarmRule>,
    /// The id, with the number.
    pub id: String,
    /// The rule for this device, or why it has none.
    pub rule: Result<Arc<AlarmRule>, Misfit>,
    /// The points of the rule that this device lacks; those of an `any` cost only its own part.
    pub lacks: Vec<String>,
}

/// Why a device can't have a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It has not the points without which the rule could not be judged.
    Lacks,
    /// A limit can't be compared with the point.
    Unit(WrongUnit),
}

/// A limit that can't be compared with its point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongUnit {
    /// The point.
    pub point: String,
    /// The point's unit; empty when it has none.
    pub has: String,
    /// The limit's unit; empty when it has none.
    pub wants: String,
    /// Why not.
    pub why: Mismatch,
}

/// What a device with a profile makes of a rule: one, or with `for_each` one for each number.
pub fn fit(written: &Arc<AlarmRule>, profile: &Profile) -> Vec<Fit> {
    let device = Device::of(profile);
    let Some(each) = &written.for_each else {
        return vec![device.fit(written, written.id.clone(), AlarmRule::clone(written))];
    };
    let numbers = numbers(profile, each);
    if numbers.is_empty() {
        let points = written.when.points().into_iter();
        return vec![Fit {
            written: written.clone(),
            id: written.id.clone(),
            rule: Err(Misfit::Lacks),
            lacks: points.map(str::to_owned).collect(),
        }];
    }
    let one = |number: &String| {
        let rule = numbered(written, number);
        device.fit(written, rule.id.clone(), rule)
    };
    numbers.iter().map(one).collect()
}

/// The numbers that a device's points have in place of `{n}`, as they are written there: of
/// `pump{n}`, `1` and `2` for `pump1_fault`, `pump1_auto` and `pump2_fault`.
pub fn numbers(profile: &Profile, each: &str) -> Vec<String> {
    let names = profile.points.iter().map(|row| row.point.as_str());
    let found = names.filter_map(|name| {
        let number = number_in(name, each)?;
        Some((number.len(), number.to_owned()))
    });
    // A longer one is a greater one, but for leading zeros, which a device has at all or not.
    let found: BTreeSet<_> = found.collect();
    found.into_iter().map(|(_, number)| number).collect()
}

/// The rule for one number. Whoever gives a rule another text says here whether a number is in it.
fn numbered(rule: &AlarmRule, number: &str) -> AlarmRule {
    let put = |text: &String| text.replace(NUMBER, number);
    let text = |text: &Text| Text::new(put(&text.zh), put(&text.en));
    let AlarmRule {
        id,
        for_each: _,
        family,
        priority,
        danger,
        place,
        places,
        title,
        cause,
        consequence,
        action,
        when,
        on_delay,
        off_delay,
        latch,
        life_safety,
        work_order,
        close,
        due,
        source,
    } = rule;
    AlarmRule {
        id: put(id),
        for_each: None,
        family: put(family),
        priority: *priority,
        danger: *danger,
        place: place.clone(),
        places: places.iter().map(text).collect(),
        title: text(title),
        cause: text(cause),
        consequence: text(consequence),
        action: text(action),
        when: numbered_condition(when, number),
        on_delay: *on_delay,
        off_delay: *off_delay,
        latch: *latch,
        life_safety: *life_safety,
        work_order: *work_order,
        close: *close,
        due: *due,
        source: source.clone(),
    }
}

fn numbered_condition(condition: &Condition, number: &str) -> Condition {
    let mut condition = condition.clone();
    rename(&mut condition, number);
    condition
}

fn rename(condition: &mut Condition, number: &str) {
    match condition {
        Condition::Flag { point, .. }
        | Condition::State { point, .. }
        | Condition::Bit { point, .. }
        | Condition::Limit { point, .. }
        | Condition::Rate { point, .. } => *point = point.replace(NUMBER, number),
        Condition::NoData {} | Condition::Unreadable {} => {}
        Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
            list.iter_mut().for_each(|one| rename(one, number));
        }
        // A number of its own, which goes before that of the rule.
        Condition::ForSome { .. } | Condition::ForAll { .. } => {}
    }
}

/// The points of a device, by name.
struct Device<'p> {
    profile: &'p Profile,
    rows: BTreeMap<&'p str, &'p PointRow>,
}

impl<'p> Device<'p> {
    fn of(profile: &'p Profile) -> Self {
        let rows = profile.points.iter();
        Self {
            profile,
            rows: rows.map(|row| (row.point.as_str(), row)).collect(),
        }
    }

    fn fit(&self, written: &Arc<AlarmRule>, id: String, rule: AlarmRule) -> Fit {
        let mut lacks = Vec::new();
        let when = self.condition(&rule.when, &mut lacks);
        let places = rule.places.iter().map(|place| self.place(place)).collect();
        Fit {
            written: written.clone(),
            id,
            rule: when.map(|when| {
                Arc::new(AlarmRule {
                    when,
                    places,
                    ..rule
                })
            }),
            lacks,
        }
    }

    /// The text of a place with a part for each pump or loop that this device has.
    fn place(&self, place: &Text) -> Text {
        let whole = |text: &str| for_each_number(text, |name| numbers(self.profile, name));
        Text::new(whole(&place.zh), whole(&place.en))
    }

    fn condition(
        &self,
        condition: &Condition,
        lacks: &mut Vec<String>,
    ) -> Result<Condition, Misfit> {
        match condition {
            Condition::All(list) => self.all(list, lacks).map(Condition::All),
            Condition::Any(list) => some_of(1, self.some(list, lacks)?),
            Condition::AtLeast { count, of } => some_of(*count, self.some(of, lacks)?),
            Condition::ForSome {
                each,
                at_least,
                when,
            } => some_of(*at_least, self.some(&self.each(each, when), lacks)?),
            Condition::ForAll { each, when } => {
                let list = self.each(each, when);
                if list.is_empty() {
                    lacks.extend(when.points().into_iter().map(str::to_owned));
                    return Err(Misfit::Lacks);
                }
                self.all(&list, lacks).map(Condition::All)
            }
            Condition::Flag { point, .. }
            | Condition::State { point, .. }
            | Condition::Bit { point, .. } => {
                self.row(point, lacks)?;
                Ok(condition.clone())
            }
            Condition::Limit { point, .. } | Condition::Rate { point, .. } => {
                let row = self.row(point, lacks)?;
                in_unit_of(row, condition).map_err(Misfit::Unit)
            }
            Condition::NoData {} | Condition::Unreadable {} => Ok(condition.clone()),
        }
    }

    fn row(&self, point: &str, lacks: &mut Vec<String>) -> Result<&'p PointRow, Misfit> {
        let row = self.rows.get(point).copied();
        row.ok_or_else(|| {
            lacks.push(point.to_owned());
            Misfit::Lacks
        })
    }

    /// The condition for each number that the device has.
    fn each(&self, each: &str, when: &Condition) -> Vec<Condition> {
        let numbers = numbers(self.profile, each);
        let conditions = numbers
            .iter()
            .map(|number| numbered_condition(when, number));
        conditions.collect()
    }

    fn all(&self, list: &[Condition], lacks: &mut Vec<String>) -> Result<Vec<Condition>, Misfit> {
        let found: Vec<_> = list.iter().map(|one| self.condition(one, lacks)).collect();
        let wrong_unit = found.iter().find(|one| matches!(one, Err(Misfit::Unit(_))));
        match wrong_unit {
            Some(Err(misfit)) => Err(misfit.clone()),
            _ => found.into_iter().collect(),
        }
    }

    /// Those of a list whose points the device has.
    fn some(&self, list: &[Condition], lacks: &mut Vec<String>) -> Result<Vec<Condition>, Misfit> {
        let mut found = Vec::new();
        for one in list {
            match self.condition(one, lacks) {
                Ok(one) => found.push(one),
                Err(Misfit::Lacks) => {}
                Err(misfit) => return Err(misfit),
            }
        }
        Ok(found)
    }
}

/// As many as `count` of a list, in the plainest form.
fn some_of(count: u16, list: Vec<Condition>) -> Result<Condition, Misfit> {
    match usize::from(count) {
        wanted if wanted > list.len() || list.is_empty() => Err(Misfit::Lacks),
        0 | 1 => Ok(Condition::Any(list)),
        wanted if wanted == list.len() => Ok(Condition::All(list)),
        _ => Ok(Condition::AtLeast { count, of: list }),
    }
}

/// The limit or rate with its numbers in the point's own unit.
fn in_unit_of(row: &PointRow, condition: &Condition) -> Result<Condition, WrongUnit> {
    let mut condition = condition.clone();
    let conversion = |unit: &String| {
        Conversion::between(unit, &row.unit).map_err(|why| WrongUnit {
            point: row.point.clone(),
            has: row.unit.clone(),
            wants: unit.clone(),
            why,
        })
    };
    match &mut condition {
        Condition::Limit {
            above,
            below,
            deadband,
            unit,
            ..
        } => {
            let by = conversion(unit)?;
            *above = above.map(|limit| by.number(limit));
            *below = below.map(|limit| by.number(limit));
            *deadband = by.difference(*deadband);
            unit.clone_from(&row.unit);
        }
        Condition::Rate { change, unit, .. } => {
            let by = conversion(unit)?;
            *change = by.difference(*change);
            unit.clone_from(&row.unit);
        }
        Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::NoData {}
        | Condition::Unreadable {}
        | Condition::All(_)
        | Condition::Any(_)
        | Condition::AtLeast { .. }
        | Condition::ForSome { .. }
        | Condition::ForAll { .. } => {}
    }
    Ok(condition)
}

#[cfg(test)]
mod tests;
