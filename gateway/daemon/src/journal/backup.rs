//! A backup is one tar file: `core.db` as it is at one moment, and every photo that it names.
//!
//! It is made and put back while the gateway runs. Nothing is put in place before all of it was
//! looked through, and what is replaced is kept.

use super::files::{put_in_place, set_aside, sync_folder, with};
use super::store::{Lock, folder_of, prepare_folder};
use super::{JournalError, carry, check, notice, snapshot};
use crate::disk::{Disk, is_want_of_room};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, Row};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The name of the record store in a backup.
const RECORDS: &str = "core.db";
/// The name of its SHA-256 in a backup, in hexadecimal digits. Backups of older versions have none.
const HASH: &str = "core.db.sha256";
/// The folder of photos, in a backup and beside the record store.
const PHOTOS: &str = "photos";
/// The beginning of the folder in which a copy lies while it goes into a pipe.
const WORK: &str = ".zhiban-backup-";
/// So much of a file is read at once.
const PIECE: usize = 64 << 10;
/// What a tar archive consists of.
const BLOCK: u64 = 512;
/// A photo that was removed between copying the records and copying it is looked for this often.
const TRIES: usize = 3;

/// What a backup holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents {
    /// How many work orders.
    pub work_orders: i64,
    /// The number of the newest.
    pub newest: Option<String>,
    /// How many photos.
    pub photos: usize,
    /// Photos that the records name and that are not on the disk or are damaged.
    pub missing: Vec<String>,
}

/// Why a backup cannot be made or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The records.
    #[error(transparent)]
    Records(#[from] JournalError),
    /// A file.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The place where it is to be written.
    #[error("the backup {path} cannot be written ({error}); {}", cure(error), path = path.display())]
    Target {
        /// The backup.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Where it is to be written lies something that the gateway works with.
    #[error("{path} is a file of the gateway itself; name another file for the backup. Nothing was changed", path = .0.display())]
    Ours(PathBuf),
    /// Where it is to be written lies something that is no file.
    #[error("{path} is a link, a pipe or a device; name a plain file, or write - for standard output", path = .0.display())]
    NoFile(PathBuf),
    /// Another restore is at work.
    #[error(
        "another zhiban restore is at work in this data folder; wait until it is done. Nothing was changed"
    )]
    Another,
    /// It is none of ours, or not whole.
    #[error("{path} is no whole backup of a gateway: {what}; nothing was changed", path = path.display())]
    NotWhole {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |error| BackupError::File {
        path: path.to_owned(),
        error,
    }
}

/// A photo as the records know it.
struct Named {
    file: String,
    sha256: String,
}

/// Whether the name is one that the gateway uses in its data folder, in whatever way the path is written.
fn is_ours(database: &Path, to: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).canonicalize().ok()
    };
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let within = whole(to).zip(whole(database));
    within.is_some_and(|(to, data)| {
        let below = to != data && to.starts_with(&data);
        below || (to == data && crate::private::is_ours(&name))
    })
}

fn at_target(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |error| BackupError::Target {
        path: path.to_owned(),
        error,
    }
}

/// What to do about a place where no backup can be written.
fn cure(error: &io::Error) -> &'static str {
    if is_want_of_room(error) {
        return "free space there, or name a file on another disk";
    }
    let cures = [
        (
            io::ErrorKind::NotFound,
            "make its folder, or name one that is there",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "name a file in a folder that this account may write, or run this as an account that may",
        ),
        (
            io::ErrorKind::IsADirectory,
            "it is a folder: name a file in it",
        ),
        (
            io::ErrorKind::ReadOnlyFilesystem,
            "name a file on a disk that can be written",
        ),
    ];
    let known = cures.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or("name a file on another disk", |(_, cure)| cure)
}

/// Makes a backup of the record store and its photos, whole or not at all.
///
/// # Errors
/// The records cannot be read or are damaged, or the backup cannot be written.
pub async fn make(database: &Path, to: &Path) -> Result<Contents, BackupError> {
    if to.is_dir() {
        return Err(at_target(to)(io::ErrorKind::IsADirectory.into()));
    }
    // A pipe, a device or a link would be replaced by the file.
    if std::fs::symlink_metadata(to).is_ok_and(|found| !found.is_file()) {
        return Err(BackupError::NoFile(to.to_owned()));
    }
    if is_ours(database, to) {
        return Err(BackupError::Ours(to.to_owned()));
    }
    let copy = with(to, ".records.part");
    let partial = with(to, ".part");
    let mut made = Err(at(to)(io::Error::other("not tried")));
    for attempt in 1..=TRIES {
        made = make_once(database, &copy, &partial, to).await;
        let whole = made.as_ref().is_ok_and(|made| made.missing.is_empty());
        if whole || made.is_err() || attempt == TRIES {
            break;
        }
    }
    drop(std::fs::remove_file(&copy));
    let named = made.and_then(|contents| {
        std::fs::rename(&partial, to).map_err(at_target(to))?;
        sync_folder(to).map_err(at_target(to))?;
        Ok(contents)
    });
    if named.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    named
}

