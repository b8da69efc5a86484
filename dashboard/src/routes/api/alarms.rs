//! Alarms: open ones out of the snapshot, all of them out of the archive, and what people decide on them.

use super::body::Body;
use super::form::Form;
use super::query::{self, Params};
use crate::App;
use crate::auth::{Lang, Signed};
use crate::error::ApiError;
use crate::ports::{About, AlarmFilter};
use crate::service;
use crate::wire::Page;
use crate::wire::alarm::{Alarm, AlarmDetail};
use crate::wire::request::{AcknowledgeRequest, CommentRequest, EmptyRequest, ShelveRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use zhiban_core::facility::Urgency;
use zhiban_core::{AlarmId, AlarmState, Command, Duration, Snapshot};

/// Which alarms.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// A state, or `open` for all that is not normal; all alarms when nothing is said.
    state: Option<String>,
    /// Only this asset.
    asset: Option<String>,
    /// How many at most, 1 to 200; 50 when nothing is said.
    limit: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Alarms: those that are open by what must be looked at first, all others newest first.
#[utoipa::path(get, path = "/api/v1/alarms", tag = "alarms", params(ListParams),
    responses((status = 200, body = Page<Alarm>)))]
pub(super) async fn list(
    State(app): State<App>,
    Lang(language): Lang,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Alarm>>, ApiError> {
    let limit = query::limit(params.limit.as_deref(), 50)?;
    let state = match params.state.as_deref() {
        None | Some("open") => None,
        Some(code) => {
            let state = AlarmState::from_code(code);
            Some(state.ok_or_else(|| ApiError::parameter("state", "unknown"))?)
        }
    };
    let open = match state {
        None => params.state.is_some(),
        Some(state) => state != AlarmState::Normal,
    };
    let snapshot = app.snapshot.borrow().clone();
    if open {
        let after = query::cursor::<Urgency>(params.cursor.as_deref())?;
        let alarms = open_alarms(&snapshot, state, params.asset.as_deref(), after);
        let next = alarms.get(limit.saturating_sub(1));
        let next = next.map(|alarm| snapshot.urgency(alarm).to_string());
        let items = alarms.into_iter().take(limit + 1);
        let items = items.map(|alarm| Alarm::open(&snapshot, alarm, language));
        let page = Page::cut(items.collect(), limit, |_| next.clone().unwrap_or_default());
        return Ok(Json(page));
    }
    let filter = AlarmFilter {
        states: state.into_iter().collect(),
        asset: params.asset,
        before: query::cursor::<AlarmId>(params.cursor.as_deref())?,
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
    };
    let rows = app.archive.alarms(filter).await?;
    let items = rows.iter();
    let items = items.map(|row| Alarm::row(&snapshot, row, language));
    let page = Page::cut(items.collect(), limit, |alarm| alarm.id.clone());
    Ok(Json(page))
}

fn open_alarms<'s>(
    snapshot: &'s Snapshot,
    state: Option<AlarmState>,
    asset: Option<&str>,
    after: Option<Urgency>,
) -> Vec<&'s zhiban_core::Alarm> {
    let mut alarms = snapshot.by_urgency();
    alarms.retain(|alarm| {
        state.is_none_or(|state| alarm.state() == state)
            && asset.is_none_or(|code| snapshot.model.asset(alarm.asset).code == code)
            && after.is_none_or(|after| snapshot.urgency(alarm) > after)
    });
    alarms
}

/// One alarm, its life, and what its rule advises.
#[utoipa::path(get, path = "/api/v1/alarms/{id}", tag = "alarms",
    params(("id" = String, Path, description = "The alarm's number")),
    responses((status = 200, body = AlarmDetail)))]
pub(super) async fn one(
    State(app): State<App>,
    Lang(language): Lang,
    Path(id): Path<String>,
) -> Result<Json<AlarmDetail>, ApiError> {
    let found = app.archive.alarm(number(&id)?).await?;
    let (row, events) = found.ok_or(ApiError::NotFound)?;
    let told = app.archive.told(About::Alarm(row.id)).await?;
    let snapshot = app.snapshot.borrow().clone();
    Ok(Json(AlarmDetail::of(
        &snapshot, &row, events, told, language,
    )))
}

/// Says that somebody has seen it.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/ack", tag = "alarms",
    params(("id" = String, Path, description = "The alarm's number")),
    request_body = AcknowledgeRequest,
    responses((status = 204, description = "Acknowledged")))]
pub(super) async fn acknowledge(
    State(app): State<App>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(body): Body<AcknowledgeRequest>,
) -> Result<StatusCode, ApiError> {
    let alarm = number(&id)?;
    let mut form = Form::default();
    let comment = form.text("comment", body.comment, 2000);
    form.check()?;
    let by = who.user;
    done(&app, Command::Acknowledge { alarm, by, comment }).await
}

/// Puts it aside for a time; refused for life safety.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/shelve", tag = "alarms",
    params(("id" = String, Path, description = "The alarm's number")),
    request_body = ShelveRequest,
    responses((status = 204, description = "Shelved")))]
pub(super) async fn shelve(
    State(app): State<App>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(body): Body<ShelveRequest>,
) -> Result<StatusCode, ApiError> {
    let alarm = number(&id)?;
    let mut form = Form::default();
    let reason = form.text("reason", body.reason, 500);
    let reason = form.need("reason", reason);
    let minutes = form.within("minutes", body.minutes, 1..=480);
    let minutes = form.need("minutes", minutes);
    let (reason, minutes) = form.done(reason.zip(minutes))?;
    let command = Command::Shelve {
        alarm,
        by: who.user,
        reason,
        duration: Duration::from_secs(i64::from(minutes) * 60),
    };
    done(&app, command).await
}

/// Brings a shelved alarm back.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/unshelve", tag = "alarms",
    params(("id" = String, Path, description = "The alarm's number")),
    request_body = EmptyRequest,
    responses((status = 204, description = "Back")))]
pub(super) async fn unshelve(
    State(app): State<App>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(EmptyRequest {}): Body<EmptyRequest>,
) -> Result<StatusCode, ApiError> {
    let (alarm, by) = (number(&id)?, who.user);
    done(&app, Command::Unshelve { alarm, by }).await
}

/// Writes something on it.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/comment", tag = "alarms",
    params(("id" = String, Path, description = "The alarm's number")),
    request_body = CommentRequest,
    responses((status = 204, description = "Written")))]
pub(super) async fn comment(
    State(app): State<App>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(body): Body<CommentRequest>,
) -> Result<StatusCode, ApiError> {
    let alarm = number(&id)?;
    let mut form = Form::default();
    let comment = form.text("comment", body.comment, 2000);
    let comment = form.need("comment", comment);
    let (by, comment) = (who.user, form.done(comment)?);
    done(&app, Command::CommentAlarm { alarm, by, comment }).await
}

async fn done(app: &App, command: Command) -> Result<StatusCode, ApiError> {
    service::command(app, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn number(id: &str) -> Result<AlarmId, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound)
}
