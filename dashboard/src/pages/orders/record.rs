//! Parts and photos on an order's page, and the posts that add them and take them out.
//!
//! Each leads back to the order's own page.

use super::super::frame::Visit;
use super::super::posts::{Once, written};
use super::super::show::When;
use super::{home, number};
use crate::error::ApiError;
use crate::service::{self, Upload};
use crate::wire::work_order::photo_url;
use axum::body::Bytes;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{Form, Multipart, Path};
use axum::response::Response;
use serde::Deserialize;
use zhiban_core::WorkOrder;
use zhiban_core::work_order::{NewPart, PhotoStage, Quantity, RecordEdit};

/// The most characters of a part's name.
pub(crate) const PART_NAME: usize = 200;
/// The most characters of a part's number.
pub(crate) const PART_SKU: usize = 64;
/// The most characters of a part's unit.
pub(crate) const PART_UNIT: usize = 16;
/// The most photos sent at once.
const AT_ONCE: usize = 8;

/// A part as the page shows it.
pub(super) struct PartView {
    pub(super) id: u32,
    pub(super) amount: String,
    pub(super) name: String,
    pub(super) sku: String,
    /// The key of the form that takes it out.
    pub(super) key: String,
}

/// A photo as the page shows it.
pub(super) struct PhotoView {
    pub(super) id: u32,
    pub(super) url: String,
    pub(super) stage: String,
    pub(super) at: When,
    pub(super) by: String,
    /// The key of the form that takes it out.
    pub(super) key: String,
}

/// The form that brings photos of one stage.
pub(super) struct PhotoForm {
    pub(super) stage: &'static str,
    pub(super) label: String,
    pub(super) key: String,
}

fn fresh_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) fn parts(order: &WorkOrder) -> Vec<PartView> {
    let view = |part: &zhiban_core::work_order::Part| PartView {
        id: part.id,
        amount: match &part.used.unit {
            Some(unit) => format!("{} {unit}", part.used.quantity),
            None => format!("{} ×", part.used.quantity),
        },
        name: part.used.name.clone(),
        sku: part.used.sku.clone().unwrap_or_default(),
        key: fresh_key(),
    };
    order.parts.iter().map(view).collect()
}

pub(super) fn photos(visit: &Visit, order: &WorkOrder) -> Vec<PhotoView> {
    let words = visit.words();
    let view = |photo: &zhiban_core::work_order::Photo| PhotoView {
        id: photo.id,
        url: photo_url(&order.no, photo.id),
        stage: words.code("photo", photo.taken.stage.code()),
        at: visit.times.when(photo.at),
        by: visit.person(&photo.by),
        key: fresh_key(),
    };
    order.photos.iter().map(view).collect()
}

/// One form for each stage: a press, a photo, done.
pub(super) fn photo_forms(visit: &Visit) -> Vec<PhotoForm> {
    let form = |stage: &PhotoStage| PhotoForm {
        stage: stage.code(),
        label: visit.look.t(&format!("order.photo_{}", stage.code())),
        key: fresh_key(),
    };
    PhotoStage::ALL.iter().map(form).collect()
}

/// What the form of a part sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::pages) struct PartInput {
    #[serde(flatten)]
    once: Once,
    name: String,
    sku: String,
    quantity: String,
    unit: String,
}

impl PartInput {
    fn read(&self) -> Result<NewPart, ApiError> {
        let text = |text: &str, field: &str, longest: usize| {
            let text = text.trim();
            if text.contains(char::is_control) {
                return Err(ApiError::field(format!("/{field}"), "control_character"));
            }
            written(text, field, longest)
        };
        let name = text(&self.name, "name", PART_NAME)?;
        let quantity: Result<Quantity, _> = self.quantity.trim().parse();
        Ok(NewPart {
            name: name.ok_or_else(|| ApiError::field("/name", "required"))?,
            sku: text(&self.sku, "sku", PART_SKU)?,
            quantity: quantity.map_err(|_| ApiError::field("/quantity", "not_a_quantity"))?,
            unit: text(&self.unit, "unit", PART_UNIT)?,
        })
    }
}

