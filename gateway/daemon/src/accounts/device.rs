//! The proof that a browser was signed in to an account before: whoever guesses at the account from elsewhere then
//! does not shut that browser out. It opens nothing by itself.
//!
//! It is keyed with the stored password, so a new password ends all of them, and nothing has to be kept.

use super::AccountError;
use super::secret::{hex, random};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zhiban_core::Timestamp;

/// For how many days a proof is good.
const DAYS: i64 = 180;

/// A new proof for an account with this stored password.
pub(super) fn issue(user: &str, stored: &str, now: Timestamp) -> Result<String, AccountError> {
    let (day, nonce) = (day(now), random(8)?);
    let seal = seal(user, stored, day, &nonce);
    Ok(format!("{day}.{nonce}.{seal}"))
}

/// Whether a proof is one of ours for this account and not too old.
pub(super) fn holds(proof: &str, user: &str, stored: &str, now: Timestamp) -> bool {
    let mut parts = proof.splitn(3, '.');
    let (Some(issued), Some(nonce), Some(given)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(issued) = issued.parse::<i64>() else {
        return false;
    };
    let expected = seal(user, stored, issued, nonce);
    let age = day(now).saturating_sub(issued);
    bool::from(expected.as_bytes().ct_eq(given.as_bytes())) && (-1..=DAYS).contains(&age)
}

fn day(now: Timestamp) -> i64 {
    now.millis().div_euclid(86_400_000)
}

fn seal(user: &str, stored: &str, day: i64, nonce: &str) -> String {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(stored.as_bytes()) else {
        return String::new();
    };
    for part in ["zhiban device", user, &day.to_string(), nonce] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    hex(mac.finalize().into_bytes().get(..16).unwrap_or_default())
}
