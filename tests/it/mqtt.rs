//! The MQTT driver against a real Mosquitto: nothing that it acknowledged is lost, and nothing
//! that it did not make durable is acknowledged. The engine is played by the test.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zhiban::drivers::{Device, DriverContext, MqttLink, mqtt};
use zhiban::engine::{Delivery, EngineHandle, Message};
use zhiban_core::profile::Profile;
use zhiban_core::{AssetId, Input, LinkState, PointId, Quality, QualityReason, SampleBatch, Value};

use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Fault, FaultProxy};
use crate::support::{PATIENCE, free_port, wait_until};

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

fn device(topic: &str) -> Device {
    let profile: Profile = toml::from_str(PROFILE).unwrap();
    Device {
        asset: AssetId(7),
        code: "P7".to_owned(),
        profile: Arc::new(profile),
        first_point: PointId(70),
        unit: 0,
        topic: topic.to_owned(),
    }
}

/// A running driver and the engine's end of its queue.
struct Driver {
    messages: Receiver<Message>,
    waiting: VecDeque<Input>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What the played engine takes at a time.
enum Taken {
    Inputs(Vec<Input>),
    Delivery(Delivery),
}

impl Driver {
    fn start(port: u16, topic: &str) -> Self {
        let link = MqttLink {
            host: "127.0.0.1".to_owned(),
            port,
            client_id: "zhiban-test".to_owned(),
            credentials: None,
            keep_alive: zhiban_core::Duration::from_secs(5),
            tls: None,
        };
        let (engine, messages) = EngineHandle::channel();
        let stop = CancellationToken::new();
        let context = DriverContext {
            link: format!("test-{port}"),
            engine,
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(mqtt::run(context, link, vec![device(topic)]));
        Self {
            messages,
            waiting: VecDeque::new(),
            stop,
            tasks,
        }
    }

    async fn take(&mut self) -> Taken {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        let message = message.expect("the driver says nothing");
        match message.expect("the driver ended") {
            Message::Inputs(inputs) => Taken::Inputs(inputs),
            Message::Delivery(delivery) => Taken::Delivery(delivery),
            Message::Command(_) => panic!("not of a driver"),
        }
    }

    /// The next input; whatever must be durable is said to be.
    async fn input(&mut self) -> Input {
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

    async fn batch(&mut self) -> SampleBatch {
        loop {
            if let Input::Samples(batch) = self.input().await {
                return batch;
            }
        }
    }

    /// The number in the next batch that holds one.
    async fn number(&mut self) -> i64 {
        loop {
            if let Some(number) = number(&self.batch().await) {
                return number;
            }
        }
    }

    async fn link(&mut self) -> LinkState {
        loop {
            if let Input::Link { state, .. } = self.input().await {
                return state;
            }
        }
    }

    async fn delivery(&mut self) -> Delivery {
        loop {
            if let Taken::Delivery(delivery) = self.take().await {
                return delivery;
            }
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), self.tasks.join_next());
        ended.await.unwrap().unwrap().unwrap();
    }
}

fn make_durable(durable: oneshot::Sender<()>) {
    // A driver that has reconnected does not wait for it any more.
    durable.send(()).ok();
}

fn number(batch: &SampleBatch) -> Option<i64> {
    batch.samples.iter().find_map(|sample| match sample.value {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    })
}

fn text_length(batch: &SampleBatch) -> Option<usize> {
    batch.samples.iter().find_map(|sample| match &sample.value {
        Some(Value::Text(text)) => Some(text.len()),
        _ => None,
    })
}

/// A device that publishes; it reconnects by itself and repeats what was not confirmed.
struct Publisher {
    client: AsyncClient,
    confirmed: Arc<std::sync::atomic::AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Publisher {
    async fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("publisher", "127.0.0.1", port);
        options
            .set_clean_session(false)
            .set_max_packet_size(16 << 20, 16 << 20);
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

    async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload);
        sent.await.unwrap();
    }

    async fn retain(&self, topic: &str, payload: &str) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, true, payload);
        sent.await.unwrap();
    }

    /// Waits until the broker has so many messages.
    async fn confirmed(&self, count: usize) {
        wait_until(PATIENCE, "the broker to confirm", async || {
            self.confirmed.load(Ordering::Relaxed) >= count
        })
        .await;
    }
}

