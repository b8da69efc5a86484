//! Who asks, in which language, and whether they may.
//!
//! Everything is closed unless [`is_open`] lists it. No secret is ever logged or put into a page.

pub(crate) mod browser;
pub(crate) mod limiter;
pub(crate) mod origin;

use crate::Shared;
use crate::error::ApiError;
use crate::intake;
use crate::ports::{self, App, Identity};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use browser::Jar;
use cookie::{Cookie, SameSite};
use limiter::Guess;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use zhiban_core::Language;

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
    /// A browser sends a form of a page by itself.
    pub(crate) form: bool,
}

impl Asked {
    /// From a request.
    pub(crate) fn of(request: &Request) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let path = uri.path().to_owned();
        let machine = path.starts_with("/api/") || path == "/metrics";
        let fragment = headers.contains_key("hx-request");
        Self {
            form: request.method() == Method::POST && !machine && !fragment,
            machine,
            target: uri
                .path_and_query()
                .map_or_else(|| path.clone(), ToString::to_string),
            language: language_of(uri, headers),
            fragment,
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
    /// The address of whoever asked; `None` when the server does not say.
    pub(crate) address: Option<IpAddr>,
    /// It is known to have come over TLS.
    pub(crate) encrypted: bool,
    /// Somebody says that it came over TLS; a forger only makes their own cookie stricter.
    claims_tls: bool,
}

impl Caller {
    /// From the connection, and what a trusted proxy says.
    pub(crate) fn of(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|info| info.0.ip());
        let direct = extensions.get::<OverTls>().is_some();
        Self {
            address: peer.map(|peer| app.proxies.caller(peer, headers)),
            encrypted: direct || app.proxies.encrypted(peer, headers),
            claims_tls: direct || origin::claims_tls(headers),
        }
    }

    /// Whether everybody on the way could read what is sent: not over TLS, and not from this machine itself.
    pub(crate) fn in_the_open(self) -> bool {
        !self.claims_tls && self.address.is_some_and(|address| !address.is_loopback())
    }

    fn jar(self) -> Jar {
        Jar {
            encrypted: self.encrypted,
            secure: self.claims_tls,
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        Ok(Caller::of(&shared.app, &parts.extensions, &parts.headers))
    }
}

/// What a request proves its sender with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    bearer: Option<String>,
    session: Option<String>,
}

impl Credentials {
    /// Of a request that came like this.
    pub(crate) fn of(headers: &HeaderMap, caller: Caller) -> Self {
        Self {
            bearer: bearer(headers),
            session: browser::session(headers, caller.encrypted),
        }
    }

    /// Whose they are. A token, when sent, is the only one asked.
    pub(crate) async fn identify(&self, app: &App) -> Result<Option<Identity>, ApiError> {
        let now = (app.now)().to_utc();
        if let Some(secret) = self.bearer.clone() {
            return Ok(app.accounts.token(secret, now).await?);
        }
        match self.session.clone() {
            Some(secret) => Ok(app.accounts.session(secret, now).await?),
            None => Ok(None),
        }
    }
}

/// The gate in front of every route: other sites' posts are refused, then nobody passes unsigned.
pub(crate) async fn guard(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let caller = Caller::of(&shared.app, request.extensions(), request.headers());
    let credentials = Credentials::of(request.headers(), caller);
    let harmless = request.method().is_safe();
    if !harmless && credentials.bearer.is_none() && !is_same_site(request.uri(), request.headers())
    {
        return ApiError::Csrf.into_response();
    }
    let chosen = query_language(request.uri()).and_then(Language::from_tag);
    if !is_open(request.method(), &asked.path) {
        match credentials.identify(&shared.app).await {
            Ok(Some(identity)) => request.extensions_mut().insert(identity),
            Ok(None) => return unsigned(&shared, &asked, request).await,
            Err(error) => {
                intake::bring(&shared, request).await;
                return error.into_response();
            }
        };
    }
    let mut response = next.run(request).await;
    if let Some(language) = chosen.filter(|_| harmless && !asked.machine) {
        remember_language(&mut response, language);
    }
    response
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<String> {
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
        return !browser::has_session(headers);
    };
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = named.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
    origin.zip(host).is_some_and(|((_, from), to)| from == to)
}