async fn make_once(
    database: &Path,
    copy: &Path,
    partial: &Path,
    to: &Path,
) -> Result<Contents, BackupError> {
    let file = File::create(partial).map_err(at_target(to))?;
    let (contents, file) = pack(database, copy, file, to).await?;
    file.sync_all().map_err(at_target(to))?;
    Ok(contents)
}

/// Writes a backup as it is made, such as to a pipe. A copy of the records lies in the data folder meanwhile.
///
/// # Errors
/// The records cannot be read or are damaged, or the backup cannot be written: what was written is no backup then.
pub async fn write(database: &Path, to: impl Write) -> Result<Contents, BackupError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let work = tempfile::Builder::new()
        .prefix(WORK)
        .tempdir_in(folder)
        .map_err(at(folder))?;
    let name = Path::new("standard output");
    let (contents, mut to) = pack(database, &work.path().join(RECORDS), to, name).await?;
    to.flush().map_err(at_target(name))?;
    Ok(contents)
}

/// Writes everything into an archive, by a copy of the records. Readers find the records' hash before the records.
async fn pack<W: Write>(
    database: &Path,
    copy: &Path,
    to: W,
    name: &Path,
) -> Result<(Contents, W), BackupError> {
    if !database.exists() {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no record store yet");
        return Err(at(database)(error));
    }
    // SQLite fills an empty file, and says less of one that it cannot make.
    File::create(copy).map_err(at_target(name))?;
    let copied = snapshot::whole_copy(database, copy).await;
    copied.map_err(|error| of_a_copy(error, copy, name))?;
    check::at_rest(copy).await?.sound(copy)?;
    let (mut contents, photos) = contents(copy).await?;
    let folder = database.with_file_name(PHOTOS);
    let mut tar = tar::Builder::new(to);
    let hash = hash_of(copy).map_err(at(copy))?;
    append_bytes(&mut tar, HASH, hash.as_bytes()).map_err(at_target(name))?;
    append(&mut tar, RECORDS, &mut File::open(copy).map_err(at(copy))?).map_err(at_target(name))?;
    for photo in &photos {
        let path = folder.join(&photo.file);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == photo.sha256 => bytes,
            Ok(_) => {
                contents.missing.push(photo.file.clone());
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                contents.missing.push(photo.file.clone());
                continue;
            }
            Err(error) => return Err(at(&path)(error)),
        };
        let entry = format!("{PHOTOS}/{}", photo.file);
        append_bytes(&mut tar, &entry, &bytes).map_err(at_target(name))?;
        contents.photos += 1;
    }
    let to = tar.into_inner().map_err(at_target(name))?;
    Ok((contents, to))
}

/// A copy that finds no room is no want of room for records, unless it lies beside them.
fn of_a_copy(error: JournalError, copy: &Path, name: &Path) -> BackupError {
    let folder = copy.parent().unwrap_or(Path::new("."));
    if error.is_full() || (error.is_for_want_of_room() && Disk::of(folder).is_full()) {
        return at_target(name)(io::ErrorKind::StorageFull.into());
    }
    error.into()
}

fn hash_of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(piece.get(..read).unwrap_or_default());
    }
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    let now = chrono::Utc::now().timestamp();
    header.set_mtime(u64::try_from(now).unwrap_or(0));
    header
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, file: &mut File) -> io::Result<()> {
    let mut header = header(file.metadata()?.len());
    tar.append_data(&mut header, name, file)
}

