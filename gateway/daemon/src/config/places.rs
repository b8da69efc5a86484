//! Checks of what rules say about danger and place: texts that can be taken apart, names that are
//! there, points that some device has.
//!
//! A place that could never be said would send people to the machine room instead of the car.

use super::fault::Fault;
use super::library::Library;
use super::source::Document;
use std::collections::BTreeSet;
use std::sync::Arc;
use zhiban_core::alarm::fit::Fit;
use zhiban_core::alarm::rule::{AlarmRule, Danger, RuleFile};
use zhiban_core::numbered::NUMBER;
use zhiban_core::place::{parse, points};
use zhiban_core::profile::Profile;

/// What is wrong with the places and dangers of one rule file.
pub(super) fn check(rules: &RuleFile, document: &Document<'_>, faults: &mut Vec<Fault>) {
    let mut fault = |path: &[&str], what: String, remedy: &str| {
        let path: Vec<_> = path.iter().map(|&step| step.to_owned()).collect();
        faults.push(document.fault(&path, what, remedy));
    };
    let used: BTreeSet<&str> = rules
        .rules
        .iter()
        .flat_map(|rule| rule.place.iter().map(String::as_str))
        .collect();
    for (name, text) in &rules.place {
        let path = ["place", name];
        match (
            parse(&without_number(&text.zh)),
            parse(&without_number(&text.en)),
        ) {
            (Err(what), _) | (_, Err(what)) => {
                let what = format!("place \"{name}\": {what}");
                let remedy = "write {point}, {point:level}, {point?words} or {point!words}";
                fault(&path, what, remedy);
            }
            (Ok(zh), Ok(en)) => {
                let (zh, en) = (points(&zh), points(&en));
                let named = |(first, then): &(Vec<&str>, Vec<&str>)| {
                    let all = first.iter().chain(then);
                    all.map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()
                };
                if text.is_incomplete() {
                    let what = format!("place \"{name}\" lacks a language");
                    fault(&path, what, "write both zh and en");
                } else if named(&zh) != named(&en) {
                    let what = format!("place \"{name}\" names other points in zh than in en");
                    fault(&path, what, "name the same points in both");
                }
            }
        }
        if !used.contains(name.as_str()) {
            let what = format!("no rule uses place \"{name}\"");
            fault(
                &path,
                what,
                "take it out, or write it into the rules it is for",
            );
        }
    }
    for (index, rule) in rules.rules.iter().enumerate() {
        let index = index.to_string();
        let unknown = rule
            .place
            .iter()
            .find(|name| !rules.place.contains_key(*name));
        if let Some(name) = unknown {
            let what = format!(
                "rule \"{}\" names place \"{name}\", which is not there",
                rule.id
            );
            let remedy = "write it into [place], or name one that is there";
            fault(&["rule", &index, "place"], what, remedy);
        }
        if rule.life_safety && rule.danger.or(rules.danger) == Some(Danger::Machine) {
            let what = format!(
                "rule \"{}\" guards life and says that a machine is in danger",
                rule.id
            );
            let remedy = "write \"people\", \"fire\", \"gas\", \"water\" or \"power\"";
            fault(&["rule", &index, "danger"], what, remedy);
        }
    }
}

/// Points that the places of a class's rules name and no profile of the class has: the rule, and what
/// is wrong.
pub(super) fn unknown(library: &Library, class: &str) -> Vec<(String, String)> {
    let known = library.points.get(class);
    let has = |name: &str| known.is_some_and(|points| points.contains_key(name));
    let rules = library.rules_of(class);
    let of_rule = |rule: &Arc<AlarmRule>| {
        let texts = rule.places.iter();
        let texts = texts.filter_map(|text| parse(&without_number(&text.zh)).ok());
        let missing = texts.filter_map(|parts| {
            let (first, then) = points(&parts);
            // Of words that each stand for a state, one that is known is enough.
            let lacks = first.iter().find(|name| !has(name)).copied();
            let none =
                (first.is_empty() && !then.iter().any(|name| has(name))).then(|| then.first());
            lacks.or(none.flatten().copied()).map(str::to_owned)
        });
        let missing: BTreeSet<String> = missing.collect();
        missing.into_iter().next().map(|point| {
            let what = format!(
                "says where by point \"{point}\", which no profile of class \"{class}\" has: the place would never be known"
            );
            (rule.id.clone(), what)
        })
    };
    rules.iter().filter_map(of_rule).collect()
}

/// A place with any number for `{n}`, which is words and no point.
fn without_number(text: &str) -> String {
    text.replace(NUMBER, "1")
}

/// Rules that guard life and whose place a device with this profile can never say.
pub(super) fn nowhere(fits: &[Fit], profile: &Profile) -> Vec<String> {
    let has = |name: &str| profile.points.iter().any(|row| row.point == name);
    let can_say = |rule: &AlarmRule| {
        let mut texts = rule.places.iter().filter_map(|text| parse(&text.zh).ok());
        texts.any(|parts| {
            let (first, then) = points(&parts);
            first.iter().all(|name| has(name))
                && (then.is_empty() || !first.is_empty() || then.iter().any(|name| has(name)))
        })
    };
    let rules = fits.iter().filter_map(|fit| fit.rule.as_ref().ok());
    let guarding = rules.filter(|rule| rule.life_safety && !rule.places.is_empty());
    guarding
        .filter(|rule| !can_say(rule))
        .map(|rule| rule.id.clone())
        .collect()
}
