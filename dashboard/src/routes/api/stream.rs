//! The live stream: opens it, and writes its events as long as somebody reads.
//!
//! A slow reader never holds anything up: it is told to read everything anew, and joins every set again,
//! so that nothing older ever follows what is newer.

use super::query::Params;
use crate::auth::{Caller, Credentials, Signed};
use crate::error::ApiError;
use crate::live::{AlarmNews, Feed, Ticket, VERSION, frame};
use crate::ports::Live;
use crate::{App, Shared};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, unfold};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::IntoParams;

/// The most sets one stream carries.
const MOST_SETS: usize = 16;
/// How often a stream shows that it lives: a page says from the first missed one on that nothing is known.
const BEAT: Duration = Duration::from_secs(2);
/// How often a stream asks whether its reader may still read; the end of a session is told at once.
const ASK: Duration = Duration::from_secs(5);
/// Between two events of alarms: four a second, however many alarms there are.
const ALARM_PAUSE: Duration = Duration::from_millis(250);
/// The most changes of alarms that wait for the next event; more is a flood, and lists are read anew.
const MOST_NEWS: usize = 256;

/// What to listen to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// `overview` and `asset:CODE`, separated by commas, at most 16; `overview` when nothing is said.
    /// A set that does not exist is passed over: `hello` names those that the stream carries.
    sets: Option<String>,
}

/// Server-sent events: `hello`, `p`, `alarm`, `wo`, `hb`, `reload`.
///
/// `p` is `[[key, value, quality, t_ms], …]`: first every point of the sets, then those whose value or
/// quality changed. Quality is 0 good, 1 uncertain, 2 bad, 3 stale. `reload` says that events were lost:
/// every point follows again, and lists must be read anew.
#[utoipa::path(get, path = "/api/v1/stream", tag = "stream", params(StreamParams),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn open(
    State(shared): State<Shared>,
    Signed(who): Signed,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response, ApiError> {
    let named = params.sets.as_deref().unwrap_or("overview").split(',');
    let names: BTreeSet<&str> = named
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() || names.len() > MOST_SETS {
        return Err(ApiError::parameter("sets", "out_of_range"));
    }
    let ticket = shared.hub.ticket(&who).ok_or(ApiError::RateLimited(10))?;
    let known = |name: &str| Some((name.to_owned(), shared.hub.feed(name)?));
    let feeds = names.into_iter().filter_map(known).collect();
    let credentials = Credentials::of(&headers, caller);
    let stream = Stream::new(shared, credentials, feeds, ticket);
    let events = unfold(Box::new(stream), async |mut stream| {
        let event = stream.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(event), stream))
    });
    let kind = HeaderValue::from_static("text/event-stream");
    let direct = HeaderValue::from_static("no");
    let mut response = Body::from_stream(events).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert("x-accel-buffering", direct);
    Ok(response)
}

type Frames = SelectAll<BoxStream<'static, Result<Bytes, BroadcastStreamRecvError>>>;

struct Stream {
    shared: Shared,
    /// What it was opened with, to be asked again.
    credentials: Credentials,
    /// Each set it carries, by name.
    feeds: Vec<(String, Arc<Feed>)>,
    frames: Frames,
    live: BroadcastStream<Live>,
    endings: watch::Receiver<()>,
    tick: Interval,
    beat: Interval,
    ask: Interval,
    /// Changes of alarms that wait for the pause to be over, each alarm's last one.
    news: Vec<AlarmNews>,
    /// When the next event of alarms may be said.
    quiet_until: Instant,
    recorded: bool,
    waiting: VecDeque<Bytes>,
    _ticket: Ticket,
}

