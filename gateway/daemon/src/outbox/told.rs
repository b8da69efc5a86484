//! A notification as the outbox knows it, from a row or straight from the engine, and its
//! rendering for a channel.

use super::text::{Texts, Words};
use crate::channels::{Rendered, RenderedAsset, RenderedPlace};
use crate::journal::JournalError;
use crate::journal::read::Reader;
use sqlx::any::AnyRow;
use std::sync::Arc;
use zhiban_core::alarm::rule::{AlarmRule, Danger};
use zhiban_core::notification::{Audience, Incident};
use zhiban_core::{Duration, Language, Model, Notification, Signal, Text, Timestamp};

/// What is told, by the names of things.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) id: String,
    reason: String,
    person: Option<String>,
    priority: u8,
    pub(super) life_safety: bool,
    asset: String,
    rule: Option<String>,
    alarm: Option<i64>,
    work_order: Option<String>,
    title: Text,
    note: Option<String>,
    respond_by: Option<Timestamp>,
    due_at: Option<Timestamp>,
    due_left: Option<Duration>,
    reopened_at: Option<Timestamp>,
    at: Timestamp,
    incident: Incident,
}

impl Told {
    /// From a row of the table `notification`. What it can do without is left out where it cannot be
    /// read: the rest is told all the same.
    ///
    /// # Errors
    /// What the message is about cannot be read.
    pub(super) fn read(row: &AnyRow) -> Result<Self, JournalError> {
        let read = Reader::new("notification", row);
        let signal = match read.maybe_text("signal")? {
            None => None,
            Some(_) => left_out(read.parsed("signal", Signal::from_code)),
        };
        let danger = match read.maybe_text("danger")? {
            None => None,
            Some(_) => left_out(read.parsed("danger", Danger::from_code)),
        };
        Ok(Self {
            id: read.text("notification")?,
            reason: read.text("reason")?,
            person: left_out(read.maybe_text("person")).flatten(),
            priority: read.priority()?.number(),
            life_safety: read.flag("life_safety")?,
            asset: read.text("asset")?,
            rule: left_out(read.maybe_text("rule")).flatten(),
            alarm: left_out(read.maybe_int("alarm")).flatten(),
            work_order: left_out(read.maybe_text("work_order")).flatten(),
            title: read.title()?,
            note: left_out(read.maybe_text("note")).flatten(),
            respond_by: left_out(read.maybe_at("respond_by")).flatten(),
            due_at: left_out(read.maybe_at("limit_at")).flatten(),
            due_left: left_out(read.maybe_int("limit_left"))
                .flatten()
                .map(Duration::from_millis),
            reopened_at: left_out(read.maybe_at("reopened_at")).flatten(),
            at: read.at("at")?,
            incident: Incident {
                signal,
                raised_at: left_out(read.maybe_at("raised_at")).flatten(),
                returned_at: left_out(read.maybe_at("returned_at")).flatten(),
                danger,
                place: left_out(read.place()).flatten(),
            },
        })
    }

    /// Straight from the engine.
    pub(super) fn new(model: &Model, about: &Notification) -> Self {
        let person = match &about.audience {
            Audience::Person(person) => Some(person.clone()),
            Audience::Crew => None,
        };
        Self {
            id: about.id.clone(),
            reason: about.reason.code().to_owned(),
            person,
            priority: about.priority.number(),
            life_safety: about.life_safety,
            asset: model.asset(about.asset).code.clone(),
            rule: about.rule.map(|rule| model.rule(rule).rule.id.clone()),
            alarm: about.alarm.and_then(|alarm| i64::try_from(alarm.0).ok()),
            work_order: about.work_order.as_ref().map(ToString::to_string),
            title: about.title.clone(),
            note: about.note.clone(),
            respond_by: about.respond_by,
            due_at: about.due_at,
            due_left: about.due_left,
            reopened_at: about.reopened_at,
            at: about.at,
            incident: about.incident.clone(),
        }
    }
}

#[cfg(test)]
impl Told {
    /// A message about nothing much.
    pub(super) fn sample(id: usize, life_safety: bool) -> Self {
        Self {
            id: id.to_string(),
            reason: "raised".to_owned(),
            person: None,
            priority: 1,
            life_safety,
            asset: "A1".to_owned(),
            rule: None,
            alarm: None,
            work_order: None,
            title: Text::new("题".to_owned(), "title".to_owned()),
            note: None,
            respond_by: None,
            due_at: None,
            due_left: None,
            reopened_at: None,
            at: Timestamp::default(),
            incident: Incident::default(),
        }
    }
}

/// What could not be read of a message, and is not said.
fn left_out<T>(read: Result<T, JournalError>) -> Option<T> {
    read.inspect_err(|error| {
        tracing::error!(
            error = error.chain(),
            "left out of a message: it cannot be read"
        );
    })
    .ok()
}

/// Puts notifications into the words of a channel.
#[derive(Debug)]
pub(super) struct Renderer {
    pub(super) model: Arc<Model>,
    pub(super) texts: Texts,
    /// Where people open the dashboard, without a slash at the end.
    pub(super) url: Option<String>,
}

