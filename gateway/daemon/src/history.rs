//! Telemetry: a journal of batches that is spool and history at once.
//!
//! Losing it never touches alarms or orders, and nothing waits for InfluxDB.

use tokio::sync::{mpsc, oneshot};
use zhiban_core::PointUpdate;

/// How many batches may wait for the history task; beyond it the oldest periodic ones are dropped and counted.
pub const QUEUE: usize = 1024;

/// A batch for the history.
#[derive(Debug)]
pub struct Batch {
    /// What was read, in the order it came.
    pub updates: Vec<PointUpdate>,
    /// Answers when the batch is on disk; `None` lets it wait for the next flush.
    pub durable: Option<oneshot::Sender<()>>,
}

/// The way to the history task.
#[derive(Debug, Clone)]
pub struct HistoryHandle {
    /// Where batches go.
    pub sender: mpsc::Sender<Batch>,
}
