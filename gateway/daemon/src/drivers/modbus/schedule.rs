//! When each unit's poll classes are due, on a coarse grid that all links share, so that one
//! wake-up serves many. What is late is skipped and counted, never piled up.

use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::PollClass;

/// The slots of the grid from coarse to fine; the coarsest that divides all periods is taken.
const SLOTS: [u64; 5] = [200, 100, 50, 20, 10];

/// Slot 0 of all links.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One poll class of one unit.
#[derive(Debug)]
struct Job {
    unit: usize,
    class: PollClass,
    period: u64,
    phase: u64,
    next: u64,
}

/// The poll classes of one unit that are due together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Which unit, by its place in the list.
    pub(super) unit: usize,
    /// Its classes.
    pub(super) classes: Vec<PollClass>,
}

impl Due {
    /// What a unit had to leave from before.
    pub(super) fn again(unit: usize) -> Self {
        let classes = Vec::new();
        Self { unit, classes }
    }

    /// More of its classes, each once.
    pub(super) fn add(&mut self, classes: Vec<PollClass>) {
        for class in classes {
            if !self.classes.contains(&class) {
                self.classes.push(class);
            }
        }
    }
}

/// The timetable of a link.
#[derive(Debug)]
pub(super) struct Schedule {
    slot: u64,
    jobs: Vec<Job>,
    overruns: u64,
}

impl Schedule {
    /// A timetable for units with their poll classes and periods. `seed` moves links apart; units
    /// of a link are spread evenly over their shortest period. All are due at once at first.
    pub(super) fn new(units: &[Vec<(PollClass, Duration)>], seed: u64, now: Instant) -> Self {
        let millis = |period: Duration| {
            let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
            millis.clamp(10, 86_400_000).next_multiple_of(10)
        };
        let periods = || units.iter().flatten().map(|(_, period)| millis(*period));
        let fits = |slot: &u64| periods().all(|period| period % slot == 0);
        let slot = SLOTS.into_iter().find(fits).unwrap_or(10);
        let count = u64::try_from(units.len()).unwrap_or(1).max(1);
        let mut jobs = Vec::new();
        for (place, classes) in (0_u64..).zip(units) {
            let shortest = classes.iter().map(|(_, period)| millis(*period)).min();
            let shortest = shortest.unwrap_or(slot) / slot;
            let base = seed % shortest.max(1) + shortest * place / count;
            for (class, period) in classes {
                let period = millis(*period) / slot;
                jobs.push(Job {
                    unit: usize::try_from(place).unwrap_or(usize::MAX),
                    class: *class,
                    period,
                    phase: base % period,
                    next: 0,
                });
            }
        }
        let mut schedule = Self {
            slot,
            jobs,
            overruns: 0,
        };
        let current = schedule.slot_of(now);
        for job in &mut schedule.jobs {
            job.next = current;
        }
        schedule
    }

    /// When the next job is due; `None` when there is none at all.
    pub(super) fn next(&self) -> Option<Instant> {
        let slot = self.jobs.iter().map(|job| job.next).min()?;
        Some(*EPOCH + Duration::from_millis(slot * self.slot))
    }

    /// Takes what is due, the longest due first, and sets each to its next time after now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Due> {
        let current = self.slot_of(now);
        let mut due: Vec<(u64, usize, PollClass)> = Vec::new();
        for job in &mut self.jobs {
            if job.next > current {
                continue;
            }
            due.push((job.next, job.unit, job.class));
            let missed = (current - job.next) / job.period;
            self.overruns += missed;
            let into = (current + job.period - job.phase) % job.period;
            job.next = current + job.period - into;
        }
        due.sort_unstable();
        let mut merged: Vec<Due> = Vec::new();
        for (_, unit, class) in due {
            match merged.iter_mut().find(|due| due.unit == unit) {
                Some(due) => due.classes.push(class),
                None => merged.push(Due {
                    unit,
                    classes: vec![class],
                }),
            }
        }
        merged
    }

    /// How many periods were skipped since this was last asked.
    pub(super) fn take_overruns(&mut self) -> u64 {
        std::mem::take(&mut self.overruns)
    }

    fn slot_of(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(*EPOCH).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX) / self.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ten_units() -> Vec<Vec<(PollClass, Duration)>> {
        let classes = vec![(PollClass::Fast, SECOND), (PollClass::Slow, SECOND * 10)];
        vec![classes; 10]
    }

    #[test]
    fn each_unit_comes_once_a_period_and_units_are_spread() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&ten_units(), 3, start);
        assert_eq!(schedule.take_due(start).len(), 10);
        let mut counts = [0; 10];
        let mut slow = 0;
        let mut wakes = 0;
        loop {
            let now = schedule.next().unwrap();
            if now >= start + SECOND * 21 {
                break;
            }
            wakes += 1;
            let due = schedule.take_due(now);
            assert!(due.len() <= 3, "{due:?}");
            for one in due {
                counts[one.unit] += 1;
                slow += usize::from(one.classes.contains(&PollClass::Slow));
            }
        }
        assert!(
            counts.iter().all(|count| (20..=21).contains(count)),
            "{counts:?}"
        );
        assert!((20..=30).contains(&slow), "{slow}");
        assert!(wakes <= 21 * 5, "{wakes} wake-ups");
        assert_eq!(schedule.take_overruns(), 0);
    }

    #[test]
    fn what_is_late_is_skipped_and_counted() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&[vec![(PollClass::Fast, SECOND)]], 0, start);
        schedule.take_due(start);
        let late = schedule.next().unwrap() + Duration::from_millis(3500);
        assert_eq!(schedule.take_due(late).len(), 1);
        assert_eq!(schedule.take_overruns(), 3);
        assert!(schedule.take_due(late).is_empty());
        let next = schedule.next().unwrap();
        assert!(next > late && next <= late + SECOND);
    }

    #[test]
    fn odd_periods_find_a_grid() {
        let now = Instant::now();
        for millis in [1, 10, 30, 250, 500, 999, 60_000] {
            let period = Duration::from_millis(millis);
            let mut schedule = Schedule::new(&[vec![(PollClass::Fast, period)]], 9, now);
            schedule.take_due(now);
            let wait = schedule.next().unwrap().saturating_duration_since(now);
            assert!(
                wait <= period.max(Duration::from_millis(10)) * 2,
                "{millis}: {wait:?}"
            );
        }
        assert_eq!(Schedule::new(&[], 0, now).next(), None);
    }
}
