//! The queue between the task that talks to the broker and the one that feeds the engine. It is
//! bounded in messages and bytes, and its sender never waits inside it: who waits answers no ping.
//! What does not fit is given back, and there is word when there is room again. A message weighs
//! until nobody needs it any more, also where it waits behind this queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};

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
    /// Its part of what may wait; `None` before it is in the queue.
    pub(super) weight: Option<Weight>,
}

/// Bytes that count as waiting until this is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    bytes: usize,
    fill: Arc<Fill>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.fill.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.fill.freed.notify_one();
    }
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
    /// Whether another client takes the connection again and again.
    Contested(bool),
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The end that is written.
#[derive(Debug)]
pub(super) struct Inbox {
    sender: mpsc::Sender<Item>,
    fill: Arc<Fill>,
}

/// The end that is read.
#[derive(Debug)]
pub(super) struct Outlet {
    receiver: mpsc::Receiver<Item>,
    fill: Arc<Fill>,
}

/// How full a queue is.
#[derive(Debug, Default)]
struct Fill {
    bytes: AtomicUsize,
    /// Told whenever something was taken out, or weighs no more.
    freed: Notify,
}

/// A queue.
pub(super) fn queue() -> (Inbox, Outlet) {
    let (sender, receiver) = mpsc::channel(MOST_MESSAGES + RESERVE);
    let fill = Arc::<Fill>::default();
    let inbox = Inbox {
        sender,
        fill: fill.clone(),
    };
    (inbox, Outlet { receiver, fill })
}

impl Inbox {
    /// Puts a message in, if there is room for it and its bytes; gives it back otherwise.
    pub(super) fn push(&self, mut message: Received) -> Result<(), Box<Received>> {
        let size = message.bytes();
        if !self.has(RESERVE + 1, size) {
            return Err(Box::new(message));
        }
        let Ok(place) = self.sender.try_reserve() else {
            return Err(Box::new(message));
        };
        self.fill.bytes.fetch_add(size, Ordering::Relaxed);
        message.weight = Some(Weight {
            bytes: size,
            fill: self.fill.clone(),
        });
        place.send(Item::Message(message));
        Ok(())
    }

    /// Waits until a quarter of the queue is free, so that a full one is not refilled one by one.
    pub(super) async fn room(&self) {
        while !self.has(MOST_MESSAGES / 4, MOST_BYTES / 4) {
            self.fill.freed.notified().await;
        }
    }

    /// Whether so many more messages and bytes may come.
    fn has(&self, messages: usize, bytes: usize) -> bool {
        let waiting = self.fill.bytes.load(Ordering::Relaxed);
        self.sender.capacity() >= messages && waiting + bytes <= MOST_BYTES
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

impl Inbox {
    /// Says whether another client takes the connection again and again.
    pub(super) fn contested(&self, contested: bool) -> Result<(), Full> {
        let news = Item::Contested(contested);
        self.sender.try_send(news).map_err(|_| Full)
    }
}

impl Outlet {
    /// The next item; `None` when the other end is gone.
    pub(super) async fn next(&mut self) -> Option<Item> {
        let item = self.receiver.recv().await?;
        self.fill.freed.notify_one();
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
            weight: None,
        }
    }

    #[tokio::test]
    async fn it_is_bounded_in_bytes_and_messages_and_keeps_room_for_news() {
        let (inbox, mut outlet) = queue();
        assert!(inbox.push(message(MOST_BYTES)).is_ok());
        assert!(inbox.push(message(1)).is_err());
        let taken = outlet.next().await;
        assert!(inbox.push(message(1)).is_err(), "it still weighs");
        drop(taken);
        for _ in 0..MOST_MESSAGES {
            assert!(inbox.push(message(1)).is_ok());
        }
        let back = inbox.push(message(7)).unwrap_err();
        assert_eq!(back.payload.len(), 7);
        assert_eq!(inbox.lost(), Ok(()));
    }

    #[tokio::test]
    async fn there_is_word_of_room_when_a_quarter_is_free() {
        let (inbox, mut outlet) = queue();
        inbox.room().await;
        while inbox.push(message(1)).is_ok() {}
        let taken = async {
            for _ in 0..MOST_MESSAGES / 4 {
                outlet.next().await;
            }
        };
        tokio::select! {
            biased;
            () = inbox.room() => panic!("it is full"),
            () = std::future::ready(()) => {}
        }
        tokio::join!(inbox.room(), taken);
        assert!(inbox.push(message(1)).is_ok());
    }
}
