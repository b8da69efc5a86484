//! A TCP proxy that breaks connections in the ways that networks and devices do. It must never
//! know what it carries: a fault is about bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What happens to connections and, where it says "answers", to bytes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: bytes pass.
    None,
    /// Nobody listens; what is open is cut.
    Refuse,
    /// Connections are accepted, and every byte is swallowed.
    BlackHole,
    /// Answers come late.
    Delay(Duration),
    /// Of every piece of an answer only so many bytes arrive.
    Truncate(usize),
    /// In every piece of an answer the byte at this place is changed by exclusive or.
    Corrupt {
        /// Place from the start of the piece; a shorter piece passes unchanged.
        at: usize,
        /// The bits to flip.
        bits: u8,
    },
    /// The first piece of an answer is cut after so many bytes, and the connection closed.
    CloseAfter(usize),
}

/// A proxy in front of one address. Dropping it closes everything.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    cut: watch::Sender<u64>,
    accepted: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to the target.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(Fault::None);
        let (cut, cuts) = watch::channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, target, faults, cuts, accepted.clone()));
        Self {
            address,
            fault,
            cut,
            accepted,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the fault, for open connections too.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Closes every open connection once.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// How many connections it has accepted since its start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Accepts until it is dropped; while connections are refused there is no listener.
async fn listen(
    first: TcpListener,
    target: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    cuts: watch::Receiver<u64>,
    accepted: Arc<AtomicU64>,
) {
    let address = first.local_addr().unwrap();
    let mut listener = Some(first);
    let mut connections = JoinSet::new();
    loop {
        let refuse = *faults.borrow_and_update() == Fault::Refuse;
        if refuse {
            listener = None;
            connections.abort_all();
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        let Some(open) = &listener else {
            if faults.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            client = open.accept() => {
                accepted.fetch_add(1, Ordering::Relaxed);
                let (client, _) = client.unwrap();
                connections.spawn(connection(client, target, faults.clone(), cuts.clone()));
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    client: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<Fault>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let no_delay = client.set_nodelay(true).and(server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    if no_delay.is_ok() {
        tokio::select! {
            () = requests(client_in, server_out, faults.clone()) => {}
            () = answers(server_in, client_out, faults) => {}
            _ = cuts.changed() => {}
        }
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: watch::Receiver<Fault>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if *faults.borrow() == Fault::BlackHole {
            continue;
        }
        if to.write_all(piece.get(..length).unwrap()).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: watch::Receiver<Fault>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(mut length @ 1..) = from.read(&mut piece).await {
        let fault = *faults.borrow();
        match fault {
            Fault::None | Fault::Refuse => {}
            Fault::BlackHole => continue,
            Fault::Delay(delay) => tokio::time::sleep_until(Instant::now() + delay).await,
            Fault::Truncate(most) | Fault::CloseAfter(most) => length = length.min(most),
            Fault::Corrupt { at, bits } => {
                if let Some(byte) = piece.get_mut(..length).and_then(|p| p.get_mut(at)) {
                    *byte ^= bits;
                }
            }
        }
        let sent = to.write_all(piece.get(..length).unwrap()).await;
        if sent.is_err() || matches!(fault, Fault::CloseAfter(_)) {
            return;
        }
    }
}
