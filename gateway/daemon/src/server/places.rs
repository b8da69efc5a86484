//! How many connections the web server holds, in all and for one address, and which one goes when one more comes.
//!
//! A connection that waits for a request makes room for a newer one, the longest-waiting first; where none waits, one
//! whose request is still coming. One whose request is being answered never does. So whoever only holds connections
//! open, or sends requests that never end, shuts nobody out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zhiban_dashboard::{TrustedProxies, neighbourhood};

/// How long a connection that makes room may take to close before the next one is let in all the same.
const CLOSING: Duration = Duration::from_secs(1);
/// How often the log says that connections are closed.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How many connections there may be.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) all: usize,
    /// For one address; a trusted proxy has no such limit.
    pub(crate) per_address: usize,
    /// Those proxies.
    pub(crate) proxies: TrustedProxies,
}

/// All places for connections.
#[derive(Debug)]
pub(crate) struct Places {
    limits: Limits,
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    seats: BTreeMap<u64, Seat>,
    /// Connections whose descriptor is still held: those with a seat and those that are being closed.
    held: usize,
    said: Option<Instant>,
}

#[derive(Debug)]
struct Seat {
    address: IpAddr,
    /// Since when it waits for a request.
    since: Instant,
    /// Requests that are still coming, and those that are being answered.
    coming: usize,
    answering: usize,
    leave: CancellationToken,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    id: u64,
    leave: CancellationToken,
    places: Arc<Places>,
}

/// A request on a connection: it is coming, then being answered.
#[derive(Debug)]
pub(crate) struct Busy {
    slot: Arc<Slot>,
    whole: AtomicBool,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            freed: Notify::new(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a descriptor may be taken: those that were told to close do so within moments.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            if self.table().held <= self.limits.all {
                return;
            }
            // One that does not close at once is not waited for: it has time limits of its own.
            if tokio::time::timeout(CLOSING, freed).await.is_err() {
                return;
            }
        }
    }

    /// A place for a connection; `None` when it must be closed at once.
    pub(crate) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Arc<Slot>> {
        let address = neighbourhood(peer.ip());
        let mut table = self.table();
        let mine = table.of(address).count();
        let full = table.seats.len() >= self.limits.all;
        let reason = if mine >= self.limits.per_address && !self.limits.proxies.trusts(peer.ip()) {
            let victim = table.longest_waiting(address);
            Some(("address_limit", victim))
        } else if full {
            Some(("limit", table.victim()))
        } else {
            None
        };
        if let Some((reason, victim)) = reason {
            metrics::counter!("zhiban_http_connections_closed_total", "reason" => reason)
                .increment(1);
            self.say(&mut table, peer.ip(), reason);
            let seat = victim.and_then(|id| table.seats.remove(&id))?;
            seat.leave.cancel();
        }
        let id = table.next;
        let leave = CancellationToken::new();
        let seat = Seat {
            address,
            since: Instant::now(),
            coming: 0,
            answering: 0,
            leave: leave.clone(),
        };
        table.next += 1;
        table.held += 1;
        table.seats.insert(id, seat);
        metrics::gauge!("zhiban_http_connections").increment(1.0);
        Some(Arc::new(Slot {
            id,
            leave,
            places: self.clone(),
        }))
    }

    fn say(&self, table: &mut Table, address: IpAddr, reason: &str) {
        if table.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        table.said = Some(Instant::now());
        let Limits {
            all, per_address, ..
        } = self.limits;
        if reason == "limit" {
            tracing::warn!(
                "all {all} connections are taken (http.max_connections); for each new one an idle one is closed"
            );
        } else {
            tracing::warn!(
                %address,
                "one address holds {per_address} connections (http.max_connections_per_address); for each new one its \
                 oldest idle one is closed. If it is a reverse proxy, name it in http.trusted_proxies"
            );
        }
    }
}

impl Table {
    fn of(&self, address: IpAddr) -> impl Iterator<Item = (&u64, &Seat)> {
        let seats = self.seats.iter();
        seats.filter(move |(_, seat)| seat.address == address)
    }

    /// The connection of this address that can best go.
    fn longest_waiting(&self, address: IpAddr) -> Option<u64> {
        let free = self.of(address).filter(|(_, seat)| seat.answering == 0);
        free.min_by_key(|(_, seat)| seat.rank()).map(|(id, _)| *id)
    }

    /// That of whoever holds most of those that can go: of those that wait, else of those whose request comes.
    fn victim(&self) -> Option<u64> {
        let free = || self.seats.values().filter(|seat| seat.answering == 0);
        let waits = free().any(|seat| seat.coming == 0);
        let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for seat in free().filter(|seat| !waits || seat.coming == 0) {
            *held.entry(seat.address).or_default() += 1;
        }
        let (address, _) = held.into_iter().max_by_key(|(_, count)| *count)?;
        self.longest_waiting(address)
    }
}

