//! Acknowledgements, in the order the messages came, each only when its message is durable. An
//! acknowledgement of a former connection is never sent: its number may mean another message now.

use super::inbox::Weight;
use super::line::{Broken, Line};
use std::collections::VecDeque;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// A message that the broker waits to hear of, or that is too heavy to be forgotten before.
#[derive(Debug)]
pub(super) struct Owed {
    /// The connection it came by.
    pub(super) epoch: u64,
    /// Its number on that connection; `None` when the broker does not wait to hear of it.
    pub(super) packet: Option<u16>,
    /// Answers when it is durable.
    pub(super) durable: oneshot::Receiver<()>,
    /// Its part of what may wait, until it is durable.
    #[expect(
        dead_code,
        reason = "it is held, and gives its part back when it is dropped"
    )]
    pub(super) weight: Option<Weight>,
}

/// A message that could not be made durable: the broker must send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDurable;

/// What is to be acknowledged on the present connection.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// How many connections there were.
    count: u64,
    /// The present one; `None` while there is none.
    epoch: Option<u64>,
    waiting: VecDeque<Owed>,
    ready: VecDeque<u16>,
}

impl Acks {
    /// A connection is up. Returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.end();
        self.count += 1;
        self.epoch = Some(self.count);
        self.count
    }

    /// The connection is gone: what was owed on it the broker sends again. Says whether there
    /// was one.
    pub(super) fn end(&mut self) -> bool {
        self.waiting.clear();
        self.ready.clear();
        self.epoch.take().is_some()
    }

    /// Takes a debt over, unless it is of a former connection.
    pub(super) fn push(&mut self, owed: Owed) {
        if Some(owed.epoch) == self.epoch {
            self.waiting.push_back(owed);
        }
    }

    /// Waits until the oldest message is durable; for ever when there is none. Those behind it that
    /// became durable with it are done as well.
    pub(super) async fn settle(&mut self) -> Result<(), NotDurable> {
        let Some(oldest) = self.waiting.front_mut() else {
            return std::future::pending().await;
        };
        let mut settled = (&mut oldest.durable).await.is_ok();
        loop {
            let done = self.waiting.pop_front().and_then(|owed| owed.packet);
            if !settled && done.is_some() {
                return Err(NotDurable);
            }
            self.ready.extend(done);
            settled = match self.waiting.front_mut().map(|next| next.durable.try_recv()) {
                None | Some(Err(TryRecvError::Empty)) => return Ok(()),
                Some(Ok(())) => true,
                Some(Err(TryRecvError::Closed)) => false,
            };
        }
    }

    /// Hands over what is ready, as far as the connection takes it without waiting.
    pub(super) fn flush(&mut self, line: &mut Line) -> Result<(), Broken> {
        while let Some(packet) = self.ready.front() {
            if !line.acknowledge(*packet)? {
                break;
            }
            self.ready.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(epoch: u64, packet: u16) -> (oneshot::Sender<()>, Owed) {
        let (sender, durable) = oneshot::channel();
        let owed = Owed {
            epoch,
            packet: Some(packet),
            durable,
            weight: None,
        };
        (sender, owed)
    }

    #[tokio::test]
    async fn acknowledgements_leave_in_order_and_only_on_their_own_connection() {
        let mut acks = Acks::default();
        let first = acks.begin();
        let (one, owed_one) = owed(first, 1);
        let (two, owed_two) = owed(first, 2);
        acks.push(owed_one);
        acks.push(owed_two);
        two.send(()).unwrap();
        let early = tokio::time::timeout(std::time::Duration::from_millis(1), acks.settle());
        assert!(early.await.is_err(), "the second waits for the first");
        one.send(()).unwrap();
        assert_eq!(acks.settle().await, Ok(()));
        assert_eq!(acks.ready, [1, 2]);

        assert!(acks.end());
        let (_late, owed_late) = owed(first, 3);
        acks.push(owed_late);
        let second = acks.begin();
        assert!(acks.ready.is_empty());
        let (_late, owed_late) = owed(first, 3);
        acks.push(owed_late);
        assert!(acks.waiting.is_empty());
        let (lost, owed_lost) = owed(second, 1);
        acks.push(owed_lost);
        drop(lost);
        assert_eq!(acks.settle().await, Err(NotDurable));

        // Nobody waits to hear of this one.
        let third = acks.begin();
        let (lost, mut owed_lost) = owed(third, 4);
        owed_lost.packet = None;
        acks.push(owed_lost);
        drop(lost);
        assert_eq!(acks.settle().await, Ok(()));
        assert!(acks.ready.is_empty());
    }
}
