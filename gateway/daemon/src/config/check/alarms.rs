//! Checks of what a site has otherwise than the rules that come along.

use super::devices::never;
use super::{Place, instead};
use crate::config::build::{adjust, is_of, limits};
use crate::config::fault::Severity;
use crate::config::library::contradiction;
use crate::config::{AlarmOverride, AssetConfig, Config, Library};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use zhiban_core::alarm::fit::Fit;
use zhiban_core::alarm::rule::AlarmRule;
use zhiban_core::numbered::is_named;
use zhiban_core::profile::Profile;
use zhiban_core::{Duration, unit};

/// No delay is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(86_400);

pub(super) fn overrides(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    let devices = Devices::of(config, library);
    at.within("alarm", |at| {
        for (index, change) in config.alarms.iter().enumerate() {
            at.within(index, |at| {
                let Some(class) = class_of(change, config, library, at) else {
                    return;
                };
                let rules = library.rules_of(&class);
                let written = |rule: &&Arc<AlarmRule>| {
                    rule.id == change.rule || is_named(&change.rule, &rule.id)
                };
                let Some(rule) = rules.iter().find(written) else {
                    let what = format!("class \"{class}\" has no rule \"{}\"", change.rule);
                    let known = rules.iter().map(|rule| rule.id.as_str());
                    at.error("rule", what, instead(&change.rule, known));
                    return;
                };
                one(change, rule, at);
                itself(change, index, &config.alarms, at);
                devices.hold(change, &class, rule, at);
            });
        }
    });
}

/// What the devices of the configuration make of their rules.
struct Devices<'c> {
    changes: &'c [AlarmOverride],
    assets: Vec<(&'c AssetConfig, &'c Profile)>,
    fits: BTreeMap<&'c str, Vec<Fit>>,
}

impl<'c> Devices<'c> {
    fn of(config: &'c Config, library: &'c Library) -> Self {
        let assets = config.assets.iter();
        let assets: Vec<_> = assets
            .filter_map(|asset| Some((asset, &**library.profiles.get(&asset.profile)?)))
            .collect();
        let profiles = assets.iter().map(|(_, profile)| *profile);
        let fits = profiles.map(|one| (one.id.as_str(), library.fits(one)));
        Self {
            changes: &config.alarms,
            fits: fits.collect(),
            assets,
        }
    }

    /// Holds a change against what the devices it is for make of the rule.
    fn hold(
        &self,
        change: &AlarmOverride,
        class: &str,
        written: &AlarmRule,
        at: &mut Place<'_, '_>,
    ) {
        let meant = self.assets.iter().filter(|(asset, profile)| {
            let of_asset = change.asset.as_ref() == Some(&asset.code);
            of_asset || (change.asset.is_none() && profile.class == class)
        });
        let mut any = false;
        let mut lacks = Vec::new();
        for (asset, profile) in meant.clone() {
            let fits = self.fits.get(profile.id.as_str());
            for fit in fits.into_iter().flatten().filter(|fit| is_of(change, fit)) {
                match &fit.rule {
                    Ok(rule) => {
                        any = true;
                        if units(change, written, rule, asset, at).is_err()
                            || self.numbers(change, fit, asset, profile, at).is_err()
                        {
                            return;
                        }
                    }
                    Err(_) => lacks.extend(fit.lacks.iter().cloned()),
                }
            }
        }
        if !any && meant.count() > 0 {
            let what = format!(
                "this changes nothing: nothing it is for gets rule \"{}\"",
                change.rule
            );
            let remedy = if lacks.is_empty() {
                "take it out, or correct the rule's number".to_owned()
            } else {
                format!("take it out, or add to the profile: {}", lacks.join(", "))
            };
            at.add(Severity::Warning, "rule", what, remedy);
        }
    }
}

impl Devices<'_> {
    /// Whether something can still be right and something still be wrong with the numbers of a change.
    fn numbers(
        &self,
        change: &AlarmOverride,
        fit: &Fit,
        asset: &AssetConfig,
        profile: &Profile,
        at: &mut Place<'_, '_>,
    ) -> Result<(), ()> {
        if change.above.is_none() && change.below.is_none() && change.deadband.is_none() {
            return Ok(());
        }
        let Some(rule) = adjust(fit, asset, &profile.class, self.changes) else {
            return Ok(());
        };
        let given = |key: &str| match key {
            "above" => change.above.is_some(),
            "below" => change.below.is_some(),
            _ => change.deadband.is_some(),
        };
        let own = ["above", "below", "deadband"]
            .into_iter()
            .find(|key| given(key));
        let mut when = rule.when.clone();
        for limit in limits(&mut when) {
            let wrong = contradiction(*limit.above, *limit.below, *limit.deadband);
            if let Some((key, what, remedy)) = wrong.into_iter().next() {
                let key = if given(key) { key } else { own.unwrap_or(key) };
                at.error(key, what, remedy);
                return Err(());
            }
        }
        if let Some((_, what)) = never(&rule, profile).into_iter().next() {
            let what = format!("rule \"{}\" of asset \"{}\" {what}", rule.id, asset.code);
            let remedy = "write a value that the device can have, in the unit that is meant";
            at.error(own.unwrap_or("rule"), what, remedy);
            return Err(());
        }
        Ok(())
    }
}

