//! A small disk of a test's own: a tmpfs that can be filled. It must never be left mounted.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted disk, unmounted with the value.
pub(crate) struct SmallDisk {
    folder: TempDir,
    others: PathBuf,
}

impl SmallDisk {
    /// A disk of so many MiB; `None` after saying so where nothing may be mounted.
    ///
    /// # Panics
    /// With `CI=true`, where nothing may be skipped.
    pub(crate) fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mib}m"))
            .args(["zhiban-test"])
            .arg(folder.path())
            .output();
        let done = mounted.is_ok_and(|mounted| mounted.status.success());
        if !done {
            super::skipped("no right to mount a disk (root in a container of one's own has it)");
            return None;
        }
        let others = folder.path().join("of-somebody-else");
        Some(Self { folder, others })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// As the system does when a disk fails: nothing is written any more. Or as a person does afterwards.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount")
            .args(["-o", how])
            .arg(self.folder.path())
            .status();
        assert!(done.is_ok_and(|done| done.success()), "{how}");
    }

    /// Somebody else takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&self.others)
            .unwrap();
        for size in [1 << 20, 4096, 1] {
            let piece = vec![7; size];
            loop {
                match file.write(&piece) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Somebody else gives it back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(&self.others).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has it open keeps it no longer than he lives.
        let done = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
        drop(done);
    }
}
