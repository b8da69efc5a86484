//! How the gateway itself is, for whoever restarts or measures it.
//!
//! Health is open to everybody, so it names what fails and says nothing more.

use crate::ports::{App, Check};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The engine takes its turns and its records reach the disk; 503 names what does not. Whoever
/// restarts a gateway asks this: a broker or an InfluxDB that is away is no reason to.
pub(crate) async fn alive(State(app): State<App>) -> Response {
    let checks = app.health.checks();
    let dead: Vec<&str> = checks
        .iter()
        .map(|check| (check.ok, check.name.as_str()))
        .filter(|(ok, name)| !ok && Check::OF_LIFE.contains(name))
        .map(|(_, name)| name)
        .collect();
    if dead.is_empty() {
        return "ok\n".into_response();
    }
    let body = json!({ "alive": false, "failing": dead });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// The gateway can do its job: 503 names each part that does not work and without which it cannot; `degraded` names
/// the other parts that do not work. Both are what the board of health says, and nothing else.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let checks = app.health.checks();
    let broken = |critical: bool| -> Vec<&str> {
        let broken = checks.iter().filter(|check| !check.ok);
        let broken = broken.filter(|check| check.critical == critical);
        broken.map(|check| check.name.as_str()).collect()
    };
    let (failing, degraded) = (broken(true), broken(false));
    let status = if failing.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": failing.is_empty(), "failing": failing, "degraded": degraded });
    (status, Json(body)).into_response()
}

/// The metrics in Prometheus text format.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, app.health.metrics()).into_response()
}
