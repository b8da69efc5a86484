//! Who was told of an alarm or an order: by what, and whether the other side took it.
//!
//! Says only what is written down; where no channel takes a message, it says that nobody was told.

use super::frame::Visit;
use super::show::When;
use crate::ports::{About, Reached, ToldRow};

/// One message by one channel.
pub(super) struct ToldLine {
    pub(super) at: When,
    pub(super) what: String,
    pub(super) became: String,
    /// It reached nobody, and will not by itself.
    pub(super) bad: bool,
}

/// The messages about something, the latest first; empty when they cannot be read.
pub(super) async fn lines(visit: &Visit, about: About) -> Vec<ToldLine> {
    let rows = visit.app.archive.told(about).await.unwrap_or_default();
    rows.iter().map(|row| line(visit, row)).collect()
}

fn line(visit: &Visit, row: &ToldRow) -> ToldLine {
    let words = visit.words();
    let reason = words.code_or_same("told_reason", &row.reason);
    let what = match &row.person {
        Some(user) => words.with(
            "told.for_person",
            &[("reason", &reason), ("name", &visit.person(user))],
        ),
        None => reason,
    };
    let channel = row.channel.clone().unwrap_or_default();
    let n = row.attempts.to_string();
    let error = row.error.clone().unwrap_or_default();
    let time = row
        .last_at
        .map_or_else(String::new, |at| visit.times.when(at).clock);
    let key = match (row.reached, row.attempts) {
        (Reached::Nobody, _) => "told.nobody",
        (Reached::Waits, 0) => "told.not_yet",
        (Reached::Waits, _) => "told.again",
        (Reached::Accepted, _) => "told.accepted",
        (Reached::GivenUp, _) => "told.given_up",
    };
    let values = [
        ("channel", channel.as_str()),
        ("n", &n),
        ("error", &error),
        ("time", &time),
    ];
    ToldLine {
        at: visit.times.when(row.at),
        what,
        became: words.with(key, &values),
        bad: matches!(row.reached, Reached::Nobody | Reached::GivenUp),
    }
}
