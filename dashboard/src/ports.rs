//! The few things the dashboard asks of whoever runs it.
//!
//! The daemon implements these; nothing here names a database, a driver or a broker.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use zhiban_core::alarm::AlarmChange;
use zhiban_core::work_order::WorkOrderChange;
use zhiban_core::{
    AlarmId, AlarmState, Command, Language, Outcome, Place, Priority, Refusal, Signal, Snapshot,
    Text, Timestamp, Value, WorkOrder, WorkOrderNumber, WorkOrderStatus,
};

/// Everything the dashboard has.
#[derive(Clone)]
pub struct App {
    /// The building as it is; only what is durable is ever published here.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The only way from people to state.
    pub commands: mpsc::Sender<CommandRequest>,
    /// Changes of alarms and orders, the moment they are durable and the snapshot shows them.
    pub live: broadcast::Sender<Live>,
    /// Time series.
    pub history: Arc<dyn History>,
    /// Records of alarms and orders.
    pub archive: Arc<dyn Archive>,
    /// The bytes of photos.
    pub photos: Arc<dyn Photos>,
    /// Who may come in.
    pub accounts: Arc<dyn Accounts>,
    /// How the gateway itself is.
    pub health: Arc<dyn Health>,
    /// Open records of equipment or rules that are not in the configuration: code and title. Nobody watches them.
    pub unwatched: Vec<Text>,
    /// Whether any channel is set up by which people are told.
    pub tells: bool,
    /// The reverse proxies whose word on their callers is taken.
    pub proxies: crate::TrustedProxies,
    /// The wall clock; tests give their own.
    pub now: fn() -> Timestamp,
    /// Cancelled when the gateway stops, so that streams end and nobody waits for them.
    pub stop: tokio_util::sync::CancellationToken,
}

impl App {
    /// Whether what happens is recorded: when it is not, people must be told.
    pub(crate) fn records_are_written(&self) -> bool {
        let checks = self.health.checks();
        checks.iter().all(|one| one.ok || one.name != "journal")
    }

    /// What nobody watches any more, in one language.
    pub(crate) fn unwatched(&self, language: Language) -> String {
        let named: Vec<&str> = self.unwatched.iter().map(|one| one.get(language)).collect();
        named.join(", ")
    }

    /// Whether the records may be those of an older copy, because the last ones were damaged.
    pub(crate) fn records_are_older(&self) -> bool {
        let checks = self.health.checks();
        checks.iter().any(|one| !one.ok && one.name == "records")
    }
}

/// A command on its way to the engine, with the way back.
#[derive(Debug)]
pub struct CommandRequest {
    /// What is asked.
    pub command: Command,
    /// The idempotency key of the request: durable together with what the command does.
    pub once: Option<OnceKey>,
    /// Answers after the effects are durable.
    pub reply: oneshot::Sender<Result<Outcome, CommandError>>,
}

/// The idempotency key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceKey {
    /// The key, with the user it belongs to.
    pub key: String,
    /// SHA-256 of method, path and body, in hex.
    pub request: String,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The facility refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Earlier records still wait to be written; nothing was done.
    #[error("the record store is not available; try again")]
    NotTaken,
    /// It is not durable yet; whether it will be is not known.
    #[error("the record store is not available; try again")]
    StoreUnavailable,
    /// A command with the same key was taken, and its answer is on its way.
    #[error("the same request was taken already")]
    Repeated,
}

/// A change of an alarm or an order that is durable.
#[derive(Debug, Clone)]
pub enum Live {
    /// An alarm changed.
    Alarm {
        /// Which.
        id: AlarmId,
        /// What changed.
        change: AlarmChange,
        /// Its state now.
        state: AlarmState,
    },
    /// Something happened to an order.
    WorkOrder {
        /// Which.
        no: WorkOrderNumber,
        /// What happened.
        change: WorkOrderChange,
        /// Its status now.
        status: WorkOrderStatus,
    },
}

