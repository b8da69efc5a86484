//! Makes the model and the drivers' device lists of a configuration that has no fault.
//!
//! It judges nothing: what it cannot use was refused by `check`.

use super::{AlarmOverride, AssetConfig, Config, Library};
use crate::drivers::Device;
use std::collections::BTreeMap;
use std::sync::Arc;
use zhiban_core::alarm::rule::{AlarmRule, Condition};
use zhiban_core::model::{AssetSpec, Location, ModelError, Policy, RotaEntry, Site};
use zhiban_core::profile::Profile;
use zhiban_core::{Duration, Model, PointId};

/// No asset is stale sooner, however fast it is read.
const SHORTEST_STALE: Duration = Duration::from_secs(3);

pub(super) type Built = (Model, BTreeMap<String, Vec<Device>>);

pub(super) fn build(config: &Config, library: &Library) -> Result<Built, ModelError> {
    let site = Site {
        code: config.site.code.clone(),
        name: config.site.name.clone(),
        time_zone: config.site.time_zone,
    };
    let policy = Policy {
        reopen_window: config.notify.reopen_window,
        escalate_after: config.notify.escalate_after,
    };
    let rota = config.notify.rota.iter().map(|line| RotaEntry {
        class: line.class.clone(),
        person: line.person.clone(),
    });
    let described = config.assets.iter().filter_map(|asset| {
        let profile = library.profiles.get(&asset.profile)?;
        Some((asset, profile))
    });
    let specs = described
        .clone()
        .map(|(asset, profile)| spec(config, library, asset, profile))
        .collect();
    let model = Model::build(site, specs, rota.collect(), policy)?;
    let mut devices: BTreeMap<String, Vec<Device>> = BTreeMap::new();
    for (asset, profile) in described.filter(|(asset, _)| !asset.disabled) {
        let Some(id) = model.asset_by_code(&asset.code) else {
            continue;
        };
        devices.entry(asset.link.clone()).or_default().push(Device {
            asset: id,
            code: asset.code.clone(),
            profile: profile.clone(),
            first_point: PointId(model.asset(id).points.start),
            unit: asset.unit.unwrap_or(0),
            life_safety: model.asset(id).rules.clone().any(|rule| {
                let rule = model.rules.get(usize::try_from(rule).unwrap_or(usize::MAX));
                rule.is_some_and(|bound| bound.rule.life_safety)
            }),
            topic: asset.topic.clone().unwrap_or_default(),
        });
    }
    Ok((model, devices))
}

fn spec(
    config: &Config,
    library: &Library,
    asset: &AssetConfig,
    profile: &Arc<Profile>,
) -> AssetSpec {
    let location = config
        .locations
        .iter()
        .find(|one| asset.location.as_ref() == Some(&one.code));
    let rules = library.rules_of(&profile.class).iter();
    AssetSpec {
        code: asset.code.clone(),
        name: asset.name.clone(),
        location: location.map(|one| Location {
            code: one.code.clone(),
            name: one.name.clone(),
        }),
        profile: profile.clone(),
        link: asset.link.clone(),
        disabled: asset.disabled,
        stale_after: asset.stale_after.unwrap_or_else(|| usual_stale(profile)),
        rules: rules
            .filter_map(|rule| fitted(rule, profile))
            .filter_map(|rule| adjust(rule, asset, &profile.class, &config.alarms))
            .collect(),
    }
}

/// Three periods of what the profile reads most often.
fn usual_stale(profile: &Profile) -> Duration {
    let poll = profile.modbus.as_ref().map(|modbus| {
        let rows = profile.points.iter();
        modbus
            .poll
            .of(rows.map(|row| row.poll).min().unwrap_or_default())
    });
    let sent = profile.mqtt.as_ref().map(|mqtt| mqtt.period);
    let period = poll.max(sent).unwrap_or_default();
    Duration::from_millis(period.millis().saturating_mul(3)).max(SHORTEST_STALE)
}

/// The rule as a device with this profile can have it: of an `any`, what its points allow. `None`
/// when it lacks a point without which the rule could not be judged.
pub(super) fn fitted(rule: &Arc<AlarmRule>, profile: &Profile) -> Option<Arc<AlarmRule>> {
    let has = |name: &str| profile.points.iter().any(|row| row.point == name);
    if rule.when.points().into_iter().all(has) {
        return Some(rule.clone());
    }
    let when = fitting(&rule.when, &has)?;
    Some(Arc::new(AlarmRule {
        when,
        ..AlarmRule::clone(rule)
    }))
}

fn fitting(condition: &Condition, has: &impl Fn(&str) -> bool) -> Option<Condition> {
    match condition {
        Condition::All(list) => {
            let list: Option<Vec<_>> = list.iter().map(|one| fitting(one, has)).collect();
            list.map(Condition::All)
        }
        Condition::Any(list) => {
            let list: Vec<_> = list.iter().filter_map(|one| fitting(one, has)).collect();
            (!list.is_empty()).then_some(Condition::Any(list))
        }
        Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::Limit { .. }
        | Condition::Rate { .. }
        | Condition::NoData {} => {
            let points = condition.points();
            points.into_iter().all(has).then(|| condition.clone())
        }
    }
}

/// The rule as this asset has it: first what the site says of its class, then of the asset itself.
fn adjust(
    mut rule: Arc<AlarmRule>,
    asset: &AssetConfig,
    class: &str,
    overrides: &[AlarmOverride],
) -> Option<Arc<AlarmRule>> {
    let id = rule.id.clone();
    let mine = |one: &&AlarmOverride| one.rule == id;
    let of_class = |one: &&AlarmOverride| one.class.as_deref() == Some(class);
    let of_asset = |one: &&AlarmOverride| one.asset.as_ref() == Some(&asset.code);
    let list = overrides.iter().filter(mine);
    let list = list.clone().filter(of_class).chain(list.filter(of_asset));
    let mut enabled = true;
    for change in list {
        enabled = change.enabled;
        let rule = Arc::make_mut(&mut rule);
        rule.priority = change.priority.unwrap_or(rule.priority);
        rule.on_delay = change.on_delay.unwrap_or(rule.on_delay);
        rule.off_delay = change.off_delay.unwrap_or(rule.off_delay);
        for limit in limits(&mut rule.when) {
            *limit.above = limit.above.and(change.above.or(*limit.above));
            *limit.below = limit.below.and(change.below.or(*limit.below));
            *limit.deadband = change.deadband.unwrap_or(*limit.deadband);
        }
    }
    enabled.then_some(rule)
}

/// The parts of a limit that a site may change.
pub(super) struct Limit<'c> {
    pub(super) above: &'c mut Option<f64>,
    pub(super) below: &'c mut Option<f64>,
    pub(super) deadband: &'c mut f64,
}

/// Every limit of a condition.
pub(super) fn limits(condition: &mut Condition) -> Vec<Limit<'_>> {
    match condition {
        Condition::Limit {
            above,
            below,
            deadband,
            ..
        } => vec![Limit {
            above,
            below,
            deadband,
        }],
        Condition::All(list) | Condition::Any(list) => list.iter_mut().flat_map(limits).collect(),
        Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::Rate { .. }
        | Condition::NoData {} => Vec::new(),
    }
}
