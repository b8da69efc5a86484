//! Who may come in: accounts, sessions, API tokens and the one-time set-up.
//!
//! Passwords are kept as argon2id, every other secret as SHA-256; none is ever logged.

mod admin;
mod device;
mod guess;
mod password;
mod secret;
#[cfg(test)]
mod tests;

pub use admin::{AccountError, AccountRow, TokenRow};
pub(crate) use secret::hex;

use crate::clock::Steps;
use crate::config::SiteConfig;
use crate::journal::read::Reader;
use crate::journal::{JournalError, Store};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use password::Passwords;
use secret::{hash, random};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zhiban_core::{Duration, Timestamp};
use zhiban_dashboard::ports::{Identity, Opened, Person, SetupRefused, SignInError, Unavailable};

/// A session ends at the latest after this: one long shift.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
/// A session that is not used for so long ends.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// "Last used" is written at most this often, so that reading a page writes nothing.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// So many sessions are remembered while "last used" cannot be written.
const UNWRITTEN: usize = 1000;
/// The set-up token is good for this long and for this many wrong tries.
const SETUP_LIFE: Duration = Duration::from_secs(30 * 60);
const SETUP_TRIES: i64 = 5;
/// An API token begins like this, so that leak scanners know it.
const TOKEN_PREFIX: &str = "zb_";

/// Accounts, sessions and tokens in `core.db`.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Store,
    passwords: Arc<Passwords>,
    /// The names of the site, which no password may hold.
    site: Arc<[String]>,
    /// When sessions were last used, as far as it could not be written down: a store that takes
    /// nothing must not shut out who watches the building.
    unwritten: Arc<Mutex<BTreeMap<String, Timestamp>>>,
    /// The steps of the clock that the store does not know of yet: nobody is signed out by one.
    steps: Arc<Steps>,
}

impl Accounts {
    /// The accounts of an open store, with a clock of their own.
    pub fn new(store: Store) -> Self {
        Self::with_steps(store, Arc::default())
    }

    /// The accounts of an open store whose times the engine moves when the clock is set.
    pub fn with_steps(store: Store, steps: Arc<Steps>) -> Self {
        Self {
            store,
            passwords: Arc::new(Passwords::default()),
            site: Arc::default(),
            unwritten: Arc::default(),
            steps,
        }
    }

    /// The same for a site whose names no password may hold.
    #[must_use]
    pub fn at(self, site: &SiteConfig) -> Self {
        let names = [&site.code, &site.name.zh, &site.name.en].map(Clone::clone);
        Self {
            site: names.into(),
            ..self
        }
    }

    /// A time of the wall clock by the clock that stored times go by.
    fn by_stored_clock(&self, now: DateTime<Utc>) -> Timestamp {
        Timestamp::from(now) - self.steps.unsettled()
    }

