//! The rows of the outbox: what is due, and what became of an attempt.
//!
//! A row is pending, sent or dead; it is never deleted, and every attempt is written down.

use super::told::Told;
use crate::channels::Routes;
use crate::journal::read::Reader;
use crate::journal::{JournalError, Store};
use std::time::Duration;
use zhiban_core::{NotifyReason, Priority, Timestamp};

/// One message to send through one channel.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) id: i64,
    /// How often it was tried.
    pub(super) attempts: u32,
    pub(super) created_at: Timestamp,
    pub(super) told: Told,
}

/// What became of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) id: i64,
    /// Which one it was, from 1.
    pub(super) number: u32,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The other side took it.
    Sent,
    /// It is tried again.
    Again { due_at: Timestamp, error: String },
    /// It is given up.
    Dead { error: String },
}

impl Outcome {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::Again { .. } => "failed",
            Outcome::Dead { .. } => "refused",
        }
    }
}

/// How the outbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    pub(super) pending: i64,
    /// Given up within the last day.
    pub(super) dead: i64,
    /// Pending, and tried at least three times without success.
    pub(super) failing: i64,
    /// Of those given up, how many guard life.
    pub(super) dead_life_safety: i64,
    /// The channels of what is failing or was given up, by name.
    pub(super) channels: Vec<String>,
}

impl Standing {
    /// Whether every receiver takes what it is sent, with so many messages that are in no record.
    pub(super) fn is_well(&self, unrecorded: usize) -> bool {
        self.failing + self.dead == 0 && unrecorded == 0
    }

    /// What the board says of it.
    pub(super) fn in_words(&self, unrecorded: usize) -> String {
        let mut words = format!(
            "{} waiting, {} of them failing, {} given up within a day, {} of those guard life",
            self.pending, self.failing, self.dead, self.dead_life_safety
        );
        if unrecorded > 0 {
            words.push_str(&format!("; {unrecorded} more wait that are in no record"));
        }
        if !self.channels.is_empty() {
            words.push_str(&format!("; channels: {}", self.channels.join(", ")));
        }
        words
    }
}

/// What is due on a channel: life safety first, then by urgency and danger, then the oldest. What seems to wait longer than
/// anything may is due as well: the clock was set back.
pub(super) async fn due(
    store: &Store,
    channel: &str,
    now: Timestamp,
    longest: Duration,
    limit: usize,
) -> Result<Vec<Due>, JournalError> {
    let query = sqlx::query(
        "select o.id as id, o.attempts as attempts, o.created_at as created_at, \
         o.notification as notification, n.reason as reason, n.person as person, \
         n.priority as priority, n.life_safety as life_safety, n.asset as asset, n.rule as rule, \
         n.alarm as alarm, n.work_order as work_order, n.title_zh as title_zh, \
         n.title_en as title_en, n.at as at, n.signal as signal, n.raised_at as raised_at, \
         n.returned_at as returned_at, n.danger as danger, n.place as place, n.note as note, \
         n.respond_by as respond_by, n.due_at as limit_at, n.due_left as limit_left, \
         n.reopened_at as reopened_at \
         from outbox o join notification n on n.id = o.notification \
         where o.channel = $1 and o.status = 'pending' and (o.due_at <= $2 or o.due_at > $3) \
         order by o.life_safety desc, o.urgency, o.id limit $4",
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let longest = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
    let query = query
        .bind(channel.to_owned())
        .bind(now.millis())
        .bind(now.millis().saturating_add(longest))
        .bind(limit);
    let rows = query.fetch_all(store.readers()).await?;
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        let read = Reader::new("outbox", row);
        let (id, attempts) = (read.int("id")?, read.small("attempts"));
        match (read.at("created_at"), Told::read(row)) {
            (Ok(created_at), Ok(told)) => due.push(Due {
                id,
                attempts: attempts.unwrap_or(0),
                created_at,
                told,
            }),
            (Err(error), _) | (_, Err(error)) => {
                give_up_unreadable(store, channel, id, attempts.unwrap_or(0), now, &error).await;
            }
        }
    }
    Ok(due)
}

/// A message that cannot be read can't be told: it is given up in sight of everybody, and keeps none
/// of the others waiting.
async fn give_up_unreadable(
    store: &Store,
    channel: &str,
    id: i64,
    attempts: u32,
    at: Timestamp,
    why: &JournalError,
) {
    let error = format!("the message cannot be read: {}", why.chain());
    tracing::error!(channel, outbox = id, error, "not delivered, given up");
    let attempt = Attempt {
        id,
        number: attempts.saturating_add(1),
        at,
        took: Duration::ZERO,
        outcome: Outcome::Dead { error },
    };
    if let Err(error) = record(store, &attempt).await {
        tracing::warn!(
            error = error.chain(),
            "that cannot be written down; tried again"
        );
    }
}

