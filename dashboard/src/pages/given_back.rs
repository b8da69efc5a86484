//! A form that was not carried out comes back as the page it was sent from, with everything that was written in it.
//!
//! For pages without scripts, and for the moment before they run. What a form does is its address and what it is about;
//! what was written in one that is not on the page any more is shown beside it. Nothing is stored for this, and no
//! password ever comes back.

use super::words::Words;
use crate::error::FieldError;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Fields that people do not fill in.
const UNSEEN: [&str; 8] = [
    "idempotency_key",
    "back",
    "by",
    "from",
    "of",
    "to",
    "stage",
    "id",
];
/// Those of them that say what a form is about.
const ABOUT: [&str; 3] = ["to", "stage", "id"];
/// Fields in which something is chosen: alone they are nothing that somebody wrote.
const CHOICES: [&str; 3] = ["assignee", "minutes", "priority"];

/// A form as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The path it was sent to.
    pub(crate) action: String,
    /// Every field, in the order it was sent.
    pub(crate) fields: Vec<(String, String)>,
}

impl Written {
    /// The content of a field; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        fields
            .find(|(one, _)| one == name)
            .map_or("", |(_, value)| value)
    }

    /// What the form is about, beside its address.
    pub(crate) fn about(&self) -> &str {
        let mut names = ABOUT.iter().map(|name| self.get(name));
        names.find(|value| !value.is_empty()).unwrap_or("")
    }

    /// The form as the page's script knows it.
    pub(crate) fn identity(&self) -> String {
        match self.about() {
            "" => self.action.clone(),
            about => format!("{}#{about}", self.action),
        }
    }

    /// The page it was sent from: where it says so, else the page of what it is about.
    /// `None` when its address is none of a form's.
    pub(crate) fn page(&self) -> Option<String> {
        let mut parts = self.action.trim_start_matches('/').split('/');
        let home = match (parts.next(), parts.next(), parts.next()) {
            (Some(kind @ ("alarms" | "assets" | "work-orders")), Some(id), Some(_)) => {
                format!("/{kind}/{id}")
            }
            _ => return None,
        };
        Some(match self.get("back") {
            "" => home,
            back => crate::auth::safe_next(Some(back)).to_owned(),
        })
    }

    /// What people filled in.
    pub(crate) fn filled_in(&self) -> impl Iterator<Item = &(String, String)> {
        let fields = self.fields.iter();
        fields.filter(|(name, value)| !UNSEEN.contains(&name.as_str()) && !value.trim().is_empty())
    }

    /// What goes with it unseen.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &(String, String)> {
        let fields = self.fields.iter();
        fields.filter(|(name, _)| UNSEEN.contains(&name.as_str()))
    }
}

/// What a field of a form is called.
pub(super) fn label(words: Words, name: &str) -> String {
    words.t(match name {
        "minutes" => "alarms.shelve_for",
        "title" => "asset.report_title",
        "priority" => "priority.label",
        "name" => "order.part_name",
        "quantity" => "order.part_quantity",
        "unit" => "order.part_unit",
        "sku" => "order.part_sku",
        "photo" => "order.photos",
        "assignee" => "order.assignee",
        "reason" => "order.reason",
        "problem" => "order.problem",
        "cause" => "order.cause",
        "remedy" => "order.remedy",
        "labor_minutes" => "order.labor_minutes",
        "note" => "order.note",
        "comment" => "alarms.comment",
        _ => return String::new(),
    })
}

/// A form on its way back into its page.
#[derive(Debug)]
pub(crate) struct GivenBack {
    pub(crate) written: Written,
    /// What became of it, in words.
    pub(crate) why: String,
    faults: Vec<(String, String)>,
    /// It is not known whether it was carried out: sent again unchanged, it is the same sending.
    same: bool,
    words: Words,
    shown: Mutex<Shown>,
}

/// Where the fields are on the page.
#[derive(Debug, Default)]
struct Shown {
    in_place: BTreeSet<String>,
    beside: BTreeSet<String>,
}

