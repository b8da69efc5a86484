//! Who asks, in which language, and whether they may.
//!
//! Everything is closed unless [`is_open`] lists it. No secret is ever logged or put into a page.

pub(crate) mod limiter;

use crate::Shared;
use crate::error::ApiError;
use crate::ports::{self, App, Identity};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use zhiban_core::Language;

/// The cookie that holds a session's secret.
pub(crate) const SESSION_COOKIE: &str = "zhiban_session";
/// The cookie that holds the chosen language.
const LANGUAGE_COOKIE: &str = "zhiban_lang";

/// Marks requests that came over TLS; the listener that ends TLS adds it as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// What is open to everybody: health, signing in, and files that hold no data.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/login" | "/setup")
        || path.starts_with("/static/")
        || (path == "/api/v1/session" && method == Method::POST)
}

/// What is asked for, by whom it is read, and in which language.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The path, without the query.
    pub(crate) path: String,
    /// Path and query.
    pub(crate) target: String,
    /// The language of the answer.
    pub(crate) language: Language,
    /// A program reads the answer, not a person.
    pub(crate) machine: bool,
    /// The page's own script asks for a fragment.
    pub(crate) fragment: bool,
}

impl Asked {
    /// From a request.
    pub(crate) fn of(request: &Request) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let path = uri.path().to_owned();
        Self {
            machine: path.starts_with("/api/") || path == "/metrics",
            target: uri
                .path_and_query()
                .map_or_else(|| path.clone(), ToString::to_string),
            language: language_of(uri, headers),
            fragment: headers.contains_key("hx-request"),
            path,
        }
    }
}

/// The language of a request. `?lang=` wins and is remembered by [`guard`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lang(pub(crate) Language);

impl<S: Send + Sync> FromRequestParts<S> for Lang {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Lang(language_of(&parts.uri, &parts.headers)))
    }
}

/// The language of a request's answer.
pub(crate) fn language_of(uri: &Uri, headers: &HeaderMap) -> Language {
    let accept = headers.get(header::ACCEPT_LANGUAGE);
    ports::language(
        query_language(uri),
        cookie(headers, LANGUAGE_COOKIE).as_deref(),
        accept.and_then(|value| value.to_str().ok()),
    )
}

fn query_language(uri: &Uri) -> Option<&str> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("lang="))
}

/// The value of one cookie of a request.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// The signed-in person or machine. Refuses when nobody is.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Identity>().cloned();
        found.map(Signed).ok_or(ApiError::AuthRequired)
    }
}

/// From where a request came, and whether nobody could read it on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// The address of the connection; `None` when the server does not say.
    pub(crate) address: Option<IpAddr>,
    /// It came over TLS.
    pub(crate) secure: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // A forged header only makes the forger's own cookie stricter.
        let forwarded = parts.headers.get("x-forwarded-proto");
        let secure = parts.extensions.get::<OverTls>().is_some()
            || forwarded.is_some_and(|proto| proto == "https");
        Ok(Caller {
            address: peer.map(|info| info.0.ip()),
            secure,
        })
    }
}

/// The gate in front of every route: other sites' posts are refused, then nobody passes unsigned.
pub(crate) async fn guard(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let bearer = bearer(request.headers());
    let harmless = request.method().is_safe();
    if !harmless && bearer.is_none() && !is_same_site(request.uri(), request.headers()) {
        return ApiError::Csrf.into_response();
    }
    let chosen = query_language(request.uri()).and_then(Language::from_tag);
    if !is_open(request.method(), &asked.path) {
        match identify(&shared.app, bearer, request.headers()).await {
            Ok(Some(identity)) => request.extensions_mut().insert(identity),
            Ok(None) => return unsigned(&asked, request.headers()),
            Err(error) => return error.into_response(),
        };
    }
    let mut response = next.run(request).await;
    if let Some(language) = chosen.filter(|_| harmless && !asked.machine) {
        remember_language(&mut response, language);
    }
    response
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| secret.trim().to_owned())
}

