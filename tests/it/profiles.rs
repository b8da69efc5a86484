//! Walks every profile and every alarm rule that comes with the program. A new file needs no new
//! test: it is found, and must decode its examples and speak both languages.

mod judged;
mod manual;
mod own;
mod rules;

use std::path::{Path, PathBuf};
use zhiban::config::{Fault, Library, Severity, check_profile};
use zhiban_core::alarm::fit::Misfit;
use zhiban_core::alarm::rule::Condition;
use zhiban_core::numbered::is_named;
use zhiban_core::{Quality, QualityReason, unit};

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "toml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn library() -> Library {
    let mut faults = Vec::new();
    let library = Library::read(&config_folder(), &mut faults);
    assert!(faults.is_empty(), "{}", print(&faults));
    library
}

fn print(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn every_profile_is_without_fault_and_decodes_its_examples() {
    let mut rows = 0;
    for file in files(&config_folder().join("profiles")) {
        let checked = check_profile(&file).unwrap_or_else(|faults| panic!("{}", print(&faults)));
        let profile = checked.profile;
        let warned = checked
            .remarks
            .iter()
            .find(|one| one.severity != Severity::Info);
        assert!(warned.is_none(), "{}", print(&checked.remarks));
        let folder = file.parent().and_then(Path::file_name).unwrap();
        let is_template = file
            .file_name()
            .is_some_and(|name| name == "_template.toml");
        assert!(
            is_template || folder == &*profile.class,
            "{}",
            file.display()
        );
        rows += profile.points.len();
    }
    assert!(rows > 300, "{rows} rows");
}

#[test]
fn every_profile_of_a_class_with_rules_gets_some_and_loses_its_silence() {
    let library = library();
    for profile in library.profiles.values() {
        let own = library.rules.contains_key(&profile.class);
        assert!(own, "class {} has no rules", profile.class);
        let rules = library.rules_of(&profile.class);
        let communication = rules.iter().find(|rule| rule.id == "communication");
        assert!(communication.is_some(), "class {}", profile.class);
    }
}

/// A rule that looks at a point of no profile, in any of its parts, has misspelt it.
#[test]
fn every_point_of_every_rule_is_a_point_of_some_profile() {
    let library = library();
    for (class, rules) in &library.rules {
        for rule in rules {
            for point in rule.when.points() {
                let mut names = library.points[class].keys();
                let known = names.any(|name| is_named(name, point));
                assert!(known, "{class}/{}: {point}", rule.id);
            }
        }
    }
}

/// A number that is compared says what it counts: a unit, or `1` for a mere number.
#[test]
fn every_limit_of_every_rule_names_its_unit() {
    fn walk(condition: &Condition, found: &mut Vec<String>) {
        match condition {
            Condition::Limit { unit, .. } | Condition::Rate { unit, .. } => {
                found.push(unit.clone());
            }
            Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
                list.iter().for_each(|one| walk(one, found));
            }
            Condition::ForSome { when, .. } | Condition::ForAll { when, .. } => walk(when, found),
            Condition::Flag { .. }
            | Condition::State { .. }
            | Condition::Bit { .. }
            | Condition::NoData {}
            | Condition::Unreadable {} => {}
        }
    }
    let mut count = 0;
    for (class, rules) in &library().rules {
        for rule in rules {
            let mut units = Vec::new();
            walk(&rule.when, &mut units);
            for unit in units {
                count += 1;
                let known = unit == unit::NUMBER || unit::find(&unit).is_some();
                assert!(known, "{class}/{}: unit \"{unit}\"", rule.id);
            }
        }
    }
    assert!(count > 20, "{count} limits");
}

/// Whatever a profile counts in, the rules of its class can judge it, or lack a point by name.
#[test]
fn every_profile_and_the_rules_of_its_class_agree() {
    let library = library();
    for profile in library.profiles.values() {
        for fit in library.fits(profile) {
            let wrong_unit = matches!(fit.rule, Err(Misfit::Unit(_)));
            assert!(!wrong_unit, "{}: {} {:?}", profile.id, fit.id, fit.rule);
        }
    }
}

/// A pump that tells nothing is not in alarm, running and forced to local at once.
#[test]
fn a_grundfos_word_of_all_ones_is_not_available() {
    let profile = &library().profiles["grundfos-cim"];
    for row in &profile.points {
        let decoder = row.decoder();
        let words = vec![0xFFFF; usize::from(decoder.words())];
        let reading = decoder.registers(&words);
        let expected = Quality::Bad(QualityReason::NotAvailable);
        assert_eq!(
            (reading.value, reading.quality),
            (None, expected),
            "{}",
            row.point
        );
    }
}

#[test]
fn what_comes_along_is_what_stands_in_the_folder() {
    let built_in = Library::read(Path::new("/nowhere"), &mut Vec::new());
    let library = library();
    assert_eq!(built_in.profiles, library.profiles);
    assert_eq!(built_in.rules, library.rules);
}
