//! The outbox: brings what the journal holds to the people, through every channel it is for.
//!
//! Nothing is sent that is not recorded — except by [`Unrecorded`], while the record store fails.
//! Every attempt is written down; what is given up stays visible.

mod lane;
mod queue;
#[cfg(test)]
mod surfaces;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod unrecorded;

pub use text::TextsError;

use crate::channels::{Configured, LONGEST_RETRY_AFTER, Routes};
use crate::clock::Steps;
use crate::health::Board;
use crate::journal::{Journal, JournalError, Store};
use lane::Lane;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use text::Texts;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use told::{Renderer, Told};
use unrecorded::Waiting;
use zhiban_core::{Effect, Model};

/// How often the health line is written.
const LOOK: Duration = Duration::from_secs(5);
/// How often rows of channels that are gone are looked for.
const ORPHANS_EVERY: Duration = Duration::from_secs(3600);

/// How a message that was not delivered is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The wait after the first failure is between this and twice as long.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// A message that guards life is given up when it is older than this, whatever was answered; another
    /// one after the time of its channel. Ages are those of a clock that nobody set.
    pub give_up: Duration,
    /// What guards life is tried at least this often: a gateway that started with a wrong clock must
    /// not take it for old.
    pub least: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(600),
            give_up: Duration::from_secs(24 * 3600),
            least: 20,
        }
    }
}

impl Pace {
    /// Nothing waits longer for its next try, whatever the other side asked for.
    fn longest_wait(&self) -> Duration {
        self.longest.max(LONGEST_RETRY_AFTER) * 2
    }

    /// A random time between the first wait and a limit that doubles with each attempt.
    fn wait(&self, attempt: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(attempt.min(16)));
        let limit = doubled.min(self.longest).max(self.first);
        let span = u64::try_from((limit - self.first).as_micros()).unwrap_or(u64::MAX);
        // Without random numbers everybody waits the longest.
        let random = getrandom::u64().unwrap_or(span);
        self.first + Duration::from_micros(random % span.saturating_add(1).max(1))
    }
}

/// What the outbox works with.
pub struct Parts {
    /// The open journal.
    pub journal: Arc<Journal>,
    /// Every channel.
    pub channels: Vec<Configured>,
    /// Which channels take what.
    pub routes: Arc<Routes>,
    /// Where people open the dashboard; `None` leaves links out of messages.
    pub url: Option<String>,
    /// How it is written on the board of the gateway.
    pub board: Arc<Board>,
    /// How failures are tried again.
    pub pace: Pace,
    /// By how much the clock was set that the rows do not know of yet.
    pub steps: Arc<Steps>,
}

/// The outbox task.
pub struct Outbox {
    lanes: Vec<(Arc<Lane>, Arc<Waiting>)>,
    store: Store,
    routes: Arc<Routes>,
    board: Arc<Board>,
    give_up: Duration,
    steps: Arc<Steps>,
}

/// Tells people what cannot be recorded, marked as such.
#[derive(Debug, Clone)]
pub struct Unrecorded {
    model: Arc<Model>,
    routes: Arc<Routes>,
    lanes: Arc<[(String, Arc<Waiting>)]>,
}

impl Outbox {
    /// An outbox that has sent nothing yet, and the way past the record store.
    ///
    /// # Errors
    /// The texts of the notifications are not usable.
    pub fn new(parts: Parts) -> Result<(Self, Unrecorded), TextsError> {
        let model = parts.journal.model().clone();
        let renderer = Arc::new(Renderer {
            model: model.clone(),
            texts: Texts::built_in()?,
            url: parts.url.map(|url| url.trim_end_matches('/').to_owned()),
        });
        let mut lanes = Vec::new();
        let mut ways = Vec::new();
        for channel in parts.channels {
            let waiting = Arc::new(Waiting::default());
            ways.push((channel.name.clone(), waiting.clone()));
            let lane = Lane {
                channel,
                store: parts.journal.store().clone(),
                renderer: renderer.clone(),
                pace: parts.pace,
                steps: parts.steps.clone(),
                wake: Arc::new(Notify::new()),
                broken: Mutex::default(),
            };
            lanes.push((Arc::new(lane), waiting));
        }
        let outbox = Self {
            lanes,
            store: parts.journal.store().clone(),
            routes: parts.routes.clone(),
            board: parts.board,
            give_up: parts.pace.give_up,
            steps: parts.steps,
        };
        let unrecorded = Unrecorded {
            model,
            routes: parts.routes,
            lanes: ways.into(),
        };
        Ok((outbox, unrecorded))
    }

