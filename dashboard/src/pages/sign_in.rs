//! Signing in and out, and the first account.
//!
//! Never says whether a user name exists, and never puts a password back into a page.

use super::frame::{Look, theme_of};
use super::render;
use super::words::Words;
use crate::Shared;
use crate::auth::{self, Caller, Lang};
use crate::error::ApiError;
use crate::ports::SetupRefused;
use askama::Template;
use axum::extract::{Form, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use std::convert::Infallible;

/// Language, theme and place of somebody who is not signed in.
pub(super) struct Stranger(Look);

impl FromRequestParts<Shared> for Stranger {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Infallible> {
        let Lang(language) = Lang::from_request_parts(parts, state).await?;
        Ok(Self(Look::new(
            Words(language),
            theme_of(parts),
            &parts.uri,
        )))
    }
}

#[derive(Template)]
#[template(path = "page/login.html")]
struct LoginPage {
    look: Look,
    site: String,
    next: String,
    user: String,
    problem: Option<String>,
    /// Whether what is typed here can be read on the way.
    open: bool,
}

#[derive(Template)]
#[template(path = "page/setup.html")]
struct SetupPage {
    look: Look,
    site: String,
    token: String,
    user: String,
    problem: Option<String>,
    /// Whether what is typed here can be read on the way.
    open: bool,
}

#[derive(Deserialize)]
pub(super) struct NextQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    username: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct SetupForm {
    token: String,
    username: String,
    password: String,
}

fn site(shared: &Shared, look: &Look) -> String {
    let snapshot = shared.app.snapshot.borrow();
    snapshot.model.site.name.get(look.words.0).to_owned()
}

/// The sign-in page; the set-up page while there is no account.
pub(super) async fn page(
    State(shared): State<Shared>,
    Stranger(look): Stranger,
    caller: Caller,
    Query(query): Query<NextQuery>,
) -> Result<Response, ApiError> {
    if shared.app.accounts.needs_setup().await? {
        return Ok(auth::see_other("/setup"));
    }
    render(&LoginPage {
        site: site(&shared, &look),
        next: auth::safe_next(Some(&query.next)).to_owned(),
        user: String::new(),
        problem: None,
        open: caller.in_the_open(),
        look,
    })
}

/// Opens a session and goes where the person wanted to go.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    Stranger(look): Stranger,
    caller: Caller,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, ApiError> {
    let user = form.username.trim().to_owned();
    let next = auth::safe_next(Some(&form.next)).to_owned();
    let typed = !auth::has_control(&user) && !auth::has_control(&form.password);
    let signed = if typed {
        auth::sign_in(&shared, caller, &headers, user.clone(), form.password).await
    } else {
        Err(ApiError::SignInRefused)
    };
    let error = match signed {
        Ok(cookies) => return Ok(auth::with_cookies(auth::see_other(&next), cookies)),
        Err(error) => error,
    };
    let problem = if let ApiError::SignInLocked(seconds) = error {
        look.words.n("login.slow", seconds)
    } else if let ApiError::RateLimited(seconds) = error {
        look.words.n("login.busy", seconds)
    } else if error == ApiError::SignInRefused {
        look.t("login.refused")
    } else {
        return Err(error);
    };
    let mut response = render(&LoginPage {
        site: site(&shared, &look),
        problem: Some(problem),
        open: caller.in_the_open(),
        next,
        user,
        look,
    })?;
    *response.status_mut() = error.status();
    if let ApiError::RateLimited(seconds) | ApiError::SignInLocked(seconds) = error {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Ends the session.
pub(super) async fn sign_out(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cookies = auth::sign_out(&shared, caller, &headers).await?;
    Ok(auth::with_cookies(auth::see_other("/login"), cookies))
}

/// The page of the first account; gone once there is one.
pub(super) async fn setup_page(
    State(shared): State<Shared>,
    Stranger(look): Stranger,
    caller: Caller,
) -> Result<Response, ApiError> {
    if !shared.app.accounts.needs_setup().await? {
        return Ok(auth::see_other("/login"));
    }
    render(&SetupPage {
        site: site(&shared, &look),
        token: String::new(),
        user: String::new(),
        problem: None,
        open: caller.in_the_open(),
        look,
    })
}

/// Makes the first account.
pub(super) async fn set_up(
    State(shared): State<Shared>,
    Stranger(look): Stranger,
    caller: Caller,
    headers: HeaderMap,
    Form(form): Form<SetupForm>,
) -> Result<Response, ApiError> {
    let user = form.username.trim().to_owned();
    let token = form.token.trim().to_owned();
    let accounts = &shared.app.accounts;
    let made = if auth::has_control(&token) {
        Err(SetupRefused::Token)
    } else if auth::has_control(&user) {
        Err(SetupRefused::User)
    } else if auth::has_control(&form.password) {
        Err(SetupRefused::Password)
    } else {
        let (token, password) = (token.clone(), form.password.clone());
        accounts.set_up(token, user.clone(), password).await?
    };
    let key = match made {
        Ok(()) => {
            let cookies = auth::sign_in(&shared, caller, &headers, user, form.password).await?;
            return Ok(auth::with_cookies(auth::see_other("/"), cookies));
        }
        Err(SetupRefused::Token) => "setup.refused_token",
        Err(SetupRefused::Void) => "setup.refused_void",
        Err(SetupRefused::User) => "setup.refused_user",
        Err(SetupRefused::Password) => "setup.refused_password",
        Err(SetupRefused::Guessable) => "setup.refused_guessable",
        Err(SetupRefused::Done) => {
            // The second press of the form that made the account.
            let again = auth::sign_in(&shared, caller, &headers, user.clone(), form.password);
            match again.await {
                Ok(cookies) => return Ok(auth::with_cookies(auth::see_other("/"), cookies)),
                Err(ApiError::SignInRefused) => "setup.refused_done",
                Err(error) => return Err(error),
            }
        }
    };
    let mut response = render(&SetupPage {
        site: site(&shared, &look),
        problem: Some(look.t(key)),
        open: caller.in_the_open(),
        token,
        user,
        look,
    })?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}
