//! Random secrets and the hashes they are kept as.
//!
//! SHA-256 without salt is enough for them: they are random and long, so nobody can try them out.

use super::AccountError;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A random secret of so many bytes, in hex.
pub(super) fn random(bytes: usize) -> Result<String, AccountError> {
    let mut secret = vec![0; bytes];
    getrandom::fill(&mut secret).map_err(|error| AccountError::Random(error.to_string()))?;
    Ok(hex(&secret))
}

/// What is stored of a secret.
pub(super) fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