impl GivenBack {
    /// A form that was not taken: why, and at which fields.
    pub(crate) fn new(
        written: Written,
        words: Words,
        why: &str,
        errors: &[FieldError],
        same: bool,
    ) -> Self {
        let faults = errors.iter().map(|one| {
            let name = one.pointer.trim_start_matches('/').to_owned();
            (name, one.message.get(words.0).to_owned())
        });
        let faults: Vec<(String, String)> = faults.collect();
        let mut lines = vec![why.to_owned()];
        lines.extend(faults.iter().map(|(name, text)| match label(words, name) {
            label if label.is_empty() => text.clone(),
            label => format!("{label}: {text}"),
        }));
        Self {
            why: lines.join(" "),
            written,
            faults,
            same,
            words,
            shown: Mutex::default(),
        }
    }

    /// The texts that the page shows beside itself, with what their fields are called.
    pub(crate) fn beside(&self) -> Vec<(String, String)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = self.written.filled_in();
        texts
            .filter(|(name, _)| shown.beside.contains(name))
            .map(|(name, text)| (label(self.words, name), text.clone()))
            .collect()
    }

    /// Whether the page that was just drawn shows all that was written; what it did not, the next one shows beside it.
    pub(crate) fn is_whole(&self) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Shown { in_place, beside } = std::mem::take(&mut *shown);
        let lost: Vec<&str> = self
            .written
            .filled_in()
            .map(|(name, _)| name.as_str())
            .filter(|name| !CHOICES.contains(name))
            .filter(|name| !in_place.contains(*name) && !beside.contains(*name))
            .collect();
        shown.beside = beside;
        shown
            .beside
            .extend(lost.iter().map(|name| (*name).to_owned()));
        lost.is_empty()
    }

    /// Whether it says where the eye should go: to its first wrong field, when that is on the page.
    fn leads_to(&self, name: &str) -> bool {
        self.faults.first().is_some_and(|(first, _)| first == name)
    }
}

/// A form of a page, as it is drawn: its usual content, or what was written in it before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn<'g>(Option<&'g GivenBack>);

impl<'g> Drawn<'g> {
    /// The form with this address and about this; empty when it was not the one that was sent.
    pub(super) fn new(given: Option<&'g GivenBack>, action: &str, about: &str) -> Self {
        let mine = |one: &&GivenBack| one.written.action == action && one.written.about() == about;
        Self(given.filter(mine))
    }

    /// Whether it was just sent and not taken.
    pub(crate) fn back(&self) -> bool {
        self.0.is_some()
    }

    /// What stands in a field.
    pub(crate) fn text(&self, name: &str, usual: &str) -> String {
        let Some(given) = self.0 else {
            return usual.to_owned();
        };
        let mut shown = given.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.in_place.insert(name.to_owned());
        given.written.get(name).to_owned()
    }

    /// Attributes of a field: that it was written in, that it is wrong, that it gets the focus.
    pub(crate) fn mark(&self, name: &str) -> String {
        let Some(given) = self.0 else {
            return String::new();
        };
        let mut marks = String::new();
        if !given.written.get(name).is_empty() {
            marks.push_str(" data-typed");
        }
        if !self.fault(name).is_empty() {
            marks.push_str(" aria-invalid=\"true\" data-refused");
        }
        if given.leads_to(name) {
            marks.push_str(" autofocus");
        }
        marks
    }

    /// What is wrong with a field; empty when nothing is.
    pub(crate) fn fault(&self, name: &str) -> String {
        let mut faults = self.0.iter().flat_map(|given| &given.faults);
        faults
            .find(|(field, _)| field == name)
            .map_or_else(String::new, |(_, text)| text.clone())
    }

    /// The key of the next sending.
    pub(crate) fn key(&self, fresh: &str) -> String {
        let sent = self.0.filter(|given| given.same);
        let sent = sent.map(|given| given.written.get("idempotency_key"));
        sent.filter(|key| !key.is_empty())
            .unwrap_or(fresh)
            .to_owned()
    }
}
