//! Checks the fields of a request and keeps every fault, so that all are named at once.

use crate::error::{ApiError, FieldError};
use chrono::DateTime;
use zhiban_core::{Duration, Priority, Timestamp};

/// How far ahead a phone's clock may be.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// The faults of a form so far.
#[derive(Debug, Default)]
pub(super) struct Form {
    errors: Vec<FieldError>,
}

impl Form {
    /// A text, trimmed; blank counts as nothing. At most `longest` characters, no control characters.
    pub(super) fn text(
        &mut self,
        name: &str,
        given: Option<String>,
        longest: usize,
    ) -> Option<String> {
        let text = given?.trim().to_owned();
        if text.is_empty() {
            return None;
        }
        let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        let length = text.chars().count();
        if length > longest {
            let fault = FieldError::too_long(format!("/{name}"), longest, length);
            self.errors.push(fault);
        } else if text.contains(strange) {
            self.fault(name, "control_character");
        } else {
            return Some(text);
        }
        // Named once already: something was given, it must not be called missing too.
        Some(String::new())
    }

    /// What must be there.
    pub(super) fn need<T>(&mut self, name: &str, given: Option<T>) -> Option<T> {
        if given.is_none() {
            self.fault(name, "required");
        }
        given
    }

    /// A number within a range.
    pub(super) fn within(
        &mut self,
        name: &str,
        given: Option<u32>,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        if given.is_some_and(|number| !range.contains(&number)) {
            self.fault(name, "out_of_range");
        }
        given
    }

    /// A priority, 1 to 4.
    pub(super) fn priority(&mut self, name: &str, given: Option<u8>) -> Option<Priority> {
        let found = Priority::try_from(given?);
        if found.is_err() {
            self.fault(name, "out_of_range");
        }
        found.ok()
    }

    /// A time in RFC 3339 that is not in the future.
    pub(super) fn past(
        &mut self,
        name: &str,
        given: Option<String>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Ok(time) = DateTime::parse_from_rfc3339(&given?) else {
            self.fault(name, "wrong_type");
            return None;
        };
        let at = Timestamp::from_millis(time.timestamp_millis());
        if at > now + CLOCK_SKEW {
            self.fault(name, "in_future");
        }
        Some(at)
    }

    /// Notes a fault of a field.
    pub(super) fn fault(&mut self, name: &str, code: &'static str) {
        self.errors.push(FieldError::new(format!("/{name}"), code));
    }

    /// Refuses when there was any fault.
    pub(super) fn check(&mut self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::Form(std::mem::take(&mut self.errors)))
    }

    /// The required values, once nothing is wrong.
    pub(super) fn done<T>(mut self, values: Option<T>) -> Result<T, ApiError> {
        self.check()?;
        values.ok_or(ApiError::Internal)
    }
}
