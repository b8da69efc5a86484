//! The promise that matters most: an acknowledged fault has exactly one order, whatever dies.
//!
//! The daemon is killed a hundred times at random while faults come through a real Mosquitto at
//! QoS 1. What the broker took from the devices and the daemon acknowledged is an obligation.

use crate::support::mosquitto::Mosquitto;
use crate::support::wait_until;
use crate::support::zhiban::Zhiban;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use sqlx::{Connection as _, SqliteConnection};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Devices, and kinds of fault of each: every pair is one fault message and must become one order.
const DEVICES: usize = 1000;
const FAULTS: usize = 20;
const KILLS: usize = 100;

/// A profile with one flag for each kind of fault.
fn profile() -> String {
    let mut text = String::from(
        r#"id = "beacon"
class = "beacon"
title = { zh = "信标", en = "Beacon" }
trust = "bench"
source = "made for this test"

[mqtt]
period = "1h"
time = { pointer = "/ts", format = "unix_ms" }
"#,
    );
    for fault in 0..FAULTS {
        write!(
            text,
            r#"
[[point]]
point = "f{fault}"
name = {{ zh = "故障 {fault}", en = "Fault {fault}" }}
kind = "flag"
mqtt = {{ topic = "{{topic}}", read = {{ json = "/f{fault}" }} }}
example = {{ payload = '{{"ts":0,"f{fault}":true}}', value = true }}
"#
        )
        .unwrap();
    }
    text
}

/// One rule and one family for each kind of fault. Every other one waits, so that many a daemon
/// dies between an acknowledgement and the end of a delay.
fn rules() -> String {
    let mut text = String::from("class = \"beacon\"\n");
    for fault in 0..FAULTS {
        let delay = 300 * (fault % 2);
        write!(
            text,
            r#"
[[rule]]
id = "f{fault}"
family = "f{fault}"
priority = 2
title = {{ zh = "故障 {fault}", en = "Fault {fault}" }}
cause = {{ zh = "试验", en = "Test" }}
consequence = {{ zh = "试验", en = "Test" }}
action = {{ zh = "试验", en = "Test" }}
when = {{ flag = {{ point = "f{fault}" }} }}
on_delay = "{delay}ms"
due = "1h"
"#
        )
        .unwrap();
    }
    text
}

fn config(folder: &Path, broker: u16) {
    let mut text = format!(
        r#"[site]
code = "kill"
name = {{ zh = "试验", en = "Test" }}
[http]
listen = "127.0.0.1:0"
[link.broker]
mqtt = {{ host = "127.0.0.1", port = {broker} }}
"#
    );
    for device in 0..DEVICES {
        write!(
            text,
            "[[asset]]\ncode = \"D{device}\"\nname = {{ zh = \"D{device}\", en = \"D{device}\" }}\n\
             profile = \"beacon\"\nlink = \"broker\"\ntopic = \"kill/{device}\"\n"
        )
        .unwrap();
    }
    std::fs::create_dir_all(folder.join("profiles/beacon")).unwrap();
    std::fs::create_dir_all(folder.join("alarms")).unwrap();
    std::fs::write(folder.join("gateway.toml"), text).unwrap();
    std::fs::write(folder.join("profiles/beacon/beacon.toml"), profile()).unwrap();
    std::fs::write(folder.join("alarms/beacon.toml"), rules()).unwrap();
}

/// Sends every fault once, at the pace of the kills, and waits until the broker has them all.
async fn publish(port: u16, paced_over: Duration) {
    let mut options = MqttOptions::new("devices", "127.0.0.1", port);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 64);
    let pause = paced_over / u32::try_from(FAULTS * 10).unwrap();
    let sender = async {
        let mut ticks = tokio::time::interval(pause);
        for fault in 0..FAULTS {
            for device in 0..DEVICES {
                if device % (DEVICES / 10) == 0 {
                    ticks.tick().await;
                }
                let payload = format!(
                    r#"{{"ts":{},"f{fault}":true}}"#,
                    chrono::Utc::now().timestamp_millis()
                );
                client
                    .publish(format!("kill/{device}"), QoS::AtLeastOnce, false, payload)
                    .await
                    .unwrap();
            }
        }
    };
    let poller = async {
        let mut acknowledged = 0;
        while acknowledged < DEVICES * FAULTS {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
                Event::Incoming(_) | Event::Outgoing(Outgoing::Publish(_)) | Event::Outgoing(_) => {
                }
            }
        }
    };
    tokio::join!(sender, poller);
}

async fn count(db: &Path, sql: &'static str) -> i64 {
    let url = format!("sqlite://{}?mode=ro", db.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

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
    config(folder.path(), broker.port());
    let file = folder.path().join("gateway.toml");
    let file = file.to_str().unwrap();
    let db = folder.path().join("data/core.db");

    // The session must exist before the first fault, or the broker has nobody to keep it for.
    let mut first = start(file);
    wait_until(Duration::from_secs(30), "the subscription", async || {
        first.log().contains("subscribed")
    })
    .await;
    first.kill();

    let publisher = tokio::spawn(publish(broker.port(), Duration::from_secs(45)));
    kill_at_random(file).await;
    publisher.await.unwrap();

    let last = start(file);
    let all = i64::try_from(DEVICES * FAULTS).unwrap();
    all_orders(&db, all, &last).await;
    let pairs = "select count(*) from (select distinct asset, fault_family from work_order)";
    assert_eq!(
        count(&db, pairs).await,
        all,
        "each fault has an order; {}",
        last.log()
    );
    assert_eq!(
        count(&db, "select count(*) from work_order").await,
        all,
        "and only one"
    );
    assert_eq!(count(&db, "select count(*) from alarm").await, all);
    assert_eq!(
        count(&db, "select count(distinct asset || rule) from alarm").await,
        all
    );
    let orphans = "select count(*) from alarm a left join work_order w on w.no = a.work_order where w.no is null";
    assert_eq!(count(&db, orphans).await, 0, "no alarm without its order");
    let untold = "select count(*) from work_order w left join notification n on n.work_order = w.no where n.id is null";
    assert_eq!(
        count(&db, untold).await,
        0,
        "no order that nobody was to be told of"
    );
    assert_eq!(
        count(
            &db,
            "select count(*) from work_order where occurrences <> 1"
        )
        .await,
        0
    );
}
