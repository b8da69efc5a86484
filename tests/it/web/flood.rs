//! Connections without end: the page, the devices and the broker stay reachable.

use super::{Page, address, connect, demo};
use crate::support::{PATIENCE, http, wait_until};
use serde_json::Value;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What this process may have open; the connections get at most half. The demo itself has about 60
/// open, a few more when all its readers of the records are busy, which must fit into a quarter.
const DESCRIPTORS: u32 = 320;

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let (mut demo, place) = demo(Some(DESCRIPTORS)).await;
    let to = address(&place);
    let token = place["token"].as_str().unwrap();
    let mut held = Vec::new();
    for n in 0..420_u16 {
        let from = [127, 0, 1, u8::try_from(n % 14 + 1).unwrap()];
        held.push(connect(from, to).await.unwrap());
    }
    // From a new address, and from one that holds as many as it can get.
    let url = place["dashboard"].as_str().unwrap();
    let page = http().get(format!("{url}/readyz")).send().await.unwrap();
    assert!(page.status().is_success(), "{page:?}");
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", demo.id()))
            .unwrap()
            .count()
    };
    let open = descriptors();
    assert!(open < DESCRIPTORS as usize * 3 / 4, "{open} descriptors");

    // Devices on both protocols are read on.
    let since = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
    for asset in ["A1", "BW1"] {
        let points = format!("{url}/api/v1/assets/{asset}/points");
        wait_until(PATIENCE, "a newer value", async || {
            let answer = http().get(&points).bearer_auth(token).send().await.unwrap();
            if !answer.status().is_success() {
                panic!("{asset}: {answer:?}");
            }
            let points: Value = answer.json().await.unwrap();
            points["items"].as_array().unwrap().iter().any(|point| {
                let at = point["at"]
                    .as_str()
                    .and_then(|at| at.parse::<chrono::DateTime<chrono::Utc>>().ok());
                at.is_some_and(|at| at > since)
            })
        })
        .await;
    }
    let metrics = http().get(format!("{url}/metrics")).bearer_auth(token);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let closed = "zhiban_http_connections_closed_total{reason=\"limit\"}";
    assert!(metrics.contains(closed), "{metrics}");
    assert!(demo.log().contains("LimitNOFILE"), "{}", demo.log());
    drop(held);
    assert!(demo.stop().await.success());
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_its_idle_ones_make_room() {
    let page = Page::start("max_connections_per_address = 8", &[]).await;
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(connect([127, 0, 0, 1], page.address).await.unwrap());
    }
    let health = http().get(page.url("/healthz")).send().await.unwrap();
    assert!(health.status().is_success());
    // The first ones were closed, and long before they took too long over their request.
    let closed = held[0].read_u8().await;
    assert!(closed.is_err());
    let log = page.gateway.log();
    assert!(log.contains("http.max_connections_per_address"), "{log}");
    assert_eq!(
        log.matches("holds 8 connections").count(),
        1,
        "said once: {log}"
    );
}

#[tokio::test]
async fn requests_that_never_end_keep_nobody_out() {
    let page = Page::start("max_connections_per_address = 8", &[]).await;
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut half = connect([127, 0, 0, 1], page.address).await.unwrap();
        let head = "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 9000\r\nExpect: 100-continue\r\n\r\n{";
        // One that had to make room before this is written takes nothing.
        drop(half.write_all(head.as_bytes()).await);
        // The answer to `Expect` says that the gateway reads the body.
        drop(half.read_u8().await);
        held.push(half);
        let health = http().get(page.url("/healthz")).send().await;
        let health = health.unwrap_or_else(|error| panic!("after {}: {error:?}", held.len()));
        assert!(health.status().is_success(), "{health:?}");
    }
}
