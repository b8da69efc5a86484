//! Signing in and out, and the first account.
//!
//! Never says whether a user name exists, and never puts a password back into a page.

use super::frame::{Look, theme_of};
use super::given_back::Written;
use super::words::Words;
use super::{Resume, render};
use crate::Shared;
use crate::auth::{self, Caller, Lang};
use crate::error::ApiError;
use crate::ports::SetupRefused;
use askama::Template;
use axum::extract::{Form, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
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
    /// A form that waits until its writer is signed in again.
    kept: Written,
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
    /// Whether a page led here because its session ended.
    #[serde(default)]
    ended: String,
}

/// Before the name of a field that waits in the sign-in page.
const KEPT: &str = "kept.";

/// What the sign-in page sends.
struct LoginForm {
    username: String,
    password: String,
    next: String,
    kept: Written,
}

impl LoginForm {
    fn of(fields: Vec<(String, String)>) -> Self {
        let all = Written {
            action: String::new(),
            fields,
        };
        let kept = all.fields.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(KEPT)?;
            Some((name.to_owned(), value.clone()))
        });
        Self {
            username: all.get("username").trim().to_owned(),
            password: all.get("password").to_owned(),
            next: auth::safe_next(Some(all.get("next"))).to_owned(),
            kept: Written {
                action: all.get("kept").to_owned(),
                fields: kept.collect(),
            },
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
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
        problem: (query.ended == "1").then(|| look.t("login.ended")),
        kept: Written::default(),
        open: caller.in_the_open(),
        look,
    })
}

/// The sign-in page for somebody whose session ended before a form was sent; the form waits in it.
pub(super) fn keeping(
    shared: &Shared,
    look: Look,
    caller: Caller,
    next: String,
    kept: Written,
) -> Result<Response, ApiError> {
    let waits = kept.filled_in().next().is_some();
    render(&LoginPage {
        site: site(shared, &look),
        user: kept.get("by").to_owned(),
        problem: waits.then(|| look.t("login.kept")),
        next,
        kept,
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
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let LoginForm {
        username: user,
        password,
        next,
        kept,
    } = LoginForm::of(fields);
    let typed = !auth::has_control(&user) && !auth::has_control(&password);
    let signed = if typed {
        auth::sign_in(&shared, caller, &headers, user.clone(), password).await
    } else {
        Err(ApiError::SignInRefused)
    };
    let error = match signed {
        Ok(cookies) => return Ok(signed_in(&next, user, kept, cookies)),
        Err(error) => error,
    };
    let problem = if let ApiError::SignInLocked(seconds) = error {
        look.words.n("login.slow", seconds)
    } else if let ApiError::RateLimited(seconds) = error {
        look.words.n("login.busy", seconds)
    } else if error == ApiError::SignInRefused {
        look.t("login.refused")
    } else {
        error.detail(look.words.0)
    };
    let mut response = render(&LoginPage {
        site: site(&shared, &look),
        problem: Some(problem),
        open: caller.in_the_open(),
        next,
        user,
        kept,
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

/// To where the person wanted to go, with the form that waited for that, if it is theirs.
fn signed_in(next: &str, user: String, kept: Written, cookies: Vec<HeaderValue>) -> Response {
    let mut response = auth::with_cookies(auth::see_other(next), cookies.clone());
    if kept.get("by") == user && kept.filled_in().next().is_some() {
        let resume = Resume {
            written: kept,
            cookies,
        };
        response.extensions_mut().insert(resume);
    }
    response
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
    let made = make(&shared, &token, &user, &form.password).await;
    let over = matches!(made, Ok(()) | Err(Unmade::Refused(SetupRefused::Done)));
    let unmade = match made {
        // The second press of the form that made the account signs in, too.
        Ok(()) | Err(Unmade::Refused(SetupRefused::Done)) => {
            let signed = auth::sign_in(&shared, caller, &headers, user.clone(), form.password);
            match signed.await {
                Ok(cookies) => return Ok(auth::with_cookies(auth::see_other("/"), cookies)),
                Err(ApiError::SignInRefused) => Unmade::Refused(SetupRefused::Done),
                Err(error) => Unmade::Failed(error),
            }
        }
        Err(unmade) => unmade,
    };
    let (status, mut problem) = match unmade {
        Unmade::Refused(why) => (StatusCode::UNPROCESSABLE_ENTITY, look.t(refused(why))),
        Unmade::Failed(error) => (error.status(), error.detail(look.words.0)),
    };
    if over && status != StatusCode::UNPROCESSABLE_ENTITY {
        problem = format!("{} {problem}", look.t("setup.refused_done"));
    }
    let mut response = render(&SetupPage {
        site: site(&shared, &look),
        problem: Some(problem),
        open: caller.in_the_open(),
        token,
        user,
        look,
    })?;
    *response.status_mut() = status;
    Ok(response)
}

/// Why there is no account.
enum Unmade {
    Refused(SetupRefused),
    Failed(ApiError),
}

async fn make(shared: &Shared, token: &str, user: &str, password: &str) -> Result<(), Unmade> {
    for (text, why) in [
        (token, SetupRefused::Token),
        (user, SetupRefused::User),
        (password, SetupRefused::Password),
    ] {
        if auth::has_control(text) {
            return Err(Unmade::Refused(why));
        }
    }
    let accounts = &shared.app.accounts;
    let made = accounts.set_up(token.to_owned(), user.to_owned(), password.to_owned());
    let made = made.await.map_err(|error| Unmade::Failed(error.into()))?;
    made.map_err(Unmade::Refused)
}

fn refused(why: SetupRefused) -> &'static str {
    match why {
        SetupRefused::Token => "setup.refused_token",
        SetupRefused::Void => "setup.refused_void",
        SetupRefused::User => "setup.refused_user",
        SetupRefused::Password => "setup.refused_password",
        SetupRefused::Guessable => "setup.refused_guessable",
        SetupRefused::Done => "setup.refused_done",
    }
}
