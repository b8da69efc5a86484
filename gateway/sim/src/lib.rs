//! Placeholder of the crate while its first parts are written.
