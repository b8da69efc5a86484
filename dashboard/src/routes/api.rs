//! The API, every route on one page. A route that is not registered here does not exist,
//! and one that is registered is in the OpenAPI document by that alone.

mod alarms;
mod assets;
mod body;
mod form;
mod openapi;
mod query;
mod record;
mod series;
mod session;
mod stream;
mod work_orders;

use crate::{Shared, UPLOAD_LIMIT};
use axum::extract::DefaultBodyLimit;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// Every route under `/api`, and the document that describes them.
pub(crate) fn router() -> (axum::Router<Shared>, OpenApi) {
    let upload = DefaultBodyLimit::max(UPLOAD_LIMIT);
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::document())
        // /api/v1/session: GET, POST, DELETE
        .routes(routes!(session::who, session::sign_in, session::sign_out))
        // /api/v1/assets, /assets/{code}, /assets/{code}/points: GET
        .routes(routes!(assets::list))
        .routes(routes!(assets::one))
        .routes(routes!(assets::points))
        // /api/v1/points/{asset}/{point}/series, /points/{key}/series: GET
        .routes(routes!(series::of_point))
        .routes(routes!(series::of_key))
        // /api/v1/alarms, /alarms/{id}: GET
        .routes(routes!(alarms::list))
        .routes(routes!(alarms::one))
        // /api/v1/alarms/{id}/ack, shelve, unshelve, comment: POST
        .routes(routes!(alarms::acknowledge))
        .routes(routes!(alarms::shelve))
        .routes(routes!(alarms::unshelve))
        .routes(routes!(alarms::comment))
        // /api/v1/work-orders: GET, POST; /work-orders/{no}: GET, PATCH
        .routes(routes!(work_orders::list, work_orders::create))
        .routes(routes!(work_orders::one, work_orders::edit))
        // /api/v1/work-orders/{no}/transitions, /comments: GET, POST
        .routes(routes!(work_orders::moves, work_orders::transition))
        .routes(routes!(work_orders::comments, work_orders::comment))
        // /api/v1/work-orders/{no}/parts, /photos: GET, POST; /parts/{id}: DELETE; /photos/{id}: GET, DELETE
        .routes(routes!(record::parts, record::add_part))
        .routes(routes!(record::remove_part))
        .routes(routes!(record::photos, record::add_photo).layer(upload))
        .routes(routes!(record::photo, record::remove_photo))
        // /api/v1/stream: GET, server-sent events
        .routes(routes!(stream::open))
        .split_for_parts();
    openapi::complete(&mut document);
    (router, document)
}