impl Renderer {
    pub(super) fn render(&self, told: &Told, language: Language, unrecorded: bool) -> Rendered {
        let asset = self.asset(told, language);
        let url = self.link(told);
        let words = self.words(told, language, &asset, url.as_ref());
        let (title, text) = self.texts.write(language, &told.reason, &words, unrecorded);
        Rendered {
            id: told.id.clone(),
            reason: told.reason.clone(),
            priority: told.priority,
            life_safety: told.life_safety,
            language: language.tag(),
            title,
            text,
            asset,
            work_order: told.work_order.clone(),
            alarm: told.alarm.map(|alarm| alarm.to_string()),
            person: told.person.clone(),
            at: told.at.to_string(),
            signal: told.incident.signal.map(Signal::code),
            raised_at: told.incident.raised_at.map(|at| at.to_string()),
            returned_at: told.incident.returned_at.map(|at| at.to_string()),
            danger: told.incident.danger.map(Danger::code),
            place: told.incident.place.as_ref().map(|place| RenderedPlace {
                text: place.text.get(language).to_owned(),
                known_at: place.known_at.map(|at| at.to_string()),
                fresh: place.fresh,
            }),
            site: self.model.site.code.clone(),
            url,
            respond_by: told.respond_by.map(|at| at.to_string()),
            due_at: told.due_at.map(|at| at.to_string()),
            due_left_seconds: told.due_left.map(|left| left.millis() / 1000),
            reopened_at: told.reopened_at.map(|at| at.to_string()),
            unrecorded,
        }
    }

    /// An asset that is no longer configured keeps its code.
    fn asset(&self, told: &Told, language: Language) -> RenderedAsset {
        let found = self.model.asset_by_code(&told.asset);
        let found = found.map(|asset| self.model.asset(asset));
        let location = found.and_then(|asset| asset.location.as_ref());
        RenderedAsset {
            code: told.asset.clone(),
            name: match found {
                Some(asset) => asset.name.get(language).to_owned(),
                None => told.asset.clone(),
            },
            location: location.map(|place| place.name.get(language).to_owned()),
        }
    }

    fn link(&self, told: &Told) -> Option<String> {
        let url = self.url.as_ref()?;
        match (&told.work_order, told.alarm) {
            (Some(no), _) => Some(format!("{url}/work-orders/{no}")),
            (None, Some(alarm)) => Some(format!("{url}/alarms/{alarm}")),
            (None, None) => Some(url.clone()),
        }
    }

    fn words(
        &self,
        told: &Told,
        language: Language,
        asset: &RenderedAsset,
        url: Option<&String>,
    ) -> Words {
        let incident = &told.incident;
        let place = self.place(told, language);
        let lasted = incident.raised_at.zip(incident.returned_at);
        let lasted = lasted.map(|(from, to)| self.texts.lasted(language, to.since(from)));
        let signal = incident.signal.map(|one| self.texts.signal(language, one));
        Words::from([
            ("title", told.title.get(language).to_owned()),
            ("asset", format!("{} {}", asset.code, asset.name)),
            ("location", asset.location.clone().unwrap_or_default()),
            ("order", told.work_order.clone().unwrap_or_default()),
            (
                "alarm",
                told.alarm
                    .map(|alarm| alarm.to_string())
                    .unwrap_or_default(),
            ),
            ("person", told.person.clone().unwrap_or_default()),
            ("time", self.time(told.at)),
            (
                "where",
                if place.is_empty() {
                    String::new()
                } else {
                    format!(" · {place}")
                },
            ),
            ("place", place),
            ("signal", signal.unwrap_or_default()),
            ("raised", self.maybe_time(incident.raised_at)),
            ("returned", self.maybe_time(incident.returned_at)),
            ("lasted", lasted.unwrap_or_default()),
            ("respond", self.maybe_time(told.respond_by)),
            ("due", self.due(told, language)),
            ("reopened", self.maybe_time(told.reopened_at)),
            ("why", self.why(told, language)),
            ("action", self.action(told, language)),
            ("caution", self.caution(told, language)),
            ("priority", self.texts.priority(language, told.priority)),
            ("site", self.model.site.name.get(language).to_owned()),
            ("url", url.cloned().unwrap_or_default()),
        ])
    }

    /// Where the fault is; one that is not sure is said to be the last known place, with its time.
    fn place(&self, told: &Told, language: Language) -> String {
        let Some(place) = &told.incident.place else {
            return String::new();
        };
        let text = place.text.get(language);
        if place.fresh {
            return text.to_owned();
        }
        self.texts
            .last_known(language, text, &self.maybe_time(place.known_at))
    }

    fn time(&self, at: Timestamp) -> String {
        let local = at.to_utc().with_timezone(&self.model.site.time_zone);
        local.format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn maybe_time(&self, at: Option<Timestamp>) -> String {
        at.map(|at| self.time(at)).unwrap_or_default()
    }

    /// Until when the work must be completed, or what is left of that while the order is on hold.
    fn due(&self, told: &Told, language: Language) -> String {
        match (told.due_at, told.due_left) {
            (Some(at), _) => self.time(at),
            (None, Some(left)) => self.texts.held(language, left),
            (None, None) => String::new(),
        }
    }

    /// Why an order is work again: what a person wrote, or that the fault came again.
    fn why(&self, told: &Told, language: Language) -> String {
        let note = told.note.clone();
        note.unwrap_or_else(|| self.texts.again(language))
    }

    /// What to do first, when the rule is still configured.
    fn action(&self, told: &Told, language: Language) -> String {
        let rule = self.rule(told);
        rule.map_or_else(String::new, |rule| rule.action.get(language).to_owned())
    }

    fn caution(&self, told: &Told, language: Language) -> String {
        let rule = self.rule(told);
        rule.map_or_else(String::new, |rule| {
            self.texts.caution(language, &rule.family)
        })
    }

    fn rule(&self, told: &Told) -> Option<&AlarmRule> {
        let asset = self.model.asset_by_code(&told.asset)?;
        let rule = self.model.rule_by_name(asset, told.rule.as_ref()?)?;
        Some(&self.model.rule(rule).rule)
    }
}
