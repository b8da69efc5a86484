//! What can be wrong with a file of alarm rules, by itself and beside the rules it replaces.
//!
//! It knows nothing of devices: whether one has the points is decided elsewhere.

use super::super::fault::{Fault, Severity};
use super::super::source::Document;
use super::conditions;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use zhiban_core::alarm::rule::{AlarmRule, ClosePolicy, RuleFile};
use zhiban_core::numbered::NUMBER;
use zhiban_core::{Duration, Priority};

/// The longest on-delay of a rule that guards life: what an entrapment needs to be told from a stop.
const LONGEST_LIFE_SAFETY_DELAY: Duration = Duration::from_secs(90);

/// The longest on-delay of an urgent rule, and of any other; no off-delay is longer either.
const LONGEST_URGENT_DELAY: Duration = Duration::from_secs(600);
const LONGEST_DELAY: Duration = Duration::from_secs(86_400);

/// The longest time to deal with a fault.
const LONGEST_DUE: Duration = Duration::from_secs(366 * 86_400);

/// Everything that is wrong with a file of rules by itself.
pub(super) fn check(
    rules: &RuleFile,
    file: &Path,
    document: &Document<'_>,
    faults: &mut Vec<Fault>,
) {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| stem != rules.class) {
        let what = format!("the class \"{}\" is not the file's name", rules.class);
        let remedy = format!("write class = \"{}\"", stem.unwrap_or_default());
        faults.push(document.fault(&["class".to_owned()], what, remedy));
    }
    let mut ids = BTreeSet::new();
    for (index, rule) in rules.rules.iter().enumerate() {
        let mut fault = |path: &[&str], what: String, remedy: String| {
            let start = ["rule".to_owned(), index.to_string()].into_iter();
            let path: Vec<_> = start
                .chain(path.iter().map(|&step| step.to_owned()))
                .collect();
            faults.push(document.fault(&path, what, remedy));
        };
        if !ids.insert(rule.id.as_str()) {
            let what = format!("rule \"{}\" is there twice", rule.id);
            fault(&["id"], what, "give each rule its own id".to_owned());
        }
        for found in names(rule).into_iter().chain(times(rule)).chain(life(rule)) {
            fault(&[found.0], found.1, found.2.to_owned());
        }
        for found in conditions::check(&rule.when, rule.for_each.is_some()) {
            let path: Vec<&str> = found.path.iter().map(String::as_str).collect();
            let what = format!("rule \"{}\": {}", rule.id, found.what);
            fault(&path, what, found.remedy);
        }
    }
}

/// A key of a rule, what is wrong there and what to write instead.
type Found = (&'static str, String, &'static str);

/// Its names and texts, and the number in them.
fn names(rule: &AlarmRule) -> Vec<Found> {
    let id = &rule.id;
    let mut found = Vec::new();
    let is_plain = |text: &str| {
        let text = text.replace(NUMBER, "");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        !text.is_empty() && text.chars().all(plain)
    };
    for (key, text) in [("id", id), ("family", &rule.family)] {
        if !is_plain(text) {
            let what = format!("the {key} \"{text}\" is not plain");
            found.push((
                key,
                what,
                "write lower-case letters, digits and underscores",
            ));
        }
    }
    for (key, text) in [
        ("title", &rule.title),
        ("cause", &rule.cause),
        ("consequence", &rule.consequence),
        ("action", &rule.action),
    ] {
        if text.is_incomplete() {
            let what = format!("{key} of rule \"{id}\" lacks a language");
            found.push((key, what, "write both zh and en"));
        }
    }
    let title = [&rule.title.zh, &rule.title.en];
    let Some(each) = &rule.for_each else {
        let texts = title.into_iter().chain([id, &rule.family]);
        if texts.into_iter().any(|text| text.contains(NUMBER)) {
            let what = format!("{NUMBER} in rule \"{id}\" stands for nothing");
            found.push((
                "id",
                what,
                "add for_each = \"pump{n}\", or write the number",
            ));
        }
        return found;
    };
    found.extend(numbered(rule, each));
    found
}

/// What a rule for each number says of the number.
fn numbered(rule: &AlarmRule, each: &str) -> Vec<Found> {
    let id = &rule.id;
    let title = [&rule.title.zh, &rule.title.en];
    let mut found = Vec::new();
    if !conditions::has_number(each) || each.starts_with(NUMBER) {
        let what = format!("\"{each}\" does not say where the number stands");
        found.push((
            "for_each",
            what,
            "write it once as {n}, for example \"pump{n}\"",
        ));
    }
    if !id.contains(NUMBER) {
        let what = format!("rule \"{id}\" would have the same id for each number");
        found.push((
            "id",
            what,
            "write {n} into it, for example \"pump{n}_fault\"",
        ));
    }
    if title.iter().any(|text| !text.contains(NUMBER)) {
        let what = format!("the title of rule \"{id}\" does not say which one it is");
        found.push(("title", what, "write {n} into both languages"));
    }
    if !rule
        .when
        .points()
        .iter()
        .any(|point| point.contains(NUMBER))
    {
        let what = format!("rule \"{id}\" looks at the same points for each number");
        found.push(("when", what, "write {n} into the name of a point"));
    }
    found
}

