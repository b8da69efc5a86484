//! Opens `core.db`: checks it, brings its tables up to date, and holds the connections.
//!
//! One connection writes; readers have their own. A file that is damaged or newer is refused
//! before anything in it is changed.

use super::JournalError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Row, Transaction};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The tables, one file a version; the first is version 1.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/core/0001_records.sql"),
    include_str!("../../migrations/core/0002_work_orders.sql"),
    include_str!("../../migrations/core/0003_now_and_where.sql"),
];
/// The newest version that this program knows.
const KNOWN: i64 = MIGRATIONS.len() as i64;
/// How long a writer waits for a writer in another process.
const BUSY: Duration = Duration::from_secs(5);
/// How many questions are answered at once.
const READERS: u32 = 4;

/// An open `core.db`. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    file: Arc<PathBuf>,
    writer: AnyPool,
    readers: AnyPool,
    /// Held locked: two gateways on one file would each raise their own orders.
    _lock: Arc<Option<File>>,
}

impl Store {
    /// Opens the file for a gateway, making it and its folder when they are not there.
    ///
    /// # Errors
    /// The folder cannot be written, the file is damaged, a newer program wrote it, or another
    /// gateway works on it.
    pub async fn open(file: &Path) -> Result<Self, JournalError> {
        prepare_folder(file)?;
        // Before anything in the file is changed: whoever works on it may be older.
        let lock = lock(file)?;
        let mut store = Self::bring_up_to_date(file).await?;
        store._lock = Arc::new(lock);
        Ok(store)
    }

    /// Opens the file beside a gateway that may work on it, for accounts from the shell.
    ///
    /// # Errors
    /// As [`Self::open`]; and the gateway that works on it is older than this program.
    pub async fn open_beside(file: &Path) -> Result<Self, JournalError> {
        prepare_folder(file)?;
        match lock(file) {
            // Held only as long as the tables change: a person at the prompt for a password must
            // keep no gateway from starting.
            Ok(_held) => Self::bring_up_to_date(file).await,
            Err(JournalError::InUse(_)) => {
                let found = refuse_unusable(file).await?;
                if found < KNOWN {
                    return Err(JournalError::Older(file.to_owned()));
                }
                Self::connect(file).await
            }
            Err(error) => Err(error),
        }
    }

    async fn bring_up_to_date(file: &Path) -> Result<Self, JournalError> {
        refuse_unusable(file).await?;
        use_write_ahead_log(file).await?;
        let store = Self::connect(file).await?;
        store.migrate().await?;
        Ok(store)
    }

    async fn connect(file: &Path) -> Result<Self, JournalError> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        sqlx::any::install_default_drivers();
        Ok(Self {
            writer: pool(&file, "rw", 1).await?,
            readers: pool(&file, "ro", READERS).await?,
            file: Arc::new(file),
            _lock: Arc::new(None),
        })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where questions are asked.
    pub(crate) fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// The one writer, inside a transaction; waits for whoever writes now.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, sqlx::Any>, JournalError> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// The one writer itself, for those that must be able to close it.
    pub(crate) async fn writer(
        &self,
    ) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, JournalError> {
        Ok(self.writer.acquire().await?)
    }

    /// Ends all connections; what was committed is on disk with or without this.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self) -> Result<(), JournalError> {
        let mut transaction = self.begin().await?;
        let create = "create table if not exists schema_version (version integer primary key)";
        sqlx::query(create).execute(&mut *transaction).await?;
        let newest = "select max(version) as version from schema_version";
        let row = sqlx::query(newest).fetch_one(&mut *transaction).await?;
        let found = row.try_get::<Option<i64>, _>("version")?.unwrap_or(0);
        for (sql, version) in MIGRATIONS.iter().zip(1_i64..) {
            if version > found {
                sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
                let mark = sqlx::query("insert into schema_version (version) values ($1)");
                mark.bind(version).execute(&mut *transaction).await?;
            }
        }
        Ok(transaction.commit().await?)
    }
}

fn prepare_folder(file: &Path) -> Result<(), JournalError> {
    let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let unwritable = |error| JournalError::Unwritable {
        folder: folder.to_owned(),
        error,
    };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    // SQLite needs the folder itself, for its log beside the file.
    let probe = folder.join(".zhiban-write-test");
    File::create(&probe).map_err(unwritable)?;
    std::fs::remove_file(&probe).map_err(unwritable)?;
    if file.exists() {
        File::options().write(true).open(file).map_err(unwritable)?;
    }
    Ok(())
}

/// Reads the whole structure of the file without being able to change it, and the version of its
/// tables: 0 when there are none yet.
async fn refuse_unusable(file: &Path) -> Result<i64, JournalError> {
    if !file.exists() {
        return Ok(0);
    }
    let options = typed(file).read_only(true);
    let check = async {
        let mut connection = options.connect().await?;
        let check = sqlx::query("pragma quick_check(1)");
        let found: String = check.fetch_one(&mut connection).await?.try_get(0)?;
        let version = version_of(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>((found, version))
    };
    let damaged = |what| JournalError::Damaged {
        file: file.to_owned(),
        what,
    };
    let (found, version) = check.await.map_err(|error| {
        let error = JournalError::from(error);
        if matches!(error, JournalError::Corrupt(_)) {
            return damaged(error.chain());
        }
        error
    })?;
    if found != "ok" {
        return Err(damaged(found));
    }
    if version > KNOWN {
        let (file, known) = (file.to_owned(), KNOWN);
        let found = version;
        return Err(JournalError::Newer { file, found, known });
    }
    Ok(version)
}

async fn version_of(connection: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    let table = "select count(*) from sqlite_master where name = 'schema_version'";
    let tables: i64 = sqlx::query(table)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if tables == 0 {
        return Ok(0);
    }
    let newest = "select coalesce(max(version), 0) from schema_version";
    sqlx::query(newest).fetch_one(connection).await?.try_get(0)
}

/// The journal mode stays with the file; only the typed driver can set it.
async fn use_write_ahead_log(file: &Path) -> Result<(), JournalError> {
    let create = typed(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    Ok(create.connect().await?.close().await?)
}

fn typed(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY)
}

/// Locks the file `core.db.lock`; the system gives it free when the process ends, however it ends.
fn lock(database: &Path) -> Result<Option<File>, JournalError> {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let unwritable = |error| JournalError::Unwritable {
        folder: database.parent().unwrap_or(database).to_owned(),
        error,
    };
    let file = File::create(name).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse(database.to_owned())),
        // A file system without locks: better unlocked than not started.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "the data folder cannot be locked");
            Ok(None)
        }
    }
}

async fn pool(file: &Path, mode: &str, connections: u32) -> Result<AnyPool, JournalError> {
    let url = format!("sqlite://{}?mode={mode}", percent_encoded(file));
    let options = AnyConnectOptions::from_str(&url)?.disable_statement_logging();
    let settings = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(set_up(connection)));
    Ok(settings.connect_with(options).await?)
}

async fn set_up(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let busy = BUSY.as_millis();
    let settings = format!(
        "pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = {busy}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings))
        .execute(connection)
        .await?;
    Ok(())
}

/// The path as a URL holds it: a folder may be called 值班室, or have a space or a `?` in it.
fn percent_encoded(file: &Path) -> String {
    let mut text = String::new();
    for byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
