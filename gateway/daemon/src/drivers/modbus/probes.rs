//! Which silent unit of a line is asked next, and when: one at a time, what guards life first, then
//! whoever waits longest. A probe is never cut short; instead the line rests after it, so that those
//! who answer keep the most of it.

use std::time::Duration;
use tokio::time::Instant;

/// The line is free of probes for as long as the last one took, so that those of what guards life
/// take half of it at most,
const LIFE_SAFETY: u32 = 1;
/// and for so many times as long before anything else is probed: a tenth at most.
const OTHERS: u32 = 9;

/// A unit that is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent {
    /// Which unit, by its place in the list.
    pub(super) unit: usize,
    /// When it may be asked again.
    pub(super) next: Instant,
    /// Whether it guards life.
    pub(super) life_safety: bool,
}

/// When the line may be used for probes again.
#[derive(Debug, Default)]
pub(super) struct Probes {
    life_safety: Option<Instant>,
    others: Option<Instant>,
}

impl Probes {
    /// The unit to ask next, and when.
    pub(super) fn next(
        &self,
        silent: impl Iterator<Item = Silent>,
        now: Instant,
    ) -> Option<(Instant, usize)> {
        let at = |one: &Silent| {
            let free = match one.life_safety {
                true => self.life_safety,
                false => self.others,
            };
            free.map_or(one.next, |free| free.max(one.next))
        };
        // Of those that may be asked now, whoever waits longest; else whoever may be first.
        let order = |one: &Silent| (at(one).max(now), !one.life_safety, one.next);
        let first = silent.min_by_key(order)?;
        Some((at(&first), first.unit))
    }

    /// A probe that was not answered took so long, and ended now.
    pub(super) fn unanswered(&mut self, took: Duration, now: Instant) {
        self.life_safety = Some(now + took * LIFE_SAFETY);
        self.others = Some(now + took * OTHERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ten units that are silent, and the probes of each in so many seconds of a simulated line.
    fn probed(life_safety: bool, took: Duration, seconds: u64) -> (Vec<Vec<Instant>>, Duration) {
        let start = Instant::now();
        let mut probes = Probes::default();
        let mut next = [start; 10];
        let mut asked = vec![Vec::new(); 10];
        let (mut now, mut busy) = (start, Duration::ZERO);
        loop {
            let units = next.iter().enumerate();
            let silent = units.map(|(unit, next)| Silent {
                unit,
                next: *next,
                life_safety,
            });
            let (at, unit) = probes.next(silent, now).unwrap();
            let begun = at.max(now);
            if begun >= start + SECOND * u32::try_from(seconds).unwrap() {
                return (asked, busy);
            }
            asked[unit].push(begun);
            busy += took;
            now = begun + took;
            next[unit] = begun + SECOND * 4;
            probes.unanswered(took, now);
        }
    }

    #[test]
    fn ten_silent_panels_are_each_asked_in_time_while_the_line_can_bear_it() {
        let (asked, busy) = probed(true, Duration::from_millis(240), 60);
        for times in &asked {
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(longest.unwrap() <= SECOND * 5, "{longest:?}");
        }
        assert!(busy <= SECOND * 31, "{busy:?}");
    }

    #[test]
    fn probes_take_half_of_the_line_at_most_and_what_guards_no_life_a_tenth() {
        let (asked, busy) = probed(true, SECOND * 2, 400);
        assert!(busy <= SECOND * 202, "{busy:?}");
        let counts: Vec<_> = asked.iter().map(Vec::len).collect();
        assert!(
            counts.iter().all(|count| (9..=11).contains(count)),
            "{counts:?}"
        );
        let (asked, busy) = probed(false, SECOND * 2, 400);
        assert!(busy <= SECOND * 42, "{busy:?}");
        assert!(asked.iter().all(|times| !times.is_empty()));
    }

    #[test]
    fn what_guards_life_comes_first_and_then_whoever_waits_longest() {
        let now = Instant::now();
        let silent = |unit, seconds, life_safety| Silent {
            unit,
            next: now - SECOND * seconds,
            life_safety,
        };
        let units = [silent(0, 60, false), silent(1, 1, true), silent(2, 3, true)];
        let probes = Probes::default();
        assert_eq!(probes.next(units.into_iter(), now).unwrap().1, 2);
        assert_eq!(probes.next(std::iter::empty(), now), None);
        // What may be asked now does not wait for what may be asked later.
        let later = Silent {
            next: now + SECOND,
            ..units[2]
        };
        let units = [units[0], later];
        assert_eq!(probes.next(units.into_iter(), now).unwrap().1, 0);
    }
}
