//! The broker's configuration, read by a real Mosquitto: who is let in, who may say what, and that
//! what waits for the gateway survives. It must never change more of it than paths and the port.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
};
use tempfile::TempDir;

use super::{read, root, run_secrets, secrets};
use crate::support::process::{Process, accepts};
use crate::support::{PATIENCE, Peer, free_port, require, wait_until};

/// A broker as it is shipped.
pub(super) struct Broker {
    process: Process,
    program: PathBuf,
    folder: TempDir,
    secrets: TempDir,
    port: u16,
}

impl Broker {
    pub(super) async fn start() -> Option<Self> {
        let program = require(Peer::Mosquitto)?;
        let (folder, secrets, port) = (tempfile::tempdir().unwrap(), secrets(), free_port());
        let conf = read("deploy/mosquitto/mosquitto.conf")
            .replace("listener 1883", &format!("listener {port} 127.0.0.1"))
            .replace("/secrets/", &format!("{}/", secrets.path().display()))
            .replace("/mosquitto/data", &folder.path().display().to_string())
            .replace(
                "/mosquitto/config/acl",
                &root().join("deploy/mosquitto/acl").display().to_string(),
            );
        // As root it would give up its rights, and with them the right to its folder.
        std::fs::write(folder.path().join("conf"), format!("user root\n{conf}")).unwrap();
        let process = Self::spawn(&program, &folder);
        let mut broker = Self {
            process,
            program,
            folder,
            secrets,
            port,
        };
        broker.ready().await;
        Some(broker)
    }

    fn spawn(program: &Path, folder: &TempDir) -> Process {
        Process::start(
            "mosquitto",
            Command::new(program)
                .arg("-c")
                .arg(folder.path().join("conf"))
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
            &folder.path().join("log"),
        )
    }

    async fn ready(&mut self) {
        let port = self.port;
        self.process.ready(async || accepts(port).await).await;
    }

    async fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.process = Self::spawn(&self.program, &self.folder);
        self.ready().await;
    }

    /// Its port on 127.0.0.1.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Where its secrets lie, and the gateway's.
    pub(super) fn secrets(&self) -> &Path {
        self.secrets.path()
    }

    /// The gateway's password.
    fn password(&self) -> String {
        let file = self.secrets.path().join("mqtt-password");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Gives the gateway a new password and waits until the broker takes it.
    async fn rotate(&mut self) {
        run_secrets(&self.secrets, &["rotate"]);
        self.process.signal("HUP");
        wait_until(PATIENCE, "the broker to know the password", async || {
            let (_, answer) = Client::connect(self, "r", "zhiban", &self.password()).await;
            answer == ConnectReturnCode::Success
        })
        .await;
    }

    /// Makes a device's account and waits until the broker has read it; its password.
    pub(super) async fn add_device(&mut self, name: &str) -> String {
        let said = run_secrets(&self.secrets, &["add-device", name]);
        let password = said.lines().find_map(|line| line.strip_prefix("password "));
        let password = password.unwrap().to_owned();
        self.process.signal("HUP");
        wait_until(PATIENCE, "the broker to know the device", async || {
            let (_, answer) = Client::connect(self, name, name, &password).await;
            answer == ConnectReturnCode::Success
        })
        .await;
        password
    }
}

/// A connection to the broker that keeps its session.
pub(super) struct Client {
    client: AsyncClient,
    events: EventLoop,
}