/// Publishes until the driver is subscribed, so that nothing after this is missed.
async fn settle(driver: &mut Driver, publisher: &Publisher) {
    publisher.retain("P7/online", "1").await;
    assert_eq!(driver.link().await, LinkState::Up);
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_or_the_gateway_restarted() {
    let Some(mut broker) = Mosquitto::start_saving_each_change().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    let mut seen = BTreeSet::new();
    let round = 200;
    for start in (0..).step_by(round).take(4) {
        for n in start..start + round {
            let payload = format!("{{\"n\": {n}}}");
            publisher.publish("P7/state", payload).await;
        }
        publisher.confirmed(start + round + 1).await;
        // All are on their way, and none is durable with us.
        match start / round % 2 {
            0 => {
                broker.kill();
                broker.start_again().await;
            }
            _ => {
                let next = Driver::start(broker.port(), "P7");
                std::mem::replace(&mut driver, next).end().await;
            }
        }
        while seen.len() < start + round {
            seen.insert(driver.number().await);
        }
    }
    driver.end().await;
}

#[tokio::test]
async fn an_orderly_restart_of_the_broker_loses_nothing() {
    let Some(mut broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    let mut seen = BTreeSet::new();
    let count = 600;
    for n in 0..count {
        publisher
            .publish("P7/state", format!("{{\"n\": {n}}}"))
            .await;
        if n % 200 == 100 {
            broker.stop().await;
            broker.start_again().await;
        }
        while seen.len() + 50 < n {
            seen.insert(driver.number().await);
        }
    }
    while seen.len() < count {
        seen.insert(driver.number().await);
    }
    driver.end().await;
}

#[tokio::test]
async fn what_is_not_durable_is_not_acknowledged_and_comes_again() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    for n in [1, 2, 3] {
        publisher
            .publish("P7/state", format!("{{\"n\": {n}}}"))
            .await;
    }
    let first = driver.delivery().await;
    assert!(
        !first.key.unique,
        "two of these without a time are no copies"
    );
    let second = driver.delivery().await;
    first.durable.send(()).unwrap();
    // The journal fails for the second.
    drop(second.durable);
    let again = loop {
        let delivery = driver.delivery().await;
        let copies = delivery.key.hash == second.key.hash && delivery.key.unique;
        if copies {
            break delivery;
        }
    };
    drop(again);
    // Never acknowledged, it also comes to the next gateway, and what came after it too.
    driver.end().await;
    let mut next = Driver::start(broker.port(), "P7");
    while next.number().await != 2 {}
    while next.number().await != 3 {}
    next.end().await;
}

#[tokio::test]
async fn large_messages_and_poison_do_not_stop_what_follows() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    for size in [20 << 10, 1 << 20, 3 << 20] {
        publisher.publish("P7/text", vec![b'x'; size]).await;
        // One too large for the connection ends it, and what was not confirmed comes again.
        while text_length(&driver.batch().await) != Some(size) {}
    }
    // Too large to be looked at, and bytes that mean nothing: put aside, and acknowledged.
    publisher.publish("P7/text", vec![b'x'; 10 << 20]).await;
    publisher.publish("P7/state", vec![0xFF, 0xFE]).await;
    publisher.publish("P7/state", "{\"n\": 5}").await;
    let mut letters = Vec::new();
    loop {
        let delivery = driver.delivery().await;
        letters.extend(delivery.dead_letter);
        make_durable(delivery.durable);
        let mut batches = delivery.inputs.iter().filter_map(|input| match input {
            Input::Samples(batch) => number(batch),
            Input::Link { .. } | Input::ClockSet(_) | Input::Command(_) | Input::Tick => None,
        });
        if batches.next_back() == Some(5) {
            break;
        }
    }
    let sizes: BTreeMap<&str, usize> = letters
        .iter()
        .map(|letter| (letter.topic.as_str(), letter.payload.len()))
        .collect();
    assert_eq!(
        sizes,
        BTreeMap::from([("P7/text", 64 << 10), ("P7/state", 2)])
    );
    assert!(letters.iter().all(|letter| !letter.reason.is_empty()));
    // What came before these was acknowledged before them.
    for n in [6, 7] {
        publisher
            .publish("P7/state", format!("{{\"n\": {n}}}"))
            .await;
        while driver.number().await != n {}
    }
    driver.end().await;
    publisher.publish("P7/state", "{\"n\": 8}").await;
    let mut next = Driver::start(broker.port(), "P7");
    loop {
        let delivery = next.delivery().await;
        assert_eq!(delivery.dead_letter, None, "poison came again");
        make_durable(delivery.durable);
        if format!("{:?}", delivery.inputs).contains("Integer(8)") {
            break;
        }
    }
    next.end().await;
}

