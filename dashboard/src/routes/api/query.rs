//! Reads query parameters; a wrong one is named, an unknown one is passed over.

use crate::error::ApiError;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use chrono::DateTime;
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;
use std::str::FromStr;
use zhiban_core::Timestamp;

/// The most entries of one page of a list.
pub(super) const MOST: u32 = 200;

/// Query parameters, each an optional text.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(_) => Err(ApiError::Query(Vec::new())),
        }
    }
}

/// A whole number within a range, or what holds when nothing is said.
pub(super) fn number(
    name: &str,
    given: Option<&str>,
    range: RangeInclusive<u32>,
    usual: u32,
) -> Result<u32, ApiError> {
    let Some(text) = given else {
        return Ok(usual);
    };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| ApiError::parameter(name, "out_of_range"))
}

/// How many entries a page has.
pub(super) fn limit(given: Option<&str>, usual: u32) -> Result<usize, ApiError> {
    let limit = number("limit", given, 1..=MOST, usual)?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A cursor as a list gave it.
pub(super) fn cursor<T: FromStr>(given: Option<&str>) -> Result<Option<T>, ApiError> {
    let Some(text) = given else {
        return Ok(None);
    };
    let cursor = text.parse().ok();
    cursor
        .map(Some)
        .ok_or_else(|| ApiError::parameter("cursor", "unknown"))
}

/// A time: RFC 3339, or milliseconds since 1970.
pub(super) fn time(
    name: &str,
    given: Option<&str>,
    usual: Timestamp,
) -> Result<Timestamp, ApiError> {
    let Some(text) = given else {
        return Ok(usual);
    };
    if let Ok(millis) = text.parse() {
        return Ok(Timestamp::from_millis(millis));
    }
    // A plus sign that was not escaped arrives as a space.
    let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let at = time.map(|time| Timestamp::from_millis(time.timestamp_millis()));
    at.map_err(|_| ApiError::parameter(name, "wrong_type"))
}
