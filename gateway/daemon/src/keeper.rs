//! Looks after the data folder while the gateway runs: the room on its disk, the snapshots, and
//! that the open record store is still the one under its name.
//!
//! What only a new start can mend it asks for; it never ends anything by itself.

use crate::disk::{Disk, Standing};
use crate::health::Board;
use crate::history::Elsewhere;
use crate::journal::{Journal, JournalError, StandIn, aside, backup};
use crate::watchdog::Pulse;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks whether a snapshot is due, and when one is tried again that failed.
const SNAPSHOTS: Duration = Duration::from_secs(60);
/// Records of a damaged file fail for this long before a new start is asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a new start of all parts, with the reason.
pub(crate) type Again = watch::Sender<Option<String>>;

/// What the keeper works with.
pub(crate) struct Keeper {
    pub(crate) journal: Arc<Journal>,
    pub(crate) board: Arc<Board>,
    pub(crate) pulse: Pulse,
    pub(crate) again: Again,
    /// Where telemetry is, when its file could not be opened.
    pub(crate) elsewhere: Option<Elsewhere>,
}

impl Keeper {
    /// Looks until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let both = async {
            tokio::join!(self.look(), self.take_snapshots());
        };
        stop.run_until_cancelled(both).await;
    }

    async fn look(&self) {
        let mut pulse = tokio::time::interval(LOOK);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            self.look_at_the_disk().await;
            self.look_at_the_file().await;
            self.look_at_what_is_beside();
            self.look_at_telemetry().await;
        }
    }

    /// Telemetry goes back to its file as soon as that can be opened.
    async fn look_at_telemetry(&self) {
        let records = self.journal.store().stand_in().is_none();
        if let Some(elsewhere) = self.elsewhere.as_ref().filter(|_| records)
            && elsewhere.is_over().await
        {
            self.ask("telemetry.db can be opened again".to_owned());
        }
    }

    fn file(&self) -> &Path {
        self.journal.store().file()
    }

    async fn look_at_the_disk(&self) {
        let disk = self.journal.store().disk().clone();
        // It may write for a while.
        let looked = tokio::task::spawn_blocking(move || Disk::look(&disk)).await;
        let Ok(standing) = looked else { return };
        let told = Standing::told(standing);
        self.board
            .set("disk", told.is_none(), false, told.unwrap_or_default());
    }

    /// A file that was removed or is damaged takes no record any more.
    async fn look_at_the_file(&self) {
        let store = self.journal.store();
        if let Some(stand_in) = store.stand_in() {
            let refusal = stand_in.refusal();
            self.board.set("journal", false, true, refusal.to_string());
            self.pulse.commit_failed(&refusal);
            let store = store.clone();
            let over = move || store.stand_in().is_some_and(StandIn::is_over);
            if tokio::task::spawn_blocking(over).await.unwrap_or(false) {
                self.ask("the data folder can be written again".to_owned());
            }
            return;
        }
        if let Err(error) = store.refuse_if_gone() {
            self.board.set("journal", false, true, error.to_string());
            self.pulse.commit_failed(&error);
            // The records are still in what is open, but for those of a file that another one replaced.
            let whole = |file: &Path, what: &str| what == "removed" || file != store.file();
            if matches!(&error, JournalError::Gone { file, what } if whole(file, what)) {
                match store.rescue().await {
                    Ok(()) => tracing::warn!("the records of the removed file are copied"),
                    // A new start would begin without them; here they are still open.
                    Err(error) => {
                        tracing::error!(
                            error = error.chain(),
                            "the records of the removed file cannot be copied; put the folder back, or free space: until then nothing is recorded"
                        );
                        return;
                    }
                }
            }
            self.ask(error.to_string());
        }
        let failing = self.pulse.failing().filter(|one| one.of_the_file);
        if let Some(failing) = failing.filter(|one| one.since.elapsed() >= PATIENCE) {
            self.ask(failing.why);
        }
    }

    /// A backup that is to be put back, records set aside, and what the start had to do.
    fn look_at_what_is_beside(&self) {
        if backup::waits(self.file()) {
            self.ask("a backup is restored".to_owned());
        }
        let refused = aside::count(self.file());
        let number = u32::try_from(refused).unwrap_or(u32::MAX);
        metrics::gauge!("zhiban_records_set_aside").set(f64::from(number));
        let words = format!(
            "{refused} records were refused by the record store and are set aside; see zhiban set-aside list"
        );
        self.board.set(
            "set_aside",
            refused == 0,
            false,
            if refused == 0 { "" } else { &words },
        );
        let notice = self.journal.notice();
        self.board.set(
            "records",
            notice.is_none(),
            false,
            notice.unwrap_or_default(),
        );
    }

    /// Asks for a new start, once.
    fn ask(&self, why: String) {
        self.again.send_if_modified(|reason| {
            let first = reason.is_none();
            reason.get_or_insert(why);
            first
        });
    }

    async fn take_snapshots(&self) {
        let mut pulse = tokio::time::interval(SNAPSHOTS);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            let store = self.journal.store();
            let waits = store.disk().is_given_up() || store.stand_in().is_some();
            if waits || !self.journal.snapshot_is_due() {
                continue;
            }
            match self.journal.take_snapshot().await {
                Ok(taken) => {
                    tracing::info!(snapshot = %taken.display(), "a snapshot of the records was taken");
                    self.board.set("snapshots", true, false, "");
                }
                Err(error) => {
                    let words =
                        format!("no snapshot of the records can be taken: {}", error.chain());
                    tracing::error!("{words}");
                    self.board.set("snapshots", false, false, words);
                    if matches!(
                        error,
                        JournalError::Damaged { .. } | JournalError::Corrupt(_)
                    ) {
                        self.pulse.commit_failed(&error);
                        self.ask(error.to_string());
                    }
                }
            }
        }
    }
}
