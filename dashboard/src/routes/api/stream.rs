//! The live stream: opens it, and writes its events as long as somebody reads.
//!
//! A slow reader never holds anything up: it is told to read everything anew.

use super::query::Params;
use crate::auth;
use crate::error::ApiError;
use crate::live::{Feed, Ticket, frame};
use crate::ports::Live;
use crate::{App, Shared};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all, unfold};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::IntoParams;

/// The most sets one stream carries.
const MOST_SETS: usize = 16;
/// How often a stream shows that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// After how many beats a stream asks again whether its reader may still read.
const BEATS_PER_CHECK: u32 = 12;

/// What to listen to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// `overview` and `asset:CODE`, separated by commas; `overview` when nothing is said.
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
    let ticket = shared.hub.ticket().ok_or(ApiError::RateLimited(10))?;
    let feeds: Option<Vec<_>> = names.iter().map(|name| shared.hub.feed(name)).collect();
    let feeds = feeds.ok_or_else(|| ApiError::parameter("sets", "unknown"))?;
    let stream = Stream::new(shared, headers, feeds, ticket, names);
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

type Frames = SelectAll<BoxStream<'static, (usize, Result<Bytes, BroadcastStreamRecvError>)>>;

struct Stream {
    shared: Shared,
    /// The credentials it was opened with, to be asked again.
    headers: HeaderMap,
    feeds: Vec<Arc<Feed>>,
    frames: Frames,
    live: BroadcastStream<Live>,
    tick: Interval,
    beat: Interval,
    beats: u32,
    waiting: VecDeque<Bytes>,
    _ticket: Ticket,
}

impl Stream {
    fn new(
        shared: Shared,
        headers: HeaderMap,
        feeds: Vec<Arc<Feed>>,
        ticket: Ticket,
        names: BTreeSet<&str>,
    ) -> Self {
        // Listen first, look then: nothing may fall between.
        let live = BroadcastStream::new(shared.app.live.subscribe());
        let mut waiting = VecDeque::new();
        let hello = json!({
            "server_time": (shared.app.now)().millis(),
            "version": env!("CARGO_PKG_VERSION"),
            "sets": names,
            "seq": shared.app.snapshot.borrow().sequence,
            "alarms": shared.hub.alarms(),
        });
        waiting.push_back([b"retry: 1000\n", &*frame("hello", &hello)].concat().into());
        let mut sources = Vec::new();
        for (place, feed) in feeds.iter().enumerate() {
            let (all, changes) = feed.join(&shared.app.snapshot);
            waiting.push_back(all);
            let changes = BroadcastStream::new(changes);
            sources.push(changes.map(move |change| (place, change)).boxed());
        }
        let periods = feeds.iter().map(|feed| feed.period());
        let mut tick = interval(periods.min().unwrap_or(BEAT));
        let mut beat = interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            frames: select_all(sources),
            shared,
            headers,
            feeds,
            live,
            tick,
            beat,
            beats: 0,
            waiting,
            _ticket: ticket,
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
                live = self.live.next() => match live? {
                    Ok(live) => self.waiting.push_back(self.shared.hub.event(&live)),
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.resync(),
                },
                Some((place, change)) = self.frames.next() => match change {
                    Ok(change) => self.waiting.push_back(change),
                    Err(BroadcastStreamRecvError::Lagged(_)) => self.catch_up(place),
                },
                _ = self.tick.tick() => {
                    for feed in &self.feeds {
                        feed.advance(&self.shared.app.snapshot);
                    }
                }
                _ = self.beat.tick() => {
                    self.beats += 1;
                    if self.beats.is_multiple_of(BEATS_PER_CHECK) && !may_read(&self.shared.app, &self.headers).await {
                        return None;
                    }
                    let now = (self.shared.app.now)().millis();
                    self.waiting.push_back(frame("hb", &json!(now)));
                }
            }
        }
    }

    /// Alarms or orders were missed: lists must be read anew, and every point is said again.
    fn resync(&mut self) {
        metrics::counter!("zhiban_stream_resyncs_total").increment(1);
        let reload = frame("reload", &json!({ "why": "resync" }));
        self.waiting.push_back(reload);
        for feed in &self.feeds {
            self.waiting.push_back(feed.all());
        }
    }

    /// Changes of one set were missed: its points are said again.
    fn catch_up(&mut self, place: usize) {
        metrics::counter!("zhiban_stream_resyncs_total").increment(1);
        if let Some(feed) = self.feeds.get(place) {
            let reload = frame("reload", &json!({ "why": "resync" }));
            self.waiting.extend([reload, feed.all()]);
        }
    }

    fn numbered(&self, event: &Bytes) -> Bytes {
        let mut numbered = format!("id: {}\n", self.shared.hub.next_id()).into_bytes();
        numbered.extend_from_slice(event);
        numbered.into()
    }
}

/// Whether the session or token it was opened with still holds; a store that is down ends nothing.
async fn may_read(app: &App, headers: &HeaderMap) -> bool {
    let who = auth::identify(app, auth::bearer(headers), headers).await;
    !matches!(who, Ok(None))
}