impl Client {
    /// A connection, and what the broker answered to it. An empty user name signs nobody in.
    pub(super) async fn connect(
        broker: &Broker,
        id: &str,
        user: &str,
        password: &str,
    ) -> (Self, ConnectReturnCode) {
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.port);
        options.set_clean_session(false);
        if !user.is_empty() {
            options.set_credentials(user, password);
        }
        let (client, mut events) = AsyncClient::new(options, 16);
        let answer = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(answer))) => answer.code,
            Err(ConnectionError::ConnectionRefused(code)) => code,
            other => panic!("{other:?}\n{}", broker.process.log()),
        };
        (Self { client, events }, answer)
    }

    /// Polls until a packet is what is waited for.
    async fn until<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.unwrap()
                    && let Some(found) = wanted(packet)
                {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap()
    }

    async fn subscribe(&mut self, filter: &str) {
        let qos = QoS::AtLeastOnce;
        self.client.subscribe(filter, qos).await.unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(()))
            .await;
    }

    pub(super) async fn publish(&mut self, topic: &str, payload: &str) {
        assert!(self.try_publish(topic, payload).await, "{topic}");
    }

    /// Whether the broker acknowledged it and did not end the connection.
    async fn try_publish(&mut self, topic: &str, payload: &str) -> bool {
        let sent = (self.client).publish(topic, QoS::AtLeastOnce, false, payload);
        sent.await.unwrap();
        let answered = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap()
    }

    /// Topic and payload of the next message.
    async fn next(&mut self) -> (String, String) {
        self.until(|packet| {
            let Packet::Publish(message) = packet else {
                return None;
            };
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            Some((message.topic, payload))
        })
        .await
    }
}

#[tokio::test]
async fn nobody_comes_in_without_an_account() {
    let Some(broker) = Broker::start().await else {
        return;
    };
    for (user, password, expected) in [
        ("", "", ConnectReturnCode::NotAuthorized),
        ("zhiban", "guessed", ConnectReturnCode::NotAuthorized),
        ("zhiban", &broker.password(), ConnectReturnCode::Success),
    ] {
        let (_, answer) = Client::connect(&broker, "somebody", user, password).await;
        assert_eq!(answer, expected, "{user}");
    }
}

#[tokio::test]
async fn a_new_password_of_the_gateway_leaves_the_devices_theirs() {
    let Some(mut broker) = Broker::start().await else {
        return;
    };
    let device = broker.add_device("BW1").await;
    let old = broker.password();
    broker.rotate().await;
    assert_ne!(broker.password(), old);
    for (user, password, expected) in [
        ("zhiban", &old, ConnectReturnCode::NotAuthorized),
        ("BW1", &device, ConnectReturnCode::Success),
    ] {
        let (_, answer) = Client::connect(&broker, "somebody", user, password).await;
        assert_eq!(answer, expected, "{user}");
    }
}

#[tokio::test]
async fn a_device_speaks_for_itself_alone_and_waits_for_an_absent_gateway() {
    let Some(mut broker) = Broker::start().await else {
        return;
    };
    let device = broker.add_device("BW1").await;
    let gateway = broker.password();
    let (mut client, _) = Client::connect(&broker, "gateway", "zhiban", &gateway).await;
    client.subscribe("building/#").await;
    drop(client);

    // The gateway is away. A forger is thrown out, or not heard: that depends on the version.
    let (mut forger, _) = Client::connect(&broker, "forger", "BW1", &device).await;
    forger.try_publish("building/SP1/level", "forged").await;
    let (mut client, _) = Client::connect(&broker, "BW1", "BW1", &device).await;
    client.publish("building/BW1/pump", "started").await;
    drop(client);

    // The broker is killed, not stopped: what it took is on disk a second later at most.
    let saved = broker.folder.path().join("mosquitto.db");
    wait_until(PATIENCE, "the message to be saved", async || {
        let bytes = std::fs::read(&saved).unwrap_or_default();
        bytes.windows(7).any(|part| part == b"started")
    })
    .await;
    broker.kill_and_start_again().await;

    let (mut reading, _) = Client::connect(&broker, "gateway", "zhiban", &gateway).await;
    let (mut client, _) = Client::connect(&broker, "BW1", "BW1", &device).await;
    client.publish("building/BW1/pump", "stopped").await;
    for expected in ["started", "stopped"] {
        let (topic, payload) = reading.next().await;
        assert_eq!(
            (topic.as_str(), payload.as_str()),
            ("building/BW1/pump", expected)
        );
    }
}
