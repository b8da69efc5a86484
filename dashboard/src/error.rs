//! Everything the dashboard can refuse or fail at, and how it is said: RFC 9457 over the API, a page to people.
//!
//! A handler returns an [`ApiError`] without knowing the caller's language; [`speak`] puts it into words.
//! What goes wrong inside is logged and never shown.

mod words;

pub(crate) use words::refusal_detail;

use crate::Shared;
use crate::auth::Asked;
use crate::intake::{self, takes_photos};
use crate::pages::{self, Resume, Sent};
use crate::ports::{CommandError, SeriesError, SignInError, Unavailable};
use axum::Router;
use axum::extract::multipart::MultipartError;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::time::Duration;
use zhiban_core::{Language, Refusal, Text};

/// The longest a request may take until its answer begins: what it brings has limits of its own, and what is
/// then done with it too. This is the last resort.
const PATIENCE: Duration = Duration::from_secs(45);
/// The same where a photo comes over a bad line first.
const UPLOAD_PATIENCE: Duration = intake::WHOLE_PHOTO.saturating_add(PATIENCE);

/// One fault of one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// JSON pointer into the body; for a query parameter a slash and its name.
    pub(crate) pointer: String,
    /// Stable name of the fault.
    pub(crate) code: &'static str,
    /// What people read.
    pub(crate) message: Text,
}

impl FieldError {
    /// A fault whose words follow from its code.
    pub(crate) fn new(pointer: impl Into<String>, code: &'static str) -> Self {
        Self::with(pointer, code, words::field(code))
    }

    /// A text with more characters than it may have.
    pub(crate) fn too_long(pointer: impl Into<String>, most: usize, length: usize) -> Self {
        let message = Text::new(
            format!("最多 {most} 个字，现在有 {length} 个"),
            format!("at most {most} characters, this has {length}"),
        );
        Self::with(pointer, "too_long", message)
    }

    /// A fault with words of its own.
    pub(crate) fn with(pointer: impl Into<String>, code: &'static str, message: Text) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            message,
        }
    }
}

/// What stands instead of what was asked for, and who brought it about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    /// For programs.
    pub(crate) current: Option<Value>,
    /// For people: who did what, and when.
    pub(crate) told: Option<Text>,
}

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ApiError {
    /// Nobody is signed in.
    AuthRequired,
    /// User name or password is wrong.
    SignInRefused,
    /// Another site's page sent it.
    Csrf,
    /// There is no such thing.
    NotFound,
    /// The resource has no such method.
    MethodNotAllowed,
    /// The body is not JSON; where it stops being it.
    BodySyntax { line: usize, column: usize },
    /// The body is of a kind that is not read here.
    MediaType,
    /// The body is too large.
    TooLarge,
    /// The body did not come in time, or not whole.
    TooSlow,
    /// Fields of the body are wrong.
    Form(Vec<FieldError>),
    /// Parameters of the query are wrong.
    Query(Vec<FieldError>),
    /// The facility refuses.
    Refused(Refusal, Standing),
    /// The alarm is over: there is nothing left to do on it.
    AlarmOver(Standing),
    /// The order is over and its window to come back has passed.
    OrderOver(Standing),
    /// The equipment or the rule of an open record is not in the configuration; the equipment's code.
    NotConfigured(String),
    /// `If-Match` is missing.
    MatchRequired,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The first request with this idempotency key is still running.
    KeyBusy,
    /// More of a series than one answer may hold.
    SeriesTooLarge,
    /// Photos may take no more room.
    StoreFull,
    /// Too often; may be tried again after so many seconds.
    RateLimited(u64),
    /// Too many wrong passwords for this account; may be tried again after so many seconds.
    SignInLocked(u64),
    /// What is needed for the answer cannot be read or written now.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl ApiError {
    /// The one refused field.
    pub(crate) fn field(pointer: impl Into<String>, code: &'static str) -> Self {
        ApiError::Form(vec![FieldError::new(pointer, code)])
    }

    /// The one refused parameter.
    pub(crate) fn parameter(name: &str, code: &'static str) -> Self {
        ApiError::Query(vec![FieldError::new(format!("/{name}"), code)])
    }

    /// A form with files that could not be read; `pointer` is where a page or a client can look.
    pub(crate) fn multipart(pointer: &str, error: &MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return ApiError::TooLarge;
        }
        ApiError::field(pointer, "wrong_type")
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            ApiError::AuthRequired | ApiError::SignInRefused => StatusCode::UNAUTHORIZED,
            ApiError::Csrf => StatusCode::FORBIDDEN,
            ApiError::NotFound => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::BodySyntax { .. } | ApiError::Query(_) | ApiError::SeriesTooLarge => {
                StatusCode::BAD_REQUEST
            }
            ApiError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            ApiError::Form(_) | ApiError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::Refused(refusal, _) => words::refusal_status(refusal),
            ApiError::AlarmOver(_)
            | ApiError::OrderOver(_)
            | ApiError::NotConfigured(_)
            | ApiError::KeyBusy => StatusCode::CONFLICT,
            ApiError::MatchRequired => StatusCode::PRECONDITION_REQUIRED,
            ApiError::RateLimited(_) | ApiError::SignInLocked(_) => StatusCode::TOO_MANY_REQUESTS,
            ApiError::StoreFull => StatusCode::INSUFFICIENT_STORAGE,
            ApiError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name.
    pub(crate) fn code(&self) -> &'static str {
        words::code(self)
    }

    /// What it is, the same for every case of its code.
    pub(crate) fn title(&self, language: Language) -> String {
        words::title(self).get(language).to_owned()
    }

    /// What it is in this case, and what to do.
    pub(crate) fn detail(&self, language: Language) -> String {
        let told = self.standing().and_then(|one| one.told.as_ref());
        told.unwrap_or(&words::detail(self))
            .get(language)
            .to_owned()
    }

    /// What stands instead, where that is known.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        if let ApiError::Refused(_, standing)
        | ApiError::AlarmOver(standing)
        | ApiError::OrderOver(standing) = self
        {
            return Some(standing);
        }
        None
    }

    /// Each wrong field.
    pub(crate) fn errors(&self) -> Vec<FieldError> {
        if let ApiError::Form(errors) | ApiError::Query(errors) = self {
            return errors.clone();
        }
        let ApiError::Refused(refusal, _) = self else {
            return Vec::new();
        };
        if let Refusal::Missing { missing } = refusal {
            let pointers = missing.iter().map(|field| format!("/{}", field.code()));
            return pointers.map(|at| FieldError::new(at, "required")).collect();
        }
        if *refusal == Refusal::ShelveTooLong {
            return vec![FieldError::new("/minutes", "out_of_range")];
        }
        Vec::new()
    }

    fn retry_after(&self) -> Option<u64> {
        if let ApiError::RateLimited(seconds) | ApiError::SignInLocked(seconds) = self {
            return Some(*seconds);
        }
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => Some(5),
            _ if *self == ApiError::KeyBusy => Some(1),
            _ => None,
        }
    }

    /// The problem document of RFC 9457.
    pub(crate) fn problem(&self, language: Language, instance: &str) -> Value {
        let errors: Vec<Value> = self
            .errors()
            .into_iter()
            .map(|one| json!({ "pointer": one.pointer, "code": one.code, "message": one.message.get(language) }))
            .collect();
        let current = self.standing().and_then(|one| one.current.clone());
        json!({
            "type": format!("urn:zhiban:problem:{}", self.code()),
            "title": self.title(language),
            "status": self.status().as_u16(),
            "detail": self.detail(language),
            "instance": instance,
            "code": self.code(),
            "errors": errors,
            "current": current,
        })
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        tracing::warn!(what = error.what, error = %error.why, "the dashboard cannot read");
        ApiError::Unavailable
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Busy => ApiError::RateLimited(2),
            SignInError::Unavailable(error) => error.into(),
        }
    }
}