/// Whether a browser sent this from one of our own pages, or it was no browser's page at all.
///
/// Browsers on plain HTTP send no `Sec-Fetch-Site`, so `Origin` is the fallback; a request with
/// neither must not carry a session.
fn is_same_site(uri: &Uri, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return cookie(headers, SESSION_COOKIE).is_none();
    };
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = named.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
    origin.zip(host).is_some_and(|((_, from), to)| from == to)
}

/// Who a request's credentials belong to. A token, when sent, is the only one asked.
pub(crate) async fn identify(
    app: &App,
    bearer: Option<String>,
    headers: &HeaderMap,
) -> Result<Option<Identity>, ApiError> {
    let now = (app.now)().to_utc();
    if let Some(secret) = bearer {
        return Ok(app.accounts.token(secret, now).await?);
    }
    match cookie(headers, SESSION_COOKIE) {
        Some(secret) => Ok(app.accounts.session(secret, now).await?),
        None => Ok(None),
    }
}

/// A program gets 401; a person is led to the sign-in page and back.
fn unsigned(asked: &Asked, headers: &HeaderMap) -> Response {
    if asked.machine {
        return ApiError::AuthRequired.into_response();
    }
    if asked.fragment {
        let page = headers
            .get("hx-current-url")
            .and_then(|url| url.to_str().ok());
        let path = page.and_then(|url| url.split_once("://")?.1.split_once('/'));
        let back = path.map_or_else(|| "/".to_owned(), |(_, path)| format!("/{path}"));
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        response.extensions_mut().insert(crate::error::Spoken);
        if let Ok(target) = HeaderValue::from_str(&sign_in_page(&back)) {
            response.headers_mut().insert("hx-redirect", target);
        }
        return response;
    }
    see_other(&sign_in_page(&asked.target))
}

fn sign_in_page(back: &str) -> String {
    if back == "/" {
        return "/login".to_owned();
    }
    format!("/login?next={}", escape(back))
}

/// Percent-encodes all but what is harmless inside a query value.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Where to go after signing in: only a path of this site, else the overview.
pub(crate) fn safe_next(next: Option<&str>) -> &str {
    let local = |path: &&str| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t'])
    };
    next.filter(local).unwrap_or("/")
}

/// 303 to a path of this site.
pub(crate) fn see_other(path: &str) -> Response {
    let target = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response()
}

/// Checks a password and opens a session: the `Set-Cookie` value. The session the request came with ends:
/// nobody could end it any more once its cookie is replaced.
pub(crate) async fn sign_in(
    shared: &Shared,
    caller: Caller,
    headers: &HeaderMap,
    user: String,
    password: String,
) -> Result<HeaderValue, ApiError> {
    let now = (shared.app.now)();
    let attempt = shared.limiter.attempt(&user, caller.address, now)?;
    let secret = shared
        .app
        .accounts
        .sign_in(user, password, now.to_utc())
        .await?
        .ok_or(ApiError::SignInRefused)?;
    shared.limiter.succeeded(&attempt);
    end_session(shared, headers).await?;
    session_cookie(caller, secret, 1)
}

/// Ends the session of a request: the `Set-Cookie` value that takes its cookie away.
pub(crate) async fn sign_out(
    shared: &Shared,
    caller: Caller,
    headers: &HeaderMap,
) -> Result<HeaderValue, ApiError> {
    end_session(shared, headers).await?;
    session_cookie(caller, String::new(), 0)
}

/// Ends the session of a request, if it has one, and with it every stream that was opened in it.
async fn end_session(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(secret) = cookie(headers, SESSION_COOKIE) {
        shared.app.accounts.sign_out(secret).await?;
        shared.hub.session_ended();
    }
    Ok(())
}

/// Whether a text holds what nobody types: such a name or password is never looked up.
pub(crate) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn session_cookie(caller: Caller, secret: String, days: i64) -> Result<HeaderValue, ApiError> {
    let cookie = Cookie::build((SESSION_COOKIE, secret))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(caller.secure)
        .max_age(cookie::time::Duration::days(days));
    HeaderValue::from_str(&cookie.to_string()).map_err(|_| ApiError::Internal)
}

fn remember_language(response: &mut Response, language: Language) {
    let cookie = Cookie::build((LANGUAGE_COOKIE, language.tag()))
        .path("/")
        .same_site(SameSite::Lax)
        .max_age(cookie::time::Duration::days(365));
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
