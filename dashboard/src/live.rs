//! What the live stream says: changed points per set, alarms and orders, each made once for all readers.
//!
//! No task of its own: whichever reader's clock ticks first does the work of that tick for all of them.

use crate::ports::Identity;
use crate::wire;
use axum::body::Bytes;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::Instant;
use zhiban_core::alarm::{AlarmChange, AlarmState};
use zhiban_core::work_order::WorkOrderChange;
use zhiban_core::{
    Alarm, AlarmId, Model, PointId, Priority, Quality, Snapshot, Timestamp, Value, WorkOrderNumber,
    WorkOrderStatus,
};

/// The version that runs; a page drawn by another one is told so.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The most streams at once.
const STREAMS: usize = 200;
/// The most streams of one person: desks, a wall screen and phones.
const STREAMS_OF_PERSON: usize = 8;
/// The most streams of one token: a program may serve many people.
const STREAMS_OF_TOKEN: usize = 32;
/// How many changes of a set a reader may be behind.
const BEHIND: usize = 256;
/// The most points the overview carries; in a larger building each asset gives its first ones.
const OVERVIEW_POINTS: usize = 2000;
/// How often the overview may change.
const OVERVIEW_PERIOD: Duration = Duration::from_secs(1);
/// How often the set of one asset may change.
const ASSET_PERIOD: Duration = Duration::from_millis(200);

type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// All streams of this process.
pub(crate) struct Hub {
    snapshot: Snapshots,
    /// Tells a restarted gateway from the one before.
    epoch: i64,
    count: AtomicU64,
    places: Arc<Semaphore>,
    /// How many of the places each person and each token has.
    taken: Arc<Mutex<BTreeMap<(bool, String), usize>>>,
    /// Moves whenever a session was ended, so that no stream outlives its own.
    ended: watch::Sender<()>,
    feeds: Mutex<BTreeMap<String, Weak<Feed>>>,
    /// What is said of all alarms together, with the sequence it holds for.
    alarms: Mutex<(u64, Json)>,
}

/// A place among the streams; given back when dropped.
pub(crate) struct Ticket {
    _place: OwnedSemaphorePermit,
    whose: (bool, String),
    taken: Arc<Mutex<BTreeMap<(bool, String), usize>>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        metrics::gauge!("zhiban_streams").decrement(1.0);
        let mut taken = locked(&self.taken);
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

impl Hub {
    /// Nobody listens yet.
    pub(crate) fn new(snapshot: Snapshots, started: Timestamp) -> Self {
        Self {
            snapshot,
            epoch: started.millis(),
            count: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(STREAMS)),
            taken: Arc::default(),
            ended: watch::Sender::new(()),
            feeds: Mutex::default(),
            alarms: Mutex::new((u64::MAX, Json::Null)),
        }
    }

    /// A place for one more stream; `None` when all are taken, or all that one may have.
    pub(crate) fn ticket(&self, who: &Identity) -> Option<Ticket> {
        let ticket = self.place(who);
        if ticket.is_some() {
            metrics::gauge!("zhiban_streams").increment(1.0);
        } else {
            metrics::counter!("zhiban_streams_refused_total").increment(1);
        }
        ticket
    }

    fn place(&self, who: &Identity) -> Option<Ticket> {
        let most = if who.session {
            STREAMS_OF_PERSON
        } else {
            STREAMS_OF_TOKEN
        };
        let whose = (who.session, who.user.clone());
        let mut taken = locked(&self.taken);
        if taken.get(&whose).is_some_and(|count| *count >= most) {
            return None;
        }
        let place = self.places.clone().try_acquire_owned().ok()?;
        *taken.entry(whose.clone()).or_default() += 1;
        Some(Ticket {
            _place: place,
            whose,
            taken: self.taken.clone(),
        })
    }

    /// A session was ended: every stream asks whether it was its own.
    pub(crate) fn session_ended(&self) {
        self.ended.send_replace(());
    }

