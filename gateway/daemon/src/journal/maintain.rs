//! Forgets what is only kept for a time: received messages, stored answers, ended sessions.
//!
//! It works in small pieces, so that the engine's commits never wait long, and touches no record.

use super::restore::{INBOX_AGE, INBOX_ROWS};
use super::{Journal, JournalError, snapshot};
use crate::accounts::SESSION_LIFE;
use crate::clock::Steps;
use sqlx::Row;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration as StdDuration;
use tokio_util::sync::CancellationToken;
use zhiban_core::{Duration, Timestamp};

/// How often.
const EVERY: StdDuration = StdDuration::from_secs(600);
/// How many rows at once.
const PIECE: i64 = 2_000;
/// How long stored answers are kept.
const ANSWER_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Journal {
    /// Forgets old rows now and then, until stopped.
    pub async fn maintain(&self, steps: Arc<Steps>, stop: CancellationToken) {
        let mut pulse = tokio::time::interval(EVERY);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pulse.tick() => {}
            }
            if let Err(error) = self.prune(super::now(), steps.stored_now()).await {
                tracing::warn!(
                    error = error.chain(),
                    "old rows could not be removed; tried again later"
                );
            }
        }
    }

    /// Forgets what is older than it is kept; returns how many rows went. Sessions move with the clock
    /// when it is set, so they are compared with `stored_now`, the time that they go by.
    ///
    /// # Errors
    /// The store cannot be written; what went before stays gone.
    pub async fn prune(&self, now: Timestamp, stored_now: Timestamp) -> Result<u64, JournalError> {
        let newest = sqlx::query("select coalesce(max(id), 0) as id from inbox");
        let newest: i64 = newest
            .fetch_one(self.store.readers())
            .await?
            .try_get("id")?;
        let mut gone = self
            .delete_pieces(
                "delete from inbox where (at < $1 or id <= $2) \
                 and id in (select id from inbox order by id limit $3)",
                &[(now - INBOX_AGE).millis(), newest - INBOX_ROWS, PIECE],
            )
            .await?;
        gone += self
            .delete_pieces(
                "delete from answer where key in (select key from answer where at < $1 limit $2)",
                &[(now - ANSWER_AGE).millis(), PIECE],
            )
            .await?;
        gone += self
            .delete_pieces(
                "delete from session where hash in \
                 (select hash from session where created_at < $1 limit $2)",
                &[(stored_now - SESSION_LIFE).millis(), PIECE],
            )
            .await?;
        Ok(gone)
    }

    /// Whether it is time for a snapshot of the records.
    pub(crate) fn snapshot_is_due(&self) -> bool {
        snapshot::is_due(self.store.file())
    }

    /// Takes a snapshot of the records, looks through it, and lets the oldest go.
    ///
    /// # Errors
    /// There is no room, or the records are damaged; nothing is changed then.
    pub(crate) async fn take_snapshot(&self) -> Result<PathBuf, JournalError> {
        snapshot::take(self.store.file()).await
    }

    async fn delete_pieces(&self, sql: &'static str, numbers: &[i64]) -> Result<u64, JournalError> {
        let mut gone = 0;
        loop {
            let mut transaction = self.store.begin().await?;
            let mut query = sqlx::query(sql);
            for number in numbers {
                query = query.bind(*number);
            }
            let piece = query.execute(&mut *transaction).await?.rows_affected();
            transaction.commit().await?;
            gone += piece;
            if piece < PIECE.unsigned_abs() {
                return Ok(gone);
            }
        }
    }
}
