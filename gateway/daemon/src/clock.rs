//! The steps of the wall clock, seen by everybody who compares stored times with now.
//!
//! A wall clock is set; the running time of the process is not. What is stored with a wall time is
//! moved by the engine, in the commit that also records the step; until then readers subtract it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zhiban_core::{Duration as Span, Timestamp};

/// A step smaller than this, in milliseconds, is none.
pub(crate) const SMALL: i64 = 2_000;

/// By how much the wall clock was set since stored times were last moved.
#[derive(Debug)]
pub struct Steps(Mutex<Standing>);

#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Wall time and running time when the two were last compared.
    base: (Timestamp, Instant),
    /// Taken by the engine, not yet in the store.
    unwritten: Span,
}

impl Default for Steps {
    fn default() -> Self {
        Self::at(wall(), Instant::now())
    }
}

impl Steps {
    pub(crate) fn at(wall: Timestamp, running: Instant) -> Self {
        Self(Mutex::new(Standing {
            base: (wall, running),
            unwritten: Span::ZERO,
        }))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step since the last call, when there was one; from then on it waits to be written.
    pub(crate) fn take(&self, wall: Timestamp, running: Instant) -> Option<Span> {
        let mut standing = self.standing();
        let by = standing.step(wall, running)?;
        standing.base = (wall, running);
        standing.unwritten = sum(standing.unwritten, by);
        Some(by)
    }

    /// What is stored has moved by a step.
    pub(crate) fn written(&self, by: Span) {
        let mut standing = self.standing();
        standing.unwritten = sum(standing.unwritten, Span::from_millis(-by.millis()));
    }

    /// By how much the wall clock is ahead of the clock that stored times go by.
    pub fn unsettled(&self) -> Span {
        self.unsettled_at(wall(), Instant::now())
    }

    pub(crate) fn unsettled_at(&self, wall: Timestamp, running: Instant) -> Span {
        let standing = self.standing();
        let fresh = standing.step(wall, running).unwrap_or(Span::ZERO);
        sum(standing.unwritten, fresh)
    }

    /// Now, by the clock that stored times go by.
    pub(crate) fn stored_now(&self) -> Timestamp {
        wall() - self.unsettled()
    }
}

impl Standing {
    fn step(&self, wall: Timestamp, running: Instant) -> Option<Span> {
        let (base, since) = self.base;
        let ran = running.saturating_duration_since(since).as_millis();
        let ran = i64::try_from(ran).unwrap_or(i64::MAX);
        let skew = wall.millis() - base.millis() - ran;
        (skew.abs() > SMALL).then_some(Span::from_millis(skew))
    }
}

fn sum(one: Span, other: Span) -> Span {
    Span::from_millis(one.millis() + other.millis())
}

/// The wall clock.
pub(crate) fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
