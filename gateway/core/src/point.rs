//! Points, their values and how far each may be trusted; step 2 of the way of a datum.
//!
//! A bad sample never replaces a good value: it only takes the trust away.

use crate::model::{AssetId, PointId};
use crate::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// One value of one point.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A flag: door closed, pump running.
    Flag(bool),
    /// A count that only whole numbers make sense of: trips, starts, hours.
    Integer(i64),
    /// An analogue value in the point's unit; always finite.
    Number(f64),
    /// A text, or the stable code of an enumeration (`"inspection"`), never a translated word.
    Text(Arc<str>),
}

impl Value {
    /// The value as a number, flags as 0 and 1; `None` for a text.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
            #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
            Value::Integer(number) => Some(*number as f64),
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }
}

/// Plain text: `true`, `12`, `3.5`, `inspection`; without unit or language.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// How far a value may be trusted. Anything but `Good` says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quality {
    /// Read, complete and plausible.
    Good,
    /// Usable to raise an alarm, not to clear one: its age or meaning is not sure.
    Uncertain(QualityReason),
    /// The device answered, and the answer is not usable.
    Bad(QualityReason),
    /// Nothing new came in time; the value shown is old.
    Stale(QualityReason),
}

impl Quality {
    /// The stable name: `good`, `uncertain`, `bad` or `stale`.
    pub fn code(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Uncertain(_) => "uncertain",
            Quality::Bad(_) => "bad",
            Quality::Stale(_) => "stale",
        }
    }

    /// Why the value is not good; `None` when it is.
    pub fn reason(self) -> Option<QualityReason> {
        match self {
            Quality::Good => None,
            Quality::Uncertain(reason) | Quality::Bad(reason) | Quality::Stale(reason) => {
                Some(reason)
            }
        }
    }

    /// Whether a condition may be judged true by this value.
    pub fn may_raise(self) -> bool {
        matches!(self, Quality::Good | Quality::Uncertain(_))
    }

    /// Whether a condition may be judged false by this value.
    pub fn may_clear(self) -> bool {
        matches!(self, Quality::Good)
    }
}

/// Why a value is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QualityReason {
    /// No sample has come since the gateway started.
    NeverRead,
    /// The link to the device is down.
    LinkDown,
    /// The device did not answer in time.
    Timeout,
    /// Samples stopped coming without a link report.
    NoData,
    /// The device refused the request with an exception.
    Refused,
    /// The answer had a wrong length, unit, function or content.
    BadAnswer,
    /// The device itself says that the value is not available.
    NotAvailable,
    /// The value is outside the range that is physically possible.
    OutOfRange,
    /// The bytes do not decode as the profile says.
    Undecodable,
    /// A retained message without a time: its age is not known.
    Retained,
    /// It was old when it came: a backlog, or what was known before the gateway started.
    Late,
    /// The message carries a time that cannot be read: its age is not known.
    TimeUnreadable,
    /// The asset is disabled in the configuration.
    Disabled,
}

impl QualityReason {
    /// Every reason, for tables and translations.
    pub const ALL: [QualityReason; 13] = [
        QualityReason::NeverRead,
        QualityReason::LinkDown,
        QualityReason::Timeout,
        QualityReason::NoData,
        QualityReason::Refused,
        QualityReason::BadAnswer,
        QualityReason::NotAvailable,
        QualityReason::OutOfRange,
        QualityReason::Undecodable,
        QualityReason::Retained,
        QualityReason::Late,
        QualityReason::TimeUnreadable,
        QualityReason::Disabled,
    ];

    /// The stable name, for example `link_down`.
    pub fn code(self) -> &'static str {
        match self {
            QualityReason::NeverRead => "never_read",
            QualityReason::LinkDown => "link_down",
            QualityReason::Timeout => "timeout",
            QualityReason::NoData => "no_data",
            QualityReason::Refused => "refused",
            QualityReason::BadAnswer => "bad_answer",
            QualityReason::NotAvailable => "not_available",
            QualityReason::OutOfRange => "out_of_range",
            QualityReason::Undecodable => "undecodable",
            QualityReason::Retained => "retained",
            QualityReason::Late => "late",
            QualityReason::TimeUnreadable => "time_unreadable",
            QualityReason::Disabled => "disabled",
        }
    }
}

/// One reading of one point. `value` is `None` when the reading gave nothing usable.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The point.
    pub point: PointId,
    /// The decoded value, in the point's unit.
    pub value: Option<Value>,
    /// How far the value may be trusted.
    pub quality: Quality,
}

/// What one read or one message of a device brought.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleBatch {
    /// The asset that was read.
    pub asset: AssetId,
    /// When the values were acquired (the device's own time where a profile names one).
    pub at: Timestamp,
    /// The readings; points that were not read are not listed.
    pub samples: Vec<Sample>,
    /// A message the broker kept from earlier: it seeds points that have no value and changes no other.
    pub retained: bool,
}

/// What a point became by a sample; the input of the judges and of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct PointUpdate {
    /// The point.
    pub point: PointId,
    /// The last usable value, or `None` when there never was one.
    pub value: Option<Value>,
    /// How far the value may be trusted now.
    pub quality: Quality,
    /// When the value was acquired.
    pub at: Timestamp,
    /// Whether value or quality differ from before.
    pub changed: bool,
}

/// What is known of a point at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PointState {
    /// The last usable value, or `None` when there never was one.
    pub value: Option<Value>,
    /// How far the value may be trusted now.
    pub quality: Quality,
    /// When the last usable value was acquired; `None` when there never was one.
    pub at: Option<Timestamp>,
}

impl Default for PointState {
    fn default() -> Self {
        Self {
            value: None,
            quality: Quality::Stale(QualityReason::NeverRead),
            at: None,
        }
    }
}
