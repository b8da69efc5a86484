//! Plays a timeline against a small building and writes what came of each line.

use crate::alarm::AlarmChange;
use crate::alarm::rule::{AlarmRule, RuleFile};
use crate::facility::{
    Command, Effect, Effects, Facility, Input, MoveWorkOrder, NewWorkOrder, Outcome, Records,
};
use crate::model::{AssetSpec, LinkState, Model, PointId, Policy, RotaEntry, Site};
use crate::point::{Quality, QualityReason, Sample, SampleBatch, Value};
use crate::profile::Profile;
use crate::text::Text;
use crate::time::{Duration, Timestamp};
use crate::work_order::{
    Actor, NewPart, NewPhoto, PhotoFormat, PhotoStage, RecordEdit, Repair, WorkOrderChange,
    WorkOrderStatus,
};
use std::fmt::Write as _;
use std::sync::Arc;

/// 2026-11-23 00:00 UTC, 08:00 at the site.
pub(super) const START: Timestamp = Timestamp::from_millis(1_795_392_000_000);

const PROFILE: &str = include_str!("building/profile.toml");
const RULES: &str = include_str!("building/rules.toml");

/// Two lifts: `E1`, and `E2` whose class is on the rota of `wang`.
pub(super) fn building() -> Arc<Model> {
    building_stale_after(Duration::from_secs(10))
}

fn building_stale_after(stale_after: Duration) -> Arc<Model> {
    let rules: RuleFile = toml::from_str(RULES).unwrap();
    let rules: Vec<Arc<AlarmRule>> = rules.into_rules().into_iter().map(Arc::new).collect();
    let profile: Profile = toml::from_str(PROFILE).unwrap();
    let spec = |code: &str, profile: &Arc<Profile>| AssetSpec {
        code: code.into(),
        name: Text::new(code, code),
        location: None,
        profile: profile.clone(),
        link: "bus".into(),
        disabled: false,
        stale_after,
        rules: rules.clone(),
    };
    let on_call = Arc::new(Profile {
        class: "on_call".into(),
        ..profile.clone()
    });
    let specs = vec![spec("E1", &Arc::new(profile)), spec("E2", &on_call)];
    let site = Site {
        code: "test".into(),
        name: Text::new("测试", "Test"),
        time_zone: chrono_tz::Asia::Shanghai,
    };
    let rota = vec![RotaEntry {
        class: Some("on_call".into()),
        person: "wang".into(),
    }];
    Arc::new(Model::build(site, specs, rota, Policy::default()).unwrap())
}

pub(super) fn play(text: &str) -> String {
    // A timeline that is not about silence says so: its building is patient.
    let patient = text.contains("# Silence does not matter here.");
    let stale_after = Duration::from_secs(if patient { 1_000_000 } else { 10 });
    let mut facility = Facility::new(building_stale_after(stale_after), START);
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with('>') {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut effects = Effects::default();
        let refusal = step(&mut facility, line, &mut effects);
        for effect in &effects.records {
            writeln!(out, "> {}", tell(&facility, effect)).unwrap();
        }
        if let Some(extra) = refusal {
            writeln!(out, "> {extra}").unwrap();
        }
    }
    out
}

