//! Checks of locations and assets: codes, profiles, links, units, topics.

use super::blind::blind;
use super::{Place, instead};
use crate::config::build::fitted;
use crate::config::fault::Severity;
use crate::config::places;
use crate::config::{AssetConfig, Config, Library, LinkConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use zhiban_core::profile::Profile;

pub(super) fn locations(config: &Config, at: &mut Place<'_, '_>) {
    let mut codes = BTreeSet::new();
    at.within("location", |at| {
        for (index, location) in config.locations.iter().enumerate() {
            at.within(index, |at| {
                code("location", &location.code, at);
                if !codes.insert(&location.code) {
                    let what = format!("location \"{}\" is there twice", location.code);
                    at.error("code", what, "give each location its own code");
                }
                if location.name.is_incomplete() {
                    at.error("name", "the name lacks a language", "write both zh and en");
                }
            });
        }
    });
}

/// What assets may not share.
#[derive(Default)]
struct Taken<'c> {
    codes: BTreeSet<&'c str>,
    units: BTreeMap<(&'c str, u8), &'c str>,
    topics: BTreeMap<(&'c str, &'c str), &'c str>,
    /// By link and profile, of profiles whose topics are the same for every asset.
    fixed: BTreeMap<(&'c str, &'c str), &'c str>,
}

pub(super) fn assets(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    let mut taken = Taken::default();
    at.within("asset", |at| {
        for (index, asset) in config.assets.iter().enumerate() {
            at.within(index, |at| {
                identity(config, asset, &mut taken, at);
                let profile = library.profiles.get(&asset.profile);
                if profile.is_none() && !library.faulty.contains(&asset.profile) {
                    let what = format!("profile \"{}\" does not exist", asset.profile);
                    let known = library.profiles.keys().map(String::as_str);
                    at.error("profile", what, instead(&asset.profile, known));
                }
                match config.links.get(&asset.link) {
                    Some(link) => {
                        place(asset, link, profile.map(|one| &**one), &mut taken, at);
                    }
                    None if at.document.lost("link") => {}
                    None => {
                        let what = format!("link \"{}\" does not exist", asset.link);
                        let known = config.links.keys().map(String::as_str);
                        at.error("link", what, instead(&asset.link, known));
                    }
                }
            });
        }
        unused_rules(config, library, at);
    });
}

fn identity<'c>(
    config: &Config,
    asset: &'c AssetConfig,
    taken: &mut Taken<'c>,
    at: &mut Place<'_, '_>,
) {
    code("asset", &asset.code, at);
    if !taken.codes.insert(&asset.code) {
        let what = format!("asset \"{}\" is there twice", asset.code);
        at.error("code", what, "give each asset its own code");
    }
    if asset.name.is_incomplete() {
        at.error("name", "the name lacks a language", "write both zh and en");
    }
    if asset.stale_after.is_some_and(|span| span.millis() < 100) {
        at.error(
            "stale_after",
            "stale_after is too short",
            "write \"1s\" or more",
        );
    }
    let known = || config.locations.iter().map(|one| one.code.as_str());
    if let Some(location) = asset.location.as_deref()
        && !known().any(|code| code == location)
        && !at.document.lost("location")
    {
        let what = format!("location \"{location}\" does not exist");
        at.error("location", what, instead(location, known()));
    }
}

/// A code is part of keys, topics and addresses of pages.
fn code(kind: &str, code: &str, at: &mut Place<'_, '_>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if code.is_empty() || code.chars().count() > 32 || !code.chars().all(plain) {
        let what = format!("the {kind}'s code \"{code}\" is not plain");
        at.error(
            "code",
            what,
            "write up to 32 letters, digits, hyphens, dots and underscores",
        );
    }
}

fn place<'c>(
    asset: &'c AssetConfig,
    link: &LinkConfig,
    profile: Option<&Profile>,
    taken: &mut Taken<'c>,
    at: &mut Place<'_, '_>,
) {
    if link.is_modbus() {
        unit(asset, link, taken, at);
        let meant = profile.and_then(|one| one.modbus.as_ref()?.unit);
        if let Some(meant) = meant.filter(|&meant| asset.unit.is_some_and(|unit| unit != meant)) {
            let what = format!(
                "profile \"{}\" is for unit {meant} only; here some of its points would be those of another device",
                asset.profile
            );
            let remedy = "copy the profile for this unit, as its file says";
            at.add(Severity::Warning, "unit", what, remedy);
        }
        if profile.is_some_and(|one| one.modbus.is_none()) {
            let what = format!("profile \"{}\" can't be read by Modbus", asset.profile);
            at.error("link", what, "name a link of the kind the profile is for");
        }
        if asset.topic.is_some() {
            let what = "a topic belongs to an asset on a broker";
            at.error("topic", what, "take it out, or name another link");
        }
        return;
    }
    if asset.unit.is_some() {
        let what = "a unit id belongs to an asset on a Modbus link";
        at.error("unit", what, "take it out, or name another link");
    }
    if profile.is_some_and(|one| one.mqtt.is_none()) {
        let what = format!("profile \"{}\" can't be read by MQTT", asset.profile);
        at.error("link", what, "name a link of the kind the profile is for");
    }
    topic(asset, profile.filter(|one| one.mqtt.is_some()), taken, at);
}

