//! What the rules of its class make of a device: rules that can't judge it, rules it does not get,
//! and faults it tells of that no rule looks at.
//!
//! A building in which nothing is told looks like one in which all is well, so each is named.

use super::blind::blind;
use crate::config::build::limits;
use crate::config::fault::{Fault, Severity};
use crate::config::library::{ANY, Library, Source};
use crate::config::places;
use crate::config::source::nearest;
use std::collections::BTreeSet;
use std::path::Path;
use zhiban_core::alarm::fit::{Fit, Misfit, WrongUnit};
use zhiban_core::alarm::rule::AlarmRule;
use zhiban_core::numbered::{NUMBER, is_named};
use zhiban_core::profile::check::{CLASSES, tells_of_a_fault};
use zhiban_core::profile::{PointRow, Profile};
use zhiban_core::unit;

/// One thing to say of a profile, and where it stands when its file is beside the configuration.
#[derive(Debug)]
pub(crate) struct Said {
    severity: Severity,
    /// Files that may hold the place, the likelier one first, each with the path in it.
    places: Vec<(Source, Vec<String>)>,
    what: String,
    remedy: String,
}

impl Said {
    /// At its place in one of the site's own files; given back when it has none there.
    pub(crate) fn at(self, library: &Library) -> Result<Fault, Self> {
        let found = self.places.iter().find_map(|(source, path)| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            library.fault_in(source, &path, &self.what, &self.remedy)
        });
        match found {
            Some(fault) => Ok(Fault {
                severity: self.severity,
                ..fault
            }),
            None => Err(self),
        }
    }

    /// Of a whole file.
    pub(crate) fn of(self, file: &Path) -> Fault {
        Fault {
            severity: self.severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            what: self.what,
            remedy: self.remedy,
        }
    }

    /// Severity, what and remedy, for a place that the caller knows.
    pub(crate) fn parts(self) -> (Severity, String, String) {
        (self.severity, self.what, self.remedy)
    }
}

/// Everything there is to say of the devices of a profile.
pub(crate) fn faults(library: &Library, profile: &Profile) -> Vec<Said> {
    let fits = library.fits(profile);
    let mut said = Vec::new();
    said.extend(class(library, profile));
    let unknown = places::unknown(library, &profile.class);
    for (rule, what) in blind(library, &profile.class).into_iter().chain(unknown) {
        said.push(Said {
            severity: Severity::Error,
            places: vec![rule_at(library, profile, &rule)],
            what: format!("rule \"{rule}\" {what}"),
            remedy: "correct the rule, or take it out".to_owned(),
        });
    }
    let wrong_units = fits.iter().filter_map(|fit| match &fit.rule {
        Err(Misfit::Unit(wrong)) => Some(wrong_unit(library, profile, fit, wrong)),
        Ok(_) | Err(Misfit::Lacks) => None,
    });
    said.extend(wrong_units);
    for fit in &fits {
        let rule = fit.rule.as_ref().ok();
        let never = rule.into_iter().flat_map(|rule| never(rule, profile));
        said.extend(never.map(|(point, what)| {
            Said {
                severity: Severity::Warning,
                places: vec![
                    point_at(profile, &point, "range"),
                    rule_at(library, profile, &fit.written.id),
                ],
                what: format!("rule \"{}\" {what}", fit.id),
                remedy: "correct the range, the unit or the scale, or give the limit in [[alarm]]"
                    .to_owned(),
            }
        }));
    }
    said.extend(unguarded(profile, &fits));
    said.extend(unwatched(profile, &fits));
    said.extend(unused(profile, &fits));
    said.extend(nowhere(profile, &fits));
    if library.own.contains(&profile.id) {
        said.extend(halved(profile, &fits));
    }
    said
}

/// A class that nobody wrote rules for.
fn class(library: &Library, profile: &Profile) -> Option<Said> {
    let class = profile.class.as_str();
    if library.rules.contains_key(class) && class != ANY {
        return None;
    }
    let also = CLASSES.iter().find(|one| one.also.contains(&class));
    let with_rules = library.rules.keys().map(String::as_str);
    let known = with_rules.filter(|name| *name != ANY);
    let meant = also.map(|one| one.name).or(nearest(class, known));
    let what = format!(
        "class \"{class}\" has no rules but that for lost communication: no fault of such a device is told"
    );
    let (severity, remedy) = match meant {
        Some(meant) => (
            Severity::Error,
            format!("write class = \"{meant}\", or write rules in alarms/{class}.toml"),
        ),
        None => {
            let known: Vec<_> = library.classes().into_iter().collect();
            let known: Vec<_> = known.into_iter().filter(|name| *name != class).collect();
            (
                Severity::Warning,
                format!(
                    "write rules in alarms/{class}.toml, or choose one of: {}",
                    known.join(", ")
                ),
            )
        }
    };
    Some(Said {
        severity,
        places: vec![in_profile(profile, &["class"])],
        what,
        remedy,
    })
}

