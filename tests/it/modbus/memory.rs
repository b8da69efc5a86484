//! Memory: a gateway that reads on and on, and whose page is guessed at, takes no more for it.

use super::site::{Running, Site};
use super::*;
use crate::support::http;

/// Reads that are made before it is looked at, each of a hundred registers: two million samples. One
/// word that is kept of each would be 16 MiB.
const READS: f64 = 20_000.0;
/// Reads after which everything that is taken once is taken.
const WARM: f64 = 2_000.0;
const MIB: u64 = 1024;
/// The most that the process may have of its own in the end: twice what a debug build has, 23 MiB. A
/// password takes 19 MiB while it is looked at.
const MOST: u64 = 46 * MIB;
/// The most that reading on may add: a debug build adds 1.
const MORE: u64 = 8 * MIB;

/// A figure of the process, of its own memory in KiB.
fn figure(running: &Running, name: &str) -> u64 {
    let status = format!("/proc/{}/status", running.gateway.id());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.unwrap().trim_start_matches(':').split_whitespace();
    figure.into_iter().next().unwrap().parse().unwrap()
}

async fn until_read(running: &Running, reads: f64) {
    wait_until(PATIENCE, "so many reads", async || {
        running.metric("zhiban_modbus_requests_total").await >= reads
    })
    .await;
}

/// Twelve wrong passwords, each from another address so that none has to wait.
async fn guess(running: &Running) {
    for n in 0..12 {
        let body = serde_json::json!({ "username": format!("user{n}"), "password": "wrong" });
        let answer = http()
            .post(format!("{}/api/v1/session", running.url))
            .header("x-forwarded-for", format!("198.51.100.{n}"))
            .json(&body);
        assert_eq!(answer.send().await.unwrap().status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_on_and_wrong_passwords_take_no_more_memory() {
    let addresses: Vec<u16> = (0..100).collect();
    let mut site = Site::new(&addresses, "trusted_proxies = [\"127.0.0.1\"]");
    let mut lines = Vec::new();
    for place in 0..4 {
        let peer = Peer::start(Framing::Tcp, |asked| Reply::Now(asked.right())).await;
        site.line(&format!("line{place}"), Framing::Tcp, peer.port(), 8);
        lines.push(peer);
    }
    let mut running = site.start().await;
    until_read(&running, WARM).await;
    let (before, threads) = (figure(&running, "RssAnon"), figure(&running, "Threads"));
    until_read(&running, READS).await;
    let after = figure(&running, "RssAnon");
    assert_eq!(running.good("line3-8").await, 100);
    assert!(
        after < before + MORE,
        "{before} KiB at first, then {after} KiB"
    );
    // Only now: the room of a password may stay for others, and would hide what reading takes.
    guess(&running).await;
    let after = figure(&running, "RssAnon");
    assert!(after < MOST, "{after} KiB of its own");
    let now = figure(&running, "Threads");
    assert!(now <= threads + 4, "{threads} threads at first, then {now}");
    assert!(running.gateway.stop().await.success());
}
