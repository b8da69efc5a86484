//! The promise that matters most: an acknowledged fault has exactly one order, whatever dies.
//!
//! The daemon is killed a hundred times at random while faults come through a real Mosquitto at
//! QoS 1. What the broker took from the devices and the daemon acknowledged is an obligation.

use crate::support::beacon::{Beacons, count};
use crate::support::mosquitto::Mosquitto;
use crate::support::wait_until;
use crate::support::zhiban::Zhiban;
use std::path::Path;
use std::time::{Duration, Instant};

const BEACONS: Beacons = Beacons {
    devices: 1000,
    faults: 20,
};
const KILLS: usize = 100;

fn start(config: &str) -> Zhiban {
    Zhiban::start(&[
        "--log",
        "warn,zhiban::drivers=info",
        "run",
        "--config",
        config,
    ])
}

/// Starts the daemon and kills it, again and again.
async fn kill_at_random(file: &str) {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..KILLS {
        let mut daemon = start(file);
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let life = Duration::from_millis(30 + seed % 800);
        tokio::time::timeout(life, std::future::pending::<()>())
            .await
            .unwrap_err();
        daemon.kill();
    }
}

/// Waits until every fault has an order.
async fn all_orders(db: &Path, all: i64, daemon: &Zhiban) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    loop {
        looks.tick().await;
        let have = count(db, "select count(*) from work_order").await;
        if have >= all {
            break;
        }
        let late = Instant::now() > deadline;
        assert!(
            !late,
            "{have} of {all} faults have an order\n{}",
            daemon.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_lose_and_double_nothing() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    BEACONS.configure(
        folder.path(),
        broker.port(),
        "[http]\nlisten = \"127.0.0.1:0\"",
    );
    let file = folder.path().join("gateway.toml");
    let file = file.to_str().unwrap();
    let db = folder.path().join("data/core.db");

    // The session must exist before the first fault, or the broker has nobody to keep it for.
    let mut first = start(file);
    wait_until(crate::support::PATIENCE, "the subscription", async || {
        first.log().contains("subscribed")
    })
    .await;
    first.kill();

    let sent = BEACONS.publish(broker.port(), 0..BEACONS.faults, Duration::from_secs(45));
    let publisher = tokio::spawn(sent);
    kill_at_random(file).await;
    publisher.await.unwrap();

    let last = start(file);
    all_orders(&db, BEACONS.all(), &last).await;
    BEACONS.assert_exactly_once(&db).await;
}
