//! Reads a JSON body strictly, and says of each fault where it is.
//!
//! Nothing is guessed: what is not JSON is 400, what is JSON of a wrong shape is 422 with a pointer.

use crate::BODY_LIMIT;
use crate::error::{ApiError, FieldError};
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

/// A JSON body. No body at all reads as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let json = kind.is_some_and(|kind| is_json(kind.as_bytes()));
        let bytes = to_bytes(request.into_body(), BODY_LIMIT).await;
        let bytes = bytes.map_err(|_| ApiError::TooLarge)?;
        if bytes.is_empty() {
            return parse(b"{}").map(Body);
        }
        if !json {
            return Err(ApiError::MediaType);
        }
        parse(&bytes).map(Body)
    }
}

/// `application/json`, `application/merge-patch+json` and the like, with any parameter.
fn is_json(kind: &[u8]) -> bool {
    let end = kind.iter().position(|byte| *byte == b';');
    let essence = kind.get(..end.unwrap_or(kind.len())).unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    essence == b"application/json"
        || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path().iter());
        refuse(pointer, error.inner())
    })?;
    reader
        .end()
        .map_err(|error| refuse(String::new(), &error))?;
    Ok(value)
}

fn refuse(pointer: String, error: &serde_json::Error) -> ApiError {
    match error.classify() {
        Category::Data => {}
        Category::Io | Category::Syntax | Category::Eof => {
            let (line, column) = (error.line(), error.column());
            return ApiError::BodySyntax { line, column };
        }
    }
    let words = error.to_string();
    let named = |start: &str| {
        let rest = words.strip_prefix(start)?.strip_prefix('`')?;
        rest.split_once('`').map(|(name, _)| escaped(name))
    };
    for (start, code) in [
        ("unknown field ", "unknown_field"),
        ("duplicate field ", "duplicate_field"),
    ] {
        if let Some(name) = named(start) {
            let own = format!("/{name}");
            let pointer = if pointer.ends_with(&own) {
                pointer
            } else {
                pointer + &own
            };
            return ApiError::Form(vec![FieldError::new(pointer, code)]);
        }
    }
    ApiError::field(pointer, "wrong_type")
}

fn pointer<'a>(path: impl Iterator<Item = &'a Segment>) -> String {
    path.map(|segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { variant } => format!("/{}", escaped(variant)),
        Segment::Unknown => "/?".to_owned(),
    })
    .collect()
}

/// RFC 6901: a tilde and a slash inside a name are written `~0` and `~1`.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::TransitionRequest;

    fn fault(body: &str) -> (String, &'static str) {
        let error = parse::<TransitionRequest>(body.as_bytes()).unwrap_err();
        let first = error.errors().into_iter().next();
        first.map_or_else(
            || (String::new(), error.code()),
            |one| (one.pointer, one.code),
        )
    }

    #[test]
    fn each_fault_has_its_place() {
        assert_eq!(
            fault(r#"{"to":"closed","a/b":1}"#),
            ("/a~1b".to_owned(), "unknown_field")
        );
        assert_eq!(
            fault(r#"{"labor_minutes":"two"}"#),
            ("/labor_minutes".to_owned(), "wrong_type")
        );
        assert_eq!(
            fault(r#"{"to":"a","to":"b"}"#),
            ("/to".to_owned(), "duplicate_field")
        );
        assert_eq!(fault("7"), (String::new(), "wrong_type"));
        for broken in ["{", "nothing", "{} {}", r#"{"to":}"#, "\u{feff}{}"] {
            assert_eq!(fault(broken).1, "body.syntax", "{broken}");
        }
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json(b"application/json"));
        assert!(is_json(b"Application/JSON; charset=utf-8"));
        assert!(is_json(b"application/merge-patch+json"));
        assert!(!is_json(b"text/plain"));
        assert!(!is_json(b"application/x-www-form-urlencoded"));
    }
}
