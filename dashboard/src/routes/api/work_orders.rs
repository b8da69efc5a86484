//! Work orders: open ones out of the snapshot, all of them out of the archive, and what people do with them.

use super::body::Body;
use super::form::Form;
use super::query::{self, Params};
use crate::App;
use crate::auth::{Lang, Signed};
use crate::error::ApiError;
use crate::ports::{About, Identity, OrderFilter, OrderRow};
use crate::service;
use crate::wire::Page;
use crate::wire::request::{
    CommentRequest, EditWorkOrderRequest, NewWorkOrderRequest, TransitionRequest,
};
use crate::wire::work_order::{self as wire, Comment, Transition, WorkOrder, WorkOrderDetail};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use zhiban_core::facility::{MoveWorkOrder, NewWorkOrder};
use zhiban_core::work_order::{Actor, Repair, moves_from};
use zhiban_core::{
    Command, Language, Outcome, Priority, Timestamp, WorkOrderNumber, WorkOrderStatus,
};

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// A status, or `open` for all that is not over; all orders when nothing is said.
    status: Option<String>,
    /// Only this asset.
    asset: Option<String>,
    /// Only this person's.
    assignee: Option<String>,
    /// How many at most, 1 to 200; 50 when nothing is said.
    limit: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Orders, newest first.
#[utoipa::path(get, path = "/api/v1/work-orders", tag = "work orders", params(ListParams),
    responses((status = 200, body = Page<WorkOrder>)))]
pub(super) async fn list(
    State(app): State<App>,
    Lang(language): Lang,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<WorkOrder>>, ApiError> {
    let limit = query::limit(params.limit.as_deref(), 50)?;
    let before = query::cursor::<WorkOrderNumber>(params.cursor.as_deref())?;
    let status = match params.status.as_deref() {
        None | Some("open") => None,
        Some(code) => {
            let status = WorkOrderStatus::from_code(code);
            Some(status.ok_or_else(|| ApiError::parameter("status", "unknown"))?)
        }
    };
    let open = status.map_or(params.status.is_some(), |status| !status.is_over());
    let filter = OrderFilter {
        statuses: status.into_iter().collect(),
        asset: params.asset,
        assignee: params.assignee,
        before,
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
    };
    let items = if open {
        open_orders(&app, &filter, limit + 1, language)
    } else {
        let rows = app.archive.work_orders(filter).await?;
        let shown = rows.iter();
        shown
            .map(|row| WorkOrder::of(&row.order, &row.asset, language))
            .collect()
    };
    Ok(Json(Page::cut(items, limit, |order| order.no.clone())))
}

fn open_orders(app: &App, filter: &OrderFilter, most: usize, language: Language) -> Vec<WorkOrder> {
    let snapshot = app.snapshot.borrow().clone();
    let code = |order: &zhiban_core::WorkOrder| &snapshot.model.asset(order.asset).code;
    let orders = snapshot.work_orders.values().rev();
    orders
        .filter(|order| filter.statuses.is_empty() || filter.statuses.contains(&order.status))
        .filter(|order| {
            filter
                .asset
                .as_ref()
                .is_none_or(|asset| asset == code(order))
        })
        .filter(|order| filter.assignee.is_none() || filter.assignee == order.assignee)
        .filter(|order| {
            filter
                .before
                .as_ref()
                .is_none_or(|before| order.no < *before)
        })
        .take(most)
        .map(|order| WorkOrder::of(order, code(order), language))
        .collect()
}

/// Reports a fault: makes an order that waits for review.
#[utoipa::path(post, path = "/api/v1/work-orders", tag = "work orders",
    request_body = NewWorkOrderRequest,
    responses((status = 201, body = WorkOrderDetail)))]
