//! What a start had to do with the records, kept in a file beside them until somebody has read it.
//!
//! It is durable before that which it tells of is done, and nothing but a person removes it.

use super::files::{named, stamp, sync_folder};
use std::io;
use std::path::{Path, PathBuf};

/// The beginning of the name of such a file.
const NOTICE: &str = "core.db.notice-";

/// The name of the next one.
pub(super) fn next(database: &Path) -> PathBuf {
    database.with_file_name(format!("{NOTICE}{}.txt", stamp()))
}

/// Writes one.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(notice: &Path, words: &str) -> io::Result<()> {
    std::fs::write(notice, format!("{words}\n"))?;
    std::fs::File::open(notice)?.sync_all()?;
    sync_folder(notice)
}

/// The newest that nobody has taken away.
pub(crate) fn newest(database: &Path) -> Option<String> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let newest = named(folder, NOTICE, ".txt").into_iter().next()?;
    let words = std::fs::read_to_string(&newest).unwrap_or_default();
    let name = newest.file_name()?.to_string_lossy().into_owned();
    Some(format!(
        "{} Remove the file {name} when this is known.",
        words.trim()
    ))
}
