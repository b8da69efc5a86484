//! Reads a secret from the file or the environment variable that the configuration names.
//!
//! A secret never appears in an error, a log or a configuration file.

use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// Why a secret cannot be had. Names places, never contents.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No place is named.
    #[error("no place is given for the {0}; add {0}_file or {0}_env")]
    NoPlace(&'static str),
    /// Two places are named.
    #[error("{0}_file and {0}_env are both given; keep one of them")]
    TwoPlaces(&'static str),
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read ({error}); {}", cure(error), path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the secret file {path} is empty; write the secret into it", path = .0.display())]
    Empty(PathBuf),
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set; set it where the gateway is started")]
    Unset(String),
}

fn cure(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::NotFound {
        return "make it, or correct the path";
    }
    "make it readable for the gateway's user"
}

/// Reads the secret `name` (`token`, `password`, `secret`) from one of two places; a final line break is cut off.
///
/// # Errors
/// See [`SecretError`].
pub fn read_secret(
    name: &'static str,
    file: Option<&Path>,
    env: Option<&str>,
) -> Result<SecretString, SecretError> {
    match (file, env) {
        (None, None) => Err(SecretError::NoPlace(name)),
        (Some(_), Some(_)) => Err(SecretError::TwoPlaces(name)),
        (None, Some(variable)) => match std::env::var(variable) {
            Ok(value) if !value.is_empty() => Ok(value.into()),
            Ok(_) | Err(_) => Err(SecretError::Unset(variable.to_owned())),
        },
        (Some(path), None) => from_file(path),
    }
}

fn from_file(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |error| SecretError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(SecretError::Empty(path.to_owned()));
    }
    Ok(secret.into())
}

/// Whether everybody on the machine can read a secret file; `false` when that cannot be known.
#[cfg(unix)]
pub(crate) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Whether everybody on the machine can read a secret file; `false` when that cannot be known.
#[cfg(not(unix))]
pub(crate) fn is_exposed(_: &Path) -> bool {
    false
}
