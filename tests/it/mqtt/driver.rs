//! The driver under test with the engine played by the test, and a device that publishes. It must
//! never pretend to be a broker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zhiban::drivers::memory::Memory;
use zhiban::drivers::{Device, DriverContext, MqttLink, mqtt};
use zhiban::engine::{Delivery, EngineHandle, Message};
use zhiban::health::Board;
use zhiban_core::profile::Profile;
use zhiban_core::{AssetId, Input, LinkState, PointId, SampleBatch, Value};
use zhiban_dashboard::ports::Health;

use crate::support::{PATIENCE, wait_until};

const PROFILE: &str = r#"
id = "test"
class = "pump"
title = { zh = "泵", en = "pump" }
trust = "bench"
source = "test"
[mqtt]
period = "10s"
availability = { topic = "{topic}/online", online = "1", offline = "0" }
[[point]]
point = "number"
name = { zh = "数", en = "number" }
kind = "counter"
mqtt = { topic = "{topic}/state", read = { json = "/n" } }
[[point]]
point = "text"
name = { zh = "文", en = "text" }
kind = "text"
mqtt = { topic = "{topic}/text", read = "raw" }
"#;

/// The first is P7 with points from 70 on, the next P8 from 80 on.
fn device(number: u8, topic: &str) -> Device {
    let profile: Profile = toml::from_str(PROFILE).unwrap();
    Device {
        asset: AssetId(u32::from(number)),
        code: format!("P{number}"),
        decoders: profile.decoders(),
        profile: Arc::new(profile),
        first_point: PointId(10 * u32::from(number)),
        unit: 0,
        life_safety: false,
        topic: topic.to_owned(),
    }
}

/// A link as it is usual.
pub(super) fn plain(port: u16) -> MqttLink {
    MqttLink {
        host: "127.0.0.1".to_owned(),
        port,
        client_id: "zhiban-test".to_owned(),
        credentials: None,
        keep_alive: zhiban_core::Duration::from_secs(5),
        tls: None,
    }
}

/// A running driver and the engine's end of its queue.
pub(super) struct Driver {
    /// The name of its link.
    pub(super) name: String,
    pub(super) board: Arc<Board>,
    messages: Receiver<Message>,
    waiting: VecDeque<Input>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What the played engine takes at a time.
pub(super) enum Taken {
    Inputs(Vec<Input>),
    Delivery(Delivery),
}

impl Driver {
    pub(super) fn start(port: u16, topic: &str) -> Self {
        Self::start_on(plain(port), topic)
    }

    pub(super) fn start_on(link: MqttLink, topic: &str) -> Self {
        Self::remembering(link, topic, Memory::default())
    }

    pub(super) fn of_several(link: MqttLink, topics: &[&str]) -> Self {
        Self::with(link, topics, Memory::default())
    }

    pub(super) fn remembering(link: MqttLink, topic: &str, memory: Memory) -> Self {
        Self::with(link, &[topic], memory)
    }

