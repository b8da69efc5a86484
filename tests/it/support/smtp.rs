//! A mail server that nobody here wrote: `tests/smtp/server.py`. Its first lines say what it
//! answers to which address.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::process::Process;
use super::{PATIENCE, Peer, require};

/// A running mail server. It ends with the value.
pub(crate) struct Smtp {
    port: u16,
    mails: mpsc::Receiver<Value>,
    _process: Process,
    _folder: TempDir,
}

impl Smtp {
    /// Starts it with arguments of `server.py`, or returns `None` where it is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let python = require(Peer::Pymodbus)?;
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("smtp/server.py");
        let mut process = Process::start(
            "smtp",
            Command::new(python)
                .arg(script)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
            &folder.path().join("log"),
        );
        let stdout = process.child().stdout.take().unwrap();
        let (sender, mut lines) = mpsc::channel::<String>(100);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let first = tokio::time::timeout(PATIENCE, lines.recv()).await;
        let first = first.ok().flatten().unwrap_or_default();
        let port = first
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("smtp: {first:?}\n{}", process.log()));
        let (sender, mails) = mpsc::channel(100);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if sender
                    .send(serde_json::from_str(&line).unwrap())
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        Some(Self {
            port,
            mails,
            _process: process,
            _folder: folder,
        })
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The next mail it takes.
    pub(crate) async fn mail(&mut self) -> Value {
        let mail = tokio::time::timeout(PATIENCE, self.mails.recv()).await;
        mail.unwrap().unwrap()
    }

    /// Whether it has taken no mail that was not asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.mails.try_recv().is_err()
    }
}
