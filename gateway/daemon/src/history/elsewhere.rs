//! A start that finds no place for telemetry: the last hour is kept in memory, and goes to InfluxDB as ever.
//!
//! That telemetry cannot be kept stops no gateway. When the file can be opened again, all parts are started anew.

use super::{Embedded, HistoryError, HistoryHandle, HistoryHealth, Options, start, store};
use crate::disk::{Disk, folder_in_memory};
use sqlx::sqlite::SqliteSynchronous;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_core::{Duration, Model};

/// So much is kept.
const KEPT: Duration = Duration::from_secs(3600);
/// For so long at least it stays.
const STAYS: std::time::Duration = std::time::Duration::from_secs(15);

/// Where telemetry is in place of its file.
#[derive(Debug)]
pub struct Elsewhere {
    /// The file that could not be opened.
    file: PathBuf,
    since: Instant,
    _folder: TempDir,
}

impl Elsewhere {
    /// Whether the file can be opened again.
    pub(crate) async fn is_over(&self) -> bool {
        let folder = self.file.parent().unwrap_or(Path::new(".")).to_owned();
        if self.since.elapsed() < STAYS {
            return false;
        }
        let enough = move || Disk::of(&folder).has_enough();
        if !tokio::task::spawn_blocking(enough).await.unwrap_or(false) {
            return false;
        }
        let place = store::Place {
            path: self.file.clone(),
            synchronous: SqliteSynchronous::Full,
        };
        match store::Store::open(place).await {
            Ok((store, _)) => {
                store.db().close().await;
                true
            }
            Err(_) => false,
        }
    }
}

/// Starts the history, in memory where its file cannot be opened.
///
/// # Errors
/// A newer gateway wrote the file, the address of InfluxDB is none, or there is no room in memory either.
pub async fn start_anyhow(
    options: Options,
    model: Arc<Model>,
    stop: CancellationToken,
    tracker: &TaskTracker,
) -> Result<(HistoryHandle, Embedded, HistoryHealth, Option<Elsewhere>), HistoryError> {
    let file = options.path.clone();
    let first = start(options.clone(), model.clone(), stop.clone(), tracker).await;
    let error = match first {
        Err(error @ (HistoryError::Open { .. } | HistoryError::SetAside { .. })) => error,
        done => return done.map(|(handle, shown, health)| (handle, shown, health, None)),
    };
    let Ok(folder) = folder_in_memory() else {
        return Err(error);
    };
    tracing::error!(%error, "telemetry of the last hour is kept in memory only");
    let instead = Options {
        path: folder.path().join("telemetry.db"),
        retention: KEPT,
        backlog: KEPT,
        disk: None,
        ..options
    };
    let (handle, shown, health) = start(instead, model, stop, tracker).await?;
    health.is_elsewhere(error.to_string());
    let elsewhere = Elsewhere {
        file,
        since: Instant::now(),
        _folder: folder,
    };
    Ok((handle, shown, health, Some(elsewhere)))
}
