//! The one way from a page or the API to the facility: send a command, wait until it is durable.
//!
//! Pages and the API call these same functions, so that both refuse the same things for the same reasons.

pub(crate) mod standing;

use crate::error::{ApiError, Standing, refusal_detail};
use crate::ports::{App, CommandError, CommandRequest, Identity, NoRoom, OrderEventRow, OrderRow};
use crate::{PHOTO_LIMIT, once};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::oneshot;
use zhiban_core::work_order::{Actor, NewPhoto, PhotoFormat, PhotoStage, RecordEdit};
use zhiban_core::{AssetId, Command, Outcome, Refusal, Timestamp, WorkOrder, WorkOrderNumber};

/// The longest the engine may take to make a command durable.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a command and waits for what became of it.
///
/// # Errors
///
/// A refusal of the facility, with what stands now; `Unavailable` when the record store or the engine
/// does not answer in time — then it is not known whether it was done.
pub(crate) async fn command(app: &App, command: Command) -> Result<Outcome, ApiError> {
    attempt(app, command).await.map_err(|undone| undone.error)
}

/// Why a command brought nothing.
struct Undone {
    error: ApiError,
    /// Whether it is known that nothing was done, nor will be.
    surely: bool,
}

async fn attempt(app: &App, command: Command) -> Result<Outcome, Undone> {
    let surely = |error| Undone {
        error,
        surely: true,
    };
    let unknown = Undone {
        error: ApiError::Unavailable,
        surely: false,
    };
    let about = order_of(&command).cloned();
    let (reply, answer) = oneshot::channel();
    let request = CommandRequest {
        command,
        once: once::current(),
        reply,
    };
    let exchange = async {
        app.commands.send(request).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Some(Ok(outcome))) => Ok(outcome),
        Ok(Some(Err(CommandError::Refused(refusal)))) => {
            Err(surely(explain(app, about, refusal).await))
        }
        Ok(Some(Err(CommandError::NotTaken))) => Err(surely(ApiError::Unavailable)),
        Ok(Some(Err(CommandError::StoreUnavailable))) => Err(unknown),
        Ok(Some(Err(CommandError::Repeated))) => Err(surely(ApiError::KeyBusy)),
        Ok(None) | Err(_) => {
            tracing::error!("the engine does not answer commands");
            Err(unknown)
        }
    }
}

/// The order that a command is about.
fn order_of(command: &Command) -> Option<&WorkOrderNumber> {
    match command {
        Command::MoveWorkOrder(step) => Some(&step.no),
        Command::EditWorkOrder { no, .. }
        | Command::CommentWorkOrder { no, .. }
        | Command::EditRecord { no, .. } => Some(no),
        Command::Acknowledge { .. }
        | Command::Shelve { .. }
        | Command::Unshelve { .. }
        | Command::CommentAlarm { .. }
        | Command::CreateWorkOrder(_) => None,
    }
}

/// Adds to a refusal what stands now and who brought it about, and tells what never was from what is over.
async fn explain(app: &App, about: Option<WorkOrderNumber>, refusal: Refusal) -> ApiError {
    let standing = match &refusal {
        Refusal::NoAlarm(id) => {
            return match app.archive.alarm(*id).await {
                Ok(Some((row, _))) if !row.is_configured(&app.snapshot.borrow()) => {
                    ApiError::NotConfigured(row.asset)
                }
                Ok(Some((row, _))) => ApiError::AlarmOver(standing::of_over(app, &row).await),
                Ok(None) => ApiError::NotFound,
                Err(error) => error.into(),
            };
        }
        Refusal::NoWorkOrder(no) => {
            return match app.archive.work_order(no.clone()).await {
                Ok(Some((row, _))) if asset_of(app, &row.asset).is_none() => {
                    ApiError::NotConfigured(row.asset)
                }
                Ok(Some(_)) => ApiError::OrderOver(standing::of_order(app, no).await),
                Ok(None) => ApiError::NotFound,
                Err(error) => error.into(),
            };
        }
        Refusal::AlreadyAcknowledged { id, by } => standing::of_acknowledged(app, *id, by).await,
        Refusal::AlreadyShelved { id, by, until } => {
            standing::of_shelved(app, *id, by, *until).await
        }
        Refusal::NotAllowed { from, .. } => match about {
            Some(no) => standing::of_status(app, &no, *from, refusal_detail(&refusal)).await,
            None => Standing::default(),
        },
        Refusal::Changed { no, version } => standing::of_change(app, no, *version).await,
        Refusal::NotShelved(id) => standing::of_unshelved(app, *id).await,
        Refusal::NoEntry(id) => match about {
            Some(no) => standing::of_taken_out(app, &no, *id).await,
            None => Standing::default(),
        },
        Refusal::NotYours(_) => match about {
            // Why not is said by the refusal itself; a program also learns where the order stands.
            Some(no) => Standing {
                told: None,
                ..standing::of_order(app, &no).await
            },
            None => Standing::default(),
        },
        Refusal::LifeSafety
        | Refusal::ShelveTooLong
        | Refusal::Missing { .. }
        | Refusal::RecordFull
        | Refusal::FaultStands => Standing::default(),
    };
    ApiError::Refused(refusal, standing)
}

