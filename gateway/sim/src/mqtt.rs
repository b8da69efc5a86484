//! The assets on MQTT: each a client with its own last will, telling telemetry, events and its status.
//! The task that polls a connection never waits for room to send.

pub(crate) mod broker;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, sleep};
use tracing::{debug, warn};

use crate::asset::Asset;
use crate::building::Shared;
use crate::rng::Rng;
use crate::world::Change;

const ASSETS: [Asset; 4] = [Asset::Booster, Asset::Sump(0), Asset::Sump(1), Asset::Tank];
const PACKET_LIMIT: usize = 1 << 20;
const REQUESTS: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(2);
/// Events kept while the broker is away; the oldest give way and are counted.
const MAX_EVENTS: usize = 256;

/// The broker to connect to.
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Name and password.
    pub(crate) sign_in: Option<(String, String)>,
}

impl Target {
    /// A broker on this machine that asks for no name.
    pub(crate) fn local(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            sign_in: None,
        }
    }
}

/// Starts the clients of all assets on MQTT.
pub(crate) fn spawn(shared: &Arc<Shared>, target: &Target) {
    for (number, asset) in ASSETS.into_iter().enumerate() {
        let code = asset.code();
        let id = format!("building-{code}");
        let mut options = MqttOptions::new(id, target.host.clone(), target.port);
        options
            .set_clean_session(false)
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(PACKET_LIMIT, PACKET_LIMIT)
            .set_last_will(LastWill::new(
                topic(code, "status"),
                "offline",
                QoS::AtLeastOnce,
                true,
            ));
        if let Some((name, password)) = &target.sign_in {
            options.set_credentials(name, password);
        }
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let (connected, connection) = watch::channel(false);
        let jitter = Rng::new(now_ms(), number as u64);
        let publisher = Publisher {
            asset,
            client,
            shared: Arc::clone(shared),
            started: now_ms(),
            messages: 0,
            events: VecDeque::new(),
            lost: 0,
        };
        let polling = Arc::clone(shared);
        shared.tracker.spawn(async move {
            tokio::select! {
                () = polling.cancel.cancelled() => {}
                () = poll(events, connected, jitter) => {}
            }
        });
        shared.tracker.spawn(publisher.run(connection));
    }
}

/// Drives one connection for ever, with back-off.
async fn poll(mut events: EventLoop, connected: watch::Sender<bool>, mut jitter: Rng) {
    let mut pause = BACK_OFF;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                pause = BACK_OFF;
                connected.send_replace(true);
            }
            Ok(Event::Incoming(_) | Event::Outgoing(_)) => {}
            Err(error) => {
                debug!(%error, "connection to the broker lost");
                connected.send_replace(false);
                sleep(pause.mul_f64(jitter.between(0.5, 1.0))).await;
                pause = (pause * 2).min(BACK_OFF_LIMIT);
            }
        }
    }
}

/// What one asset tells.
struct Publisher {
    asset: Asset,
    client: AsyncClient,
    shared: Arc<Shared>,
    started: u64,
    messages: u64,
    events: VecDeque<Value>,
    lost: u64,
}

impl Publisher {
    async fn run(mut self, mut connection: watch::Receiver<bool>) {
        let mut changes = self.shared.changes.subscribe();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let cancel = self.shared.cancel.clone();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *connection.borrow() {
                        self.publish("status", true, "online".to_owned());
                    }
                }
                change = changes.recv() => match change {
                    Ok(change) if change.asset == self.asset => self.note(change),
                    Ok(_) => continue,
                    Err(RecvError::Lagged(lost)) => self.lost += lost,
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => {}
            }
            if *connection.borrow() {
                self.tell();
            }
        }
    }

    /// Sends what waits, and the telemetry of this moment.
    fn tell(&mut self) {
        while let Some(event) = self.events.pop_front() {
            if !self.publish("event", false, event.to_string()) {
                self.events.push_front(event);
                break;
            }
        }
        let mut telemetry = self.shared.world().telemetry(self.asset);
        if let Value::Object(fields) = &mut telemetry {
            fields.insert("ts".to_owned(), json!(now_ms()));
            fields.insert("seq".to_owned(), json!(self.messages));
        }
        self.messages += 1;
        self.publish("telemetry", false, telemetry.to_string());
    }

    fn note(&mut self, change: Change) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.lost += 1;
            warn!(lost = self.lost, "events of {} lost", self.asset.code());
        }
        self.messages += 1;
        // "mains" is good when it is true; all other flags are bad.
        let active = change.value != (change.flag == "mains");
        let (zh, en) = text(change.flag);
        self.events.push_back(json!({
            "id": format!("{}-{}-{}", self.asset.code(), self.started, self.messages),
            "ts": now_ms(),
            "event": change.flag,
            "active": active,
            "flags": { change.flag: change.value },
            "text": { "zh": zh, "en": en },
        }));
    }

    /// Hands a message to the connection; false if it has no room.
    fn publish(&self, kind: &str, retain: bool, payload: String) -> bool {
        let topic = topic(self.asset.code(), kind);
        let sent = self
            .client
            .try_publish(topic, QoS::AtLeastOnce, retain, payload);
        if let Err(error) = &sent {
            debug!(%error, kind, "not sent");
        }
        sent.is_ok()
    }
}

fn topic(code: &str, kind: &str) -> String {
    format!("building/{code}/{kind}")
}

/// What people read about an event, in Chinese and English.
fn text(flag: &str) -> (&'static str, &'static str) {
    match flag {
        "pump1_fault" => ("1号泵故障", "Pump 1 fault"),
        "pump2_fault" => ("2号泵故障", "Pump 2 fault"),
        "pump3_fault" => ("3号泵故障", "Pump 3 fault"),
        "dry_run" => ("缺水停泵", "Stopped: no water at the inlet"),
        "high_level" => ("高水位", "High level"),
        "high_high" => ("超高水位", "Very high level"),
        "low_low" => ("超低水位", "Very low level"),
        "mains" => ("主电源断电", "Mains lost"),
        _ => ("状态变化", "State changed"),
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
