//! How a device's clock stands to the gateway's: when a message's values were acquired. An old
//! message is never dated now because it is old, nor a device unheard because its clock is wrong.
//!
//! A backlog catches up; a clock that is wrong does not. So a time that is far off is believed,
//! until the messages of one connection show for a while that it stays as far off, or stands still.
//! A clock that stands still says something new at the same time. One who only repeats the last
//! word of a device, as a bridge does for one that is dead, shows nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use zhiban_core::{Duration, Timestamp};

/// What is no further behind than this needs no look: the facility takes it as new.
const SLACK: i64 = 60_000;
/// A clock may be ahead by so much and still be believed.
pub(super) const MOST_FUTURE: i64 = 300_000;
/// Nothing waits for longer than this: an older time is none, as of a clock that lost its battery.
const MOST_PAST: i64 = 31 * 24 * 3_600_000;
/// For how long a clock must stay as far off before it counts as wrong.
const PROOF: Duration = Duration::from_secs(30);
/// Messages of one clock come so evenly.
const JITTER: u64 = 10_000;
/// Topics of one device whose last word is known; what comes on any other shows no change.
const TOPICS: usize = 64;

/// What came for the first time, and so shows something of its device's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live<'m> {
    /// The connection it came by.
    pub(super) epoch: u64,
    /// Its topic.
    pub(super) topic: &'m str,
    /// Its payload.
    pub(super) payload: &'m [u8],
}

/// When a message's values were acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dated {
    /// When.
    pub(super) at: Timestamp,
    /// Whether the device's clock is wrong: the gateway's counts.
    pub(super) wrong: bool,
}

/// What is known of one device's clock.
#[derive(Debug, Default)]
pub(super) struct DeviceClock {
    /// By how much it is behind, in milliseconds, when that was shown; 0 while it is right.
    behind: i64,
    /// Since when it stays as far off.
    since: Option<Anchor>,
    /// The last time that was the gateway's. What came after it is not older.
    given: Option<Timestamp>,
}

#[derive(Debug)]
struct Anchor {
    epoch: u64,
    now: Timestamp,
    own: Timestamp,
    behind: i64,
    /// The last word on each topic, by their hashes, and when it came to be another.
    said: HashMap<u64, (u64, Option<Timestamp>)>,
}

impl DeviceClock {
    /// Dates a message that says `own` and came at `now`. It is `live` unless the broker had it
    /// before: only what comes for the first time shows anything.
    pub(super) fn date(&mut self, own: Timestamp, now: Timestamp, live: Option<Live<'_>>) -> Dated {
        if self.is_of_a_future(now) {
            *self = Self::default();
        }
        let behind = now.millis().saturating_sub(own.millis());
        let steady = live.is_some_and(|live| self.is_steady(own, behind, now, live));
        let even = |known: i64| behind.abs_diff(known) <= JITTER;
        if (-MOST_FUTURE..=SLACK).contains(&behind) {
            if live.is_some() {
                self.behind = 0;
            }
            return self.dated(own, false);
        }
        let shown = steady && self.since.as_ref().is_some_and(|then| even(then.behind));
        let known = self.behind != 0 && even(self.behind);
        if live.is_some() && (shown || known) {
            // It may drift.
            self.behind = behind;
        }
        if steady || known || !(0..=MOST_PAST).contains(&behind) {
            return self.given(now);
        }
        let corrected = own.millis().saturating_add(self.behind);
        self.dated(Timestamp::from_millis(corrected).min(now), self.behind != 0)
    }

    /// Whether the gateway's clock was set back: what was shown by it is nothing.
    fn is_of_a_future(&self, now: Timestamp) -> bool {
        let anchor = self.since.as_ref().map(|then| then.now);
        [anchor, self.given].into_iter().flatten().max() > Some(now)
    }

    /// Whether the clock has stayed as far off, or stood still, for long enough.
    fn is_steady(&mut self, own: Timestamp, behind: i64, now: Timestamp, live: Live<'_>) -> bool {
        let even = |then: &Anchor| behind.abs_diff(then.behind) <= JITTER;
        let same = |then: &Anchor| then.epoch == live.epoch && (even(then) || then.own == own);
        let since = self.since.take().filter(same);
        let since = since.unwrap_or_else(|| Anchor {
            epoch: live.epoch,
            now,
            own,
            behind,
            said: HashMap::new(),
        });
        let then = self.since.insert(since);
        let news = then.is_news(live, now);
        now.since(then.now) >= PROOF && (news || even(then))
    }

    /// The gateway's time.
    fn given(&mut self, now: Timestamp) -> Dated {
        self.given = Some(now);
        Dated {
            at: now,
            wrong: true,
        }
    }

    /// A time that is believed.
    fn dated(&self, at: Timestamp, wrong: bool) -> Dated {
        let at = self.given.map_or(at, |given| at.max(given));
        Dated { at, wrong }
    }
}

