//! Opens `core.db`: checks it, brings its tables up to date, and holds the connections.
//!
//! One connection writes; readers have their own. A file that is damaged or newer is refused
//! before anything in it is changed. A connection whose statement failed is judged before it is
//! used again: one that still believes to be inside a transaction is replaced.

use super::files::with;
use super::stand_in::StandIn;
use super::{JournalError, check, snapshot};
use crate::disk::{Disk, is_want_of_room};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Row, Transaction};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The tables, one file a version; the first is version 1.
pub(super) const MIGRATIONS: [&str; 5] = [
    include_str!("../../migrations/core/0001_records.sql"),
    include_str!("../../migrations/core/0002_work_orders.sql"),
    include_str!("../../migrations/core/0003_now_and_where.sql"),
    include_str!("../../migrations/core/0004_work_again.sql"),
    include_str!("../../migrations/core/0005_told_limits.sql"),
];
/// Where the version of the tables is written down.
pub(super) const VERSION_TABLE: &str =
    "create table if not exists schema_version (version integer primary key)";
/// The newest version that this program knows.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;
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
    disk: Arc<Disk>,
    /// Device and number of the open file, by which one in its place is known.
    identity: (u64, u64),
    /// The same of its log `core.db-wal`, once that is there.
    log: Arc<Mutex<Option<(u64, u64)>>>,
    /// Why this is only a copy in memory, to which nothing is written.
    pub(super) stand_in: Option<Arc<StandIn>>,
    /// Held locked: two gateways on one file would each raise their own orders.
    lock: Lock,
    /// Whether every write finds the disk full.
    #[cfg(test)]
    pub(crate) full: Arc<std::sync::atomic::AtomicBool>,
}

impl Store {
    /// Opens the file for a gateway, making it and its folder when they are not there.
    ///
    /// # Errors
    /// The folder cannot be written, the file is damaged, a newer program wrote it, or another
    /// gateway works on it.
    #[cfg(test)]
    pub(crate) async fn open(file: &Path) -> Result<Self, JournalError> {
        let lock = Lock::take(file)?;
        Self::open_locked(file, &lock).await
    }

    /// Opens the file for the gateway that has locked it.
    ///
    /// # Errors
    /// The file is damaged, or a newer program wrote it.
    pub(super) async fn open_locked(file: &Path, lock: &Lock) -> Result<Self, JournalError> {
        let disk = Disk::of(folder_of(file));
        if disk.is_full() {
            disk.give_up();
        }
        let mut store = Self::bring_up_to_date(file).await?;
        store.lock = lock.clone();
        Ok(store)
    }

