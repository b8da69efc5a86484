//! Pages that people read, rendered on the server.

use crate::Shared;
use crate::auth::Asked;
use crate::error::ApiError;
use crate::ports::App;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};

/// Every page.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
}

/// A page that says what went wrong; status and `Retry-After` are set by the caller.
pub(crate) fn error_page(_: &App, asked: &Asked, error: &ApiError) -> Response {
    Html(format!(
        "<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><p>{detail}</p>",
        title = error.title(asked.language),
        detail = error.detail(asked.language),
    ))
    .into_response()
}
