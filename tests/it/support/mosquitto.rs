//! A real Mosquitto broker on loopback with persistent sessions. It must never drop a queued
//! message for want of room: the tests count them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::{Process, accepts};
use super::{Peer, free_port, require};

/// A broker; its sessions and queued messages survive `stop` and `start_again`.
pub(crate) struct Mosquitto {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Process,
}

impl Mosquitto {
    /// So many messages it sends before it must have an answer to the first.
    pub(crate) const WINDOW: u16 = 200;

    /// Starts a broker of the test's own, or `None` where none is installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with("").await
    }

    /// Starts one that loses nothing when it is killed, for the price of a few hundred messages
    /// a second.
    pub(crate) async fn start_saving_each_change() -> Option<Self> {
        Self::start_with("autosave_on_changes true\nautosave_interval 1\n").await
    }

    /// Starts one that only speaks encrypted, with this certificate and key.
    pub(crate) async fn start_encrypted(certificate: &Path, key: &Path) -> Option<Self> {
        let (certificate, key) = (certificate.display(), key.display());
        Self::start_with(&format!("certfile {certificate}\nkeyfile {key}\n")).await
    }

    /// Starts one that knows one user; whoever gives none is let in.
    pub(crate) async fn start_knowing(user: &str, password: &str) -> Option<Self> {
        require(Peer::Mosquitto)?;
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(file.path())
            .args([user, password])
            .status();
        assert!(made.unwrap().success(), "mosquitto_passwd failed");
        Self::start_with(&format!("password_file {}\n", file.path().display())).await
    }

    async fn start_with(more: &str) -> Option<Self> {
        let program = require(Peer::Mosquitto)?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        // As root it would give up its rights, and with them the right to its folder.
        let conf = format!(
            "user root\n\
             listener {port} 127.0.0.1\n\
             allow_anonymous true\n\
             persistence true\n\
             persistence_location {}/\n\
             max_queued_messages 0\n\
             max_inflight_messages {}\n\
             set_tcp_nodelay true\n\
             {more}",
            folder.path().display(),
            Self::WINDOW
        );
        std::fs::write(folder.path().join("mosquitto.conf"), conf).unwrap();
        let process = Self::spawn(&program, &folder);
        let mut broker = Self {
            program,
            folder,
            port,
            process,
        };
        broker.ready().await;
        Some(broker)
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Stops it in order: what it holds is on disk.
    pub(crate) async fn stop(&mut self) {
        self.process.stop().await;
    }

    /// Kills it: what it held since its last save (30 minutes) is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port with the same data.
    pub(crate) async fn start_again(&mut self) {
        self.process = Self::spawn(&self.program, &self.folder);
        self.ready().await;
    }

    async fn ready(&mut self) {
        let port = self.port;
        self.process.ready(async || accepts(port).await).await;
    }

    fn spawn(program: &PathBuf, folder: &TempDir) -> Process {
        Process::start(
            "mosquitto",
            Command::new(program)
                .arg("-c")
                .arg(folder.path().join("mosquitto.conf"))
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
            &folder.path().join("log"),
        )
    }
}