/// Something the dashboard asked for could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} cannot be read now: {why}")]
pub struct Unavailable {
    /// What was asked for.
    pub what: &'static str,
    /// Why it failed, for the log; never shown to people.
    pub why: String,
}

/// Why a series was not given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SeriesError {
    /// More than one answer may hold: the question must be a smaller one.
    #[error("the time asked for has too many samples")]
    TooLarge,
    /// It cannot be read now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A number of a series. Whole numbers stay as they are: a counter may have more digits than a fraction holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Integer(i64),
    /// Any other.
    Real(f64),
}

impl Number {
    /// As a fraction, for comparing and drawing; digits beyond the 15th may be others.
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "said in its words")]
            Number::Integer(number) => number as f64,
            Number::Real(number) => number,
        }
    }

    /// The lower of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if self.is_above(other) { other } else { self }
    }

    /// The higher of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.is_above(self) { other } else { self }
    }

    fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Number::Integer(one), Number::Integer(other)) => one > other,
            (one, other) => one.as_f64() > other.as_f64(),
        }
    }
}

/// Part of a time series, bucketed for a width in pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Start of each bucket, or the time of each sample.
    pub t: Vec<Timestamp>,
    /// The lowest value of each bucket; `None` is a gap.
    pub min: Vec<Option<Number>>,
    /// The highest value of each bucket; `None` is a gap.
    pub max: Vec<Option<Number>>,
    /// The last value of each bucket; `None` is a gap.
    pub last: Vec<Option<Number>>,
    /// The width of a bucket in milliseconds; 0 when each entry is one sample.
    pub step_ms: i64,
}

/// How a series is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// Raw samples when they fit, else buckets.
    #[default]
    Auto,
    /// Every sample; refused when there are too many.
    Raw,
    /// Lowest and highest of each bucket.
    MinMax,
}

/// A question for part of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesQuery {
    /// The point's key.
    pub key: String,
    /// From here, inclusive.
    pub from: Timestamp,
    /// To here, exclusive.
    pub to: Timestamp,
    /// The width it is drawn in, in pixels, 16 to 4000.
    pub px: u32,
    /// How it is put together.
    pub agg: Aggregation,
}

/// Reads time series. Losing it never touches alarms or orders.
pub trait History: Send + Sync {
    /// Part of the series of one point. Numbers, flags as 0 and 1; texts and codes have no series.
    fn series(&self, query: SeriesQuery) -> BoxFuture<'_, Result<Series, SeriesError>>;
}

/// One row of a list of alarms, open or over.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmRow {
    /// Its number.
    pub id: AlarmId,
    /// The rule's id.
    pub rule: String,
    /// The asset's code.
    pub asset: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Its state.
    pub state: AlarmState,
    /// What happened, in both languages.
    pub title: zhiban_core::Text,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// The value that raised it.
    pub raised_value: Option<Value>,
    /// When its condition went away.
    pub returned_at: Option<Timestamp>,
    /// When somebody acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// What they wrote.
    pub comment: Option<String>,
    /// Until when it is shelved.
    pub shelved_until: Option<Timestamp>,
    /// The order it belongs to.
    pub work_order: Option<WorkOrderNumber>,
    /// Where the fault is, or was last known to be.
    pub place: Option<Place>,
}

impl AlarmRow {
    /// Whether its equipment and its rule are in the configuration.
    pub(crate) fn is_configured(&self, snapshot: &Snapshot) -> bool {
        let asset = snapshot.model.asset_by_code(&self.asset);
        asset.is_some_and(|asset| snapshot.model.rule_by_name(asset, &self.rule).is_some())
    }

    /// How it stands now: what is configured otherwise since may be written down nowhere.
    pub(crate) fn state_now(&self, snapshot: &Snapshot) -> AlarmState {
        let live = snapshot.alarms.get(&self.id);
        live.map_or(self.state, zhiban_core::Alarm::state)
    }

