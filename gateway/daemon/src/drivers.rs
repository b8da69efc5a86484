//! Drivers: one task per link or endpoint, each reading its devices and nothing else.
//!
//! A driver never blocks another, never writes to a device, and never turns silence into a value.

pub(crate) mod backoff;
pub mod memory;
pub mod modbus;
pub mod mqtt;

use crate::engine::EngineHandle;
use crate::health::Board;
use backoff::Backoff;
use futures_util::FutureExt;
use memory::Memory;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_core::profile::Profile;
use zhiban_core::profile::decode::Decoder;
use zhiban_core::{AssetId, Duration, Input, LinkState, PointId};

/// One device on a link, as a driver needs it.
#[derive(Debug, Clone)]
pub struct Device {
    /// The asset.
    pub asset: AssetId,
    /// Its code, for logs, metrics and topics.
    pub code: String,
    /// What it says on the wire.
    pub profile: Arc<Profile>,
    /// Decodes each row of the profile; shared by all devices of it.
    pub decoders: Arc<[Decoder]>,
    /// The point of the profile's first row; row `n` is point `first_point + n`.
    pub first_point: PointId,
    /// The Modbus unit id; 0 on a link that has none.
    pub unit: u8,
    /// Whether a rule of it guards life: while it is silent it is asked at least each 5 s.
    pub life_safety: bool,
    /// The asset's own MQTT topic; empty on a link that has none.
    pub topic: String,
}

/// What every driver gets.
#[derive(Clone)]
pub struct DriverContext {
    /// The link's name in the configuration.
    pub link: String,
    /// Where readings go.
    pub engine: EngineHandle,
    /// Where it says how its link is.
    pub board: Arc<Board>,
    /// What was learned of its peers.
    pub memory: Memory,
    /// Ends the driver.
    pub stop: CancellationToken,
}

/// How a Modbus link is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusLink {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How frames are cut.
    pub framing: Framing,
    /// How long one exchange may take.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Quiet time between two requests.
    pub gap: Duration,
    /// How long after an answer the line may repeat it; zero where answers are numbered.
    pub repeat_window: Duration,
    /// What is not held against an answer.
    pub leniency: Leniency,
}

impl ModbusLink {
    /// Whether an answer says which request it answers.
    pub fn answers_are_numbered(&self) -> bool {
        self.framing == Framing::Tcp && !self.leniency.any_transaction
    }
}

/// What is not held against an answer of a device that keeps to the protocol otherwise. Length,
/// function, and that nothing came but the answer, are held against it all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leniency {
    /// The device answers as unit 0, whatever unit was asked.
    pub unit_0: bool,
    /// The device does not send back the number of the request.
    pub any_transaction: bool,
}

/// How frames of a Modbus link are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Modbus TCP: a header with transaction and length.
    Tcp,
    /// RTU frames with a checksum inside a TCP stream, as serial servers send them.
    RtuOverTcp,
}

/// How an MQTT broker is reached.
#[derive(Clone)]
pub struct MqttLink {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Stable for ever: the broker keeps the session under it.
    pub client_id: String,
    /// User name and password, when the broker asks.
    pub credentials: Option<(String, secrecy::SecretString)>,
    /// How often the broker is asked whether it is there.
    pub keep_alive: Duration,
    /// How the link is encrypted; `None` when it is not.
    pub tls: Option<MqttTls>,
}

/// How a broker's link is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MqttTls {
    /// A PEM file of the authority to trust; the system's when there is none.
    pub ca_file: Option<PathBuf>,
}

/// A link of any kind.
#[derive(Clone)]
pub enum LinkSpec {
    /// A Modbus endpoint.
    Modbus(ModbusLink),
    /// An MQTT broker.
    Mqtt(MqttLink),
}

/// Starts the driver of a link, and starts it again should it ever panic.
pub fn spawn(tracker: &TaskTracker, context: DriverContext, link: LinkSpec, devices: Vec<Device>) {
    tracker.spawn(supervise(context, link, devices));
}

async fn supervise(context: DriverContext, link: LinkSpec, devices: Vec<Device>) {
    let assets: Vec<AssetId> = devices.iter().map(|device| device.asset).collect();
    let driver = context.clone();
    restart_on_panic(context, &assets, || {
        run(driver.clone(), link.clone(), devices.clone())
    })
    .await;
}

/// Runs a driver until it ends by itself; after a panic its assets are out of reach meanwhile.
async fn restart_on_panic<F: Future<Output = ()>>(
    context: DriverContext,
    assets: &[AssetId],
    driver: impl Fn() -> F,
) {
    let mut backoff = Backoff::default();
    while AssertUnwindSafe(driver()).catch_unwind().await.is_err() {
        let labels = [("link", context.link.clone())];
        metrics::counter!("zhiban_driver_panics_total", &labels).increment(1);
        tracing::error!(link = %context.link, "the driver panicked; it is started again");
        let down = assets.iter().map(|asset| Input::Link {
            asset: *asset,
            state: LinkState::Down,
        });
        if context.engine.inputs(down.collect()).await.is_err() {
            return;
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = sleep_until(backoff.failed(Instant::now())) => {}
        }
    }
}

/// The one place that knows which driver serves which kind of link.
async fn run(context: DriverContext, link: LinkSpec, devices: Vec<Device>) {
    match link {
        LinkSpec::Modbus(link) => modbus::run(context, link, devices).await,
        LinkSpec::Mqtt(link) => mqtt::run(context, link, devices).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Message;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_driver_that_panics_is_started_again_and_its_assets_are_down_meanwhile() {
        let (engine, mut messages) = EngineHandle::channel();
        let context = DriverContext {
            link: "test".to_owned(),
            engine,
            board: Arc::default(),
            memory: Memory::default(),
            stop: CancellationToken::new(),
        };
        let starts = AtomicU32::new(0);
        restart_on_panic(context, &[AssetId(1), AssetId(2)], || async {
            let earlier = starts.fetch_add(1, Ordering::Relaxed);
            assert!(earlier > 0, "this panic is part of the test");
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        let Some(Message::Inputs(inputs)) = messages.recv().await else {
            panic!("no inputs");
        };
        let down = |asset| Input::Link {
            asset: AssetId(asset),
            state: LinkState::Down,
        };
        assert_eq!(inputs, [down(1), down(2)]);
    }
}
