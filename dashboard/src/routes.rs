//! Handlers: each reads its request, calls a port or the service, and answers with a wire type.

pub(crate) mod api;
pub(crate) mod health;
