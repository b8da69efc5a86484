//! The queue between the task that talks to the broker and the one that feeds the engine. It is
//! bounded in messages and bytes, and its sender never waits: who waits answers no ping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

const MOST_MESSAGES: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Room that only what is no message may take.
const RESERVE: usize = 16;

/// A message as it came.
#[derive(Debug)]
pub(super) struct Received {
    /// The connection it came by.
    pub(super) epoch: u64,
    /// Its number; `None` when the broker does not wait to hear of it.
    pub(super) packet: Option<u16>,
    /// Whether the broker had kept it from earlier.
    pub(super) retained: bool,
    /// Whether the broker marked it as sent again.
    pub(super) repeated: bool,
    /// Whether it was too large to be looked at; its payload is only its beginning.
    pub(super) oversize: bool,
    /// Its topic.
    pub(super) topic: String,
    /// Its payload.
    pub(super) payload: bytes::Bytes,
}

impl Received {
    fn bytes(&self) -> usize {
        self.payload.len() + self.topic.len()
    }
}

/// What the feeding task must know, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// A message came.
    Message(Received),
    /// The broker knows nothing of an earlier session: it numbers its messages anew.
    NewSession,
    /// The broker has been out of reach for too long.
    Lost,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The end that is written.
#[derive(Debug)]
pub(super) struct Inbox {
    sender: mpsc::Sender<Item>,
    bytes: Arc<AtomicUsize>,
}

/// The end that is read.
#[derive(Debug)]
pub(super) struct Outlet {
    receiver: mpsc::Receiver<Item>,
    bytes: Arc<AtomicUsize>,
}

/// A queue.
pub(super) fn queue() -> (Inbox, Outlet) {
    let (sender, receiver) = mpsc::channel(MOST_MESSAGES + RESERVE);
    let bytes = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox {
        sender,
        bytes: bytes.clone(),
    };
    (inbox, Outlet { receiver, bytes })
}

impl Inbox {
    /// Puts a message in, if there is room for it and its bytes.
    pub(super) fn push(&self, message: Received) -> Result<(), Full> {
        let size = message.bytes();
        let waiting = self.bytes.load(Ordering::Relaxed);
        if self.sender.capacity() <= RESERVE || waiting + size > MOST_BYTES {
            return Err(Full);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.sender
            .try_send(Item::Message(message))
            .map_err(|_| Full)
    }

    /// Says that the broker began a session.
    pub(super) fn new_session(&self) -> Result<(), Full> {
        self.sender.try_send(Item::NewSession).map_err(|_| Full)
    }

    /// Says that the broker is out of reach.
    pub(super) fn lost(&self) -> Result<(), Full> {
        self.sender.try_send(Item::Lost).map_err(|_| Full)
    }
}

impl Outlet {
    /// The next item; `None` when the other end is gone.
    pub(super) async fn next(&mut self) -> Option<Item> {
        let item = self.receiver.recv().await?;
        if let Item::Message(message) = &item {
            self.bytes.fetch_sub(message.bytes(), Ordering::Relaxed);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Received {
        Received {
            epoch: 1,
            packet: None,
            retained: false,
            repeated: false,
            oversize: false,
            topic: String::new(),
            payload: vec![0; size].into(),
        }
    }

    #[tokio::test]
    async fn it_is_bounded_in_bytes_and_messages_and_keeps_room_for_news() {
        let (inbox, mut outlet) = queue();
        assert_eq!(inbox.push(message(MOST_BYTES)), Ok(()));
        assert_eq!(inbox.push(message(1)), Err(Full));
        outlet.next().await;
        for _ in 0..MOST_MESSAGES {
            assert_eq!(inbox.push(message(1)), Ok(()));
        }
        assert_eq!(inbox.push(message(1)), Err(Full));
        assert_eq!(inbox.lost(), Ok(()));
    }
}
