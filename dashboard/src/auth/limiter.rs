//! Slows down whoever guesses passwords: per user and address, and per address alone.
//!
//! It is bounded; when it is full the oldest entry goes, so that it can never eat the memory.

use crate::error::ApiError;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use zhiban_core::{Duration, Timestamp};

/// Attempts that cost nothing, for one user from one address.
const FREE_PER_USER: u32 = 5;
/// Attempts that cost nothing, from one address whatever the user.
const FREE_PER_ADDRESS: u32 = 30;
/// The first wait; it doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// The longest wait, and after how long without a failure all is forgotten.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// The most entries kept.
const ENTRIES: usize = 1024;

type Key = (Option<String>, Option<IpAddr>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Counts failed attempts to sign in.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    failures: Mutex<BTreeMap<Key, Failures>>,
}

/// An attempt that was let through; it counts as failed until it is called succeeded.
#[derive(Debug)]
pub(crate) struct Attempt(Key);

impl Limiter {
    /// Lets an attempt through and counts it, or says how long to wait.
    pub(crate) fn attempt(
        &self,
        user: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Attempt, ApiError> {
        let user: String = user.chars().take(64).collect::<String>().to_lowercase();
        let (mine, anybody) = ((Some(user), address), (None, address));
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, free) in [(&mine, FREE_PER_USER), (&anybody, FREE_PER_ADDRESS)] {
            let wait = failures.get(key).map_or(0, |known| known.wait(free, now));
            if wait > 0 {
                return Err(ApiError::RateLimited(wait));
            }
        }
        for key in [anybody, mine.clone()] {
            count(&mut failures, key, now);
        }
        Ok(Attempt(mine))
    }

    /// The attempt was right: what was counted against this user and address is forgotten.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&attempt.0);
        if let Some(anybody) = failures.get_mut(&(None, attempt.0.1)) {
            anybody.count = anybody.count.saturating_sub(1);
        }
    }
}

impl Failures {
    /// Seconds to wait, 0 for none.
    fn wait(self, free: u32, now: Timestamp) -> u64 {
        let Some(over) = self.count.checked_sub(free) else {
            return 0;
        };
        let doubled = FIRST_WAIT.millis().saturating_mul(1 << over.min(16));
        let wait = Duration::from_millis(doubled.min(LONGEST_WAIT.millis()));
        let left = (self.last + wait).since(now).millis();
        u64::try_from(left.saturating_add(999) / 1000).unwrap_or(0)
    }
}

fn count(failures: &mut BTreeMap<Key, Failures>, key: Key, now: Timestamp) {
    if failures.len() >= ENTRIES && !failures.contains_key(&key) {
        failures.retain(|_, known| now.since(known.last) < LONGEST_WAIT);
        let oldest = failures.iter().min_by_key(|(_, known)| known.last);
        let full = failures.len() >= ENTRIES;
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()).filter(|_| full) {
            failures.remove(&oldest);
        }
    }
    let known = failures.entry(key).or_insert(Failures {
        count: 0,
        last: now,
    });
    if now.since(known.last) >= LONGEST_WAIT {
        known.count = 0;
    }
    known.count = known.count.saturating_add(1);
    known.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn wait(limiter: &Limiter, user: &str, now: i64) -> u64 {
        match limiter.attempt(user, HOME, Timestamp::from_millis(now)) {
            Err(ApiError::RateLimited(seconds)) => seconds,
            other => {
                other.unwrap();
                0
            }
        }
    }

    #[test]
    fn the_sixth_guess_waits_and_the_wait_doubles() {
        let limiter = Limiter::default();
        for _ in 0..5 {
            assert_eq!(wait(&limiter, "li", 0), 0);
        }
        assert_eq!(wait(&limiter, "LI", 0), 15);
        assert_eq!(wait(&limiter, "li", 15_000), 0);
        assert_eq!(wait(&limiter, "li", 15_000), 30);
        assert_eq!(wait(&limiter, "wang", 15_000), 0);
    }

    #[test]
    fn a_right_password_and_a_long_pause_forget() {
        let limiter = Limiter::default();
        for _ in 0..4 {
            assert_eq!(wait(&limiter, "li", 0), 0);
        }
        let attempt = limiter.attempt("li", HOME, Timestamp::from_millis(0));
        limiter.succeeded(&attempt.unwrap());
        assert_eq!(wait(&limiter, "li", 0), 0);
        for _ in 0..10 {
            wait(&limiter, "wang", 0);
        }
        assert_eq!(wait(&limiter, "wang", 900_000), 0);
        assert_eq!(wait(&limiter, "wang", 900_000), 0);
    }

    #[test]
    fn many_users_from_one_address_are_slowed_and_memory_is_bounded() {
        let limiter = Limiter::default();
        let waits = (0..40).map(|n| wait(&limiter, &format!("user{n}"), 0));
        assert_eq!(waits.filter(|wait| *wait > 0).count(), 10);
        for n in 0..1_100_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from(n));
            let attempt = limiter.attempt("li", Some(address), Timestamp::from_millis(1));
            attempt.unwrap();
        }
        assert!(limiter.failures.lock().unwrap().len() <= ENTRIES);
    }
}