fn in_profile(profile: &Profile, path: &[&str]) -> (Source, Vec<String>) {
    let path = path.iter().map(|&step| step.to_owned());
    (Source::Profile(profile.id.clone()), path.collect())
}

/// The place of a point's key in its profile.
fn point_at(profile: &Profile, point: &str, key: &str) -> (Source, Vec<String>) {
    let index = profile.points.iter().position(|row| row.point == point);
    in_profile(profile, &["point", &index.unwrap_or(0).to_string(), key])
}

/// The place of a rule's condition in the file it is in.
fn rule_at(library: &Library, profile: &Profile, rule: &str) -> (Source, Vec<String>) {
    let place = |class: &str| {
        let mut rules = library.rules.get(class)?.iter();
        let index = rules.position(|one| one.id == rule)?;
        let path = ["rule", &index.to_string(), "when"].map(str::to_owned);
        Some((Source::Rules(class.to_owned()), path.into()))
    };
    place(&profile.class)
        .or_else(|| place(ANY))
        .unwrap_or_else(|| in_profile(profile, &["class"]))
}

/// A limit that can't be compared with its point.
fn wrong_unit(library: &Library, profile: &Profile, fit: &Fit, wrong: &WrongUnit) -> Said {
    let in_unit = |unit: &str| match unit {
        "" | unit::NUMBER => "without a unit".to_owned(),
        unit => format!("in {unit}"),
    };
    let bare = |unit: &str| unit.is_empty() || unit == unit::NUMBER;
    let what = format!(
        "rule \"{}\" compares point \"{}\" {}, and profile \"{}\" has it {}",
        fit.id,
        wrong.point,
        in_unit(&wrong.wants),
        profile.id,
        in_unit(&wrong.has)
    );
    let remedy = if bare(&wrong.wants) {
        format!(
            "write unit = \"{}\" into the limit, or the unit its numbers are in",
            wrong.has
        )
    } else {
        let units = unit::same_kind(&wrong.wants).join(", ");
        let number = if wrong.wants == "%" {
            "; a share that counts to 1 gets unit = \"%\" and scale = 100"
        } else {
            ""
        };
        format!("write what the device counts in, one of: {units}{number}")
    };
    Said {
        severity: Severity::Error,
        places: vec![
            point_at(profile, &wrong.point, "unit"),
            rule_at(library, profile, &fit.written.id),
        ],
        what,
        remedy,
    }
}

/// The limits of a fitted rule that no possible value passes: the point, and what is said of it.
pub(super) fn never(rule: &AlarmRule, profile: &Profile) -> Vec<(String, String)> {
    let mut when = rule.when.clone();
    let mut found = Vec::new();
    for limit in limits(&mut when) {
        let row = profile.points.iter().find(|row| row.point == limit.point);
        let Some((low, high)) = row.and_then(|row| row.range) else {
            continue;
        };
        let unit = limit.unit;
        let point = limit.point;
        let above = limit.above.filter(|above| *above >= high);
        let below = limit.below.filter(|below| *below <= low);
        let what = match (above, below) {
            (Some(above), _) => format!(
                "waits for \"{point}\" above {above} {unit}, and its range ends at {high}: that never comes"
            ),
            (None, Some(below)) => format!(
                "waits for \"{point}\" below {below} {unit}, and its range begins at {low}: that never comes"
            ),
            (None, None) => continue,
        };
        found.push((point.to_owned(), what));
    }
    found
}

/// An elevator that cannot tell that people are trapped looks like one that never traps any.
fn unguarded(profile: &Profile, fits: &[Fit]) -> Option<Said> {
    let class = CLASSES.iter().find(|class| class.name == profile.class)?;
    let family = class.guards?;
    let of_it = || fits.iter().filter(|fit| fit.written.family == family);
    if of_it().any(|fit| fit.rule.is_ok()) {
        return None;
    }
    let wanted: BTreeSet<String> = of_it().map(|fit| fit.lacks.join(" and ")).collect();
    let wanted: Vec<String> = wanted
        .into_iter()
        .filter(|lacks| !lacks.is_empty())
        .collect();
    (!wanted.is_empty()).then(|| Said {
        severity: Severity::Warning,
        places: vec![in_profile(profile, &["id"])],
        what: format!(
            "profile \"{}\" has the points of no rule of family \"{family}\": that danger is never told of such a device",
            profile.id
        ),
        remedy: format!("add, where the device has them, one of: {}", wanted.join("; ")),
    })
}

