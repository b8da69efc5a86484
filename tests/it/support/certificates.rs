//! Certificates of a test's own, made by openssl. None of them must ever be trusted by anybody else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Peer, require};

/// An authority that exists for one test, and signs for 127.0.0.1.
pub(crate) struct Authority {
    program: PathBuf,
    folder: TempDir,
}

impl Authority {
    /// Makes one, or `None` where openssl is not installed.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let authority = Self {
            program: require(Peer::Openssl)?,
            folder: tempfile::tempdir().unwrap(),
        };
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} \
             -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem"
        ));
        authority.openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
             -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.csr",
        );
        Some(authority)
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server's certificate that is good for so many days, and its key.
    pub(crate) fn sign(&self, days: i32) -> (PathBuf, PathBuf) {
        self.openssl(&format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -copy_extensions copyall -out server.pem"
        ));
        let folder: &Path = self.folder.path();
        (folder.join("server.pem"), folder.join("server.key"))
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new(&self.program)
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }
}
