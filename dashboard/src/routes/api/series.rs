//! Time series of one point, bucketed for the width they are drawn in.

use super::query::{self, Params};
use crate::App;
use crate::error::ApiError;
use crate::ports::{Aggregation, Number, SeriesQuery};
use crate::wire::{Series, time};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;
use zhiban_core::Duration;

/// What is shown when nothing is said.
const USUAL: Duration = Duration::from_secs(3600);

/// Which part of a series.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SeriesParams {
    /// From here: RFC 3339 or milliseconds since 1970; an hour before `to` when nothing is said.
    from: Option<String>,
    /// To here, not included; now when nothing is said.
    to: Option<String>,
    /// The width it is drawn in, 16 to 4000; 800 when nothing is said.
    px: Option<String>,
    /// `auto`, `raw` or `minmax`.
    agg: Option<String>,
}

/// Part of the series of a point, named by its asset and its own name.
#[utoipa::path(get, path = "/api/v1/points/{asset}/{point}/series", tag = "points",
    params(("asset" = String, Path, description = "The asset's code"),
        ("point" = String, Path, description = "The point's name"), SeriesParams),
    responses((status = 200, body = Series)))]
pub(super) async fn of_point(
    State(app): State<App>,
    Path((asset, point)): Path<(String, String)>,
    Params(params): Params<SeriesParams>,
) -> Result<Json<Series>, ApiError> {
    series(&app, format!("{asset}/{point}"), params).await
}

/// Part of the series of a point, named by its key with the slash written as `%2F`.
#[utoipa::path(get, path = "/api/v1/points/{key}/series", tag = "points",
    params(("key" = String, Path, description = "The point's key"), SeriesParams),
    responses((status = 200, body = Series)))]
pub(super) async fn of_key(
    State(app): State<App>,
    Path(key): Path<String>,
    Params(params): Params<SeriesParams>,
) -> Result<Json<Series>, ApiError> {
    series(&app, key, params).await
}

async fn series(app: &App, key: String, params: SeriesParams) -> Result<Json<Series>, ApiError> {
    let known = app.snapshot.borrow().model.point_by_key(&key);
    known.ok_or(ApiError::NotFound)?;
    let to = query::time("to", params.to.as_deref(), (app.now)())?;
    let from = query::time("from", params.from.as_deref(), to - USUAL)?;
    if from >= to {
        return Err(ApiError::parameter("from", "out_of_range"));
    }
    let agg = match params.agg.as_deref() {
        None | Some("auto") => Aggregation::Auto,
        Some("raw") => Aggregation::Raw,
        Some("minmax") => Aggregation::MinMax,
        Some(_) => return Err(ApiError::parameter("agg", "unknown")),
    };
    let px = query::number("px", params.px.as_deref(), 16..=4000, 800)?;
    let query = SeriesQuery {
        key: key.clone(),
        from,
        to,
        px,
        agg,
    };
    let found = app.history.series(query).await?;
    Ok(Json(Series {
        key,
        from: time(from),
        to: time(to),
        step_ms: found.step_ms,
        t: found.t.into_iter().map(|at| at.millis()).collect(),
        min: column(found.min),
        max: column(found.max),
        last: column(found.last),
    }))
}

/// What is no number in JSON is a gap.
fn column(numbers: Vec<Option<Number>>) -> Vec<Option<serde_json::Number>> {
    let said = |number| match number {
        Number::Integer(number) => Some(number.into()),
        Number::Real(number) => serde_json::Number::from_f64(number),
    };
    numbers
        .into_iter()
        .map(|number| number.and_then(said))
        .collect()
}
