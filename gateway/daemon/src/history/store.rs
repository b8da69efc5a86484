//! `telemetry.db`: the only place that knows its tables.
//!
//! A file that cannot be read is set aside, never deleted; a file of a newer version is not touched.

use super::HistoryError;
use super::chunk::{Chunk, Numbers};
use super::dictionary::{Dictionary, Entry, kind_code, kind_of};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, SqlitePool};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Every version of the tables, oldest first.
const VERSIONS: &[&str] = &[include_str!("../../migrations/telemetry/0001.sql")];

/// Rows in one insert; far below what SQLite takes.
const ROWS_AT_ONCE: usize = 200;

/// How many refused lines are kept.
const QUARANTINE: i64 = 1000;

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournalRow {
    /// Its number; grows by one and is never given twice.
    pub(super) seq: i64,
    /// When it was written, in milliseconds since 1970.
    pub(super) t: i64,
    /// How many samples it holds.
    pub(super) count: i64,
    /// What it holds.
    pub(super) body: Vec<u8>,
}

/// What is asked of the store.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file.
    pub(super) path: PathBuf,
    /// Whether each flush waits for the disk.
    pub(super) synchronous: SqliteSynchronous,
}

/// One open file.
#[derive(Debug)]
pub(super) struct Db {
    write: SqlitePool,
    read: SqlitePool,
}

/// The file in use; another takes its place when it turns out damaged.
#[derive(Debug, Clone)]
pub(super) struct Store {
    place: Place,
    current: Arc<RwLock<Arc<Db>>>,
    /// Whether the next file finds the disk full as soon as it has its tables.
    #[cfg(test)]
    pub(super) full: Arc<std::sync::atomic::AtomicBool>,
}

impl Store {
    /// Opens the file. The text says what was set aside, when the file was damaged.
    pub(super) async fn open(place: Place) -> Result<(Self, Option<String>), HistoryError> {
        let (db, aside) = match Db::open(&place).await {
            Ok(db) => (db, None),
            Err(OpenError::Sql(error)) if is_damaged(&error) => {
                let aside = set_aside(&place.path)?;
                let db = Db::open(&place).await;
                (db.map_err(|error| error.at(&place.path))?, Some(aside))
            }
            Err(error) => return Err(error.at(&place.path)),
        };
        let current = Arc::new(RwLock::new(Arc::new(db)));
        let store = Self {
            place,
            current,
            #[cfg(test)]
            full: Arc::default(),
        };
        Ok((store, aside))
    }

    /// The file in use.
    pub(super) fn db(&self) -> Arc<Db> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Sets a damaged file aside and starts a new one. Says what the old one is called now;
    /// `None` when another one is in its place already.
    pub(super) async fn renew(&self, damaged: &Arc<Db>) -> Result<Option<String>, HistoryError> {
        if !Arc::ptr_eq(damaged, &self.db()) {
            return Ok(None);
        }
        damaged.close().await;
        let aside = set_aside(&self.place.path)?;
        let db = Db::open(&self.place).await;
        let db = db.map_err(|error| error.at(&self.place.path))?;
        #[cfg(test)]
        if self.full.load(std::sync::atomic::Ordering::Relaxed) {
            db.limit_pages(1).await;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(db);
        Ok(Some(aside))
    }
}

/// Whether an error means that the file itself is damaged, or was and could not be replaced.
pub(super) fn is_damaged(error: &sqlx::Error) -> bool {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    if matches!(error, sqlx::Error::PoolClosed) {
        return true;
    }
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| [CORRUPT, NOT_A_DATABASE].contains(&(code & 0xff)))
}

