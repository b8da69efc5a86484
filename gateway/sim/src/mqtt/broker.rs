//! The building's own broker: rumqttd on a private port, behind a front that can be closed to play "broker down".
//! For demonstration and tests: loopback only, nothing is kept on disk.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rumqttd::protocol::v4::V4;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::building::Shared;
use crate::error::SimError;

const MAX_PAYLOAD: usize = 2 << 20;
const MAX_CONNECTIONS: usize = 200;
const START_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 5;

/// A running broker.
pub(crate) struct Broker {
    address: SocketAddr,
    private: SocketAddr,
    listener: Arc<Mutex<Option<TcpListener>>>,
    /// Ends the broker's thread when it is dropped.
    end: DropGuard,
    ended: oneshot::Receiver<String>,
}

impl Broker {
    /// Starts the broker; its front is bound to `address` and opens with [`Broker::front`].
    pub(crate) async fn start(address: SocketAddr) -> Result<Self, SimError> {
        let refused = |reason| SimError::Bind {
            what: "the MQTT broker",
            address,
            reason,
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let mut reason = String::new();
        // Between finding a free port and taking it, somebody else may take it.
        for _ in 0..ATTEMPTS {
            let private = free_port().await.map_err(refused)?;
            let cancel = CancellationToken::new();
            let ended = run_thread(private, cancel.clone())?;
            let end = cancel.drop_guard();
            match until_up(private, ended).await {
                Ok(ended) => {
                    return Ok(Self {
                        address,
                        private,
                        listener: Arc::new(Mutex::new(Some(listener))),
                        end,
                        ended,
                    });
                }
                Err(why) => reason = why,
            }
        }
        Err(SimError::Broker(reason))
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the task that lets clients in while `wanted` is true.
    pub(crate) fn front(
        &self,
        wanted: watch::Receiver<bool>,
        shared: &Arc<Shared>,
    ) -> impl Future<Output = ()> + use<> {
        let front = Front {
            address: self.address,
            private: self.private,
            wanted,
            shared: Arc::clone(shared),
        };
        let bound = Arc::clone(&self.listener);
        async move {
            let listener = bound.lock().await.take();
            front.run(listener).await;
        }
    }

    /// Ends the broker's thread.
    pub(crate) async fn stop(self) {
        drop(self.end);
        if timeout(STOP_LIMIT, self.ended).await.is_err() {
            debug!("the broker's thread is still busy");
        }
    }
}

async fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()
}

/// Runs rumqttd in a thread and a runtime of its own, because it spawns tasks that only the end of their runtime stops.
fn run_thread(
    listen: SocketAddr,
    cancel: CancellationToken,
) -> Result<oneshot::Receiver<String>, SimError> {
    let (tell, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SimError::Broker(error.to_string()))?;
    let serve = async move {
        let router = Router::new(
            0,
            RouterConfig {
                max_connections: MAX_CONNECTIONS + 8,
                max_outgoing_packet_count: 200,
                max_segment_size: MAX_PAYLOAD,
                max_segment_count: 8,
                ..RouterConfig::default()
            },
        );
        let mut server = Server::new(settings(listen), router.spawn(), V4);
        tokio::select! {
            () = cancel.cancelled() => "stopped".to_owned(),
            outcome = server.start(LinkType::Remote) => match outcome {
                Ok(()) => "it ended by itself".to_owned(),
                Err(error) => error.to_string(),
            },
        }
    };
    std::thread::Builder::new()
        .name("mqtt-broker".to_owned())
        .spawn(move || {
            let reason = runtime.block_on(serve);
            drop(runtime);
            // Nobody waits when the building was dropped without being stopped.
            tell.send(reason).ok();
        })
        .map_err(|error| SimError::Broker(error.to_string()))?;
    Ok(ended)
}

fn settings(listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: "building".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: MAX_PAYLOAD,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}

/// Waits until the broker takes connections, and gives back the means to notice its end.
async fn until_up(
    private: SocketAddr,
    mut ended: oneshot::Receiver<String>,
) -> Result<oneshot::Receiver<String>, String> {
    let connect = async {
        while TcpStream::connect(private).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        reason = &mut ended => return Err(reason.unwrap_or_default()),
        up = timeout(START_LIMIT, connect) => up.map_err(|_| "it takes no connection".to_owned())?,
    }
    Ok(ended)
}

/// The door before the broker.
struct Front {
    address: SocketAddr,
    private: SocketAddr,
    wanted: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Front {
    async fn run(mut self, mut listener: Option<TcpListener>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            if !self.until(true).await {
                return;
            }
            let open = match listener.take() {
                Some(open) => open,
                None => match TcpListener::bind(self.address).await {
                    Ok(open) => open,
                    Err(error) => {
                        debug!(%error, "the broker's port isn't free yet");
                        sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let session = self.shared.cancel.child_token();
            let closed = self.take_clients(&open, &session, &places).await;
            session.cancel();
            if closed {
                return;
            }
        }
    }

    /// Waits until the front is wanted open or closed; false when the building stops.
    async fn until(&mut self, open: bool) -> bool {
        let cancel = self.shared.cancel.clone();
        tokio::select! {
            () = cancel.cancelled() => false,
            found = self.wanted.wait_for(|wanted| *wanted == open) => found.is_ok(),
        }
    }

    /// Lets clients in until the front is to close; true when the building stops.
    async fn take_clients(
        &mut self,
        open: &TcpListener,
        session: &CancellationToken,
        places: &Arc<Semaphore>,
    ) -> bool {
        loop {
            let (shared, private) = (Arc::clone(&self.shared), self.private);
            let client = tokio::select! {
                running = self.until(false) => return !running,
                accepted = open.accept() => match accepted {
                    Ok((client, _)) => client,
                    Err(error) => {
                        debug!(%error, "can't take a client");
                        sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                let session = session.clone();
                shared.tracker.spawn(async move {
                    tokio::select! {
                        () = session.cancelled() => {}
                        () = pipe(client, private) => {}
                    }
                    drop(place);
                });
            }
        }
    }
}

async fn pipe(mut client: TcpStream, private: SocketAddr) {
    let Ok(Ok(mut broker)) = timeout(START_LIMIT, TcpStream::connect(private)).await else {
        return;
    };
    let undelayed = client.set_nodelay(true).and(broker.set_nodelay(true));
    if let Err(error) = undelayed {
        debug!(%error, "can't switch off Nagle's algorithm");
    }
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut broker).await {
        debug!(%error, "a client's connection broke");
    }
}
