//! What people see: pages, the API and the live stream, over one axum router.
//!
//! This crate knows core and nothing of drivers, SQL or InfluxDB. Everything it shows it gets
//! through [`App`]; the only way from people to state is a [`zhiban_core::Command`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod assets;
mod auth;
mod error;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod intake;
mod live;
mod once;
mod pages;
pub mod ports;
mod routes;
mod service;
#[cfg(test)]
mod tests;
mod wire;

pub use auth::OverTls;
pub use auth::origin::{TrustedProxies, neighbourhood};
pub use ports::App;

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use error::ApiError;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

/// The largest body that is read.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;
/// The largest form of a page that is read: more than any field takes, so that what was written can be given back.
pub(crate) const FORM_LIMIT: usize = 1024 * 1024;
/// The largest photo.
pub(crate) const PHOTO_LIMIT: usize = 10 * 1024 * 1024;
/// The largest body that brings photos.
pub(crate) const UPLOAD_LIMIT: usize = PHOTO_LIMIT + BODY_LIMIT;

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) app: App,
    pub(crate) limiter: auth::limiter::Limiter,
    pub(crate) hub: Arc<live::Hub>,
    pub(crate) running: once::Running,
    pub(crate) uploads: Arc<intake::Uploads>,
    pub(crate) tasks: TaskTracker,
}

impl FromRef<Shared> for App {
    fn from_ref(shared: &Shared) -> App {
        shared.app.clone()
    }
}

impl Shared {
    fn new(app: App) -> Self {
        Self {
            hub: Arc::new(live::Hub::new(app.snapshot.clone(), (app.now)())),
            app,
            limiter: auth::limiter::Limiter::default(),
            running: once::Running::default(),
            uploads: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }
}

/// Every route of the dashboard. Needs `ConnectInfo<SocketAddr>` to slow down who guesses passwords.
pub fn router(app: App) -> Router {
    let shared = Shared::new(app);
    let (api, document) = routes::api::router();
    let document = Arc::new(document);
    let speaker = error::Speaker {
        shared: shared.clone(),
        pages: pages::router()
            .layer(middleware::from_fn_with_state(shared.clone(), auth::guard))
            .with_state(shared.clone()),
    };
    Router::new()
        .route("/healthz", get(routes::health::alive))
        .route("/readyz", get(routes::health::ready))
        .route("/metrics", get(routes::health::metrics))
        .route("/static/{*path}", get(assets::serve))
        .route(
            "/api/openapi.json",
            get(async move || Json(document.as_ref().clone())),
        )
        .merge(api)
        .merge(pages::router())
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(shared.clone(), once::once))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            intake::intake,
        ))
        .layer(middleware::from_fn_with_state(shared.clone(), auth::guard))
        .layer(middleware::from_fn_with_state(speaker, error::speak))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(harden))
        .with_state(shared)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    ApiError::Internal.into_response()
}

/// Headers that keep browsers from being used against the people who sit before them.
async fn harden(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
        img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; font-src 'none'; \
        form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown is somebody's, now: nothing between us and them may keep it.
    let keep = headers.entry(header::CACHE_CONTROL);
    keep.or_insert(HeaderValue::from_static("no-store"));
    response
}
