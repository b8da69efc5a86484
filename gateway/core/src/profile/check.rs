//! Everything that can be wrong with a profile of the right shape.
//!
//! It finds all faults, each with the path of the entry it stands in.

mod classes;
mod rows;
mod times;
pub mod topics;

pub use classes::{CLASSES, tells_of_a_fault};

use super::{ModbusSettings, MqttSettings, Profile, RegisterRow, Table};
use crate::numbered::is_named;
use crate::time::Duration;
use std::collections::BTreeSet;

/// No poll class is read less often.
const LONGEST_PERIOD: Duration = Duration::from_secs(3600);
/// No device sends less often.
const LONGEST_SENT: Duration = Duration::from_secs(86_400);

/// One fault of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFault {
    /// Keys and positions from the root of the file, for example `point`, `3`, `modbus`, `bit`.
    pub path: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
    /// How much it matters.
    pub weight: Weight,
}

/// How much a fault matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The profile may not be used with it.
    Error,
    /// It may; somebody should look.
    Warning,
    /// Worth knowing.
    Note,
}

/// Every fault of a profile; it may be used when none is an error.
pub fn check(profile: &Profile) -> Vec<ProfileFault> {
    let mut faults = Faults::default();
    whole(profile, &mut faults);
    if let Some(settings) = &profile.modbus {
        modbus(settings, &mut faults);
    }
    if let Some(settings) = &profile.mqtt {
        mqtt(settings, &mut faults);
        times::check(profile, settings, &mut faults);
    }
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
            weight: Weight::Error,
        });
    }

    fn warn(&mut self, path: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.say(Weight::Warning, path, what, remedy);
    }

    fn say(
        &mut self,
        weight: Weight,
        path: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(path, what, remedy);
        if let Some(last) = self.list.last_mut() {
            last.weight = weight;
        }
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

    fn warn(&mut self, path: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.say(Weight::Warning, path, what, remedy);
    }

    fn say(
        &mut self,
        weight: Weight,
        path: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let path = format!("point.{}.{path}", self.index);
        self.faults.say(weight, &path, what, remedy);
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
    if profile.points.is_empty() {
        faults.add("point", "the profile has no points", "add [[point]] tables");
    }
    for name in profile.meanings.keys() {
        let used = |row: &super::PointRow| row.meanings_of.as_ref() == Some(name);
        if !profile.points.iter().any(used) {
            let what = format!("no point has the meanings \"{name}\"");
            let remedy = format!("write meanings_of = \"{name}\" at a point, or take them out");
            faults.warn(&format!("meanings.{name}"), what, remedy);
        }
    }
    for (name, why) in &profile.unwatched {
        let named = |row: &super::PointRow| is_named(&row.point, name);
        if !profile.points.iter().any(named) {
            let what = format!("the profile has no point \"{name}\"");
            faults.add(
                &format!("unwatched.{name}"),
                what,
                "correct the name, or take it out",
            );
        }
        if why.trim().is_empty() {
            let what = format!("nothing says why no rule looks at \"{name}\"");
            faults.add(&format!("unwatched.{name}"), what, "write the reason");
        }
    }
}

fn modbus(modbus: &ModbusSettings, faults: &mut Faults) {
    if !(1..=125).contains(&modbus.max_registers) {
        let what = format!("max_registers is {}", modbus.max_registers);
        faults.add("modbus.max_registers", what, "write 1 to 125");
    }
    if modbus.max_gap > 125 {
        let what = format!(
            "max_gap is {}, and one request takes 125 registers",
            modbus.max_gap
        );
        faults.add("modbus.max_gap", what, "write 0 to 125");
    }
    let poll = &modbus.poll;
    let periods = [
        ("fast", poll.fast),
        ("normal", poll.normal),
        ("slow", poll.slow),
    ];
    if periods.iter().any(|(_, period)| period.millis() < 10) {
        let remedy = "write 10ms or more for fast, normal and slow";
        faults.add("modbus.poll", "a poll period is too short", remedy);
    }
    for (key, period) in periods {
        if period > LONGEST_PERIOD {
            let what =
                format!("{key} = \"{period}\" is so long that a fault is old when it is seen");
            faults.add(&format!("modbus.poll.{key}"), what, "write \"1h\" or less");
        }
    }
    if poll.fast > poll.normal || poll.normal > poll.slow {
        let what = format!(
            "fast is {}, normal {} and slow {}: what is called fast is not",
            poll.fast, poll.normal, poll.slow
        );
        let remedy = "give states and faults, which are fast, the shortest period";
        faults.warn("modbus.poll", what, remedy);
    }
}

fn mqtt(mqtt: &MqttSettings, faults: &mut Faults) {
    if mqtt.period.millis() < 10 {
        faults.add(
            "mqtt.period",
            "the period is too short",
            "write 10ms or more",
        );
    }
    if mqtt.period > LONGEST_SENT {
        let what = format!(
            "a period of {} would leave a dead device unnoticed for days",
            mqtt.period
        );
        let remedy = "write how often the device sends, \"1d\" or less";
        faults.add("mqtt.period", what, remedy);
    }
    if let Some(one) = &mqtt.availability {
        for (what, remedy, _) in topics::faults(&one.topic) {
            faults.add("mqtt.availability.topic", what, remedy);
        }
        if one.online == one.offline {
            let what = format!(
                "\"{}\" means that it is there and that it is gone",
                one.online
            );
            let remedy = "write the payload that means it is gone";
            faults.add("mqtt.availability.offline", what, remedy);
        }
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
