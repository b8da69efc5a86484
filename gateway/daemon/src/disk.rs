//! The room on the disk of the data folder, and the reserve that is kept for records.
//!
//! The reserve is a file that only takes room. It is given up first when records find the disk
//! full, and until it is made again nothing but records is written here.

use rustix::fs::statvfs;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

/// The reserve in bytes: hours of a bad day. On a small disk it is a sixteenth of it.
const RESERVE: u64 = 16 << 20;
/// With less than this free a write of SQLite may fail.
const NOTHING: u64 = 256 << 10;
/// How much is written at once.
const PIECE: usize = 256 << 10;

/// Whether the system says that there is no room, or none left for this user.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// A folder in memory, where a start finds a disk that takes nothing; it goes with the value.
pub(crate) fn folder_in_memory() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("zhiban-");
    let in_memory = builder.tempdir_in("/dev/shm");
    in_memory.or_else(|_| builder.tempdir())
}

/// So much must be free before files are opened again that a start could not open.
const ENOUGH: u64 = 4 << 20;

/// The disk of a data folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
    /// One gives up or makes at a time.
    work: Mutex<()>,
    /// The reserve is not there because records needed its room.
    given_up: AtomicBool,
}

/// How the disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is room, and the reserve is there.
    Room,
    /// There is little room besides the reserve: so many bytes.
    Little(u64),
    /// The reserve is given up; so many bytes are free. Only records are written.
    GivenUp(u64),
}

impl Disk {
    /// The disk of a folder. Nothing is written before the first [`Self::look`].
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve: folder.join("core.db.reserve"),
            work: Mutex::new(()),
            given_up: AtomicBool::new(false),
        }
    }

    /// Whether everything but records must wait.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// How many bytes are free, and how large the reserve is on this disk.
    fn measure(&self) -> io::Result<(u64, u64)> {
        let found = statvfs(&self.folder)?;
        let reserve = RESERVE.min(found.f_blocks.saturating_mul(found.f_frsize) / 16);
        Ok((found.f_bavail.saturating_mul(found.f_frsize), reserve))
    }

    /// How many bytes are free; as many as there can be where the system does not say.
    pub fn free(&self) -> u64 {
        self.measure().map_or(u64::MAX, |(free, _)| free)
    }

    /// Whether there is room to begin again what found none.
    pub(crate) fn has_enough(&self) -> bool {
        self.free() >= ENOUGH && !self.is_full()
    }

    /// Whether a write may have failed for want of room. What is free may be free for others only:
    /// a used-up quota is seen by nothing but a try.
    pub fn is_full(&self) -> bool {
        self.free() < NOTHING
            || self
                .try_to_write()
                .is_err_and(|error| is_want_of_room(&error))
    }

    fn try_to_write(&self) -> io::Result<()> {
        let probe = self.reserve.with_extension("reserve.probe");
        let tried = fill(&probe, PIECE as u64);
        drop(std::fs::remove_file(&probe));
        tried
    }

    /// Gives the reserve up. Says whether that made room.
    pub fn give_up(&self) -> bool {
        let _alone = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let made_room = std::fs::remove_file(&self.reserve).is_ok();
        if made_room {
            tracing::error!(
                file = %self.reserve.display(),
                "the disk of the data folder is full: the reserve for records is given up, \
                 telemetry and photos wait; free space on this disk"
            );
        }
        self.given_up.store(true, Ordering::Relaxed);
        made_room
    }

    /// Looks how the disk stands, and makes the reserve where it is missing and there is room.
    ///
    /// It may write the whole reserve: not to be called where others wait.
    pub fn look(&self) -> Standing {
        let Ok((free, size)) = self.measure() else {
            return Standing::Room;
        };
        let there = std::fs::metadata(&self.reserve).is_ok_and(|found| found.len() == size);
        if there && free < NOTHING {
            self.give_up();
            return Standing::GivenUp(self.free());
        }
        if !there && free >= size + size / 2 && self.make(size).is_ok() {
            if self.given_up.swap(false, Ordering::Relaxed) {
                tracing::info!("there is room on the disk again; the reserve for records is back");
            }
            return self.look_again(size);
        }
        if there {
            self.given_up.store(false, Ordering::Relaxed);
            return self.look_again(size);
        }
        self.given_up.store(true, Ordering::Relaxed);
        Standing::GivenUp(free)
    }

    fn look_again(&self, size: u64) -> Standing {
        let free = self.free();
        if free < size / 2 {
            Standing::Little(free)
        } else {
            Standing::Room
        }
    }

    /// Makes the reserve.
    fn make(&self, size: u64) -> io::Result<()> {
        let _alone = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = self.reserve.with_extension("reserve.part");
        let made = fill(&partial, size).and_then(|()| std::fs::rename(&partial, &self.reserve));
        if made.is_err() {
            drop(std::fs::remove_file(&partial));
        }
        made
    }
}

/// Writes a file of so many bytes and waits until they are on the disk. What it holds is of no use to a
/// file system that packs what it is given.
fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut piece = vec![0; PIECE];
    getrandom::fill(&mut piece).map_err(io::Error::other)?;
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        file.write_all(piece.get(..now).unwrap_or(&piece))?;
        left -= now as u64;
    }
    file.sync_all()
}

impl Standing {
    /// What the board says of it; `None` when all is well.
    pub fn told(self) -> Option<String> {
        let mib = |bytes: u64| bytes >> 20;
        match self {
            Self::Room => None,
            Self::Little(free) => Some(format!(
                "only {} MiB are free on the disk of the data folder; free space on it",
                mib(free)
            )),
            Self::GivenUp(free) => Some(format!(
                "the disk of the data folder is full ({} MiB free): the reserve for records is \
                 given up, telemetry and photos wait; free space on it",
                mib(free)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_made_given_up_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(folder.path());
        assert_eq!(disk.look(), Standing::Room);
        let file = folder.path().join("core.db.reserve");
        assert!(std::fs::metadata(&file).unwrap().len() > 1 << 20);
        assert!(disk.give_up(), "there was something to give up");
        assert!(!file.exists() && disk.is_given_up());
        assert!(!disk.give_up(), "nothing is left");
        assert_eq!(disk.look(), Standing::Room);
        assert!(file.exists() && !disk.is_given_up());
    }
}
