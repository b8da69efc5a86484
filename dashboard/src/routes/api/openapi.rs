//! What the OpenAPI document says beside the routes: who we are, how to sign in, how a refusal looks.

use serde::Serialize;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Schema, SecurityRequirement,
};
use utoipa::{OpenApi as _, ToSchema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Zhiban",
        description = "Equipment, alarms and work orders of one site.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem))
)]
struct Document;

/// A refusal, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the kind of problem; holds the code.
    r#type: String,
    /// What it is, in the caller's language.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What it is in this case and what to do, in the caller's language.
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// The stable name of the problem.
    #[schema(example = "wo.transition_not_allowed")]
    code: String,
    /// Each wrong field.
    errors: Vec<Field>,
    /// What stands now, when that helps; an object whose fields depend on the code.
    #[schema(value_type = Option<Object>)]
    current: Option<serde_json::Value>,
}

/// One wrong field.
#[derive(Debug, Serialize, ToSchema)]
struct Field {
    /// JSON pointer into the body; for a query parameter a slash and its name.
    #[schema(example = "/remedy")]
    pointer: String,
    /// The stable name of the fault.
    #[schema(example = "required")]
    code: String,
    /// What is wrong, in the caller's language.
    message: String,
}

/// The document before any route is in it.
pub(super) fn document() -> OpenApi {
    Document::openapi()
}

/// Adds what is the same for every route.
pub(super) fn complete(document: &mut OpenApi) {
    let requirement = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    document.security = Some(vec![requirement("token"), requirement("session")]);
    if let Some(components) = &mut document.components {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let cookie = ApiKeyValue::new(crate::auth::browser::SESSION);
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
        components.add_security_scheme("token", token);
        components.add_security_scheme("session", cookie);
        for (name, schema) in &mut components.schemas {
            if !name.ends_with("Request") {
                require_all(schema);
            }
        }
    }
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            add_refusal(operation);
        }
    }
}

/// Every field of an answer is always there.
fn require_all(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    if let Schema::Object(object) = schema {
        object.required = object.properties.keys().cloned().collect();
    } else if let Schema::AllOf(parts) = schema {
        parts.items.iter_mut().for_each(require_all);
    }
}

fn add_refusal(operation: &mut Operation) {
    let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
    let content = ContentBuilder::new().schema(Some(problem)).build();
    let refusal = ResponseBuilder::new()
        .description("Refused")
        .content("application/problem+json", content);
    let responses = &mut operation.responses.responses;
    responses.insert("default".to_owned(), RefOr::T(refusal.build()));
}
