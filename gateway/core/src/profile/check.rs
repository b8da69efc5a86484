//! Everything that can be wrong with a profile of the right shape.
//!
//! It finds all faults, each with the path of the entry it stands in.

mod classes;
mod rows;
mod times;

pub use classes::{CLASSES, UNITS};

use super::{Profile, RegisterRow, Table};
use std::collections::BTreeSet;

/// One fault of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFault {
    /// Keys and positions from the root of the file, for example `point`, `3`, `modbus`, `bit`.
    pub path: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
}

/// Every fault of a profile; none when it may be used.
pub fn check(profile: &Profile) -> Vec<ProfileFault> {
    let mut faults = Faults::default();
    whole(profile, &mut faults);
    required_points(profile, &mut faults);
    let mut names = BTreeSet::new();
    for (index, row) in profile.points.iter().enumerate() {
        let mut at = faults.of_point(index);
        if !names.insert(row.point.as_str()) {
            let what = format!("point \"{}\" is there twice", row.point);
            at.add("point", what, "give each point its own name");
        }
        rows::check(profile, row, &mut at);
    }
    overlaps(profile, &mut faults);
    faults.list
}

/// Collects faults and knows where it stands.
#[derive(Default)]
struct Faults {
    list: Vec<ProfileFault>,
}

impl Faults {
    fn add(&mut self, path: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(ProfileFault {
            path: path.split('.').map(str::to_owned).collect(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn of_point(&mut self, index: usize) -> OfPoint<'_> {
        OfPoint {
            faults: self,
            index,
        }
    }
}

/// The faults of one row.
struct OfPoint<'f> {
    faults: &'f mut Faults,
    index: usize,
}

impl OfPoint<'_> {
    fn add(&mut self, path: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.faults
            .add(&format!("point.{}.{path}", self.index), what, remedy);
    }
}

fn whole(profile: &Profile, faults: &mut Faults) {
    for (key, name) in [("id", &profile.id), ("class", &profile.class)] {
        if !is_plain(name, "-_") {
            let what = format!("{key} \"{name}\" is not plain");
            faults.add(key, what, "write lower-case letters, digits and hyphens");
        }
    }
    if profile.title.is_incomplete() {
        faults.add(
            "title",
            "the title lacks a language",
            "write both zh and en",
        );
    }
    if profile.source.trim().is_empty() {
        let remedy = "name the manual the map was taken from";
        faults.add("source", "the source is empty", remedy);
    }
    if profile.modbus.is_none() && profile.mqtt.is_none() {
        let what = "the profile says neither how Modbus nor how MQTT is read";
        faults.add("id", what, "add a [modbus] or an [mqtt] table");
    }
    if let Some(modbus) = &profile.modbus {
        if !(1..=125).contains(&modbus.max_registers) {
            let what = format!("max_registers is {}", modbus.max_registers);
            faults.add("modbus.max_registers", what, "write 1 to 125");
        }
        let poll = &modbus.poll;
        if [poll.fast, poll.normal, poll.slow]
            .iter()
            .any(|period| period.millis() < 10)
        {
            let remedy = "write 10ms or more for fast, normal and slow";
            faults.add("modbus.poll", "a poll period is too short", remedy);
        }
    }
    if let Some(mqtt) = &profile.mqtt {
        if mqtt.period.millis() < 10 {
            faults.add(
                "mqtt.period",
                "the period is too short",
                "write 10ms or more",
            );
        }
        times::check(profile, mqtt, faults);
    }
    if profile.points.is_empty() {
        faults.add("point", "the profile has no points", "add [[point]] tables");
    }
}

fn required_points(profile: &Profile, faults: &mut Faults) {
    let class = CLASSES.iter().find(|class| class.name == profile.class);
    for choice in class.map_or(&[][..], |class| class.required) {
        let has = |name: &&str| profile.points.iter().any(|row| row.point == **name);
        if !choice.iter().any(has) {
            let wanted = choice.join(" or ");
            let what = format!("class \"{}\" needs point {wanted}", profile.class);
            faults.add("class", what, "add it, or choose another class");
        }
    }
}

/// Two rows may share registers when both take the same ones, or one is a bit inside the other.
fn overlaps(profile: &Profile, faults: &mut Faults) {
    let mut rows: Vec<(usize, &RegisterRow)> = profile
        .points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| Some((index, point.modbus.as_ref()?)))
        .collect();
    rows.sort_by_key(|(index, row)| (row.table, row.address, *index));
    let end = |row: &RegisterRow| u32::from(row.address) + u32::from(row.words());
    for (place, (index, row)) in rows.iter().enumerate() {
        let after = rows.iter().skip(place + 1);
        let touching = after.take_while(|(_, other)| {
            other.table == row.table && u32::from(other.address) < end(row)
        });
        for (other_index, other) in touching {
            let same = row.address == other.address && row.words() == other.words();
            let bit = |row: &RegisterRow| row.bit.is_some();
            let twice = matches!(row.table, Table::Coil | Table::Discrete);
            if (same && !twice) || bit(row) || bit(other) {
                continue;
            }
            let name = |index: usize| profile.points.get(index).map_or("", |row| &row.point);
            let what = format!(
                "point \"{}\" overlaps point \"{}\" in the registers from {}",
                name(*other_index),
                name(*index),
                other.address
            );
            faults.of_point(*other_index).add(
                "modbus.address",
                what,
                "correct the address or the type of one of them",
            );
        }
    }
}

/// Lower-case letters, digits and some marks, and not empty.
fn is_plain(name: &str, marks: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c);
    !name.is_empty() && name.chars().all(plain)
}

fn is_pointer(pointer: &str) -> bool {
    pointer.is_empty() || pointer.starts_with('/')
}

#[cfg(test)]
mod tests;
