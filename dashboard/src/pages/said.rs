//! What is said of an alarm: how its fault is now, how the alarm itself stands, and its time.
//!
//! The three are never mixed, and every page says them through here: an alarm that waits for a
//! person is no fact of now, and the time of a fault that is over does not go on.

use super::frame::Visit;
use super::show::When;
use zhiban_core::{AlarmState, Signal, Timestamp};

/// The three things.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// `present`, `clearing`, `gone` or `unknown`.
    pub(crate) signal: &'static str,
    /// The word for it.
    pub(crate) now: String,
    /// Whether the fault counts as there: only then its equipment is marked by colour.
    pub(crate) stands: bool,
    /// The word for how the alarm itself stands.
    pub(crate) state: String,
    /// When it began.
    pub(crate) raised: When,
    /// When it was over; from then on its time stands still.
    pub(crate) ended: Option<When>,
    /// How long it lasted; empty while it is not over.
    pub(crate) lasted: String,
}

impl Said {
    /// Of an alarm, open or from the archive.
    pub(crate) fn new(
        visit: &Visit,
        signal: Signal,
        state: AlarmState,
        raised: Timestamp,
        ended: Option<Timestamp>,
    ) -> Self {
        let words = visit.words();
        let span = ended.map(|end| visit.times.span(end.millis().abs_diff(raised.millis())));
        Self {
            signal: signal.code(),
            now: words.code("signal", signal.code()),
            stands: ended.is_none(),
            state: words.code("state", state.code()),
            raised: visit.times.when(raised),
            ended: ended.map(|end| visit.times.when(end)),
            lasted: span.map_or_else(String::new, |span| {
                words.with("span.lasted", &[("age", &span)])
            }),
        }
    }
}