    fn unwritten(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn open_session(
        &self,
        user: String,
        password: String,
        now: Timestamp,
    ) -> Result<Option<Opened>, AccountError> {
        let stored = self.stored(&user).await?;
        // An unknown user takes as long as a wrong password.
        let right = self.passwords.verify(password, stored.clone()).await?;
        let Some(stored) = stored.filter(|_| right) else {
            metrics::counter!("zhiban_sign_ins_total", "outcome" => "refused").increment(1);
            return Ok(None);
        };
        let device = device::issue(&user, &stored, now)?;
        let secret = random(32)?;
        self.write(
            "insert into session (hash, account, created_at, seen_at) values ($1, $2, $3, $3)",
            |query| {
                query
                    .bind(hash(&secret))
                    .bind(user.clone())
                    .bind(now.millis())
            },
        )
        .await?;
        metrics::counter!("zhiban_sign_ins_total", "outcome" => "done").increment(1);
        Ok(Some(Opened {
            session: secret,
            device,
        }))
    }

    /// What is stored of the password of an account that may sign in.
    async fn stored(&self, user: &str) -> Result<Option<String>, AccountError> {
        let one = "select password from account where name = $1 and disabled_at is null";
        let one = sqlx::query(one).bind(user.to_owned());
        let row = one.fetch_optional(self.store.readers()).await;
        let row = row.map_err(JournalError::from)?;
        let password = row.map(|row| Reader::new("account", &row).text("password"));
        Ok(password.transpose()?)
    }

    async fn of_device(
        &self,
        user: String,
        proofs: Vec<String>,
        now: Timestamp,
    ) -> Result<Option<String>, AccountError> {
        let Some(stored) = self.stored(&user).await? else {
            return Ok(None);
        };
        let mut proofs = proofs.into_iter();
        Ok(proofs.find(|proof| device::holds(proof, &user, &stored, now)))
    }

    async fn of_session(
        &self,
        secret: String,
        now: Timestamp,
    ) -> Result<Option<Identity>, AccountError> {
        let hash = hash(&secret);
        let one = sqlx::query(
            "select a.name as name, a.display_name as display_name, s.seen_at as seen_at \
             from session s join account a on a.name = s.account \
             where s.hash = $1 and s.created_at > $2 and a.disabled_at is null",
        );
        let one = one.bind(&hash).bind((now - SESSION_LIFE).millis());
        let row = one
            .fetch_optional(self.store.readers())
            .await
            .map_err(JournalError::from)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let read = Reader::new("session", &row);
        let seen = read.at("seen_at")?;
        let unwritten = self.unwritten().get(&hash).copied();
        let seen = unwritten.map_or(seen, |unwritten| unwritten.max(seen));
        if now.since(seen) >= SESSION_IDLE {
            return Ok(None);
        }
        if now.since(seen) >= SEEN_EVERY {
            self.session_seen(hash, now).await;
        }
        Ok(Some(Identity {
            user: read.text("name")?,
            display_name: read.text("display_name")?,
            session: true,
        }))
    }

    /// Writes down that a session was used, or remembers it until that can be written.
    async fn session_seen(&self, hash: String, now: Timestamp) {
        let sql = "update session set seen_at = $1 where hash = $2";
        let bound = hash.clone();
        let written = self.write(sql, |query| query.bind(now.millis()).bind(bound.clone()));
        let written = written.await;
        let mut unwritten = self.unwritten();
        match written {
            Ok(_) => {
                unwritten.remove(&hash);
            }
            Err(error) => {
                tracing::debug!(%error, "when a session was used cannot be written down");
                unwritten.retain(|_, seen| now.since(*seen) < SESSION_IDLE);
                if unwritten.len() < UNWRITTEN {
                    unwritten.insert(hash, now);
                }
            }
        }
    }

    async fn of_token(
        &self,
        secret: String,
        now: Timestamp,
    ) -> Result<Option<Identity>, AccountError> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        let one = sqlx::query("select name, last_used_at from token where hash = $1");
        let one = one.bind(hash(&secret)).fetch_optional(self.store.readers());
        let Some(row) = one.await.map_err(JournalError::from)? else {
            return Ok(None);
        };
        let read = Reader::new("token", &row);
        let name = read.text("name")?;
        let used = read.maybe_at("last_used_at")?;
        if used.is_none_or(|used| now.since(used) >= SEEN_EVERY) {
            let sql = "update token set last_used_at = $1 where name = $2";
            let bound = name.clone();
            let written = self.write(sql, |query| query.bind(now.millis()).bind(bound.clone()));
            if let Err(error) = written.await {
                tracing::debug!(%error, "when a token was used cannot be written down");
            }
        }
        Ok(Some(Identity {
            display_name: name.clone(),
            user: name,
            session: false,
        }))
    }

    async fn first_account(
        &self,
        token: String,
        user: String,
        password: String,
    ) -> Result<Result<(), SetupRefused>, AccountError> {
        if !self.is_empty().await? {
            return Ok(Err(SetupRefused::Done));
        }
        let now = self.steps.stored_now();
        if let Err(refused) = self.take_setup_try(&token, now).await? {
            return Ok(Err(refused));
        }
        match self.add_user(&user, &user, password).await {
            Ok(()) => {}
            Err(AccountError::Name) => return Ok(Err(SetupRefused::User)),
            Err(AccountError::Password) => return Ok(Err(SetupRefused::Password)),
            Err(AccountError::Guessable) => return Ok(Err(SetupRefused::Guessable)),
            Err(AccountError::Exists(_)) => return Ok(Err(SetupRefused::Done)),
            Err(other) => return Err(other),
        }
        self.write("delete from setup", |query| query).await?;
        Ok(Ok(()))
    }

