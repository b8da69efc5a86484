//! The JSON shapes of the API, one file per resource. Every field is always there, `null` when unknown.
//!
//! Shapes hold no rule and ask nothing: they only say again what core knows, in the caller's language.

pub(crate) mod alarm;
pub(crate) mod asset;
pub(crate) mod request;
pub(crate) mod work_order;

use crate::ports::ToldRow;
use serde::Serialize;
use utoipa::ToSchema;
use zhiban_core::{Language, Timestamp, Value};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T: ToSchema> {
    /// What is on this page.
    pub(crate) items: Vec<T>,
    /// Send it as `cursor` to get the next page; `null` on the last.
    pub(crate) next_cursor: Option<String>,
}

impl<T: ToSchema> Page<T> {
    /// A page from one entry more than it may hold; the one too many says that there is a next page.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }

    /// Everything on one page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

/// One entry of the life of an alarm or an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Who; `null` when the gateway did.
    pub(crate) by: Option<String>,
    /// What happened.
    pub(crate) change: String,
    /// The state or status before.
    pub(crate) from: String,
    /// The state or status after.
    pub(crate) to: String,
    /// The person may have done it only because the site has no other account.
    pub(crate) only_account: bool,
    /// What was written with it.
    pub(crate) note: Option<String>,
    /// Where the fault was by then; `null` when nothing said so.
    pub(crate) place: Option<Place>,
}

/// One message about an alarm or an order, by one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    /// When it was to be told.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Why: `raised`, `joined`, `repeated`, `reopened`, `recovered`, `assigned`, `escalated`, `located` or
    /// `sent_back`.
    pub(crate) reason: String,
    /// The user name of who it is for; `null` for the whole crew.
    pub(crate) person: Option<String>,
    /// By which channel; `null` when none takes it.
    pub(crate) channel: Option<String>,
    /// `nobody` when no channel takes it, `waiting`, `accepted` by the receiving side, or `given_up`.
    pub(crate) reached: &'static str,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was last tried.
    #[schema(format = DateTime)]
    pub(crate) last_at: Option<String>,
    /// Why the last try failed.
    pub(crate) error: Option<String>,
}

impl From<ToldRow> for Told {
    fn from(row: ToldRow) -> Self {
        Self {
            at: time(row.at),
            reason: row.reason,
            person: row.person,
            channel: row.channel,
            reached: row.reached.code(),
            attempts: row.attempts,
            last_at: row.last_at.map(time),
            error: row.error,
        }
    }
}

/// Where a fault is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    /// In words.
    #[schema(example = "car at 7F")]
    pub(crate) text: String,
    /// When the values it was made of were acquired; `null` when it needs none.
    #[schema(format = DateTime)]
    pub(crate) known_at: Option<String>,
    /// Whether those values were good then; else it is the last known place, and may not be so any more.
    pub(crate) fresh: bool,
}

impl Place {
    /// The place in the caller's language.
    pub(crate) fn of(place: Option<&zhiban_core::Place>, language: Language) -> Option<Self> {
        place.map(|place| Self {
            text: place.text.get(language).to_owned(),
            known_at: place.known_at.map(time),
            fresh: place.fresh,
        })
    }
}

/// Part of the series of one point, in columns of equal length. Whole numbers of a whole-number point are exact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    /// The point's key.
    pub(crate) key: String,
    /// Where the answer begins.
    #[schema(format = DateTime)]
    pub(crate) from: String,
    /// Where it ends, not included.
    #[schema(format = DateTime)]
    pub(crate) to: String,
    /// The width of a bucket in milliseconds; 0 when each entry is one sample.
    pub(crate) step_ms: i64,
    /// Start of each bucket, in milliseconds since 1970.
    pub(crate) t: Vec<i64>,
    /// The lowest value of each bucket; `null` is a gap.
    #[schema(value_type = Vec<Option<f64>>)]
    pub(crate) min: Vec<Option<serde_json::Number>>,
    /// The highest value of each bucket; `null` is a gap.
    #[schema(value_type = Vec<Option<f64>>)]
    pub(crate) max: Vec<Option<serde_json::Number>>,
    /// The last value of each bucket; `null` is a gap.
    #[schema(value_type = Vec<Option<f64>>)]
    pub(crate) last: Vec<Option<serde_json::Number>>,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// The user name, or the token's name.
    pub(crate) username: String,
    /// The name people read.
    pub(crate) display_name: String,
    /// Signed in with a password, not with a token.
    pub(crate) session: bool,
}

/// How a value looks: a flag, a whole number without a limit of digits, a number, a text or a code.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it only describes what `value` makes")]
pub(crate) enum PointValue {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// RFC 3339 in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_string()
}

/// A value as JSON: a flag as true or false, a number, a text or an enumeration's code as a string.
pub(crate) fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.as_ref().into(),
    }
}
