//! Keeps late answers from being taken for new ones.
//!
//! An RTU answer says neither which request nor which address it belongs to, and a serial server
//! hands a late one even to a new connection. But a unit answers in order: once it has answered a
//! request whose answer has another shape than all that are still owed, nothing is owed any more.
//! Until then nothing that comes from it is a value.

use super::connection::Ask;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::plan::Shape;

/// What to do about a unit before its next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is owed: read.
    Read,
    /// Ask this first, and throw the answer away.
    Fence(Ask),
    /// Every shape is owed: leave the unit alone for a while.
    Wait,
    /// A repetition of an earlier answer could be taken for that of a fence until then.
    Later(Instant),
}

/// An answer that did not come.
#[derive(Debug, Clone, Copy)]
struct Debt {
    shape: Shape,
    at: Instant,
    /// Whether nothing came at all: only then does the answer still come, and disturb another.
    silent: bool,
}

/// The answers that units owe.
#[derive(Debug, Default)]
pub(super) struct Fence {
    owed: BTreeMap<u8, Vec<Debt>>,
}

impl Fence {
    /// A request was sent, and its answer did not come; `silent` when nothing else came either.
    pub(super) fn owes(&mut self, unit: u8, shape: Shape, at: Instant, silent: bool) {
        let owed = self.owed.entry(unit).or_default();
        owed.retain(|known| known.shape != shape);
        owed.push(Debt { shape, at, silent });
    }

    /// An answer of a shape that was not owed came: all before it is settled. Gives what was owed,
    /// for it may have come unseen up to now.
    pub(super) fn passed(&mut self, unit: u8) -> Vec<Shape> {
        let owed = self.owed.remove(&unit).unwrap_or_default();
        owed.into_iter().map(|debt| debt.shape).collect()
    }

    /// Whether a unit owes anything.
    pub(super) fn owes_any(&self, unit: u8) -> bool {
        self.owed.contains_key(&unit)
    }

    /// Whether the answer of another, silent unit may still come: one younger than `span`. Units
    /// that answer with nonsense would excuse each other for ever.
    pub(super) fn others_owe(&self, unit: u8, now: Instant, span: Duration) -> bool {
        let others = self.owed.iter().filter(|(other, _)| **other != unit);
        let mut owed = others.flat_map(|(_, owed)| owed);
        owed.any(|debt| debt.silent && now - debt.at < span)
    }

    /// What to do before the next read of a unit. After `span` an answer is not expected any
    /// more, which only matters to a unit that has too few shapes to tell answers apart.
    pub(super) fn step(&self, unit: u8, choices: &[Ask], now: Instant, span: Duration) -> Step {
        let Some(owed) = self.owed.get(&unit) else {
            return Step::Read;
        };
        let age = |ask: &Ask| {
            let found = owed.iter().find(|debt| debt.shape == ask.shape());
            found.map(|debt| now - debt.at)
        };
        if let Some(ask) = choices.iter().find(|ask| age(ask).is_none()) {
            return Step::Fence(*ask);
        }
        let oldest = choices.iter().max_by_key(|ask| age(ask));
        match oldest {
            Some(ask) if age(ask).is_some_and(|age| age >= span) => Step::Fence(*ask),
            None if owed.iter().all(|debt| now - debt.at >= span) => Step::Read,
            Some(_) | None => Step::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::profile::Table;

    const SPAN: Duration = Duration::from_secs(3);

    fn ask(count: u16) -> Ask {
        Ask {
            table: Table::Holding,
            address: 0,
            count,
        }
    }

    #[test]
    fn a_fence_has_a_shape_that_is_not_owed() {
        let mut fence = Fence::default();
        let now = Instant::now();
        let choices = [ask(1), ask(2)];
        assert_eq!(fence.step(7, &choices, now, SPAN), Step::Read);
        fence.owes(7, ask(10).shape(), now, true);
        assert_eq!(fence.step(7, &choices, now, SPAN), Step::Fence(ask(1)));
        fence.owes(7, ask(1).shape(), now, true);
        assert_eq!(fence.step(7, &choices, now, SPAN), Step::Fence(ask(2)));
        assert_eq!(fence.passed(7), [ask(10).shape(), ask(1).shape()]);
        assert_eq!(fence.step(7, &choices, now, SPAN), Step::Read);
    }

    #[test]
    fn where_every_shape_is_owed_time_must_pass() {
        let mut fence = Fence::default();
        let now = Instant::now();
        fence.owes(7, ask(1).shape(), now, true);
        assert_eq!(fence.step(7, &[ask(1)], now, SPAN), Step::Wait);
        assert_eq!(fence.step(7, &[], now, SPAN), Step::Wait);
        let later = now + SPAN;
        assert_eq!(fence.step(7, &[ask(1)], later, SPAN), Step::Fence(ask(1)));
        assert_eq!(fence.step(7, &[], later, SPAN), Step::Read);
    }

    #[test]
    fn what_one_unit_owes_may_disturb_another() {
        let mut fence = Fence::default();
        let now = Instant::now();
        fence.owes(7, ask(1).shape(), now, true);
        assert!(fence.others_owe(8, now, SPAN));
        assert!(!fence.others_owe(7, now, SPAN));
        assert!(!fence.others_owe(8, now + SPAN, SPAN));
        fence.owes(7, ask(1).shape(), now, false);
        assert!(
            !fence.others_owe(8, now, SPAN),
            "it answered, with nonsense"
        );
    }
}
