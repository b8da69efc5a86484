//! Passwords: hashed and checked with argon2id, one at a time.
//!
//! Each takes tens of milliseconds and 19 MiB on purpose; people who try passwords out must not
//! be able to make the gateway run out of either.

use super::AccountError;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The shortest password.
const SHORTEST: usize = 12;
/// Longer ones are cut off nowhere, but refused: hashing megabytes is an attack.
const LONGEST: usize = 1024;
/// How long somebody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The one place where passwords are worked on.
#[derive(Debug)]
pub(super) struct Passwords {
    turn: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
        }
    }
}

impl Passwords {
    /// The text that is stored for a password.
    pub(super) async fn hash(&self, password: String) -> Result<String, AccountError> {
        let length = password.chars().count();
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(AccountError::Password);
        }
        self.work(move || new_hash(&password)).await?
    }

    /// Whether a password is right. Without a stored text it never is, and that takes as long.
    pub(super) async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, AccountError> {
        if password.len() > LONGEST * 4 {
            return Ok(false);
        }
        self.work(move || match stored {
            Some(stored) => PasswordHash::new(&stored).is_ok_and(|hash| {
                let right = Argon2::default().verify_password(password.as_bytes(), &hash);
                right.is_ok()
            }),
            None => new_hash(&password).is_err(),
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let turn = tokio::time::timeout(PATIENCE, self.turn.acquire()).await;
        let _turn = match turn {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(AccountError::Busy),
        };
        let done = tokio::task::spawn_blocking(job).await;
        done.map_err(|_| AccountError::Busy)
    }
}

fn new_hash(password: &str) -> Result<String, AccountError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| AccountError::Random(error.to_string()))?;
    Ok(hash.to_string())
}
