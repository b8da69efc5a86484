//! What every form on a page shares: it is carried out once, and leads back to where it was sent from.
//!
//! A form sent twice — a second press, a reload — never does the same thing twice. With other content it is another form.

use super::frame::Visit;
use crate::auth;
use crate::error::{ApiError, FieldError};
use crate::ports::StoredAnswer;
use crate::{once, service};
use axum::response::Response;
use serde::Deserialize;
use zhiban_core::Command;

/// The most characters of a free text.
pub(crate) const LONGEST: usize = 2000;
/// The most characters of the reason for which an alarm is shelved.
pub(crate) const REASON: usize = 500;
/// The most characters of what a fault is called.
pub(crate) const TITLE: usize = 200;

/// The hidden fields of every form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Once {
    pub(super) idempotency_key: String,
    pub(super) back: String,
}

/// What became of a form.
pub(super) enum Sent<T> {
    /// It was carried out now.
    Now(T),
    /// This very form was carried out before, with what is known of that.
    Before(StoredAnswer),
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
    ) -> Result<Sent<T>, ApiError> {
        // The key of the request knows its content; that of a form with files is known by its parts alone,
        // and its second sending waits here for the first.
        let mut _turn = None;
        let key = match once::current() {
            Some(current) => format!("page:{}{part}", current.key),
            None if (8..=64).contains(&self.idempotency_key.len()) => {
                let key = format!("page:{}:{}{part}", visit.me.user, self.idempotency_key);
                _turn = Some(visit.running.soon(&key).await?);
                key
            }
            None => return what.await.map(Sent::Now),
        };
        if let Some(known) = visit.app.archive.replay(key.clone()).await? {
            return Ok(Sent::Before(known));
        }
        once::under(key, what).await.map(Sent::Now)
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

/// A free text that was written, `None` when there is only blank; longer than `most` characters it is refused.
pub(super) fn written(text: &str, field: &str, most: usize) -> Result<Option<String>, ApiError> {
    // A browser sends each line break as two characters.
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    let length = text.chars().count();
    if length > most {
        let fault = FieldError::too_long(format!("/{field}"), most, length);
        return Err(ApiError::Form(vec![fault]));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
