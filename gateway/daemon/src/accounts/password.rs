//! Passwords: hashed and checked with argon2id, one at a time, in one piece of memory.
//!
//! Each takes tens of milliseconds and 19 MiB on purpose; people who try passwords out must not be able to make the
//! gateway run out of either. Few wait for their turn, the others are refused at once.

use super::AccountError;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Longer ones are cut off nowhere, but refused: hashing megabytes is an attack.
const LONGEST: usize = 1024;
/// How many passwords may be looked at or wait for it.
const AT_ONCE: usize = 16;
/// How long somebody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The one place where passwords are worked on.
#[derive(Debug)]
pub(super) struct Passwords {
    waiting: Semaphore,
    turn: Semaphore,
    /// What one hash needs; kept while the next one waits already, else given back.
    memory: Arc<Mutex<Vec<Block>>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            waiting: Semaphore::new(AT_ONCE),
            turn: Semaphore::new(1),
            memory: Arc::default(),
        }
    }
}

impl Passwords {
    /// The text that is stored for a password.
    pub(super) async fn hash(&self, password: String) -> Result<String, AccountError> {
        self.work(move |memory| new_hash(&password, memory)).await?
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
        self.work(move |memory| match stored {
            Some(stored) => is_right(&password, &stored, memory).unwrap_or(false),
            None => new_hash(&password, memory).is_err(),
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let place = self.waiting.try_acquire().map_err(|_| AccountError::Busy)?;
        let turn = tokio::time::timeout(PATIENCE, self.turn.acquire()).await;
        let _turn = match turn {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(AccountError::Busy),
        };
        let others_wait = self.waiting.available_permits() + 1 < AT_ONCE;
        let memory = self.memory.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            let done = job(&mut memory);
            if !others_wait {
                *memory = Vec::new();
            }
            done
        });
        let done = done.await;
        drop(place);
        done.map_err(|_| AccountError::Busy)
    }
}

fn new_hash(password: &str, memory: &mut Vec<Block>) -> Result<String, AccountError> {
    let failed = |error: &dyn std::fmt::Display| AccountError::Random(error.to_string());
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    getrandom::fill(&mut salt).map_err(|error| failed(&error))?;
    let argon = Argon2::default();
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    run(&argon, password, &salt, &mut out, memory).map_err(|error| failed(&error))?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon.params()).map_err(|error| failed(&error))?,
        salt: Some(Salt::new(&salt).map_err(|error| failed(&error))?),
        hash: Some(Output::new(&out).map_err(|error| failed(&error))?),
    };
    Ok(hash.to_string())
}

/// `None` when what is stored is no argon2 hash.
fn is_right(password: &str, stored: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = stored
        .version
        .map_or(Ok(Version::default()), Version::try_from);
    let params = Params::try_from(&stored).ok()?;
    let argon = Argon2::new(algorithm, version.ok()?, params);
    let (salt, expected) = (stored.salt?, stored.hash?);
    let mut out = vec![0; expected.len()];
    run(&argon, password, &salt, &mut out, memory).ok()?;
    Some(out.ct_eq(expected.as_ref()).into())
}

fn run(
    argon: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    out: &mut [u8],
    memory: &mut Vec<Block>,
) -> argon2::Result<()> {
    let blocks = argon.params().block_count();
    if memory.len() != blocks {
        memory.clear();
        memory.resize(blocks, Block::default());
    }
    argon.hash_password_into_with_memory(password.as_bytes(), salt, out, memory)
}