fn asset_of(app: &App, code: &str) -> Option<AssetId> {
    app.snapshot.borrow().model.asset_by_code(code)
}

/// As whom somebody moves orders.
///
/// # Errors
///
/// `Unavailable` when the accounts cannot be read: nobody is taken for the only one by mistake.
pub(crate) async fn actor(app: &App, who: &Identity) -> Result<Actor, ApiError> {
    if !who.session {
        return Ok(Actor::Machine);
    }
    let people = app.accounts.people().await?;
    let others = people.iter().any(|one| one.user != who.user);
    Ok(if others {
        Actor::Person
    } else {
        Actor::OnlyPerson
    })
}

/// A photo that somebody sent.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The order.
    pub(crate) no: WorkOrderNumber,
    /// Who.
    pub(crate) by: String,
    /// What it shows.
    pub(crate) stage: PhotoStage,
    /// All of it.
    pub(crate) bytes: Bytes,
    /// When it was taken, if the person was without a network then.
    pub(crate) recorded_at: Option<Timestamp>,
}

/// The SHA-256 of a photo in hex.
pub(crate) fn photo_hash(bytes: &[u8]) -> String {
    let sha256 = Sha256::digest(bytes);
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a photo to an order's record: its bytes are durable before the record speaks of them.
///
/// # Errors
///
/// It is no photo or too large, there is no room, or what [`command`] says.
pub(crate) async fn add_photo(app: &App, upload: Upload) -> Result<WorkOrder, ApiError> {
    if upload.bytes.len() > PHOTO_LIMIT {
        return Err(ApiError::TooLarge);
    }
    let format = PhotoFormat::of(&upload.bytes);
    let format = format.ok_or_else(|| ApiError::field("/photo", "not_a_photo"))?;
    let sha256 = photo_hash(&upload.bytes);
    let size = u32::try_from(upload.bytes.len()).unwrap_or(u32::MAX);
    let kept = app.photos.keep(upload.bytes).await?;
    let file = kept.map_err(|NoRoom| ApiError::StoreFull)?;
    let edit = RecordEdit::AddPhoto(NewPhoto {
        file: file.clone(),
        stage: upload.stage,
        format,
        size,
        sha256,
    });
    let done = attempt_edit(app, upload.no, upload.by, edit, upload.recorded_at).await;
    // Where it is not known whether it was done, the bytes must stay.
    if done.as_ref().is_err_and(|undone| undone.surely) {
        forget(app, file).await;
    }
    done.map_err(|undone| undone.error)
}

/// Takes a photo out of an order's record, then its bytes from the store.
///
/// # Errors
///
/// What [`command`] says.
pub(crate) async fn remove_photo(
    app: &App,
    no: WorkOrderNumber,
    by: String,
    id: u32,
) -> Result<(), ApiError> {
    let known = work_order(app, &no).await?.0.order.photos;
    edit_record(app, no, by, RecordEdit::RemovePhoto(id), None).await?;
    if let Some(photo) = known.into_iter().find(|photo| photo.id == id) {
        forget(app, photo.taken.file).await;
    }
    Ok(())
}

async fn forget(app: &App, file: String) {
    if let Err(error) = app.photos.forget(file).await {
        tracing::warn!(error = %error.why, "a photo that nothing speaks of could not be removed");
    }
}

/// Changes what an order's record holds: the order as it is now.
///
/// # Errors
///
/// What [`command`] says.
pub(crate) async fn edit_record(
    app: &App,
    no: WorkOrderNumber,
    by: String,
    edit: RecordEdit,
    recorded_at: Option<Timestamp>,
) -> Result<WorkOrder, ApiError> {
    let done = attempt_edit(app, no, by, edit, recorded_at).await;
    done.map_err(|undone| undone.error)
}

async fn attempt_edit(
    app: &App,
    no: WorkOrderNumber,
    by: String,
    edit: RecordEdit,
    recorded_at: Option<Timestamp>,
) -> Result<WorkOrder, Undone> {
    let edit = Command::EditRecord {
        no,
        by,
        edit,
        recorded_at,
    };
    match attempt(app, edit).await? {
        Outcome::WorkOrder(order) => Ok(*order),
        Outcome::Done => Err(Undone {
            error: ApiError::Internal,
            surely: false,
        }),
    }
}

/// An order with its asset's code and its life, whether it is open or over.
///
/// # Errors
///
/// `NotFound`, and `Unavailable` when records cannot be read.
pub(crate) async fn work_order(
    app: &App,
    no: &WorkOrderNumber,
) -> Result<(OrderRow, Vec<OrderEventRow>), ApiError> {
    let found = app.archive.work_order(no.clone()).await?;
    found.ok_or(ApiError::NotFound)
}
