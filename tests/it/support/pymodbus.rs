//! A Modbus server that nobody here wrote: `tests/pymodbus/server.py`. Its register patterns are
//! in that file's first lines. It must never be given our own encoder.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::Process;
use super::{Peer, require};

/// A running server. It ends with the value.
pub(crate) struct Pymodbus {
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Pymodbus {
    /// Starts it with arguments of `server.py`, or returns `None` where it is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let python = require(Peer::Pymodbus)?;
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("pymodbus/server.py");
        let mut process = Process::start(
            "pymodbus",
            Command::new(python)
                .arg(script)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
            &folder.path().join("log"),
        );
        let stdout = process.child().stdout.take().unwrap();
        let first = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = first.await.unwrap().unwrap();
        let port = line
            .trim()
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("pymodbus: {line:?}\n{}", process.log()));
        Some(Self {
            port,
            process,
            _folder: folder,
        })
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
