//! Work orders: the list, one order with every step it may take, and the posts of those steps.
//!
//! Which steps exist, and what each needs, comes from core's table alone.

mod detail;
mod form;
mod record;

pub(super) use detail::Guidance;
pub(crate) use record::{PART_NAME, PART_SKU, PART_UNIT};
pub(super) use record::{add_part, add_photos, remove_part, remove_photo};

use super::frame::{Frame, Visit};
use super::items::{OrderItem, is_to_verify, is_unassigned};
use super::posts::{LONGEST, Once, written};
use super::render;
use crate::auth;
use crate::error::ApiError;
use crate::ports::OrderFilter;
use crate::service;
use askama::Template;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use form::MoveInput;
use serde::Deserialize;
use zhiban_core::work_order::Actor;
use zhiban_core::{Command, Refusal, Timestamp, WorkOrderNumber, WorkOrderStatus};

/// Orders on one page of the records.
const PAGE: u32 = 50;
/// How often a step is tried again because the order changed otherwise meanwhile.
const TRIES: u32 = 5;

#[derive(Template)]
#[template(path = "page/orders.html")]
struct OrdersPage {
    f: Frame,
    tabs: Vec<Tab>,
    orders: Vec<OrderItem>,
    older: Option<String>,
}

/// One of the ways to look at a list.
pub(super) struct Tab {
    pub(super) href: String,
    pub(super) name: String,
    pub(super) current: bool,
    pub(super) n: Option<usize>,
}

/// What is asked for in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    view: String,
    asset: String,
    before: String,
}

/// The list of orders.
pub(super) async fn list(
    visit: Visit,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let me = visit.me.user.clone();
    let open = visit.open_orders();
    let mine = |order: &zhiban_core::WorkOrder| order.assignee.as_deref() == Some(me.as_str());
    let waiting = |order: &zhiban_core::WorkOrder| is_unassigned(order.status);
    let verify = |order: &zhiban_core::WorkOrder| is_to_verify(order);
    let count = |of: &dyn Fn(&zhiban_core::WorkOrder) -> bool| {
        Some(open.iter().filter(|order| of(order)).count())
    };
    let view = query.view.as_str();
    let tab = |name: &str, key: &str, n: Option<usize>| Tab {
        href: if name.is_empty() {
            "/work-orders".to_owned()
        } else {
            format!("/work-orders?view={name}")
        },
        name: visit.look.t(key),
        current: view == name,
        n,
    };
    let tabs = vec![
        tab("", "orders.open", Some(open.len())),
        tab("mine", "orders.mine", count(&mine)),
        tab("waiting", "orders.waiting", count(&waiting)),
        tab("verify", "orders.verify", count(&verify)),
        tab("over", "orders.over", None),
    ];
    let (orders, older) = if view == "over" {
        over(&visit, &query).await?
    } else {
        let of_asset = |order: &&zhiban_core::WorkOrder| {
            query.asset.is_empty() || visit.asset(order.asset).code == query.asset
        };
        let chosen = open
            .iter()
            .copied()
            .filter(of_asset)
            .filter(|order| match view {
                "mine" => mine(order),
                "waiting" => waiting(order),
                "verify" => verify(order),
                _ => true,
            });
        (visit.order_items(chosen), None)
    };
    render(&OrdersPage {
        f: visit.frame("orders"),
        tabs,
        orders,
        older,
    })
}

/// A page of orders that are over, newest first, and the address of the next page.
async fn over(
    visit: &Visit,
    query: &ListQuery,
) -> Result<(Vec<OrderItem>, Option<String>), ApiError> {
    let filter = OrderFilter {
        statuses: vec![
            WorkOrderStatus::Closed,
            WorkOrderStatus::Rejected,
            WorkOrderStatus::Cancelled,
        ],
        asset: (!query.asset.is_empty()).then(|| query.asset.clone()),
        assignee: None,
        before: query.before.parse().ok(),
        limit: PAGE,
    };
    let rows = visit.app.archive.work_orders(filter).await?;
    let full = rows.len() >= PAGE as usize;
    let last = rows.last().filter(|_| full);
    let asset = if query.asset.is_empty() {
        String::new()
    } else {
        format!("&asset={}", auth::escape(&query.asset))
    };
    let older = last.map(|row| format!("/work-orders?view=over&before={}{asset}", row.order.no));
    let items = rows.iter().map(|row| OrderItem::record(visit, row));
    Ok((items.collect(), older))
}

