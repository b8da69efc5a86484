//! Why a device behind a broker gives no values, for its page: the broker is not reached, it refuses a
//! topic, nothing comes, or what comes is of no use. It must never say that all is well while the
//! connection is gone or a topic of the device is refused.

use crate::health::Board;
use chrono::Utc;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::Timestamp;
use zhiban_dashboard::ports::DeviceFault;

/// So many characters of a payload are shown.
const SHOWN: usize = 120;
/// How often it is looked for devices that fell silent.
const LOOK: Duration = Duration::from_secs(1);

/// What is wrong; the texts of the pages go by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    NotReached,
    Refused,
    NoMqtt,
    Tls,
    Lost,
    OtherClient,
    FilterRefused,
    NothingCame,
    TooLarge,
    NothingOfIt,
    Undecodable,
    TimeUnreadable,
}

impl Why {
    fn code(self) -> &'static str {
        match self {
            Self::NotReached => "broker_not_reached",
            Self::Refused => "broker_refused",
            Self::NoMqtt => "no_mqtt",
            Self::Tls => "broker_tls",
            Self::Lost => "broker_lost",
            Self::OtherClient => "other_client",
            Self::FilterRefused => "filter_refused",
            Self::NothingCame => "nothing_came",
            Self::TooLarge => "too_large",
            Self::NothingOfIt => "nothing_of_it",
            Self::Undecodable => "undecodable",
            Self::TimeUnreadable => "time_unreadable",
        }
    }
}

/// What is known of one device.
#[derive(Debug, Default)]
struct One {
    code: String,
    filters: BTreeSet<String>,
    /// Without a message for so long it counts as silent; `None` when nothing says how often it sends.
    patience: Option<Duration>,
    /// When something of use came last, or could come again; `None` before it was heard at all.
    last: Mutex<Option<Instant>>,
    /// The broker refuses one of its topics.
    refused: AtomicBool,
    /// The board says that something is wrong.
    told: AtomicBool,
}

impl One {
    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self, now: Instant) -> bool {
        let last = self.last().zip(self.patience);
        last.is_some_and(|(last, patience)| now.saturating_duration_since(last) > patience)
    }
}

/// The devices of a link, by their places in its list.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    board: Arc<Board>,
    endpoint: String,
    devices: Vec<One>,
    down: AtomicBool,
}

impl Reasons {
    /// Devices by code, each with its topics and how long it may be silent.
    pub(super) fn new(
        board: Arc<Board>,
        endpoint: String,
        devices: impl Iterator<Item = (String, BTreeSet<String>, Option<Duration>)>,
    ) -> Self {
        let devices = devices.map(|(code, filters, patience)| One {
            code,
            filters,
            patience,
            ..One::default()
        });
        Self {
            board,
            endpoint,
            devices: devices.collect(),
            down: AtomicBool::new(true),
        }
    }

    /// There is no connection; `detail` is why, in the words of the system or the broker.
    pub(super) fn lost(&self, why: Why, detail: &str) {
        self.down.store(true, Ordering::Relaxed);
        for one in &self.devices {
            self.tell(one, why, String::new(), String::new(), detail);
        }
    }

    /// There is a connection. What was heard before is expected to come again; of the rest it is said that
    /// nothing came yet.
    pub(super) fn connected(&self) {
        self.down.store(false, Ordering::Relaxed);
        for one in &self.devices {
            one.refused.store(false, Ordering::Relaxed);
            let heard = one.last().as_mut().map(|last| *last = Instant::now());
            match heard {
                Some(()) => self.clear(one),
                None => self.tell_silent(one),
            }
        }
    }

    /// Says for ever of each device that fell silent that nothing comes any more.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(Instant::now());
        }
    }

    fn look(&self, now: Instant) {
        // Without a connection, or with another fault, the reason is known.
        let silent = |one: &&One| !one.told.load(Ordering::Relaxed) && one.is_silent(now);
        if !self.down.load(Ordering::Relaxed) {
            self.devices
                .iter()
                .filter(silent)
                .for_each(|one| self.tell_silent(one));
        }
    }

    fn tell_silent(&self, one: &One) {
        let topics: Vec<&str> = one.filters.iter().map(String::as_str).collect();
        self.tell(one, Why::NothingCame, topics.join(", "), String::new(), "");
    }

    /// A topic that was refused is asked for again: what comes of it counts.
    pub(super) fn filter_asked(&self, filter: &str) {
        let asked = self
            .devices
            .iter()
            .filter(|one| one.filters.contains(filter));
        asked.for_each(|one| one.refused.store(false, Ordering::Relaxed));
    }

    /// The broker refuses a topic; `detail` is how, where there is more to say.
    pub(super) fn filter_refused(&self, filter: &str, detail: &str) {
        for one in &self.devices {
            if one.filters.contains(filter) {
                one.refused.store(true, Ordering::Relaxed);
                self.tell(
                    one,
                    Why::FilterRefused,
                    filter.to_owned(),
                    String::new(),
                    detail,
                );
            }
        }
    }

    /// A message of a device is of no use, or not all of it; `field` is the point, where it is one.
    pub(super) fn bad(&self, device: usize, why: Why, topic: &str, payload: &[u8], field: &str) {
        if let Some(one) = self.devices.get(device) {
            self.tell(one, why, topic.to_owned(), beginning(payload), field);
        }
    }

    /// All of a message of a device was of use.
    pub(super) fn good(&self, device: usize) {
        let Some(one) = self.devices.get(device) else {
            return;
        };
        *one.last() = Some(Instant::now());
        // A message that had waited says nothing of the connection now.
        let stands = self.down.load(Ordering::Relaxed) || one.refused.load(Ordering::Relaxed);
        if !stands && one.told.load(Ordering::Relaxed) {
            self.clear(one);
        }
    }

    fn tell(&self, one: &One, why: Why, asked: String, answer: String, detail: &str) {
        one.told.store(true, Ordering::Relaxed);
        let fault = DeviceFault {
            kind: why.code(),
            exception: None,
            endpoint: self.endpoint.clone(),
            unit: None,
            asked,
            answer,
            detail: detail.to_owned(),
            at: Timestamp::from(Utc::now()),
        };
        self.board.set_device_fault(&one.code, Some(fault));
    }

    fn clear(&self, one: &One) {
        one.told.store(false, Ordering::Relaxed);
        self.board.set_device_fault(&one.code, None);
    }
}