    /// Wakes whenever a session was ended.
    pub(crate) fn endings(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// The next event number: grows always, and begins with the epoch.
    pub(crate) fn next_id(&self) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.epoch)
    }

    /// The feed of a set; `None` when there is no such set.
    pub(crate) fn feed(&self, name: &str) -> Option<Arc<Feed>> {
        let mut feeds = locked(&self.feeds);
        if let Some(feed) = feeds.get(name).and_then(Weak::upgrade) {
            return Some(feed);
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let snapshot = self.snapshot.borrow().clone();
        let (points, period) = match name.strip_prefix("asset:") {
            None if name == "overview" => (overview(&snapshot.model), OVERVIEW_PERIOD),
            None => return None,
            Some(code) => {
                let asset = snapshot.model.asset_by_code(code)?;
                let points = snapshot.model.asset(asset).points.clone();
                (points.map(PointId).collect(), ASSET_PERIOD)
            }
        };
        let feed = Arc::new(Feed {
            points,
            period,
            said: Mutex::new(Said {
                snapshot,
                at: Instant::now(),
            }),
            changes: broadcast::Sender::new(BEHIND),
        });
        feeds.insert(name.to_owned(), Arc::downgrade(&feed));
        Some(feed)
    }

    /// What is to be said of changes of alarms: the last one in full, those before it as `earlier`.
    pub(crate) fn alarm_event(&self, changes: &[AlarmNews]) -> Option<Bytes> {
        let snapshot = self.snapshot.borrow().clone();
        let mut own: Vec<Json> = changes.iter().map(|one| one.said(&snapshot)).collect();
        let last = own.pop()?;
        let mut data = self.alarms();
        if let (Some(data), Json::Object(last)) = (data.as_object_mut(), last) {
            data.extend(last);
            data.insert("earlier".to_owned(), own.into());
        }
        Some(frame("alarm", &data))
    }

    /// What is to be said of a change of an order.
    pub(crate) fn order_event(
        &self,
        no: &WorkOrderNumber,
        change: WorkOrderChange,
        status: WorkOrderStatus,
    ) -> Bytes {
        let snapshot = self.snapshot.borrow().clone();
        let order = snapshot.work_orders.get(no);
        let data = json!({
            "rev": snapshot.sequence,
            "no": no.to_string(),
            "change": change.code(),
            "state": status.code(),
            // The name it had first; the same word as `state`.
            "status": status.code(),
            "asset": order.map(|order| &snapshot.model.asset(order.asset).code),
            "assignee": order.and_then(|order| order.assignee.as_ref()),
        });
        frame("wo", &data)
    }

    /// What is to be said of all alarms together: `{rev, counts, unacked, top}`, counts by priority.
    pub(crate) fn alarms(&self) -> Json {
        let snapshot = self.snapshot.borrow().clone();
        let mut known = locked(&self.alarms);
        if known.0 != snapshot.sequence {
            *known = (snapshot.sequence, summary(&snapshot));
        }
        known.1.clone()
    }
}

/// A change of an alarm that a stream has yet to say.
pub(crate) struct AlarmNews {
    pub(crate) id: AlarmId,
    pub(crate) change: AlarmChange,
    pub(crate) state: AlarmState,
}

impl AlarmNews {
    fn said(&self, snapshot: &Snapshot) -> Json {
        let alarm = snapshot.alarms.get(&self.id);
        let model = &snapshot.model;
        json!({
            "id": self.id.to_string(),
            "change": self.change.code(),
            "state": self.state.code(),
            "signal": snapshot.signal(self.id).code(),
            "asset": alarm.map(|alarm| &model.asset(alarm.asset).code),
            "rule": alarm.map(|alarm| &model.rule(alarm.rule).rule.id),
            "priority": alarm.map(|alarm| alarm.priority.number()),
        })
    }
}

/// The points of the overview: all, or the first ones of each asset.
fn overview(model: &Model) -> Vec<PointId> {
    let most = if model.points.len() <= OVERVIEW_POINTS {
        usize::MAX
    } else {
        (OVERVIEW_POINTS / model.assets.len().max(1)).max(1)
    };
    let assets = model.assets.iter();
    assets
        .flat_map(|asset| asset.points.clone().take(most))
        .map(PointId)
        .take(OVERVIEW_POINTS)
        .collect()
}