/// One order.
pub(super) async fn detail(visit: Visit, Path(no): Path<String>) -> Result<Response, ApiError> {
    let no = number(&no)?;
    let page = detail::OrderPage::new(&visit, &no).await?;
    render(&page)
}

fn number(text: &str) -> Result<WorkOrderNumber, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

/// A step of an order.
pub(super) async fn transition(
    visit: Visit,
    Path(no): Path<String>,
    Form(input): Form<MoveInput>,
) -> Result<Response, ApiError> {
    let no = number(&no)?;
    if is_second_tap(&visit, &no).await? {
        return Ok(home(&no));
    }
    let actor = service::actor(&visit.app, &visit.me).await?;
    let step = take(&visit, &no, &input, actor);
    input.once.run(&visit, "", step).await?;
    Ok(home(&no))
}

/// One press is one step: without scripts the second tap of a double one meets the button of the next step. Scripts hold
/// such a button for longer than this.
async fn is_second_tap(visit: &Visit, no: &WorkOrderNumber) -> Result<bool, ApiError> {
    const MOMENT: i64 = 450;
    let (_, events) = detail::recorded(visit, no, true).await?;
    let last = events.iter().rev().find(|event| event.from != event.to);
    let age = |at: Timestamp| (visit.app.now)().millis() - at.millis();
    Ok(last.is_some_and(|last| {
        last.by.as_deref() == Some(visit.me.user.as_str()) && (0..MOMENT).contains(&age(last.at))
    }))
}

/// Back to the order's page.
fn home(no: &WorkOrderNumber) -> Response {
    auth::see_other(&format!("/work-orders/{no}"))
}

/// Takes a step for the status and the person that the form showed: what was decided on another one is refused.
/// What else happened to the order meanwhile, a comment or another alarm, does not matter.
async fn take(
    visit: &Visit,
    no: &WorkOrderNumber,
    input: &MoveInput,
    actor: Actor,
) -> Result<(), ApiError> {
    let mut snapshots = visit.app.snapshot.clone();
    let mut error = ApiError::Unavailable;
    for _ in 0..TRIES {
        let order = snapshots.borrow_and_update().work_orders.get(no).cloned();
        let command = input.command(no, (&visit.me.user, actor), order.as_ref())?;
        if let Some(order) = order.filter(|order| !input.is_of(order)) {
            let (no, version) = (order.no, order.version);
            let standing = service::standing::of_version(&visit.app, &no, version).await;
            return Err(ApiError::Refused(
                Refusal::Changed { no, version },
                standing,
            ));
        }
        match service::command(&visit.app, command).await {
            Err(changed @ ApiError::Refused(Refusal::Changed { .. }, _)) => error = changed,
            done => return done.map(drop),
        }
    }
    Err(error)
}

/// What a comment form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CommentInput {
    #[serde(flatten)]
    once: Once,
    comment: String,
}

/// A comment on an order.
pub(super) async fn comment(
    visit: Visit,
    Path(no): Path<String>,
    Form(input): Form<CommentInput>,
) -> Result<Response, ApiError> {
    let no = number(&no)?;
    let home = format!("/work-orders/{no}");
    if let Some(comment) = written(&input.comment, "comment", LONGEST)? {
        let by = visit.me.user.clone();
        let command = Command::CommentWorkOrder { no, by, comment };
        input.once.send(&visit, command).await?;
    }
    Ok(input.once.go_back(&home))
}