    /// What the machine says now of the fault. Nothing is known of what is open and not in the snapshot: it is not
    /// configured, or so new that the snapshot does not have it yet.
    pub(crate) fn signal(&self, snapshot: &Snapshot) -> Signal {
        if self.state != AlarmState::Normal && !snapshot.alarms.contains_key(&self.id) {
            return Signal::Unknown;
        }
        snapshot.signal(self.id)
    }
}

/// One entry of an alarm's life.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmEventRow {
    /// When.
    pub at: Timestamp,
    /// Who; `None` when the gateway did.
    pub by: Option<String>,
    /// What changed.
    pub change: String,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// What was written.
    pub note: Option<String>,
    /// Where the fault was by then.
    pub place: Option<Place>,
}

/// One entry of an order's life.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderEventRow {
    /// When.
    pub at: Timestamp,
    /// When the person says it happened.
    pub recorded_at: Option<Timestamp>,
    /// Who; `None` when the gateway did.
    pub by: Option<String>,
    /// What happened.
    pub change: String,
    /// The status before.
    pub from: String,
    /// The status after.
    pub to: String,
    /// Whether the person may have made the move only because the site has no other account.
    pub only_account: bool,
    /// What was written.
    pub note: Option<String>,
    /// Where the fault was by then.
    pub place: Option<Place>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// No channel takes it: nobody was told.
    Nobody,
    /// It waits to be sent, or to be sent again.
    Waits,
    /// The receiving side took it.
    Accepted,
    /// It was tried for as long as it may be, and given up.
    GivenUp,
}

impl Reached {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Reached::Nobody => "nobody",
            Reached::Waits => "waiting",
            Reached::Accepted => "accepted",
            Reached::GivenUp => "given_up",
        }
    }
}

/// One message about an alarm or an order, by one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldRow {
    /// When it was to be told.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The user name of who it is for; `None` for the whole crew.
    pub person: Option<String>,
    /// By which channel; `None` when none takes it.
    pub channel: Option<String>,
    /// What became of it.
    pub reached: Reached,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was last tried.
    pub last_at: Option<Timestamp>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An alarm.
    Alarm(AlarmId),
    /// An order.
    Order(WorkOrderNumber),
}

/// An order from the archive, with its asset's code, whether or not the asset is still configured.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderRow {
    /// The order; its `asset` is only meaningful when the asset is still configured.
    pub order: WorkOrder,
    /// The asset's code.
    pub asset: String,
}

/// Which alarms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlarmFilter {
    /// Only these states; empty means every state.
    pub states: Vec<AlarmState>,
    /// Only this asset.
    pub asset: Option<String>,
    /// Only older than this alarm (the cursor).
    pub before: Option<AlarmId>,
    /// At most this many, 1 to 201: one more than a page holds says that there is a next page.
    pub limit: u32,
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrderFilter {
    /// Only these statuses; empty means every status.
    pub statuses: Vec<WorkOrderStatus>,
    /// Only this asset.
    pub asset: Option<String>,
    /// Only this person's.
    pub assignee: Option<String>,
    /// Only older than this order (the cursor).
    pub before: Option<WorkOrderNumber>,
    /// At most this many, 1 to 201: one more than a page holds says that there is a next page.
    pub limit: u32,
}

/// A record with the entries of its life, oldest first; `None` when there is none.
pub type Life<Row, Entry> = Option<(Row, Vec<Entry>)>;