    /// Whether the set-up token is right; every wrong one is counted before it is answered.
    async fn take_setup_try(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<(), SetupRefused>, AccountError> {
        let good = "select hash, tries from setup where created_at > $1 and tries < $2";
        let good = sqlx::query(good)
            .bind((now - SETUP_LIFE).millis())
            .bind(SETUP_TRIES);
        let row = good
            .fetch_optional(self.store.readers())
            .await
            .map_err(JournalError::from)?;
        let Some(row) = row else {
            tracing::warn!("no set-up token is valid any more; restart the gateway for a new one");
            return Ok(Err(SetupRefused::Void));
        };
        let read = Reader::new("setup", &row);
        if read.text("hash")? == hash(token) {
            return Ok(Ok(()));
        }
        self.write("update setup set tries = tries + 1", |query| query)
            .await?;
        let left = SETUP_TRIES - read.int("tries")? - 1;
        if left > 0 {
            tracing::warn!(left, "a wrong set-up token was entered");
            return Ok(Err(SetupRefused::Token));
        }
        tracing::warn!(
            "the set-up token is void after {SETUP_TRIES} wrong ones; restart the gateway for a new one"
        );
        Ok(Err(SetupRefused::Void))
    }
}

fn unavailable(error: AccountError) -> Unavailable {
    let mut why = error.to_string();
    if let AccountError::Store(error) = &error {
        why = error.chain();
    }
    Unavailable {
        what: "accounts",
        why,
    }
}

impl zhiban_dashboard::ports::Accounts for Accounts {
    fn sign_in(
        &self,
        user: String,
        password: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Opened>, SignInError>> {
        let opened = self.open_session(user, password, self.by_stored_clock(now));
        let failed = |error| {
            if matches!(error, AccountError::Busy) {
                return SignInError::Busy;
            }
            unavailable(error).into()
        };
        opened.map(move |result| result.map_err(failed)).boxed()
    }

    fn known_device(
        &self,
        user: String,
        proofs: Vec<String>,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<String>, Unavailable>> {
        let found = self.of_device(user, proofs, now.into());
        found.map(|result| result.map_err(unavailable)).boxed()
    }

    fn session(
        &self,
        secret: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Identity>, Unavailable>> {
        let found = self.of_session(secret, self.by_stored_clock(now));
        found.map(|result| result.map_err(unavailable)).boxed()
    }

    fn sign_out(&self, secret: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        let ended = async move {
            let sql = "delete from session where hash = $1";
            self.write(sql, |query| query.bind(hash(&secret))).await?;
            Ok(())
        };
        ended.map(|result| result.map_err(unavailable)).boxed()
    }

    fn token(
        &self,
        secret: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Identity>, Unavailable>> {
        let found = self.of_token(secret, now.into());
        found.map(|result| result.map_err(unavailable)).boxed()
    }

    fn people(&self) -> BoxFuture<'_, Result<Vec<Person>, Unavailable>> {
        let people = async {
            let rows = self.users().await?.into_iter();
            let active = rows.filter(|row| row.disabled_at.is_none());
            let people = active.map(|row| Person {
                user: row.name,
                display_name: row.display_name,
            });
            Ok(people.collect())
        };
        people.map(|result| result.map_err(unavailable)).boxed()
    }

    fn needs_setup(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        self.is_empty()
            .map(|result| result.map_err(unavailable))
            .boxed()
    }

    fn set_up(
        &self,
        token: String,
        user: String,
        password: String,
    ) -> BoxFuture<'_, Result<Result<(), SetupRefused>, Unavailable>> {
        let made = self.first_account(token, user, password);
        made.map(|result| result.map_err(unavailable)).boxed()
    }
}
