//! Numbers for points that stay the same over restarts, and what InfluxDB must be told of each.
//!
//! It also knows points that are no longer configured, so that what waits in the journal can still
//! be delivered under the names it was acquired by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use zhiban_core::Model;
use zhiban_core::model::PointKind;

/// A point as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its key, `{asset}/{point}`.
    pub(super) key: Arc<str>,
    /// What kind of value it has.
    pub(super) kind: PointKind,
    /// The class of its asset: the measurement.
    pub(super) class: Arc<str>,
    /// The code of its asset's location.
    pub(super) location: Option<Arc<str>>,
}

impl Entry {
    /// The asset's code.
    pub(super) fn asset(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(asset, _)| asset)
    }

    /// The point's name within its asset: the field.
    pub(super) fn point(&self) -> &str {
        self.key
            .rsplit_once('/')
            .map_or(&*self.key, |(_, name)| name)
    }
}

/// Every point ever known. Made at the start; never changes while the gateway runs.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    entries: BTreeMap<u32, Entry>,
    by_key: HashMap<Arc<str>, u32>,
    /// Those of the model, in its order.
    numbers: Vec<u32>,
}

impl Dictionary {
    /// Only what is on disk.
    pub(super) fn known(entries: BTreeMap<u32, Entry>) -> Self {
        let by_key = entries
            .iter()
            .map(|(number, one)| (one.key.clone(), *number));
        Self {
            by_key: by_key.collect(),
            entries,
            numbers: Vec::new(),
        }
    }

    /// Joins what is on disk with what is configured. Also gives the numbers that are new or changed.
    pub(super) fn new(known: BTreeMap<u32, Entry>, model: &Model) -> (Self, Vec<u32>) {
        let mut dictionary = Self::known(known);
        let mut changed = Vec::new();
        // One copy of a text for all points that say it.
        let mut texts: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut shared = |text: &str| match texts.get(text) {
            Some(known) => known.clone(),
            None => {
                let text: Arc<str> = text.into();
                texts.insert(text.clone());
                text
            }
        };
        for point in &model.points {
            let asset = model.asset(point.asset);
            let entry = Entry {
                key: point.key.clone(),
                kind: point.kind,
                class: shared(&asset.class),
                location: asset.location.as_ref().map(|place| shared(&place.code)),
            };
            let next = dictionary
                .entries
                .last_key_value()
                .map_or(1, |(last, _)| last + 1);
            let number = *dictionary.by_key.entry(entry.key.clone()).or_insert(next);
            if dictionary.entries.get(&number) != Some(&entry) {
                dictionary.entries.insert(number, entry);
                changed.push(number);
            }
            dictionary.numbers.push(number);
        }
        (dictionary, changed)
    }

    /// The numbers of the model's points, in its order.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Every number there is.
    pub(super) fn all(&self) -> Vec<u32> {
        self.entries.keys().copied().collect()
    }

    /// The point of a number.
    pub(super) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// The numbers of the points of a name in a class of asset.
    pub(super) fn named(&self, class: &str, point: &str) -> impl Iterator<Item = u32> {
        let same =
            move |(_, entry): &(&u32, &Entry)| *entry.class == *class && entry.point() == point;
        self.entries.iter().filter(same).map(|(number, _)| *number)
    }

    /// The number of a key.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }
}

/// The name of a kind on disk.
pub(super) fn kind_code(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Analog => "analog",
        PointKind::Flag => "flag",
        PointKind::Counter => "counter",
        PointKind::Enum => "enum",
        PointKind::Text => "text",
    }
}

/// The kind of a name on disk; a name that is not known is kept as text.
pub(super) fn kind_of(code: &str) -> PointKind {
    let kinds = [
        PointKind::Analog,
        PointKind::Flag,
        PointKind::Counter,
        PointKind::Enum,
    ];
    let found = kinds.into_iter().find(|kind| kind_code(*kind) == code);
    found.unwrap_or(PointKind::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{analog, model};

    #[test]
    fn numbers_stay_when_the_configuration_changes() {
        let (first, changed) = Dictionary::new(
            BTreeMap::new(),
            &model(vec![analog("a", 0.0), analog("b", 0.0)]),
        );
        assert_eq!((first.numbers(), changed), (&[1, 2][..], vec![1, 2]));
        let other = model(vec![analog("c", 0.0), analog("b", 0.0)]);
        let (second, changed) = Dictionary::new(first.entries.clone(), &other);
        assert_eq!((second.numbers(), changed), (&[3, 2][..], vec![3]));
        assert_eq!(second.entry(1).unwrap().point(), "a");
        assert_eq!(second.entry(2).unwrap().asset(), "P1");
        assert_eq!(second.number("P1/c"), Some(3));
    }

    #[test]
    fn kinds_read_as_they_were_written() {
        for kind in [
            PointKind::Analog,
            PointKind::Flag,
            PointKind::Counter,
            PointKind::Enum,
        ] {
            assert_eq!(kind_of(kind_code(kind)), kind);
        }
    }
}
