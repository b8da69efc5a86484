//! The gateway before the Modbus units: takes connections, carries one request at a time, answers when the unit does.
//! Late answers wait in tasks of their own, so that they can overtake and be overtaken as on a real line.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::frame::{self, Framing, Parsed, Request};
use super::{Behaviour, Reply, exception};
use crate::building::Shared;

/// What a gateway says about a unit that it doesn't have.
const TARGET_FAILED: u8 = 0x0B;
/// Slow, and still within the time that a usual client gives a unit (500 ms).
const SLOW: Duration = Duration::from_millis(250);
const IDLE_LIMIT: Duration = Duration::from_secs(300);
const WRITE_LIMIT: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: usize = 256;
const MAX_DELAYED: usize = 256;
const ANSWER_QUEUE: usize = 64;

/// The gateway, shared by its connections.
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    turnaround: Duration,
    late: Duration,
    /// Held while a request is on the line.
    line: Mutex<()>,
    connections: Arc<Semaphore>,
    delayed: Arc<Semaphore>,
}

impl Gateway {
    /// Returns a gateway whose line needs `turnaround` for each request, and whose late units are `late` late.
    pub(crate) fn new(shared: Arc<Shared>, turnaround: Duration, late: Duration) -> Arc<Self> {
        Arc::new(Self {
            shared,
            turnaround,
            late,
            line: Mutex::new(()),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            delayed: Arc::new(Semaphore::new(MAX_DELAYED)),
        })
    }

    /// Takes connections until the building stops.
    pub(crate) async fn listen(self: Arc<Self>, listener: TcpListener, framing: Framing) {
        loop {
            let accepted = tokio::select! {
                () = self.shared.cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "can't take a connection");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // Beyond the limit a gateway hangs up at once.
            if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
                let gateway = Arc::clone(&self);
                self.shared.tracker.spawn(async move {
                    gateway.connection(stream, framing).await;
                    drop(permit);
                });
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, framing: Framing) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "can't switch off Nagle's algorithm");
        }
        let (mut read, write) = stream.into_split();
        let (answers, queue) = mpsc::channel(ANSWER_QUEUE);
        let shared = Arc::clone(&self.shared);
        self.shared.tracker.spawn(async move {
            tokio::select! {
                () = shared.cancel.cancelled() => {}
                () = write_answers(write, queue) => {}
            }
        });
        let mut buffer = Vec::with_capacity(260);
        loop {
            let request = tokio::select! {
                () = self.shared.cancel.cancelled() => return,
                () = answers.closed() => return,
                request = timeout(IDLE_LIMIT, next_request(&mut read, &mut buffer, framing)) => request,
            };
            let Ok(Some(request)) = request else { return };
            self.carry(request, framing, &answers).await;
        }
    }

    /// Carries one request to its unit and the answer back.
    async fn carry(
        self: &Arc<Self>,
        request: Request,
        framing: Framing,
        answers: &mpsc::Sender<Vec<u8>>,
    ) {
        let (reply, behaviour) = {
            let _line = self.line.lock().await;
            sleep(self.turnaround).await;
            self.shared
                .world()
                .reply(request.unit, &request.pdu)
                .unwrap_or_else(|| (unknown_unit(&request), Behaviour::Normal))
        };
        let bytes = frame::encode(framing, request.transaction, reply);
        let delay = match behaviour {
            Behaviour::Slow => SLOW,
            Behaviour::Late => self.late,
            Behaviour::Normal | Behaviour::Silent | Behaviour::Garbage => {
                // A full queue is a client that doesn't read; its answers are lost, as on a line.
                if !bytes.is_empty() && answers.try_send(bytes).is_err() {
                    debug!("an answer found no room");
                }
                return;
            }
        };
        if let Ok(permit) = Arc::clone(&self.delayed).try_acquire_owned() {
            let (shared, answers) = (Arc::clone(&self.shared), answers.clone());
            self.shared.tracker.spawn(async move {
                tokio::select! {
                    () = shared.cancel.cancelled() => {}
                    () = answers.closed() => {}
                    () = sleep(delay) => if answers.try_send(bytes).is_err() {
                        debug!("a late answer found no room");
                    }
                }
                drop(permit);
            });
        }
    }
}

fn unknown_unit(request: &Request) -> Reply {
    let function = request.pdu.first().copied().unwrap_or(0);
    Reply::Frame {
        unit: request.unit,
        pdu: exception(function, TARGET_FAILED),
    }
}

/// Returns the next request, or `None` when the connection is over.
async fn next_request(
    read: &mut OwnedReadHalf,
    buffer: &mut Vec<u8>,
    framing: Framing,
) -> Option<Request> {
    loop {
        match frame::parse(framing, buffer) {
            Parsed::Request(request, used) => {
                buffer.drain(..used);
                return Some(request);
            }
            Parsed::HangUp => return None,
            Parsed::Discard => buffer.clear(),
            Parsed::More => {}
        }
        if read.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn write_answers(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        match timeout(WRITE_LIMIT, write.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