/// Whether the numbers of a change can be told to be in a unit, and in which.
fn units(
    change: &AlarmOverride,
    written: &AlarmRule,
    rule: &AlarmRule,
    asset: &AssetConfig,
    at: &mut Place<'_, '_>,
) -> Result<(), ()> {
    let bare = |unit: &str| unit.is_empty() || unit == unit::NUMBER;
    let mut when = written.when.clone();
    let rules_own: BTreeSet<String> = limits(&mut when)
        .iter()
        .map(|limit| limit.unit.to_owned())
        .collect();
    let mut when = rule.when.clone();
    for limit in limits(&mut when) {
        let changed = change.deadband.is_some()
            || (change.above.is_some() && limit.above.is_some())
            || (change.below.is_some() && limit.below.is_some());
        if !changed {
            continue;
        }
        let point = format!("point \"{}\" of asset \"{}\"", limit.point, asset.code);
        if let Some(given) = &change.unit {
            if limit.conversion(change).is_err() {
                let has = if limit.unit.is_empty() {
                    "none"
                } else {
                    limit.unit
                };
                let what =
                    format!("\"{given}\" can't be converted into the unit of {point}: {has}");
                let known = match limit.unit {
                    "" => "take unit out".to_owned(),
                    has => format!("write one of: {}", unit::same_kind(has).join(", ")),
                };
                at.error("unit", what, known);
                return Err(());
            }
            continue;
        }
        let same = |own: &String| own == limit.unit || (bare(own) && bare(limit.unit));
        if !rules_own.iter().any(same) {
            let own: Vec<_> = rules_own.iter().map(String::as_str).collect();
            let what = format!(
                "rule \"{}\" counts in {} and {point} in {}: which one is meant?",
                rule.id,
                own.join(" and "),
                limit.unit
            );
            let remedy = format!(
                "add unit = \"{}\", or the one these numbers are in",
                limit.unit
            );
            at.error("rule", what, remedy);
            return Err(());
        }
    }
    Ok(())
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

/// What a change says of itself: nothing, too much, or the same as another.
fn itself(change: &AlarmOverride, index: usize, all: &[AlarmOverride], at: &mut Place<'_, '_>) {
    let numbers = [change.above, change.below, change.deadband];
    let numbers = numbers.iter().any(Option::is_some);
    let says = numbers
        || change.priority.is_some()
        || change.on_delay.is_some()
        || change.off_delay.is_some();
    if change.enabled && !says {
        at.add(
            Severity::Warning,
            "rule",
            "this changes nothing",
            "say what, or take it out",
        );
    }
    if !change.enabled && says {
        let what = "a rule that is taken away has nothing else to change";
        at.add(
            Severity::Warning,
            "enabled",
            what,
            "take the rest out, or enabled",
        );
    }
    if change.unit.is_some() && !numbers {
        let what = "a unit stands without above, below or deadband";
        at.error("unit", what, "add one of them, or take it out");
    }
    for (key, delay) in [
        ("on_delay", change.on_delay),
        ("off_delay", change.off_delay),
    ] {
        if delay.is_some_and(|delay| delay > LONGEST_DELAY) {
            at.error(
                key,
                format!("{key} is longer than a day"),
                "write \"24h\" or less",
            );
        }
    }
    let before = all.iter().take(index);
    let same = |one: &&AlarmOverride| {
        one.rule == change.rule && one.asset == change.asset && one.class == change.class
    };
    if before.clone().any(|one| same(&one)) {
        let what = format!("rule \"{}\" is changed twice for the same", change.rule);
        at.add(Severity::Warning, "rule", what, "put both into one table");
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
            let what = format!("rule \"{}\" has no {key} to change", change.rule);
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
        let what = format!("rule \"{}\" guards life and {what}", change.rule);
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
