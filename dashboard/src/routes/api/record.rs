//! What an order's record holds: parts that the repair took, and photos of it.
//!
//! A photo is answered with its own bytes and a type known from them, never with what its sender called it.

use super::body::Body;
use super::form::Form;
use super::work_orders::number;
use crate::App;
use crate::auth::Signed;
use crate::error::ApiError;
use crate::service::{self, Upload};
use crate::wire::Page;
use crate::wire::request::{NewPartRequest, NewPhotoRequest};
use crate::wire::work_order::{self as wire, Part, Photo};
use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{Multipart, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use zhiban_core::WorkOrderNumber;
use zhiban_core::work_order::{NewPart, PhotoStage, Quantity, RecordEdit};

/// What was just made, and where it is.
type Made<T> = (StatusCode, [(header::HeaderName, String); 1], Json<T>);

fn made<T>(at: String, what: T) -> Made<T> {
    (StatusCode::CREATED, [(header::LOCATION, at)], Json(what))
}

/// The parts that the repair took, in the order they were written down.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}/parts", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    responses((status = 200, body = Page<Part>)))]
pub(super) async fn parts(
    State(app): State<App>,
    Path(no): Path<String>,
) -> Result<Json<Page<Part>>, ApiError> {
    let (row, _) = service::work_order(&app, &number(&no)?).await?;
    let parts = row.order.parts.iter().map(Part::from);
    Ok(Json(Page::whole(parts.collect())))
}

/// Writes down a part.
#[utoipa::path(post, path = "/api/v1/work-orders/{no}/parts", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    request_body = NewPartRequest,
    responses((status = 201, body = Part)))]
pub(super) async fn add_part(
    State(app): State<App>,
    Signed(who): Signed,
    Path(no): Path<String>,
    Body(body): Body<NewPartRequest>,
) -> Result<Made<Part>, ApiError> {
    let no = number(&no)?;
    let mut form = Form::default();
    let name = form.text("name", body.name, 200);
    let name = form.need("name", name);
    let sku = form.text("sku", body.sku, 64);
    let unit = form.text("unit", body.unit, 16);
    let given = form.need("quantity", body.quantity);
    let quantity = given.and_then(|number| {
        let read: Result<Quantity, _> = number.to_string().parse();
        if read.is_err() {
            form.fault("quantity", "not_a_quantity");
        }
        read.ok()
    });
    let recorded_at = form.past("recorded_at", body.recorded_at, (app.now)());
    let (name, quantity) = form.done(name.zip(quantity))?;
    let edit = RecordEdit::AddPart(NewPart {
        name,
        sku,
        quantity,
        unit,
    });
    let order = service::edit_record(&app, no, who.user, edit, recorded_at).await?;
    let part = order.parts.last().map(Part::from);
    let part = part.ok_or(ApiError::Internal)?;
    let at = format!("/api/v1/work-orders/{}/parts/{}", order.no, part.id);
    Ok(made(at, part))
}

/// Takes a part out of the record.
#[utoipa::path(delete, path = "/api/v1/work-orders/{no}/parts/{id}", tag = "work orders",
    params(("no" = String, Path, description = "The order's number"),
        ("id" = u32, Path, description = "The part's number within the order")),
    responses((status = 204, description = "It is out")))]
pub(super) async fn remove_part(
    State(app): State<App>,
    Signed(who): Signed,
    Path(place): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (no, id) = entry(&place)?;
    service::edit_record(&app, no, who.user, RecordEdit::RemovePart(id), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is known of the photos, in the order they came.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}/photos", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    responses((status = 200, body = Page<Photo>)))]
pub(super) async fn photos(
    State(app): State<App>,
    Path(no): Path<String>,
) -> Result<Json<Page<Photo>>, ApiError> {
    let (row, _) = service::work_order(&app, &number(&no)?).await?;
    Ok(Json(Page::whole(wire::photos(&row.order))))
}

/// Adds a photo.
#[utoipa::path(post, path = "/api/v1/work-orders/{no}/photos", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    request_body(content = NewPhotoRequest, content_type = "multipart/form-data"),
    responses((status = 201, body = Photo)))]
