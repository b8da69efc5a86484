//! The one task that owns the facility: inputs in, durable effects out.
//!
//! Nothing is told, shown or acknowledged before the journal has it — unless the journal itself
//! fails: then telling wins, marked "unrecorded" and loud.

mod asked;
mod clock;
mod inbox;
#[cfg(test)]
mod tests;
mod turn;

pub use inbox::Inbox;

use crate::channels::Routes;
use crate::clock::Steps;
use crate::health::Board;
use crate::history::HistoryHandle;
use crate::journal::{DeadLetter, InboxKey, Journal, JournalError};
use crate::outbox::Unrecorded;
use crate::watchdog::Pulse;
use asked::Asked;
use clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turn::{Turn, Waiting};
use zhiban_core::{Effects, Facility, Input, Snapshot};
use zhiban_dashboard::ports::{CommandError, CommandRequest, Live, StoredAnswer};

/// How many messages may wait for the engine; a full queue slows the drivers down.
pub const QUEUE: usize = 1024;
/// How many messages share one commit at most. There is no timer: whatever waits is committed.
const TURN: usize = 512;
/// Changed values alone are shown at most this often.
const SHOW_VALUES: Duration = Duration::from_millis(250);
/// Alarms and orders are shown at once, in a storm at most this often.
const SHOW_RECORDS: Duration = Duration::from_millis(50);
/// A failed commit is tried again after this, doubled up to the second figure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a person waits for a commit that fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many records wait in memory while the journal fails; beyond it messages are not acknowledged.
const UNRECORDED: usize = 50_000;

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

    /// Hands over a decision of a person.
    pub async fn command(&self, request: CommandRequest) -> Result<(), Stopped> {
        self.send(Message::Command(request)).await
    }

    async fn send(&self, message: Message) -> Result<(), Stopped> {
        self.sender.send(message).await.map_err(|_| Stopped)
    }
}

/// Everything the engine works with.
pub struct Parts {
    /// The building, restored from the journal.
    pub facility: Facility,
    /// The record store.
    pub journal: Arc<Journal>,
    /// Which channels a notification goes to.
    pub routes: Arc<Routes>,
    /// Tells people directly while the journal fails.
    pub unrecorded: Unrecorded,
    /// Telemetry.
    pub history: HistoryHandle,
    /// Messages received lately.
    pub inbox: Inbox,
    /// What people see.
    pub snapshot: watch::Sender<Arc<Snapshot>>,
    /// What changed, for the live stream.
    pub live: broadcast::Sender<Live>,
    /// Wakes the outbox.
    pub wake: Arc<Notify>,
    /// How the gateway is.
    pub board: Arc<Board>,
    /// Where short waits for the history run.
    pub tracker: TaskTracker,
    /// Beats with every turn.
    pub pulse: Pulse,
    /// The steps of the clock, shared with who compares stored times with now.
    pub steps: Arc<Steps>,
}

/// The engine.
pub struct Engine {
    parts: Parts,
    clock: Clock,
    /// What could not be committed yet, and who waits for it.
    waiting: Waiting,
    retry: Duration,
    asked: Asked,
    /// Changes that are durable and wait to be shown.
    news: Vec<Live>,
    shown_at: Instant,
    /// When news were last shown: a lone alarm must not wait for values shown just before it.
    news_at: Instant,
    shown: u64,
}

impl Engine {
    /// An engine that has done nothing yet.
    pub fn new(parts: Parts) -> Self {
        let shown_at = Instant::now();
        let clock = Clock::new(parts.steps.clone());
        Self {
            parts,
            clock,
            waiting: Waiting::default(),
            retry: RETRY.0,
            asked: Asked::default(),
            news: Vec::new(),
            shown_at,
            news_at: shown_at,
            shown: 0,
        }
    }

