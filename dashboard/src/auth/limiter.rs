//! Slows down whoever guesses passwords, and nobody else.
//!
//! An account is guarded against guesses from one address and against all strange addresses together. A browser that
//! was signed in to the account before is judged by its own mistakes alone, and an account that nobody guesses at
//! is open to a right password from everywhere: of an address with many mistakes attempts only take longer, and wait
//! for their turn in the order in which they came, few of one account.
//! It is bounded: what says least is forgotten first. It runs on the steady clock, which nobody sets.

use crate::error::ApiError;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Mistakes that cost nothing: for one account from one address or one known browser.
const FREE: u32 = 5;
/// For one account from all strange addresses together.
const FREE_OF_ACCOUNT: u32 = 20;
/// From one address, whatever the account; then each attempt takes longer.
const FREE_OF_ADDRESS: u32 = 30;
/// The first wait; it doubles with each further mistake.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// After how long without a mistake it is forgotten, but for those of an account: a slow guesser must not begin anew.
const MEMORY: Duration = LONGEST_WAIT;
const MEMORY_OF_ACCOUNT: Duration = Duration::from_secs(24 * 3600);
/// How much longer an attempt takes for each mistake of its address beyond the free ones, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How many attempts of one address run at once, and how many more wait for their turn.
const AT_ONCE: usize = 8;
const WAITING: usize = 56;
/// How many of them are for one account: who guesses at it leaves room for the others behind the address.
const AT_ONCE_OF_PAIR: usize = 2;
/// How long an attempt waits for its turn: longer than all before it may take.
const TURN: Duration = Duration::from_secs(40);
/// The most entries kept.
const ENTRIES: usize = 4096;

/// Who tries to sign in, from where, and in which browser.
#[derive(Debug, Clone)]
pub(crate) struct Guess {
    /// The user name as typed.
    pub(crate) user: String,
    /// The address; of IPv6 that of its line.
    pub(crate) address: Option<IpAddr>,
    /// The proof of an earlier sign-in to this account that the browser brought.
    pub(crate) device: Option<String>,
}

/// What mistakes are counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Device(String, String),
    Pair(String, Option<IpAddr>),
    Account(String),
    Address(Option<IpAddr>),
}

impl Key {
    fn free(&self) -> u32 {
        match self {
            Key::Device(..) | Key::Pair(..) => FREE,
            Key::Account(_) => FREE_OF_ACCOUNT,
            Key::Address(_) => FREE_OF_ADDRESS,
        }
    }

    fn memory(&self) -> Duration {
        match self {
            Key::Account(_) => MEMORY_OF_ACCOUNT,
            Key::Device(..) | Key::Pair(..) | Key::Address(_) => MEMORY,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Mistakes {
    count: u32,
    last: Instant,
}

/// Counts mistakes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Limiter(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    mistakes: BTreeMap<Key, Mistakes>,
    turns: BTreeMap<IpAddr, Weak<Turns>>,
}

/// The attempts of one address that run or wait for their turn.
#[derive(Debug)]
struct Turns {
    places: Arc<Semaphore>,
    running: Semaphore,
    pairs: Mutex<BTreeMap<String, usize>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            running: Semaphore::new(AT_ONCE),
            pairs: Mutex::default(),
        }
    }
}

/// A place among the attempts of an address; given back when the attempt is over.
#[derive(Debug)]
struct Place {
    turns: Arc<Turns>,
    user: String,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    fn pairs(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an attempt at an account; `None` when all are taken.
    fn place(self: Arc<Self>, user: &str) -> Option<Place> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut pairs = self.pairs();
        let of_pair = pairs.entry(user.to_owned()).or_default();
        if *of_pair >= AT_ONCE_OF_PAIR {
            return None;
        }
        *of_pair += 1;
        drop(pairs);
        Some(Place {
            turns: self,
            user: user.to_owned(),
            _place: place,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pairs = self.turns.pairs();
        if let Some(of_pair) = pairs.get_mut(&self.user) {
            *of_pair -= 1;
            if *of_pair == 0 {
                pairs.remove(&self.user);
            }
        }
    }
}

/// An attempt that was let through; it counts as a mistake until it is called right.
#[derive(Debug)]
pub(crate) struct Attempt {
    pause: Duration,
    keys: Vec<Key>,
    place: Option<Place>,
    limiter: Limiter,
}

impl Limiter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an attempt through and counts it, or says how many seconds to wait.
    pub(crate) fn attempt(&self, guess: Guess, now: Instant) -> Result<Attempt, ApiError> {
        let user: String = guess
            .user
            .chars()
            .take(64)
            .collect::<String>()
            .to_lowercase();
        let mut state = self.state();
        let (keys, pause, address) = match guess.device {
            Some(device) => (
                vec![Key::Device(user.clone(), device)],
                Duration::ZERO,
                None,
            ),
            None => {
                let anybody = Key::Address(guess.address);
                let pause = state.pause(&anybody, now);
                let pair = Key::Pair(user.clone(), guess.address);
                let account = Key::Account(user.clone());
                (vec![pair, account, anybody], pause, guess.address)
            }
        };
        let waits = keys.iter().filter(|key| !matches!(key, Key::Address(_)));
        let wait = waits.map(|key| state.wait(key, now)).max();
        let wait = wait.unwrap_or_default();
        if wait > Duration::ZERO {
            return Err(ApiError::SignInLocked(seconds(wait)));
        }
        let place = match address {
            None => None,
            Some(address) => {
                let place = state.turns(address).place(&user);
                Some(place.ok_or(ApiError::RateLimited(1))?)
            }
        };
        for key in &keys {
            state.count(key.clone(), now);
        }
        drop(state);
        Ok(Attempt {
            pause,
            keys,
            place,
            limiter: self.clone(),
        })
    }
}

impl Attempt {
    /// Does the attempt when it is its turn, after the pause that the mistakes of its address cost.
    pub(crate) async fn run<T>(&self, attempt: impl Future<Output = T>) -> Result<T, ApiError> {
        let Some(place) = &self.place else {
            return Ok(attempt.await);
        };
        let turn = tokio::time::timeout(TURN, place.turns.running.acquire()).await;
        let turn = turn.ok().and_then(Result::ok);
        let _turn = turn.ok_or(ApiError::RateLimited(1))?;
        tokio::time::sleep(self.pause).await;
        Ok(attempt.await)
    }