pub(super) async fn add_photo(
    State(app): State<App>,
    Signed(who): Signed,
    Path(no): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Made<Photo>, ApiError> {
    let no = number(&no)?;
    let sent = Sent::read(multipart.map_err(|_| ApiError::MediaType)?).await?;
    let mut form = Form::default();
    let stage = match sent.stage.as_deref() {
        None => Some(PhotoStage::Before),
        Some(code) => PhotoStage::from_code(code),
    };
    if stage.is_none() {
        form.fault("stage", "unknown");
    }
    let recorded_at = form.past("recorded_at", sent.recorded_at, (app.now)());
    let photo = form.need("photo", sent.photo);
    let (stage, bytes) = form.done(stage.zip(photo))?;
    let upload = Upload {
        no,
        by: who.user,
        stage,
        bytes,
        recorded_at,
    };
    let order = service::add_photo(&app, upload).await?;
    let photo = wire::photos(&order).pop().ok_or(ApiError::Internal)?;
    Ok(made(photo.url.clone(), photo))
}

/// A photo itself.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}/photos/{id}", tag = "work orders",
    params(("no" = String, Path, description = "The order's number"),
        ("id" = u32, Path, description = "The photo's number within the order")),
    responses((status = 200, description = "Its bytes, as what they are", content(
            (String = "image/jpeg"), (String = "image/png"), (String = "image/webp"))),
        (status = 304, description = "Still what If-None-Match names")))]
pub(super) async fn photo(
    State(app): State<App>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (no, id) = entry(&place)?;
    let (row, _) = service::work_order(&app, &no).await?;
    let known = row.order.photos.into_iter().find(|photo| photo.id == id);
    let photo = known.ok_or(ApiError::NotFound)?;
    let tag = format!("\"{}\"", photo.taken.sha256);
    let seen = headers.get(header::IF_NONE_MATCH);
    let mut response = if seen.is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = app.photos.read(photo.taken.file).await?;
        let bytes = bytes.ok_or_else(|| {
            tracing::error!(work_order.no = %no, photo = id, "the file of a photo is gone");
            ApiError::Unavailable
        })?;
        let kind = HeaderValue::from_static(photo.taken.format.code());
        ([(header::CONTENT_TYPE, kind)], bytes).into_response()
    };
    // A number is never given twice, so that what a browser keeps is never another photo.
    let keep = HeaderValue::from_static("private, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Takes a photo out of the record; its bytes go, its hash stays in the order's life.
#[utoipa::path(delete, path = "/api/v1/work-orders/{no}/photos/{id}", tag = "work orders",
    params(("no" = String, Path, description = "The order's number"),
        ("id" = u32, Path, description = "The photo's number within the order")),
    responses((status = 204, description = "It is out")))]
pub(super) async fn remove_photo(
    State(app): State<App>,
    Signed(who): Signed,
    Path(place): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (no, id) = entry(&place)?;
    service::remove_photo(&app, no, who.user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn entry((no, id): &(String, String)) -> Result<(WorkOrderNumber, u32), ApiError> {
    let id = id.parse().map_err(|_| ApiError::NotFound)?;
    Ok((number(no)?, id))
}

/// The fields of a form that brings a photo.
#[derive(Default)]
struct Sent {
    photo: Option<Bytes>,
    stage: Option<String>,
    recorded_at: Option<String>,
}

impl Sent {
    async fn read(mut multipart: Multipart) -> Result<Self, ApiError> {
        let broken = |error: MultipartError| ApiError::multipart("", &error);
        let mut sent = Self::default();
        while let Some(field) = multipart.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            let pointer = format!("/{name}");
            let twice = match name.as_str() {
                "photo" => sent
                    .photo
                    .replace(field.bytes().await.map_err(broken)?)
                    .is_some(),
                "stage" => sent
                    .stage
                    .replace(field.text().await.map_err(broken)?)
                    .is_some(),
                "recorded_at" => {
                    let text = field.text().await.map_err(broken)?;
                    sent.recorded_at.replace(text).is_some()
                }
                _ => return Err(ApiError::field(pointer, "unknown_field")),
            };
            if twice {
                return Err(ApiError::field(pointer, "duplicate_field"));
            }
        }
        Ok(sent)
    }
}