/// When something later becomes due on a channel.
pub(super) async fn next_due(
    store: &Store,
    channel: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, JournalError> {
    let query = sqlx::query(
        "select min(due_at) as due_at from outbox \
         where channel = $1 and status = 'pending' and due_at > $2",
    );
    let query = query.bind(channel.to_owned()).bind(now.millis());
    let row = query.fetch_one(store.readers()).await?;
    Reader::new("outbox", &row).maybe_at("due_at")
}

/// Writes down what became of an attempt, on a full disk in the room of the reserve.
pub(super) async fn record(store: &Store, attempt: &Attempt) -> Result<(), JournalError> {
    store.in_room(|| try_record(store, attempt)).await
}

async fn try_record(store: &Store, attempt: &Attempt) -> Result<(), JournalError> {
    let (status, due_at, error) = match &attempt.outcome {
        Outcome::Sent => ("sent", attempt.at, None),
        Outcome::Again { due_at, error } => ("pending", *due_at, Some(error.clone())),
        Outcome::Dead { error } => ("dead", attempt.at, Some(error.clone())),
    };
    let mut transaction = store.begin().await?;
    let update = "update outbox set status = $1, attempts = $2, due_at = $3 where id = $4";
    sqlx::query(update)
        .bind(status)
        .bind(i64::from(attempt.number))
        .bind(due_at.millis())
        .bind(attempt.id)
        .execute(&mut *transaction)
        .await?;
    let insert = "insert into delivery (outbox, attempt, at, took_ms, outcome, error) \
                  values ($1, $2, $3, $4, $5, $6)";
    sqlx::query(insert)
        .bind(attempt.id)
        .bind(i64::from(attempt.number))
        .bind(attempt.at.millis())
        .bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
        .bind(attempt.outcome.code())
        .bind(error)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// Gives up what waits longer than the limit on a channel that nobody serves any more.
pub(super) async fn give_up_orphans(
    store: &Store,
    served: &[String],
    before: Timestamp,
) -> Result<u64, JournalError> {
    let mut sql = "update outbox set status = 'dead' \
                   where status = 'pending' and created_at < $1"
        .to_owned();
    for place in 2..served.len() + 2 {
        sql.push_str(&format!(" and channel <> ${place}"));
    }
    let mut query = crate::journal::cell::query(sql).bind(before.millis());
    for channel in served {
        query = query.bind(channel.clone());
    }
    let mut transaction = store.begin().await?;
    let gone = query.execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(gone)
}

/// Gives what waits on a channel that is not configured any more to those that would take it now, to be sent at once.
/// What nobody takes stays: the channel may come back. Returns how many messages have another channel.
pub(super) async fn hand_over(
    store: &Store,
    served: &[String],
    routes: &Routes,
    now: Timestamp,
) -> Result<usize, JournalError> {
    let waiting = "select o.id as id, o.notification as notification, o.channel as channel, \
                   n.reason as reason, n.priority as priority, \
                   n.life_safety as life_safety \
                   from outbox o join notification n on n.id = o.notification \
                   where o.status = 'pending' order by o.id";
    let rows = sqlx::query(waiting).fetch_all(store.readers()).await?;
    let mut transaction = store.begin().await?;
    let mut handed = 0;
    for row in &rows {
        let read = Reader::new("outbox", row);
        if served.contains(&read.text("channel")?) {
            continue;
        }
        let (code, number) = (read.text("reason")?, read.small("priority")?);
        let reason = NotifyReason::ALL.into_iter().find(|one| one.code() == code);
        let mut priorities = Priority::ALL.into_iter();
        let priority = priorities.find(|one| u32::from(one.number()) == number);
        let (Some(reason), Some(priority)) = (reason, priority) else {
            continue;
        };
        let life_safety = read.flag("life_safety")?;
        let mut moved = false;
        let takers = routes.takers(reason, priority, life_safety);
        let taken = !takers.is_empty();
        for channel in takers {
            // Where it has the message already, it stays as it is there.
            let has = "not exists (select 1 from outbox other \
                       where other.notification = $1 and other.channel = $2)";
            let sql = match moved {
                false => {
                    format!("update outbox set channel = $2, due_at = $3 where id = $4 and {has}")
                }
                true => format!(
                    "insert into outbox \
                     (notification, channel, life_safety, status, attempts, created_at, due_at) \
                     select notification, $2, life_safety, 'pending', 0, created_at, $3 \
                     from outbox where id = $4 and {has}"
                ),
            };
            let give = crate::journal::cell::query(sql)
                .bind(read.text("notification")?)
                .bind(channel)
                .bind(now.millis())
                .bind(read.int("id")?);
            moved |= give.execute(&mut *transaction).await?.rows_affected() > 0;
        }
        handed += usize::from(moved);
        if taken && !moved {
            // All of them have it: it is given up here, and nobody misses it.
            let gone = "update outbox set status = 'dead', due_at = 0 where id = $1";
            let gone = sqlx::query(gone).bind(read.int("id")?);
            gone.execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(handed)
}

/// How the outbox stands.
pub(super) async fn standing(store: &Store, day_ago: Timestamp) -> Result<Standing, JournalError> {
    let query = sqlx::query(
        "select count(*) as pending, coalesce(sum(case when attempts > 2 then 1 else 0 end), 0) \
         as failing, (select count(*) from outbox where status = 'dead' and due_at > $1) as dead, \
         (select count(*) from outbox where status = 'dead' and due_at > $1 and life_safety = 1) \
         as dead_life_safety \
         from outbox where status = 'pending'",
    );
    let row = query
        .bind(day_ago.millis())
        .fetch_one(store.readers())
        .await?;
    let read = Reader::new("outbox", &row);
    let channels = "select distinct channel from outbox where (status = 'dead' and due_at > $1) \
                    or (status = 'pending' and attempts > 2) order by channel";
    let channels = sqlx::query(channels).bind(day_ago.millis());
    let channels = channels.fetch_all(store.readers()).await?;
    let names = channels
        .iter()
        .map(|row| Reader::new("outbox", row).text("channel"));
    Ok(Standing {
        channels: names.collect::<Result<_, _>>()?,
        pending: read.int("pending")?,
        failing: read.int("failing")?,
        dead_life_safety: read.int("dead_life_safety")?,
        dead: read.int("dead")?,
    })
}
