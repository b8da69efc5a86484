//! Tells systemd that the gateway is ready, and that it still works.
//!
//! The ping is tied to the engine's own turns: a timer that lives in a dead engine must not count.

use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::health::Board;
use crate::history::HistoryHealth;

/// Counts the engine's turns; it takes at least one a second.
pub type Pulse = Arc<AtomicU64>;

/// An engine that took no turn for this long does not work.
const DEAD: Duration = Duration::from_secs(10);

/// Runs until stopped.
pub(crate) async fn run(
    pulse: Pulse,
    board: Arc<Board>,
    history: HistoryHealth,
    stop: CancellationToken,
) {
    notify(&[NotifyState::Ready]);
    let period = sd_notify::watchdog_enabled().map_or(Duration::from_secs(5), |limit| limit / 3);
    let mut ticks = tokio::time::interval(period.clamp(Duration::from_millis(200), DEAD / 2));
    let mut seen = (pulse.load(Ordering::Relaxed), tokio::time::Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        board.upkeep();
        for check in history.checks() {
            board.set(&check.name, check.ok, check.critical, check.detail);
        }
        let beat = pulse.load(Ordering::Relaxed);
        if beat != seen.0 {
            seen = (beat, tokio::time::Instant::now());
        }
        let alive = seen.1.elapsed() < DEAD;
        board.set(
            "engine",
            alive,
            true,
            if alive { "" } else { "takes no turns" },
        );
        if alive {
            notify(&[NotifyState::Watchdog]);
        }
    }
    notify(&[NotifyState::Stopping]);
}

/// Without systemd there is nobody to tell, and that is fine.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
