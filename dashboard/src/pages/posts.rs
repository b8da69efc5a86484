//! What every form on a page shares: it is carried out once, and leads back to where it was sent from.
//!
//! A form sent twice — a second press, a reload — never does the same thing twice.

use super::frame::Visit;
use crate::auth;
use crate::error::ApiError;
use crate::{once, service};
use axum::response::Response;
use serde::Deserialize;
use zhiban_core::Command;

/// The most characters of a free text.
pub(super) const LONGEST: usize = 2000;

/// The hidden fields of every form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Once {
    pub(super) idempotency_key: String,
    pub(super) back: String,
}

impl Once {
    /// Carries a command out, unless this very form already did.
    pub(super) async fn send(&self, visit: &Visit, command: Command) -> Result<(), ApiError> {
        let command = service::command(&visit.app, command);
        self.run(visit, "", command).await.map(drop)
    }

    /// Does what a form asks for, unless this very form already did; `part` tells the several
    /// things of one form apart.
    pub(super) async fn run<T>(
        &self,
        visit: &Visit,
        part: &str,
        what: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<Option<T>, ApiError> {
        if !(8..=64).contains(&self.idempotency_key.len()) {
            return what.await.map(Some);
        }
        let key = format!("page:{}:{}{part}", visit.me.user, self.idempotency_key);
        if visit.app.archive.replay(key.clone()).await?.is_some() {
            return Ok(None);
        }
        once::under(key, what).await.map(Some)
    }

    /// Back to the page the form was on; `home` when it does not say.
    pub(super) fn go_back(&self, home: &str) -> Response {
        let back = if self.back.is_empty() {
            home
        } else {
            auth::safe_next(Some(&self.back))
        };
        auth::see_other(back)
    }
}

/// A free text that was written, `None` when there is only blank; too long is refused.
pub(super) fn written(text: &str, field: &str) -> Result<Option<String>, ApiError> {
    let text = text.trim();
    if text.chars().count() > LONGEST {
        return Err(ApiError::field(format!("/{field}"), "too_long"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
