//! Numbers for points that stay the same over restarts, and what InfluxDB must be told of each.
//!
//! It also knows points that are no longer configured, so that what waits in the journal can still
//! be delivered under the names it was acquired by.

use std::collections::{BTreeMap, BTreeSet};
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
///
/// Two sorted lists instead of maps: with 50 000 points a map of each would cost the gateway more
/// than twice the memory.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// By number.
    entries: Vec<(u32, Entry)>,
    /// The places in `entries`, by key.
    by_key: Vec<u32>,
    /// The numbers of the model's points, in its order.
    numbers: Vec<u32>,
}

impl Dictionary {
    /// Only what is on disk.
    pub(super) fn known(entries: BTreeMap<u32, Entry>) -> Self {
        let mut dictionary = Self {
            entries: entries.into_iter().collect(),
            ..Self::default()
        };
        dictionary.sort_keys();
        dictionary
    }

    fn sort_keys(&mut self) {
        let entries = &self.entries;
        let mut by_key: Vec<u32> = (0..).take(entries.len()).collect();
        by_key.sort_unstable_by_key(|place| entries.get(*place as usize).map(|(_, one)| &one.key));
        self.by_key = by_key;
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
            let number = match dictionary.number(&entry.key) {
                Some(number) => {
                    if let Some(known) = dictionary.entry_mut(number)
                        && *known != entry
                    {
                        *known = entry;
                        changed.push(number);
                    }
                    number
                }
                None => {
                    let last = dictionary.entries.last();
                    let number = last.map_or(1, |(last, _)| last + 1);
                    dictionary.entries.push((number, entry));
                    changed.push(number);
                    number
                }
            };
            dictionary.numbers.push(number);
        }
        dictionary.entries.shrink_to_fit();
        dictionary.sort_keys();
        (dictionary, changed)
    }

    /// The numbers of the model's points, in its order.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Every number there is.
    pub(super) fn all(&self) -> Vec<u32> {
        self.entries.iter().map(|(number, _)| *number).collect()
    }

    /// The point of a number.
    pub(super) fn entry(&self, number: u32) -> Option<&Entry> {
        let place = self.place(number)?;
        self.entries.get(place).map(|(_, entry)| entry)
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        let place = self.place(number)?;
        self.entries.get_mut(place).map(|(_, entry)| entry)
    }

    fn place(&self, number: u32) -> Option<usize> {
        let by_number = |(known, _): &(u32, Entry)| known.cmp(&number);
        self.entries.binary_search_by(by_number).ok()
    }

    /// The numbers of the points of a name in a class of asset.
    pub(super) fn named(&self, class: &str, point: &str) -> impl Iterator<Item = u32> {
        let same =
            move |(_, entry): &&(u32, Entry)| *entry.class == *class && entry.point() == point;
        self.entries.iter().filter(same).map(|(number, _)| *number)
    }

    /// The number of a key that was known when the keys were sorted last.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        let of = |place: &u32| self.entries.get(*place as usize);
        let by_key = |place: &u32| of(place).map(|(_, one)| &*one.key).cmp(&Some(key));
        let found = self.by_key.binary_search_by(by_key).ok()?;
        of(self.by_key.get(found)?).map(|(number, _)| *number)
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
        let (second, changed) = Dictionary::new(first.entries.iter().cloned().collect(), &other);
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