    /// It was right: the mistakes of this person are forgotten, everywhere they were counted.
    pub(crate) fn succeeded(&self) {
        let mut state = self.limiter.state();
        let Some((own, others)) = self.keys.split_first() else {
            return;
        };
        let mine = state.mistakes.remove(own).map_or(1, |own| own.count);
        for key in others {
            if let Some(known) = state.mistakes.get_mut(key) {
                known.count = known.count.saturating_sub(mine);
            }
        }
    }
}

impl State {
    fn turns(&mut self, address: IpAddr) -> Arc<Turns> {
        self.turns.retain(|_, turns| turns.strong_count() > 0);
        let known = self.turns.get(&address).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turns = Arc::<Turns>::default();
            self.turns.insert(address, Arc::downgrade(&turns));
            turns
        })
    }

    fn known(&self, key: &Key, now: Instant) -> Option<Mistakes> {
        let known = self.mistakes.get(key).copied();
        known.filter(|known| now.saturating_duration_since(known.last) < key.memory())
    }

    fn wait(&self, key: &Key, now: Instant) -> Duration {
        let Some(known) = self.known(key, now) else {
            return Duration::ZERO;
        };
        let Some(over) = known.count.checked_sub(key.free()) else {
            return Duration::ZERO;
        };
        let wait = FIRST_WAIT
            .saturating_mul(1 << over.min(16))
            .min(LONGEST_WAIT);
        (known.last + wait).saturating_duration_since(now)
    }

    fn pause(&self, key: &Key, now: Instant) -> Duration {
        let count = self.known(key, now).map_or(0, |known| known.count);
        let over = count.saturating_sub(key.free());
        PAUSE.saturating_mul(over).min(LONGEST_PAUSE)
    }

    fn count(&mut self, key: Key, now: Instant) {
        let before = self.known(&key, now).map_or(0, |known| known.count);
        if self.mistakes.len() >= ENTRIES && !self.mistakes.contains_key(&key) {
            self.make_room(now);
        }
        let count = before.saturating_add(1);
        self.mistakes.insert(key, Mistakes { count, last: now });
    }

    /// What is over goes, else what has the fewest mistakes: nobody wipes out what they did by inventing names.
    fn make_room(&mut self, now: Instant) {
        let over =
            |key: &Key, known: &Mistakes| now.saturating_duration_since(known.last) >= key.memory();
        self.mistakes.retain(|key, known| !over(key, known));
        let least = self.mistakes.iter();
        let least = least.min_by_key(|(_, known)| (known.count, known.last));
        let least = least.map(|(key, _)| key.clone());
        if let Some(key) = least.filter(|_| self.mistakes.len() >= ENTRIES) {
            self.mistakes.remove(&key);
        }
    }
}

