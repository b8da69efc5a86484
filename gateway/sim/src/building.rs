//! Starting and stopping the building: its ports, its tasks, and what they share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::control;
use crate::error::SimError;
use crate::modbus::frame::Framing;
use crate::modbus::server::Gateway;
use crate::mqtt::broker::Broker;
use crate::mqtt::{self, Target};
use crate::scenario::{Kind, SCENARIOS, Scenario};
use crate::script::Script;
use crate::world::{Change, STEP, World};

/// Wall time between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// Real time that is made up for after a stall; more is forgotten.
const CATCH_UP: Duration = Duration::from_secs(2);
const CHANGES: usize = 256;

/// How the building is to be started. [`Default`] gives free ports on loopback and an own broker.
pub struct BuildingOptions {
    /// The same seed gives the same building.
    pub seed: u64,
    /// Seconds of the building per second of the wall clock, 0.01 … 1000.
    pub speed: f64,
    /// Where Modbus TCP is served; port 0 takes a free one.
    pub modbus: SocketAddr,
    /// Where the same units are served with RTU frames over TCP.
    pub rtu: SocketAddr,
    /// What the gateway before the units needs for each request.
    pub turnaround: Duration,
    /// How late the answers of a unit under `unit-late` come.
    pub late: Duration,
    /// Where the control port is; loopback only.
    pub control: SocketAddr,
    /// The broker for the assets on MQTT.
    pub mqtt: MqttChoice,
    /// A script of scenarios to run.
    pub script: Option<PathBuf>,
    /// Scenarios to begin with, each `name` or `name@asset`.
    pub scenario: Vec<String>,
}

/// The broker to which the assets on MQTT connect.
pub enum MqttChoice {
    /// A broker of the building's own at this loopback address; port 0 takes a free one.
    Embedded(SocketAddr),
    /// A broker that runs elsewhere.
    External {
        /// Name or address of its host.
        host: String,
        /// Its port, without TLS.
        port: u16,
        /// Name to sign in with.
        username: Option<String>,
        /// Password to sign in with; used only together with a name.
        password: Option<String>,
    },
    /// No MQTT: these assets are not heard of.
    None,
}

impl Default for BuildingOptions {
    fn default() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            seed: 1,
            speed: 1.0,
            modbus: free,
            rtu: free,
            turnaround: Duration::from_millis(5),
            late: Duration::from_millis(1500),
            control: free,
            mqtt: MqttChoice::Embedded(free),
            script: None,
            scenario: Vec::new(),
        }
    }
}

/// What the tasks of a building share.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) speed: f64,
    pub(crate) cancel: CancellationToken,
    pub(crate) tracker: TaskTracker,
    pub(crate) changes: broadcast::Sender<Change>,
    /// Whether the embedded broker should be up; `None` without one.
    broker_up: Option<watch::Sender<bool>>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a scenario, for so many seconds of the wall clock or until all is clear.
    pub(crate) fn scenario(
        self: &Arc<Self>,
        name: &str,
        asset: Option<&str>,
        seconds: Option<u64>,
    ) -> Result<(), SimError> {
        let scenario = Scenario::find(name)?;
        let asset = scenario.asset(asset)?;
        info!(scenario = scenario.name, asset = ?asset, "begins");
        if scenario.kind == Kind::AllClear {
            self.world().clear(asset);
            self.settle_broker();
            return Ok(());
        }
        if scenario.kind == Kind::BrokerDown && self.broker_up.is_none() {
            return Err(SimError::NoOwnBroker);
        }
        let number = self.world().begin(scenario.kind, asset);
        self.settle_broker();
        if let Some(seconds) = seconds {
            let shared = Arc::clone(self);
            self.tracker.spawn(async move {
                tokio::select! {
                    () = shared.cancel.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => {
                        shared.world().end(number);
                        shared.settle_broker();
                    }
                }
            });
        }
        Ok(())
    }

    fn settle_broker(&self) {
        if let Some(broker_up) = &self.broker_up {
            broker_up.send_replace(self.world().broker_up());
        }
    }

    /// Keeps the building's time until it stops.
    async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last = Instant::now();
        let mut owed = 0.0;
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                now = ticks.tick() => {
                    let passed = now.duration_since(last).min(CATCH_UP);
                    last = now;
                    owed += passed.as_secs_f64() * self.speed;
                }
            }
            let changes = {
                let mut world = self.world();
                while owed >= STEP {
                    owed -= STEP;
                    world.step();
                }
                world.take_changes()
            };
            for change in changes {
                // Nobody listens when there is no MQTT.
                self.changes.send(change).ok();
            }
        }
    }
}

/// A running building. Dropping it ends its tasks too, but only [`Building::stop`] waits for them.
pub struct Building {
    shared: Arc<Shared>,
    /// Ends the tasks when the building is dropped.
    _end: DropGuard,
    modbus: SocketAddr,
    rtu: SocketAddr,
    control: SocketAddr,
    broker: Option<Broker>,
}

