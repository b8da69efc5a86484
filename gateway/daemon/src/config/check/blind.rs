//! Rules that could never raise anything: they look at a point that is not there, or ask of it what
//! it can never say.
//!
//! A rule that is silent for a slip of the pen looks like a building in which all is well.

use crate::config::library::{KnownPoint, Library};
use zhiban_core::alarm::rule::{Condition, StateValue};
use zhiban_core::model::PointKind;

/// What of a class's rules is blind: the rule, and what is wrong with it.
pub(super) fn blind(library: &Library, class: &str) -> Vec<(String, String)> {
    let rules = library.rules_of(class);
    let rules = rules.iter();
    rules
        .filter_map(|rule| Some((rule.id.clone(), fault(&rule.when, library, class)?)))
        .collect()
}

fn fault(condition: &Condition, library: &Library, class: &str) -> Option<String> {
    match condition {
        Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
            return list.iter().find_map(|one| fault(one, library, class));
        }
        Condition::ForSome { when, .. } | Condition::ForAll { when, .. } => {
            return fault(when, library, class);
        }
        Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::Limit { .. }
        | Condition::Rate { .. }
        | Condition::NoData {}
        | Condition::Unreadable {} => {}
    }
    let point = condition.points().into_iter().next()?;
    let known = library.known(class, point);
    if known.is_empty() {
        return Some(format!(
            "looks at point \"{point}\", which no profile of class \"{class}\" has: it would never see it"
        ));
    }
    let what = if let Condition::State { is, .. } = condition {
        let code = is
            .iter()
            .find(|value| !known.iter().any(|one| can_be(one, value)))?;
        match code {
            StateValue::Integer(number) => format!("waits for {number}"),
            StateValue::Text(code) => format!("waits for \"{code}\""),
        }
    } else {
        if known.iter().any(|one| answers(one, condition)) {
            return None;
        }
        format!("asks {}", kind(condition))
    };
    Some(format!("{what} of point \"{point}\", which is never so"))
}

/// Whether a point of this kind can ever say what is asked.
fn answers(point: &KnownPoint, condition: &Condition) -> bool {
    match condition {
        Condition::Flag { .. } => matches!(point.kind, PointKind::Flag | PointKind::Counter),
        Condition::Bit { .. } => point.kind == PointKind::Counter,
        Condition::Limit { above, below, .. } => {
            is_number(point) && (above.is_some() || below.is_some())
        }
        Condition::Rate { .. } => is_number(point),
        Condition::State { .. }
        | Condition::NoData {}
        | Condition::Unreadable {}
        | Condition::All(_)
        | Condition::Any(_)
        | Condition::AtLeast { .. }
        | Condition::ForSome { .. }
        | Condition::ForAll { .. } => true,
    }
}

fn is_number(point: &KnownPoint) -> bool {
    matches!(point.kind, PointKind::Analog | PointKind::Counter)
}

fn can_be(point: &KnownPoint, value: &StateValue) -> bool {
    match (point.kind, value) {
        (PointKind::Enum, StateValue::Text(code)) => point.codes.contains(code),
        (PointKind::Text, StateValue::Text(_)) => true,
        (PointKind::Analog | PointKind::Counter, StateValue::Integer(_)) => true,
        (
            PointKind::Analog
            | PointKind::Counter
            | PointKind::Enum
            | PointKind::Text
            | PointKind::Flag,
            _,
        ) => false,
    }
}

fn kind(condition: &Condition) -> &'static str {
    match condition {
        Condition::Flag { .. } => "for a flag",
        Condition::Bit { .. } => "for a bit",
        Condition::Limit { .. } => "for a limit (a number, and above or below it)",
        Condition::Rate { .. } => "for a rate",
        Condition::State { .. }
        | Condition::NoData {}
        | Condition::Unreadable {}
        | Condition::All(_)
        | Condition::Any(_)
        | Condition::AtLeast { .. }
        | Condition::ForSome { .. }
        | Condition::ForAll { .. } => "",
    }
}
