//! Makes the model and the drivers' device lists of a configuration that has no fault.
//!
//! It judges nothing: what it cannot use was refused by `check`.

use super::{AlarmOverride, AssetConfig, Config, Library};
use crate::drivers::Device;
use std::collections::BTreeMap;
use std::sync::Arc;
use zhiban_core::alarm::fit::Fit;
use zhiban_core::alarm::rule::{AlarmRule, Condition};
use zhiban_core::model::{AssetSpec, Location, ModelError, Policy, RotaEntry, Site};
use zhiban_core::profile::Profile;
use zhiban_core::profile::decode::Decoder;
use zhiban_core::unit::{Conversion, Mismatch};
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
    let mut fits: BTreeMap<&str, Vec<Fit>> = BTreeMap::new();
    for (_, profile) in described.clone() {
        fits.entry(&profile.id)
            .or_insert_with(|| library.fits(profile));
    }
    let specs = described
        .clone()
        .map(|(asset, profile)| {
            let fits = fits.get(profile.id.as_str()).map_or(&[][..], Vec::as_slice);
            spec(config, fits, asset, profile)
        })
        .collect();
    let model = Model::build(site, specs, rota.collect(), policy)?;
    let mut devices: BTreeMap<String, Vec<Device>> = BTreeMap::new();
    let mut decoders: BTreeMap<&str, Arc<[Decoder]>> = BTreeMap::new();
    for (asset, profile) in described.filter(|(asset, _)| !asset.disabled) {
        let Some(id) = model.asset_by_code(&asset.code) else {
            continue;
        };
        devices.entry(asset.link.clone()).or_default().push(Device {
            asset: id,
            code: asset.code.clone(),
            profile: profile.clone(),
            decoders: decoders
                .entry(&profile.id)
                .or_insert_with(|| profile.decoders())
                .clone(),
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

fn spec(config: &Config, fits: &[Fit], asset: &AssetConfig, profile: &Arc<Profile>) -> AssetSpec {
    let location = config
        .locations
        .iter()
        .find(|one| asset.location.as_ref() == Some(&one.code));
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
        rules: fits
            .iter()
            .filter_map(|fit| adjust(fit, asset, &profile.class, &config.alarms))
            .collect(),
    }
}

/// Three periods of what the profile reads most often.
fn usual_stale(profile: &Profile) -> Duration {
    let period = shortest_period(profile);
    Duration::from_millis(period.millis().saturating_mul(3)).max(SHORTEST_STALE)
}

/// How often that is read or sent which comes most often.
pub(super) fn shortest_period(profile: &Profile) -> Duration {
    let poll = profile.modbus.as_ref().map(|modbus| {
        let rows = profile.points.iter();
        modbus
            .poll
            .of(rows.map(|row| row.poll).min().unwrap_or_default())
    });
    let sent = profile.mqtt.as_ref().map(|mqtt| mqtt.period);
    poll.max(sent).unwrap_or_default()
}

/// Whether a change in the configuration is of this rule: by its id, or by the one that its file
/// has for all numbers, `pump{n}_fault`.
pub(super) fn is_of(change: &AlarmOverride, fit: &Fit) -> bool {
    change.rule == fit.id || change.rule == fit.written.id
}

/// The rule as this asset has it: first what the site says of its class, then of the asset itself.
/// `None` when it has not got it.
pub(super) fn adjust(
    fit: &Fit,
    asset: &AssetConfig,
    class: &str,
    overrides: &[AlarmOverride],
) -> Option<Arc<AlarmRule>> {
    let mut rule = fit.rule.as_ref().ok()?.clone();
    let of_class = |one: &&AlarmOverride| one.class.as_deref() == Some(class);
    let of_asset = |one: &&AlarmOverride| one.asset.as_ref() == Some(&asset.code);
    let list = overrides.iter().filter(|one| is_of(one, fit));
    let list = list.clone().filter(of_class).chain(list.filter(of_asset));
    let mut enabled = true;
    for change in list {
        enabled = change.enabled;
        let rule = Arc::make_mut(&mut rule);
        rule.priority = change.priority.unwrap_or(rule.priority);
        rule.on_delay = change.on_delay.unwrap_or(rule.on_delay);
        rule.off_delay = change.off_delay.unwrap_or(rule.off_delay);
        for limit in limits(&mut rule.when) {
            // The check has refused what can't be converted.
            let Ok(by) = limit.conversion(change) else {
                continue;
            };
            let number = |given: Option<f64>| given.map(|given| by.number(given));
            *limit.above = limit.above.and(number(change.above).or(*limit.above));
            *limit.below = limit.below.and(number(change.below).or(*limit.below));
            *limit.deadband = change
                .deadband
                .map_or(*limit.deadband, |given| by.difference(given));
        }
    }
    enabled.then_some(rule)
}

/// The parts of a limit that a site may change, and the unit they are in.
pub(super) struct Limit<'c> {
    pub(super) point: &'c str,
    pub(super) above: &'c mut Option<f64>,
    pub(super) below: &'c mut Option<f64>,
    pub(super) deadband: &'c mut f64,
    pub(super) unit: &'c str,
}

impl Limit<'_> {
    /// From the unit of a change into that of the limit; a change without one is in the limit's.
    pub(super) fn conversion(&self, change: &AlarmOverride) -> Result<Conversion, Mismatch> {
        let given = change.unit.as_deref().unwrap_or(self.unit);
        Conversion::between(given, self.unit)
    }
}

/// Every limit of a condition.
pub(super) fn limits(condition: &mut Condition) -> Vec<Limit<'_>> {
    match condition {
        Condition::Limit {
            point,
            above,
            below,
            deadband,
            unit,
        } => vec![Limit {
            point,
            above,
            below,
            deadband,
            unit,
        }],
        Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
            list.iter_mut().flat_map(limits).collect()
        }
        Condition::ForSome { when, .. } | Condition::ForAll { when, .. } => limits(when),
        Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::Rate { .. }
        | Condition::NoData {}
        | Condition::Unreadable {} => Vec::new(),
    }
}
