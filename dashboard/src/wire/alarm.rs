//! Alarms as the API shows them.

use crate::ports::{AlarmEventRow, AlarmRow, ToldRow};
use crate::wire::{Event, Place, Told, time};
use serde::Serialize;
use utoipa::ToSchema;
use zhiban_core::{Alarm as Open, Language, Snapshot};

/// One occurrence of an alarm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alarm {
    /// Its number, unique in the site for ever.
    #[schema(example = "18")]
    pub(crate) id: String,
    /// The rule's id.
    #[schema(example = "entrapment")]
    pub(crate) rule: String,
    /// The asset's code.
    pub(crate) asset: String,
    /// 1 is the most urgent, 4 the least.
    #[schema(minimum = 1, maximum = 4)]
    pub(crate) priority: u8,
    /// `normal`, `unacknowledged`, `acknowledged`, `returned_unacknowledged`, `shelved`,
    /// `suppressed` or `out_of_service`.
    pub(crate) state: &'static str,
    /// What the machine says of the fault now, whatever the alarm's state: `present`, `clearing` (gone,
    /// and not for long enough yet), `gone`, or `unknown` because the data are old or bad.
    pub(crate) signal: &'static str,
    /// What happened.
    pub(crate) title: String,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) raised_at: String,
    /// When its condition went away.
    #[schema(format = DateTime)]
    pub(crate) returned_at: Option<String>,
    /// When somebody acknowledged it.
    #[schema(format = DateTime)]
    pub(crate) acknowledged_at: Option<String>,
    /// Who.
    pub(crate) acknowledged_by: Option<String>,
    /// The number of the order it belongs to.
    pub(crate) work_order: Option<String>,
    /// What it endangers: `people`, `fire`, `gas`, `water`, `power` or `machine`; `null` when its rule
    /// is not configured any more.
    pub(crate) danger: Option<&'static str>,
    /// Where the fault is, or was last known to be; `null` when nothing says more than the asset.
    pub(crate) place: Option<Place>,
}

impl Alarm {
    /// An open alarm of the snapshot.
    pub(crate) fn open(snapshot: &Snapshot, alarm: &Open, language: Language) -> Self {
        let model = &snapshot.model;
        let rule = &model.rule(alarm.rule).rule;
        Self {
            id: alarm.id.to_string(),
            rule: rule.id.clone(),
            asset: model.asset(alarm.asset).code.clone(),
            priority: alarm.priority.number(),
            state: alarm.state().code(),
            signal: snapshot.signal(alarm.id).code(),
            title: rule.title.get(language).to_owned(),
            raised_at: time(alarm.raised_at),
            returned_at: alarm.returned_at.map(time),
            acknowledged_at: alarm.acknowledged_at.map(time),
            acknowledged_by: alarm.acknowledged_by.clone(),
            work_order: alarm.work_order.as_ref().map(ToString::to_string),
            danger: Some(rule.danger().code()),
            place: Place::of(alarm.place.as_ref(), language),
        }
    }

    /// An alarm of the archive.
    pub(crate) fn row(snapshot: &Snapshot, row: &AlarmRow, language: Language) -> Self {
        let asset = snapshot.model.asset_by_code(&row.asset);
        let rule = asset.and_then(|asset| snapshot.model.rule_by_name(asset, &row.rule));
        Self {
            id: row.id.to_string(),
            rule: row.rule.clone(),
            asset: row.asset.clone(),
            priority: row.priority.number(),
            state: row.state_now(snapshot).code(),
            signal: row.signal(snapshot).code(),
            title: row.title.get(language).to_owned(),
            raised_at: time(row.raised_at),
            returned_at: row.returned_at.map(time),
            acknowledged_at: row.acknowledged_at.map(time),
            acknowledged_by: row.acknowledged_by.clone(),
            work_order: row.work_order.as_ref().map(ToString::to_string),
            danger: rule.map(|rule| snapshot.model.rule(rule).rule.danger().code()),
            place: Place::of(row.place.as_ref(), language),
        }
    }
}

/// One alarm with its life and what its rule advises.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlarmDetail {
    /// The alarm.
    #[serde(flatten)]
    pub(crate) alarm: Alarm,
    /// What was last written on it.
    pub(crate) comment: Option<String>,
    /// Until when it is shelved.
    #[schema(format = DateTime)]
    pub(crate) shelved_until: Option<String>,
    /// The likely cause; `null` when the rule is not configured any more.
    pub(crate) cause: Option<String>,
    /// What happens when nobody acts.
    pub(crate) consequence: Option<String>,
    /// What to do first.
    pub(crate) action: Option<String>,
    /// Its life, oldest entry first.
    pub(crate) events: Vec<Event>,
    /// Who was told of it, the latest first.
    pub(crate) told: Vec<Told>,
}

impl AlarmDetail {
    /// An alarm of the archive and its life.
    pub(crate) fn of(
        snapshot: &Snapshot,
        row: &AlarmRow,
        events: Vec<AlarmEventRow>,
        told: Vec<ToldRow>,
        language: Language,
    ) -> Self {
        let model = &snapshot.model;
        let asset = model.asset_by_code(&row.asset);
        let rule = asset.and_then(|asset| model.rule_by_name(asset, &row.rule));
        let rule = rule.map(|rule| &model.rule(rule).rule);
        Self {
            alarm: Alarm::row(snapshot, row, language),
            comment: row.comment.clone(),
            shelved_until: row.shelved_until.map(time),
            cause: rule.map(|rule| rule.cause.get(language).to_owned()),
            consequence: rule.map(|rule| rule.consequence.get(language).to_owned()),
            action: rule.map(|rule| rule.action.get(language).to_owned()),
            events: events
                .into_iter()
                .map(|row| Event::alarm(row, language))
                .collect(),
            told: told.into_iter().map(Told::from).collect(),
        }
    }
}

impl Event {
    /// One entry of an alarm's life.
    fn alarm(row: AlarmEventRow, language: Language) -> Self {
        Self {
            at: time(row.at),
            by: row.by,
            change: row.change,
            from: row.from,
            to: row.to,
            only_account: false,
            note: row.note,
            place: Place::of(row.place.as_ref(), language),
        }
    }
}