    /// Opens the file beside a gateway that may work on it, for accounts from the shell.
    ///
    /// # Errors
    /// The file is damaged, a newer program wrote it, or the gateway that works on it is older than
    /// this program.
    pub async fn open_beside(file: &Path) -> Result<Self, JournalError> {
        match Lock::take(file) {
            // Held only as long as the tables change: a person at the prompt for a password must
            // keep no gateway from starting.
            Ok(_held) => Self::bring_up_to_date(file).await,
            Err(JournalError::InUse(_)) => {
                let found = refuse_unusable(file, Index::Shared).await?;
                if found < KNOWN {
                    return Err(JournalError::Older(file.to_owned()));
                }
                Self::connect(file, Index::Shared).await
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn bring_up_to_date(file: &Path) -> Result<Self, JournalError> {
        match Self::bring_up_to_date_by(file, Index::Shared).await {
            // Not even the index of the log finds room. Kept in memory it needs none: records can
            // be read, and written as soon as there is room.
            Err(error) if error.is_for_want_of_room() && file.exists() => {
                tracing::error!(
                    error = error.chain(),
                    "the disk is full; the records are opened without a file beside them, and no \
                     other program can open them until the gateway is started again"
                );
                Self::bring_up_to_date_by(file, Index::InMemory).await
            }
            done => done,
        }
    }

    async fn bring_up_to_date_by(file: &Path, index: Index) -> Result<Self, JournalError> {
        let found = refuse_unusable(file, index).await?;
        use_write_ahead_log(file, index).await?;
        if found > 0 && found < KNOWN {
            match snapshot::before_upgrade(file).await {
                Ok(taken) => tracing::info!(snapshot = %taken.display(), "the tables are changed"),
                Err(error) => tracing::error!(
                    error = error.chain(),
                    "the tables are changed without a snapshot of before"
                ),
            }
        }
        let store = Self::connect(file, index).await?;
        if found < KNOWN {
            store
                .migrate()
                .await
                .map_err(|error| error.of_an_upgrade(file, found))?;
        }
        Ok(store)
    }

    async fn connect(file: &Path, index: Index) -> Result<Self, JournalError> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        sqlx::any::install_default_drivers();
        let writer = pool(&file, "rw", index, 1).await?;
        // Takes the file for this process, where that is asked for, before anybody reads.
        let touch = sqlx::query("select count(*) from sqlite_master");
        touch.fetch_one(&writer).await?;
        Ok(Self {
            writer,
            readers: pool(&file, "ro", index, READERS).await?,
            disk: Arc::new(Disk::of(folder_of(&file))),
            identity: identity(&file).unwrap_or_default(),
            file: Arc::new(file),
            log: Arc::default(),
            stand_in: None,
            lock: Lock::default(),
            #[cfg(test)]
            full: Arc::default(),
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

    /// The room on its disk.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Writes; where the disk has no room, once more in that of the reserve, which is given up for it.
    ///
    /// # Errors
    /// That of the last try, by what is known of the disk.
    pub(crate) async fn in_room<T, F>(&self, write: impl Fn() -> F) -> Result<T, JournalError>
    where
        F: Future<Output = Result<T, JournalError>>,
    {
        let known = |error: JournalError| error.on(&self.disk);
        match write().await.map_err(known) {
            Err(error) if error.is_full() && self.disk.give_up() => write().await.map_err(known),
            done => done,
        }
    }

    /// The one writer, inside a transaction; waits for whoever writes now.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, sqlx::Any>, JournalError> {
        self.refuse_to_write()?;
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// The one writer itself, for those that must be able to close it.
    pub(crate) async fn writer(
        &self,
    ) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, JournalError> {
        self.refuse_to_write()?;
        #[cfg(test)]
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(JournalError::Full(sqlx::Error::PoolTimedOut));
        }
        Ok(self.writer.acquire().await?)
    }

    /// The copy in memory that this is, where records cannot be written.
    pub(crate) fn stand_in(&self) -> Option<&StandIn> {
        self.stand_in.as_deref()
    }

    fn refuse_to_write(&self) -> Result<(), JournalError> {
        match &self.stand_in {
            Some(stand_in) => Err(stand_in.refusal()),
            None => self.refuse_if_gone(),
        }
    }

    /// From now on it is a copy of another file, and takes nothing.
    pub(super) fn stand_in_for(&mut self, file: &Path, stand_in: StandIn) {
        self.file = Arc::new(file.to_owned());
        self.disk = Arc::new(Disk::of(folder_of(file)));
        self.stand_in = Some(Arc::new(stand_in));
    }

    /// Whether the file under its name is still the one that is open: what is written to one that
    /// was removed is lost with the end of the process.
    ///
    /// # Errors
    /// It was removed, replaced or cut to nothing.
    pub fn refuse_if_gone(&self) -> Result<(), JournalError> {
        if self.stand_in.is_some() {
            return Ok(());
        }
        self.lock.renew(&self.file)?;
        let gone = |what| JournalError::Gone {
            file: self.file.to_path_buf(),
            what,
        };
        match std::fs::metadata(&*self.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(gone("removed")),
            // A disk that does not answer says so at the next write.
            Err(_) => Ok(()),
            Ok(found) if (found.dev(), found.ino()) != self.identity => Err(gone("replaced")),
            Ok(found) if found.len() == 0 => Err(gone("emptied")),
            Ok(_) => self.refuse_if_log_is_gone(),
        }
    }

    /// What was recorded last is only in the log, until it is copied into the file.
    fn refuse_if_log_is_gone(&self) -> Result<(), JournalError> {
        let log = with(&self.file, "-wal");
        let found = identity(&log);
        let mut known = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            None => *known = found,
            Some(_) if *known == found => {}
            Some(_) => {
                return Err(JournalError::Gone {
                    file: log,
                    what: if found.is_some() {
                        "replaced"
                    } else {
                        "removed"
                    },
                });
            }
        }
        Ok(())
    }

    /// Ends all connections and lets others have the file; what was committed is on disk with or
    /// without this.
    pub async fn close(&self) {
        self.close_connections().await;
        self.lock.release();
    }

    pub(super) async fn close_connections(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Copies the records of a file that was removed while it was open, where the next start finds
    /// them. Where only its log was, that is copied into the file.
    pub(crate) async fn rescue(&self) -> Result<(), JournalError> {
        if identity(&self.file) == Some(self.identity) {
            let mut writer = self.writer.acquire().await?;
            let copied = sqlx::query("pragma wal_checkpoint(full)")
                .fetch_one(&mut *writer)
                .await?;
            // Readers are done within moments; it is tried again until none is in the way.
            return match copied.try_get::<i64, _>(0)? {
                0 => Ok(()),
                _ => Err(JournalError::Busy(sqlx::Error::PoolTimedOut)),
            };
        }
        let mut to = self.file.as_os_str().to_owned();
        to.push(".rescue");
        let to = PathBuf::from(to);
        drop(std::fs::remove_file(&to));
        let mut partial = to.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        drop(std::fs::remove_file(&partial));
        let mut writer = self.writer.acquire().await?;
        let into = partial.to_string_lossy().into_owned();
        let copy = sqlx::query("vacuum into $1").bind(into);
        copy.execute(&mut *writer).await?;
        let unwritable = JournalError::unwritable(folder_of(&self.file));
        let synced = File::open(&partial).and_then(|file| file.sync_all());
        synced.map_err(unwritable)?;
        std::fs::rename(&partial, &to).map_err(unwritable)
    }

    async fn migrate(&self) -> Result<(), JournalError> {
        let mut transaction = self.begin().await?;
        sqlx::query(VERSION_TABLE)
            .execute(&mut *transaction)
            .await?;
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

/// Where the index of the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// In a file beside it, as every program expects.
    Shared,
    /// In the memory of this process, which then has the file to itself.
    InMemory,
}

impl Index {
    /// SQLite's name for the way to reach files; `None` for the usual one.
    fn vfs(self) -> Option<&'static str> {
        match self {
            Self::Shared => None,
            Self::InMemory => Some("unix-excl"),
        }
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.dev(), found.ino()))
}

pub(super) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

pub(super) fn prepare_folder(file: &Path) -> Result<(), JournalError> {
    let folder = folder_of(file);
    let unwritable = JournalError::unwritable(folder);
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    // SQLite needs the folder itself, for its log beside the file.
    let probe = folder.join(".zhiban-write-test");
    match File::create(&probe) {
        Ok(_) => std::fs::remove_file(&probe).map_err(unwritable)?,
        // Whoever is full is not forbidden.
        Err(error) if is_want_of_room(&error) => {}
        Err(error) => return Err(unwritable(error)),
    }
    if file.exists() {
        File::options().write(true).open(file).map_err(unwritable)?;
    }
    Ok(())
}

/// Reads the whole structure of the file without being able to change it, and the version of its
/// tables: 0 when there are none yet.
async fn refuse_unusable(file: &Path, index: Index) -> Result<i64, JournalError> {
    if !file.exists() {
        return Ok(0);
    }
    // Only who may write is given the index in memory.
    let options = typed(file, index).read_only(index == Index::Shared);
    let found = check::look(file, options).await?;
    found.sound(file)?;
    Ok(found.version)
}

pub(super) async fn version_of(
    connection: &mut sqlx::SqliteConnection,
) -> Result<i64, sqlx::Error> {
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
async fn use_write_ahead_log(file: &Path, index: Index) -> Result<(), JournalError> {
    let create = typed(file, index)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    Ok(create.connect().await?.close().await?)
}

fn typed(file: &Path, index: Index) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY);
    match index.vfs() {
        None => options,
        Some(vfs) => options.vfs(vfs),
    }
}

/// The lock `core.db.lock`; the system gives it free when the process ends, however it ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Lock(Arc<Mutex<Option<File>>>);

impl Lock {
    /// Takes it, making the folder when it is not there.
    ///
    /// # Errors
    /// Another gateway has it, or the folder cannot be written.
    pub(super) fn take(database: &Path) -> Result<Self, JournalError> {
        prepare_folder(database)?;
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let unwritable = JournalError::unwritable(folder_of(database));
        let file = File::create(name).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Arc::new(Mutex::new(Some(file))))),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse(database.to_owned())),
            // A file system without locks: better unlocked than not started.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "the data folder cannot be locked");
                Ok(Self::default())
            }
        }
    }

    /// Takes it anew where its file was removed, before somebody else takes it for free.
    ///
    /// # Errors
    /// Somebody else has done so.
    fn renew(&self, database: &Path) -> Result<(), JournalError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = held.as_ref() else {
            return Ok(());
        };
        let name = with(database, ".lock");
        let mine = file.metadata().map(|found| (found.dev(), found.ino())).ok();
        if identity(&name) == mine {
            return Ok(());
        }
        // A disk that takes nothing says so at the next write.
        let Ok(new) = File::create(&name) else {
            return Ok(());
        };
        match new.try_lock() {
            Ok(()) => {
                tracing::warn!(file = %name.display(), "the lock of the records was removed; it is taken anew");
                *held = Some(new);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse(database.to_owned())),
            Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

async fn pool(
    file: &Path,
    mode: &str,
    index: Index,
    connections: u32,
) -> Result<AnyPool, JournalError> {
    let mut url = format!("sqlite://{}?mode={mode}", percent_encoded(file));
    if let Some(vfs) = index.vfs() {
        url += &format!("&vfs={vfs}");
    }
    let options = AnyConnectOptions::from_str(&url)?.disable_statement_logging();
    let settings = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // The disk may end a transaction without the library knowing of it.
        .before_acquire(|connection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
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
