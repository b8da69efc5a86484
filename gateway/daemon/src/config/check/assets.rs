//! Checks of locations and assets: codes, profiles, links, units, topics.

use super::{Place, devices, instead};
use crate::config::build::shortest_period;
use crate::config::fault::Severity;
use crate::config::{AssetConfig, Config, Library, LinkConfig};
use std::collections::{BTreeMap, BTreeSet};
use zhiban_core::Duration;
use zhiban_core::profile::Profile;
use zhiban_core::profile::check::topics;

/// A device that is read often and silent for longer is told of.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

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
                if let Some(profile) = profile {
                    silence(asset, profile, at);
                }
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
        rules(config, library, at);
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

/// A `stale_after` that is over between two reads, or so long that a dead device goes unnoticed.
fn silence(asset: &AssetConfig, profile: &Profile, at: &mut Place<'_, '_>) {
    let Some(span) = asset.stale_after else {
        return;
    };
    let period = shortest_period(profile);
    if span < period {
        let what =
            format!("the device is read or sends every {period}, and would be stale after {span}");
        at.error(
            "stale_after",
            what,
            format!("write three times that or more: \"{}\"", times(period, 3)),
        );
    }
    let most = times(period, 20).max(LONGEST_SILENCE);
    if span > most {
        let what = format!("a device that fell silent would look alive for {span}");
        at.add(
            Severity::Warning,
            "stale_after",
            what,
            format!("write \"{most}\" or less"),
        );
    }
}

fn times(span: Duration, count: i64) -> Duration {
    Duration::from_millis(span.millis().saturating_mul(count))
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
        if at.was_left_out("unit") {
            return;
        }
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
    if let Some(fixed) = profile.and_then(fixed_topic) {
        let described = (asset.link.as_str(), asset.profile.as_str());
        if let Some(other) = taken.fixed.insert(described, &asset.code) {
            let what = format!(
                "topic \"{fixed}\" of profile \"{}\" is the same for each asset, so asset \"{other}\" and this one would \
                 show the values of one device",
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
    for (what, remedy) in topics::own_faults(topic) {
        at.error("topic", what, remedy);
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

/// A topic of which one message would be taken for the values of every asset with this profile.
fn fixed_topic(profile: &Profile) -> Option<&str> {
    let mut rows = row_topics(profile);
    rows.find(|topic| !is_own(topic))
}

/// Whether a topic of a profile has the asset's own in it.
fn is_own(topic: &str) -> bool {
    topic.contains("{topic}")
}

/// What the rules make of the profiles in use; said once for each profile.
fn rules(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    let mut said = BTreeSet::new();
    for (index, asset) in config.assets.iter().enumerate() {
        let Some(profile) = library.profiles.get(&asset.profile) else {
            continue;
        };
        if !said.insert(&asset.profile) {
            continue;
        }
        for one in devices::faults(library, profile) {
            match one.at(library) {
                Ok(fault) => at.faults.push(fault),
                Err(one) => {
                    let (severity, what, remedy) = one.parts();
                    at.add(severity, &format!("{index}.profile"), what, remedy);
                }
            }
        }
    }
}
