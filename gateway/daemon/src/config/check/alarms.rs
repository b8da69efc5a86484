//! Checks of what a site has otherwise than the rules that come along.

use super::{Place, instead};
use crate::config::build::limits;
use crate::config::{AlarmOverride, Config, Library};
use std::sync::Arc;
use zhiban_core::alarm::rule::AlarmRule;

pub(super) fn overrides(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    at.within("alarm", |at| {
        for (index, change) in config.alarms.iter().enumerate() {
            at.within(index, |at| {
                let Some(class) = class_of(change, config, library, at) else {
                    return;
                };
                let rules = library.rules_of(&class);
                match rules.iter().find(|rule| rule.id == change.rule) {
                    Some(rule) => one(change, rule, at),
                    None => {
                        let what = format!("class \"{class}\" has no rule \"{}\"", change.rule);
                        let known = rules.iter().map(|rule| rule.id.as_str());
                        at.error("rule", what, instead(&change.rule, known));
                    }
                }
            });
        }
    });
}

/// The class whose rule is meant; `None` when that is not to be known.
fn class_of(
    change: &AlarmOverride,
    config: &Config,
    library: &Library,
    at: &mut Place<'_, '_>,
) -> Option<String> {
    match (&change.asset, &change.class) {
        (None, Some(class)) => {
            let classes = library.classes();
            if classes.contains(class.as_str()) {
                return Some(class.clone());
            }
            let what = format!("class \"{class}\" does not exist");
            at.error("class", what, instead(class, classes));
            None
        }
        (Some(code), None) => {
            let Some(asset) = config.assets.iter().find(|one| one.code == *code) else {
                if at.document.lost("asset") {
                    return None;
                }
                let what = format!("asset \"{code}\" does not exist");
                let known = config.assets.iter().map(|one| one.code.as_str());
                at.error("asset", what, instead(code, known));
                return None;
            };
            let profile = library.profiles.get(&asset.profile)?;
            Some(profile.class.clone())
        }
        (Some(_), Some(_)) | (None, None) => {
            let what = "a change of a rule is for one asset or for one class";
            at.error("rule", what, "give either asset or class");
            None
        }
    }
}

fn one(change: &AlarmOverride, rule: &Arc<AlarmRule>, at: &mut Place<'_, '_>) {
    if rule.life_safety {
        life_safety(change, rule, at);
        return;
    }
    let mut when = rule.when.clone();
    let limits = limits(&mut when);
    let no_upper = limits.iter().all(|limit| limit.above.is_none());
    let no_lower = limits.iter().all(|limit| limit.below.is_none());
    for (key, given, absent) in [
        ("above", change.above, no_upper),
        ("below", change.below, no_lower),
        ("deadband", change.deadband, limits.is_empty()),
    ] {
        if given.is_some() && absent {
            let what = format!("rule \"{}\" has no {key} to change", rule.id);
            at.error(key, what, "take it out");
        }
        if given.is_some_and(|number| !number.is_finite()) {
            at.error(
                key,
                format!("{key} is not a number"),
                "write a finite number",
            );
        }
    }
    if change.deadband.is_some_and(|deadband| deadband < 0.0) {
        at.error("deadband", "the deadband is negative", "write 0 or more");
    }
}

fn life_safety(change: &AlarmOverride, rule: &AlarmRule, at: &mut Place<'_, '_>) {
    let mut refuse = |key: &str, what: &str, remedy: &str| {
        let what = format!("rule \"{}\" guards life and {what}", rule.id);
        at.error(key, what, remedy);
    };
    if !change.enabled {
        refuse("enabled", "can't be taken away", "take this out");
    }
    if change.on_delay.is_some_and(|span| span > rule.on_delay) {
        let remedy = format!("write \"{}\" or less", rule.on_delay);
        refuse("on_delay", "can't wait longer", &remedy);
    }
    if change.off_delay.is_some_and(|span| span > rule.off_delay) {
        // It would still be active, and so silent, when the fault is long gone and comes again.
        let remedy = format!("write \"{}\" or less", rule.off_delay);
        refuse("off_delay", "can't stay longer", &remedy);
    }
    for (key, given) in [
        ("above", change.above),
        ("below", change.below),
        ("deadband", change.deadband),
    ] {
        if given.is_some() {
            refuse(key, "keeps its limits", "take this out");
        }
    }
    if change.priority.is_some_and(|one| one > rule.priority) {
        let remedy = format!("write {}", rule.priority.number());
        refuse("priority", "can't be less urgent", &remedy);
    }
}