/// Whole seconds, never fewer.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + n)))
    }

    fn guess(user: &str, address: Option<IpAddr>) -> Guess {
        Guess {
            user: user.to_owned(),
            address,
            device: None,
        }
    }

    /// Seconds to wait; the attempt itself is over at once.
    fn wait(limiter: &Limiter, guess: Guess, now: Instant) -> u64 {
        match limiter.attempt(guess, now) {
            Err(ApiError::SignInLocked(seconds)) => seconds,
            other => {
                other.unwrap();
                0
            }
        }
    }

    #[test]
    fn the_sixth_guess_waits_and_the_wait_doubles() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let later = start + Duration::from_secs(15);
        for _ in 0..5 {
            assert_eq!(wait(&limiter, guess("li", host(1)), start), 0);
        }
        assert_eq!(wait(&limiter, guess("LI", host(1)), start), 15);
        assert_eq!(wait(&limiter, guess("li", host(1)), later), 0);
        assert_eq!(wait(&limiter, guess("li", host(1)), later), 30);
        assert_eq!(wait(&limiter, guess("wang", host(1)), later), 0);
        assert_eq!(wait(&limiter, guess("li", host(2)), later), 0);
    }

    #[test]
    fn a_right_password_and_a_long_pause_forget() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for _ in 0..4 {
            wait(&limiter, guess("li", host(1)), start);
        }
        let right = limiter.attempt(guess("li", host(1)), start).unwrap();
        right.succeeded();
        drop(right);
        assert!(
            limiter
                .state()
                .mistakes
                .values()
                .all(|known| known.count == 0)
        );
        for _ in 0..10 {
            wait(&limiter, guess("wang", host(1)), start);
        }
        let later = start + Duration::from_secs(900);
        for _ in 0..5 {
            assert_eq!(wait(&limiter, guess("wang", host(1)), later), 0);
        }
    }

    #[test]
    fn many_addresses_get_no_more_guesses_at_one_account_than_a_few_an_hour() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let mut passed = 0;
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            for n in 0..40 {
                passed += u32::from(wait(&limiter, guess("li", host(n)), now) == 0);
            }
        }
        assert!((20..=30).contains(&passed), "{passed}");
        // A browser that knows the account is not concerned, and no other account is.
        let now = start + Duration::from_secs(3600);
        let mut known = guess("li", host(1));
        known.device = Some("proof".to_owned());
        assert_eq!(wait(&limiter, known, now), 0);
        assert_eq!(wait(&limiter, guess("wang", host(99)), now), 0);
    }

    #[test]
    fn an_address_with_many_mistakes_waits_longer_but_is_never_refused_at_another_account() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        for n in 0..100 {
            let user = format!("user{n}");
            let attempt = limiter.attempt(guess(&user, host(1)), now).unwrap();
            let over = Duration::from_millis(250) * u32::saturating_sub(n, 30);
            assert_eq!(attempt.pause, over.min(LONGEST_PAUSE));
        }
        let attempt = limiter.attempt(guess("li", host(2)), now).unwrap();
        assert_eq!(attempt.pause, Duration::ZERO);
    }

    #[test]
    fn few_attempts_of_one_address_run_or_wait() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        let attempt = |n: usize| limiter.attempt(guess(&format!("u{n}"), host(1)), now);
        let running: Vec<_> = (0..64).map(|n| attempt(n).unwrap()).collect();
        assert_eq!(attempt(64).unwrap_err(), ApiError::RateLimited(1));
        assert!(limiter.attempt(guess("li", host(2)), now).is_ok());
        drop(running);
        assert!(attempt(65).is_ok());
        limiter.attempt(guess("li", host(3)), now).unwrap();
        assert!(
            limiter.state().turns.len() <= 1,
            "what is over is forgotten"
        );
    }

    /// Guessers that begin anew as soon as they are refused, at one account and at invented ones.
    #[tokio::test]
    async fn who_guesses_without_a_break_keeps_nobody_behind_the_address_out() {
        let limiter = Limiter::default();
        let attempt = |user: String| {
            let mut attempt = limiter.attempt(guess(&user, host(1)), Instant::now())?;
            attempt.pause = Duration::ZERO;
            Ok::<_, ApiError>(attempt)
        };
        let guesser = async |n: usize| {
            for k in 0.. {
                let user = match n {
                    0..8 => "victim".to_owned(),
                    _ => format!("{n}-{k}"),
                };
                if let Ok(attempt) = attempt(user) {
                    let looked_at = tokio::task::yield_now();
                    attempt.run(looked_at).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        let guessers = futures_util::future::join_all((0..60).map(guesser));
        let honest = async {
            for n in 0..100 {
                tokio::task::yield_now().await;
                let attempt = attempt(format!("li{n}")).unwrap();
                attempt.run(async {}).await.unwrap();
                attempt.succeeded();
            }
        };
        futures_util::future::select(std::pin::pin!(guessers), std::pin::pin!(honest)).await;
    }

    #[test]
    fn invented_names_take_no_memory_without_bound_and_wipe_nothing_out() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        for n in 0..20 {
            wait(&limiter, guess("li", host(n)), now);
        }
        for n in 0..6000 {
            wait(&limiter, guess(&format!("user{n}"), host(n)), now);
        }
        assert!(limiter.state().mistakes.len() <= ENTRIES);
        assert_eq!(wait(&limiter, guess("li", host(77)), now), 15);
    }
}