/// Reads records of alarms and orders, newest first.
pub trait Archive: Send + Sync {
    /// A page of alarms.
    fn alarms(&self, filter: AlarmFilter) -> BoxFuture<'_, Result<Vec<AlarmRow>, Unavailable>>;
    /// One alarm and its life, oldest entry first.
    fn alarm(
        &self,
        id: AlarmId,
    ) -> BoxFuture<'_, Result<Life<AlarmRow, AlarmEventRow>, Unavailable>>;
    /// A page of orders.
    fn work_orders(&self, filter: OrderFilter)
    -> BoxFuture<'_, Result<Vec<OrderRow>, Unavailable>>;
    /// One order and its life, oldest entry first.
    fn work_order(
        &self,
        no: WorkOrderNumber,
    ) -> BoxFuture<'_, Result<Life<OrderRow, OrderEventRow>, Unavailable>>;
    /// Who was told of an alarm or an order, and what became of it: the latest first.
    fn told(&self, about: About) -> BoxFuture<'_, Result<Vec<ToldRow>, Unavailable>>;
    /// How many alarms were raised in each hour of the last day, oldest hour first: 24 numbers.
    fn alarms_per_hour(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<u32>, Unavailable>>;
    /// The stored answer to an idempotency key of a user, with the hash of the request it belongs to.
    fn replay(&self, key: String) -> BoxFuture<'_, Result<Option<StoredAnswer>, Unavailable>>;
    /// Stores the answer to an idempotency key, once; kept for 7 days. In place of one that only
    /// says that it was done.
    fn keep_answer(
        &self,
        key: String,
        answer: StoredAnswer,
    ) -> BoxFuture<'_, Result<(), Unavailable>>;
}

/// Photos may take no more room than they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("photos may take no more room")]
pub struct NoRoom;

/// Keeps the bytes of photos; what they belong to stands in the records.
pub trait Photos: Send + Sync {
    /// Stores bytes durably under a name of its own choosing: 32 hexadecimal digits.
    fn keep(&self, bytes: Bytes) -> BoxFuture<'_, Result<Result<String, NoRoom>, Unavailable>>;
    /// The bytes of a name; `None` when there are none.
    fn read(&self, file: String) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>>;
    /// Gives the room of a name free again; one that is not there is no error.
    fn forget(&self, file: String) -> BoxFuture<'_, Result<(), Unavailable>>;
}

/// The first answer to a request that carried an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// SHA-256 of method, path and body, in hex.
    pub request: String,
    /// The HTTP status; [`Self::DONE`] when only that it was done is known.
    pub status: u16,
    /// The body; of one that was only done the number of its order, or nothing.
    pub body: Bytes,
}

impl StoredAnswer {
    /// It was done, and nobody kept what was answered.
    pub const DONE: u16 = 0;

    /// What is durable with the command itself, before anything is answered.
    pub fn done(request: String, outcome: &Outcome) -> Self {
        let body = match outcome {
            Outcome::Done => Bytes::new(),
            Outcome::WorkOrder(order) => order.no.to_string().into(),
        };
        Self {
            request,
            status: Self::DONE,
            body,
        }
    }
}

/// Who is signed in, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user name, or the token's name.
    pub user: String,
    /// The name people read.
    pub display_name: String,
    /// By a browser session, not by a token.
    pub session: bool,
}

/// A user as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user name.
    pub user: String,
    /// The name people read.
    pub display_name: String,
}

/// Why a password could not be looked at.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignInError {
    /// Too many people sign in at once.
    #[error("too many passwords are being checked")]
    Busy,
    /// It cannot be looked up now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a browser gets when its user signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The secret of the session.
    pub session: String,
    /// A proof that this browser was signed in to this account; without `|`, and good for a cookie.
    pub device: String,
}