/// Renames the file and what belongs to it.
fn set_aside(path: &Path) -> Result<String, HistoryError> {
    let time = chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ");
    let with = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let aside = with(&format!(".corrupt-{time}"));
    // A left-over write-ahead log would be taken for the new file's. Any of the three may be
    // missing: the last try may have come half way.
    for end in ["", "-wal", "-shm"] {
        let to = PathBuf::from(format!("{}{end}", aside.display()));
        match std::fs::rename(with(end), to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                let path = with(end);
                return Err(HistoryError::SetAside { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(aside.display().to_string())
}

/// Why a file could not be opened.
enum OpenError {
    Sql(sqlx::Error),
    Newer(i64),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl OpenError {
    fn at(self, path: &Path) -> HistoryError {
        let path = path.to_owned();
        match self {
            Self::Sql(source) => HistoryError::Open { path, source },
            Self::Newer(version) => HistoryError::Newer {
                path,
                version,
                known: VERSIONS.len(),
            },
        }
    }
}

/// Whether an error may mean that the disk has no room.
fn is_for_want_of_room(error: &sqlx::Error) -> bool {
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| [IO, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}

impl Db {
    async fn open(place: &Place) -> Result<Self, OpenError> {
        match Self::open_by(place, None).await {
            // The index of the log finds no room; in the memory of this process it needs none.
            Err(OpenError::Sql(error)) if is_for_want_of_room(&error) && place.path.exists() => {
                Self::open_by(place, Some("unix-excl")).await
            }
            done => done,
        }
    }

    async fn open_by(place: &Place, vfs: Option<&'static str>) -> Result<Self, OpenError> {
        let mut options = SqliteConnectOptions::new()
            .filename(&place.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(place.synchronous)
            .busy_timeout(Duration::from_secs(5));
        if let Some(vfs) = vfs {
            options = options.vfs(vfs);
        }
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(Duration::from_secs(10))
                // The disk may end a transaction without the library knowing of it: such a
                // connection could begin no other one.
                .before_acquire(|connection, _| {
                    Box::pin(async move { Ok(!connection.is_in_transaction()) })
                })
        };
        let write = pool(1).connect_with(options.clone()).await?;
        migrate(&write).await?;
        let read = pool(2)
            .connect_with(options.pragma("query_only", "on"))
            .await?;
        let db = Self { write, read };
        db.probe().await?;
        Ok(db)
    }

    /// Touches every table, so that a file damaged at its roots is found at the start.
    async fn probe(&self) -> Result<(), sqlx::Error> {
        let tables = [
            "select count(*) from point",
            "select count(*) from cursor",
            "select count(*) from segment",
            "select count(*) from (select 1 from quarantine limit 1)",
            "select count(*) from (select body from journal order by seq desc limit 1)",
            "select count(*) from (select body from chunk order by t0 desc limit 1)",
        ];
        for query in tables {
            sqlx::query(query).fetch_one(&self.read).await?;
        }
        Ok(())
    }

    /// Closes every connection; what else still uses it gets errors.
    pub(super) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Every point on disk.
    pub(super) async fn points(&self) -> Result<BTreeMap<u32, Entry>, sqlx::Error> {
        let query = "select id, key, kind, class, location from point";
        let rows = sqlx::query(query).fetch_all(&self.read).await?;
        let entry = |row: &sqlx::sqlite::SqliteRow| -> Result<(u32, Entry), sqlx::Error> {
            let entry = Entry {
                key: row.try_get::<&str, _>(1)?.into(),
                kind: kind_of(row.try_get(2)?),
                class: row.try_get::<&str, _>(3)?.into(),
                location: row.try_get::<Option<&str>, _>(4)?.map(Arc::from),
            };
            Ok((row.try_get(0)?, entry))
        };
        rows.iter().map(entry).collect()
    }

    /// Writes points of the dictionary.
    pub(super) async fn save_points(
        &self,
        dictionary: &Dictionary,
        numbers: &[u32],
    ) -> Result<(), sqlx::Error> {
        let entries = numbers
            .iter()
            .filter_map(|number| Some((*number, dictionary.entry(*number)?)));
        let entries: Vec<(u32, &Entry)> = entries.collect();
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        for some in entries.chunks(ROWS_AT_ONCE) {
            let mut query: QueryBuilder<Sqlite> =
                QueryBuilder::new("insert into point (id, key, kind, class, location) ");
            query.push_values(some, |mut row, (number, entry)| {
                row.push_bind(*number)
                    .push_bind(&*entry.key)
                    .push_bind(kind_code(entry.kind))
                    .push_bind(&*entry.class)
                    .push_bind(entry.location.as_deref());
            });
            query.push(
                " on conflict (id) do update set kind = excluded.kind, class = excluded.class, \
                 location = excluded.location",
            );
            query.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// The highest number ever given to a row of the journal.
    pub(super) async fn last_seq(&self) -> Result<i64, sqlx::Error> {
        let query = "select max(ifnull((select max(seq) from journal), 0), \
                     ifnull((select max(seq) from cursor), 0))";
        sqlx::query_scalar(query).fetch_one(&self.write).await
    }

    /// Writes rows; they are on disk when this returns.
    pub(super) async fn append(&self, rows: &[JournalRow]) -> Result<(), sqlx::Error> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("insert into journal (seq, t, n, body) ");
        query.push_values(rows, |mut values, row| {
            values
                .push_bind(row.seq)
                .push_bind(row.t)
                .push_bind(row.count)
                .push_bind(row.body.as_slice());
        });
        query.build().execute(&self.write).await.map(drop)
    }

    /// The rows behind a number, at least one when there is one, and then as many as `bytes` hold.
    pub(super) async fn rows_after(
        &self,
        seq: i64,
        bytes: usize,
    ) -> Result<Vec<JournalRow>, sqlx::Error> {
        let query = "select seq, t, n, body from journal where seq > ?1 order by seq limit 1000";
        let mut found = sqlx::query(query).bind(seq).fetch(&self.read);
        let mut rows: Vec<JournalRow> = Vec::new();
        let mut room = bytes;
        while let Some(row) = found.try_next().await? {
            let body: Vec<u8> = row.try_get(3)?;
            if body.len() > room && !rows.is_empty() {
                break;
            }
            room = room.saturating_sub(body.len());
            rows.push(JournalRow {
                seq: row.try_get(0)?,
                t: row.try_get(1)?,
                count: row.try_get(2)?,
                body,
            });
        }
        Ok(rows)
    }

    /// Makes sure that exactly these sinks have a cursor. A new one begins at the oldest row.
    pub(super) async fn set_sinks(&self, sinks: &[&str]) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        let query = "select sink from cursor";
        let known: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(&mut *transaction)
            .await?;
        for sink in known.iter().filter(|sink| !sinks.contains(&sink.as_str())) {
            let query = "delete from cursor where sink = ?1";
            sqlx::query(query)
                .bind(sink)
                .execute(&mut *transaction)
                .await?;
        }
        for sink in sinks {
            let query = "insert into cursor (sink, seq) values (?1, ifnull(\
                         (select min(seq) - 1 from journal), \
                         ifnull((select max(seq) from cursor), 0))) on conflict (sink) do nothing";
            sqlx::query(query)
                .bind(sink)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// How far a sink has come.
    pub(super) async fn cursor(&self, sink: &str) -> Result<i64, sqlx::Error> {
        let query = "select seq from cursor where sink = ?1";
        sqlx::query_scalar(query)
            .bind(sink)
            .fetch_one(&self.read)
            .await
    }

    /// Moves a sink on.
    pub(super) async fn set_cursor(&self, sink: &str, seq: i64) -> Result<(), sqlx::Error> {
        let query = "update cursor set seq = ?2 where sink = ?1";
        let query = sqlx::query(query).bind(sink).bind(seq);
        query.execute(&self.write).await.map(drop)
    }

    /// Moves a sink over rows written before `t`, and over what lies before such a row. Returns how
    /// many samples it thereby never gets.
    pub(super) async fn give_up_before(
        &self,
        sink: &str,
        t: i64,
        now: i64,
    ) -> Result<i64, sqlx::Error> {
        // The rows have no index on their time. The oldest says whether any is that old, unless it
        // was written by a clock that was ahead.
        let (cursor, oldest) = self.behind(sink).await?;
        if oldest.is_none_or(|oldest| (t..=now).contains(&oldest)) {
            return Ok(0);
        }
        let query = "select max(seq), ifnull(sum(n), 0) from journal where seq > ?1 and seq <= \
                     (select max(seq) from journal where seq > ?1 and t < ?2)";
        let query = sqlx::query(query).bind(cursor).bind(t);
        let row = query.fetch_one(&self.read).await?;
        if let Some(seq) = row.try_get(0)? {
            self.set_cursor(sink, seq).await?;
        }
        row.try_get(1)
    }

    /// Deletes rows that every sink has passed, a limited number at once. Returns how many.
    pub(super) async fn trim(&self) -> Result<u64, sqlx::Error> {
        let query = "delete from journal where seq <= (select min(seq) from cursor) \
                     and seq < (select min(seq) from journal) + 1000";
        let done = sqlx::query(query).execute(&self.write).await?;
        Ok(done.rows_affected())
    }

    /// How far a sink has come, and when the oldest row that it has not got was written.
    pub(super) async fn behind(&self, sink: &str) -> Result<(i64, Option<i64>), sqlx::Error> {
        let cursor = self.cursor(sink).await?;
        let query = "select t from journal where seq > ?1 order by seq limit 1";
        let query = sqlx::query_scalar(query).bind(cursor);
        Ok((cursor, query.fetch_optional(&self.read).await?))
    }

    /// Writes chunks of a segment that does not count yet.
    pub(super) async fn put_chunks(&self, t0: i64, chunks: &[Chunk]) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        for some in chunks.chunks(ROWS_AT_ONCE) {
            let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
                "insert or replace into chunk \
                 (t0, point, n, first, last, vmin, vmax, vsum, vlast, body) ",
            );
            query.push_values(some, |mut row, chunk| {
                row.push_bind(t0)
                    .push_bind(chunk.point)
                    .push_bind(chunk.count)
                    .push_bind(chunk.first)
                    .push_bind(chunk.last)
                    .push_bind(chunk.numbers.map(|numbers| numbers.min))
                    .push_bind(chunk.numbers.map(|numbers| numbers.max))
                    .push_bind(chunk.numbers.map(|numbers| numbers.sum))
                    .push_bind(chunk.numbers.map(|numbers| numbers.last))
                    .push_bind(chunk.body.as_slice());
            });
            query.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// From now on the segment counts, and the journal up to `seq` is in it.
    pub(super) async fn put_segment(
        &self,
        t0: i64,
        first: i64,
        last: i64,
        sink: &str,
        seq: i64,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        let query = "insert into segment (t0, first, last) values (?1, ?2, ?3)";
        let query = sqlx::query(query).bind(t0).bind(first).bind(last);
        query.execute(&mut *transaction).await?;
        let query = "update cursor set seq = ?2 where sink = ?1";
        let query = sqlx::query(query).bind(sink).bind(seq);
        query.execute(&mut *transaction).await?;
        transaction.commit().await
    }

    /// The newest segment, 0 when there is none.
    pub(super) async fn newest_segment(&self) -> Result<i64, sqlx::Error> {
        let query = "select ifnull(max(t0), 0) from segment";
        sqlx::query_scalar(query).fetch_one(&self.write).await
    }

    /// Deletes chunks that belong to no segment: a kill left them while theirs was being made.
    pub(super) async fn drop_orphans(&self) -> Result<(), sqlx::Error> {
        let query = "delete from chunk where t0 > (select ifnull(max(t0), 0) from segment)";
        sqlx::query(query).execute(&self.write).await.map(drop)
    }

    /// Deletes the oldest segment when it was written before `t`. Returns whether it did.
    pub(super) async fn expire(&self, t: i64) -> Result<bool, sqlx::Error> {
        let query = "select min(t0) from segment where t0 < ?1";
        let oldest: Option<i64> = sqlx::query_scalar(query)
            .bind(t)
            .fetch_one(&self.write)
            .await?;
        let Some(t0) = oldest else {
            return Ok(false);
        };
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        for query in [
            "delete from chunk where t0 = ?1",
            "delete from segment where t0 = ?1",
        ] {
            sqlx::query(query)
                .bind(t0)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The chunks of a point that may hold something of a span of time, oldest segment first; at
    /// most `limit` of them. Without bodies the chunks' bodies are empty.
    pub(super) async fn chunks(
        &self,
        point: u32,
        span: std::ops::Range<i64>,
        bodies: Bodies,
        limit: i64,
    ) -> Result<Vec<Chunk>, sqlx::Error> {
        let query = match bodies {
            Bodies::Read => CHUNKS_WITH_BODIES,
            Bodies::Leave => CHUNKS,
        };
        let query = sqlx::query(query)
            .bind(span.start)
            .bind(span.end)
            .bind(point)
            .bind(limit);
        let rows = query.fetch_all(&self.read).await?;
        let chunk = |row: &sqlx::sqlite::SqliteRow| -> Result<Chunk, sqlx::Error> {
            let min: Option<f64> = row.try_get(3)?;
            let numbers = min.map(|min| -> Result<Numbers, sqlx::Error> {
                Ok(Numbers {
                    min,
                    max: row.try_get(4)?,
                    sum: row.try_get(5)?,
                    last: row.try_get(6)?,
                })
            });
            Ok(Chunk {
                point,
                count: row.try_get(0)?,
                first: row.try_get(1)?,
                last: row.try_get(2)?,
                numbers: numbers.transpose()?,
                body: row.try_get(7)?,
            })
        };
        rows.iter().map(chunk).collect()
    }

    /// Keeps lines that InfluxDB refused; the oldest go when there are too many.
    pub(super) async fn quarantine(
        &self,
        t: i64,
        lines: &[(String, String)],
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await?;
        for (line, reason) in lines {
            let query = "insert into quarantine (t, line, reason) values (?1, ?2, ?3)";
            let query = sqlx::query(query).bind(t).bind(line).bind(reason);
            query.execute(&mut *transaction).await?;
        }
        let query = "delete from quarantine where id <= (select max(id) from quarantine) - ?1";
        sqlx::query(query)
            .bind(QUARANTINE)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

/// Whether the readings themselves are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// Yes.
    Read,
    /// No, only what is known of each chunk.
    Leave,
}

macro_rules! chunks_query {
    ($body:literal) => {
        concat!(
            "select c.n, c.first, c.last, c.vmin, c.vmax, c.vsum, c.vlast, ",
            $body,
            " from segment s cross join chunk c on c.t0 = s.t0 and c.point = ?3",
            " where s.last >= ?1 and s.first < ?2 and c.last >= ?1 and c.first < ?2",
            " order by s.t0 limit ?4"
        )
    };
}

const CHUNKS_WITH_BODIES: &str = chunks_query!("c.body");
const CHUNKS: &str = chunks_query!("x''");

/// Brings the tables to the newest version.
async fn migrate(pool: &SqlitePool) -> Result<(), OpenError> {
    let version: i64 = sqlx::query_scalar("pragma user_version")
        .fetch_one(pool)
        .await?;
    let known = VERSIONS.len();
    let done = usize::try_from(version).map_err(|_| OpenError::Newer(version))?;
    let missing = VERSIONS.get(done..).ok_or(OpenError::Newer(version))?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    for version in missing {
        sqlx::raw_sql(*version).execute(&mut *transaction).await?;
    }
    let stamp = sqlx::AssertSqlSafe(format!("pragma user_version = {known}"));
    sqlx::raw_sql(stamp).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
impl Db {
    /// As when the disk is full, for a file of more pages than this.
    pub(super) async fn limit_pages(&self, most: u32) {
        let query = sqlx::AssertSqlSafe(format!("pragma max_page_count = {most}"));
        sqlx::raw_sql(query).execute(&self.write).await.unwrap();
    }

    /// Everything is in the file, and nothing of it in memory.
    pub(super) async fn checkpoint(&self) {
        let query = "pragma wal_checkpoint(truncate); pragma shrink_memory";
        sqlx::raw_sql(query).execute(&self.write).await.unwrap();
    }

    /// How many refused lines are kept.
    pub(super) async fn quarantined(&self) -> i64 {
        let query = "select count(*) from quarantine";
        sqlx::query_scalar(query)
            .fetch_one(&self.read)
            .await
            .unwrap()
    }
}