fn append_bytes(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a copy of the records holds, and the photos that it names.
async fn contents(records: &Path) -> Result<(Contents, Vec<Named>), BackupError> {
    let options = check::read_only(records).immutable(true);
    let read = async {
        let mut connection = options.connect().await?;
        let orders = "select count(*), (select no from work_order order by id desc limit 1) \
                      from work_order";
        let orders = sqlx::query(orders).fetch_one(&mut connection).await?;
        let contents = Contents {
            work_orders: orders.try_get(0)?,
            newest: orders.try_get(1)?,
            ..Contents::default()
        };
        let mut photos = Vec::new();
        let table = "select count(*) from sqlite_master where name = 'work_order_photo'";
        let tables: i64 = sqlx::query(table)
            .fetch_one(&mut connection)
            .await?
            .try_get(0)?;
        if tables > 0 {
            let named = "select file, sha256 from work_order_photo order by work_order, id";
            for row in sqlx::query(named).fetch_all(&mut connection).await? {
                photos.push(Named {
                    file: row.try_get(0)?,
                    sha256: row.try_get(1)?,
                });
            }
        }
        connection.close().await?;
        Ok::<_, sqlx::Error>((contents, photos))
    };
    Ok(read.await.map_err(JournalError::from)?)
}

/// The folder into which a backup is unpacked, and the name under which it waits for the start.
fn unpacked(database: &Path) -> (PathBuf, PathBuf) {
    (
        database.with_file_name("restore.new"),
        database.with_file_name("restore.ready"),
    )
}

/// To be held while a backup is put back: two at once would write into one folder, and one take the other's away.
///
/// # Errors
/// Another holds it, or the folder cannot be used.
pub fn only_one(database: &Path) -> Result<File, BackupError> {
    let folder = folder_of(database);
    prepare_folder(database)?;
    let held = File::open(folder).map_err(at(folder))?;
    match held.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(BackupError::Another),
        // A file system without locks: better unlocked than no backup.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(held),
    }
}

/// Whether a backup waits to be put in place.
pub fn waits(database: &Path) -> bool {
    unpacked(database).1.join(RECORDS).exists()
}

