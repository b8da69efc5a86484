//! What people see when a form was not carried out: its page again, the sign-in page, or a page with the form alone.

use super::frame::{Look, theme_of};
use super::given_back::{GivenBack, Written, label};
use super::words::Words;
use super::{error_page, render, sign_in};
use crate::Shared;
use crate::auth::{Asked, Caller, OverTls};
use crate::error::ApiError;
use crate::intake::Brought;
use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Form, FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// How often a page is drawn until it holds all that was written: once with it, once for what has no place in it,
/// once because the page changed between the two.
const DRAWN: usize = 3;
/// The longest that drawing the page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A form that a browser sent by itself, and all that is needed to give it back.
pub(crate) struct Sent {
    parts: Parts,
    brought: Brought,
}

/// Somebody signed in again whose form waited for that, with the cookies of the new session.
#[derive(Debug, Clone)]
pub(crate) struct Resume {
    pub(crate) written: Written,
    pub(crate) cookies: Vec<HeaderValue>,
}

impl Sent {
    /// Of a request, before it is carried out.
    pub(crate) fn of(request: &mut Request) -> Self {
        let brought = Brought::default();
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        // Only how it came: the rest belongs to the address it was sent to.
        let came = request.extensions();
        if let Some(from) = came.get::<ConnectInfo<SocketAddr>>() {
            parts.extensions.insert(*from);
        }
        if let Some(tls) = came.get::<OverTls>() {
            parts.extensions.insert(*tls);
        }
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let plain = b"application/x-www-form-urlencoded";
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(plain)) {
            request.extensions_mut().insert(brought.clone());
        }
        Self { parts, brought }
    }

    /// What the form said; without fields when it could not be read, or brought files.
    async fn written(&self) -> Written {
        let plain = HeaderValue::from_static("application/x-www-form-urlencoded");
        let bytes = self.brought.get().unwrap_or_default();
        let mut request = Request::new(Body::from(bytes));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(header::CONTENT_TYPE, plain);
        let fields = Form::<Vec<(String, String)>>::from_request(request, &()).await;
        Written {
            action: self.parts.uri.path().to_owned(),
            fields: fields.map_or_else(|_| Vec::new(), |Form(fields)| fields),
        }
    }

    /// The question for the page that a form is given back on.
    fn question(&self, page: &str, given: &Arc<GivenBack>) -> Option<Request> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = page.parse().ok()?;
        *request.headers_mut() = self.parts.headers.clone();
        for name in [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ] {
            request.headers_mut().remove(name);
        }
        *request.extensions_mut() = self.parts.extensions.clone();
        request.extensions_mut().insert(given.clone());
        Some(request)
    }

    /// The page with the form in it; `None` when there is no such page now.
    async fn page(&self, page: &str, given: &Arc<GivenBack>, pages: &Router) -> Option<Response> {
        for _ in 0..DRAWN {
            let drawing = pages.clone().oneshot(self.question(page, given)?);
            let Ok(Ok(drawn)) = tokio::time::timeout(PATIENCE, drawing).await else {
                return None;
            };
            if drawn.status() != StatusCode::OK {
                return None;
            }
            if given.is_whole() {
                return Some(drawn);
            }
        }
        None
    }
}

#[derive(Template)]
#[template(path = "page/refused.html")]
struct RefusedPage {
    look: Look,
    site: String,
    title: String,
    why: String,
    status: u16,
    action: String,
    unseen: Vec<(String, String)>,
    /// What each field is called, its name, and what was written in it.
    fields: Vec<(String, String, String)>,
    page: String,
}

/// The page for a form that was refused; status and `Retry-After` are set by the caller.
pub(crate) async fn give_back(
    shared: &Shared,
    asked: &Asked,
    error: &ApiError,
    sent: Sent,
    pages: Router,
) -> Response {
    let mut written = sent.written().await;
    let Some(page) = written.page().filter(|_| *error != ApiError::Csrf) else {
        return error_page(&shared.app, asked, error);
    };
    let words = Words(asked.language);
    let look = Look::new(
        words,
        theme_of(&sent.parts),
        &page.parse().unwrap_or_default(),
    );
    if *error == ApiError::AuthRequired {
        let caller = Caller::of(&shared.app, &sent.parts.extensions, &sent.parts.headers);
        let asking = sign_in::keeping(shared, look, caller, page, written);
        return asking.unwrap_or_else(|error| error_page(&shared.app, asked, &error));
    }
    let mut why = format!("{} {}", words.t("form.refused"), error.detail(words.0));
    if asked.path.ends_with("/photos") {
        why = format!("{why} {}", words.t("form.photos_again"));
    } else if written.fields.is_empty() {
        why = format!("{why} {}", words.t("form.not_read"));
    }
    let unknown = error.status().is_server_error() || *error == ApiError::KeyBusy;
    written.fields.retain(|(name, _)| name != "password");
    let given = GivenBack::new(written, words, &why, &error.errors(), unknown);
    let title = error.title(words.0);
    shown(
        shared,
        look,
        title,
        error.status(),
        (sent, given, page, pages),
    )
    .await
}

/// The page with the form that waited for its writer to sign in again.
pub(crate) async fn resume(
    shared: &Shared,
    asked: &Asked,
    resume: Resume,
    mut sent: Sent,
    pages: Router,
) -> Option<Response> {
    let page = resume.written.page()?;
    let named = resume.cookies.iter().filter_map(|one| one.to_str().ok());
    let mut cookies: Vec<&str> = named.filter_map(|one| one.split(';').next()).collect();
    let before = sent.parts.headers.get_all(header::COOKIE);
    cookies.extend(before.iter().filter_map(|one| one.to_str().ok()));
    let cookies = HeaderValue::from_str(&cookies.join("; ")).ok()?;
    sent.parts.headers.insert(header::COOKIE, cookies);
    let words = Words(asked.language);
    let look = Look::new(words, theme_of(&sent.parts), &page.parse().ok()?);
    let why = words.t("form.session_ended");
    let given = GivenBack::new(resume.written, words, &why, &[], true);
    let title = words.t("form.not_sent_title");
    Some(
        shown(
            shared,
            look,
            title,
            StatusCode::OK,
            (sent, given, page, pages),
        )
        .await,
    )
}

/// The page with the form in it, or the form alone where the page cannot be shown.
async fn shown(
    shared: &Shared,
    look: Look,
    title: String,
    status: StatusCode,
    (sent, given, page, pages): (Sent, GivenBack, String, Router),
) -> Response {
    let given = Arc::new(given);
    if let Some(drawn) = sent.page(&page, &given, &pages).await {
        return drawn;
    }
    let site = shared.app.snapshot.borrow().model.site.name.clone();
    let written = &given.written;
    let named = |(name, value): &(String, String)| {
        let label = Some(label(look.words, name)).filter(|label| !label.is_empty());
        (
            label.unwrap_or_else(|| name.clone()),
            name.clone(),
            value.clone(),
        )
    };
    let alone = RefusedPage {
        site: site.get(look.words.0).to_owned(),
        title,
        why: given.why.clone(),
        status: status.as_u16(),
        action: written.action.clone(),
        unseen: written.unseen().cloned().collect(),
        fields: written.filled_in().map(named).collect(),
        page,
        look,
    };
    render(&alone).unwrap_or_else(|error| {
        let mut failed = Response::new(Body::empty());
        *failed.status_mut() = error.status();
        failed
    })
}
