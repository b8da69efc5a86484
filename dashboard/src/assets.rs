//! Files that pages need — style, scripts, symbols — built into the program.
//!
//! Nothing here holds data, and nothing is ever fetched from another site.

use crate::error::ApiError;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/assets"]
struct Files;

/// How much of a file's hash names its version.
const VERSION: usize = 8;

/// The address of a file, with its version, so that browsers keep it for ever.
///
/// A file that does not exist gets an address that answers 404.
pub(crate) fn url(path: &str) -> String {
    match Files::get(path) {
        Some(file) => format!("/static/{path}?v={}", version(&file)),
        None => format!("/static/{path}"),
    }
}

fn version(file: &rust_embed::EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    hash.iter()
        .take(VERSION)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// One file. Named with its version it may be kept for ever; else it is asked for again each time.
pub(crate) async fn serve(
    Path(path): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = Files::get(&path).ok_or(ApiError::NotFound)?;
    let version = version(&file);
    let tag = format!("\"{version}\"");
    let named = uri
        .query()
        .is_some_and(|query| query == format!("v={version}"));
    let keep = if named {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = mime_guess::from_path(&path).first_or_octet_stream();
        let kind = HeaderValue::from_str(kind.as_ref()).map_err(|_| ApiError::Internal)?;
        ([(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
    };
    let keep = HeaderValue::from_static(keep);
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
