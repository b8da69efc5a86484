//! The MQTT driver against a real Mosquitto: nothing that it acknowledged is lost, and nothing
//! that it did not make durable is acknowledged. The engine is played by the test.

mod clocks;
mod driver;
mod encrypted;
mod reason;

use std::collections::{BTreeMap, BTreeSet};

use driver::{Driver, Publisher, make_durable, number, plain, settle, text_length};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions};
use zhiban::drivers::memory::Memory;
use zhiban_core::{Input, LinkState, Quality, QualityReason};

use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Fault, FaultProxy};
use crate::support::{PATIENCE, free_port, wait_until};

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
async fn topics_that_left_the_configuration_are_taken_back() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::start(broker.port()).await;
    let kept = async |wanted: &str| {
        wait_until(PATIENCE, wanted, async || {
            let known = std::fs::read_to_string(folder.path().join("mqtt-topics.json"));
            let known = known.unwrap_or_default();
            known.contains(wanted) && !known.contains("P7/") | (wanted == "P7/state")
        })
        .await;
    };
    for topic in ["P7", "P8"] {
        let memory = Memory::open(folder.path());
        let mut driver = Driver::remembering(plain(broker.port()), topic, memory);
        driver.says(None).await;
        publisher
            .publish(&format!("{topic}/state"), "{\"n\": 1}")
            .await;
        assert_eq!(driver.number().await, 1);
        kept(&format!("{topic}/state")).await;
        driver.end().await;
    }
    // Whoever goes on with the session gets what it still holds.
    for n in 2..4 {
        for topic in ["P7/state", "P8/state"] {
            publisher.publish(topic, format!("{{\"n\": {n}}}")).await;
        }
    }
    publisher.confirmed(6).await;
    let mut options = MqttOptions::new("zhiban-test", "127.0.0.1", broker.port());
    options.set_clean_session(false);
    let (_client, mut events) = AsyncClient::new(options, 8);
    let mut came = Vec::new();
    while came.len() < 2 {
        let event = tokio::time::timeout(PATIENCE, events.poll()).await;
        if let Event::Incoming(Incoming::Publish(message)) = event.unwrap().unwrap() {
            came.push(message.topic);
        }
    }
    assert_eq!(came, ["P8/state", "P8/state"]);
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

#[tokio::test]
async fn a_broker_that_forgot_the_session_is_subscribed_to_again() {
    let Some(mut broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    publisher.publish("P7/state", "{\"n\": 1}").await;
    assert_eq!(driver.number().await, 1);
    // It saves nothing before its end, and this is none in order.
    broker.kill();
    broker.start_again().await;
    publisher.retain("P7/state", "{\"n\": 2}").await;
    assert_eq!(driver.number().await, 2, "new or kept");
    publisher.publish("P7/state", "{\"n\": 3}").await;
    while driver.number().await != 3 {}
    driver.end().await;
}

#[tokio::test]
async fn a_message_above_every_limit_is_put_aside_and_all_behind_it_arrive() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    driver.end().await;
    // The gateway is away; the broker has no limit and accepts all of it.
    publisher.publish("P7/text", vec![b'x'; 17 << 20]).await;
    for n in 0..20 {
        publisher
            .publish("P7/state", format!("{{\"n\": {n}}}"))
            .await;
    }
    publisher.retain("P7/text", "z".repeat(17 << 20)).await;
    publisher.confirmed(23).await;
    let mut driver = Driver::start(broker.port(), "P7");
    let (mut seen, mut letters) = (BTreeSet::new(), Vec::new());
    while seen.len() < 20 || letters.len() < 2 {
        let delivery = driver.delivery().await;
        make_durable(delivery.durable);
        letters.extend(delivery.dead_letter);
        seen.extend(delivery.inputs.iter().filter_map(|input| match input {
            Input::Samples(batch) => number(batch),
            Input::Link { .. } | Input::ClockSet(_) | Input::Command(_) | Input::Tick => None,
        }));
    }
    assert!(letters.iter().all(|letter| {
        let whole = letter.payload.len() == 64 << 10 && letter.topic == "P7/text";
        whole && letter.reason.contains("too large")
    }));
    driver.says(None).await;
    // The broker sends no more than its window before it has answers: when these are all there,
    // everything before them is acknowledged.
    let last = 20 + i64::from(Mosquitto::WINDOW);
    for n in 20..=last {
        let text = format!("{{\"n\": {n}}}");
        publisher.publish("P7/state", text).await;
    }
    while driver.number().await != last {}
    driver.end().await;
    // What was on its way to the broker comes to the next one again, and nothing of before.
    let mut next = Driver::start(broker.port(), "P7");
    publisher.publish("P7/state", "{\"n\": -1}").await;
    loop {
        match next.number().await {
            -1 => break,
            n => assert!(n >= 20, "{n} was acknowledged and came again"),
        }
    }
    next.end().await;
}

#[tokio::test]
async fn a_gateway_far_behind_slows_the_broker_down_and_keeps_the_connection() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let proxy = FaultProxy::start(([127, 0, 0, 1], broker.port()).into()).await;
    let link = zhiban::drivers::MqttLink {
        // The broker ends a connection that is silent for 1.5 s.
        keep_alive: zhiban_core::Duration::from_secs(1),
        ..driver::plain(proxy.port())
    };
    let mut driver = Driver::start_on(link, "P7");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    let sizes: Vec<usize> = (0..80).map(|n| (1 << 20) + n).collect();
    for size in &sizes {
        publisher.publish("P7/text", vec![b'x'; *size]).await;
    }
    publisher.confirmed(sizes.len() + 1).await;
    // The engine takes nothing, and 64 MiB are all that may wait for it.
    let behind = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        crate::support::wait_until(crate::support::PATIENCE, "another connection", async || {
            proxy.accepted() > 1
        })
        .await;
    });
    assert!(behind.await.is_err(), "the connection was given up");
    for size in sizes {
        let delivery = driver.delivery().await;
        assert!(!delivery.key.unique, "the broker had to send it again");
        let [Input::Samples(batch)] = delivery.inputs.as_slice() else {
            panic!("{} inputs", delivery.inputs.len());
        };
        assert_eq!(text_length(batch), Some(size));
        make_durable(delivery.durable);
    }
    assert_eq!(proxy.accepted(), 1);
    driver.end().await;
}

#[tokio::test]
async fn another_client_with_the_gateways_id_is_named() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let driver = Driver::start(broker.port(), "P7");
    driver.says(None).await;
    let mut double = tokio::task::JoinSet::new();
    double.spawn(driver::stay_connected("zhiban-test", broker.port()));
    let said = "another client uses the id \"zhiban-test\"";
    driver.says(Some(said)).await;
    driver.end().await;
}
