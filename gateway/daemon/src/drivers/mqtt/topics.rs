//! Which devices and points a topic is about. Topics are text from outside and may stand in any
//! language.

use crate::drivers::Device;
use std::collections::{BTreeMap, BTreeSet};

/// The points of one device that a message may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Which device, by its place in the list.
    pub(super) device: usize,
    /// Rows of its profile.
    pub(super) rows: Vec<usize>,
}

/// What is known of one topic filter.
#[derive(Debug, Default)]
struct Entry {
    targets: Vec<Target>,
    /// Devices whose availability it tells.
    availability: Vec<usize>,
}

/// All topics of a link.
#[derive(Debug, Default)]
pub(super) struct Topics {
    exact: BTreeMap<String, Entry>,
    wild: Vec<(String, Entry)>,
}

/// Everything a topic is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct About<'t> {
    /// The points it may hold.
    pub(super) targets: Vec<&'t Target>,
    /// The devices whose availability it tells.
    pub(super) availability: Vec<usize>,
}

impl Topics {
    /// The topics that the profiles of these devices name.
    pub(super) fn new(devices: &[Device]) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (place, device) in devices.iter().enumerate() {
            let own = |topic: &str| topic.replace("{topic}", &device.topic);
            for (row, point) in device.profile.points.iter().enumerate() {
                let Some(message) = &point.mqtt else {
                    continue;
                };
                let targets = &mut entries.entry(own(&message.topic)).or_default().targets;
                match targets.iter_mut().find(|target| target.device == place) {
                    Some(target) => target.rows.push(row),
                    None => targets.push(Target {
                        device: place,
                        rows: vec![row],
                    }),
                }
            }
            let settings = device.profile.mqtt.as_ref();
            if let Some(availability) = settings.and_then(|mqtt| mqtt.availability.as_ref()) {
                let entry = entries.entry(own(&availability.topic)).or_default();
                entry.availability.push(place);
            }
        }
        let (wild, exact): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(filter, _)| filter.contains(['+', '#']));
        Self {
            exact: exact.into_iter().collect(),
            wild,
        }
    }

    /// All filters to subscribe to.
    pub(super) fn filters(&self) -> BTreeSet<String> {
        let wild = self.wild.iter().map(|(filter, _)| filter);
        self.exact.keys().chain(wild).cloned().collect()
    }

    /// The filters that tell availability.
    pub(super) fn availability_filters(&self) -> BTreeSet<String> {
        let wild = self.wild.iter().map(|(filter, entry)| (filter, entry));
        let telling = self.exact.iter().chain(wild);
        telling
            .filter(|(_, entry)| !entry.availability.is_empty())
            .map(|(filter, _)| filter.clone())
            .collect()
    }

    /// What a topic is about.
    pub(super) fn about(&self, topic: &str) -> About<'_> {
        let mut about = About::default();
        let wild = self.wild.iter().filter(|(filter, _)| fits(filter, topic));
        let entries = self.exact.get(topic).into_iter();
        for entry in entries.chain(wild.map(|(_, entry)| entry)) {
            about.targets.extend(&entry.targets);
            about.availability.extend(&entry.availability);
        }
        about
    }
}

/// Whether a topic fits a filter, as MQTT 3.1.1 §4.7 says.
fn fits(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            (_, Some(_)) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_fit_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+/c", "a/值班/c", true),
            ("值班/+", "值班/泵", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "值班", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/+", "a/", true),
            ("", "", true),
        ] {
            assert_eq!(fits(filter, topic), expected, "{filter} {topic}");
        }
    }
}