impl From<SeriesError> for ApiError {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::TooLarge => ApiError::SeriesTooLarge,
            SeriesError::Unavailable(error) => error.into(),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refusal) => ApiError::Refused(refusal, Standing::default()),
            CommandError::NotTaken | CommandError::StoreUnavailable => ApiError::Unavailable,
            CommandError::Repeated => ApiError::KeyBusy,
        }
    }
}

/// Carries the error to [`speak`], which knows the language and the place.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What is needed to say a refusal to people.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) shared: Shared,
    /// Every page, behind the gate, to be drawn again with a form that was refused.
    pub(crate) pages: Router,
}

/// Puts every refusal into words: a problem document under `/api` and for a page's own script, a page elsewhere.
/// Where a form of a page was refused, the page comes back with what was written in it.
pub(crate) async fn speak(
    State(Speaker {
        shared,
        pages: drawn,
    }): State<Speaker>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let form = asked.form.then(|| Sent::of(&mut request));
    let patience = if takes_photos(&asked.path) {
        UPLOAD_PATIENCE
    } else {
        PATIENCE
    };
    let mut response = match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Unavailable.into_response(),
    };
    let resumed = response.extensions_mut().remove::<Resume>();
    if let Some(resumed) = resumed {
        let Some(sent) = form else {
            return response;
        };
        let page = pages::resume(&shared, &asked, resumed, sent, drawn).await;
        return match page {
            Some(page) => with_headers_of(page, &response),
            None => response,
        };
    }
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        // The framework's own refusals carry no words in two languages.
        None if is_bare_failure(&response) => of_status(response.status()),
        None => return response,
    };
    let mut spoken = if asked.machine || asked.fragment {
        document(&error, &asked)
    } else if let Some(sent) = form {
        pages::give_back(&shared, &asked, &error, sent, drawn).await
    } else {
        pages::error_page(&shared.app, &asked, &error)
    };
    *spoken.status_mut() = error.status();
    let seconds = error.retry_after().map(HeaderValue::from);
    if let Some(seconds) = seconds {
        spoken.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if error == ApiError::TooSlow {
        // What is still to come of the body is not waited for.
        let close = HeaderValue::from_static("close");
        spoken.headers_mut().insert(header::CONNECTION, close);
    }
    if error.status() == StatusCode::UNAUTHORIZED && asked.machine {
        let scheme = HeaderValue::from_static("Bearer");
        spoken
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    with_headers_of(spoken, &response)
}

/// Takes over what the answer behind it says beside its body.
fn with_headers_of(mut spoken: Response, response: &Response) -> Response {
    for (name, value) in response.headers() {
        if name == header::ALLOW || name == header::SET_COOKIE {
            spoken.headers_mut().append(name, value.clone());
        }
    }
    spoken
}

fn document(error: &ApiError, asked: &Asked) -> Response {
    let body = error.problem(asked.language, &asked.path).to_string();
    let kind = HeaderValue::from_static("application/problem+json");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn is_bare_failure(response: &Response) -> bool {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    failed && plain && response.extensions().get::<Spoken>().is_none()
}

/// Marks a failure whose body already says what is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken;

fn of_status(status: StatusCode) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ApiError::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::MediaType,
        status if status.is_client_error() => ApiError::Query(Vec::new()),
        _ => ApiError::Internal,
    }
}
