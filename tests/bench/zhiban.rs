//! The product under measurement, run as its users run it: a configuration file, its own
//! command line, its HTTP interface. It must never reach into the product's insides.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Program;
use crate::site::USER;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway.
pub(crate) struct Zhiban {
    /// The program.
    pub(crate) program: Program,
    /// Its data.
    pub(crate) data: PathBuf,
    /// Its HTTP interface.
    pub(crate) api: Api,
}

impl Zhiban {
    /// Makes an account for whoever reads, then runs the configuration; returns when it is ready.
    pub(crate) async fn start(binary: &Path, config: &Path, port: u16) -> Result<Self> {
        let token = make_token(binary, config)?;
        let mut zhiban = Self::start_cold(binary, config, port)?;
        zhiban.api.token = token;
        zhiban.answers("/healthz").await?;
        Ok(zhiban)
    }

    /// Runs a configuration and returns at once; nobody is signed in.
    pub(crate) fn start_cold(binary: &Path, config: &Path, port: u16) -> Result<Self> {
        let folder = config.parent().unwrap_or(Path::new("."));
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(config);
        command.stdout(Stdio::null());
        Ok(Self {
            program: Program::start("zhiban run", &mut command, &folder.join("zhiban.log"))?,
            data: folder.join("data"),
            api: Api::new(format!("http://127.0.0.1:{port}"), String::new())?,
        })
    }

    /// Waits until a path answers with success.
    pub(crate) async fn answers(&mut self, path: &str) -> Result<()> {
        let api = &self.api;
        let answers = async || api.get(path).await.is_ok();
        self.program.until(path, PATIENCE, answers).await
    }
}

/// The HTTP interface of a gateway, for one user.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Api {
    /// The interface at this address.
    pub(crate) fn new(base: String, token: String) -> Result<Self> {
        let http = http()?;
        Ok(Self { base, token, http })
    }

    /// Asks for something; the answer may still be coming.
    pub(crate) async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer)
    }

    /// The value of a point; `null` while it has none.
    pub(crate) async fn value(&self, asset: &str, point: &str) -> Result<Value> {
        let answer = self.get(&format!("/api/v1/assets/{asset}/points")).await?;
        let mut body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let items = body.get_mut("items").and_then(Value::as_array_mut);
        let items = items.context("a list of points without items")?;
        let key = format!("{asset}/{point}");
        let mut points = items.iter_mut();
        let found = points.find(|item| item.get("key").and_then(Value::as_str) == Some(&*key));
        let value = found.and_then(|item| item.get_mut("value"));
        Ok(value.map(Value::take).unwrap_or_default())
    }
}

/// A client that never waits for ever and never keeps what the next start must do anew.
pub(crate) fn http() -> Result<reqwest::Client> {
    // Somebody else in this process may have been first, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().connect_timeout(PATIENCE);
    Ok(client.read_timeout(PATIENCE).build()?)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn make_token(binary: &Path, config: &Path) -> Result<String> {
    let config = config.to_str().context("a path that is no text")?;
    command(
        binary,
        &["user", "add", "--config", config, USER],
        "slate orchard kettle 91\n",
    )?;
    let printed = command(binary, &["token", "add", "--config", config, USER], "")?;
    let token = printed.split_whitespace().last();
    Ok(token.context("no token was printed")?.to_owned())
}

fn command(binary: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut stdin, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "zhiban {}: {said}",
        arguments.join(" ")
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