impl Stream {
    fn new(
        shared: Shared,
        credentials: Credentials,
        feeds: Vec<(String, Arc<Feed>)>,
        ticket: Ticket,
    ) -> Self {
        // Listen first, look then: nothing may fall between.
        let live = BroadcastStream::new(shared.app.live.subscribe());
        let endings = shared.hub.endings();
        let hello = json!({
            "server_time": (shared.app.now)().millis(),
            "version": VERSION,
            "sets": feeds.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "seq": shared.app.snapshot.borrow().sequence,
            "alarms": shared.hub.alarms(),
        });
        let hello = [b"retry: 1000\n", &*frame("hello", &hello)].concat();
        let periods = feeds.iter().map(|(_, feed)| feed.period());
        let mut tick = interval(periods.min().unwrap_or(BEAT));
        let mut beat = interval(BEAT);
        let mut ask = interval(ASK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ask.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stream = Self {
            frames: SelectAll::new(),
            recorded: shared.app.records_are_written(),
            shared,
            credentials,
            feeds,
            live,
            endings,
            tick,
            beat,
            ask,
            news: Vec::new(),
            quiet_until: Instant::now(),
            waiting: VecDeque::from([hello.into()]),
            _ticket: ticket,
        };
        stream.join();
        stream
    }

    /// Says every point, and from exactly there every change; what was not yet read of before is dropped.
    fn join(&mut self) {
        self.frames = SelectAll::new();
        for (_, feed) in &self.feeds {
            let (all, changes) = feed.join(&self.shared.app.snapshot);
            self.waiting.push_back(all);
            self.frames.push(BroadcastStream::new(changes).boxed());
        }
    }

    /// The next event, as bytes; `None` when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(self.numbered(&event));
            }
            let stop = self.shared.app.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                Ok(()) = self.endings.changed() => {
                    if !may_read(&self.shared.app, &self.credentials).await {
                        return None;
                    }
                }
                live = self.live.next() => match live? {
                    Ok(live) => self.hear(live),
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.resync(),
                },
                () = sleep_until(self.quiet_until), if !self.news.is_empty() => self.say_alarms(),
                Some(change) = self.frames.next() => match change {
                    Ok(change) => self.waiting.push_back(change),
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.resync(),
                },
                _ = self.tick.tick() => {
                    for (_, feed) in &self.feeds {
                        feed.advance(&self.shared.app.snapshot);
                    }
                }
                _ = self.ask.tick() => {
                    if !may_read(&self.shared.app, &self.credentials).await {
                        return None;
                    }
                }
                _ = self.beat.tick() => self.beat(),
            }
        }
    }

    fn beat(&mut self) {
        let recorded = self.shared.app.records_are_written();
        if recorded != self.recorded {
            // Pages say it; no alarm and no order changed.
            self.recorded = recorded;
            self.waiting.push_back(reload());
        }
        let now = (self.shared.app.now)().millis();
        self.waiting.push_back(frame("hb", &json!(now)));
    }

    /// Orders are told at once, alarms as often as they may be: of each the last change wins.
    fn hear(&mut self, live: Live) {
        match live {
            Live::Alarm { id, change, state } => {
                self.news.retain(|one| one.id != id);
                self.news.push(AlarmNews { id, change, state });
                if self.news.len() > MOST_NEWS {
                    self.resync();
                } else if self.quiet_until <= Instant::now() {
                    self.say_alarms();
                }
            }
            Live::WorkOrder { no, change, status } => {
                let event = self.shared.hub.order_event(&no, change, status);
                self.waiting.push_back(event);
            }
        }
    }

    fn say_alarms(&mut self) {
        let event = self.shared.hub.alarm_event(&self.news);
        self.waiting.extend(event);
        self.news.clear();
        self.quiet_until = Instant::now() + ALARM_PAUSE;
    }

    /// Something was missed: lists must be read anew, and every point is said again.
    fn resync(&mut self) {
        metrics::counter!("zhiban_stream_resyncs_total").increment(1);
        self.news.clear();
        self.live = BroadcastStream::new(self.shared.app.live.subscribe());
        self.waiting.push_back(reload());
        self.join();
    }

    fn numbered(&self, event: &Bytes) -> Bytes {
        let mut numbered = format!("id: {}\n", self.shared.hub.next_id()).into_bytes();
        numbered.extend_from_slice(event);
        numbered.into()
    }
}

/// Whether the session or token it was opened with still holds; a store that is down ends nothing.
async fn may_read(app: &App, credentials: &Credentials) -> bool {
    !matches!(credentials.identify(app).await, Ok(None))
}

