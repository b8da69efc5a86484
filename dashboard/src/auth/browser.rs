//! What a browser keeps for us: the session, and for each account it was signed in to a proof of that.
//!
//! Over TLS the cookies are named `__Host-…`, so that no other host and no page without TLS can plant one; what came
//! under the plain name is not read there.

use crate::error::ApiError;
use ::cookie::{Cookie, SameSite};
use axum::http::{HeaderMap, HeaderValue};

/// The cookie of the session on plain HTTP.
pub(crate) const SESSION: &str = "zhiban_session";
/// The same over TLS.
pub(crate) const SESSION_TLS: &str = "__Host-zhiban_session";
/// The cookie of the proofs on plain HTTP, and over TLS.
const DEVICE: &str = "zhiban_device";
const DEVICE_TLS: &str = "__Host-zhiban_device";
/// A desk is used by so many people.
const PROOFS: usize = 8;
/// For how many days the session's cookie and the proofs are kept by the browser; the gateway judges both by itself.
const SESSION_DAYS: i64 = 1;
const PROOF_DAYS: i64 = 180;

/// The secret of the session that a request came with.
pub(crate) fn session(headers: &HeaderMap, encrypted: bool) -> Option<String> {
    let name = if encrypted { SESSION_TLS } else { SESSION };
    super::cookie(headers, name)
}

/// Whether a request carries a session, under whichever name.
pub(crate) fn has_session(headers: &HeaderMap) -> bool {
    session(headers, true)
        .or_else(|| session(headers, false))
        .is_some()
}

/// The proofs of earlier sign-ins, the newest first.
pub(crate) fn proofs(headers: &HeaderMap, encrypted: bool) -> Vec<String> {
    let name = if encrypted { DEVICE_TLS } else { DEVICE };
    let kept = super::cookie(headers, name).unwrap_or_default();
    let kept = kept.split('|').filter(|proof| !proof.is_empty());
    kept.take(PROOFS).map(str::to_owned).collect()
}

/// How the cookies of an answer are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jar {
    /// The request is known to have come over TLS.
    pub(crate) encrypted: bool,
    /// The browser may send them back over TLS alone.
    pub(crate) secure: bool,
}

impl Jar {
    /// What a browser keeps after signing in: the session, and the proof before those it has.
    pub(crate) fn signed_in(
        self,
        session: String,
        proof: String,
        mut proofs: Vec<String>,
    ) -> Result<Vec<HeaderValue>, ApiError> {
        let (name, device) = if self.encrypted {
            (SESSION_TLS, DEVICE_TLS)
        } else {
            (SESSION, DEVICE)
        };
        proofs.insert(0, proof);
        proofs.truncate(PROOFS);
        let proofs = proofs.join("|");
        Ok(vec![
            self.cookie(name, session, SESSION_DAYS)?,
            self.cookie(device, proofs, PROOF_DAYS)?,
        ])
    }

    /// What takes the session away, under both names. The proofs stay: they open nothing.
    pub(crate) fn signed_out(self) -> Result<Vec<HeaderValue>, ApiError> {
        let host = Jar {
            encrypted: true,
            secure: true,
        };
        Ok(vec![
            self.cookie(SESSION, String::new(), 0)?,
            host.cookie(SESSION_TLS, String::new(), 0)?,
        ])
    }

    fn cookie(self, name: &str, value: String, days: i64) -> Result<HeaderValue, ApiError> {
        let cookie = Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .max_age(::cookie::time::Duration::days(days));
        HeaderValue::from_str(&cookie.to_string()).map_err(|_| ApiError::Internal)
    }
}
