//! The place of a fault, of every rule that comes with the program and has one: made of the values of
//! the moment, and the same in bar, lists, titles, messages and record.

use super::{BOTH, Stage, hurry, model_of, piece, plain};
use crate::config::Library;
use std::collections::{BTreeMap, BTreeSet};
use zhiban_core::alarm::rule::{AlarmRule, Condition, StateValue};
use zhiban_core::model::PointKind;
use zhiban_core::place::{Part, parse};
use zhiban_core::{Language, Model, NotifyReason, Value};

/// The values of points by name.
type Values = BTreeMap<String, Value>;

/// What the points of a place are when nothing else is wanted of them.
fn usual(model: &Model, point: &str) -> Value {
    let found = model.point_by_key(&format!("X1/{point}"));
    match found.map(|id| model.point(id).kind) {
        Some(PointKind::Flag) => Value::Flag(false),
        Some(PointKind::Counter) => Value::Integer(7),
        Some(PointKind::Analog) => Value::Number(7.0),
        Some(PointKind::Enum | PointKind::Text) | None => Value::Text("F7 EAST CORRIDOR".into()),
    }
}

/// Values of which a condition holds; `false` when it is not one of values, or some are taken already.
fn satisfy(model: &Model, condition: &Condition, values: &mut Values) -> bool {
    let mut put = |point: &str, value: Value| {
        let known = values.entry(point.to_owned()).or_insert(value.clone());
        *known == value
    };
    match condition {
        Condition::Flag { point, is } => put(point, Value::Flag(*is)),
        Condition::State { point, is } => is.first().is_some_and(|is| match is {
            StateValue::Integer(number) => put(point, Value::Integer(*number)),
            StateValue::Text(text) => put(point, Value::Text(text.as_str().into())),
        }),
        Condition::Bit { point, bit, is } => put(point, Value::Integer(i64::from(*is) << bit)),
        Condition::Limit {
            point,
            above,
            below,
            ..
        } => {
            let wrong = above.map(|limit| limit.floor() + 1.0);
            let wrong = wrong
                .or(below.map(|limit| limit.ceil() - 1.0))
                .unwrap_or(0.0);
            #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
            let value = match usual(model, point) {
                Value::Integer(_) => Value::Integer(wrong as i64),
                Value::Flag(_) | Value::Number(_) | Value::Text(_) => Value::Number(wrong),
            };
            put(point, value)
        }
        Condition::All(list) => list.iter().all(|one| satisfy(model, one, values)),
        Condition::Any(list) => list.iter().any(|one| {
            let mut tried = values.clone();
            let holds = satisfy(model, one, &mut tried);
            if holds {
                *values = tried;
            }
            holds
        }),
        Condition::AtLeast { count, of } => {
            let few = of.iter().take(usize::from(*count));
            few.map(|one| satisfy(model, one, values))
                .fold(true, |all, one| all & one)
        }
        Condition::ForSome { .. } | Condition::ForAll { .. } => false,
        Condition::Rate { .. } | Condition::NoData {} | Condition::Unreadable {} => false,
    }
}

/// Gives the points of a place values that leave it something to say: of its choices the first one.
fn complete(model: &Model, text: &str, values: &mut Values) {
    let mut chosen = false;
    for part in parse(text).unwrap() {
        match part {
            Part::Words(_) => {}
            Part::Value(point) | Part::Level(point) => {
                let value = usual(model, &point);
                values.entry(point).or_insert(value);
            }
            Part::When(point, is, _) => {
                let value = Value::Flag(if chosen { !is } else { is });
                let value = values.entry(point).or_insert(value);
                chosen |= *value == Value::Flag(is);
            }
        }
    }
}

/// The place by these values, in words; of its choices those that hold, one after the other.
fn expected(text: &str, values: &Values, language: Language) -> String {
    let said = |point: &str| values.get(point).map(ToString::to_string).unwrap();
    let comma = match language {
        Language::ZhCn => "、",
        Language::En => ", ",
    };
    let (mut whole, mut chosen) = (String::new(), false);
    for part in parse(text).unwrap() {
        match part {
            Part::Words(words) => whole.push_str(&words),
            Part::Value(point) => whole.push_str(&said(&point)),
            Part::Level(point) => whole.push_str(&format!("{}F", said(&point))),
            Part::When(point, is, words) if values.get(&point) == Some(&Value::Flag(is)) => {
                whole.push_str(if chosen { comma } else { "" });
                whole.push_str(&words);
                chosen = true;
            }
            Part::When(..) => {}
        }
    }
    whole
}

/// Whether the asset has every point that a place cannot do without.
fn can_be_said(model: &Model, text: &str) -> bool {
    let parts = parse(text).unwrap();
    let (needed, chosen) = zhiban_core::place::points(&parts);
    let has = |point: &&str| model.point_by_key(&format!("X1/{point}")).is_some();
    needed.iter().all(has) && (chosen.is_empty() || chosen.iter().any(has) || !needed.is_empty())
}

