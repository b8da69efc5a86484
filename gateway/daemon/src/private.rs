//! What lies in the data folder is nobody else's to read.
//!
//! New files are private because the process makes no others; this makes those of an older
//! version so. It touches nothing that the gateway did not make.

use rustix::process::geteuid;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the gateway keeps in its data folder, by the beginning of its name.
const OURS: [&str; 9] = [
    "core.db",
    "telemetry.db",
    "photos",
    "snapshots",
    "restore.",
    "set-aside.jsonl",
    "modbus-reads.json",
    "mqtt-topics.json",
    ".zhiban",
];

/// Whether a file of this name in the data folder is the gateway's.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.iter().any(|ours| name.starts_with(ours))
}

/// The account and the group to which a file or folder belongs; `None` where it cannot be seen.
pub(crate) fn owner(path: &Path) -> Option<(u32, u32)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.uid(), found.gid()))
}

/// What an account is called on this machine; its number where it has no name.
pub(crate) fn name_of(user: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = user.to_string();
    let line = accounts
        .lines()
        .find(|line| line.split(':').nth(2) == Some(number.as_str()));
    let name = line.and_then(|line| line.split(':').next());
    name.map_or(number.clone(), str::to_owned)
}

/// A file of ours in the data folder that belongs to another account than this process, and that account.
pub(crate) fn foreign(folder: &Path) -> Option<(PathBuf, u32)> {
    let me = geteuid().as_raw();
    let entries = std::fs::read_dir(folder).ok()?;
    let ours = entries.flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        is_ours(&name)
    });
    ours.map(|entry| entry.path()).find_map(|path| {
        let (user, _) = owner(&path)?;
        (user != me).then_some((path, user))
    })
}

/// Makes everything of ours in the folder private, and the folder when nothing else is in it.
/// Returns how many files and folders others could have read.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn tighten(folder: &Path) -> io::Result<usize> {
    let mut tightened = 0;
    let mut others = false;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ours(&name) {
            tightened += tree(&entry.path())?;
        } else {
            others = true;
        }
    }
    if others {
        if mode(folder)? & 0o077 != 0 {
            tracing::warn!(
                folder = %folder.display(),
                "the data folder holds other files too and stays readable for others; give it a folder of its own"
            );
        }
        return Ok(tightened);
    }
    Ok(tightened + one(folder, 0o700)?)
}

fn tree(path: &Path) -> io::Result<usize> {
    let found = std::fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(0);
    }
    if !found.is_dir() {
        return one(path, 0o600);
    }
    let mut tightened = one(path, 0o700)?;
    for entry in std::fs::read_dir(path)? {
        tightened += tree(&entry?.path())?;
    }
    Ok(tightened)
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode())
}

/// Takes the rights of others away. Where that is not ours to do it is said, and no reason to stop.
/// What the owner may not do stays so: a folder that cannot be written is refused at the start.
fn one(path: &Path, most: u32) -> io::Result<usize> {
    let had = mode(path)?;
    if had & 0o077 == 0 {
        return Ok(0);
    }
    match std::fs::set_permissions(path, Permissions::from_mode(had & most)) {
        Ok(()) => Ok(1),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "others can read this");
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_older_version_become_private_and_others_stay() {
        let spare = tempfile::tempdir().unwrap();
        let folder = spare.path().join("data");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        std::fs::create_dir_all(folder.join("photos")).unwrap();
        for name in ["core.db", "core.db-wal", "telemetry.db", "photos/one"] {
            std::fs::write(folder.join(name), "x").unwrap();
            set(&folder.join(name), 0o644);
        }
        set(&folder, 0o755);
        set(&folder.join("photos"), 0o755);
        assert_eq!(tighten(&folder).unwrap(), 6);
        assert_eq!(tighten(&folder).unwrap(), 0);
        for name in ["core.db", "core.db-wal", "telemetry.db", "photos/one"] {
            assert_eq!(mode(&folder.join(name)).unwrap() & 0o777, 0o600, "{name}");
        }
        assert_eq!(mode(&folder).unwrap() & 0o777, 0o700);

        std::fs::write(folder.join("gateway.toml"), "x").unwrap();
        set(&folder.join("gateway.toml"), 0o644);
        set(&folder, 0o755);
        assert_eq!(tighten(&folder).unwrap(), 0);
        assert_eq!(mode(&folder.join("gateway.toml")).unwrap() & 0o777, 0o644);
        assert_eq!(mode(&folder).unwrap() & 0o777, 0o755);
    }
}
