//! The web server under those who mean it harm, with the program as it is started: connections without end, bodies that
//! do not come, passwords that are guessed. It must never measure time where a count or a bound says the same.

mod bodies;
mod flood;
mod guessing;
mod memory;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::zhiban::{Zhiban, program};
use crate::support::{free_port, http};

const PASSWORD: &str = "lamps over the river";

/// A gateway of nothing but the page, with accounts.
struct Page {
    gateway: Zhiban,
    address: SocketAddr,
    file: PathBuf,
    _folder: TempDir,
}

impl Page {
    /// Starts it with these lines in `[http]` and these users.
    async fn start(lines: &str, users: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = folder.path().join("gateway.toml");
        let text = format!(
            "[site]\ncode = \"harbour\"\nname = {{ zh = \"海港大厦\", en = \"Harbour Tower\" }}\n\
             [http]\nlisten = \"{address}\"\n{lines}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut gateway = Zhiban::start(&["run", "--config", file.to_str().unwrap()]);
        gateway.answers(&format!("http://{address}/healthz")).await;
        for user in users {
            let added = account(&file, &["user", "add", user], PASSWORD);
            assert!(added.status.success(), "{added:?}");
        }
        Self {
            gateway,
            address,
            file,
            _folder: folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Tries to sign in with these headers: the status, and the cookies to send the next time.
    async fn sign_in(&self, user: &str, password: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let body = json!({ "username": user, "password": password });
        let mut request = http().post(self.url("/api/v1/session")).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies.map(|one| one.to_str().unwrap().split(';').next().unwrap());
        let cookies: Vec<&str> = cookies.collect();
        (answer.status().as_u16(), cookies.join("; "))
    }
}

/// Runs a command about accounts with a password on standard input.
fn account(file: &Path, arguments: &[&str], password: &str) -> std::process::Output {
    use std::io::Write;
    let mut child = std::process::Command::new(program())
        .args(arguments)
        .args(["--config", file.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(password.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// A demo and where it is.
async fn demo(descriptors: Option<u32>) -> (Zhiban, Value) {
    let arguments = ["demo", "--json", "--listen", "127.0.0.1:0"];
    let mut demo = match descriptors {
        None => Zhiban::start(&arguments),
        Some(limit) => Zhiban::start_with_descriptors(limit, &arguments),
    };
    let said = demo.first_line().await;
    (demo, serde_json::from_str(&said).unwrap())
}

/// The address of a demo's page.
fn address(demo: &Value) -> SocketAddr {
    let url = demo["dashboard"].as_str().unwrap();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A connection from one of the loopback addresses.
async fn connect(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}
