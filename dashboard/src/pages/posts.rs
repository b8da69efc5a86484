//! What every form on a page shares: it is carried out once, and leads back to where it was sent from.
//!
//! A form sent twice — a second press, a reload — never does the same thing twice.

use super::frame::Visit;
use crate::auth;
use crate::error::ApiError;
use crate::ports::StoredAnswer;
use crate::service;
use axum::response::Response;
use bytes::Bytes;
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
        let key = format!("page:{}:{}", visit.me.user, self.idempotency_key);
        let keyed = (8..=64).contains(&self.idempotency_key.len());
        if keyed && visit.app.archive.replay(key.clone()).await?.is_some() {
            return Ok(());
        }
        service::command(&visit.app, command).await?;
        if keyed {
            let answer = StoredAnswer {
                request: String::new(),
                status: 303,
                body: Bytes::new(),
            };
            if let Err(error) = visit.app.archive.keep_answer(key, answer).await {
                tracing::warn!(error = %error.why, "an idempotency key could not be kept");
            }
        }
        Ok(())
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