/// Points that tell of a fault and that no rule looks at.
fn unwatched(profile: &Profile, fits: &[Fit]) -> Vec<Said> {
    let rules = fits.iter().filter_map(|fit| fit.rule.as_ref().ok());
    let watched: BTreeSet<&str> = rules.flat_map(|rule| rule.when.points()).collect();
    // A rule that guards life must not be lost by one letter in a name of which nothing tells of a fault.
    let is_a_slip = |row: &PointRow| {
        row.kind == zhiban_core::model::PointKind::Flag && meant(row, profile, fits).is_some()
    };
    let silent = |row: &&PointRow| {
        !watched.contains(row.point.as_str())
            && !profile
                .unwatched
                .keys()
                .any(|name| is_named(&row.point, name))
            && (tells_of_a_fault(row) || is_a_slip(row))
    };
    let said = |row: &PointRow| Said {
        severity: Severity::Warning,
        places: vec![point_at(profile, &row.point, "point")],
        what: format!(
            "point \"{}\" of profile \"{}\" tells of a fault, and no rule looks at it",
            row.point, profile.id
        ),
        remedy: match meant(row, profile, fits) {
            Some(name) => format!("name it \"{name}\", as the rules of its class do"),
            None => format!(
                "write a rule in alarms/{}.toml, or say at the top of the profile why it needs none: unwatched.{} = \"…\"",
                profile.class, row.point
            ),
        },
    };
    profile.points.iter().filter(silent).map(said).collect()
}

/// The point that a rule lacks and that this one was probably meant to be.
fn meant(row: &PointRow, profile: &Profile, fits: &[Fit]) -> Option<String> {
    let digits: String = row.point.chars().filter(char::is_ascii_digit).collect();
    let lacking = fits.iter().flat_map(|fit| &fit.lacks);
    let written = fits.iter().flat_map(|fit| fit.written.when.points());
    let names = lacking.map(String::as_str).chain(written);
    let numbered: BTreeSet<String> = names.map(|name| name.replace(NUMBER, &digits)).collect();
    let others = numbered.iter().filter(|name| **name != row.point);
    let near = nearest(&row.point, others.map(String::as_str))?;
    // What differs in nothing but its number is another machine, not a slip of the pen.
    let letters = |name: &str| -> String { name.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let taken = profile.points.iter().any(|other| other.point == near);
    (!taken && letters(near) != letters(&row.point)).then(|| near.to_owned())
}

/// The rules that no device with this profile gets.
fn unused(profile: &Profile, fits: &[Fit]) -> Option<Said> {
    let lacking = fits
        .iter()
        .filter(|fit| matches!(fit.rule, Err(Misfit::Lacks)));
    let list: Vec<_> = lacking
        .map(|fit| format!("{} ({})", fit.id, fit.lacks.join(", ")))
        .collect();
    (!list.is_empty()).then(|| Said {
        severity: Severity::Info,
        places: vec![in_profile(profile, &["id"])],
        what: format!(
            "profile \"{}\" has not the points of some rules, which are not used: {}",
            profile.id,
            list.join(", ")
        ),
        remedy: String::new(),
    })
}

/// The rules that guard life and whose place no point of the device says.
fn nowhere(profile: &Profile, fits: &[Fit]) -> Option<Said> {
    let nowhere = places::nowhere(fits, profile);
    (!nowhere.is_empty()).then(|| Said {
        severity: Severity::Info,
        places: vec![in_profile(profile, &["id"])],
        what: format!(
            "profile \"{}\" has no point that says where the fault of some rules is, which then name the place of the device alone: {}",
            profile.id,
            nowhere.join(", ")
        ),
        remedy: String::new(),
    })
}

/// The rules that guard life and look at less with this profile than they could.
fn halved(profile: &Profile, fits: &[Fit]) -> Option<Said> {
    let part = |fit: &&Fit| fit.written.life_safety && fit.rule.is_ok() && !fit.lacks.is_empty();
    let list: Vec<_> = fits
        .iter()
        .filter(part)
        .map(|fit| format!("{} without {}", fit.id, fit.lacks.join(" and ")))
        .collect();
    (!list.is_empty()).then(|| Said {
        severity: Severity::Info,
        places: vec![in_profile(profile, &["id"])],
        what: format!(
            "profile \"{}\" has only a part of the points of rules that guard life, which see no more than that: {}",
            profile.id,
            list.join(", ")
        ),
        remedy: "see that no point's name is misspelt".to_owned(),
    })
}
