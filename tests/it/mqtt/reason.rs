//! Why a device behind a broker gives no values is on the board, and gone when it gives them again.

use super::driver::{Driver, Publisher, plain, settle};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, free_port, wait_until};
use zhiban::drivers::MqttLink;
use zhiban_dashboard::ports::{DeviceFault, Health};

/// Waits until the board says this of the device; `None` for nothing wrong.
async fn said(driver: &Driver, kind: Option<&str>) -> Option<DeviceFault> {
    let mut found = None;
    wait_until(PATIENCE, kind.unwrap_or("no fault"), async || {
        found = driver.board.device_fault("P7");
        found.as_ref().map(|fault| fault.kind) == kind
    })
    .await;
    found
}

#[tokio::test]
async fn a_broker_that_is_not_there_or_refuses_the_password_is_named() {
    let Some(broker) = Mosquitto::start_knowing("gateway", "slate orchard kettle").await else {
        return;
    };
    let nobody = Driver::start(free_port(), "P7");
    let fault = said(&nobody, Some("broker_not_reached")).await.unwrap();
    assert!(
        fault.endpoint.starts_with("127.0.0.1:") && !fault.detail.is_empty(),
        "{fault:?}"
    );
    nobody.end().await;
    let wrong = MqttLink {
        credentials: Some(("gateway".to_owned(), "another".into())),
        ..plain(broker.port())
    };
    let refused = Driver::start_on(wrong, "P7");
    let fault = said(&refused, Some("broker_refused")).await.unwrap();
    assert!(!fault.detail.is_empty(), "{fault:?}");
    refused.end().await;
}

#[tokio::test]
async fn what_comes_or_does_not_come_of_a_device_is_named_until_it_is_right() {
    let Some(mut broker) = Mosquitto::start().await else {
        return;
    };
    let mut driver = Driver::start(broker.port(), "P7");
    let fault = said(&driver, Some("nothing_came")).await.unwrap();
    assert!(fault.asked.contains("P7/state"), "{fault:?}");
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    publisher.publish("P7/state", "{\"n\": 8}").await;
    said(&driver, None).await;
    for (payload, kind) in [
        ("{\"n\": {}}", "undecodable"),
        ("{\"m\": 1}", "nothing_of_it"),
    ] {
        publisher.publish("P7/state", payload).await;
        let fault = said(&driver, Some(kind)).await.unwrap();
        assert_eq!(
            (fault.asked.as_str(), fault.answer.as_str()),
            ("P7/state", payload)
        );
    }
    publisher.publish("P7/state", "{\"n\": 9}").await;
    said(&driver, None).await;
    broker.stop().await;
    said(&driver, Some("broker_not_reached")).await;
    broker.start_again().await;
    said(&driver, None).await;
    driver.end().await;
}

/// Mosquitto closes the connection of who asks for a topic of more than 200 levels, as other brokers do for topics that
/// the user may not read.
#[tokio::test]
async fn a_topic_for_which_the_broker_closes_the_connection_costs_no_other_device() {
    let Some(broker) = Mosquitto::start().await else {
        return;
    };
    let deep = "deep/".repeat(201);
    let mut driver = Driver::of_several(plain(broker.port()), &["P7", deep.trim_end_matches('/')]);
    wait_until(PATIENCE, "the topic is named", async || {
        let fault = driver.board.device_fault("P8");
        fault.is_some_and(|fault| {
            fault.kind == "filter_refused" && fault.detail.contains("closes the connection")
        })
    })
    .await;
    let publisher = Publisher::start(broker.port()).await;
    settle(&mut driver, &publisher).await;
    publisher.publish("P7/state", "{\"n\": 8}").await;
    assert_eq!(driver.number().await, 8);
    said(&driver, None).await;
    driver.says(Some("closes the connection")).await;
    let lines = driver.board.checks();
    assert!(
        lines
            .iter()
            .all(|line| !line.detail.contains("another client")),
        "{lines:?}"
    );
    driver.end().await;
}
