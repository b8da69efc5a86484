//! A POST that carries an idempotency key happens once, however often a phone with a bad signal sends it.
//!
//! The key is the header `Idempotency-Key`, or the field `idempotency_key` of a page's form. A page's form with
//! other content is another sending; over the API the same key for another request is refused.
//! Only what was done is remembered: a refusal changed nothing and is judged anew each time.

use crate::auth::{self, see_other};
use crate::error::ApiError;
use crate::intake::Turn;
use crate::ports::{About, App, Identity, OnceKey, StoredAnswer};
use crate::service;
use crate::wire::work_order::WorkOrderDetail;
use crate::{Shared, UPLOAD_LIMIT};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use zhiban_core::Language;

/// How a browser sends a form.
const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// How a form with files is sent.
const FILES: &str = "multipart/form-data";
/// The longest key.
const LONGEST_KEY: usize = 200;
/// The largest answer that is remembered.
const LARGEST_ANSWER: usize = 1024 * 1024;

tokio::task_local! {
    /// The key of the request that is being answered.
    static CURRENT: OnceKey;
}

/// How long the second press of a form waits for the answer to the first.
const SECOND_PRESS: Duration = Duration::from_secs(15);

/// The keys whose first request is still running.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<(Mutex<BTreeSet<String>>, Notify)>);

/// Answers a repeated request as its first was answered.
pub(crate) async fn once(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Identity>().cloned();
    let Some(who) = who.filter(|_| request.method() == Method::POST) else {
        return next.run(request).await;
    };
    // A client that hangs up must not leave a thing done and its answer forgotten.
    let tasks = shared.tasks.clone();
    let work = tasks.spawn(async move { post(shared, who, request, next).await });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::Internal.into_response(),
    }
}

async fn post(
    shared: Shared,
    who: Identity,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    // What was sent stays in memory until it is dealt with, whether or not somebody waits for the answer.
    let _turn = parts.extensions.get::<Arc<Turn>>().cloned();
    // It is all there already: `intake` read it.
    let body = to_bytes(body, UPLOAD_LIMIT).await;
    let body = body.map_err(|_| ApiError::TooLarge)?;
    let key = key(&parts, &body)?;
    let print = fingerprint(&parts, &body);
    let language = auth::language_of(&parts.uri, &parts.headers);
    let request = Request::from_parts(parts, Body::from(body));
    let Some(key) = key else {
        return Ok(next.run(request).await);
    };
    let kind = if who.session { "user" } else { "token" };
    let form = !request.uri().path().starts_with("/api/");
    let _running;
    let key = if form {
        let key = format!("{kind}:{}:{key}:{print}", who.user);
        _running = shared.running.soon(&key).await?;
        key
    } else {
        let key = format!("{kind}:{}:{key}", who.user);
        _running = shared.running.claim(&key).ok_or(ApiError::KeyBusy)?;
        key
    };
    if let Some(known) = shared.app.archive.replay(key.clone()).await? {
        if known.request != print {
            return Err(ApiError::KeyReused);
        }
        if known.status == StoredAnswer::DONE {
            return done(&shared.app, known, language).await;
        }
        return Ok(again(known));
    }
    let once = OnceKey {
        key: key.clone(),
        request: print.clone(),
    };
    let response = CURRENT.scope(once, next.run(request)).await;
    keep(&shared, key, print, response).await
}

/// The key that commands of this request carry.
pub(crate) fn current() -> Option<OnceKey> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does something whose commands carry this key instead of the request's own.
pub(crate) async fn under<T>(key: String, what: impl Future<Output = T>) -> T {
    let request = String::new();
    CURRENT.scope(OnceKey { key, request }, what).await
}

/// The key of a request, when it carries one.
fn key(parts: &Parts, body: &[u8]) -> Result<Option<String>, ApiError> {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let form = kind.is_some_and(|kind| kind.as_bytes().starts_with(FORM));
    let key = match parts.headers.get("idempotency-key") {
        Some(key) => key.to_str().unwrap_or_default().trim(),
        None if form => {
            let mut pairs = body.split(|byte| *byte == b'&');
            let field = pairs.find_map(|pair| pair.strip_prefix(b"idempotency_key="));
            match field.and_then(|field| std::str::from_utf8(field).ok()) {
                Some(key) => key,
                None => return Ok(None),
            }
        }
        None => return Ok(None),
    };
    if (1..=LONGEST_KEY).contains(&key.len()) {
        return Ok(Some(key.to_owned()));
    }
    Err(ApiError::parameter("Idempotency-Key", "out_of_range"))
}

