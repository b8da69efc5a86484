//! How the history and its way to InfluxDB are, for whoever asks. Asking never waits for either.

use super::wall;
use std::sync::{Arc, Mutex, PoisonError};
use zhiban_dashboard::ports::Check;

/// How the history is; cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub struct HistoryHealth(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Why writing fails now.
    failing: Option<String>,
    /// What a damaged file is called now; stays until the next start.
    aside: Option<String>,
    /// Why telemetry is only kept in memory; stays until the next start.
    elsewhere: Option<String>,
    /// The newest row of the journal.
    written: i64,
    influxdb: Option<Influx>,
}

/// How the way to InfluxDB is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Influx {
    /// What is wrong; `None` when all is well.
    pub(super) fault: Option<String>,
    /// The newest row of the journal that it has.
    pub(super) sent: i64,
    /// When the oldest row that it has not got was written, in milliseconds since 1970.
    pub(super) oldest: Option<i64>,
}

impl HistoryHealth {
    /// One line for `history`, and one for `influxdb` when there is one.
    pub fn checks(&self) -> Vec<Check> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = state
            .failing
            .as_ref()
            .map(|why| format!("cannot write: {why}"));
        let aside = state.aside.as_ref().map(|name| {
            format!("the file was damaged and is kept as {name}; older telemetry is not shown")
        });
        let elsewhere = state
            .elsewhere
            .as_ref()
            .map(|why| format!("telemetry of the last hour is kept in memory only: {why}"));
        let wrong = elsewhere.or(failing).or(aside);
        let mut checks = vec![check("history", wrong.is_none(), wrong.unwrap_or_default())];
        checks.extend(state.influxdb.as_ref().map(|influx| {
            let age = influx
                .oldest
                .map_or(0, |oldest| (wall() - oldest).max(0) / 1000);
            let rows = (state.written - influx.sent).max(0);
            let behind = format!("{rows} rows behind, oldest {age} s");
            let detail = match &influx.fault {
                Some(fault) => format!("{fault}; {behind}"),
                None => behind,
            };
            check("influxdb", influx.fault.is_none(), detail)
        }));
        checks
    }

    pub(super) fn fails(&self, why: String) {
        self.with(|state| state.failing = Some(why));
    }

    /// The journal goes up to this row, written at this time.
    pub(super) fn works(&self, seq: i64, at: i64) {
        self.with(|state| {
            state.failing = None;
            state.written = seq;
            if let Some(influx) = &mut state.influxdb {
                influx.oldest.get_or_insert(at);
            }
        });
    }

    pub(super) fn set_aside(&self, name: String) {
        self.with(|state| state.aside = Some(name));
    }

    pub(super) fn is_elsewhere(&self, why: String) {
        self.with(|state| state.elsewhere = Some(why));
    }

    pub(super) fn influxdb(&self, change: impl FnOnce(&mut Influx)) {
        self.with(|state| change(state.influxdb.get_or_insert_default()));
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn check(name: &str, ok: bool, detail: String) -> Check {
    Check {
        name: name.to_owned(),
        ok,
        critical: false,
        detail,
    }
}