impl Anchor {
    /// Whether a message says something else than the last one on its topic. One message may be
    /// asked about more than once.
    fn is_news(&mut self, live: Live<'_>, now: Timestamp) -> bool {
        let (topic, payload) = (hash(live.topic.as_bytes()), hash(live.payload));
        let room = self.said.len() < TOPICS;
        match self.said.get_mut(&topic) {
            Some((last, since)) if *last == payload => *since == Some(now),
            Some(last) => {
                *last = (payload, Some(now));
                true
            }
            None => {
                if room {
                    self.said.insert(topic, (payload, None));
                }
                false
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: i64 = 3_600_000;

    fn live(epoch: u64, payload: &str) -> Option<Live<'_>> {
        Some(Live {
            epoch,
            topic: "a",
            payload: payload.as_bytes(),
        })
    }

    /// A message that came `after` ms and whose own time was then `behind` ms ago, and what its
    /// date is, in ms ago.
    fn date(clock: &mut DeviceClock, after: i64, behind: i64) -> (i64, bool) {
        let now = Timestamp(NOW.0 + after);
        let dated = clock.date(Timestamp(now.0 - behind), now, live(1, "on"));
        (now.0 - dated.at.0, dated.wrong)
    }

    #[test]
    fn a_backlog_keeps_its_own_times_however_long_it_takes() {
        let mut clock = DeviceClock::default();
        assert_eq!(date(&mut clock, 0, 0), (0, false));
        // 47 hours at one message each 10 s, drained in ten minutes.
        let drained = 600_000;
        for after in (0..=drained).step_by(50) {
            let behind = 47 * HOUR * (drained - after) / drained;
            assert_eq!(date(&mut clock, after, behind), (behind, false));
        }
        assert_eq!(date(&mut clock, drained + 10_000, 0), (0, false));
    }

    #[test]
    fn a_clock_that_stays_wrong_is_known_and_what_was_then_late_is_dated_right() {
        for behind in [120_000, 8 * HOUR] {
            let mut clock = DeviceClock::default();
            assert_eq!(date(&mut clock, 0, behind), (behind, false));
            assert_eq!(
                date(&mut clock, 29_000, behind + 900),
                (behind + 900, false)
            );
            assert_eq!(date(&mut clock, 31_000, behind - 900), (0, true));
            // Ten minutes without the broker, then what waited there.
            let now = Timestamp(NOW.0 + 631_000);
            let own = Timestamp(NOW.0 + 91_000 - behind);
            let dated = clock.date(own, now, live(2, "on"));
            assert_eq!((now.0 - dated.at.0 - 540_000).abs(), 900);
            assert!(dated.wrong);
            // Set right, it is believed at once.
            assert_eq!(date(&mut clock, 640_000, 200), (200, false));
        }
    }

    #[test]
    fn a_clock_that_stands_still_is_known() {
        let mut clock = DeviceClock::default();
        let own = Timestamp(NOW.0 - 5000);
        for (after, says, ago) in [
            (0, "on", 5000),
            (50_000, "on", 55_000),
            (60_000, "off", 0),
            (65_000, "on", 0),
            (6 * HOUR, "off", 0),
        ] {
            let now = Timestamp(NOW.0 + after);
            // Two filters fit its topic.
            for _ in 0..2 {
                let dated = clock.date(own, now, live(1, says));
                assert_eq!(
                    (now.0 - dated.at.0, dated.wrong),
                    (ago, ago == 0),
                    "{after}"
                );
            }
        }
        // What the broker sends again shows nothing of the clock.
        let mut clock = DeviceClock::default();
        for after in [HOUR, 2 * HOUR] {
            let dated = clock.date(own, Timestamp(NOW.0 + after), None);
            assert_eq!(dated.at, own);
        }
    }

    #[test]
    fn the_last_word_of_a_dead_device_stays_late_however_often_it_is_said() {
        let mut clock = DeviceClock::default();
        let own = Timestamp(NOW.0 - 5000);
        // It sent all of this at one time, and its bridge repeats each topic's last.
        let first = [("a", "on"), ("b", "1"), ("a", "off")];
        let again = [("a", "off"), ("b", "1")].repeat(3000);
        for (n, (topic, says)) in (0..).zip(first.into_iter().chain(again)) {
            let now = Timestamp(NOW.0 + n * 1000);
            let payload = says.as_bytes();
            let message = Live {
                epoch: 1,
                topic,
                payload,
            };
            let dated = clock.date(own, now, Some(message));
            assert_eq!((dated.at, dated.wrong), (own, false), "{n}");
        }
    }

    #[test]
    fn what_a_clock_ahead_had_shown_goes_when_it_is_set_back() {
        let mut clock = DeviceClock::default();
        // The gateway is two hours ahead, and takes the device's clock for wrong.
        let ahead = 2 * HOUR;
        assert_eq!(date(&mut clock, ahead, ahead), (ahead, false));
        assert_eq!(date(&mut clock, ahead + 31_000, ahead), (0, true));
        // Set back, it neither dates into its former future nor corrects by what it was off.
        let now = Timestamp(NOW.0 + 40_000);
        let kept = clock.date(Timestamp(now.0 - 3 * HOUR), now, None);
        assert_eq!((now.0 - kept.at.0, kept.wrong), (3 * HOUR, false));
        assert_eq!(date(&mut clock, 41_000, HOUR), (HOUR, false));
        assert_eq!(date(&mut clock, 42_000, 200), (200, false));
    }

    #[test]
    fn a_time_that_cannot_be_counts_as_none() {
        let mut clock = DeviceClock::default();
        for own in [
            0,
            i64::MIN,
            i64::MAX,
            NOW.0 - 32 * 24 * HOUR,
            NOW.0 + 301_000,
        ] {
            let dated = clock.date(Timestamp(own), NOW, live(1, "on"));
            assert_eq!((dated.at, dated.wrong), (NOW, true), "{own}");
        }
        // What comes after it is not older than it, whatever it says.
        assert_eq!(date(&mut clock, 1000, HOUR), (1000, false));
        assert_eq!(date(&mut clock, 2000, 10), (10, false));
    }
}
