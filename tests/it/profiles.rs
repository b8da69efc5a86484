//! Walks every profile and every alarm rule that comes with the program. A new file needs no new
//! test: it is found, and must decode its examples and speak both languages.

mod manual;
mod rules;

use std::path::{Path, PathBuf};
use zhiban::config::{Fault, Library, check_profile};
use zhiban_core::{Quality, QualityReason};

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
        let profile = check_profile(&file).unwrap_or_else(|faults| panic!("{}", print(&faults)));
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
        let rules = library.rules_of(&profile.class);
        assert!(!rules.is_empty(), "class {} has no rules", profile.class);
        let communication = rules.iter().find(|rule| rule.id == "communication");
        assert!(communication.is_some(), "class {}", profile.class);
    }
}

/// A rule that looks at a point of no profile, in any of its parts, has misspelt it.
#[test]
fn every_point_of_every_rule_is_a_point_of_some_profile() {
    let library = library();
    for (class, rules) in &library.rules {
        let points = &library.points[class];
        for rule in rules {
            for point in rule.when.points() {
                assert!(points.contains_key(point), "{class}/{}: {point}", rule.id);
            }
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