    /// Works until stopped; then takes what still waits in the queue, once.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Message>, stop: CancellationToken) {
        // What is known from before the start is judged now, not when a device happens to speak.
        let begin = Message::Inputs(vec![Input::Tick]);
        self.take_turn(Some(begin), &mut queue).await;
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = queue.recv() => message,
                () = tokio::time::sleep_until(self.wake_at()) => None,
            };
            self.take_turn(first, &mut queue).await;
        }
        queue.close();
        while let Ok(message) = queue.try_recv() {
            self.take_turn(Some(message), &mut queue).await;
        }
        if !self.waiting.is_empty() {
            // The journal may take it by now, and there is no later.
            self.waiting.retry_at = Instant::now();
            self.commit_waiting().await;
        }
    }

    /// One turn: whatever waits, through the facility, into one commit, and out.
    async fn take_turn(&mut self, first: Option<Message>, queue: &mut mpsc::Receiver<Message>) {
        self.parts.pulse.turn();
        let (now, set) = self.clock.now();
        let mut turn = Turn::new(now);
        if let Some(by) = set {
            turn.step.clock_set = Some(by);
            self.handle_all(vec![Input::ClockSet(by)], &mut turn);
        }
        let mut next = first;
        while let Some(message) = next {
            self.take(message, &mut turn);
            next = if turn.taken < TURN {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        self.tick(&mut turn);
        turn.route(&self.parts.routes);
        if self.waiting.is_empty() {
            self.commit(turn).await;
        } else {
            self.hold(turn);
            self.commit_waiting().await;
        }
        self.show(false);
    }

    fn take(&mut self, message: Message, turn: &mut Turn) {
        turn.taken += 1;
        match message {
            Message::Inputs(inputs) => self.handle_all(inputs, turn),
            Message::Delivery(delivery) => {
                let copy = self.parts.inbox.is_copy(&delivery.key);
                if copy {
                    metrics::counter!("zhiban_inbox_copies_total").increment(1);
                    // Its records are durable; its samples may not have been, and twice is once.
                    let (links, updates) = inbox::of_copy(delivery.inputs);
                    self.handle_all(links, turn);
                    turn.updates.extend(updates);
                } else {
                    self.parts.inbox.insert(delivery.key);
                    turn.step.inbox.push(delivery.key);
                    turn.step.dead_letters.extend(delivery.dead_letter);
                    let before = turn.updates.len();
                    self.handle_all(delivery.inputs, turn);
                    self.keep_points(before, turn);
                }
                turn.durable.push(delivery.durable);
            }
            Message::Command(request) => self.take_command(request, turn),
        }
    }

    /// What an acknowledged message said of judged points is kept: it will not be said again.
    fn keep_points(&self, from: usize, turn: &mut Turn) {
        let changed = turn
            .updates
            .iter()
            .skip(from)
            .filter(|update| update.changed);
        for update in changed.filter(|update| self.parts.facility.is_judged(update.point)) {
            if let (Some(value), true) = (&update.value, update.quality.may_raise()) {
                turn.step
                    .points
                    .push((update.point, value.clone(), update.at));
            }
        }
    }

    fn take_command(&mut self, request: CommandRequest, turn: &mut Turn) {
        if !self.waiting.is_empty() {
            answer(request.reply, Err(CommandError::NotTaken));
            return;
        }
        let once = request.once;
        let now = Instant::now();
        if once
            .as_ref()
            .is_some_and(|once| self.asked.has(&once.key, now))
        {
            answer(request.reply, Err(CommandError::Repeated));
            return;
        }
        let input = Input::Command(request.command);
        match self.handle(input, turn) {
            Ok(outcome) => {
                if let Some(once) = once {
                    let done = StoredAnswer::done(once.request, &outcome);
                    turn.step.answers.push((once.key.clone(), done));
                    self.asked.add(once.key, now);
                }
                turn.replies.push((request.reply, outcome));
            }
            Err(refusal) => answer(request.reply, Err(refusal.into())),
        }
    }

    fn handle_all(&mut self, inputs: Vec<Input>, turn: &mut Turn) {
        for input in inputs {
            if let Err(refusal) = self.handle(input, turn) {
                tracing::error!(%refusal, "an input that is no command was refused");
            }
        }
    }

    fn handle(
        &mut self,
        input: Input,
        turn: &mut Turn,
    ) -> Result<zhiban_core::Outcome, zhiban_core::Refusal> {
        let mut effects = Effects::default();
        let outcome = self
            .parts
            .facility
            .handle(input, turn.step.at, &mut effects);
        turn.updates.append(&mut effects.updates);
        turn.step.records.append(&mut effects.records);
        outcome
    }

    fn tick(&mut self, turn: &mut Turn) {
        let due = self
            .parts
            .facility
            .next_deadline()
            .is_some_and(|(at, _)| at <= turn.step.at);
        if due {
            self.handle_all(vec![Input::Tick], turn);
        }
    }

    async fn commit(&mut self, turn: Turn) {
        if !turn.step.is_empty() {
            let begun = Instant::now();
            if let Err(error) = self.parts.journal.commit(&turn.step).await {
                tracing::error!(
                    error = error.chain(),
                    "records cannot be written; they wait in memory"
                );
                self.failed(&error);
                self.hold(turn);
                return;
            }
            self.parts.pulse.committed();
            metrics::histogram!("zhiban_commit_seconds").record(begun.elapsed());
        }
        self.release(turn);
    }

    /// The board says at once why records are not written, and goes on saying it.
    fn failed(&self, error: &JournalError) {
        metrics::counter!("zhiban_commit_failures_total").increment(1);
        self.parts.pulse.commit_failed(error);
        let board = &self.parts.board;
        board.set("journal", false, true, error.to_string());
    }

    /// What a durable turn lets out: the news, the answers, the acknowledgements.
    fn release(&mut self, turn: Turn) {
        if let Some(by) = turn.step.clock_set {
            self.clock.written(by);
        }
        let wake = !turn.step.outbox.is_empty();
        self.news.extend(turn.news());
        let events = crate::history::events(self.parts.facility.model(), &turn.step.records);
        self.parts
            .history
            .store(turn.updates, events, turn.durable, &self.parts.tracker);
        if wake {
            self.parts.wake.notify_one();
        }
        if !turn.replies.is_empty() {
            self.show(true);
        }
        for (reply, outcome) in turn.replies {
            answer(reply, Ok(outcome));
        }
    }

    /// The journal fails: people are told all the same, and everything waits to be written.
    fn hold(&mut self, turn: Turn) {
        self.parts.unrecorded.tell(&turn.step.records);
        self.news.extend(turn.news());
        self.waiting
            .add(turn, Instant::now() + self.retry, Instant::now() + PATIENCE);
        self.waiting.shed(UNRECORDED);
    }

    async fn commit_waiting(&mut self) {
        self.waiting.give_up(Instant::now());
        if Instant::now() < self.waiting.retry_at {
            return;
        }
        match self.write_waiting().await {
            Ok(refused) => {
                match self.waiting.let_go() {
                    0 => tracing::info!("records can be written again; nothing was lost"),
                    let_go => tracing::error!(
                        let_go,
                        "records can be written again; values, raw messages or steps of records \
                         between two states found no room in memory meanwhile and are lost"
                    ),
                }
                if refused > 0 {
                    tracing::error!(refused, "records were refused and are set aside");
                    // Whoever asked for one of them must not believe that it was done.
                    self.waiting.refuse_replies();
                }
                self.parts.pulse.committed();
                self.parts.board.set("journal", true, true, String::new());
                self.retry = RETRY.0;
                self.asked.written(Instant::now());
                let turn = std::mem::take(&mut self.waiting).turn;
                self.release(turn);
            }
            Err(error) => {
                self.retry = (self.retry * 2).min(RETRY.1);
                self.waiting.retry_at = Instant::now() + self.retry;
                self.failed(&error);
                tracing::debug!(%error, "records still cannot be written");
            }
        }
    }

    /// Writes all that waits; a record that is refused is set aside in place of holding up the rest.
    /// Says how many were.
    async fn write_waiting(&self) -> Result<usize, JournalError> {
        let step = &self.waiting.turn.step;
        match self.parts.journal.commit(step).await {
            Ok(()) => Ok(0),
            Err(error) if error.is_of_a_record() => {
                tracing::error!(error = error.chain(), "a record is refused");
                self.parts.journal.commit_apart(step).await
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes the building as it is, when enough time passed or somebody waits for it.
    fn show(&mut self, now: bool) {
        let age = self.shown_at.elapsed();
        let sequence = self.parts.facility.sequence();
        let due = if self.news.is_empty() {
            sequence != self.shown && age >= SHOW_VALUES
        } else {
            self.news_at.elapsed() >= SHOW_RECORDS
        };
        if !due && !now {
            return;
        }
        self.shown_at = Instant::now();
        if !self.news.is_empty() {
            self.news_at = self.shown_at;
        }
        self.shown = sequence;
        let snapshot = self.parts.facility.snapshot(self.clock.last());
        self.parts.snapshot.send_replace(Arc::new(snapshot));
        for news in self.news.drain(..) {
            // Nobody listening is no fault: the snapshot already says it.
            drop(self.parts.live.send(news));
        }
    }

    /// When the engine must look again although nothing came.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wait = Duration::from_secs(1);
        if let Some((at, _)) = self.parts.facility.next_deadline() {
            wait = wait.min(at.since(self.clock.peek()).to_std());
        }
        let mut at = now + wait;
        if !self.news.is_empty() {
            at = at.min(self.news_at + SHOW_RECORDS);
        } else if self.parts.facility.sequence() != self.shown {
            at = at.min(self.shown_at + SHOW_VALUES);
        }
        if !self.waiting.is_empty() {
            at = at.min(self.waiting.retry_at);
        }
        at
    }
}

/// Answers a person; one who left does not need it.
fn answer(
    reply: oneshot::Sender<Result<zhiban_core::Outcome, CommandError>>,
    result: Result<zhiban_core::Outcome, CommandError>,
) {
    drop(reply.send(result));
}