fn summary(snapshot: &Snapshot) -> Json {
    let (mut counts, mut unacked) = ([0_u32; 4], [0_u32; 4]);
    let mut top: Option<&Alarm> = None;
    for alarm in snapshot.by_urgency() {
        let open = match alarm.state() {
            AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged => true,
            AlarmState::Acknowledged => false,
            AlarmState::Normal
            | AlarmState::Shelved
            | AlarmState::Suppressed
            | AlarmState::OutOfService => continue,
        };
        add(&mut counts, alarm.priority);
        if open {
            add(&mut unacked, alarm.priority);
            top = top.or(Some(alarm));
        }
    }
    let top = top.map(|alarm| {
        let asset = snapshot.model.asset(alarm.asset);
        let location = asset.location.as_ref().map(|place| &place.name);
        json!({
            "id": alarm.id.to_string(),
            "p": alarm.priority.number(),
            "title": snapshot.model.rule(alarm.rule).rule.title,
            "asset": asset.code,
            "name": asset.name,
            "danger": snapshot.model.rule(alarm.rule).rule.danger().code(),
            // Of the fault when it is known, else of the asset.
            "place": alarm.place.as_ref().map(|place| &place.text).or(location),
            "place_known_at": alarm.place.as_ref().and_then(|place| place.known_at).map(wire::time),
            "place_fresh": alarm.place.as_ref().map(|place| place.fresh),
            "raised_at": wire::time(alarm.raised_at),
            "returned_at": alarm.returned_at.map(wire::time),
            "signal": snapshot.signal(alarm.id).code(),
        })
    });
    json!({ "rev": snapshot.sequence, "counts": counts, "unacked": unacked, "top": top })
}

fn add(counts: &mut [u32; 4], priority: Priority) {
    let place = usize::from(priority.number()).wrapping_sub(1);
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

/// The points of one set, and who listens to them.
pub(crate) struct Feed {
    points: Vec<PointId>,
    period: Duration,
    said: Mutex<Said>,
    changes: broadcast::Sender<Bytes>,
}

/// The state that every reader of a set has been told, and when.
struct Said {
    snapshot: Arc<Snapshot>,
    at: Instant,
}

impl Feed {
    /// How often it may change.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Every point, and from exactly there every change.
    pub(crate) fn join(&self, latest: &Snapshots) -> (Bytes, broadcast::Receiver<Bytes>) {
        let mut said = locked(&self.said);
        self.say_changes(&mut said, latest);
        let changes = self.changes.subscribe();
        (self.all_of(&said.snapshot), changes)
    }

    /// Tells what changed, when the period is over. Cheap when another reader was first.
    pub(crate) fn advance(&self, latest: &Snapshots) {
        let mut said = locked(&self.said);
        // Readers' clocks are not in step: a little early is in time.
        if said.at.elapsed() + self.period / 10 >= self.period {
            self.say_changes(&mut said, latest);
        }
    }

    fn say_changes(&self, said: &mut Said, latest: &Snapshots) {
        let latest = latest.borrow().clone();
        let changed: Vec<Json> = self
            .points
            .iter()
            .filter(|id| differs(&said.snapshot, &latest, **id))
            .filter_map(|id| row(&latest, *id))
            .collect();
        *said = Said {
            snapshot: latest,
            at: Instant::now(),
        };
        if !changed.is_empty() {
            // An error only says that nobody listens any more.
            drop(self.changes.send(frame("p", &Json::Array(changed))));
        }
    }

    fn all_of(&self, snapshot: &Snapshot) -> Bytes {
        let rows = self.points.iter().filter_map(|id| row(snapshot, *id));
        frame("p", &Json::Array(rows.collect()))
    }
}

/// Whether people would see a difference. A value that was read again and is the same is none.
fn differs(one: &Snapshot, other: &Snapshot, id: PointId) -> bool {
    let (one, other) = (one.points.get(id.index()), other.points.get(id.index()));
    match (one, other) {
        (Some(one), Some(other)) => one.value != other.value || one.quality != other.quality,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

fn row(snapshot: &Snapshot, id: PointId) -> Option<Json> {
    let point = snapshot.model.points.get(id.index())?;
    let state = snapshot.points.get(id.index())?;
    let quality = match state.quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
        Quality::Stale(_) => 3,
    };
    let value = state.value.as_ref().map(for_browsers);
    Some(json!([
        &*point.key,
        value,
        quality,
        state.at.map(Timestamp::millis)
    ]))
}

/// The largest whole number up to which a browser's numbers are exact: 2^53 - 1.
const EXACT: u64 = (1 << 53) - 1;

/// A value as a browser can take it: a whole number that its numbers cannot hold is a text.
fn for_browsers(value: &Value) -> Json {
    match value {
        Value::Integer(number) if number.unsigned_abs() > EXACT => number.to_string().into(),
        Value::Integer(_) | Value::Flag(_) | Value::Number(_) | Value::Text(_) => {
            wire::value(value)
        }
    }
}

/// One event without its number.
pub(crate) fn frame(name: &str, data: &Json) -> Bytes {
    // JSON has no raw line breaks, so one data line is enough.
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
