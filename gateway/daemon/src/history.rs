//! Telemetry: a journal of batches that is spool and history at once.
//!
//! Losing it never touches alarms or orders, nothing waits for InfluxDB, and a batch that asks to
//! be durable is only answered when it is on disk.

mod events;

pub use events::{EventLine, EventValue, events};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use zhiban_core::PointUpdate;

use std::sync::Arc;

/// How many batches may wait for the history task; beyond it periodic ones are dropped and counted.
pub const QUEUE: usize = 1024;

/// How many durable batches may wait for room in the queue; beyond it they are let go unanswered.
const WAITERS: usize = 64;

/// A batch for the history.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was read, in the order it came.
    pub updates: Vec<PointUpdate>,
    /// What happened to alarms and orders; goes to InfluxDB only.
    pub events: Vec<EventLine>,
    /// Answered when the batch is on disk, dropped when it cannot get there; empty lets the batch
    /// wait for the next flush.
    pub durable: Vec<oneshot::Sender<()>>,
}

/// The way to the history task.
#[derive(Debug, Clone)]
pub struct HistoryHandle {
    sender: mpsc::Sender<Batch>,
    waiters: Arc<Semaphore>,
}

impl HistoryHandle {
    /// A handle and the queue it feeds; tests read the queue in place of the history task.
    pub fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let waiters = Arc::new(Semaphore::new(WAITERS));
        (Self { sender, waiters }, receiver)
    }

    /// Hands over what a turn brought, without waiting. When the queue is full, a batch with
    /// somebody waiting for it waits in `tracker` for room; any other is dropped and counted.
    pub fn store(
        &self,
        updates: Vec<PointUpdate>,
        events: Vec<EventLine>,
        durable: Vec<oneshot::Sender<()>>,
        tracker: &TaskTracker,
    ) {
        if updates.is_empty() && events.is_empty() {
            for waiting in durable {
                // Whoever asked may have left; then nobody needs the answer.
                waiting.send(()).ok();
            }
            return;
        }
        let batch = Batch {
            updates,
            events,
            durable,
        };
        match self.sender.try_send(batch) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(batch)) if !batch.durable.is_empty() => {
                self.wait_for_room(batch, tracker);
            }
            Err(mpsc::error::TrySendError::Full(batch)) => dropped(&batch, "queue_full"),
            Err(mpsc::error::TrySendError::Closed(batch)) => dropped(&batch, "stopping"),
        }
    }

    fn wait_for_room(&self, batch: Batch, tracker: &TaskTracker) {
        let Ok(permit) = self.waiters.clone().try_acquire_owned() else {
            dropped(&batch, "queue_full");
            return;
        };
        let sender = self.sender.clone();
        tracker.spawn(async move {
            if let Err(mpsc::error::SendError(batch)) = sender.send(batch).await {
                dropped(&batch, "stopping");
            }
            drop(permit);
        });
    }
}

/// Counts the points of a batch that goes no further.
fn dropped(batch: &Batch, reason: &'static str) {
    count_dropped(batch.updates.len(), reason);
    if !batch.events.is_empty() {
        metrics::counter!("zhiban_history_events_dropped_total", "reason" => reason)
            .increment(batch.events.len() as u64);
    }
}

/// Counts points that are lost, by reason.
fn count_dropped(points: usize, reason: &'static str) {
    metrics::counter!("zhiban_points_dropped_total", "reason" => reason).increment(points as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::{PointId, Quality, Timestamp, Value};

    fn update() -> PointUpdate {
        PointUpdate {
            point: PointId(0),
            value: Some(Value::Number(1.0)),
            quality: Quality::Good,
            at: Timestamp::from_millis(1),
            changed: true,
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_nobody_waits_for_and_keeps_the_rest() {
        let (handle, mut queue) = HistoryHandle::channel();
        let tracker = TaskTracker::new();
        for _ in 0..QUEUE + 5 {
            handle.store(vec![update()], Vec::new(), Vec::new(), &tracker);
        }
        let (durable, mut answer) = oneshot::channel();
        handle.store(vec![update()], Vec::new(), vec![durable], &tracker);
        for _ in 0..QUEUE {
            assert!(queue.recv().await.unwrap().durable.is_empty());
        }
        let last = queue.recv().await.unwrap();
        assert_eq!(last.durable.len(), 1);
        assert!(
            answer.try_recv().is_err(),
            "not answered before it is on disk"
        );
        assert!(queue.try_recv().is_err());
    }

    #[tokio::test]
    async fn nothing_to_store_is_durable_at_once() {
        let (handle, _queue) = HistoryHandle::channel();
        let (durable, answer) = oneshot::channel();
        handle.store(Vec::new(), Vec::new(), vec![durable], &TaskTracker::new());
        assert_eq!(answer.await, Ok(()));
    }
}
