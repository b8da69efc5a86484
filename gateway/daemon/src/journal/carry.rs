//! What is taken over from records that older ones are about to replace, and what of them is named.
//!
//! A value that a device said once stays true although the records go back in time: it is taken over, so that a
//! fault that stands is raised again. Nothing here changes the records that are replaced.

use super::{JournalError, check};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::collections::BTreeSet;
use std::path::Path;

/// So many open records are named.
const NAMED: usize = 20;

/// A point's key, its last value as text, and when it had it.
type PointRow = (String, String, i64);

/// What was open in the records that are replaced and is not open in those that replace them, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftBehind {
    alarms: Vec<String>,
    orders: Vec<String>,
}

impl LeftBehind {
    /// What is to be said of it; `None` where nothing was open.
    pub(super) fn told(&self) -> Option<String> {
        let of = |what: &str, all: &[String]| {
            let named = all.get(..NAMED.min(all.len())).unwrap_or_default();
            let more = all.len() - named.len();
            let more = (more > 0).then(|| format!(" and {more} more"));
            let named = named.join("; ");
            (!all.is_empty()).then(|| format!("{what}: {named}{}.", more.unwrap_or_default()))
        };
        let said = [
            of("Alarms that were open and are not in it", &self.alarms),
            of("Work orders that were open and are not in it", &self.orders),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| {
            format!(
                "{} See to them on site; what a device still reports is raised again",
                said.join(" ")
            )
        })
    }
}

/// Takes over what devices said last, and names what was open.
///
/// # Errors
/// One of the two cannot be read, or the new one not written.
pub(super) async fn over(old: &Path, new: &Path) -> Result<LeftBehind, JournalError> {
    let mut old = check::read_only(old).connect().await?;
    let read = async {
        let points = "select key, value, at from point";
        let points = sqlx::query_as(points).fetch_all(&mut old).await?;
        Ok::<(Vec<PointRow>, Open), sqlx::Error>((points, open(&mut old).await?))
    };
    let read = read.await;
    old.close().await?;
    let (points, before) = read?;
    let options = SqliteConnectOptions::new().filename(new);
    let mut new = options.connect().await?;
    let written = async {
        let mut transaction = new.begin().await?;
        for (key, value, at) in points {
            let newer = "insert into point (key, value, at) values ($1, $2, $3) on conflict (key) do update \
                         set value = excluded.value, at = excluded.at where excluded.at > point.at";
            let newer = sqlx::query(newer).bind(key).bind(value).bind(at);
            newer.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        open(&mut new).await
    };
    let after: Result<Open, sqlx::Error> = written.await;
    new.close().await?;
    Ok(before.without(&after?))
}

/// What is open: each by what it is known by, with what it is called.
#[derive(Debug, Default)]
struct Open {
    alarms: Vec<(String, String)>,
    orders: Vec<(String, String)>,
}

impl Open {
    fn without(self, after: &Self) -> LeftBehind {
        let missing = |before: Vec<(String, String)>, after: &[(String, String)]| {
            let known: BTreeSet<&str> = after.iter().map(|(key, _)| key.as_str()).collect();
            let missing = before
                .into_iter()
                .filter(|(key, _)| !known.contains(key.as_str()));
            missing.map(|(_, name)| name).collect()
        };
        LeftBehind {
            alarms: missing(self.alarms, &after.alarms),
            orders: missing(self.orders, &after.orders),
        }
    }
}

async fn open(connection: &mut SqliteConnection) -> Result<Open, sqlx::Error> {
    let alarms = "select asset || ' ' || rule, asset || ' ' || title_en from alarm \
                  where state <> 'normal' order by active desc, priority, id";
    let orders = "select no || ' ' || asset, no || ' ' || asset || ' ' || title_en from work_order \
                  where status not in ('closed', 'rejected', 'cancelled') order by priority, id";
    let mut found = Open::default();
    for (query, into) in [(alarms, &mut found.alarms), (orders, &mut found.orders)] {
        for row in sqlx::query(query).fetch_all(&mut *connection).await? {
            into.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(found)
}
