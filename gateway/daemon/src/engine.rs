//! The one task that owns the facility: inputs in, durable effects out.
//!
//! Nothing is told, shown or acknowledged before the journal has it — unless the journal itself
//! fails: then telling wins, marked "unrecorded" and loud.

use crate::journal::{DeadLetter, InboxKey};
use tokio::sync::{mpsc, oneshot};
use zhiban_core::Input;
use zhiban_dashboard::ports::CommandRequest;

/// How many messages may wait for the engine; a full queue slows the drivers down.
pub const QUEUE: usize = 1024;

/// Something for the engine.
#[derive(Debug)]
pub enum Message {
    /// Readings of a driver, or a change of a link.
    Inputs(Vec<Input>),
    /// A message that its sender may only acknowledge when it is durable.
    Delivery(Delivery),
    /// A decision of a person.
    Command(CommandRequest),
}

/// A message that its sender may only acknowledge when it is durable.
#[derive(Debug)]
pub struct Delivery {
    /// What it brought; empty for one that could not be decoded.
    pub inputs: Vec<Input>,
    /// By what a second copy is known.
    pub key: InboxKey,
    /// The raw message, when it could not be decoded.
    pub dead_letter: Option<DeadLetter>,
    /// Answers when everything of it is durable; dropped when it cannot become so.
    pub durable: oneshot::Sender<()>,
}

/// The way to the engine.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    sender: mpsc::Sender<Message>,
}

/// The engine is gone; the gateway is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Stopped;

impl EngineHandle {
    /// A handle and the queue it feeds; tests read the queue in place of an engine.
    pub fn channel() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender }, receiver)
    }

    /// Hands over readings; waits while the engine is behind.
    pub async fn inputs(&self, inputs: Vec<Input>) -> Result<(), Stopped> {
        self.send(Message::Inputs(inputs)).await
    }

    /// Hands over a message whose acknowledgement waits until it is durable.
    pub async fn deliver(&self, delivery: Delivery) -> Result<(), Stopped> {
        self.send(Message::Delivery(delivery)).await
    }

    async fn send(&self, message: Message) -> Result<(), Stopped> {
        self.sender.send(message).await.map_err(|_| Stopped)
    }
}
