//! What happened to alarms and orders, as lines for the measurements `alarm` and `work_order`.
//!
//! The record store is the truth of both; a line lost here is lost for charts only.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use zhiban_core::facility::Effect;
use zhiban_core::{AlarmTransition, AssetId, Duration, Model, Timestamp, Value, WorkOrderEvent};

/// One line for InfluxDB that is no telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// The measurement.
    pub measurement: String,
    /// Tags; one with an empty value is left out.
    pub tags: Vec<(String, String)>,
    /// Fields.
    pub fields: Vec<(String, EventValue)>,
    /// When it happened.
    pub at: Timestamp,
}

/// The value of a field of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventValue {
    /// A flag.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

/// The lines of what a step decided. Two events never share series and time, or the second would
/// take the first one's place: of those with the same tags each is a millisecond later.
pub fn events(model: &Model, records: &[Effect]) -> Vec<EventLine> {
    let lines = records.iter().filter_map(|record| match record {
        Effect::Alarm(transition) => Some(alarm(model, transition)),
        Effect::WorkOrder(event) => Some(work_order(model, event)),
        Effect::Notify(_) => None,
    });
    let mut lines: Vec<EventLine> = lines.collect();
    let mut taken = BTreeSet::new();
    for line in &mut lines {
        let series = format!("{} {:?}", line.measurement, line.tags);
        while !taken.insert((series.clone(), line.at)) {
            line.at = line.at + Duration::from_millis(1);
        }
    }
    lines
}

fn alarm(model: &Model, transition: &AlarmTransition) -> EventLine {
    let alarm = &transition.alarm;
    let mut tags = place(model, alarm.asset);
    tags.extend([
        tag("rule", &model.rule(alarm.rule).rule.id),
        tag("priority", alarm.priority.number().to_string()),
        tag("change", transition.change.code()),
    ]);
    let mut fields = vec![
        field(
            "id",
            EventValue::Integer(i64::try_from(alarm.id.0).unwrap_or(i64::MAX)),
        ),
        text("from", transition.from.code()),
        text("to", transition.to.code()),
        field("active", EventValue::Flag(alarm.active)),
    ];
    fields.extend(given("by", transition.by.as_deref()));
    fields.extend(given("note", transition.note.as_deref()));
    let value = alarm.raised_value.as_ref().map(Value::to_string);
    fields.extend(given("raised_value", value.as_deref()));
    if let Some(place) = &alarm.place {
        fields.extend([
            text("place_zh", &place.text.zh),
            text("place_en", &place.text.en),
            field("place_fresh", EventValue::Flag(place.fresh)),
        ]);
    }
    let order = alarm.work_order.as_ref().map(ToString::to_string);
    fields.extend(given("work_order", order.as_deref()));
    EventLine {
        measurement: "alarm".to_owned(),
        tags,
        fields,
        at: transition.at,
    }
}

fn work_order(model: &Model, event: &WorkOrderEvent) -> EventLine {
    let order = &event.order;
    let mut tags = place(model, order.asset);
    tags.extend([
        tag("kind", order.kind.code()),
        tag("fault_family", &order.fault_family),
        tag("priority", order.priority.number().to_string()),
        tag("change", event.change.code()),
        tag("status", event.to.code()),
    ]);
    let mut fields = vec![
        text("no", &order.no.to_string()),
        text("from", event.from.code()),
        field("occurrences", EventValue::Integer(order.occurrences.into())),
    ];
    fields.extend(given("by", event.by.as_deref()));
    fields.extend(given("note", event.note.as_deref()));
    fields.extend(given("assignee", order.assignee.as_deref()));
    EventLine {
        measurement: "work_order".to_owned(),
        tags,
        fields,
        at: event.at,
    }
}

fn place(model: &Model, asset: AssetId) -> Vec<(String, String)> {
    let asset = model.asset(asset);
    let location = asset.location.as_ref().map(|place| place.code.as_str());
    vec![
        tag("site", &model.site.code),
        tag("asset", &asset.code),
        tag("location", location.unwrap_or_default()),
    ]
}

fn tag(key: &str, value: impl Into<String>) -> (String, String) {
    (key.to_owned(), value.into())
}

fn field(key: &str, value: EventValue) -> (String, EventValue) {
    (key.to_owned(), value)
}

fn text(key: &str, value: &str) -> (String, EventValue) {
    field(key, EventValue::Text(value.to_owned()))
}

fn given(key: &str, value: Option<&str>) -> Option<(String, EventValue)> {
    value.map(|value| text(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{model_with, row};
    use zhiban_core::facility::Effects;
    use zhiban_core::{Facility, Input, PointId, Quality, Sample, SampleBatch};

    const RULE: &str = "id = \"overload\"\nfamily = \"motor\"\npriority = 2\n\
        title = { zh = \"过载\", en = \"Overload\" }\ncause = { zh = \"-\", en = \"-\" }\n\
        consequence = { zh = \"-\", en = \"-\" }\naction = { zh = \"-\", en = \"-\" }\n\
        due = \"4h\"\nwhen = { flag = { point = \"tripped\" } }\n";

    #[test]
    fn a_fault_is_a_line_of_each_measurement() {
        let rule = std::sync::Arc::new(toml::from_str(RULE).unwrap());
        let model = std::sync::Arc::new(model_with(vec![row("tripped", "flag", 0.0)], vec![rule]));
        let at = Timestamp::from_millis(1_795_000_000_000);
        let mut facility = Facility::new(model.clone(), at);
        let batch = SampleBatch {
            asset: AssetId(0),
            at,
            samples: vec![Sample {
                point: PointId(0),
                value: Some(Value::Flag(true)),
                quality: Quality::Good,
            }],
            retained: false,
        };
        let mut effects = Effects::default();
        facility
            .handle(Input::Samples(batch), at, &mut effects)
            .unwrap();
        let lines = events(&model, &effects.records);
        let [order, alarm] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!((alarm.measurement.as_str(), alarm.at), ("alarm", at));
        for expected in [
            ("asset", "P1"),
            ("location", "B2"),
            ("site", "tower"),
            ("rule", "overload"),
        ] {
            assert!(
                alarm.tags.contains(&tag(expected.0, expected.1)),
                "{alarm:?}"
            );
        }
        assert!(alarm.fields.contains(&field("id", EventValue::Integer(1))));
        assert!(alarm.fields.contains(&text("raised_value", "true")));
        assert_eq!(order.measurement, "work_order");
        assert!(
            order.tags.contains(&tag("fault_family", "motor")),
            "{order:?}"
        );
        assert!(order.fields.iter().any(|(key, _)| key == "no"));

        let twice: Vec<Effect> = [&effects.records[..], &effects.records[..]].concat();
        let mut places: Vec<String> = events(&model, &twice)
            .iter()
            .map(|line| format!("{} {:?} {}", line.measurement, line.tags, line.at))
            .collect();
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), all, "no line takes another's place");
    }
}