/// The beginning of a payload as text that can be shown.
fn beginning(payload: &[u8]) -> String {
    let some = payload.get(..4 * SHOWN).unwrap_or(payload);
    let text = String::from_utf8_lossy(some);
    let printed = |c: char| if c.is_control() { '·' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(printed).collect();
    if some.len() < payload.len() || text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_dashboard::ports::Health;

    #[test]
    fn every_reason_has_a_text() {
        for why in [
            Why::NotReached,
            Why::Refused,
            Why::NoMqtt,
            Why::Tls,
            Why::Lost,
            Why::OtherClient,
            Why::FilterRefused,
            Why::NothingCame,
            Why::TooLarge,
            Why::NothingOfIt,
            Why::Undecodable,
            Why::TimeUnreadable,
        ] {
            assert!(DeviceFault::KINDS.contains(&why.code()), "{why:?}");
        }
    }

    #[test]
    fn a_device_that_was_heard_and_fell_silent_is_named_until_it_speaks() {
        let board = Arc::new(Board::default());
        let patience = Duration::from_secs(30);
        let device = (
            "A".to_owned(),
            BTreeSet::from(["a".to_owned()]),
            Some(patience),
        );
        let reasons = Reasons::new(board.clone(), String::new(), std::iter::once(device));
        let fault = || {
            board
                .device_fault("A")
                .map(|fault| (fault.kind, fault.asked))
        };
        reasons.connected();
        reasons.good(0);
        let now = Instant::now();
        reasons.look(now + patience / 2);
        assert_eq!(fault(), None);
        reasons.look(now + patience * 2);
        assert_eq!(fault(), Some(("nothing_came", "a".to_owned())));
        reasons.good(0);
        assert_eq!(fault(), None);
        // What is known better is kept.
        reasons.lost(Why::Refused, "");
        reasons.look(now + patience * 9);
        assert_eq!(fault().unwrap().0, "broker_refused");
        // Back, and still silent.
        reasons.connected();
        reasons.look(Instant::now() + patience * 2);
        assert_eq!(fault().unwrap().0, "nothing_came");
    }

    #[test]
    fn all_is_well_only_with_a_connection_and_all_topics() {
        let board = Arc::new(Board::default());
        let filters = |topic: &str| BTreeSet::from([topic.to_owned(), format!("{topic}/more")]);
        let devices = [("A", filters("a")), ("B", filters("b"))];
        let devices = devices.map(|(code, filters)| (code.to_owned(), filters, None));
        let reasons = Reasons::new(board.clone(), "broker:1883".to_owned(), devices.into_iter());
        let kind = |code: &str| board.device_fault(code).map(|fault| fault.kind);
        reasons.lost(Why::Refused, "BadUserNamePassword");
        assert_eq!(kind("A"), Some("broker_refused"));
        reasons.good(0);
        assert_eq!(kind("A"), Some("broker_refused"), "it had waited");
        reasons.connected();
        assert_eq!((kind("A"), kind("B")), (None, Some("nothing_came")));
        reasons.filter_refused("a/more", "");
        reasons.good(0);
        reasons.good(1);
        assert_eq!((kind("A"), kind("B")), (Some("filter_refused"), None));
        reasons.bad(1, Why::Undecodable, "b", b"{\"p\":\x00", "p");
        let fault = board.device_fault("B").unwrap();
        assert_eq!(
            (fault.asked.as_str(), fault.answer.as_str()),
            ("b", "{\"p\":·")
        );
        reasons.good(1);
        assert_eq!(kind("B"), None);
        let long = beginning(&[b'x'; 9000]);
        assert_eq!(long.chars().count(), SHOWN + 1);
    }
}