/// Puts a backup that waits in place, unless a gateway is running, which does it itself. Says
/// whether it did.
///
/// # Errors
/// A file cannot be moved; the next start goes on with it.
pub async fn put_in_place_now(database: &Path) -> Result<bool, BackupError> {
    match Lock::take(database) {
        Ok(_held) => {
            apply(database).await?;
            Ok(true)
        }
        Err(JournalError::InUse(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes back a backup that waits and was not put in place.
///
/// # Errors
/// It cannot be removed.
pub fn withdraw(database: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(unpacked(database).1)
}

/// Unpacks a backup beside the record store and looks through all of it. From then on it waits
/// for the next start of the gateway's parts, which puts it in place.
///
/// # Errors
/// It is not whole, or of a newer program; nothing is changed then.
pub async fn unpack(
    from: &Path,
    input: impl Read,
    database: &Path,
) -> Result<Contents, BackupError> {
    let (new, ready) = unpacked(database);
    for old in [&new, &ready] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(at(old))?;
        }
    }
    let unpacked = async {
        std::fs::create_dir_all(new.join(PHOTOS)).map_err(at(&new))?;
        unpack_files(from, input, &new)?;
        let records = new.join(RECORDS);
        let not_whole = |what: String| BackupError::NotWhole {
            path: from.to_owned(),
            what,
        };
        if !records.exists() {
            return Err(not_whole("it holds no records".to_owned()));
        }
        let noted = new.join(HASH);
        if noted.exists() {
            let noted_hash = std::fs::read_to_string(&noted).map_err(at(&noted))?;
            if hash_of(&records).map_err(at(&records))? != noted_hash {
                return Err(not_whole("its records are damaged".to_owned()));
            }
            std::fs::remove_file(&noted).map_err(at(&noted))?;
        }
        let found = check::at_rest(&records).await;
        let found = found.map_err(|error| not_whole(error.chain()))?;
        if let Some(wrong) = found.wrong.first() {
            return Err(not_whole(wrong.clone()));
        }
        found.sound(&records)?;
        let (mut contents, photos) = contents(&records)
            .await
            .map_err(|error| not_whole(format!("core.db in it holds no work orders ({error})")))?;
        forget_unnamed(&new.join(PHOTOS), &photos)?;
        for photo in photos {
            match std::fs::read(new.join(PHOTOS).join(&photo.file)) {
                Ok(bytes) if hex(&Sha256::digest(&bytes)) == photo.sha256 => contents.photos += 1,
                Ok(_) => return Err(not_whole(format!("photo {} is damaged", photo.file))),
                Err(_) => contents.missing.push(photo.file),
            }
        }
        Ok(contents)
    };
    let done = unpacked.await;
    if done.is_err() {
        drop(std::fs::remove_dir_all(&new));
        return done;
    }
    std::fs::rename(&new, &ready).map_err(at(&ready))?;
    sync_folder(&ready).map_err(at(&ready))?;
    done
}

/// What the records do not name is no photo of an order, and nothing would ever remove it.
fn forget_unnamed(folder: &Path, named: &[Named]) -> Result<(), BackupError> {
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !named.iter().any(|photo| photo.file == name) {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Takes away what a backup that was killed has left; to be called at a start.
pub(super) fn tidy(database: &Path) {
    let folder = database.parent().unwrap_or(Path::new("."));
    for left in super::files::named(folder, WORK, "") {
        match std::fs::remove_dir_all(&left) {
            Ok(()) => {
                tracing::info!(folder = %left.display(), "left by a backup that was killed; taken away")
            }
            Err(error) => {
                tracing::warn!(folder = %left.display(), %error, "left by a backup that was killed")
            }
        }
    }
}

/// Only what a backup holds becomes a file, and only under its own name.
fn unpack_files(from: &Path, input: impl Read, to: &Path) -> Result<(), BackupError> {
    let not_whole = |what: &dyn std::fmt::Display| BackupError::NotWhole {
        path: from.to_owned(),
        what: what.to_string(),
    };
    let read = Cell::new(0);
    let mut tar = tar::Archive::new(Counted { input, read: &read });
    let mut end = 0;
    for entry in tar.entries().map_err(|error| not_whole(&error))? {
        let mut entry = entry.map_err(|error| not_whole(&error))?;
        end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
        let name = entry.path().map_err(|error| not_whole(&error))?;
        let name = name.to_string_lossy().into_owned();
        let photo = name.strip_prefix("photos/").is_some_and(is_photo_name);
        if name != RECORDS && name != HASH && !photo {
            return Err(not_whole(&format!("\"{name}\" is nothing of a gateway")));
        }
        let path = to.join(&name);
        let mut file = File::create(&path).map_err(at(&path))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = entry.read(&mut piece).map_err(|error| not_whole(&error))?;
            if read == 0 {
                break;
            }
            file.write_all(piece.get(..read).unwrap_or_default())
                .map_err(at(&path))?;
        }
        file.sync_all().map_err(at(&path))?;
    }
    // An archive ends with an empty block: one that was cut between two files has none.
    if read.get() <= end {
        return Err(not_whole(&"its end is missing"));
    }
    Ok(())
}

/// Counts what is read.
struct Counted<'a, R> {
    input: R,
    read: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(piece)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

fn is_photo_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Puts a backup in place that waits; to be called while nobody works on the records. What devices said last is taken
/// over into it, and what was open and is not in it is told before. It may be cut short anywhere and called again.
pub(super) async fn apply(database: &Path) -> Result<(), JournalError> {
    let (_, ready) = unpacked(database);
    let records = ready.join(RECORDS);
    if !records.exists() {
        return Ok(());
    }
    let unwritable = JournalError::unwritable(folder_of(database));
    if let Some(words) = what_is_left_behind(database, &records).await {
        let words = format!(
            "A backup was restored. {words}. The records of before are kept as core.db.before-restore-…"
        );
        tracing::warn!("{words}");
        notice::write(&notice::next(database), &words).map_err(unwritable)?;
    }
    let kept = swap(database, &ready).map_err(unwritable)?;
    tracing::warn!(kept = %kept.unwrap_or_default().display(), "a backup was restored");
    Ok(())
}

async fn what_is_left_behind(before: &Path, records: &Path) -> Option<String> {
    if std::fs::metadata(before).map_or(0, |found| found.len()) == 0 {
        return None;
    }
    match carry::over(before, records).await {
        Ok(left) => left.told(),
        Err(error) => Some(format!(
            "The records of before cannot be read ({}): what was open in them is not known",
            error.chain()
        )),
    }
}

/// Returns what the records before it are called now.
fn swap(database: &Path, ready: &Path) -> io::Result<Option<PathBuf>> {
    let photos = database.with_file_name(PHOTOS);
    std::fs::create_dir_all(&photos)?;
    for photo in std::fs::read_dir(ready.join(PHOTOS))? {
        let photo = photo?;
        std::fs::rename(photo.path(), photos.join(photo.file_name()))?;
    }
    File::open(&photos)?.sync_all()?;
    let kept = set_aside(database, "before-restore")?;
    put_in_place(&ready.join(RECORDS), database)?;
    std::fs::remove_dir_all(ready)?;
    Ok(kept)
}
