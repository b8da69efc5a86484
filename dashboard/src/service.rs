//! The one way from a page or the API to the facility: send a command, wait until it is durable.
//!
//! Pages and the API call these same functions, so that both refuse the same things for the same reasons.

use crate::error::ApiError;
use crate::ports::{App, CommandError, CommandRequest, OrderEventRow, OrderRow};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::oneshot;
use zhiban_core::{AlarmId, Command, Outcome, Refusal, WorkOrder, WorkOrderNumber};

/// The longest the engine may take to make a command durable.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a command and waits for what became of it.
///
/// # Errors
///
/// A refusal of the facility, with what stands now; `Unavailable` when the record store or the engine
/// does not answer in time — then it is not known whether it was done.
pub(crate) async fn command(app: &App, command: Command) -> Result<Outcome, ApiError> {
    let (reply, answer) = oneshot::channel();
    let request = CommandRequest { command, reply };
    let exchange = async {
        app.commands.send(request).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Some(Ok(outcome))) => Ok(outcome),
        Ok(Some(Err(CommandError::Refused(refusal)))) => Err(explain(app, refusal).await),
        Ok(Some(Err(CommandError::StoreUnavailable))) => Err(ApiError::Unavailable),
        Ok(None) | Err(_) => {
            tracing::error!("the engine does not answer commands");
            Err(ApiError::Unavailable)
        }
    }
}

/// Adds to a refusal what stands now, and tells what never was from what is over.
async fn explain(app: &App, refusal: Refusal) -> ApiError {
    let current = match &refusal {
        Refusal::NoAlarm(id) => {
            return match app.archive.alarm(*id).await {
                Ok(Some(_)) => ApiError::AlarmOver,
                Ok(None) => ApiError::NotFound,
                Err(error) => error.into(),
            };
        }
        Refusal::NoWorkOrder(no) => {
            return match app.archive.work_order(no.clone()).await {
                Ok(Some(_)) => ApiError::OrderOver,
                Ok(None) => ApiError::NotFound,
                Err(error) => error.into(),
            };
        }
        Refusal::AlreadyAcknowledged { id, by } => Some(acknowledged(app, *id, by)),
        Refusal::NotAllowed { from, .. } => Some(json!({ "status": from.code() })),
        Refusal::Changed { no, version } => {
            let status = app.snapshot.borrow().work_orders.get(no).map(status_of);
            Some(json!({ "version": version, "status": status }))
        }
        Refusal::LifeSafety
        | Refusal::NotShelved(_)
        | Refusal::ShelveTooLong
        | Refusal::Missing { .. }
        | Refusal::FaultStands => None,
    };
    ApiError::Refused(refusal, current)
}

fn status_of(order: &WorkOrder) -> &'static str {
    order.status.code()
}

fn acknowledged(app: &App, id: AlarmId, by: &str) -> Value {
    let snapshot = app.snapshot.borrow();
    let at = snapshot.alarms.get(&id).and_then(|one| one.acknowledged_at);
    json!({ "acknowledged_by": by, "acknowledged_at": at.map(|at| at.to_string()) })
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
