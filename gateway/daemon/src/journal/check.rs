//! Whether a file of records is sound: its structure, its indexes, and that rows belong together.
//!
//! It opens the file so that nothing in it can be changed.

use super::JournalError;
use super::store::{KNOWN, MIGRATIONS, version_of};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::collections::BTreeSet;
use std::path::Path;

/// So much is said of a damaged file.
const FINDINGS: usize = 200;

/// What a look through a whole file found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The version of its tables; 0 when there are none yet.
    pub(super) version: i64,
    /// What is wrong, a line each.
    pub(super) wrong: Vec<String>,
    /// Whether only indexes are wrong, which hold nothing that the tables do not.
    pub(super) only_indexes: bool,
}

/// Opens a file with its log, and changes nothing in either.
pub(super) fn read_only(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).read_only(true)
}

/// Looks through a file that nobody works on, such as a snapshot.
pub(super) async fn at_rest(file: &Path) -> Result<Findings, JournalError> {
    look(file, read_only(file).immutable(true)).await
}

/// Looks through a file, opened as these options say.
pub(super) async fn look(
    file: &Path,
    options: SqliteConnectOptions,
) -> Result<Findings, JournalError> {
    let looked = async {
        let mut connection = options.connect().await?;
        let findings = findings(&mut connection).await;
        connection.close().await?;
        findings
    };
    looked.await.map_err(|error: sqlx::Error| {
        let error = JournalError::from(error);
        if matches!(error, JournalError::Corrupt(_)) {
            return damaged(file, &error.chain());
        }
        error
    })
}

/// The version of the tables of a file; `None` where it cannot be read.
pub(super) async fn version(options: SqliteConnectOptions) -> Option<i64> {
    let mut connection = options.connect().await.ok()?;
    let version = version_of(&mut connection).await.ok();
    connection.close().await.ok()?;
    version
}

/// The error that a file is damaged.
pub(super) fn damaged(file: &Path, what: &str) -> JournalError {
    JournalError::Damaged {
        file: file.to_owned(),
        what: what.to_owned(),
    }
}

impl Findings {
    /// An error for a file that is damaged or newer.
    pub(super) fn sound(&self, file: &Path) -> Result<(), JournalError> {
        if let Some(first) = self.wrong.first() {
            return Err(damaged(file, first));
        }
        if self.version > KNOWN {
            return Err(JournalError::Newer {
                file: file.to_owned(),
                found: self.version,
                known: KNOWN,
            });
        }
        Ok(())
    }
}

async fn findings(connection: &mut SqliteConnection) -> Result<Findings, sqlx::Error> {
    let mut wrong = Vec::new();
    let check = format!("pragma integrity_check({FINDINGS})");
    let rows = sqlx::query(sqlx::AssertSqlSafe(check));
    for row in rows.fetch_all(&mut *connection).await? {
        let said: String = row.try_get(0)?;
        let lines = said.lines().filter(|line| !line.starts_with("***"));
        wrong.extend(lines.filter(|line| *line != "ok").map(str::to_owned));
    }
    let only_indexes = !wrong.is_empty() && of_indexes(connection, &wrong).await?;
    let orphans = sqlx::query("pragma foreign_key_check");
    if let Some(row) = orphans.fetch_optional(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        wrong.push(format!("a row of {table} belongs to no record"));
    }
    let version = version_of(connection).await?;
    let lost = lost_columns(connection, version).await?;
    let only_indexes = only_indexes && lost.is_empty();
    wrong.extend(lost);
    Ok(Findings {
        version,
        wrong,
        only_indexes,
    })
}

/// The definitions of tables are text: with one bit turned they are still definitions, and no statement fits them.
async fn lost_columns(
    connection: &mut SqliteConnection,
    version: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let known = match usize::try_from(version) {
        Ok(known) if known <= MIGRATIONS.len() => known,
        // Newer tables than these are refused for that.
        Ok(_) | Err(_) => return Ok(Vec::new()),
    };
    let mut model = SqliteConnectOptions::new()
        .in_memory(true)
        .connect()
        .await?;
    for sql in MIGRATIONS.iter().take(known) {
        sqlx::raw_sql(*sql).execute(&mut model).await?;
    }
    let wanted = columns(&mut model).await?;
    model.close().await?;
    let found = columns(connection).await?;
    let lost = wanted.into_iter().filter(|column| !found.contains(column));
    Ok(lost
        .map(|column| format!("the column {column} is not there"))
        .collect())
}

/// All columns with their tables, in words that name them.
async fn columns(connection: &mut SqliteConnection) -> Result<BTreeSet<String>, sqlx::Error> {
    let all = "select m.name || '.' || c.name from sqlite_master as m, pragma_table_xinfo(m.name) as c \
               where m.type = 'table'";
    let all: Vec<String> = sqlx::query_scalar(all).fetch_all(connection).await?;
    Ok(all.into_iter().collect())
}

/// Whether everything that is wrong is said of indexes or of pages that nobody uses.
async fn of_indexes(
    connection: &mut SqliteConnection,
    wrong: &[String],
) -> Result<bool, sqlx::Error> {
    let indexes = "select name, rootpage from sqlite_master where type = 'index'";
    let mut known: Vec<(String, String)> = Vec::new();
    for row in sqlx::query(indexes).fetch_all(connection).await? {
        let (name, root): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        known.push((format!("index {name}"), format!("Tree {root} ")));
    }
    Ok(wrong.iter().all(|line| {
        line.starts_with("Freelist")
            || line.ends_with("never used")
            || known
                .iter()
                .any(|(index, tree)| line.ends_with(index.as_str()) || line.starts_with(tree))
    }))
}
