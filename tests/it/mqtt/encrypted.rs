//! An encrypted link to a real Mosquitto: only a broker that the named authority vouches for today
//! is ever spoken to, and the line on the board says why another is not.

use std::path::PathBuf;

use zhiban::drivers::{MqttLink, MqttTls};

use super::driver::{Driver, plain};
use crate::support::certificates::Authority;
use crate::support::mosquitto::Mosquitto;

fn link(port: u16, ca_file: PathBuf) -> MqttLink {
    MqttLink {
        tls: Some(MqttTls {
            ca_file: Some(ca_file),
        }),
        ..plain(port)
    }
}

#[tokio::test]
async fn a_broker_is_trusted_by_the_authority_that_the_link_names() {
    let (Some(ours), Some(other)) = (Authority::new("ours"), Authority::new("other")) else {
        return;
    };
    let (certificate, key) = ours.sign(1);
    let Some(broker) = Mosquitto::start_encrypted(&certificate, &key).await else {
        return;
    };
    let trusting = Driver::start_on(link(broker.port(), ours.file()), "P7");
    trusting.says(None).await;
    trusting.end().await;
    let wary = Driver::start_on(link(broker.port(), other.file()), "P7");
    wary.says(Some("UnknownIssuer")).await;
    wary.end().await;
    // A file without a certificate, and a broker that is asked in clear.
    let mistaken = Driver::start_on(link(broker.port(), key), "P7");
    mistaken.says(Some("holds no certificate")).await;
    mistaken.end().await;
    let clear = Driver::start(broker.port(), "P7");
    clear.says(Some("")).await;
    clear.end().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let Some(ours) = Authority::new("ours") else {
        return;
    };
    let (certificate, key) = ours.sign(-1);
    let Some(broker) = Mosquitto::start_encrypted(&certificate, &key).await else {
        return;
    };
    let driver = Driver::start_on(link(broker.port(), ours.file()), "P7");
    driver.says(Some("Expired")).await;
    driver.end().await;
}
