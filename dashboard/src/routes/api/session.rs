//! Signing in and out, for browsers and for whoever likes cookies; machines use a token.

use super::body::Body;
use super::form::Form;
use crate::Shared;
use crate::auth::{self, Caller, Signed};
use crate::error::ApiError;
use crate::wire::Session;
use crate::wire::request::SignInRequest;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = Session)))]
pub(super) async fn who(Signed(who): Signed) -> Json<Session> {
    Json(Session {
        username: who.user,
        display_name: who.display_name,
        session: who.session,
    })
}

/// Signs in: answers with the cookie of the session.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignInRequest,
    responses((status = 204, description = "Signed in; the session is in the cookie")))]
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body<SignInRequest>,
) -> Result<Response, ApiError> {
    let mut form = Form::default();
    let user = form.text("username", body.username, 64);
    let user = form.need("username", user);
    let password = body.password.filter(|password| !password.is_empty());
    let password = form.need("password", password);
    for (name, text) in [("username", &user), ("password", &password)] {
        if text.as_deref().is_some_and(auth::has_control) {
            form.fault(name, "control_character");
        }
    }
    let (user, password) = form.done(user.zip(password))?;
    let cookies = auth::sign_in(&shared, caller, &headers, user, password).await?;
    Ok(auth::with_cookies(
        StatusCode::NO_CONTENT.into_response(),
        cookies,
    ))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out")))]
pub(super) async fn sign_out(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cookies = auth::sign_out(&shared, caller, &headers).await?;
    Ok(auth::with_cookies(
        StatusCode::NO_CONTENT.into_response(),
        cookies,
    ))
}