/// A part that was used.
pub(in crate::pages) async fn add_part(
    visit: Visit,
    Path(no): Path<String>,
    Form(input): Form<PartInput>,
) -> Result<Response, ApiError> {
    let edit = RecordEdit::AddPart(input.read()?);
    edit_record(&visit, &no, &input.once, edit).await?;
    Ok(home(&number(&no)?))
}

/// What the small forms beside an entry send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::pages) struct EntryInput {
    #[serde(flatten)]
    once: Once,
    id: String,
}

impl EntryInput {
    fn id(&self) -> Result<u32, ApiError> {
        self.id.parse().map_err(|_| ApiError::NotFound)
    }
}

/// A part is taken out.
pub(in crate::pages) async fn remove_part(
    visit: Visit,
    Path(no): Path<String>,
    Form(input): Form<EntryInput>,
) -> Result<Response, ApiError> {
    let edit = RecordEdit::RemovePart(input.id()?);
    edit_record(&visit, &no, &input.once, edit).await?;
    Ok(home(&number(&no)?))
}

/// A photo is taken out.
pub(in crate::pages) async fn remove_photo(
    visit: Visit,
    Path(no): Path<String>,
    Form(input): Form<EntryInput>,
) -> Result<Response, ApiError> {
    let (order, by) = (number(&no)?, visit.me.user.clone());
    let removing = service::remove_photo(&visit.app, order, by, input.id()?);
    input.once.run(&visit, "", removing).await?;
    Ok(home(&number(&no)?))
}

/// Photos of the work.
pub(in crate::pages) async fn add_photos(
    visit: Visit,
    Path(no): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let order = number(&no)?;
    let sent = Sent::read(multipart.map_err(|_| ApiError::MediaType)?).await?;
    // What somebody chose is not sent in the name of who signed in on the same device since.
    if !sent.by.is_empty() && sent.by != visit.me.user {
        return Err(ApiError::AuthRequired);
    }
    let stage = PhotoStage::from_code(&sent.stage);
    let stage = stage.ok_or_else(|| ApiError::field("/stage", "unknown"))?;
    for (place, bytes) in sent.photos.into_iter().enumerate() {
        // Another photo from the same form is another one.
        let part = format!(".{place}.{}", service::photo_hash(&bytes));
        let upload = Upload {
            no: order.clone(),
            by: visit.me.user.clone(),
            stage,
            bytes,
            recorded_at: None,
        };
        let adding = service::add_photo(&visit.app, upload);
        sent.once.run(&visit, &part, adding).await?;
    }
    Ok(home(&number(&no)?))
}

/// The fields of the form that brings photos.
#[derive(Default)]
struct Sent {
    once: Once,
    /// For whom the form was drawn.
    by: String,
    stage: String,
    photos: Vec<Bytes>,
}

impl Sent {
    async fn read(mut multipart: Multipart) -> Result<Self, ApiError> {
        let broken = |error: MultipartError| ApiError::multipart("/photo", &error);
        let mut sent = Self::default();
        while let Some(field) = multipart.next_field().await.map_err(broken)? {
            match field.name().unwrap_or_default() {
                "photo" => sent.photos.push(field.bytes().await.map_err(broken)?),
                "by" => sent.by = field.text().await.map_err(broken)?,
                "stage" => sent.stage = field.text().await.map_err(broken)?,
                "idempotency_key" => {
                    sent.once.idempotency_key = field.text().await.map_err(broken)?;
                }
                _ => {}
            }
        }
        // A browser sends an empty file when none was chosen.
        sent.photos.retain(|photo| !photo.is_empty());
        if sent.photos.is_empty() || sent.photos.len() > AT_ONCE {
            return Err(ApiError::field("/photo", "out_of_range"));
        }
        Ok(sent)
    }
}

async fn edit_record(
    visit: &Visit,
    no: &str,
    once: &Once,
    edit: RecordEdit,
) -> Result<(), ApiError> {
    let (no, by) = (number(no)?, visit.me.user.clone());
    let editing = service::edit_record(&visit.app, no, by, edit, None);
    once.run(visit, "", editing).await.map(drop)
}
