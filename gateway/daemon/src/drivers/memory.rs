//! What drivers learned of their peers, kept over restarts: a small file in the data folder for each kind.
//!
//! It is learned again when it is lost, so that it is no record: a file that cannot be read is begun
//! anew, and nothing ever waits for it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// More than this is not kept.
const MOST: usize = 20_000;

/// Everything that drivers keep.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    /// By device, profile and read that the device refused in one piece: the addresses at which its pieces begin.
    pub(super) pieces: Pieces,
    /// By client and broker: the topics that the broker may still send to this client.
    pub(super) topics: Topics,
}

impl Memory {
    /// Reads the files of a data folder; there may be none yet.
    pub fn open(folder: &Path) -> Self {
        Self {
            pieces: Arc::new(Kept::open(folder.join("modbus-reads.json"))),
            topics: Arc::new(Kept::open(folder.join("mqtt-topics.json"))),
        }
    }
}

/// Where the pieces begin of what a device refused in one.
pub(super) type Pieces = Arc<Kept<Vec<u16>>>;
/// The topics of each session with a broker.
pub(super) type Topics = Arc<Kept<BTreeSet<String>>>;

/// One kind of what is kept.
#[derive(Debug)]
pub(super) struct Kept<V> {
    path: Option<PathBuf>,
    known: Mutex<BTreeMap<String, V>>,
    file: Mutex<()>,
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Self {
            path: None,
            known: Mutex::default(),
            file: Mutex::default(),
        }
    }
}

impl<V: Clone + PartialEq + Serialize + DeserializeOwned + Send + 'static> Kept<V> {
    fn open(path: PathBuf) -> Self {
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let path = path.display();
                tracing::warn!("{path} is not readable ({error}): it is begun anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self {
            path: Some(path),
            known: Mutex::new(known),
            file: Mutex::new(()),
        }
    }

    /// What is known under a name.
    pub(super) fn get(&self, name: &str) -> Option<V> {
        self.lock().get(name).cloned()
    }

    /// Keeps something under a name, or forgets it. The file is written beside the caller's work.
    pub(super) fn keep(self: &Arc<Self>, name: &str, value: Option<V>) {
        let changed = {
            let mut known = self.lock();
            match value {
                None => known.remove(name).is_some(),
                Some(_) if known.len() >= MOST && !known.contains_key(name) => false,
                Some(value) => known.insert(name.to_owned(), value.clone()) != Some(value),
            }
        };
        if changed && self.path.is_some() {
            let kept = self.clone();
            tokio::task::spawn_blocking(move || kept.save());
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
                "{path} cannot be written: {error}; after a restart it is learned again"
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, V>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the file in one step.
fn write(path: &Path, known: &impl Serialize) -> std::io::Result<()> {
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
        let memory = Memory::open(folder.path()).pieces;
        assert_eq!(memory.get("A1"), None);
        for read in ["A1", "A2"] {
            memory.lock().insert(read.to_owned(), vec![0, 7]);
        }
        memory.save();
        let again = Memory::open(folder.path()).pieces;
        assert_eq!(again.get("A2"), Some(vec![0, 7]));
        std::fs::write(&path, b"{\"A1\": [0,").unwrap();
        let again = Memory::open(folder.path()).pieces;
        assert_eq!(again.get("A1"), None);
        again.save();
    }
}