/// Does one line; gives back a refusal, or what was asked for.
fn step(facility: &mut Facility, line: &str, effects: &mut Effects) -> Option<String> {
    let mut words = line.split_whitespace();
    let now = START + Duration::parse(words.next().unwrap()).unwrap();
    let verb = words.next().unwrap();
    let words: Vec<&str> = words.collect();
    if verb == "restart" {
        *facility = restart(facility, now);
    }
    if verb == "cold" {
        *facility = restart_knowing(Vec::new(), facility, now);
    }
    if verb == "show" {
        return Some(show(facility, words[0], now));
    }
    let input = match verb {
        // A start looks at the time at once, as the engine does.
        "tick" | "restart" | "cold" => Input::Tick,
        "back" => {
            let by = Duration::parse(words[0]).unwrap();
            Input::ClockSet(Duration::from_millis(-by.millis()))
        }
        "forward" => Input::ClockSet(Duration::parse(words[0]).unwrap()),
        "link" => Input::Link {
            asset: facility.model().asset_by_code(words[0]).unwrap(),
            state: match words[1] {
                "up" => LinkState::Up,
                "contested" => LinkState::Contested,
                _ => LinkState::Down,
            },
        },
        "read" | "retained" => Input::Samples(batch(facility, &words, now, verb == "retained")),
        "old" => Input::Samples(SampleBatch {
            at: now - Duration::parse(words[0]).unwrap(),
            ..batch(facility, &words[1..], now, false)
        }),
        "ahead" => Input::Samples(SampleBatch {
            at: now + Duration::parse(words[0]).unwrap(),
            ..batch(facility, &words[1..], now, false)
        }),
        _ => Input::Command(command(facility, verb, &words)),
    };
    match facility.handle(input, now, effects) {
        Ok(Outcome::Done | Outcome::WorkOrder(_)) => None,
        Err(refusal) => Some(format!("refused: {refusal}")),
    }
}

/// `E1 trapped=true temp=41.5 floor=bad mode=?fault`: `bad` is a failed reading, `?` an uncertain one.
fn batch(facility: &Facility, words: &[&str], now: Timestamp, retained: bool) -> SampleBatch {
    let model = facility.model();
    let asset = model.asset_by_code(words[0]).unwrap();
    let samples = words[1..].iter().map(|word| {
        let (name, text) = word.split_once('=').unwrap();
        let point = model.point_by_key(&format!("{}/{name}", words[0])).unwrap();
        let (text, sure) = text
            .strip_prefix('?')
            .map_or((text, true), |text| (text, false));
        let value = match text {
            "bad" => None,
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            _ => Some(match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => Value::Integer(number),
                (_, Ok(number)) => Value::Number(number),
                _ => Value::Text(text.into()),
            }),
        };
        let quality = match (&value, sure) {
            (None, _) => Quality::Bad(QualityReason::BadAnswer),
            (_, true) => Quality::Good,
            (_, false) => Quality::Uncertain(QualityReason::Retained),
        };
        Sample {
            point,
            value,
            quality,
        }
    });
    SampleBatch {
        asset,
        at: now,
        samples: samples.collect(),
        retained,
    }
}

