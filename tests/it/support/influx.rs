//! A real InfluxDB 2 server on loopback, set up with a token of our own. It must never be shared
//! between tests: each may stop, kill and empty its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::csv::{self, Row};
use super::process::Process;
use super::{Peer, free_port, http, require};

/// The organisation that the set-up makes.
pub(crate) const ORG: &str = "zhiban";
/// The bucket that the set-up makes; it keeps everything.
pub(crate) const BUCKET: &str = "building";
/// The token that may do everything.
pub(crate) const TOKEN: &str = "token-of-the-tests";

/// A server; its data survive `stop`, `kill` and `start_again`.
pub(crate) struct Influx {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    http: reqwest::Client,
    process: Process,
}

impl Influx {
    /// Starts and sets up a server of the test's own, or `None` where none is installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = require(Peer::Influxd)?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = Self::spawn(&program, &folder, port);
        let mut server = Self {
            program,
            folder,
            port,
            http: http(),
            process,
        };
        server.ready().await;
        server.set_up().await;
        Some(server)
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Writes line protocol with nanosecond times; the status and text of the answer.
    pub(crate) async fn write(&self, lines: &str) -> (u16, String) {
        let answer = self
            .http
            .post(format!("{}/api/v2/write", self.url()))
            .query(&[("org", ORG), ("bucket", BUCKET), ("precision", "ns")])
            .header("Authorization", format!("Token {TOKEN}"))
            .body(lines.to_owned())
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Runs a Flux query.
    ///
    /// # Panics
    /// With the server's text, when it refuses the query.
    pub(crate) async fn query(&self, flux: &str) -> Vec<Row> {
        let answer = self
            .http
            .post(format!("{}/api/v2/query", self.url()))
            .query(&[("org", ORG)])
            .header("Authorization", format!("Token {TOKEN}"))
            .header("Content-Type", "application/vnd.flux")
            .header("Accept", "application/csv")
            .body(flux.to_owned())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{status}: {text}\n{flux}");
        csv::rows(&text)
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) {
        self.process.stop().await;
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port with the same data.
    pub(crate) async fn start_again(&mut self) {
        self.process = Self::spawn(&self.program, &self.folder, self.port);
        self.ready().await;
    }

    async fn ready(&mut self) {
        let health = format!("{}/health", self.url());
        let http = self.http.clone();
        self.process
            .ready(async || {
                let answer = http.get(&health).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await;
    }

    async fn set_up(&self) {
        let answer = self
            .http
            .post(format!("{}/api/v2/setup", self.url()))
            .json(&json!({
                "username": "zhiban", "password": "password-of-the-tests",
                "org": ORG, "bucket": BUCKET, "retentionPeriodSeconds": 0, "token": TOKEN,
            }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{:?}", answer.text().await);
    }

    fn spawn(program: &PathBuf, folder: &TempDir, port: u16) -> Process {
        let at = |name: &str| folder.path().join(name);
        Process::start(
            "influxd",
            Command::new(program)
                .arg("--bolt-path")
                .arg(at("b.bolt"))
                .arg("--engine-path")
                .arg(at("engine"))
                .arg("--sqlite-path")
                .arg(at("s.sqlite"))
                .arg("--http-bind-address")
                .arg(format!("127.0.0.1:{port}"))
                .args(["--reporting-disabled", "--log-level", "error"])
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
            &at("log"),
        )
    }
}