/// Every surface that shows an alarm or its order, with what it says.
async fn surfaces(
    stage: &Stage,
    alarm: &str,
    no: Option<&str>,
    language: Language,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut add = |name, text: &str| found.push((name, plain(text)));
    let page = stage.page("/", language).await;
    let row = format!("id=\"al-{alarm}\"");
    add("bar", piece(&page, "id=\"bar\"", "</section>"));
    add("overview alarm", piece(&page, &row, "</li>"));
    let order =
        no.map(|no| format!("<td class=\"w\" colspan=\"3\"><a href=\"/work-orders/{no}\">"));
    if let Some(order) = &order {
        add("overview order", piece(&page, order, "</tbody>"));
    }
    let page = stage.page("/assets/X1", language).await;
    add("asset alarm", piece(&page, &row, "</li>"));
    if let Some(order) = &order {
        add("asset order", piece(&page, order, "</tbody>"));
    }
    let page = stage.page(&format!("/alarms?sel={alarm}"), language).await;
    let row = format!("id=\"row-{alarm}\"");
    add("alarm list", piece(&page, &row, "</tr>"));
    add("alarm guide", piece(&page, "<aside", "</aside>"));
    let page = stage.page(&format!("/alarms/{alarm}"), language).await;
    add(
        "alarm head",
        piece(&page, "<header class=\"hd\"", "</header>"),
    );
    add("alarm record", piece(&page, "<ol class=\"tl\"", "</ol>"));
    if let Some(no) = no {
        let page = stage.page("/work-orders", language).await;
        add(
            "order list",
            piece(&page, &format!("id=\"wo-{no}\""), "</tr>"),
        );
        let page = stage.page(&format!("/work-orders/{no}"), language).await;
        add("order title", piece(&page, "<h1", "</h1>"));
        add("order record", piece(&page, "<ol class=\"tl\"", "</ol>"));
    }
    let told = stage.fixture.told();
    let first = told.iter().find(|one| one.reason == NotifyReason::Raised);
    if let Some(about) = first {
        let text = stage.message(about, language);
        let (title, body) = text.split_once('\n').unwrap();
        add("message title", title);
        add("message", body);
    }
    found
}

/// Raises a rule's alarm and wants its place on every surface. What is missing, in words.
async fn walk(model: &Model, rule: &AlarmRule) -> Vec<String> {
    let mut values = Values::new();
    let mut faults = Vec::new();
    if !satisfy(model, &rule.when, &mut values) {
        return vec![format!("{}: its condition is not made", rule.id)];
    }
    let wanted = values.clone();
    let place = rule
        .places
        .iter()
        .find(|place| can_be_said(model, &place.en));
    let Some(place) = place else {
        return vec![format!("{}: none of its places can be said", rule.id)];
    };
    complete(model, &place.en, &mut values);
    complete(model, &place.zh, &mut values);
    let mut model = model.clone();
    hurry(&mut model, &rule.id);
    let stage = Stage::new(model).await;
    // The place is known when the fault comes.
    let (raise, before): (Values, Values) = values
        .clone()
        .into_iter()
        .partition(|(point, _)| wanted.contains_key(point));
    for (point, value) in before.iter().chain(&raise) {
        let key = format!("X1/{point}");
        stage.fixture.set(&[(&key, value.clone())]);
    }
    let snapshot = stage.fixture.app.snapshot.borrow().clone();
    let of = |alarm: &&zhiban_core::Alarm| snapshot.model.rule(alarm.rule).rule.id == rule.id;
    let Some(alarm) = snapshot.alarms.values().find(of) else {
        return vec![format!("{}: not raised by {values:?}", rule.id)];
    };
    let no = alarm.work_order.as_ref().map(ToString::to_string);
    if no.is_none() && rule.work_order {
        faults.push(format!("{}: no order", rule.id));
    }
    for language in BOTH {
        let text = expected(place.get(language), &values, language);
        let shown = surfaces(&stage, &alarm.id.to_string(), no.as_deref(), language).await;
        for (surface, said) in shown.iter().filter(|(_, said)| !said.contains(&text)) {
            faults.push(format!("{} on {surface}, \"{text}\": {said}", rule.id));
        }
    }
    faults
}

#[tokio::test]
async fn the_place_of_every_shipped_rule_is_on_every_surface() {
    let mut faults = Vec::new();
    let library = Library::built_in(&mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let mut placed = BTreeSet::new();
    for class in library.classes() {
        let rules = library.rules_of(class);
        let with_place = rules.iter().filter(|rule| !rule.places.is_empty());
        placed.extend(with_place.map(|rule| (class.to_owned(), rule.id.clone())));
    }
    assert!(placed.len() > 30, "{placed:?}");
    // Each rule as the first profile has it that has what its place needs.
    let (mut missing, mut found) = (placed, Vec::new());
    for profile in library.profiles.values() {
        let fits = library.fits(profile);
        let mut model = None;
        for fit in fits {
            let Ok(rule) = &fit.rule else { continue };
            let written = (profile.class.clone(), fit.written.id.clone());
            if rule.places.is_empty() || !missing.contains(&written) {
                continue;
            }
            let model = model.get_or_insert_with(|| model_of(&profile.id));
            if rule
                .places
                .iter()
                .any(|place| can_be_said(model, &place.en))
            {
                missing.remove(&written);
                found.extend(walk(model, rule).await);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(
        missing.is_empty(),
        "no profile has what these need: {missing:?}"
    );
}