impl Seat {
    fn rank(&self) -> (bool, Instant) {
        (self.coming > 0, self.since)
    }
}

impl Slot {
    /// Wakes when the connection must make room.
    pub(crate) fn leave(&self) -> CancellationToken {
        self.leave.clone()
    }

    /// Marks the connection as one on which a request comes, until the mark is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.change(|seat| seat.coming += 1);
        Busy {
            slot: self.clone(),
            whole: AtomicBool::new(false),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.places.table().seats.get_mut(&self.id) {
            change(seat);
        }
    }
}

impl Busy {
    /// The request is there, or nobody reads the rest of it: from now on it is being answered.
    pub(crate) fn answers(&self) {
        if !self.whole.swap(true, Ordering::Relaxed) {
            self.slot.change(|seat| {
                seat.coming = seat.coming.saturating_sub(1);
                seat.answering += 1;
            });
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let whole = *self.whole.get_mut();
        self.slot.change(|seat| {
            let count = match whole {
                true => &mut seat.answering,
                false => &mut seat.coming,
            };
            *count = count.saturating_sub(1);
            seat.since = Instant::now();
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.seats.remove(&self.id);
        table.held = table.held.saturating_sub(1);
        drop(table);
        metrics::gauge!("zhiban_http_connections").decrement(1.0);
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: usize, per_address: usize) -> Arc<Places> {
        let proxy = "10.9.9.9/32".parse().unwrap();
        Places::new(Limits {
            all,
            per_address,
            proxies: TrustedProxies::new(&[proxy]),
        })
    }

    fn from(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 5000))
    }

    #[tokio::test]
    async fn a_waiting_connection_makes_room_and_a_busy_one_does_not() {
        let places = places(10, 2);
        let first = places.take(from(1)).unwrap();
        let second = places.take(from(1)).unwrap();
        let third = places.take(from(1)).unwrap();
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled());
        let (one, two) = (second.busy(), third.busy());
        one.answers();
        two.answers();
        assert!(places.take(from(1)).is_none(), "both are being answered");
        assert!(places.take(from(2)).is_some(), "others are not concerned");
        drop(two);
        assert!(places.take(from(1)).is_some());
        assert!(third.leave.is_cancelled());
    }

    #[tokio::test]
    async fn one_whose_request_is_still_coming_makes_room_after_those_that_wait() {
        let places = places(3, 3);
        let half = places.take(from(1)).unwrap();
        let whole = places.take(from(1)).unwrap();
        let waits = places.take(from(1)).unwrap();
        let (_coming, answered) = (half.busy(), whole.busy());
        answered.answers();
        answered.answers();
        let _guest = places.take(from(2)).unwrap();
        assert!(waits.leave.is_cancelled() && !half.leave.is_cancelled());
        let _next = places.take(from(1)).unwrap().busy();
        drop(answered);
        assert!(places.take(from(1)).is_some(), "one that waits again");
        assert!(whole.leave.is_cancelled() && !half.leave.is_cancelled());
    }

    #[tokio::test]
    async fn requests_that_never_end_keep_nobody_out() {
        let places = places(6, 3);
        let held: Vec<_> = (0..6).map(|n| places.take(from(n / 3)).unwrap()).collect();
        let _coming: Vec<_> = held.iter().map(Slot::busy).collect();
        assert!(places.take(from(9)).is_some());
        assert!(places.take(from(0)).is_some());
    }

    #[tokio::test]
    async fn who_holds_most_makes_room_for_others() {
        let places = places(6, 4);
        let wall = places.take(from(1)).unwrap();
        let flood: Vec<_> = (0..4).map(|_| places.take(from(2)).unwrap()).collect();
        let _third = places.take(from(3)).unwrap();
        let _guest = places.take(from(4)).unwrap();
        assert!(!wall.leave.is_cancelled(), "the oldest, but it holds one");
        assert!(flood[0].leave.is_cancelled());
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_the_limit_of_all_alone_and_descriptors_are_counted_until_closed() {
        let places = places(3, 1);
        let proxy = SocketAddr::from(([10, 9, 9, 9], 1));
        let held: Vec<_> = (0..4).map(|_| places.take(proxy).unwrap()).collect();
        assert!(held[0].leave.is_cancelled());
        let room = tokio::time::timeout(Duration::from_millis(1), places.room()).await;
        assert!(room.is_err(), "the closed one still has its descriptor");
        drop(held);
        places.room().await;
    }
}
