//! Devices that do nothing but report faults by MQTT: each pair of device and kind of fault is one
//! message and must become one work order. Nothing here knows the gateway from inside.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use sqlx::{Connection as _, SqliteConnection};

/// So many devices with so many kinds of fault each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beacons {
    pub(crate) devices: usize,
    pub(crate) faults: usize,
}

impl Beacons {
    /// How many orders there must be in the end.
    pub(crate) fn all(self) -> i64 {
        i64::try_from(self.devices * self.faults).unwrap()
    }

    /// Writes the configuration `gateway.toml` with its profile and rules into a folder.
    pub(crate) fn configure(self, folder: &Path, broker: u16, more: &str) {
        let mut text = format!(
            r#"[site]
code = "kill"
name = {{ zh = "试验", en = "Test" }}
[link.broker]
mqtt = {{ host = "127.0.0.1", port = {broker} }}
{more}
"#
        );
        for device in 0..self.devices {
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
        let profile = folder.join("profiles/beacon/beacon.toml");
        std::fs::write(profile, self.profile()).unwrap();
        std::fs::write(folder.join("alarms/beacon.toml"), self.rules()).unwrap();
    }

    /// A profile with one flag for each kind of fault.
    fn profile(self) -> String {
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
        for fault in 0..self.faults {
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

    /// One rule and one family for each kind of fault. Every other one waits, so that some are
    /// between an acknowledgement and the end of a delay whenever something happens.
    fn rules(self) -> String {
        let mut text = String::from("class = \"beacon\"\n");
        for fault in 0..self.faults {
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

    /// Sends every fault of these kinds once, spread over a time, and waits until the broker has
    /// them all.
    pub(crate) async fn publish(
        self,
        port: u16,
        kinds: std::ops::Range<usize>,
        paced_over: Duration,
    ) {
        let mut options = MqttOptions::new("devices", "127.0.0.1", port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 64);
        let parts = 10.min(self.devices);
        let pause = paced_over / u32::try_from(kinds.len() * parts).unwrap();
        let all = kinds.len() * self.devices;
        let sender = async {
            let mut ticks = tokio::time::interval(pause);
            for fault in kinds {
                for device in 0..self.devices {
                    if device % (self.devices / parts) == 0 {
                        ticks.tick().await;
                    }
                    let now = chrono::Utc::now().timestamp_millis();
                    let payload = format!(r#"{{"ts":{now},"f{fault}":true}}"#);
                    let topic = format!("kill/{device}");
                    let sent = client.publish(topic, QoS::AtLeastOnce, false, payload);
                    sent.await.unwrap();
                }
            }
        };
        let poller = async {
            let mut acknowledged = 0;
            while acknowledged < all {
                match events.poll().await.unwrap() {
                    Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
                    Event::Incoming(_)
                    | Event::Outgoing(Outgoing::Publish(_))
                    | Event::Outgoing(_) => {}
                }
            }
        };
        tokio::join!(sender, poller);
    }

    /// Each fault has exactly one order with its alarm, of which somebody was to be told.
    pub(crate) async fn assert_exactly_once(self, db: &Path) {
        let all = self.all();
        let pairs = "select count(*) from (select distinct asset, fault_family from work_order)";
        assert_eq!(count(db, pairs).await, all, "each fault has an order");
        let orders = "select count(*) from work_order";
        assert_eq!(count(db, orders).await, all, "and only one");
        assert_eq!(count(db, "select count(*) from alarm").await, all);
        let distinct = "select count(distinct asset || rule) from alarm";
        assert_eq!(count(db, distinct).await, all);
        let orphans = "select count(*) from alarm a left join work_order w on w.no = a.work_order where w.no is null";
        assert_eq!(count(db, orphans).await, 0, "no alarm without its order");
        let untold = "select count(*) from work_order w left join notification n on n.work_order = w.no where n.id is null";
        let untold = count(db, untold).await;
        assert_eq!(untold, 0, "no order that nobody was to be told of");
        let twice = "select count(*) from work_order where occurrences <> 1";
        assert_eq!(count(db, twice).await, 0);
    }
}

/// A number out of a record store that a gateway may be working on.
pub(crate) async fn count(db: &Path, sql: &'static str) -> i64 {
    try_count(db, sql).await.unwrap()
}

/// The same, where it may be that the store cannot be read now: a reader needs room on the disk, too.
pub(crate) async fn try_count(db: &Path, sql: &'static str) -> Result<i64, sqlx::Error> {
    let url = format!("sqlite://{}?mode=ro", db.display());
    let mut connection = SqliteConnection::connect(&url).await?;
    sqlx::query_scalar(sql).fetch_one(&mut connection).await
}
