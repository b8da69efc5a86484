//! Snapshots of `core.db`: whole copies, each looked through before it counts.
//!
//! One is taken daily, in the first hours of an installation hourly, and before the tables are
//! changed. The oldest go; the newest never does.

use super::JournalError;
use super::check;
use super::files::{named, stamp, sync_folder, with};
use super::store::{MIGRATIONS, VERSION_TABLE};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// So many are kept of those taken by the clock, and so many of those before a change of tables.
const KEPT: (usize, usize) = (7, 3);
/// How often one is taken,
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// and how often while there are few.
const AT_FIRST: Duration = Duration::from_secs(3600);
/// A clock that is set by so little is right.
const AHEAD: Duration = Duration::from_secs(300);
/// Room that must be left besides the copy itself.
const MARGIN: u64 = 8 << 20;

const BEGIN: &str = "core-";
const DAILY_END: &str = ".db";
const UPGRADE_END: &str = ".before-upgrade";

/// The folder of the snapshots of a record store.
pub(super) fn folder(database: &Path) -> PathBuf {
    database.with_file_name("snapshots")
}

/// All snapshots, the newest first.
pub(super) fn all(database: &Path) -> Vec<PathBuf> {
    let folder = folder(database);
    let mut all = named(&folder, BEGIN, DAILY_END);
    all.extend(named(&folder, BEGIN, UPGRADE_END));
    all.sort();
    all.reverse();
    those_of_a_wrong_clock_last(all)
}

/// A clock that was ahead for a while must not make its snapshots the newest for years.
fn those_of_a_wrong_clock_last(newest_first: Vec<PathBuf>) -> Vec<PathBuf> {
    let (ahead, mut sure): (Vec<_>, Vec<_>) =
        newest_first.into_iter().partition(|one| is_ahead(one));
    sure.extend(ahead);
    sure
}

/// Whether a file is of a time that is still to come.
fn is_ahead(file: &Path) -> bool {
    let modified = std::fs::metadata(file).and_then(|found| found.modified());
    modified.is_ok_and(|at| at > SystemTime::now() + AHEAD)
}

/// Whether it is time for the next one.
pub(super) fn is_due(database: &Path) -> bool {
    let taken = those_of_a_wrong_clock_last(named(&folder(database), BEGIN, DAILY_END));
    let Some(newest) = taken.first().filter(|newest| !is_ahead(newest)) else {
        return true;
    };
    let modified = std::fs::metadata(newest).and_then(|found| found.modified());
    // One from a clock that was ahead is no reason to wait until then.
    let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or(AT_FIRST));
    let wait = if taken.len() < KEPT.0 {
        AT_FIRST
    } else {
        DAILY
    };
    age.is_ok_and(|age| age >= wait)
}

/// Takes the daily one.
pub(super) async fn take(database: &Path) -> Result<PathBuf, JournalError> {
    let taken = copy(database, DAILY_END).await?;
    forget_oldest(database, DAILY_END, KEPT.0);
    Ok(taken)
}

/// Takes the one before a change of tables.
pub(super) async fn before_upgrade(database: &Path) -> Result<PathBuf, JournalError> {
    let taken = copy(database, UPGRADE_END).await?;
    forget_oldest(database, UPGRADE_END, KEPT.1);
    Ok(taken)
}

async fn copy(database: &Path, end: &str) -> Result<PathBuf, JournalError> {
    let folder = folder(database);
    let unwritable = JournalError::unwritable(&folder);
    std::fs::create_dir_all(&folder).map_err(unwritable)?;
    for half in named(&folder, BEGIN, ".part") {
        std::fs::remove_file(half).map_err(unwritable)?;
    }
    let size = std::fs::metadata(database).map_or(0, |found| found.len());
    let free = crate::disk::Disk::of(&folder).free();
    if free < size + MARGIN {
        let words = format!(
            "a snapshot needs {} MiB and {} MiB are free",
            (size + MARGIN) >> 20,
            free >> 20
        );
        let error = std::io::Error::new(std::io::ErrorKind::StorageFull, words);
        return Err(unwritable(error));
    }
    let to = folder.join(format!("{BEGIN}{}{end}", stamp()));
    let partial = with(&to, ".part");
    let copied = async {
        whole_copy(database, &partial).await?;
        check::at_rest(&partial).await?.sound(&partial)?;
        File::open(&partial)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&partial, &to))
            .and_then(|()| sync_folder(&to))
            .map_err(unwritable)
    };
    let copied: Result<(), JournalError> = copied.await;
    if copied.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    copied.map(|()| to)
}

/// Copies a database as it is at one moment, while others work on it. The copy's indexes are made
/// anew from the tables.
pub(super) async fn whole_copy(database: &Path, to: &Path) -> Result<(), JournalError> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(Duration::from_secs(5));
    let mut connection = options.connect().await?;
    let into = to.to_string_lossy().into_owned();
    let copied = sqlx::query("vacuum into $1").bind(into);
    let copied = copied.execute(&mut connection).await.map(drop);
    let closed = connection.close().await;
    copied?;
    Ok(closed?)
}

/// Copies the tables of a database whose indexes are damaged into a new one, row by row, without
/// looking at an index.
pub(super) async fn copy_of_tables(
    damaged: &Path,
    version: i64,
    to: &Path,
) -> Result<(), JournalError> {
    let options = SqliteConnectOptions::new()
        .filename(to)
        .create_if_missing(true)
        .foreign_keys(false);
    let mut connection = options.connect().await?;
    let copied = copy_tables(&mut connection, damaged, version).await;
    let closed = connection.close().await;
    copied?;
    Ok(closed?)
}

async fn copy_tables(
    to: &mut SqliteConnection,
    damaged: &Path,
    version: i64,
) -> Result<(), sqlx::Error> {
    let from = damaged.to_string_lossy().into_owned();
    let attach = sqlx::query("attach $1 as old").bind(from);
    attach.execute(&mut *to).await?;
    let known = usize::try_from(version).unwrap_or(0);
    for sql in MIGRATIONS.iter().take(known) {
        sqlx::raw_sql(*sql).execute(&mut *to).await?;
    }
    sqlx::raw_sql(VERSION_TABLE).execute(&mut *to).await?;
    let mut transaction = to.begin().await?;
    let tables = "select name from main.sqlite_master where type = 'table'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut *transaction)
        .await?;
    for table in tables {
        let columns = "select name from pragma_table_xinfo($1, 'main') where hidden = 0";
        let columns: Vec<String> = sqlx::query_scalar(columns)
            .bind(&table)
            .fetch_all(&mut *transaction)
            .await?;
        let columns = columns.join(", ");
        let copy = format!(
            "insert into main.{table} ({columns}) select {columns} from old.{table} not indexed"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(copy))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

fn forget_oldest(database: &Path, end: &str, kept: usize) {
    let newest_first = those_of_a_wrong_clock_last(named(&folder(database), BEGIN, end));
    for old in newest_first.iter().skip(kept) {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(file = %old.display(), %error, "an old snapshot cannot be removed");
        }
    }
}
