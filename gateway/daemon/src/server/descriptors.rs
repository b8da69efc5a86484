//! How many files and connections this process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never needed.
const ENOUGH: u64 = 65_536;

/// How many descriptors there are, after the limit was raised as far as it may be.
pub(super) fn available() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let current = limit.current.unwrap_or(ENOUGH);
    if current >= highest {
        return usize::try_from(current).unwrap_or(usize::MAX);
    }
    let raised = Rlimit {
        current: Some(highest),
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => highest,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files cannot be raised");
            current
        }
    };
    usize::try_from(now).unwrap_or(usize::MAX)
}
