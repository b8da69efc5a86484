//! Tells systemd that the gateway is ready, and that it still works.
//!
//! The ping is tied to the engine's own turns and commits: a timer that lives beside a dead engine
//! must not count, nor an engine whose records no longer reach the disk.

use crate::health::Board;
use crate::history::HistoryHealth;
use crate::journal::JournalError;
use sd_notify::NotifyState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An engine that took no turn for this long does not work.
const DEAD: Duration = Duration::from_secs(10);
/// Commits that fail for this long are worth a restart, when a restart can help.
const STUCK: Duration = Duration::from_secs(60);
/// How often it is looked, at the least.
const LOOK: Duration = Duration::from_secs(1);

/// What the engine says of itself: its turns, of which it takes at least one a second, and whether
/// its records reach the disk.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug, Default)]
struct Beats {
    turns: AtomicU64,
    failing: Mutex<Option<Failing>>,
}

/// Commits fail.
#[derive(Debug, Clone)]
pub struct Failing {
    /// Since when.
    pub since: Instant,
    /// Why, the last time.
    pub why: String,
    /// Whether the file itself is damaged or gone.
    pub of_the_file: bool,
    /// Whether a restart may help: it gives no disk more room.
    pub restart_helps: bool,
}

impl Pulse {
    /// The engine took a turn.
    pub fn turn(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Records reached the disk.
    pub fn committed(&self) {
        *self.failing_mut() = None;
    }

    /// Records did not reach the disk.
    pub fn commit_failed(&self, error: &JournalError) {
        let mut failing = self.failing_mut();
        let since = failing.as_ref().map_or_else(Instant::now, |one| one.since);
        *failing = Some(Failing {
            since,
            why: error.to_string(),
            of_the_file: error.is_of_the_file(),
            restart_helps: error.restart_helps(),
        });
    }

    /// How commits fail; `None` when they do not.
    pub fn failing(&self) -> Option<Failing> {
        self.failing_mut().clone()
    }

    fn failing_mut(&self) -> std::sync::MutexGuard<'_, Option<Failing>> {
        self.0
            .failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is seen of an engine from outside.
#[derive(Debug)]
struct Watch {
    turns: u64,
    moved: Instant,
}

/// How it is with the engine.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// What is wrong; empty when nothing is.
    wrong: String,
    /// Whether systemd hears that the gateway lives.
    ping: bool,
}

impl Watch {
    fn of(pulse: &Pulse) -> Self {
        Self {
            turns: pulse.0.turns.load(Ordering::Relaxed),
            moved: Instant::now(),
        }
    }

    fn look(&mut self, pulse: &Pulse, now: Instant) -> Verdict {
        let turns = pulse.0.turns.load(Ordering::Relaxed);
        if turns != self.turns {
            (self.turns, self.moved) = (turns, now);
        }
        let still = now.duration_since(self.moved);
        if still >= DEAD {
            let wrong = format!("takes no turns for {} s", still.as_secs());
            return Verdict { wrong, ping: false };
        }
        match pulse.failing() {
            None => Verdict {
                wrong: String::new(),
                ping: true,
            },
            Some(failing) => {
                let since = now.duration_since(failing.since);
                Verdict {
                    wrong: format!(
                        "records reach no disk for {} s: {}",
                        since.as_secs(),
                        failing.why
                    ),
                    ping: !failing.restart_helps || since < STUCK,
                }
            }
        }
    }
}

/// Runs until stopped.
pub(crate) async fn run(
    pulse: Pulse,
    board: Arc<Board>,
    history: HistoryHealth,
    stop: CancellationToken,
) {
    notify(&[NotifyState::Ready]);
    let period = sd_notify::watchdog_enabled().map_or(LOOK, |limit| limit / 3);
    let mut ticks = tokio::time::interval(period.clamp(Duration::from_millis(200), LOOK));
    let mut watch = Watch::of(&pulse);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        board.upkeep();
        for check in history.checks() {
            board.set(&check.name, check.ok, check.critical, check.detail);
        }
        let verdict = watch.look(&pulse, Instant::now());
        board.set("engine", verdict.wrong.is_empty(), true, verdict.wrong);
        if verdict.ping {
            alive();
        }
    }
}

/// systemd hears that the gateway lives.
pub(crate) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// systemd hears that the whole process ends.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Without systemd there is nobody to tell, and that is fine.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> JournalError {
        JournalError::Full(sqlx::Error::PoolTimedOut)
    }

    #[test]
    fn an_engine_without_turns_is_dead() {
        let pulse = Pulse::default();
        let mut watch = Watch::of(&pulse);
        let start = watch.moved;
        assert!(watch.look(&pulse, start + DEAD / 2).ping);
        let dead = watch.look(&pulse, start + DEAD);
        assert!(!dead.ping && dead.wrong.contains("no turns"), "{dead:?}");
        pulse.turn();
        assert_eq!(watch.look(&pulse, start + DEAD * 2).wrong, "");
    }

    #[test]
    fn commits_that_fail_are_told_and_end_the_ping_where_a_restart_helps() {
        let pulse = Pulse::default();
        let mut watch = Watch::of(&pulse);
        pulse.commit_failed(&full());
        let since = pulse.failing().unwrap().since;
        pulse.turn();
        let told = watch.look(&pulse, since + STUCK * 2);
        assert!(told.ping && told.wrong.contains("no room"), "{told:?}");
        pulse.commit_failed(&JournalError::Other(sqlx::Error::PoolClosed));
        pulse.turn();
        assert!(watch.look(&pulse, since + STUCK / 2).ping, "it may pass");
        pulse.turn();
        assert!(!watch.look(&pulse, since + STUCK).ping);
        pulse.committed();
        pulse.turn();
        let well = watch.look(&pulse, since + STUCK);
        assert!(well.ping && well.wrong.is_empty(), "{well:?}");
    }
}