/// Starts a building.
///
/// # Errors
///
/// When an option is out of range, a port can't be had, or the script or a scenario in it is wrong. Nothing runs then.
pub async fn start(options: BuildingOptions) -> Result<Building, SimError> {
    if !(0.01..=1000.0).contains(&options.speed) {
        return Err(SimError::Speed(options.speed));
    }
    require_loopback("the control port", options.control)?;
    let script = options.script.as_deref().map(Script::load).transpose()?;
    let (modbus_listener, modbus) = listen("Modbus TCP", options.modbus).await?;
    let (rtu_listener, rtu) = listen("RTU over TCP", options.rtu).await?;
    let (control_listener, control) = listen("the control port", options.control).await?;
    let (broker_up, broker_wanted) = watch::channel(true);
    let broker = match options.mqtt {
        MqttChoice::Embedded(address) => {
            require_loopback("the MQTT broker", address)?;
            Some(Broker::start(address).await?)
        }
        MqttChoice::External { .. } | MqttChoice::None => None,
    };
    let shared = Arc::new(Shared {
        world: Mutex::new(World::new(options.seed)),
        speed: options.speed,
        cancel: CancellationToken::new(),
        tracker: TaskTracker::new(),
        changes: broadcast::channel(CHANGES).0,
        broker_up: broker.is_some().then_some(broker_up),
    });
    let mut building = Building {
        shared: Arc::clone(&shared),
        _end: shared.cancel.clone().drop_guard(),
        modbus,
        rtu,
        control,
        broker,
    };
    if let Err(refusal) = building.begin_with(&options.scenario) {
        building.stop().await;
        return Err(refusal);
    }
    let gateway = Gateway::new(Arc::clone(&shared), options.turnaround, options.late);
    let tracker = &shared.tracker;
    tracker.spawn(Arc::clone(&gateway).listen(modbus_listener, Framing::Tcp));
    tracker.spawn(gateway.listen(rtu_listener, Framing::Rtu));
    tracker.spawn(control::serve(control_listener, Arc::clone(&shared)));
    tracker.spawn(Arc::clone(&shared).run());
    building.connect_mqtt(options.mqtt, broker_wanted);
    if let Some(script) = script {
        tracker.spawn(script.run(Arc::clone(&shared)));
    }
    Ok(building)
}

impl Building {
    /// Every scenario that can be asked for.
    pub fn scenarios() -> &'static [Scenario] {
        &SCENARIOS
    }

    /// Where Modbus TCP is served.
    pub fn modbus_addr(&self) -> SocketAddr {
        self.modbus
    }

    /// Where RTU over TCP is served.
    pub fn rtu_addr(&self) -> SocketAddr {
        self.rtu
    }

    /// Where the control port is.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Where the building's own broker is; `None` without one.
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(Broker::address)
    }

    /// Begins a scenario at its default asset or at `asset`, for `seconds` of the wall clock or until `all-clear`.
    ///
    /// # Errors
    ///
    /// When there is no such scenario or asset, or the one can't happen to the other.
    pub async fn scenario(
        &self,
        name: &str,
        asset: Option<&str>,
        seconds: Option<u64>,
    ) -> Result<(), SimError> {
        self.shared.scenario(name, asset, seconds)
    }

    /// Returns the physical truth: an object with the points of each asset under its code, and `building`.
    pub fn state(&self) -> serde_json::Value {
        self.shared.world().state(self.shared.speed)
    }

    /// Stops every task and closes every port.
    pub async fn stop(mut self) {
        self.shared.cancel.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }

    fn begin_with(&mut self, scenarios: &[String]) -> Result<(), SimError> {
        for wanted in scenarios {
            let (name, asset) = match wanted.split_once('@') {
                Some((name, asset)) => (name, Some(asset)),
                None => (wanted.as_str(), None),
            };
            self.shared.scenario(name, asset, None)?;
        }
        Ok(())
    }

    fn connect_mqtt(&self, choice: MqttChoice, broker_wanted: watch::Receiver<bool>) {
        let target = match (choice, &self.broker) {
            (MqttChoice::Embedded(_), Some(broker)) => {
                let front = broker.front(broker_wanted, &self.shared);
                self.shared.tracker.spawn(front);
                Target::local(broker.address())
            }
            (
                MqttChoice::External {
                    host,
                    port,
                    username,
                    password,
                },
                _,
            ) => Target {
                host,
                port,
                sign_in: username.map(|name| (name, password.unwrap_or_default())),
            },
            (MqttChoice::Embedded(_), None) | (MqttChoice::None, _) => return,
        };
        mqtt::spawn(&self.shared, &target);
    }
}

async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), SimError> {
    let refused = |reason| SimError::Bind {
        what,
        address,
        reason,
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn require_loopback(what: &'static str, address: SocketAddr) -> Result<(), SimError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(SimError::NotLoopback { what, address })
}
