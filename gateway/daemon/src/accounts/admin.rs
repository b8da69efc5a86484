//! What administrators do with accounts and tokens; the command line prints what this returns.

use super::secret::{hash, random};
use super::{Accounts, TOKEN_PREFIX, guess};
use crate::journal::JournalError;
use crate::journal::read::Reader;
use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use zhiban_core::Timestamp;

/// Why something about an account was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is not usable.
    #[error("a name is 2 to 32 of a-z, 0-9, dot, dash and underscore")]
    Name,
    /// The password is too short or far too long.
    #[error("a password has at least 12 and at most 1024 characters")]
    Password,
    /// The password is one that people try first.
    #[error(
        "this password is easy to guess: a common one, a row of keys or digits, or with the name of the user or the \
         site in it; take several unrelated words"
    )]
    Guessable,
    /// The name is taken.
    #[error("\"{0}\" is there already; choose another name")]
    Exists(String),
    /// There is no such account or token.
    #[error("there is no \"{0}\"; the list shows what there is")]
    Unknown(String),
    /// Too many people sign in at once.
    #[error("too many passwords are being checked; try again")]
    Busy,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers ({0})")]
    Random(String),
    /// The record store does not work.
    #[error(transparent)]
    Store(#[from] JournalError),
}

/// An account, without its password.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AccountRow {
    /// The user name.
    pub name: String,
    /// The name people read.
    pub display_name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was disabled; `None` when it may sign in.
    pub disabled_at: Option<Timestamp>,
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl Accounts {
    /// Makes an account. The name is 2 to 32 of `a-z0-9._-`, the password 12 to 1024 characters.
    ///
    /// # Errors
    /// Name or password are not usable, the name is taken, or the store does not work.
    pub async fn add_user(
        &self,
        name: &str,
        display_name: &str,
        password: String,
    ) -> Result<(), AccountError> {
        check_name(name)?;
        guess::judge(&password, name, &self.site)?;
        let stored = self.passwords.hash(password).await?;
        let sql = "insert into account (name, display_name, password, created_at) \
                   values ($1, $2, $3, $4) on conflict (name) do nothing";
        let (bound, shown) = (name.to_owned(), display_name.to_owned());
        let at = crate::journal::now().millis();
        let write = self.write(sql, |query| {
            query
                .bind(bound.clone())
                .bind(shown.clone())
                .bind(stored.clone())
                .bind(at)
        });
        if write.await? == 0 {
            return Err(AccountError::Exists(name.to_owned()));
        }
        Ok(())
    }

    /// Gives an account a new password, lets it in again when it was disabled, and ends its sessions.
    ///
    /// # Errors
    /// There is no such account, the password is not usable, or the store does not work.
    pub async fn set_password(&self, name: &str, password: String) -> Result<(), AccountError> {
        guess::judge(&password, name, &self.site)?;
        let stored = self.passwords.hash(password).await?;
        let sql = "update account set password = $1, disabled_at = null where name = $2";
        let bound = name.to_owned();
        let changed = self
            .write(sql, |query| query.bind(stored.clone()).bind(bound.clone()))
            .await?;
        self.end_sessions(name, changed).await
    }

    /// Lets an account in no more, and ends its sessions.
    ///
    /// # Errors
    /// There is no such account, or the store does not work.
    pub async fn disable_user(&self, name: &str) -> Result<(), AccountError> {
        let sql = "update account set disabled_at = $1 where name = $2";
        let (bound, at) = (name.to_owned(), crate::journal::now().millis());
        let changed = self
            .write(sql, |query| query.bind(at).bind(bound.clone()))
            .await?;
        self.end_sessions(name, changed).await
    }

    async fn end_sessions(&self, name: &str, changed: u64) -> Result<(), AccountError> {
        if changed == 0 {
            return Err(AccountError::Unknown(name.to_owned()));
        }
        let sql = "delete from session where account = $1";
        let bound = name.to_owned();
        self.write(sql, |query| query.bind(bound.clone())).await?;
        Ok(())
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn users(&self) -> Result<Vec<AccountRow>, AccountError> {
        let all = "select name, display_name, created_at, disabled_at from account order by name";
        let rows = sqlx::query(all).fetch_all(self.store.readers()).await;
        let rows = rows.map_err(JournalError::from)?;
        let account = |row| {
            let read = Reader::new("account", row);
            Ok(AccountRow {
                name: read.text("name")?,
                display_name: read.text("display_name")?,
                created_at: read.at("created_at")?,
                disabled_at: read.maybe_at("disabled_at")?,
            })
        };
        rows.iter().map(account).collect()
    }

    /// Makes an API token and returns its secret, which nobody can read again.
    ///
    /// # Errors
    /// The name is not usable or taken, or the store does not work.
    pub async fn add_token(&self, name: &str) -> Result<String, AccountError> {
        check_name(name)?;
        let secret = format!("{TOKEN_PREFIX}{}", random(32)?);
        let sql = "insert into token (name, hash, created_at) values ($1, $2, $3) \
                   on conflict (name) do nothing";
        let (bound, hashed) = (name.to_owned(), hash(&secret));
        let at = crate::journal::now().millis();
        if self
            .write(sql, |query| {
                query.bind(bound.clone()).bind(hashed.clone()).bind(at)
            })
            .await?
            == 0
        {
            return Err(AccountError::Exists(name.to_owned()));
        }
        Ok(secret)
    }

    /// Takes an API token back.
    ///
    /// # Errors
    /// There is no such token, or the store does not work.
    pub async fn revoke_token(&self, name: &str) -> Result<(), AccountError> {
        let bound = name.to_owned();
        let sql = "delete from token where name = $1";
        if self.write(sql, |query| query.bind(bound.clone())).await? == 0 {
            return Err(AccountError::Unknown(name.to_owned()));
        }
        Ok(())
    }

    /// Every API token, by name.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, AccountError> {
        let all = "select name, created_at, last_used_at from token order by name";
        let rows = sqlx::query(all).fetch_all(self.store.readers()).await;
        let rows = rows.map_err(JournalError::from)?;
        let token = |row| {
            let read = Reader::new("token", row);
            Ok(TokenRow {
                name: read.text("name")?,
                created_at: read.at("created_at")?,
                last_used_at: read.maybe_at("last_used_at")?,
            })
        };
        rows.iter().map(token).collect()
    }

    /// Makes a new one-time set-up token while there is no account, for printing once at start;
    /// an older one is void from then on. `None` when an account is there.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn setup_token(&self) -> Result<Option<String>, AccountError> {
        if !self.is_empty().await? {
            return Ok(None);
        }
        let secret = random(16)?;
        let sql = "insert into setup (id, hash, created_at, tries) values (1, $1, $2, 0) \
                   on conflict (id) do update set hash = excluded.hash, \
                   created_at = excluded.created_at, tries = 0";
        let (hashed, at) = (hash(&secret), crate::journal::now().millis());
        self.write(sql, |query| query.bind(hashed.clone()).bind(at))
            .await?;
        Ok(Some(secret))
    }

    /// Whether there is no account at all.
    pub(super) async fn is_empty(&self) -> Result<bool, AccountError> {
        let any = sqlx::query("select 1 as one from account limit 1");
        let found = any.fetch_optional(self.store.readers()).await;
        Ok(found.map_err(JournalError::from)?.is_none())
    }

    /// Runs one writing statement, on a full disk in the room of the reserve; returns how many rows it
    /// changed.
    pub(super) async fn write(
        &self,
        sql: &'static str,
        bind: impl Fn(Query<'static, Any, AnyArguments>) -> Query<'static, Any, AnyArguments>,
    ) -> Result<u64, JournalError> {
        self.store.in_room(|| self.try_write(sql, &bind)).await
    }

    async fn try_write(
        &self,
        sql: &'static str,
        bind: &impl Fn(Query<'static, Any, AnyArguments>) -> Query<'static, Any, AnyArguments>,
    ) -> Result<u64, JournalError> {
        let mut transaction = self.store.begin().await?;
        let done = bind(sqlx::query(sql)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let usable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    if (2..=32).contains(&name.len()) && name.chars().all(usable) {
        Ok(())
    } else {
        Err(AccountError::Name)
    }
}
