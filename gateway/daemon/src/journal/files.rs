//! What is done to whole files beside `core.db`: set aside, put in place, made durable.
//!
//! Nothing here deletes a file that may hold a record.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The database and what SQLite keeps beside it. The log of one must never lie beside another.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// The same path with something added to its name.
pub(super) fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Now, as names of files say it: they sort by it.
pub(super) fn stamp() -> String {
    chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// Renames the database and what belongs to it; `None` when nothing of it was there.
pub(super) fn set_aside(database: &Path, label: &str) -> io::Result<Option<PathBuf>> {
    let aside = with(database, &format!(".{label}-{}", stamp()));
    let mut any = false;
    for part in PARTS {
        match std::fs::rename(with(database, part), with(&aside, part)) {
            Ok(()) => any = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    sync_folder(database)?;
    Ok(any.then_some(aside))
}

/// Puts a whole file in the place of the database, where none is.
pub(super) fn put_in_place(new: &Path, database: &Path) -> io::Result<()> {
    File::open(new)?.sync_all()?;
    for part in ["-wal", "-shm"] {
        // Of a database that is gone; set aside, it may still hold what that one had last.
        let left = with(database, part);
        if left.exists() {
            std::fs::rename(&left, with(database, &format!(".left-{}{part}", stamp())))?;
        }
    }
    std::fs::rename(new, database)?;
    sync_folder(database)
}

/// Replaces the log of a database that nobody works on, in one step.
pub(super) fn replace_log(database: &Path, log: &[u8]) -> io::Result<()> {
    let (name, new) = (with(database, "-wal"), with(database, "-wal.new"));
    std::fs::write(&new, log)?;
    File::open(&new)?.sync_all()?;
    // SQLite's index belongs to the log as it was.
    drop(std::fs::remove_file(with(database, "-shm")));
    std::fs::rename(&new, &name)?;
    sync_folder(&name)
}

/// A name is only durable when its folder is.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The files of a folder whose names begin and end so, the newest name first.
pub(super) fn named(folder: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(begin) && name.ends_with(end)
        })
        .collect();
    found.sort();
    found.reverse();
    found
}