fn command(facility: &Facility, verb: &str, words: &[&str]) -> Command {
    let by = words.last().copied().unwrap_or_default().to_owned();
    let alarm = || crate::AlarmId(words[0].parse().unwrap());
    let field = |name: &str| {
        let found = words
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    match verb {
        "ack" => Command::Acknowledge {
            alarm: alarm(),
            by,
            comment: field("comment"),
        },
        "shelve" => Command::Shelve {
            alarm: alarm(),
            by,
            reason: field("reason").unwrap_or_default(),
            duration: Duration::parse(&field("for").unwrap()).unwrap(),
        },
        "edit" => Command::EditWorkOrder {
            no: words[0].parse().unwrap(),
            by,
            version: None,
            priority: crate::Priority::try_from(field("priority").unwrap().parse::<u8>().unwrap())
                .unwrap(),
        },
        "unshelve" => Command::Unshelve { alarm: alarm(), by },
        "request" => Command::CreateWorkOrder(NewWorkOrder {
            asset: facility.model().asset_by_code(words[0]).unwrap(),
            title: field("title").unwrap(),
            priority: field("priority").map_or(crate::Priority::Medium, |number| {
                crate::Priority::try_from(number.parse::<u8>().unwrap()).unwrap()
            }),
            by,
            note: None,
        }),
        "move" => Command::MoveWorkOrder(Box::new(MoveWorkOrder {
            no: words[0].parse().unwrap(),
            to: WorkOrderStatus::from_code(words[1]).unwrap(),
            by,
            actor: match field("as").as_deref() {
                Some("only") => Actor::OnlyPerson,
                Some("machine") => Actor::Machine,
                _ => Actor::Person,
            },
            version: field("version").map(|text| text.parse().unwrap()),
            note: None,
            reason: field("reason"),
            assignee: field("assignee"),
            repair: Repair {
                cause: field("cause"),
                remedy: field("remedy"),
                ..Repair::default()
            },
            recorded_at: None,
        })),
        "part" | "unpart" | "photo" | "unphoto" => Command::EditRecord {
            no: words[0].parse().unwrap(),
            by,
            edit: record_edit(verb, &field, words),
            recorded_at: None,
        },
        other => panic!("no verb {other}"),
    }
}

fn record_edit(verb: &str, field: &impl Fn(&str) -> Option<String>, words: &[&str]) -> RecordEdit {
    let id = || words[1].parse().unwrap();
    match verb {
        "unpart" => RecordEdit::RemovePart(id()),
        "unphoto" => RecordEdit::RemovePhoto(id()),
        "part" => RecordEdit::AddPart(NewPart {
            name: field("name").unwrap(),
            sku: field("sku"),
            quantity: field("quantity").unwrap().parse().unwrap(),
            unit: field("unit"),
        }),
        _ => RecordEdit::AddPhoto(NewPhoto {
            file: "0".repeat(32),
            stage: PhotoStage::from_code(words[1]).unwrap(),
            format: PhotoFormat::Jpeg,
            size: 3,
            sha256: "ab".into(),
        }),
    }
}

fn known_points(facility: &Facility) -> Vec<(PointId, Value, Timestamp)> {
    let known = facility
        .points
        .iter()
        .enumerate()
        .filter_map(|(index, state)| {
            let id = PointId(u32::try_from(index).unwrap());
            Some((id, state.value.clone()?, state.at?))
        });
    known.collect()
}

/// What the journal would have kept, as the next start reads it.
fn restart(facility: &Facility, now: Timestamp) -> Facility {
    restart_knowing(known_points(facility), facility, now)
}

/// A start that knows these points.
pub(super) fn restart_knowing(
    points: Vec<(PointId, Value, Timestamp)>,
    facility: &Facility,
    now: Timestamp,
) -> Facility {
    let records = Records {
        alarms: facility.alarms.values().cloned().collect(),
        work_orders: facility.orders.values().cloned().collect(),
        last_alarm: facility.last_alarm,
        last_work_order: facility.last_work_order.clone(),
        points,
    };
    Facility::restore(facility.model().clone(), records, now)
}

/// What gives an order its name.
fn named(facility: &Facility, order: &crate::WorkOrder) -> String {
    let rule = order
        .rule
        .map(|rule| facility.model().rule(rule).rule.id.clone());
    let rule = rule.unwrap_or_default();
    format!("{} is named {} by {rule}", order.no, order.title.en)
}

fn show(facility: &Facility, key: &str, now: Timestamp) -> String {
    let snapshot = facility.snapshot(now);
    if let Some(order) = key
        .parse()
        .ok()
        .and_then(|no| snapshot.work_orders.get(&no))
    {
        let parts = order.parts.iter();
        let parts =
            parts.map(|part| format!("{} {} x{}", part.id, part.used.name, part.used.quantity));
        let photos = order.photos.iter();
        let photos = photos.map(|photo| format!("{} {}", photo.id, photo.taken.stage.code()));
        let all: Vec<String> = parts.chain(photos).collect();
        if all.is_empty() {
            return format!("{key} {}", limits(order, now));
        }
        return format!("{key} holds {}", all.join(", "));
    }
    if let Some(no) = key.strip_prefix("name-of-") {
        return named(facility, &snapshot.work_orders[&no.parse().unwrap()]);
    }
    if key == "urgent" {
        let alarms = snapshot.by_urgency().into_iter();
        let named = alarms.map(|alarm| {
            let asset = &facility.model().asset(alarm.asset).code;
            format!("{asset} {}", facility.model().rule(alarm.rule).rule.id)
        });
        return named.collect::<Vec<_>>().join(", ");
    }
    if let Some((id, alarm)) = key
        .parse()
        .ok()
        .and_then(|id| snapshot.alarms.get_key_value(&id))
    {
        let signal = snapshot.signal(*id).code();
        let lasted = alarm.returned_at.map(|end| end.since(alarm.raised_at));
        let lasted = lasted.map_or(String::new(), |span| format!(", lasted {span}"));
        let place = alarm.place.as_ref().map(place).unwrap_or_default();
        return format!(
            "alarm {id}: fault {signal}, {}{lasted}{place}",
            alarm.state().code()
        );
    }
    if let Some(point) = facility.model().point_by_key(key) {
        let state = &snapshot.points[point.index()];
        let value = state
            .value
            .as_ref()
            .map_or("nothing".to_owned(), ToString::to_string);
        let reason = state.quality.reason().map_or("", QualityReason::code);
        return format!("{key} = {value} {} {reason}", state.quality.code())
            .trim_end()
            .to_owned();
    }
    let asset = facility.model().asset_by_code(key).unwrap();
    let view = &snapshot.assets[asset.index()];
    format!(
        "{key} is {}, link {}, {} alarms, {} orders",
        view.state.code(),
        view.link,
        view.open_alarms,
        view.open_work_orders
    )
}

fn place(place: &crate::Place) -> String {
    let known = place
        .known_at
        .map_or(0, |at| at.since(START).millis() / 1000);
    if place.fresh {
        format!(", at {}", place.text.en)
    } else {
        format!(", last known at {} by {known}s", place.text.en)
    }
}

/// Which limits an order is under.
fn limits(order: &crate::WorkOrder, now: Timestamp) -> String {
    let left = |at: Timestamp| Duration::from_millis(at.millis() - now.millis());
    let due = match (order.due_at, order.due_left) {
        (Some(at), None) => format!("due in {}", left(at)),
        (None, Some(left)) => format!("stands with {left} left"),
        (None, None) => "has no limit".to_owned(),
        (Some(_), Some(_)) => "runs and stands".to_owned(),
    };
    match order.escalate_at {
        Some(at) => format!("{due}, must be accepted in {}", left(at)),
        None => due,
    }
}

fn tell(facility: &Facility, effect: &Effect) -> String {
    let model = facility.model();
    let located = |at: &Option<crate::Place>, is: bool| {
        at.as_ref().filter(|_| is).map(place).unwrap_or_default()
    };
    let who = |by: &Option<String>| by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    match effect {
        Effect::Alarm(one) => format!(
            "alarm {} {} {}: {} -> {}{}{}",
            one.alarm.id,
            model.rule(one.alarm.rule).rule.id,
            one.change.code(),
            one.from.code(),
            one.to.code(),
            who(&one.by),
            located(
                &one.alarm.place,
                matches!(one.change, AlarmChange::Raised | AlarmChange::Located)
            )
        ),
        Effect::WorkOrder(one) => format!(
            "order {} {}: {} -> {}, priority {}, times {}{}{}{}",
            one.order.no,
            one.change.code(),
            one.from.code(),
            one.to.code(),
            one.order.priority.number(),
            one.order.occurrences,
            if one.only_account {
                format!("{}, the only account", who(&one.by))
            } else {
                who(&one.by)
            },
            located(&one.order.place, one.change == WorkOrderChange::Located),
            one.note
                .as_ref()
                .filter(|_| one.from == one.to)
                .map_or(String::new(), |note| format!(": {note}"))
        ),
        Effect::Notify(one) => {
            let life = if one.life_safety { ", life safety" } else { "" };
            format!("tell {:?} {}{life}", one.audience, one.id)
        }
    }
}
