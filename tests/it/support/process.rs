//! A server process of a test: its log in a file, its end on every path. It must never outlive
//! the value that started it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{PATIENCE, wait_until};

/// A running or ended child process.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its standard error added to the log, and its standard output too
    /// unless the caller has piped it.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        }
    }

    /// The child, to take its pipes.
    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        match std::fs::read(&self.log) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{}: {error}", self.log.display()),
        }
    }

    /// Its exit status once it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// With its log, when it ends or is not ready in time.
    pub(crate) async fn ready(&mut self, mut is_ready: impl AsyncFnMut() -> bool) {
        let what = format!("{} to be ready", self.name);
        wait_until(PATIENCE, &what, async || {
            if let Some(status) = self.ended() {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            is_ready().await
        })
        .await;
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.stop_within(PATIENCE).await
    }

    /// Asks it to stop (SIGTERM) and waits for its end so long.
    pub(crate) async fn stop_within(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        let what = format!("{} to stop", self.name);
        wait_until(limit, &what, async || self.ended().is_some()).await;
        self.ended().unwrap()
    }

    /// Sends a signal by its name without SIG; an ended process gets none.
    pub(crate) fn signal(&mut self, signal: &str) {
        if self.ended().is_none() {
            let pid = self.id().to_string();
            let status = Command::new("sh")
                .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid])
                .status()
                .unwrap();
            assert!(status.success(), "SIG{signal} to {} failed", self.name);
        }
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) {
        // An error says that it had ended already.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether somebody accepts connections on this loopback port.
pub(crate) async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_ok()
}
