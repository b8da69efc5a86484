//! A moving analogue indicator: track, normal band, limits, set point and pointer.
//!
//! The band comes from the asset's own alarm limits, never from a guess.

use super::Subject;
use crate::pages::show::{Reading, Symbol, number_text};
use askama::Template;
use askama::filters::HtmlSafe;
use zhiban_core::Value;
use zhiban_core::alarm::rule::Condition;

const TOP: f64 = 8.0;
const HEIGHT: f64 = 152.0;

/// One indicator.
#[derive(Template)]
#[template(path = "piece/indicator.html")]
pub(crate) struct Indicator {
    pub(crate) code: String,
    pub(crate) asset: String,
    pub(crate) reading: Reading,
    pub(crate) symbol: Option<Symbol>,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) top: f64,
    pub(crate) height: f64,
    /// Top and height of the normal band.
    pub(crate) band: Option<(String, String)>,
    pub(crate) limits: Vec<String>,
    /// Key and place of the set point.
    pub(crate) setpoint: Option<(String, String, String)>,
    pub(crate) y: String,
    pub(crate) known: bool,
}

impl HtmlSafe for Indicator {}

impl Indicator {
    /// `None` when the asset has no such analogue point.
    pub(crate) fn new(subject: &Subject<'_>, name: &str, setpoint: &str) -> Option<Self> {
        let (point, state) = subject.find(name)?;
        let (low, high) = limits(subject, name);
        let wanted = subject.number(setpoint);
        let now = state.value.as_ref().and_then(Value::as_number);
        let (min, max) = span(point.range, [low, high, wanted], now);
        let y = |value: f64| {
            let share = (max - value.clamp(min, max)) / (max - min);
            TOP + share * HEIGHT
        };
        let place = |value: f64| format!("{:.1}", y(value));
        let band = (low.is_some() || high.is_some()).then(|| {
            let (from, to) = (y(high.unwrap_or(max)), y(low.unwrap_or(min)));
            (format!("{from:.1}"), format!("{:.1}", (to - from).max(0.0)))
        });
        let worst = subject.worst_of(name);
        Some(Self {
            code: subject.code().to_owned(),
            asset: subject.name(),
            reading: subject.reading(name)?,
            symbol: worst.map(|alarm| subject.symbol(alarm)),
            min,
            max,
            top: TOP,
            height: HEIGHT,
            band,
            limits: [low, high].into_iter().flatten().map(place).collect(),
            setpoint: wanted.map(|value| {
                let key = format!("{}/{setpoint}", subject.code());
                (key, place(value), number_text(value, point.decimals))
            }),
            y: place(now.unwrap_or(min)),
            known: now.is_some(),
        })
    }
}

/// The innermost limits that the asset's rules put on a point: below and above.
pub(crate) fn limits(subject: &Subject<'_>, name: &str) -> (Option<f64>, Option<f64>) {
    let model = &subject.visit.snapshot.model;
    let rules = subject.asset().rules.clone();
    let mut found = (None, None);
    for rule in rules.map(zhiban_core::RuleId) {
        collect(&model.rule(rule).rule.when, name, &mut found);
    }
    found
}

fn collect(condition: &Condition, name: &str, found: &mut (Option<f64>, Option<f64>)) {
    match condition {
        Condition::Limit {
            point,
            above,
            below,
            ..
        } if point == name => {
            let inner = |old: Option<f64>, new: Option<f64>, pick: fn(f64, f64) -> f64| {
                old.map_or(new, |old| Some(new.map_or(old, |new| pick(old, new))))
            };
            found.0 = inner(found.0, *below, f64::max);
            found.1 = inner(found.1, *above, f64::min);
        }
        Condition::All(list) | Condition::Any(list) | Condition::AtLeast { of: list, .. } => {
            for one in list {
                collect(one, name, found);
            }
        }
        Condition::Limit { .. }
        | Condition::Flag { .. }
        | Condition::State { .. }
        | Condition::Bit { .. }
        | Condition::Rate { .. }
        | Condition::NoData {}
        | Condition::Unreadable {}
        | Condition::ForSome { .. }
        | Condition::ForAll { .. } => {}
    }
}

/// What the track shows: from zero, or below it, to somewhat above what matters. Steady while the value moves.
fn span(range: Option<(f64, f64)>, marks: [Option<f64>; 3], now: Option<f64>) -> (f64, f64) {
    let known = marks.into_iter().flatten();
    let least = known.clone().chain(now).fold(0.0, f64::min);
    let most = known.fold(f64::NEG_INFINITY, f64::max) * 1.3;
    let most = if most.is_finite() && now.is_none_or(|now| now <= most) {
        most
    } else {
        round_above(now.unwrap_or(0.8) * 1.2)
    };
    let (floor, ceiling) = range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let (least, most) = (least.max(floor), most.min(ceiling));
    if most > least {
        (least, most)
    } else {
        (least, least + 1.0)
    }
}

/// The next round number above.
fn round_above(value: f64) -> f64 {
    let unit = 10_f64.powf(value.max(0.01).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * unit >= value);
    step.unwrap_or(10.0) * unit
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn the_track_holds_every_mark_and_does_not_breathe() {
        let limits = [Some(0.3), None, Some(0.5)];
        assert_eq!(span(Some((0.0, 2.5)), limits, Some(0.4)), (0.0, 0.65));
        assert_eq!(
            span(Some((0.0, 2.2)), [None, Some(2.0), None], None),
            (0.0, 2.2)
        );
        assert_eq!(span(None, [None; 3], None), (0.0, 1.0));
        let free = [1.05, 1.08, 1.11].map(|now| span(Some((0.0, 4.0)), [None; 3], Some(now)));
        assert_eq!(free, [(0.0, 1.5); 3]);
        assert_eq!(span(None, limits, Some(0.9)), (0.0, 1.5));
    }
}