pub(super) async fn create(
    State(app): State<App>,
    Lang(language): Lang,
    Signed(who): Signed,
    Body(body): Body<NewWorkOrderRequest>,
) -> Result<Response, ApiError> {
    let mut form = Form::default();
    let asset = form.need("asset", body.asset).and_then(|code| {
        let found = app.snapshot.borrow().model.asset_by_code(&code);
        if found.is_none() {
            form.fault("asset", "unknown");
        }
        found
    });
    let title = form.text("title", body.title, 200);
    let title = form.need("title", title);
    let priority = form.priority("priority", body.priority);
    let note = form.text("note", body.note, 4000);
    let (asset, title) = form.done(asset.zip(title))?;
    let command = Command::CreateWorkOrder(NewWorkOrder {
        asset,
        title,
        priority: priority.unwrap_or(Priority::Medium),
        by: who.user,
        note,
    });
    let (row, mut response) = carried_out(&app, command, language).await?;
    *response.status_mut() = StatusCode::CREATED;
    let place = format!("/api/v1/work-orders/{}", row.order.no);
    if let Ok(place) = place.parse() {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// One order, its life and its repair record. The ETag names its version.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    responses((status = 200, body = WorkOrderDetail),
        (status = 304, description = "Still the version of If-None-Match")))]
pub(super) async fn one(
    State(app): State<App>,
    Lang(language): Lang,
    Path(no): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (row, events) = service::work_order(&app, &number(&no)?).await?;
    let told = app.archive.told(About::Order(row.order.no.clone())).await?;
    let tag = tag(&row, language);
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let detail = WorkOrderDetail::of(&row, Some(events), Some(told), language);
    Ok(([(header::ETAG, tag)], Json(detail)).into_response())
}

/// Changes how urgent an open order is.
#[utoipa::path(patch, path = "/api/v1/work-orders/{no}", tag = "work orders",
    params(("no" = String, Path, description = "The order's number"),
        ("If-Match" = String, Header, description = "The ETag that was read with the order")),
    request_body = EditWorkOrderRequest,
    responses((status = 200, body = WorkOrderDetail)))]
pub(super) async fn edit(
    State(app): State<App>,
    Lang(language): Lang,
    Signed(who): Signed,
    Path(no): Path<String>,
    headers: HeaderMap,
    Body(body): Body<EditWorkOrderRequest>,
) -> Result<Response, ApiError> {
    let no = number(&no)?;
    let version = matched(&headers).ok_or(ApiError::MatchRequired)?;
    let mut form = Form::default();
    let given = form.need("priority", body.priority);
    let priority = form.priority("priority", given);
    let command = Command::EditWorkOrder {
        no,
        by: who.user,
        version,
        priority: form.done(priority)?,
    };
    let (_, response) = carried_out(&app, command, language).await?;
    Ok(response)
}

/// Where the caller may move the order now, and what must be said with each move.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}/transitions", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    responses((status = 200, body = Page<Transition>)))]
pub(super) async fn moves(
    State(app): State<App>,
    Signed(who): Signed,
    Path(no): Path<String>,
) -> Result<Json<Page<Transition>>, ApiError> {
    let (row, _) = service::work_order(&app, &number(&no)?).await?;
    let actor = service::actor(&app, &who).await?;
    let live = app
        .snapshot
        .borrow()
        .work_orders
        .contains_key(&row.order.no);
    let moves = moves_from(row.order.status)
        // What is open and not watched cannot be moved; what is over may come back.
        .filter(|_| live || row.order.status.is_over())
        .filter(|one| one.check(&row.order, &who.user, actor).is_ok())
        .map(|one| Transition::of(&row.order, one));
    Ok(Json(Page::whole(moves.collect())))
}

/// Moves the order.
#[utoipa::path(post, path = "/api/v1/work-orders/{no}/transitions", tag = "work orders",
    params(("no" = String, Path, description = "The order's number"),
        ("If-Match" = Option<String>, Header, description = "Move only this version of it")),
    request_body = TransitionRequest,
    responses((status = 200, body = WorkOrderDetail)))]
pub(super) async fn transition(
    State(app): State<App>,
    Lang(language): Lang,
    Signed(who): Signed,
    Path(no): Path<String>,
    headers: HeaderMap,
    Body(body): Body<TransitionRequest>,
) -> Result<Response, ApiError> {
    let version = matched(&headers).flatten();
    let actor = service::actor(&app, &who).await?;
    let step = step(number(&no)?, (who, actor), version, body, (app.now)())?;
    let command = Command::MoveWorkOrder(Box::new(step));
    let (_, response) = carried_out(&app, command, language).await?;
    Ok(response)
}