/// Its delays.
fn times(rule: &AlarmRule) -> Vec<Found> {
    let id = &rule.id;
    let mut found = Vec::new();
    if rule.due == Duration::ZERO || rule.due > LONGEST_DUE {
        let what = format!("rule \"{id}\" gives no time to deal with it, or more than a year");
        found.push(("due", what, "write a duration, for example \"4h\""));
    }
    for (key, delay) in [("on_delay", rule.on_delay), ("off_delay", rule.off_delay)] {
        if delay > LONGEST_DELAY {
            let what = format!("rule \"{id}\" waits for {delay}");
            found.push((key, what, "write \"24h\" or less"));
        }
    }
    if rule.priority == Priority::Urgent && rule.on_delay > LONGEST_URGENT_DELAY {
        let what = format!("rule \"{id}\" is urgent and waits for {}", rule.on_delay);
        found.push((
            "on_delay",
            what,
            "write \"10m\" or less, or a lesser priority",
        ));
    }
    found
}

/// What a rule that guards life must say.
fn life(rule: &AlarmRule) -> Vec<Found> {
    let id = &rule.id;
    let mut found = Vec::new();
    if !rule.life_safety {
        return found;
    }
    if rule.priority != Priority::Urgent {
        let what = format!("rule \"{id}\" guards life and is not urgent");
        found.push(("priority", what, "write priority = 1"));
    }
    if rule.close == ClosePolicy::Auto {
        let what = format!("rule \"{id}\" guards life and closes by itself");
        found.push(("close", what, "write close = \"never\" or \"verify\""));
    }
    if !rule.work_order {
        let what = format!("rule \"{id}\" guards life and makes no order");
        let remedy = "write work_order = true, or leave it out";
        found.push(("work_order", what, remedy));
    }
    if rule.on_delay > LONGEST_LIFE_SAFETY_DELAY {
        let what = format!("rule \"{id}\" guards life and waits too long");
        found.push(("on_delay", what, "write \"90s\" or less"));
    }
    found
}

/// Names the rules that a file takes away by not having them: whoever adds one rule to a class has to
/// copy the others, and the loss of one is silent.
pub(super) fn names_what_is_lost(
    replaced: &[Arc<AlarmRule>],
    rules: &RuleFile,
    document: &Document<'_>,
    faults: &mut Vec<Fault>,
) {
    let has = |old: &AlarmRule| rules.rules.iter().any(|new| new.id == old.id);
    let lost = replaced.iter().filter(|old| !old.life_safety && !has(old));
    let lost: Vec<&str> = lost.map(|old| old.id.as_str()).collect();
    if lost.is_empty() {
        return;
    }
    let what = format!(
        "this file replaces all rules of class \"{}\", and takes these away: {}",
        rules.class,
        lost.join(", ")
    );
    let remedy = "copy those that are wanted from the rules that come with the program";
    let fault = document.fault(&["class".to_owned()], what, remedy);
    faults.push(Fault {
        severity: Severity::Warning,
        ..fault
    });
}

/// Every rule that guards life and is about to be replaced must be there again, as strong as it was.
pub(super) fn keeps_life_safety(
    replaced: &[Arc<AlarmRule>],
    rules: &RuleFile,
    document: &Document<'_>,
    faults: &mut Vec<Fault>,
) {
    for old in replaced.iter().filter(|rule| rule.life_safety) {
        let mut fault = |path: &[&str], what: &str, remedy: String| {
            let path: Vec<_> = path.iter().map(|&step| step.to_owned()).collect();
            let what = format!("rule \"{}\" guards life and {what}", old.id);
            faults.push(document.fault(&path, what, remedy));
        };
        let Some(index) = rules.rules.iter().position(|rule| rule.id == old.id) else {
            let remedy = "copy it from the rules that come with the program".to_owned();
            fault(&["class"], "is missing", remedy);
            continue;
        };
        let (new, index) = (&rules.rules[index], index.to_string());
        if !new.life_safety {
            let remedy = "write life_safety = true".to_owned();
            fault(&["rule", &index, "life_safety"], "must say so", remedy);
        }
        if new.on_delay > old.on_delay {
            let remedy = format!("write \"{}\" or less", old.on_delay);
            fault(&["rule", &index, "on_delay"], "can't wait longer", remedy);
        }
        if new.off_delay > old.off_delay {
            // It would still be active, and so silent, when the fault is long gone and comes again.
            let remedy = format!("write \"{}\" or less", old.off_delay);
            fault(&["rule", &index, "off_delay"], "can't stay longer", remedy);
        }
        let danger = new.danger.or(rules.danger);
        if danger.is_some_and(|danger| danger.rank() > old.danger().rank()) {
            let remedy = format!("write \"{}\"", old.danger().code());
            fault(&["rule", &index, "danger"], "can't count for less", remedy);
        }
        if new.priority > old.priority {
            let remedy = format!("write {}", old.priority.number());
            fault(
                &["rule", &index, "priority"],
                "can't be less urgent",
                remedy,
            );
        }
    }
}
