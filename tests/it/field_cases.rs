//! The table of what goes wrong in the field, `field_cases.toml`, held to the sources: each case says what must be, and
//! names tests that exist and run. It must never prove a case by a test that is ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::tidy::source::{Source, code, sources};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    field: String,
    must: String,
    #[serde(default)]
    proof: Vec<String>,
    later: Option<String>,
}

/// At most one case in five may wait.
const MOST_LATER: usize = 5;

/// The functions of a file that the test runner runs: an attribute of a test and none that ignores it.
fn tests_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut attributes = Vec::new();
    for line in code(text).lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line.to_owned());
            continue;
        }
        let rest = line.strip_prefix("async ").unwrap_or(line);
        if let Some(rest) = rest.strip_prefix("fn ") {
            let has = |start: &str| attributes.iter().any(|one| one.starts_with(start));
            let runs = has("#[test]") || has("#[tokio::test");
            if runs && !has("#[ignore") && !has("#[cfg(") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                found.insert(name.to_owned());
            }
        }
        if !line.is_empty() {
            attributes.clear();
        }
    }
    found
}

/// The titles of a file's browser tests, as they are written.
fn titles_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        let Some(rest) = line.strip_prefix("test(") else {
            continue;
        };
        let mark = rest.chars().next().filter(|mark| "\"'`".contains(*mark));
        if let Some(title) = mark.and_then(|mark| rest.split(mark).nth(1)) {
            found.insert(title.to_owned());
        }
    }
    found
}

/// Why a proof is none.
fn fault(proof: &str, files: &BTreeMap<&str, &Source>) -> Option<String> {
    let text = |path: &str| files.get(path).map(|source| source.text());
    let missing = |path: &str| format!("{path} does not exist");
    if proof.ends_with(".script") {
        // One test plays every timeline that lies beside it.
        let is_played = proof.starts_with("gateway/core/src/facility/tests/");
        return match text(proof) {
            Some(text) if is_played && text.contains("\n> ") => None,
            Some(_) => Some(format!("{proof} is not played, or nothing comes of it")),
            None => Some(missing(proof)),
        };
    }
    let (path, name, known) = if let Some((path, name)) = proof.split_once("::") {
        (path, name, text(path).map(tests_of))
    } else if let Some((path, title)) = proof.split_once(": ") {
        (path, title, text(path).map(titles_of))
    } else {
        return Some(format!("{proof} names no test"));
    };
    match known {
        None => Some(missing(path)),
        Some(known) if known.contains(name) => None,
        Some(_) => Some(format!("{path} has no test that runs and is called {name}")),
    }
}

#[test]
fn every_case_of_the_field_is_proved_by_tests_that_exist() {
    let table: Table = toml::from_str(include_str!("field_cases.toml")).unwrap();
    let all = sources();
    let files = all.iter().map(|source| (source.path.as_str(), source));
    let files: BTreeMap<&str, &Source> = files.collect();
    let (mut faults, mut ids) = (Vec::new(), BTreeSet::new());
    for case in &table.case {
        let id = case.id.as_str();
        let mut blame = |what: &str| faults.push(format!("{id}: {what}"));
        let is_short = |text: &&str| text.trim().len() < 12;
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            blame("an id is lower-case words with hyphens");
        }
        if !ids.insert(id) {
            blame("the id is given twice");
        }
        if [case.field.as_str(), &case.must].iter().any(is_short) {
            blame("it does not say what happens, or what must be");
        }
        if case.proof.is_empty() == case.later.is_none() {
            blame("it needs either a proof or what is missing for one");
        }
        if case.later.as_deref().is_some_and(|later| is_short(&later)) {
            blame("it does not say what is missing");
        }
        let unique: BTreeSet<&String> = case.proof.iter().collect();
        if unique.len() < case.proof.len() {
            blame("a proof is given twice");
        }
        for what in case.proof.iter().filter_map(|proof| fault(proof, &files)) {
            blame(&what);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(table.case.len() > 30, "{} cases", table.case.len());
    let later = table
        .case
        .iter()
        .filter(|case| case.later.is_some())
        .count();
    assert!(later * MOST_LATER <= table.case.len(), "{later} cases wait");
}

#[test]
fn what_does_not_run_is_no_proof() {
    let rust = "#[test]\nfn runs() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn runs_too() {}\n\
                #[test]\n#[ignore = \"slow\"]\nfn ignored() {}\n#[ignore]\n#[test]\nfn ignored_too() {}\n\
                fn helper() {}\n// #[test]\nfn commented() {}\n    #[test]\n    fn drawn(n: u8) {}\n";
    let found: Vec<String> = tests_of(rust).into_iter().collect();
    assert_eq!(found, ["drawn", "runs", "runs_too"]);
    let browser = "test(\"one\", {}, f);\n  test(`of ${lang}`, f);\ntest.skip(\"no\", f);\n// test(\"not\", f);\n";
    let found: Vec<String> = titles_of(browser).into_iter().collect();
    assert_eq!(found, ["of ${lang}", "one"]);
}
