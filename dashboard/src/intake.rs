//! Reads what a request brings before anything else is done with it: within a size, a time and a least rate.
//!
//! It is read only of who may come in. When a limit is passed the reading itself ends, and the connection with it:
//! nobody holds a place, memory or a socket by sending slowly.

use crate::error::ApiError;
use crate::ports::Identity;
use crate::{BODY_LIMIT, FORM_LIMIT, Shared, UPLOAD_LIMIT};
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// What a body may be, and how fast it must come.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The most bytes.
    size: usize,
    /// How long all of it may take.
    whole: Duration,
    /// Within each of these spans at least so many bytes must come, or the rest.
    span: Duration,
    least: usize,
}

const USUAL: Limits = Limits {
    size: BODY_LIMIT,
    whole: Duration::from_secs(20),
    span: Duration::from_secs(10),
    least: 8 * 1024,
};
/// A photo may come over a bad line.
const PHOTO: Limits = Limits {
    size: UPLOAD_LIMIT,
    whole: WHOLE_PHOTO,
    ..USUAL
};
/// What people write may be longer than what is taken: it is read, so that it can be given back to them.
const FORM: Limits = Limits {
    size: FORM_LIMIT,
    whole: Duration::from_secs(40),
    ..USUAL
};
/// How long a photo may take.
pub(crate) const WHOLE_PHOTO: Duration = Duration::from_secs(180);
/// How many bodies that bring photos are in memory at once, of all and of one person.
const UPLOADS: usize = 6;
const UPLOADS_OF_PERSON: usize = 2;
/// How many long forms of people who are not signed in are in memory at once.
const STRANGERS: usize = 4;
/// How long an upload waits for its turn: longer than a silent one may hold it.
const TURN: Duration = Duration::from_secs(15);
/// After how many seconds a photo is sent again when it got no turn.
const UPLOAD_WAIT: u64 = 3;

/// Whether a path takes photos, so that its body may be large and may take its time.
pub(crate) fn takes_photos(path: &str) -> bool {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let order = path.strip_prefix("/work-orders/");
    let order = order.and_then(|rest| rest.strip_suffix("/photos"));
    order.is_some_and(|no| !no.is_empty() && !no.contains('/'))
}

/// What a request brought, for whoever has to give it back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brought(Arc<OnceLock<Bytes>>);

impl Brought {
    /// The body; `None` when it was not read.
    pub(crate) fn get(&self) -> Option<Bytes> {
        self.0.get().cloned()
    }
}

/// The turns of those who send photos, and of strangers who send much.
#[derive(Debug)]
pub(crate) struct Uploads {
    strangers: Arc<Semaphore>,
    all: Arc<Semaphore>,
    people: Mutex<BTreeMap<(bool, String), Weak<Semaphore>>>,
}

/// A turn; given back when the last part of the request is done with.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            all: Arc::new(Semaphore::new(UPLOADS)),
            people: Mutex::default(),
        }
    }
}

impl Uploads {
    async fn turn(&self, who: &Identity) -> Result<Turn, ApiError> {
        let own = self.of(who);
        let both = async {
            let own = own.acquire_owned().await.ok()?;
            let all = self.all.clone().acquire_owned().await.ok()?;
            Some(Turn {
                _own: own,
                _all: all,
            })
        };
        let turn = tokio::time::timeout(TURN, both).await;
        turn.ok()
            .flatten()
            .ok_or(ApiError::RateLimited(UPLOAD_WAIT))
    }

    /// The limits of a form of somebody who is not signed in: a long one waits for its turn.
    async fn stranger(
        &self,
        announced: usize,
    ) -> Result<(Limits, Option<OwnedSemaphorePermit>), ApiError> {
        if announced <= BODY_LIMIT {
            return Ok((USUAL, None));
        }
        let turn = self.strangers.clone().acquire_owned();
        let turn = tokio::time::timeout(TURN, turn).await;
        let turn = turn.ok().and_then(Result::ok);
        let turn = turn.ok_or(ApiError::RateLimited(UPLOAD_WAIT))?;
        Ok((FORM, Some(turn)))
    }

    fn of(&self, who: &Identity) -> Arc<Semaphore> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.retain(|_, own| own.strong_count() > 0);
        let key = (who.session, who.user.clone());
        if let Some(own) = people.get(&key).and_then(Weak::upgrade) {
            return own;
        }
        let own = Arc::new(Semaphore::new(UPLOADS_OF_PERSON));
        people.insert(key, Arc::downgrade(&own));
        own
    }
}

/// Reads the body, so that everything behind has it whole.
pub(crate) async fn intake(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let reads = !matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let who = request.extensions().get::<Identity>().cloned();
    let photos = takes_photos(request.uri().path()) && request.method() == Method::POST;
    let known = who.is_some();
    let turn = match who.filter(|_| photos) {
        None => None,
        Some(who) => match shared.uploads.turn(&who).await {
            Ok(turn) => Some(Arc::new(turn)),
            Err(error) => return error.into_response(),
        },
    };
    let (parts, body) = request.into_parts();
    let form = !parts.uri.path().starts_with("/api/");
    let length = announced(&body);
    let limits = match (photos, form) {
        (true, _) => Ok((PHOTO, None)),
        (false, true) if known => Ok((FORM, None)),
        (false, true) => shared.uploads.stranger(length).await,
        (false, false) => Ok((USUAL, None)),
    };
    let (limits, _stranger) = match limits {
        Ok(limits) => limits,
        Err(error) => return error.into_response(),
    };
    let body = match read(body, limits).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    if let Some(brought) = parts.extensions.get::<Brought>() {
        // There is one body to a request.
        drop(brought.0.set(body.clone()));
    }
    let mut request = Request::from_parts(parts, Body::from(body));
    if let Some(turn) = &turn {
        request.extensions_mut().insert(turn.clone());
    }
    next.run(request).await
}

