//! Listens to the building's own broker as a gateway would, through a restart of that broker.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{Building, BuildingOptions, start};

const LIMIT: Duration = Duration::from_secs(20);

struct Listener {
    events: EventLoop,
    client: AsyncClient,
}

impl Listener {
    fn new(building: &Building) -> Self {
        let broker = building.mqtt_addr().unwrap();
        let mut options = MqttOptions::new("listener", broker.ip().to_string(), broker.port());
        options
            .set_clean_session(false)
            .set_max_packet_size(1 << 20, 1 << 20);
        let (client, events) = AsyncClient::new(options, 64);
        Self { events, client }
    }

    /// Returns the next message on `topic` that fulfils `wanted`; subscribes on every new connection.
    async fn next(&mut self, topic: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut retry = tokio::time::interval(Duration::from_millis(50));
        loop {
            assert!(Instant::now() < deadline, "nothing on {topic}");
            let Ok(event) = timeout(LIMIT, self.events.poll()).await.unwrap() else {
                retry.tick().await;
                continue;
            };
            match event {
                Event::Incoming(Packet::ConnAck(_)) => {
                    self.client
                        .try_subscribe("building/#", QoS::AtLeastOnce)
                        .unwrap();
                }
                Event::Incoming(Packet::Publish(message)) => {
                    let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                    if message.topic == topic && wanted(&payload) {
                        return payload;
                    }
                }
                Event::Incoming(_) | Event::Outgoing(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn assets_tell_telemetry_events_and_status() {
    let building = start(BuildingOptions::default()).await.unwrap();
    let mut listener = Listener::new(&building);
    assert_eq!(
        listener.next("building/TK1/status", |_| true).await,
        "online"
    );
    let telemetry = listener.next("building/BW1/telemetry", |_| true).await;
    let telemetry: Value = serde_json::from_str(&telemetry).unwrap();
    assert!(telemetry["ts"].as_u64() > Some(1_600_000_000_000));
    assert_eq!(telemetry["pumps"].as_array().unwrap().len(), 3);
    building
        .scenario("mains-loss", Some("SP2"), None)
        .await
        .unwrap();
    let event: Value =
        serde_json::from_str(&listener.next("building/SP2/event", |_| true).await).unwrap();
    assert_eq!(
        (&event["event"], &event["active"]),
        (&"mains".into(), &true.into())
    );
    assert_eq!(event["flags"]["mains"], false);
    let at_once = listener.next("building/SP2/telemetry", |_| true).await;
    assert!(at_once.contains("\"mains\":false"), "{at_once}");
    building.stop().await;
}

#[tokio::test]
async fn the_broker_goes_down_and_comes_back() {
    let building = start(BuildingOptions::default()).await.unwrap();
    let mut listener = Listener::new(&building);
    listener.next("building/BW1/telemetry", |_| true).await;
    building.scenario("broker-down", None, None).await.unwrap();
    building
        .scenario("mains-loss", Some("BW1"), None)
        .await
        .unwrap();
    let address = building.mqtt_addr().unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let seconds = |building: &Building| building.state()["building"]["seconds"].as_f64();
    let before = seconds(&building);
    while tokio::net::TcpStream::connect(address).await.is_ok() || seconds(&building) == before {
        assert!(Instant::now() < deadline, "the broker is still there");
        looks.tick().await;
    }
    assert_eq!(building.state()["building"]["broker_up"], false);
    building.scenario("all-clear", None, None).await.unwrap();
    // What happened while the broker was away is told when it is back.
    let event = listener.next("building/BW1/event", |_| true).await;
    assert!(event.contains("\"event\":\"mains\""), "{event}");
    listener
        .next("building/BW1/telemetry", |told| {
            told.contains("\"mains\":true")
        })
        .await;
    building.stop().await;
}

#[tokio::test]
async fn a_megabyte_gets_through_the_broker() {
    let building = start(BuildingOptions::default()).await.unwrap();
    let mut listener = Listener::new(&building);
    listener.next("building/TK1/status", |_| true).await;
    let large = "x".repeat((1 << 20) - 1024);
    listener
        .client
        .try_publish("building/large", QoS::AtLeastOnce, false, large.clone())
        .unwrap();
    assert_eq!(
        listener.next("building/large", |_| true).await.len(),
        large.len()
    );
    building.stop().await;
}
