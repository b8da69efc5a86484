//! Pages that people read, rendered on the server; they work without scripts.
//!
//! Pages decide nothing: what people do goes to the facility through `service`, as over the API.

mod alarms;
mod assets;
mod frame;
mod given_back;
mod items;
mod orders;
mod overview;
mod picture;
mod posts;
mod refused;
mod said;
mod show;
mod sign_in;
#[cfg(test)]
mod tests;
mod told;
mod words;

use crate::auth::Asked;
use crate::error::ApiError;
use crate::ports::App;
use crate::{FORM_LIMIT, Shared, UPLOAD_LIMIT};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use cookie::{Cookie, SameSite};
use frame::{Look, Theme};
pub(crate) use orders::{PART_NAME, PART_SKU, PART_UNIT};
pub(crate) use posts::{LONGEST, REASON, TITLE};
pub(crate) use refused::{Resume, Sent, give_back, resume};
use words::Words;
use zhiban_core::text::shown;
use zhiban_core::{Language, WorkOrderStatus};

/// The cookie that keeps the chosen theme.
const THEME_COOKIE: &str = "zhiban_theme";

/// The name of Chinese in Chinese; the switch shows it on every page, whatever its language.
pub(crate) const CHINESE: &str = "中文";

/// What people call the status of an order.
pub(crate) fn status(status: WorkOrderStatus, language: Language) -> String {
    Words(language).code("status", status.code())
}

/// What people call a change of an order.
pub(crate) fn change(code: &str, language: Language) -> String {
    Words(language).code_or_same("order_change", code)
}

/// Every page.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(overview::page))
        .route("/login", get(sign_in::page).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
        .route("/setup", get(sign_in::setup_page).post(sign_in::set_up))
        .route("/assets", get(assets::list))
        .route("/assets/{code}", get(assets::detail))
        .route("/assets/{code}/report", post(assets::report))
        .route("/alarms", get(alarms::list))
        .route("/alarms/{id}", get(alarms::detail))
        .route("/alarms/{id}/ack", post(alarms::acknowledge))
        .route("/alarms/{id}/shelve", post(alarms::shelve))
        .route("/alarms/{id}/unshelve", post(alarms::unshelve))
        .route("/alarms/{id}/comment", post(alarms::comment))
        .route("/work-orders", get(orders::list))
        .route("/work-orders/{no}", get(orders::detail))
        .route("/work-orders/{no}/move", post(orders::transition))
        .route("/work-orders/{no}/comment", post(orders::comment))
        .route("/work-orders/{no}/parts", post(orders::add_part))
        .route("/work-orders/{no}/parts/remove", post(orders::remove_part))
        .route(
            "/work-orders/{no}/photos",
            post(orders::add_photos).layer(DefaultBodyLimit::max(UPLOAD_LIMIT)),
        )
        .route(
            "/work-orders/{no}/photos/remove",
            post(orders::remove_photo),
        )
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(middleware::from_fn(remember_theme))
}

/// Keeps `?theme=` in a cookie, as `?lang=` is kept.
async fn remember_theme(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let asked = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("theme="));
    let theme = asked.and_then(Theme::from_name);
    let mut response = next.run(request).await;
    if let Some(theme) = theme {
        let cookie = Cookie::build((THEME_COOKIE, theme.name()))
            .path("/")
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::days(365));
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

/// Renders a page; nothing that people wrote in it turns the direction of writing.
fn render(page: &impl Template) -> Result<Response, ApiError> {
    match page.render() {
        Ok(html) => Ok(Html(shown(&html).into_owned()).into_response()),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            Err(ApiError::Internal)
        }
    }
}

#[derive(Template)]
#[template(path = "page/error.html")]
struct ErrorPage {
    look: Look,
    site: String,
    title: String,
    detail: String,
    status: u16,
}

/// A page that says what went wrong; status and `Retry-After` are set by the caller.
pub(crate) fn error_page(app: &App, asked: &Asked, error: &ApiError) -> Response {
    let words = Words(asked.language);
    let uri: Uri = asked.target.parse().unwrap_or_default();
    let snapshot = app.snapshot.borrow().clone();
    let page = ErrorPage {
        look: Look::new(words, Theme::default(), &uri),
        site: snapshot.model.site.name.get(asked.language).to_owned(),
        title: error.title(asked.language),
        detail: error.detail(asked.language),
        status: error.status().as_u16(),
    };
    page.render().map_or_else(
        |_| error.title(asked.language).into_response(),
        |html| Html(shown(&html).into_owned()).into_response(),
    )
}
