//! What a start does about a record store that is damaged, missing or to be replaced.
//!
//! It goes on with the best that there is, says so until somebody has read it, and keeps the
//! damaged file. It never goes back to an older state without a word.

use super::files::{named, put_in_place, replace_log, set_aside, stamp, with};
use super::store::folder_of;
use super::{JournalError, backup, carry, check, log, notice, snapshot};
use std::path::{Path, PathBuf};

/// Damaged files of so many starts are kept.
const KEPT: usize = 5;

/// One start.
pub(super) struct Start<'a> {
    file: &'a Path,
    /// What was put in place already and turned out to be of no use.
    tried: Vec<PathBuf>,
    /// The damaged file as it is called now.
    aside: Option<PathBuf>,
    /// What says so, once something older is about to be put in place.
    notice: Option<PathBuf>,
    anew: bool,
}

impl<'a> Start<'a> {
    pub(super) fn of(file: &'a Path) -> Self {
        Self {
            file,
            tried: Vec::new(),
            aside: None,
            notice: None,
            anew: false,
        }
    }

    /// Carries out what was asked for while the gateway was running, and notices a missing file.
    pub(super) async fn prepare(&mut self) -> Result<(), JournalError> {
        backup::tidy(self.file);
        backup::apply(self.file).await?;
        self.look_at_the_log().await?;
        let known = with(self.file, ".rescue").exists() || !snapshot::all(self.file).is_empty();
        let gone = match std::fs::metadata(self.file) {
            _ if !known => None,
            Ok(found) if found.len() == 0 => Some("it is empty"),
            Ok(_) if self.holds_no_tables().await => Some("it holds no tables"),
            Ok(_) => None,
            Err(_) => Some("it is missing"),
        };
        if let Some(what) = gone {
            self.fall_back(&check::damaged(self.file, what)).await?;
        }
        Ok(())
    }

    /// As when the log that held them was damaged or taken away.
    async fn holds_no_tables(&self) -> bool {
        let version = check::version(check::read_only(self.file)).await;
        version.is_some_and(|version| version == 0)
    }

    /// What was committed last is only in the log, of which SQLite leaves out what stands behind a damaged bit.
    async fn look_at_the_log(&mut self) -> Result<(), JournalError> {
        let Ok(found) = std::fs::read(with(self.file, "-wal")) else {
            return Ok(());
        };
        let anew = match log::look(&found) {
            log::Found::Whole => return Ok(()),
            log::Found::Torn => {
                tracing::warn!(
                    "the last transaction in the log of the records is not whole, as after a power cut; it was not confirmed"
                );
                return Ok(());
            }
            log::Found::Damaged(anew) => anew,
        };
        let io = self.unwritable();
        let kept = with(self.file, &format!(".damaged-{}", stamp()));
        std::fs::copy(self.file, &kept).map_err(io)?;
        std::fs::write(with(&kept, "-wal"), &found).map_err(io)?;
        self.aside = Some(kept);
        let told = notice::next(self.file);
        let why = "The log of the records, core.db-wal, was damaged";
        notice::write(&told, &format!("{why}.")).map_err(io)?;
        self.notice = Some(told);
        replace_log(self.file, &anew).map_err(io)?;
        let looked = check::look(self.file, check::read_only(self.file)).await;
        // Without its first page it is sound, and empty.
        let all = looked.is_ok_and(|found| found.version > 0 && found.sound(self.file).is_ok());
        let words = if all {
            "All records in it are read; a text or a number in the damaged place may be wrong"
        } else {
            replace_log(self.file, &found).map_err(io)?;
            "What was recorded after the damaged place is missing"
        };
        self.tell(&format!("{why}. {words}")).map_err(io)
    }

