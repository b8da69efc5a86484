//! A start on a disk that takes nothing: the gateway watches and tells with what it can read.
//!
//! The records are copied into memory, where they can be read and nothing is written: each write is refused with the
//! reason, so that nothing is acknowledged. When the data folder can be written again, all parts are started anew.

use super::files::with;
use super::store::{folder_of, prepare_folder};
use super::{Journal, JournalError, Store, snapshot};
use crate::disk::{Disk, folder_in_memory};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zhiban_core::facility::Records;
use zhiban_core::{Model, Timestamp};

/// For so long at least it stays, so that a disk on the edge does not start everything again and again.
const STAYS: Duration = Duration::from_secs(15);

/// A copy of the records in memory.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// The data folder.
    folder: PathBuf,
    why: String,
    since: Instant,
    /// Where the copy lies; it goes with it.
    _copy: TempDir,
}

impl StandIn {
    /// Why it takes nothing.
    pub(crate) fn refusal(&self) -> JournalError {
        JournalError::StandIn {
            folder: self.folder.clone(),
            why: self.why.clone(),
        }
    }

    /// Whether the data folder can be written again. It tries to: not to be called where others wait.
    pub(crate) fn is_over(&self) -> bool {
        self.since.elapsed() >= STAYS
            && Disk::of(&self.folder).has_enough()
            && prepare_folder(&self.folder.join("core.db")).is_ok()
    }
}

/// Whether a copy is better than no start: the disk is to blame, or there are records that can be read. A folder
/// that was never written is a fault of the configuration, which is said at once.
pub(super) fn helps(error: &JournalError, file: &Path) -> bool {
    error.is_of_the_disk() || (error.is_only_of_writing() && file.exists())
}

/// Opens a copy of the best that there is: the file, else the newest snapshot that is sound, else nothing.
///
/// # Errors
/// The error of the start, when there is no room in memory either.
pub(super) async fn open(
    file: &Path,
    error: JournalError,
    model: &Arc<Model>,
    now: Timestamp,
) -> Result<(Journal, Records), JournalError> {
    let there = file.exists().then(|| file.to_owned());
    let snapshots = there.into_iter().chain(snapshot::all(file)).map(Some);
    let why = error.chain();
    for source in snapshots.chain([None]) {
        match open_copy(file, source.as_deref(), &why, model, now).await {
            Ok(opened) => {
                let used = source.map_or_else(
                    || "no record".to_owned(),
                    |source| source.display().to_string(),
                );
                tracing::error!(
                    why,
                    used,
                    "records cannot be written: the gateway watches and tells with a copy in memory of what it \
                     could read"
                );
                return Ok(opened);
            }
            Err(refused) => tracing::warn!(
                error = refused.chain(),
                source = source.map(|source| source.display().to_string()),
                "the records cannot be opened as a copy"
            ),
        }
    }
    Err(error)
}

async fn open_copy(
    file: &Path,
    source: Option<&Path>,
    why: &str,
    model: &Arc<Model>,
    now: Timestamp,
) -> Result<(Journal, Records), JournalError> {
    let folder = folder_of(file).to_owned();
    let unwritable = JournalError::unwritable(&folder);
    let copy = folder_in_memory().map_err(unwritable)?;
    let database = copy.path().join("core.db");
    if let Some(source) = source {
        // What was recorded last may still lie in the log beside it.
        for part in ["", "-wal"] {
            let from = with(source, part);
            if from.exists() {
                std::fs::copy(from, with(&database, part)).map_err(unwritable)?;
            }
        }
    }
    let store = Store::bring_up_to_date(&database).await?;
    let (mut journal, records) = Journal::read(store, model, now).await?;
    let stand_in = StandIn {
        folder,
        why: why.to_owned(),
        since: Instant::now(),
        _copy: copy,
    };
    journal.store.stand_in_for(file, stand_in);
    Ok((journal, records))
}
