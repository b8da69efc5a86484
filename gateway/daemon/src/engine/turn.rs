//! One turn of the engine: what came together, and who waits for it to be durable.

use crate::channels::Routes;
use crate::journal::{DeadLetter, OutboxEntry, Step};
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use tokio::time::Instant;
use zhiban_core::{Duration as Span, Effect, Outcome, PointUpdate, Timestamp};
use zhiban_dashboard::ports::{CommandError, Live};

/// Raw messages take so many bytes while the journal fails; a small one counts as one.
const DEAD_LETTER_BYTES: usize = 16 << 20;

/// The way back to a person.
type Reply = oneshot::Sender<Result<Outcome, CommandError>>;

/// What came together.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// How many messages it took.
    pub(super) taken: usize,
    /// What must become durable.
    pub(super) step: Step,
    /// What the history keeps.
    pub(super) updates: Vec<PointUpdate>,
    /// People who wait.
    pub(super) replies: Vec<(Reply, Outcome)>,
    /// Senders who wait.
    pub(super) durable: Vec<oneshot::Sender<()>>,
}

impl Turn {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            step: Step {
                at,
                ..Step::default()
            },
            ..Self::default()
        }
    }

    /// Adds a row for each notification and channel.
    pub(super) fn route(&mut self, routes: &Routes) {
        for record in &self.step.records {
            if let Effect::Notify(notification) = record {
                let entries = routes
                    .route(notification)
                    .into_iter()
                    .map(|channel| OutboxEntry {
                        notification: notification.id.clone(),
                        channel,
                    });
                self.step.outbox.extend(entries);
            }
        }
    }

    /// What the live stream says of it.
    pub(super) fn news(&self) -> impl Iterator<Item = Live> + '_ {
        self.step.records.iter().filter_map(|record| match record {
            Effect::Alarm(transition) => Some(Live::Alarm {
                id: transition.alarm.id,
                change: transition.change,
                state: transition.to,
            }),
            Effect::WorkOrder(event) => Some(Live::WorkOrder {
                no: event.order.no.clone(),
                change: event.change,
                status: event.to,
            }),
            Effect::Notify(_) => None,
        })
    }
}

/// What could not be committed yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) turn: Turn,
    pub(super) retry_at: Instant,
    patience: Instant,
    some: bool,
    /// What found no room in memory meanwhile: values, raw messages, and steps between two states of a
    /// record.
    let_go: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            turn: Turn::default(),
            retry_at: now,
            patience: now,
            some: false,
            let_go: 0,
        }
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        !self.some
    }

    pub(super) fn add(&mut self, turn: Turn, retry_at: Instant, patience: Instant) {
        if !self.some {
            *self = Self {
                turn,
                retry_at,
                patience,
                some: true,
                let_go: 0,
            };
            return;
        }
        let all = &mut self.turn;
        all.step.at = turn.step.at;
        all.step.records.extend(turn.step.records);
        all.step.outbox.extend(turn.step.outbox);
        all.step.points.extend(turn.step.points);
        all.step.inbox.extend(turn.step.inbox);
        all.step.dead_letters.extend(turn.step.dead_letters);
        all.step.answers.extend(turn.step.answers);
        all.step.clock_set = match (all.step.clock_set, turn.step.clock_set) {
            (Some(one), Some(other)) => Some(Span::from_millis(one.millis() + other.millis())),
            (one, other) => one.or(other),
        };
        all.updates.extend(turn.updates);
        all.replies.extend(turn.replies);
        all.durable.extend(turn.durable);
    }

    /// People who waited long enough hear that the store is not available.
    pub(super) fn give_up(&mut self, now: Instant) {
        if now >= self.patience {
            self.refuse_replies();
        }
    }

    /// Everybody who waits hears that the store is not available.
    pub(super) fn refuse_replies(&mut self) {
        for (reply, _) in self.turn.replies.drain(..) {
            super::answer(reply, Err(CommandError::StoreUnavailable));
        }
    }

    /// How much found no room in memory while it waited.
    pub(super) fn let_go(&self) -> usize {
        self.let_go
    }

    /// Keeps memory bounded: senders beyond the limit are let go unacknowledged and will send again,
    /// and periodic values go before records do.
    pub(super) fn shed(&mut self, limit: usize) {
        let over = self.turn.updates.len().saturating_sub(limit);
        if over > 0 {
            self.turn.updates.drain(..over);
            self.let_go += over;
            metrics::counter!("zhiban_points_dropped_total", "reason" => "journal")
                .increment(over as u64);
        }
        if self.turn.step.inbox.len() > limit {
            self.turn.step.inbox.truncate(limit);
            self.turn.durable.truncate(limit);
        }
        self.let_go += shed_dead_letters(&mut self.turn.step.dead_letters);
        if self.turn.step.records.len() > limit {
            let before = self.turn.step.records.len();
            compact(&mut self.turn.step.records);
            let gone = before - self.turn.step.records.len();
            self.let_go += gone;
            tracing::error!(
                records = gone,
                "steps between two states of a record are let go"
            );
            metrics::counter!("zhiban_records_dropped_total").increment(gone as u64);
        }
    }
}