#[tokio::test]
async fn a_kept_message_is_marked_and_an_offline_device_is_down() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let publisher = Publisher::start(broker.port()).await;
    publisher.retain("P7/state", "{\"n\": 1}").await;
    publisher.retain("P7/online", "0").await;
    publisher.confirmed(2).await;
    let mut driver = Driver::start(broker.port(), "P7");
    let mut down = false;
    let mut kept = false;
    while !(down && kept) {
        match driver.input().await {
            Input::Link { state, .. } => {
                assert_eq!(state, LinkState::Down);
                down = true;
            }
            Input::Samples(batch) => {
                assert!(batch.retained);
                assert_eq!(number(&batch), Some(1));
                kept = true;
            }
            Input::ClockSet(_) | Input::Command(_) | Input::Tick => panic!("not of a driver"),
        }
    }
    publisher.publish("P7/state", "{\"n\": 2}").await;
    assert_eq!(driver.link().await, LinkState::Up);
    let live = driver.batch().await;
    assert!(!live.retained);
    assert_eq!(live.samples[0].quality, Quality::Good);
    publisher.publish("P7/state", "{\"n\": {}}").await;
    let odd = driver.batch().await;
    assert_eq!(
        odd.samples[0].quality,
        Quality::Bad(QualityReason::Undecodable)
    );
    driver.end().await;
}

#[tokio::test]
async fn messages_wait_for_a_gateway_that_is_away_and_for_a_new_topic() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    driver.end().await;
    for n in 0..2000 {
        publisher
            .publish("P7/state", format!("{{\"n\": {n}}}"))
            .await;
    }
    publisher.confirmed(2001).await;
    let mut driver = Driver::start(broker.port(), "P7");
    let mut seen = BTreeSet::new();
    while seen.len() < 2000 {
        seen.insert(driver.number().await);
    }
    driver.end().await;
    // The session is kept and does not know the topic of the changed configuration.
    let mut driver = Driver::start(broker.port(), "P8");
    publisher.retain("P8/online", "1").await;
    assert_eq!(driver.link().await, LinkState::Up);
    publisher.publish("P8/state", "{\"n\": 1}").await;
    assert_eq!(driver.number().await, 1);
    driver.end().await;
}

#[tokio::test]
async fn a_broker_that_is_away_takes_the_links_down_and_brings_them_back() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let nobody = Driver::start(free_port(), "P7");
    let proxy = FaultProxy::start(([127, 0, 0, 1], broker.port()).into()).await;
    let mut driver = Driver::start(proxy.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    // A short cut is nobody's business.
    proxy.cut();
    publisher.publish("P7/state", "{\"n\": 1}").await;
    assert_eq!(driver.number().await, 1);
    proxy.set(Fault::Refuse);
    assert_eq!(driver.link().await, LinkState::Down);
    proxy.set(Fault::None);
    assert_eq!(
        driver.link().await,
        LinkState::Up,
        "the kept message says so"
    );
    // A broker that is there and says nothing is noticed by the missing answers to pings.
    proxy.set(Fault::BlackHole);
    assert_eq!(driver.link().await, LinkState::Down);
    proxy.set(Fault::None);
    assert_eq!(driver.link().await, LinkState::Up);
    driver.end().await;
    let mut nobody = nobody;
    assert_eq!(nobody.link().await, LinkState::Down);
    nobody.end().await;
}