fn step(
    no: WorkOrderNumber,
    (who, actor): (Identity, Actor),
    version: Option<u32>,
    body: TransitionRequest,
    now: Timestamp,
) -> Result<MoveWorkOrder, ApiError> {
    let mut form = Form::default();
    let to = form.need("to", body.to).and_then(|code| {
        let status = WorkOrderStatus::from_code(&code);
        if status.is_none() {
            form.fault("to", "unknown");
        }
        status
    });
    let note = form.text("note", body.note, 4000);
    let reason = form.text("reason", body.reason, 500);
    let assignee = form.text("assignee", body.assignee, 64);
    let repair = Repair {
        problem: form.text("problem", body.problem, 2000),
        cause: form.text("cause", body.cause, 2000),
        remedy: form.text("remedy", body.remedy, 2000),
        labor_minutes: form.within("labor_minutes", body.labor_minutes, 0..=100_000),
    };
    let recorded_at = form.past("recorded_at", body.recorded_at, now);
    Ok(MoveWorkOrder {
        no,
        to: form.done(to)?,
        by: who.user,
        actor,
        version,
        note,
        reason,
        assignee,
        repair,
        recorded_at,
    })
}

/// What was written on the order, oldest first.
#[utoipa::path(get, path = "/api/v1/work-orders/{no}/comments", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    responses((status = 200, body = Page<Comment>)))]
pub(super) async fn comments(
    State(app): State<App>,
    Path(no): Path<String>,
) -> Result<Json<Page<Comment>>, ApiError> {
    let (_, events) = service::work_order(&app, &number(&no)?).await?;
    let written = events.into_iter().filter_map(wire::comment);
    Ok(Json(Page::whole(written.collect())))
}

/// Writes something on the order.
#[utoipa::path(post, path = "/api/v1/work-orders/{no}/comments", tag = "work orders",
    params(("no" = String, Path, description = "The order's number")),
    request_body = CommentRequest,
    responses((status = 201, body = Comment)))]
pub(super) async fn comment(
    State(app): State<App>,
    Signed(who): Signed,
    Path(no): Path<String>,
    Body(body): Body<CommentRequest>,
) -> Result<(StatusCode, Json<Comment>), ApiError> {
    let no = number(&no)?;
    let mut form = Form::default();
    let comment = form.text("comment", body.comment, 2000);
    let comment = form.need("comment", comment);
    let (by, comment) = (who.user, form.done(comment)?);
    let written = Comment {
        at: (app.now)().to_string(),
        by: Some(by.clone()),
        comment: comment.clone(),
    };
    service::command(&app, Command::CommentWorkOrder { no, by, comment }).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

/// Carries a command out and answers with the order as it is now.
async fn carried_out(
    app: &App,
    command: Command,
    language: Language,
) -> Result<(OrderRow, Response), ApiError> {
    let Outcome::WorkOrder(order) = service::command(app, command).await? else {
        return Err(ApiError::Internal);
    };
    // It is done: that its life cannot be read now must not look like a failure.
    let events = match app.archive.work_order(order.no.clone()).await {
        Ok(found) => found.map(|(_, events)| events),
        Err(error) => {
            tracing::warn!(work_order.no = %order.no, error = %error, "its life cannot be read");
            None
        }
    };
    let told = app.archive.told(About::Order(order.no.clone())).await.ok();
    let asset = app.snapshot.borrow().model.asset(order.asset).code.clone();
    let row = OrderRow {
        order: *order,
        asset,
    };
    let detail = WorkOrderDetail::of(&row, events, told, language);
    let response = ([(header::ETAG, tag(&row, language))], Json(detail)).into_response();
    Ok((row, response))
}

/// The version and the language: the same order in two languages is two texts.
fn tag(row: &OrderRow, language: Language) -> String {
    format!("\"{}.{}\"", row.order.version, language.tag())
}

/// The version of `If-Match`: `None` when the header is missing, `Some(None)` when any version will do.
/// What no version can be matches none.
fn matched(headers: &HeaderMap) -> Option<Option<u32>> {
    let value = headers.get(header::IF_MATCH)?;
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Some(None);
    }
    // Compared strongly (RFC 9110, 13.1.1): a weak tag matches nothing, and one of a list is enough.
    let versions = text.split(',').filter_map(|tag| {
        let tag = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
        tag.split('.').next()?.parse().ok()
    });
    let version = versions.max();
    Some(Some(version.unwrap_or(0)))
}

pub(super) fn number(no: &str) -> Result<WorkOrderNumber, ApiError> {
    no.parse().map_err(|_| ApiError::NotFound)
}
