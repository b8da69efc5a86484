//! Photos of repairs: a folder of files beside `core.db`, each under a name made by chance.
//!
//! A photo is on disk, whole, before anything speaks of it. Nothing here opens, decodes or
//! executes what was sent, and no name that came from outside ever becomes a path.

use crate::disk::Disk;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zhiban_dashboard::ports::{NoRoom, Photos, Unavailable};

/// The ending of a file that is still being written.
const PARTIAL: &str = "part";

/// The folder of photos.
#[derive(Debug, Clone)]
pub struct PhotoFolder {
    folder: Arc<PathBuf>,
    /// The most bytes that all photos together may take.
    quota: u64,
    /// The bytes that they take, with those being written.
    taken: Arc<AtomicU64>,
    /// The disk, when records share it: they come first.
    disk: Option<Arc<Disk>>,
}

impl PhotoFolder {
    /// Opens the folder, making it when it is not there; what a kill left half-written goes. One that
    /// cannot be used is said in the log and keeps no gateway from starting: photos are then refused.
    pub fn open(folder: PathBuf, quota: u64) -> Self {
        let taken = tidy(&folder).unwrap_or_else(|error| {
            tracing::error!(
                folder = %folder.display(),
                %error,
                "the folder of photos cannot be used: give its owner the right to read and write it"
            );
            0
        });
        Self {
            folder: Arc::new(folder),
            quota,
            taken: Arc::new(AtomicU64::new(taken)),
            disk: None,
        }
    }

    /// The same folder, on a disk whose last room is for records.
    #[must_use]
    pub fn on(mut self, disk: Arc<Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// The file of a name; `None` when it is no name made here.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let ours = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        ours.then(|| self.folder.join(name))
    }

    /// Takes room for so many bytes, unless there is too little.
    fn reserve(&self, size: u64) -> Result<(), NoRoom> {
        let before = self.taken.fetch_add(size, Ordering::SeqCst);
        if before.saturating_add(size) > self.quota {
            self.taken.fetch_sub(size, Ordering::SeqCst);
            return Err(NoRoom);
        }
        Ok(())
    }

    fn keep_now(&self, bytes: &[u8]) -> io::Result<Result<String, NoRoom>> {
        if self.disk.as_ref().is_some_and(|disk| disk.is_given_up()) {
            let words = "the disk is full, and what room is left is for records";
            return Err(io::Error::new(ErrorKind::StorageFull, words));
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.reserve(size).is_err() {
            return Ok(Err(NoRoom));
        }
        let name = uuid::Uuid::new_v4().simple().to_string();
        match write(&self.folder, &name, bytes) {
            Ok(()) => Ok(Ok(name)),
            Err(error) => {
                self.taken.fetch_sub(size, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    fn forget_now(&self, name: &str) -> io::Result<()> {
        let Some(path) = self.path(name) else {
            return Ok(());
        };
        let size = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        std::fs::remove_file(&path)?;
        self.taken.fetch_sub(size, Ordering::SeqCst);
        Ok(())
    }
}

/// Writes a file so that a power cut leaves all of it or nothing under its name.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    let partial = path.with_extension(PARTIAL);
    let written = (|| {
        let mut file = File::create_new(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        // The name itself is only durable when its folder is.
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        drop(std::fs::remove_file(&partial));
        drop(std::fs::remove_file(&path));
    }
    written
}

impl Photos for PhotoFolder {
    fn keep(&self, bytes: Bytes) -> BoxFuture<'_, Result<Result<String, NoRoom>, Unavailable>> {
        self.work(move |own| own.keep_now(&bytes))
    }

    fn read(&self, file: String) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>> {
        self.work(move |own| {
            let Some(path) = own.path(&file) else {
                return Ok(None);
            };
            match std::fs::read(path) {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn forget(&self, file: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.work(move |own| own.forget_now(&file))
    }
}

impl PhotoFolder {
    /// Does what may wait for a disk where it keeps nobody else waiting.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Unavailable>> {
        let own = self.clone();
        async move {
            let unavailable = |why: String| Unavailable {
                what: "photos",
                why,
            };
            match tokio::task::spawn_blocking(move || work(own)).await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) => Err(unavailable(error.to_string())),
                Err(error) => Err(unavailable(error.to_string())),
            }
        }
        .boxed()
    }
}

/// Makes the folder and takes out what is half-written; the bytes of the rest.
fn tidy(folder: &Path) -> io::Result<u64> {
    std::fs::create_dir_all(folder)?;
    let mut taken = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == PARTIAL) {
            std::fs::remove_file(entry.path())?;
        } else {
            taken += entry.metadata()?.len();
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(quota: u64) -> (tempfile::TempDir, PhotoFolder) {
        let spare = tempfile::tempdir().unwrap();
        let photos = PhotoFolder::open(spare.path().join("photos"), quota);
        (spare, photos)
    }

    #[tokio::test]
    async fn what_was_kept_is_read_until_it_is_forgotten() {
        let (_spare, photos) = folder(1000);
        let one = photos
            .keep(Bytes::from_static(b"one"))
            .await
            .unwrap()
            .unwrap();
        let two = photos
            .keep(Bytes::from_static(b"one"))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(one, two);
        photos.forget(one.clone()).await.unwrap();
        photos.forget(one.clone()).await.unwrap();
        assert_eq!(photos.read(one).await.unwrap(), None);
        assert_eq!(photos.read(two).await.unwrap().unwrap(), &b"one"[..]);
    }

    #[tokio::test]
    async fn no_name_from_outside_becomes_a_path() {
        let (spare, photos) = folder(1000);
        std::fs::write(spare.path().join("secret"), "secret").unwrap();
        for name in ["../secret", "", ".", "/etc/passwd", &"g".repeat(32)] {
            assert_eq!(photos.read(name.to_owned()).await.unwrap(), None);
            photos.forget(name.to_owned()).await.unwrap();
        }
        assert!(spare.path().join("secret").exists());
    }

    #[tokio::test]
    async fn the_quota_counts_what_was_there_and_half_a_file_goes() {
        let (spare, photos) = folder(10);
        let name = photos
            .keep(Bytes::from_static(b"1234567"))
            .await
            .unwrap()
            .unwrap();
        std::fs::write(spare.path().join("photos").join("x.part"), "half a photo").unwrap();
        let photos = PhotoFolder::open(spare.path().join("photos"), 10);
        assert!(!spare.path().join("photos").join("x.part").exists());
        assert_eq!(
            photos.keep(Bytes::from_static(b"1234")).await.unwrap(),
            Err(NoRoom)
        );
        photos.forget(name).await.unwrap();
        assert!(
            photos
                .keep(Bytes::from_static(b"1234"))
                .await
                .unwrap()
                .is_ok()
        );
    }
}