/// A program gets 401; a person is led to the sign-in page and back. A form is kept on that page meanwhile.
async fn unsigned(shared: &Shared, asked: &Asked, request: Request) -> Response {
    if asked.machine {
        return ApiError::AuthRequired.into_response();
    }
    if asked.form && asked.path == "/logout" {
        return see_other("/login");
    }
    if asked.form {
        intake::bring(shared, request).await;
        return ApiError::AuthRequired.into_response();
    }
    if asked.fragment {
        let page = request
            .headers()
            .get("hx-current-url")
            .and_then(|url| url.to_str().ok());
        let path = page.and_then(|url| url.split_once("://")?.1.split_once('/'));
        let back = path.map_or_else(|| "/".to_owned(), |(_, path)| format!("/{path}"));
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        response.extensions_mut().insert(crate::error::Spoken);
        if let Ok(target) = HeaderValue::from_str(&ended(&back)) {
            response.headers_mut().insert("hx-redirect", target);
        }
        return response;
    }
    see_other(&sign_in_page(&asked.target))
}

pub(crate) fn sign_in_page(back: &str) -> String {
    if back == "/" {
        return "/login".to_owned();
    }
    format!("/login?next={}", escape(back))
}

/// The sign-in page of somebody who was signed in on the page and is no more: it says so.
fn ended(back: &str) -> String {
    let page = sign_in_page(back);
    let join = if page.contains('?') { '&' } else { '?' };
    format!("{page}{join}ended=1")
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

/// Checks a password and opens a session: the `Set-Cookie` values. The session the request came with ends:
/// nobody could end it any more once its cookie is replaced.
pub(crate) async fn sign_in(
    shared: &Shared,
    caller: Caller,
    headers: &HeaderMap,
    user: String,
    password: String,
) -> Result<Vec<HeaderValue>, ApiError> {
    let accounts = &shared.app.accounts;
    let now = (shared.app.now)().to_utc();
    let proofs = browser::proofs(headers, caller.encrypted);
    let device = if proofs.is_empty() {
        None
    } else {
        accounts
            .known_device(user.clone(), proofs.clone(), now)
            .await?
    };
    let guess = Guess {
        user: user.clone(),
        address: caller.address.map(origin::neighbourhood),
        device: device.clone(),
    };
    let attempt = shared.limiter.attempt(guess, Instant::now());
    let attempt = attempt.inspect_err(|_| refused("slowed"))?;
    let opened = attempt.run(accounts.sign_in(user, password, now)).await??;
    let opened = opened.ok_or(ApiError::SignInRefused)?;
    attempt.succeeded();
    end_session(shared, caller, headers).await?;
    let others = proofs
        .into_iter()
        .filter(|proof| Some(proof) != device.as_ref());
    caller
        .jar()
        .signed_in(opened.session, opened.device, others.collect())
}

fn refused(outcome: &'static str) {
    metrics::counter!("zhiban_sign_ins_total", "outcome" => outcome).increment(1);
}

/// Ends the session of a request: the `Set-Cookie` values that take its cookie away.
pub(crate) async fn sign_out(
    shared: &Shared,
    caller: Caller,
    headers: &HeaderMap,
) -> Result<Vec<HeaderValue>, ApiError> {
    end_session(shared, caller, headers).await?;
    caller.jar().signed_out()
}

/// Puts cookies into an answer.
pub(crate) fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Ends the session of a request, if it has one, and with it every stream that was opened in it.
async fn end_session(shared: &Shared, caller: Caller, headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(secret) = browser::session(headers, caller.encrypted) {
        shared.app.accounts.sign_out(secret).await?;
        shared.hub.session_ended();
    }
    Ok(())
}

/// Whether a text holds what nobody types: such a name or password is never looked up.
pub(crate) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
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