/// Reads a form that will not be carried out, only to give it back; what cannot be read is left out.
pub(crate) async fn bring(shared: &Shared, request: Request) {
    let (parts, body) = request.into_parts();
    let Some(brought) = parts.extensions.get::<Brought>() else {
        return;
    };
    let length = announced(&body);
    let Ok((limits, _turn)) = shared.uploads.stranger(length).await else {
        return;
    };
    if let Ok(body) = read(body, limits).await {
        drop(brought.0.set(body));
    }
}

fn announced(body: &Body) -> usize {
    usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX)
}

async fn read(body: Body, limits: Limits) -> Result<Bytes, ApiError> {
    let announced = announced(&body);
    if announced > limits.size {
        return Err(ApiError::TooLarge);
    }
    let mut now = Instant::now();
    let end = now + limits.whole;
    let mut bytes = BytesMut::with_capacity(announced);
    let mut pieces = body.into_data_stream();
    let mut span = (now + limits.span, 0);
    loop {
        match timeout_at(span.0.min(end), pieces.next()).await {
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Err(_))) => return Err(ApiError::TooSlow),
            Ok(Some(Ok(piece))) => {
                if bytes.len() + piece.len() > limits.size {
                    return Err(ApiError::TooLarge);
                }
                bytes.extend_from_slice(&piece);
            }
            Err(_) => {}
        }
        now = Instant::now();
        let came = bytes.len() - span.1;
        if now >= end || (now >= span.0 && came < limits.least) {
            metrics::counter!("zhiban_http_bodies_late_total").increment(1);
            return Err(ApiError::TooSlow);
        }
        if now >= span.0 {
            span = (now + limits.span, bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::wrappers::ReceiverStream;

    #[test]
    fn only_the_two_routes_of_photos_take_photos() {
        for path in [
            "/api/v1/work-orders/WO-1/photos",
            "/work-orders/WO-1/photos",
        ] {
            assert!(takes_photos(path), "{path}");
        }
        for path in [
            "/photos",
            "/x/photos",
            "/work-orders//photos",
            "/work-orders/a/b/photos",
            "/api/v1/work-orders/WO-1/photos/1",
            "/api/v1/photos",
        ] {
            assert!(!takes_photos(path), "{path}");
        }
    }

    /// Reads a body of so many bytes every few milliseconds, up to so many pieces, then silence or the end.
    async fn arriving(pieces: usize, length: usize, ends: bool) -> Result<usize, ApiError> {
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            for _ in 0..pieces {
                let piece = Ok::<_, std::convert::Infallible>(Bytes::from(vec![0; length]));
                if send.send(piece).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if !ends {
                send.closed().await;
            }
        });
        let limits = Limits {
            size: 1_000_000,
            whole: Duration::from_millis(1500),
            span: Duration::from_millis(500),
            least: 1000,
        };
        let body = Body::from_stream(ReceiverStream::new(receive));
        read(body, limits).await.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn a_body_has_a_size_a_time_and_a_least_rate() {
        let start = Instant::now();
        assert_eq!(arriving(10, 10, true).await, Ok(100));
        assert_eq!(
            arriving(10, 10, false).await,
            Err(ApiError::TooSlow),
            "silent"
        );
        assert_eq!(
            arriving(100_000, 1, true).await,
            Err(ApiError::TooSlow),
            "a drip"
        );
        assert_eq!(arriving(2, 600_000, true).await, Err(ApiError::TooLarge));
        assert!(start.elapsed() >= Duration::from_secs(1));
        let steady = Instant::now();
        assert_eq!(
            arriving(100_000, 2500, true).await,
            Err(ApiError::TooSlow),
            "without end"
        );
        assert!(steady.elapsed() >= Duration::from_millis(500));
    }

    #[tokio::test]
    async fn turns_are_per_person_and_nobody_is_kept_for_ever() {
        let uploads = Uploads::default();
        let who = |user: &str| Identity {
            user: user.to_owned(),
            display_name: String::new(),
            session: true,
        };
        let mine = uploads.turn(&who("li")).await.unwrap();
        let _mine = uploads.turn(&who("li")).await.unwrap();
        assert!(uploads.turn(&who("wang")).await.is_ok(), "at once");
        let (li, wang) = (who("li"), who("wang"));
        let mut third = std::pin::pin!(uploads.turn(&li));
        let soon = tokio::time::timeout(Duration::from_millis(20), &mut third).await;
        assert!(soon.is_err(), "it waits for its turn");
        drop(mine);
        assert!(third.await.is_ok());
        assert!(uploads.turn(&wang).await.is_ok());
        let people = uploads.people.lock().unwrap();
        assert!(people.len() <= 2);
    }
}
