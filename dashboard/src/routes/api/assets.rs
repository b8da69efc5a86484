//! Equipment and its points, out of the snapshot.

use super::query::{self, Params};
use crate::App;
use crate::auth::Lang;
use crate::error::ApiError;
use crate::wire::Page;
use crate::wire::asset::{Asset, Point};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;
use zhiban_core::{AssetId, PointId, Snapshot};

/// Which assets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only this class.
    class: Option<String>,
    /// Only this state.
    state: Option<String>,
    /// How many at most, 1 to 200.
    limit: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Every asset, in the order of the configuration.
#[utoipa::path(get, path = "/api/v1/assets", tag = "assets", params(ListParams),
    responses((status = 200, body = Page<Asset>)))]
pub(super) async fn list(
    State(app): State<App>,
    Lang(language): Lang,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Asset>>, ApiError> {
    let limit = query::limit(params.limit.as_deref(), query::MOST)?;
    let snapshot = app.snapshot.borrow().clone();
    let first = match params.cursor {
        None => 0,
        Some(code) => match snapshot.model.asset_by_code(&code) {
            Some(after) => after.0 + 1,
            None => return Err(ApiError::parameter("cursor", "unknown")),
        },
    };
    let wanted = |given: &Option<String>, is: &str| given.as_deref().is_none_or(|one| one == is);
    let items = (first..)
        .map_while(|place| Asset::of(&snapshot, AssetId(place), language, app.health.as_ref()))
        .filter(|asset| wanted(&params.class, &asset.class) && wanted(&params.state, asset.state))
        .take(limit + 1)
        .collect();
    Ok(Json(Page::cut(items, limit, |asset| asset.code.clone())))
}

/// One asset.
#[utoipa::path(get, path = "/api/v1/assets/{code}", tag = "assets",
    params(("code" = String, Path, description = "The asset's code")),
    responses((status = 200, body = Asset)))]
pub(super) async fn one(
    State(app): State<App>,
    Lang(language): Lang,
    Path(code): Path<String>,
) -> Result<Json<Asset>, ApiError> {
    let snapshot = app.snapshot.borrow().clone();
    let asset = find(&snapshot, &code)?;
    let asset = Asset::of(&snapshot, asset, language, app.health.as_ref());
    asset.map(Json).ok_or(ApiError::NotFound)
}

/// Which points.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PointParams {
    /// How many at most, 1 to 200.
    limit: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// The points of one asset and their values now.
#[utoipa::path(get, path = "/api/v1/assets/{code}/points", tag = "assets",
    params(("code" = String, Path, description = "The asset's code"), PointParams),
    responses((status = 200, body = Page<Point>)))]
pub(super) async fn points(
    State(app): State<App>,
    Lang(language): Lang,
    Path(code): Path<String>,
    Params(params): Params<PointParams>,
) -> Result<Json<Page<Point>>, ApiError> {
    let limit = query::limit(params.limit.as_deref(), query::MOST)?;
    let snapshot = app.snapshot.borrow().clone();
    let asset = find(&snapshot, &code)?;
    let range = snapshot.model.asset(asset).points.clone();
    let first = match params.cursor {
        None => range.start,
        Some(key) => match snapshot.model.point_by_key(&key) {
            Some(after) if range.contains(&after.0) => after.0 + 1,
            Some(_) | None => return Err(ApiError::parameter("cursor", "unknown")),
        },
    };
    let items = (first..range.end)
        .filter_map(|place| Point::of(&snapshot, PointId(place), language))
        .take(limit + 1)
        .collect();
    Ok(Json(Page::cut(items, limit, |point| point.key.clone())))
}

fn find(snapshot: &Snapshot, code: &str) -> Result<AssetId, ApiError> {
    let found = snapshot.model.asset_by_code(code);
    found.ok_or(ApiError::NotFound)
}