fn unit<'c>(
    asset: &'c AssetConfig,
    link: &LinkConfig,
    taken: &mut Taken<'c>,
    at: &mut Place<'_, '_>,
) {
    let Some(unit) = asset.unit else {
        let what = format!(
            "asset \"{}\" is on a Modbus link and has no unit id",
            asset.code
        );
        at.error("link", what, "add unit = 1 to 247");
        return;
    };
    // 255 addresses a device that has a network socket of its own.
    let (direct, zero) = match link {
        LinkConfig::ModbusTcp(link) => (unit == 255, unit == 0 && link.ask_unit_0),
        LinkConfig::ModbusRtuOverTcp(_) | LinkConfig::Mqtt(_) => (false, false),
    };
    if !(1..=247).contains(&unit) && !direct && !zero {
        let remedy = match (link, unit) {
            (LinkConfig::ModbusTcp(_), 0) => {
                "write 1 to 247; a device that must be asked as unit 0 needs ask_unit_0 = true on its link"
            }
            _ => "write 1 to 247",
        };
        at.error("unit", format!("unit {unit} can't be addressed"), remedy);
    }
    if let Some(other) = taken.units.insert((&asset.link, unit), &asset.code) {
        let what = format!(
            "unit {unit} of link \"{}\" is already asset \"{other}\"",
            asset.link
        );
        at.error("unit", what, "give each asset of a link its own unit id");
    }
}

fn topic<'c>(
    asset: &'c AssetConfig,
    profile: Option<&Profile>,
    taken: &mut Taken<'c>,
    at: &mut Place<'_, '_>,
) {
    if profile.is_some_and(|one| !row_topics(one).any(is_own)) {
        let described = (asset.link.as_str(), asset.profile.as_str());
        if let Some(other) = taken.fixed.insert(described, &asset.code) {
            let what = format!(
                "profile \"{}\" has fixed topics, so this would be the same device as asset \"{other}\"",
                asset.profile
            );
            let remedy = "write {topic} into the profile's topics, and give each asset its own";
            at.error("profile", what, remedy);
        }
    }
    let own = profile.map(wants_topic);
    let Some(topic) = asset.topic.as_deref() else {
        if own == Some(true) {
            let what = format!(
                "asset \"{}\" has no topic, and its profile asks for one",
                asset.code
            );
            at.error("link", what, "add topic = \"…\"");
        }
        return;
    };
    if own == Some(false) {
        let what = format!(
            "no topic of profile \"{}\" has {{topic}} in it",
            asset.profile
        );
        let remedy = "take the topic out, or write {topic} into the profile's topics";
        at.error("topic", what, remedy);
    }
    if topic.is_empty() || topic.contains(['#', '+']) {
        let what = format!("\"{topic}\" is not the topic of one asset");
        at.error("topic", what, "write a topic without # and +");
    }
    if let Some(other) = taken.topics.insert((&asset.link, topic), &asset.code) {
        let what = format!("topic \"{topic}\" is already that of asset \"{other}\"");
        at.error("topic", what, "give each asset its own topic");
    }
}

fn wants_topic(profile: &Profile) -> bool {
    let settings = profile.mqtt.as_ref();
    let availability = settings.and_then(|mqtt| mqtt.availability.as_ref());
    let availability = availability.map(|one| one.topic.as_str());
    row_topics(profile).chain(availability).any(is_own)
}

fn row_topics(profile: &Profile) -> impl Iterator<Item = &str> {
    let rows = profile.points.iter().filter_map(|row| row.mqtt.as_ref());
    rows.map(|row| row.topic.as_str())
}

/// Whether a topic of a profile has the asset's own in it.
fn is_own(topic: &str) -> bool {
    topic.contains("{topic}")
}

/// Rules of the class that no asset with this profile can have; said once for each profile.
fn unused_rules(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    let mut said = BTreeSet::new();
    for (index, asset) in config.assets.iter().enumerate() {
        let Some(profile) = library.profiles.get(&asset.profile) else {
            continue;
        };
        if !said.insert(&asset.profile) {
            continue;
        }
        let missing: Vec<String> = library
            .rules_of(&profile.class)
            .iter()
            .filter(|rule| fitted(rule, profile).is_none())
            .map(|rule| rule.id.clone())
            .collect();
        let unknown = places::unknown(library, &profile.class);
        for (rule, what) in blind(library, &profile.class).into_iter().chain(unknown) {
            let what = format!("rule \"{rule}\" {what}");
            let remedy = "correct the rule, or take it out";
            at.add(Severity::Error, &format!("{index}.profile"), what, remedy);
        }
        if !missing.is_empty() {
            let what = format!(
                "profile \"{}\" has not the points of some rules, which are not used: {}",
                asset.profile,
                missing.join(", ")
            );
            at.add(Severity::Info, &format!("{index}.profile"), what, "");
        }
        let nowhere = places::nowhere(library, profile);
        if !nowhere.is_empty() {
            let what = format!(
                "profile \"{}\" has no point that says where the fault of some rules is, which then name the place of the device alone: {}",
                asset.profile,
                nowhere.join(", ")
            );
            at.add(Severity::Info, &format!("{index}.profile"), what, "");
        }
        let halved = halved(library, profile);
        if library.own.contains(&asset.profile) && !halved.is_empty() {
            let what = format!(
                "profile \"{}\" has only a part of the points of rules that guard life, which see no more than that: {}",
                asset.profile,
                halved.join(", ")
            );
            let remedy = "see that no point's name is misspelt";
            at.add(Severity::Info, &format!("{index}.profile"), what, remedy);
        }
    }
}

/// Rules that guard life and look at less with this profile than they could, and what they lack.
fn halved(library: &Library, profile: &Arc<Profile>) -> Vec<String> {
    let rules = library.rules_of(&profile.class).iter();
    let halved = rules.filter(|rule| rule.life_safety).filter_map(|rule| {
        let fitted = fitted(rule, profile)?;
        let left = fitted.when.points();
        let all = rule.when.points().into_iter();
        let lacks: Vec<&str> = all.filter(|point| !left.contains(point)).collect();
        (!lacks.is_empty()).then(|| format!("{} without {}", rule.id, lacks.join(" and ")))
    });
    halved.collect()
}