/// Accounts, sessions and tokens. Secrets are stored only as hashes.
pub trait Accounts: Send + Sync {
    /// Checks a password and opens a session; `None` when refused.
    fn sign_in(
        &self,
        user: String,
        password: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Opened>, SignInError>>;
    /// The one of these proofs that a browser was signed in to this account.
    fn known_device(
        &self,
        user: String,
        proofs: Vec<String>,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<String>, Unavailable>>;
    /// Who a session cookie belongs to; `None` when it is over.
    fn session(
        &self,
        secret: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Identity>, Unavailable>>;
    /// Ends a session.
    fn sign_out(&self, secret: String) -> BoxFuture<'_, Result<(), Unavailable>>;
    /// Who a bearer token belongs to.
    fn token(
        &self,
        secret: String,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Option<Identity>, Unavailable>>;
    /// Everybody who can be given an order.
    fn people(&self) -> BoxFuture<'_, Result<Vec<Person>, Unavailable>>;
    /// Whether no account exists yet: then only the set-up page is served.
    fn needs_setup(&self) -> BoxFuture<'_, Result<bool, Unavailable>>;
    /// Makes the first account with the one-time token printed at the first start.
    fn set_up(
        &self,
        token: String,
        user: String,
        password: String,
    ) -> BoxFuture<'_, Result<Result<(), SetupRefused>, Unavailable>>;
}

/// Why the first account was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupRefused {
    /// The token is wrong.
    #[error("the set-up token is not right; it is printed in the log at start")]
    Token,
    /// No token is good any more: five were wrong, or half an hour is over.
    #[error("the set-up token is no longer good; restart the gateway for a new one")]
    Void,
    /// The user name is not usable.
    #[error("a user name is 2 to 32 of a-z, 0-9, dot, dash and underscore")]
    User,
    /// The password is too short.
    #[error("a password has at least 12 characters")]
    Password,
    /// The password is easy to guess.
    #[error("the password is easy to guess")]
    Guessable,
    /// There is an account already.
    #[error("the gateway is already set up")]
    Done,
}

/// One part of the gateway and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name: `journal`, `history`, `influxdb`, `mqtt`, `outbox`, ….
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// Whether the gateway cannot do its job without it.
    pub critical: bool,
    /// A short word on its state, for engineers.
    pub detail: String,
}

impl Check {
    /// The names of the parts without which the gateway does not live.
    pub const OF_LIFE: [&'static str; 2] = ["engine", "journal"];
}

/// Why a device is not read: what was asked in vain last, and what came instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// What is wrong, one of [`DeviceFault::KINDS`].
    pub kind: &'static str,
    /// The number of the exception by which the device or its gateway refused.
    pub exception: Option<u8>,
    /// Host and port.
    pub endpoint: String,
    /// The unit that was asked; `None` where there are no units.
    pub unit: Option<u8>,
    /// What was asked for, for example `holding 100, 4`, or a topic; empty when nothing could be asked.
    pub asked: String,
    /// The first bytes that came, in hex, or the beginning of a message; empty when nothing came.
    pub answer: String,
    /// What the system said, in its own words, or the point that a message is wrong about; empty when
    /// there is neither.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl DeviceFault {
    /// Every kind, for translations.
    pub const KINDS: [&'static str; 26] = [
        "connection_refused",
        "no_connection",
        "closed",
        "timeout",
        "incomplete",
        "other_framing",
        "exception",
        "unreachable",
        "short_answer",
        "long_answer",
        "wrong_unit",
        "wrong_transaction",
        "wrong_function",
        "garbage",
        "broker_not_reached",
        "broker_refused",
        "no_mqtt",
        "broker_tls",
        "broker_lost",
        "other_client",
        "filter_refused",
        "nothing_came",
        "too_large",
        "nothing_of_it",
        "undecodable",
        "time_unreadable",
    ];
}

/// How the gateway itself is.
pub trait Health: Send + Sync {
    /// Every part; cheap enough to ask each second.
    fn checks(&self) -> Vec<Check>;
    /// Why an asset is not read, by its code; `None` when it is, or nothing is known.
    fn device_fault(&self, asset: &str) -> Option<DeviceFault>;
    /// The memory of the gateway that is really there, in bytes; `None` where the system does not say.
    fn resident(&self) -> Option<u64>;
    /// The metrics in Prometheus text format.
    fn metrics(&self) -> String;
}

/// Picks the language of a request: `?lang=`, cookie, `Accept-Language`, Chinese.
pub fn language(query: Option<&str>, cookie: Option<&str>, accept: Option<&str>) -> Language {
    let chosen = query.or(cookie).and_then(Language::from_tag);
    let accepted = || {
        accept?
            .split(',')
            .filter_map(|tag| tag.split(';').next())
            .find_map(|tag| Language::from_tag(tag.trim()))
    };
    chosen.or_else(accepted).unwrap_or_default()
}
