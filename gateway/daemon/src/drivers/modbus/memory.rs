//! Which reads a device refused in one piece, and how it takes them: kept over restarts, for each
//! device and profile, in one small file in the data folder.
//!
//! It is learned again when it is lost, so that it is no record: a file that cannot be read is begun
//! anew, and nothing ever waits for it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// More than this is not kept.
const MOST: usize = 20_000;

/// By device, profile and read: the addresses at which its pieces begin.
type Pieces = BTreeMap<String, Vec<u16>>;

/// What is known of all devices.
#[derive(Debug, Default)]
pub struct Memory {
    path: Option<PathBuf>,
    known: Mutex<Pieces>,
    file: Mutex<()>,
}

impl Memory {
    /// Reads the file; there may be none yet.
    pub fn open(path: PathBuf) -> Self {
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let path = path.display();
                tracing::warn!(
                    "{path} is not readable ({error}): which reads devices refuse is learned again"
                );
                Pieces::new()
            }),
            Err(_) => Pieces::new(),
        };
        Self {
            path: Some(path),
            known: Mutex::new(known),
            file: Mutex::new(()),
        }
    }

    /// Where the pieces of a read begin; `None` when it is asked in one.
    pub(super) fn pieces(&self, read: &str) -> Option<Vec<u16>> {
        self.lock().get(read).cloned()
    }

    /// Keeps where the pieces of a read begin, or that it is asked in one again. The file is written
    /// beside the caller's work.
    pub(super) fn keep(self: &Arc<Self>, read: &str, pieces: Option<Vec<u16>>) {
        let changed = {
            let mut known = self.lock();
            match pieces {
                None => known.remove(read).is_some(),
                Some(_) if known.len() >= MOST => false,
                Some(pieces) => known.insert(read.to_owned(), pieces.clone()) != Some(pieces),
            }
        };
        if changed && self.path.is_some() {
            let memory = self.clone();
            tokio::task::spawn_blocking(move || memory.save());
        }
    }

    fn save(&self) {
        let Some(path) = &self.path else {
            return;
        };
        let _alone = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lock().clone();
        if let Err(error) = write(path, &known) {
            let path = path.display();
            tracing::warn!(
                "{path} cannot be written: {error}; after a restart devices are asked again what they refuse"
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pieces> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the file in one step.
fn write(path: &Path, known: &Pieces) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(known)?)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_there_after_a_restart_and_a_damaged_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modbus-reads.json");
        let memory = Memory::open(path.clone());
        assert_eq!(memory.pieces("A1"), None);
        for read in ["A1", "A2"] {
            memory.lock().insert(read.to_owned(), vec![0, 7]);
        }
        memory.save();
        let again = Memory::open(path.clone());
        assert_eq!(again.pieces("A2"), Some(vec![0, 7]));
        std::fs::write(&path, b"{\"A1\": [0,").unwrap();
        let again = Memory::open(path);
        assert_eq!(again.pieces("A1"), None);
        again.save();
    }
}
