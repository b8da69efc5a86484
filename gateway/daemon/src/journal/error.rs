//! Why the record store does not work, in classes that the engine and people can act on.
//!
//! An error never holds the content of a record.

use crate::disk::{Disk, is_want_of_room};
use crate::private::{foreign, name_of};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why `core.db` cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder cannot be written.
    #[error(
        "the data folder {folder} cannot be written ({error}); {}",
        cure(error, folder),
        folder = folder.display()
    )]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Another gateway works on it.
    #[error(
        "{file} is in use by another gateway; stop that one, or give this one its own data folder",
        file = .0.display()
    )]
    InUse(PathBuf),
    /// The file is damaged. Nothing in it was changed.
    #[error(
        "{file} is damaged ({what}); nothing in it was changed. Restore it from a backup, or move it away to start with an empty one",
        file = file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer program has changed its tables.
    #[error(
        "{file} was written by a newer version of this program (tables {found}, known here up to {known}); nothing in it was changed. Start that version, or restore the backup made before it",
        file = file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version of its tables.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The gateway that works on it is of an older version.
    #[error(
        "{file} is in use by a gateway of an older version; stop that one, or use its own program",
        file = .0.display()
    )]
    Older(PathBuf),
    /// The open file is no longer the one under its name.
    #[error(
        "{file} was {what} while the gateway runs; records cannot be kept until it is started again",
        file = file.display()
    )]
    Gone {
        /// The file.
        file: PathBuf,
        /// What became of it.
        what: &'static str,
    },
    /// The tables of an older program could not be changed. Nothing was.
    #[error("{file} could not be brought up to date; nothing in it was changed. Start the program of before again", file = file.display())]
    Upgrade {
        /// The file.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Somebody else is writing; trying again helps.
    #[error("the record store is busy")]
    Busy(#[source] sqlx::Error),
    /// There is no room.
    #[error("there is no room left for records; free space on the disk of the data folder")]
    Full(#[source] sqlx::Error),
    /// The disk fails.
    #[error("the disk of the data folder fails")]
    Io(#[source] sqlx::Error),
    /// The file or its disk may only be read.
    #[error(
        "records cannot be written: core.db or its disk is read-only; make it writable for the gateway's user"
    )]
    ReadOnly(#[source] sqlx::Error),
    /// The gateway was started while nothing could be written.
    #[error(
        "records cannot be written since the start ({why}); the gateway goes on with what it could read, and opens {folder} when it can be written",
        folder = folder.display()
    )]
    StandIn {
        /// The data folder.
        folder: PathBuf,
        /// What the start found.
        why: String,
    },
    /// The file became damaged while it was in use.
    #[error("the record store is damaged; stop the gateway and restore a backup")]
    Corrupt(#[source] sqlx::Error),
    /// Two records claim the same place: a fault of this program.
    #[error("a record contradicts another one")]
    Conflict(#[source] sqlx::Error),
    /// Everything else.
    #[error("the record store failed")]
    Other(#[source] sqlx::Error),
    /// A row that this program cannot read.
    #[error("{table} {key} cannot be read: {what}")]
    Row {
        /// The table.
        table: &'static str,
        /// Which row.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

impl JournalError {
    /// The error that a folder, or a file in it, cannot be written.
    pub(super) fn unwritable(at: &Path) -> impl Fn(std::io::Error) -> Self + Copy {
        move |error| Self::Unwritable {
            folder: at.to_owned(),
            error,
        }
    }

    /// Whether the disk may have had no room.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        self.is_full() || matches!(self, JournalError::Io(_))
    }

    /// Whether the disk had no room, for certain.
    pub(crate) fn is_full(&self) -> bool {
        if let JournalError::Unwritable { error, .. } = self {
            return is_want_of_room(error);
        }
        matches!(self, JournalError::Full(_))
    }

    /// The error by what is known of the disk: SQLite calls only some of the ways in which a disk
    /// has no room by that name, a used-up quota never.
    pub(crate) fn on(self, disk: &Disk) -> Self {
        if let JournalError::Io(source) = self {
            let known = if disk.is_full() { Self::Full } else { Self::Io };
            return known(source);
        }
        self
    }

    /// Whether a new start may help: it gives no disk more room and no file more rights.
    pub(crate) fn restart_helps(&self) -> bool {
        !matches!(
            self,
            JournalError::Full(_)
                | JournalError::Busy(_)
                | JournalError::ReadOnly(_)
                | JournalError::Unwritable { .. }
                | JournalError::StandIn { .. }
        )
    }

    /// Whether the disk cannot be written for a reason that is not the rights of this user.
    pub(super) fn is_of_the_disk(&self) -> bool {
        if let JournalError::Unwritable { error, .. } = self {
            return is_want_of_room(error) || error.kind() == ErrorKind::ReadOnlyFilesystem;
        }
        self.is_for_want_of_room()
    }

    /// Whether nothing can be written, while what is there may be read.
    pub(super) fn is_only_of_writing(&self) -> bool {
        self.is_of_the_disk()
            || matches!(
                self,
                JournalError::Unwritable { .. } | JournalError::ReadOnly(_)
            )
    }

    /// Whether it is one record that the store refuses, while others may be taken.
    pub(crate) fn is_of_a_record(&self) -> bool {
        matches!(
            self,
            JournalError::Conflict(_) | JournalError::Other(_) | JournalError::Row { .. }
        )
    }

    /// Whether it is a row that this program cannot read, while the store itself answers.
    pub(super) fn is_of_a_row(&self) -> bool {
        matches!(self, JournalError::Row { .. })
    }

    /// Whether a start may go on with an older state: the file itself is said to be damaged. A row
    /// that this program cannot read, too little memory or a fault of this program are no reason to
    /// let go of what was recorded since.
    pub(crate) fn means_damage(&self) -> bool {
        matches!(
            self,
            JournalError::Damaged { .. } | JournalError::Corrupt(_)
        )
    }

    /// Whether SQLite does not understand what it is asked: a name in the tables is not the one that
    /// was made.
    pub(super) fn is_of_a_name(error: &sqlx::Error) -> bool {
        primary_code(error) == Some(1)
    }

    /// Whether the file itself is damaged or gone, so that no later try can succeed.
    pub fn is_of_the_file(&self) -> bool {
        matches!(self, JournalError::Corrupt(_) | JournalError::Gone { .. })
    }

    /// What went wrong while the tables of version `found` were changed: nothing of it is damage.
    pub(crate) fn of_an_upgrade(self, file: &Path, found: i64) -> Self {
        if found == 0 {
            return self;
        }
        if let Self::Other(source) = self {
            let file = file.to_owned();
            return Self::Upgrade { file, source };
        }
        self
    }

    /// The message with all its causes, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// What to do about a folder that cannot be written.
fn cure(error: &std::io::Error, folder: &Path) -> String {
    if is_want_of_room(error) {
        return "free space on its disk".to_owned();
    }
    if error.kind() == ErrorKind::ReadOnlyFilesystem {
        return "its disk is read-only, as after a fault: look at the disk, mount it for writing, or replace it"
            .to_owned();
    }
    let foreign = foreign(folder).filter(|_| error.kind() == ErrorKind::PermissionDenied);
    if let Some((file, user)) = foreign {
        let me = name_of(rustix::process::geteuid().as_raw());
        return format!(
            "{} in it belongs to the account {}, and this gateway runs as {me}: give it all of the folder, with \
             chown -R {me} {}",
            file.file_name().unwrap_or_default().to_string_lossy(),
            name_of(user),
            folder.display()
        );
    }
    "make it writable for the gateway's user, or choose another data folder".to_owned()
}

impl From<sqlx::Error> for JournalError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(5 | 6) => Self::Busy(error),
            Some(8) => Self::ReadOnly(error),
            Some(10 | 14) => Self::Io(error),
            Some(13) => Self::Full(error),
            Some(11 | 26) => Self::Corrupt(error),
            Some(19) => Self::Conflict(error),
            Some(_) | None => {
                if matches!(error, sqlx::Error::PoolTimedOut) {
                    Self::Busy(error)
                } else if matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) {
                    Self::Io(error)
                } else {
                    Self::Other(error)
                }
            }
        }
    }
}

/// SQLite's primary result code; extended codes keep it in their low byte.
fn primary_code(error: &sqlx::Error) -> Option<i64> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<i64>().ok()? & 0xff)
}