/// Raw messages weigh much: the oldest go when there are too many. Says how many went.
fn shed_dead_letters(letters: &mut Vec<DeadLetter>) -> usize {
    let mut room = DEAD_LETTER_BYTES;
    let newest = letters.iter().rev();
    let kept = newest.take_while(|letter| {
        let fits = letter.payload.len() <= room;
        room = room.saturating_sub(letter.payload.len().max(1));
        fits
    });
    let over = letters.len() - kept.count();
    if over > 0 {
        letters.drain(..over);
        metrics::counter!("zhiban_dead_letters_dropped_total").increment(over as u64);
    }
    over
}

/// Keeps the last state of each alarm and order, and every notification. What goes are only steps
/// on the way: the record store ends as it would have, with gaps in the lives it tells.
fn compact(records: &mut Vec<Effect>) {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Effect> = Vec::new();
    for record in records.drain(..).rev() {
        let key = match &record {
            Effect::Alarm(one) => format!("alarm {}", one.alarm.id),
            // What an order's record holds is only written with the change itself.
            Effect::WorkOrder(one) if one.change.edits_record() => {
                format!("{} {}", one.order.no, one.order.version)
            }
            Effect::WorkOrder(one) => one.order.no.to_string(),
            Effect::Notify(one) => format!("notification {}", one.id),
        };
        if seen.insert(key) {
            kept.push(record);
        }
    }
    kept.reverse();
    *records = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::notification::Audience;
    use zhiban_core::{AssetId, Notification, NotifyReason, Priority, Text};

    fn notification(id: &str) -> Effect {
        Effect::Notify(Notification {
            id: id.to_owned(),
            reason: NotifyReason::Raised,
            audience: Audience::Crew,
            priority: Priority::Urgent,
            life_safety: true,
            asset: AssetId(0),
            rule: None,
            alarm: None,
            work_order: None,
            title: Text::default(),
            note: None,
            respond_by: None,
            due_at: None,
            due_left: None,
            reopened_at: None,
            at: Timestamp::from_millis(0),
            incident: Default::default(),
        })
    }

    #[test]
    fn raw_messages_are_bounded_and_the_oldest_go() {
        let letter = |byte: u8| DeadLetter {
            link: "plant".to_owned(),
            topic: "a".to_owned(),
            payload: vec![byte; 1 << 20],
            reason: "-".to_owned(),
        };
        let mut letters: Vec<_> = (0..40).map(letter).collect();
        shed_dead_letters(&mut letters);
        assert_eq!(letters.len(), 16);
        assert_eq!(letters[0].payload[0], 24);
        shed_dead_letters(&mut letters);
        assert_eq!(letters.len(), 16);
    }

    #[test]
    fn compacting_keeps_the_last_of_each_in_order() {
        let mut records = vec![notification("a"), notification("b"), notification("a")];
        compact(&mut records);
        assert_eq!(records, [notification("b"), notification("a")]);
    }
}
