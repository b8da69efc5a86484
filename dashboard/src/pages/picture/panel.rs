//! The state list of a fire panel.
//!
//! It only shows; fire, supervisory, fault and disabled stay separate, as on the panel itself.

use super::Subject;
use crate::pages::show::{Reading, Symbol};
use askama::Template;
use askama::filters::HtmlSafe;
use std::collections::BTreeMap;

/// The points without which there is no list.
pub(crate) const NEEDED: [&str; 2] = ["fire", "fault"];

/// Each state in the order of a panel's lamps, and the words for true and false.
const ROWS: [(&str, &str, &str); 14] = [
    ("fire", "panel.on", "panel.off"),
    ("prealarm", "panel.on", "panel.off"),
    ("supervisory", "panel.on", "panel.off"),
    ("started", "panel.on", "panel.off"),
    ("feedback", "panel.on", "panel.off"),
    ("delayed", "panel.on", "panel.off"),
    ("fault", "panel.on", "panel.off"),
    ("disabled", "panel.on", "panel.off"),
    ("bus_fault", "panel.on", "panel.off"),
    ("manual_mode", "panel.manual", "panel.automatic"),
    ("test_mode", "panel.in_test", "panel.off"),
    ("normal", "panel.watching", "panel.in_test"),
    ("mains_fault", "panel.failed", "panel.ok"),
    ("battery_fault", "panel.failed", "panel.ok"),
];

/// One state.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) reading: Reading,
    pub(crate) symbol: Option<Symbol>,
    /// Whether true is the calm state.
    pub(crate) calm: bool,
    /// A value that belongs beside it: the battery's voltage.
    pub(crate) beside: Option<Reading>,
}

/// What one loop counts.
pub(crate) struct Loop {
    pub(crate) name: String,
    pub(crate) fires: Option<Reading>,
    pub(crate) faults: Option<Reading>,
    pub(crate) disabled: Option<Reading>,
}

/// The most loops looked for.
const MOST_LOOPS: usize = 16;

/// The list.
#[derive(Template)]
#[template(path = "piece/panel.html")]
pub(crate) struct Panel {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) link: String,
    pub(crate) state: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) loops: Vec<Loop>,
    /// The words over the loops' counts.
    pub(crate) heads: [String; 4],
}

impl HtmlSafe for Panel {}

impl Panel {
    /// `None` when the asset lacks the needed points.
    pub(crate) fn new(subject: &Subject<'_>) -> Option<Self> {
        if NEEDED.iter().any(|name| subject.find(name).is_none()) {
            return None;
        }
        let words = subject.visit.words();
        let rows = ROWS.iter().filter_map(|(point, yes, no)| {
            let mut reading = subject.reading(point)?;
            let codes = BTreeMap::from([("true", words.t(yes)), ("false", words.t(no))]);
            if let Some(word) = codes.get(reading.raw.as_str()) {
                reading.text.clone_from(word);
            }
            reading.codes = serde_json::to_string(&codes).unwrap_or_default();
            Some(Row {
                name: words.code("panel", point),
                symbol: subject.worst_of(point).map(|alarm| subject.symbol(alarm)),
                calm: *point == "normal",
                beside: (*point == "battery_fault")
                    .then(|| subject.reading("battery_voltage"))
                    .flatten(),
                reading,
            })
        });
        let view = subject.visit.snapshot.assets.get(subject.id.index())?;
        Some(Self {
            code: subject.code().to_owned(),
            name: subject.name(),
            link: words.code("link", view.link.code()),
            state: view.state.code(),
            rows: rows.collect(),
            loops: (1..=MOST_LOOPS)
                .filter_map(|n| Loop::new(subject, n))
                .collect(),
            heads: ["loops", "fire", "fault", "disabled"].map(|name| words.code("panel", name)),
        })
    }
}

impl Loop {
    fn new(subject: &Subject<'_>, n: usize) -> Option<Self> {
        let of = |what: &str| subject.reading(&format!("loop{n}_{what}"));
        let (fires, faults, disabled) = (of("fires"), of("faults"), of("disabled"));
        let known = fires.is_some() || faults.is_some() || disabled.is_some();
        known.then(|| Self {
            name: subject.visit.words().n("panel.loop", n),
            fires,
            faults,
            disabled,
        })
    }
}
