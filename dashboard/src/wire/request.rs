//! What callers send. Every field may be missing here, so that each missing one can be named at once.
//!
//! A field that is not listed is refused: a misspelt one must never be dropped in silence.

use serde::Deserialize;
use utoipa::ToSchema;

/// A user name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    /// The user name.
    #[schema(required)]
    pub(crate) username: Option<String>,
    /// The password.
    #[schema(required)]
    pub(crate) password: Option<String>,
}

/// "I have seen it."
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcknowledgeRequest {
    /// What to say with it.
    #[schema(max_length = 2000)]
    pub(crate) comment: Option<String>,
}

/// Puts an alarm aside for a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShelveRequest {
    /// Why.
    #[schema(required, max_length = 500)]
    pub(crate) reason: Option<String>,
    /// For how many minutes, 1 to 480.
    #[schema(required, minimum = 1, maximum = 480)]
    pub(crate) minutes: Option<u32>,
}

/// Nothing more has to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyRequest {}

/// Something to write down.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommentRequest {
    /// What.
    #[schema(required, max_length = 2000)]
    pub(crate) comment: Option<String>,
}

/// A fault that a person reports.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWorkOrderRequest {
    /// The asset's code.
    #[schema(required)]
    pub(crate) asset: Option<String>,
    /// What it is about.
    #[schema(required, max_length = 200)]
    pub(crate) title: Option<String>,
    /// 1 is the most urgent, 4 the least; 3 when nothing is said.
    #[schema(minimum = 1, maximum = 4)]
    pub(crate) priority: Option<u8>,
    /// More words.
    #[schema(max_length = 4000)]
    pub(crate) note: Option<String>,
}

/// What can be changed of an order without moving it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditWorkOrderRequest {
    /// 1 is the most urgent, 4 the least.
    #[schema(required, minimum = 1, maximum = 4)]
    pub(crate) priority: Option<u8>,
}

/// A move of an order, with all that may be said with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransitionRequest {
    /// The status to go to.
    #[schema(required)]
    pub(crate) to: Option<String>,
    /// Free words.
    #[schema(max_length = 4000)]
    pub(crate) note: Option<String>,
    /// Why.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
    /// The user name of who shall do it.
    #[schema(max_length = 64)]
    pub(crate) assignee: Option<String>,
    /// What was seen.
    #[schema(max_length = 2000)]
    pub(crate) problem: Option<String>,
    /// Why the fault happened.
    #[schema(max_length = 2000)]
    pub(crate) cause: Option<String>,
    /// What was done against it.
    #[schema(max_length = 2000)]
    pub(crate) remedy: Option<String>,
    /// Minutes of work.
    #[schema(maximum = 100_000)]
    pub(crate) labor_minutes: Option<u32>,
    /// When it happened, if the person was without a network then.
    #[schema(format = DateTime)]
    pub(crate) recorded_at: Option<String>,
}

/// A part that a repair took.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPartRequest {
    /// What it is called.
    #[schema(required, max_length = 200)]
    pub(crate) name: Option<String>,
    /// The maker's or the store's number of it.
    #[schema(max_length = 64)]
    pub(crate) sku: Option<String>,
    /// How much of it: 0.001 to 1 000 000, at most three decimals.
    #[schema(required, value_type = f64, minimum = 0.001, maximum = 1_000_000)]
    pub(crate) quantity: Option<serde_json::Number>,
    /// Of what: `m`, `L`; pieces when nothing is said.
    #[schema(max_length = 16)]
    pub(crate) unit: Option<String>,
    /// When it happened, if the person was without a network then.
    #[schema(format = DateTime)]
    pub(crate) recorded_at: Option<String>,
}

/// A photo of the work, as `multipart/form-data`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read field by field")]
pub(crate) struct NewPhotoRequest {
    /// A JPEG, PNG or WebP of at most 10 MiB.
    #[schema(required, value_type = String, format = Binary)]
    pub(crate) photo: Vec<u8>,
    /// `before` the repair, or `after` it; `before` when nothing is said.
    pub(crate) stage: Option<String>,
    /// When it was taken, if the person was without a network then.
    #[schema(format = DateTime)]
    pub(crate) recorded_at: Option<String>,
}
