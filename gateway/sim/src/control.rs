//! The control port: the scenarios, and the physical truth to hold what is shown against what is so.
//! Loopback only; it commands the simulation, never a real device.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::warn;

use crate::building::Shared;
use crate::error::SimError;
use crate::scenario::SCENARIOS;

/// Time that open requests get when the building stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves the control port until the building stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let cancel = shared.cancel.clone();
    let stop = cancel.clone();
    let app = Router::new()
        .route("/scenarios", get(list))
        .route("/scenarios/{name}", post(begin))
        .route("/state", get(state))
        .with_state(shared);
    let serving =
        axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    let limit = async {
        cancel.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = serving.into_future() => if let Err(error) = served {
            warn!(%error, "the control port has failed");
        },
        () = limit => {}
    }
}

async fn list(headers: HeaderMap) -> Json<Value> {
    let chinese = headers
        .get(ACCEPT_LANGUAGE)
        .is_some_and(|languages| languages.as_bytes().starts_with(b"zh"));
    let scenarios = SCENARIOS.iter().map(|scenario| {
        let title = if chinese {
            scenario.title.zh
        } else {
            scenario.title.en
        };
        json!({ "name": scenario.name, "title": title })
    });
    Json(scenarios.collect())
}

/// What a scenario may be asked with.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    asset: Option<String>,
    seconds: Option<u64>,
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    let wanted = if body.is_empty() {
        Wanted::default()
    } else {
        match serde_json::from_slice(&body) {
            Ok(wanted) => wanted,
            Err(error) => {
                return problem(
                    StatusCode::BAD_REQUEST,
                    "sim.bad_body",
                    &format!("the body must be {{\"asset\": …, \"seconds\": …}}: {error}"),
                );
            }
        }
    };
    match shared.scenario(&name, wanted.asset.as_deref(), wanted.seconds) {
        Ok(()) => (
            StatusCode::ACCEPTED,
            Json(json!({ "name": name, "asset": wanted.asset, "seconds": wanted.seconds })),
        )
            .into_response(),
        Err(refusal) => {
            let (status, code) = match refusal {
                SimError::UnknownScenario(_) => (StatusCode::NOT_FOUND, "sim.unknown_scenario"),
                SimError::UnknownAsset(_) => {
                    (StatusCode::UNPROCESSABLE_ENTITY, "sim.unknown_asset")
                }
                SimError::UnsuitedAsset { .. } => {
                    (StatusCode::UNPROCESSABLE_ENTITY, "sim.unsuited_asset")
                }
                SimError::NoOwnBroker => (StatusCode::CONFLICT, "sim.no_own_broker"),
                SimError::NotLoopback { .. }
                | SimError::Bind { .. }
                | SimError::Speed(_)
                | SimError::ScriptFile { .. }
                | SimError::Script { .. }
                | SimError::Broker(_) => (StatusCode::INTERNAL_SERVER_ERROR, "sim.failed"),
            };
            problem(status, code, &refusal.to_string())
        }
    }
}

async fn state(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.world().state(shared.speed))
}

/// Returns an error as RFC 9457 wants it.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    (
        status,
        [(CONTENT_TYPE, "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}