/// Remembers the answer when something was done: a success, or a page's redirect after a form.
async fn keep(
    shared: &Shared,
    key: String,
    request: String,
    response: Response,
) -> Result<Response, ApiError> {
    let status = response.status();
    if !status.is_success() && status != StatusCode::SEE_OTHER {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST_ANSWER).await;
    let body = body.map_err(|_| ApiError::Internal)?;
    let place = parts.headers.get(header::LOCATION);
    let place = place.filter(|_| status == StatusCode::SEE_OTHER);
    let answer = StoredAnswer {
        request,
        status: status.as_u16(),
        body: place.map_or_else(|| body.clone(), |at| Bytes::copy_from_slice(at.as_bytes())),
    };
    if let Err(error) = shared.app.archive.keep_answer(key, answer).await {
        tracing::warn!(error = %error, "an answer could not be kept for a repeated request");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Answers what was done, though nobody kept the answer: the gateway was killed between the two.
/// An order is shown as it is now.
async fn done(app: &App, known: StoredAnswer, language: Language) -> Result<Response, ApiError> {
    let no = std::str::from_utf8(&known.body).ok();
    let mut response = match no.and_then(|no| no.parse().ok()) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(no) => {
            let (row, events) = service::work_order(app, &no).await?;
            let told = app
                .archive
                .told(About::Order(row.order.no.clone()))
                .await
                .ok();
            Json(WorkOrderDetail::of(&row, Some(events), told, language)).into_response()
        }
    };
    mark(&mut response);
    Ok(response)
}

/// Says that this is no first answer.
fn mark(response: &mut Response) {
    let replayed = HeaderValue::from_static("true");
    response
        .headers_mut()
        .insert("idempotent-replayed", replayed);
}

fn again(known: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(known.status).unwrap_or(StatusCode::OK);
    let mut response = if status == StatusCode::SEE_OTHER {
        see_other(std::str::from_utf8(&known.body).unwrap_or("/"))
    } else if known.body.is_empty() {
        status.into_response()
    } else {
        let page = known.body.starts_with(b"<");
        let kind = if page {
            "text/html; charset=utf-8"
        } else {
            "application/json"
        };
        (status, [(header::CONTENT_TYPE, kind)], known.body).into_response()
    };
    mark(&mut response);
    response
}

/// What was asked. The boundary of a form with files is left out: it is made anew for every sending.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [parts.method.as_str(), parts.uri.path()] {
        hash.update(part);
        hash.update([0]);
    }
    match boundary(parts) {
        None => hash.update(body),
        Some(boundary) => {
            hash.update(FILES);
            for piece in pieces(body, boundary.as_bytes()) {
                hash.update([0]);
                hash.update(piece.len().to_be_bytes());
                hash.update(piece);
            }
        }
    }
    hash.update([0]);
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands between the fields of a form with files.
fn boundary(parts: &Parts) -> Option<&str> {
    let kind = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut settings = kind.split(';').map(str::trim);
    let is_files = settings.next()?.eq_ignore_ascii_case(FILES);
    let boundary = settings.find_map(|setting| {
        let (name, value) = setting.split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then(|| value.trim_matches('"'))
    })?;
    (is_files && !boundary.is_empty()).then_some(boundary)
}

/// What of the body is before, between and behind the boundaries.
fn pieces<'b>(body: &'b [u8], boundary: &[u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(boundary) {
            pieces.push(body.get(from..at).unwrap_or_default());
            at += boundary.len();
            from = at;
        } else {
            at += 1;
        }
    }
    pieces.push(body.get(from..).unwrap_or_default());
    pieces
}

/// Holds a key while its first request runs.
pub(crate) struct Claim {
    running: Running,
    key: String,
}

impl Running {
    /// Takes a key; `None` while its first request runs.
    fn claim(&self, key: &str) -> Option<Claim> {
        let mut keys = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.to_owned()).then(|| Claim {
            running: self.clone(),
            key: key.to_owned(),
        })
    }

    /// Takes the key of a form as soon as its first sending is over, if that is soon.
    pub(crate) async fn soon(&self, key: &str) -> Result<Claim, ApiError> {
        let first = tokio::time::timeout(SECOND_PRESS, self.turn(key)).await;
        first.map_err(|_| ApiError::KeyBusy)
    }

    /// Takes a key as soon as its first request is over.
    async fn turn(&self, key: &str) -> Claim {
        loop {
            // Listen first, look then: an end between the two is not missed.
            let ended = self.0.1.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(claim) = self.claim(key) {
                return claim;
            }
            ended.await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (keys, ended) = &*self.running.0;
        let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key);
        ended.notify_waiters();
    }
}