fn reload() -> Bytes {
    frame("reload", &json!({ "why": "resync" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, PASSWORD, USER};
    use axum::http::header::COOKIE;
    use futures_util::FutureExt;
    use serde_json::Value as Json;
    use zhiban_core::Value;

    /// A stream of one set, read up to its first beat.
    async fn opened(shared: &Shared, headers: HeaderMap, set: &str) -> Stream {
        let credentials = Credentials::of(&headers, nobody(shared));
        let who = crate::ports::Identity {
            user: USER.to_owned(),
            display_name: String::new(),
            session: true,
        };
        let ticket = shared.hub.ticket(&who).unwrap();
        let feed = shared.hub.feed(set).unwrap();
        let feeds = vec![(set.to_owned(), feed)];
        let mut stream = Stream::new(shared.clone(), credentials, feeds, ticket);
        while next(&mut stream).await.0 != "hb" {}
        stream
    }

    async fn next(stream: &mut Stream) -> (String, Json) {
        let event = stream.next().await.unwrap();
        let text = std::str::from_utf8(&event).unwrap().to_owned();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
        (field("event: ").unwrap().to_owned(), data)
    }

    #[tokio::test]
    async fn nothing_older_follows_what_is_newer_after_a_lag() {
        let fixture = Fixture::start();
        let shared = Shared::new(fixture.app.clone());
        let mut stream = opened(&shared, bearer(), "asset:P1").await;
        // Other readers make the feed say each change; this one does not read meanwhile.
        let feed = shared.hub.feed("asset:P1").unwrap();
        let set = |n: u32| {
            let pressure = Value::Number(f64::from(n) / 1000.0);
            fixture.set(&[("P1/setpoint", pressure)]);
            feed.join(&shared.app.snapshot);
        };
        (1..=300).for_each(set);
        while next(&mut stream).await.0 != "reload" {}
        let mut shown = 0.0;
        let mut show = |rows: &Json| {
            let rows = rows.as_array().into_iter().flatten();
            for row in rows.filter(|row| row[0] == "P1/setpoint") {
                let value = row[1].as_f64().unwrap();
                assert!(value >= shown, "{value} after {shown}");
                shown = value;
            }
            shown
        };
        while let Some((_, rows)) = next(&mut stream).now_or_never() {
            show(&rows);
        }
        set(301);
        while show(&next(&mut stream).await.1) < 0.301 {}
    }

    #[tokio::test]
    async fn a_stream_ends_the_moment_its_session_does() {
        let fixture = Fixture::start();
        let shared = Shared::new(fixture.app.clone());
        let accounts = &shared.app.accounts;
        let now = (shared.app.now)().to_utc();
        let mut opens = Vec::new();
        for _ in 0..2 {
            let secret = accounts.sign_in(USER.into(), PASSWORD.into(), now).await;
            let mut headers = HeaderMap::new();
            let secret = secret.unwrap().unwrap().session;
            let cookie = format!("{}={secret}", crate::auth::browser::SESSION);
            headers.insert(COOKIE, cookie.parse().unwrap());
            opens.push((opened(&shared, headers.clone(), "overview").await, headers));
        }
        let ended = crate::auth::sign_out(&shared, nobody(&shared), &opens[0].1).await;
        assert!(ended.is_ok());
        // Without waiting for anything: at once.
        assert_eq!(opens[0].0.next().now_or_never(), Some(None));
        let other = opens[1].0.next().now_or_never();
        assert_ne!(other, Some(None), "another session goes on");
    }

    #[tokio::test]
    async fn a_flood_of_alarms_is_said_in_few_events_and_whole() {
        let fixture = Fixture::start();
        let shared = Shared::new(fixture.app.clone());
        let mut stream = opened(&shared, bearer(), "overview").await;
        for _ in 0..10 {
            fixture.trip();
            fixture.calm();
        }
        fixture.trip();
        fixture.trap();
        let mut said = Vec::new();
        let mut open = std::collections::BTreeMap::new();
        while open.get("entrapment") != Some(&Json::from("unacknowledged")) {
            let (name, data) = next(&mut stream).await;
            if name == "alarm" {
                let earlier = data["earlier"].as_array().unwrap().iter();
                for one in earlier.chain([&data]) {
                    let rule = one["rule"].as_str().unwrap_or("over").to_owned();
                    open.insert(rule, one["state"].clone());
                }
                said.push(data);
            }
        }
        assert_eq!(said.len(), 2, "the first at once, all others together");
        assert_eq!(open["pump2_fault"], "unacknowledged");
        assert_eq!(said[1]["counts"], json!([1, 1, 0, 0]));
    }

    #[tokio::test]
    async fn that_records_are_not_written_is_told_without_any_other_event() {
        let fixture = Fixture::start();
        let shared = Shared::new(fixture.app.clone());
        let mut stream = opened(&shared, bearer(), "overview").await;
        for stopped in [true, false] {
            fixture.stop_recording(stopped);
            stream.beat();
            assert_eq!(next(&mut stream).await.0, "reload");
            assert_eq!(next(&mut stream).await.0, "hb");
        }
    }

    fn nobody(shared: &Shared) -> Caller {
        let (extensions, headers) = (axum::http::Extensions::new(), HeaderMap::new());
        Caller::of(&shared.app, &extensions, &headers)
    }

    fn bearer() -> HeaderMap {
        let mut headers = HeaderMap::new();
        let token = format!("Bearer {}", crate::fixture::TOKEN);
        headers.insert(header::AUTHORIZATION, token.parse().unwrap());
        headers
    }
}