    /// Sets the damaged file aside and puts the best of what there is in its place.
    pub(super) async fn fall_back(&mut self, why: &JournalError) -> Result<(), JournalError> {
        if self.anew {
            return Err(check::damaged(self.file, &why.chain()));
        }
        let io = self.unwritable();
        let aside = set_aside(self.file, "damaged").map_err(io)?;
        if self.tried.is_empty() {
            self.aside = aside;
        } else if let Some(copy) = aside {
            // A copy of something that is still there.
            for part in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(with(&copy, part)));
            }
        }
        let why = why.chain();
        // Nothing older is put in place before there is room to say so.
        let notice = notice::next(self.file);
        notice::write(&notice, &format!("{why}.")).map_err(io)?;
        self.notice = Some(notice);
        if let Some(words) = self.put_best_in_place().await? {
            self.tell(&format!("{why}. {words}")).map_err(io)?;
            return Ok(());
        }
        self.anew = true;
        let words = "There is no snapshot that is good, so an empty record store is begun: \
                     alarms that stand are raised again, accounts must be made again";
        self.tell(&format!("{why}. {words}")).map_err(io)
    }

    /// What was put in place, in words.
    async fn put_best_in_place(&mut self) -> Result<Option<String>, JournalError> {
        if let Some(words) = self.put_rescued().await? {
            return Ok(Some(words));
        }
        if let Some(words) = self.put_repaired().await? {
            return Ok(Some(words));
        }
        for snapshot in snapshot::all(self.file) {
            if self.tried.contains(&snapshot) {
                continue;
            }
            self.tried.push(snapshot.clone());
            let found = check::at_rest(&snapshot).await;
            if let Err(error) = found.and_then(|found| found.sound(&snapshot)) {
                tracing::error!(error = error.chain(), "a snapshot is of no use");
                continue;
            }
            let new = with(self.file, ".new");
            if std::fs::copy(&snapshot, &new).is_err() {
                // No room for two of it.
                std::fs::rename(&snapshot, &new).map_err(self.unwritable())?;
            }
            let left = self.carried_into(&new).await;
            put_in_place(&new, self.file).map_err(self.unwritable())?;
            let name = snapshot.file_name().unwrap_or_default().to_string_lossy();
            return Ok(Some(format!(
                "The snapshot {name} is used instead: what was recorded after it is missing{left}"
            )));
        }
        Ok(None)
    }

    /// Takes over what can still be read of the damaged file, and says what of it was open.
    async fn carried_into(&self, new: &Path) -> String {
        let Some(damaged) = &self.aside else {
            return String::new();
        };
        match carry::over(damaged, new).await {
            Ok(left) => left
                .told()
                .map_or_else(String::new, |left| format!(". {left}")),
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "what was open in the damaged file cannot be read"
                );
                ". What was open then cannot be read any more".to_owned()
            }
        }
    }

    /// A copy that the last run made of its records when their file was removed under it.
    async fn put_rescued(&mut self) -> Result<Option<String>, JournalError> {
        let rescue = with(self.file, ".rescue");
        if !rescue.exists() || self.tried.contains(&rescue) {
            return Ok(None);
        }
        self.tried.push(rescue.clone());
        let found = check::at_rest(&rescue).await;
        if found.and_then(|found| found.sound(&rescue)).is_err() {
            return Ok(None);
        }
        put_in_place(&rescue, self.file).map_err(self.unwritable())?;
        Ok(Some(
            "The copy that the gateway made when it noticed is used: no record is lost".to_owned(),
        ))
    }

    /// Where only indexes are damaged, the tables are copied and the indexes made anew.
    async fn put_repaired(&mut self) -> Result<Option<String>, JournalError> {
        let Some(damaged) = self.aside.clone().filter(|path| !self.tried.contains(path)) else {
            return Ok(None);
        };
        self.tried.push(damaged.clone());
        let Ok(found) = check::look(&damaged, check::read_only(&damaged)).await else {
            return Ok(None);
        };
        if !found.only_indexes {
            return Ok(None);
        }
        let new = with(self.file, ".new");
        drop(std::fs::remove_file(&new));
        let copied = async {
            snapshot::copy_of_tables(&damaged, found.version, &new).await?;
            check::at_rest(&new).await?.sound(&new)
        };
        if copied.await.is_err() {
            drop(std::fs::remove_file(&new));
            return Ok(None);
        }
        put_in_place(&new, self.file).map_err(self.unwritable())?;
        Ok(Some(
            "Only its indexes were damaged, or a value that one of them holds: they are made anew, \
             and no record is lost"
                .to_owned(),
        ))
    }

    fn tell(&self, words: &str) -> std::io::Result<()> {
        let kept = self.aside.as_ref().map(|aside| {
            let name = aside.file_name().unwrap_or_default().to_string_lossy();
            format!(" The damaged file is kept as {name}.")
        });
        let words = format!("{words}.{}", kept.unwrap_or_default());
        tracing::error!("{words}");
        let next = || notice::next(self.file);
        notice::write(&self.notice.clone().unwrap_or_else(next), &words)?;
        self.forget_oldest();
        Ok(())
    }

    /// A disk that damages each file must not be filled with them.
    fn forget_oldest(&self) {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let wal = |path: &PathBuf| path.to_string_lossy().ends_with('Z');
        let damaged = named(folder, "core.db.damaged-", "");
        for old in damaged.iter().filter(|path| wal(path)).skip(KEPT) {
            for part in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(with(old, part)));
            }
        }
    }

    fn unwritable(&self) -> impl Fn(std::io::Error) -> JournalError + Copy + use<'a> {
        JournalError::unwritable(folder_of(self.file))
    }
}