    fn with(link: MqttLink, topics: &[&str], memory: Memory) -> Self {
        let (engine, messages) = EngineHandle::channel();
        let stop = CancellationToken::new();
        let board = Arc::new(Board::default());
        let name = format!("test-{}", link.port);
        let context = DriverContext {
            link: name.clone(),
            engine,
            memory,
            board: board.clone(),
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        let devices = (7..)
            .zip(topics)
            .map(|(number, topic)| device(number, topic));
        tasks.spawn(mqtt::run(context, link, devices.collect()));
        Self {
            name,
            board,
            messages,
            waiting: VecDeque::new(),
            stop,
            tasks,
        }
    }

    /// Waits until its line on the board says that all is well, or until it says so.
    pub(super) async fn says(&self, word: Option<&str>) {
        let name = format!("mqtt/{}", self.name);
        wait_until(PATIENCE, "the line on the board", async || {
            let checks = self.board.checks();
            let line = checks.iter().find(|check| check.name == name);
            line.is_some_and(|line| match word {
                Some(word) => !line.ok && line.detail.contains(word),
                None => line.ok,
            })
        })
        .await;
    }

    pub(super) async fn take(&mut self) -> Taken {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        let message = message.expect("the driver says nothing");
        match message.expect("the driver ended") {
            Message::Inputs(inputs) => Taken::Inputs(inputs),
            Message::Delivery(delivery) => Taken::Delivery(delivery),
            Message::Command(_) => panic!("not of a driver"),
        }
    }

    /// The next input; whatever must be durable is said to be.
    pub(super) async fn input(&mut self) -> Input {
        while self.waiting.is_empty() {
            match self.take().await {
                Taken::Inputs(inputs) => self.waiting.extend(inputs),
                Taken::Delivery(delivery) => {
                    self.waiting.extend(delivery.inputs);
                    make_durable(delivery.durable);
                }
            }
        }
        self.waiting.pop_front().unwrap()
    }

    pub(super) async fn batch(&mut self) -> SampleBatch {
        loop {
            if let Input::Samples(batch) = self.input().await {
                return batch;
            }
        }
    }

    /// The number in the next batch that holds one.
    pub(super) async fn number(&mut self) -> i64 {
        loop {
            if let Some(number) = number(&self.batch().await) {
                return number;
            }
        }
    }

    pub(super) async fn link(&mut self) -> LinkState {
        loop {
            if let Input::Link { state, .. } = self.input().await {
                return state;
            }
        }
    }

    pub(super) async fn delivery(&mut self) -> Delivery {
        loop {
            if let Taken::Delivery(delivery) = self.take().await {
                return delivery;
            }
        }
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), self.tasks.join_next());
        ended.await.unwrap().unwrap().unwrap();
    }
}

pub(super) fn make_durable(durable: oneshot::Sender<()>) {
    // A driver that has reconnected does not wait for it any more.
    durable.send(()).ok();
}

pub(super) fn number(batch: &SampleBatch) -> Option<i64> {
    batch.samples.iter().find_map(|sample| match sample.value {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    })
}

pub(super) fn text_length(batch: &SampleBatch) -> Option<usize> {
    batch.samples.iter().find_map(|sample| match &sample.value {
        Some(Value::Text(text)) => Some(text.len()),
        _ => None,
    })
}

/// A device that publishes; it reconnects by itself and repeats what was not confirmed.
pub(super) struct Publisher {
    client: AsyncClient,
    confirmed: Arc<std::sync::atomic::AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Publisher {
    pub(super) async fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("publisher", "127.0.0.1", port);
        options
            .set_clean_session(false)
            .set_max_packet_size(32 << 20, 32 << 20);
        let (client, mut events) = AsyncClient::new(options, 64);
        let confirmed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let up = Arc::new(AtomicBool::new(false));
        let (count, connected) = (confirmed.clone(), up.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::PubAck(_))) => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        connected.store(true, Ordering::Relaxed);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        pause.tick().await;
                    }
                }
            }
        });
        wait_until(PATIENCE, "the publisher to connect", async || {
            up.load(Ordering::Relaxed)
        })
        .await;
        Self {
            client,
            confirmed,
            _tasks: tasks,
        }
    }

    pub(super) async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload);
        sent.await.unwrap();
    }

    pub(super) async fn retain(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, true, payload);
        sent.await.unwrap();
    }

    /// Waits until the broker has so many messages.
    pub(super) async fn confirmed(&self, count: usize) {
        wait_until(PATIENCE, "the broker to confirm", async || {
            self.confirmed.load(Ordering::Relaxed) >= count
        })
        .await;
    }
}

/// Another client under this name, which connects again whenever it is thrown out.
pub(super) async fn stay_connected(id: &'static str, port: u16) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_clean_session(false);
    let (_client, mut events) = AsyncClient::new(options, 1);
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    loop {
        if events.poll().await.is_err() {
            pause.tick().await;
        }
    }
}

/// Publishes until the driver is subscribed, so that nothing after this is missed.
pub(super) async fn settle(driver: &mut Driver, publisher: &Publisher) {
    publisher.retain("P7/online", "1").await;
    assert_eq!(driver.link().await, LinkState::Up);
}