    /// Sends what is due on every channel, until stopped. `wake` says that there is something new.
    pub async fn run(self, wake: Arc<Notify>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut bells = Vec::new();
        let mut served = Vec::new();
        let lanes = self.lanes;
        let names = lanes.iter().map(|(lane, _)| lane.channel.name.clone());
        served.extend(names);
        hand_over(&self.store, &served, &self.routes, &self.steps).await;
        for (lane, waiting) in &lanes {
            bells.push(lane.wake.clone());
            let (direct, waiting, direct_stop) = (lane.clone(), waiting.clone(), stop.clone());
            tasks.spawn(async move { direct.run_unrecorded(&waiting, direct_stop).await });
            let (lane, stop) = (lane.clone(), stop.clone());
            tasks.spawn(async move { lane.run(stop).await });
        }
        let mut look = tokio::time::interval(LOOK);
        let mut orphans = tokio::time::interval(ORPHANS_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = wake.notified() => bells.iter().for_each(|bell| bell.notify_one()),
                _ = look.tick() => show_standing(&self.store, &self.board, &lanes).await,
                _ = orphans.tick() => {
                    give_up_orphans(&self.store, &served, self.give_up, &self.steps).await;
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Writes the two health lines: whether the queue can be read and written, without which nobody is
/// told, and whether the receivers take what they are sent.
async fn show_standing(store: &Store, board: &Board, lanes: &[(Arc<Lane>, Arc<Waiting>)]) {
    let day = zhiban_core::Duration::from_secs(24 * 3600);
    let standing = queue::standing(store, crate::journal::now() - day).await;
    let broken = lanes.iter().find_map(|(lane, _)| lane.broken());
    let broken = broken.or_else(|| standing.as_ref().err().map(JournalError::chain));
    let waiting = lanes.iter().map(|(_, waiting)| waiting.count()).sum();
    if let Ok(standing) = standing {
        #[expect(clippy::cast_precision_loss, reason = "a gauge; counts are small")]
        metrics::gauge!("zhiban_outbox_pending").set(standing.pending as f64);
        let (ok, detail) = (standing.is_well(waiting), standing.in_words(waiting));
        board.set("deliveries", ok, false, detail);
    }
    board.set("outbox", broken.is_none(), true, broken.unwrap_or_default());
}

/// What waits on a channel that was renamed or taken out goes to those that would take it now.
async fn hand_over(store: &Store, served: &[String], routes: &Routes, steps: &Steps) {
    match queue::hand_over(store, served, routes, steps.stored_now()).await {
        Ok(0) => {}
        Ok(messages) => tracing::warn!(
            messages,
            "waited on a channel that is no longer configured; other channels have them now"
        ),
        Err(error) => tracing::warn!(
            error = error.chain(),
            "messages of channels that are no longer configured cannot be handed over"
        ),
    }
}

async fn give_up_orphans(store: &Store, served: &[String], give_up: Duration, steps: &Steps) {
    let age = i64::try_from(give_up.as_millis()).unwrap_or(i64::MAX);
    let before = steps.stored_now() - zhiban_core::Duration::from_millis(age);
    match queue::give_up_orphans(store, served, before).await {
        Ok(0) => {}
        Ok(messages) => {
            tracing::error!(messages, "given up: their channel is no longer configured")
        }
        Err(error) => tracing::warn!(error = error.chain(), "the outbox cannot be looked through"),
    }
}

impl Unrecorded {
    /// Tells every notification among the effects at once, whether or not it can be recorded.
    /// Never waits; what has no room in memory is counted, and never guards life while anything else
    /// waits.
    pub fn tell(&self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Notify(about) = effect else {
                continue;
            };
            let told = Told::new(&self.model, about);
            let takers = self.routes.route(about);
            for (channel, waiting) in self.lanes.iter().filter(|(name, _)| takers.contains(name)) {
                if let Some(told) = waiting.put(told.clone(), about.urgency()) {
                    lost(channel, &told, "too many wait");
                }
            }
        }
    }
}

/// Says that a message is in no record and was not told.
fn lost(channel: &str, told: &Told, why: &str) {
    tracing::error!(
        channel,
        notification.id = told.id,
        life_safety = told.life_safety,
        why,
        "a message could be neither recorded nor delivered"
    );
    metrics::counter!("zhiban_unrecorded_lost_total").increment(1);
}
