//! Pumps as circles with a triangle: white runs, grey stands still.
//!
//! A pump whose state is not known is drawn hollow and says so.

use super::Subject;
use crate::pages::show::{Reading, Symbol};
use askama::Template;
use askama::filters::HtmlSafe;
use std::collections::BTreeMap;

/// The most pumps looked for in one set.
const MOST: usize = 8;

/// One pump.
pub(crate) struct Pump {
    pub(crate) name: String,
    pub(crate) running: Reading,
    /// Key and value of its fault flag.
    pub(crate) fault: Option<Reading>,
    pub(crate) symbol: Option<Symbol>,
}

/// The pumps of one asset and the facts that belong to them.
#[derive(Template)]
#[template(path = "piece/pumps.html")]
pub(crate) struct Pumps {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) stale: bool,
    pub(crate) pumps: Vec<Pump>,
    pub(crate) facts: Vec<(String, Reading, Option<Symbol>)>,
    pub(crate) run: String,
    pub(crate) stop: String,
    pub(crate) broken: String,
}

impl HtmlSafe for Pumps {}

impl Pumps {
    /// `None` when the asset has no pump with a running flag.
    pub(crate) fn new(subject: &Subject<'_>) -> Option<Self> {
        let words = subject.visit.words();
        let numbered = (1..=MOST).map(|n| (format!("pump{n}"), words.n("pump.n", n)));
        let jockey = [("jockey".to_owned(), words.t("pump.jockey"))];
        let pumps: Vec<Pump> = numbered
            .chain(jockey)
            .filter_map(|(point, name)| pump(subject, &point, name))
            .collect();
        if pumps.is_empty() {
            return None;
        }
        let facts = [
            ("selector_auto", "pump.selector", "pump.auto", "pump.hand"),
            ("power_ok", "pump.power", "pump.power_ok", "pump.power_lost"),
            (
                "high_level",
                "pump.high_level",
                "pump.high_level_on",
                "pump.high_level_off",
            ),
        ];
        let facts = facts.iter().filter_map(|(point, name, yes, no)| {
            let mut reading = subject.reading(point)?;
            let codes = BTreeMap::from([("true", words.t(yes)), ("false", words.t(no))]);
            if let Some(word) = codes.get(reading.raw.as_str()) {
                reading.text.clone_from(word);
            }
            reading.codes = serde_json::to_string(&codes).unwrap_or_default();
            let worst = subject.worst_of(point);
            Some((
                words.t(name),
                reading,
                worst.map(|alarm| subject.symbol(alarm)),
            ))
        });
        Some(Self {
            code: subject.code().to_owned(),
            name: subject.name(),
            stale: subject.is_silent(),
            pumps,
            facts: facts.collect(),
            run: words.t("pump.running"),
            stop: words.t("pump.stopped"),
            broken: words.t("pump.fault"),
        })
    }
}

fn pump(subject: &Subject<'_>, point: &str, name: String) -> Option<Pump> {
    let running = subject.reading(&format!("{point}_running"))?;
    let fault = format!("{point}_fault");
    let worst = subject.worst_of(&fault);
    Some(Pump {
        name,
        running,
        symbol: worst.map(|alarm| subject.symbol(alarm)),
        fault: subject.reading(&fault),
    })
}
