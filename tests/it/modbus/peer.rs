//! A Modbus peer that does what a script says, with frames made here by hand. It must never share
//! code with the driver, and it answers like a serial server: in order, each answer to whoever is
//! connected when it is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use zhiban::drivers::Framing;

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) unit: u8,
    pub(crate) function: u8,
    pub(crate) address: u16,
    pub(crate) count: u16,
    transaction: u16,
    framing: Framing,
}

impl Asked {
    /// The value that register `address` of a unit has here.
    pub(crate) fn value(unit: u8, address: u16) -> u16 {
        u16::from(unit) * 1000 + address
    }

    /// The right answer.
    pub(crate) fn right(&self) -> Vec<u8> {
        self.words(self.count)
    }

    /// An answer with so many of the right words.
    pub(crate) fn words(&self, count: u16) -> Vec<u8> {
        let address = self.address;
        let right = (0..count).map(|place| Self::value(self.unit, address + place));
        self.holding(right)
    }

    /// An answer with these words.
    pub(crate) fn holding(&self, words: impl Iterator<Item = u16>) -> Vec<u8> {
        let words: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        let mut pdu = vec![self.function, u8::try_from(words.len()).unwrap_or(254)];
        pdu.extend(words);
        self.frame(self.unit, &pdu)
    }

    /// The same request under another number.
    pub(crate) fn numbered(self, transaction: u16) -> Self {
        Self {
            transaction,
            ..self
        }
    }

    /// The same request, answered in frames of another kind.
    pub(crate) fn framed(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    /// The number of the request; 0 in RTU frames.
    pub(crate) fn number(&self) -> u16 {
        self.transaction
    }

    /// A refusal.
    pub(crate) fn refusal(&self, code: u8) -> Vec<u8> {
        self.frame(self.unit, &[self.function | 0x80, code])
    }

    /// Any PDU as a frame of a unit.
    pub(crate) fn frame(&self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        match self.framing {
            Framing::Tcp => {
                frame.extend(self.transaction.to_be_bytes());
                frame.extend([0, 0]);
                frame.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
                frame.push(unit);
                frame.extend(pdu);
            }
            Framing::RtuOverTcp => {
                frame.push(unit);
                frame.extend(pdu);
                frame.extend(crc(&frame).to_le_bytes());
            }
        }
        frame
    }
}

/// The checksum of RTU frames.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| match sum & 1 {
            1 => (sum >> 1) ^ 0xA001,
            _ => sum >> 1,
        })
    })
}

/// What the peer does with a request.
pub(crate) enum Reply {
    /// Sends bytes.
    Now(Vec<u8>),
    /// Sends bytes after a time, to whoever is connected then; the line is busy so long.
    Late(Duration, Vec<u8>),
    /// Sends bytes, and the same again after each of these times since then, to whoever is
    /// connected; the line is not busy meanwhile. A copy that is more than the last time late,
    /// because the machine was, is not sent.
    Repeated(Vec<Duration>, Vec<u8>, Duration),
    /// Nothing.
    Silence,
    /// Sends bytes and closes the connection.
    Close(Vec<u8>),
}

type Script = dyn FnMut(Asked) -> Reply + Send;

/// A running peer; it ends with the value.
pub(crate) struct Peer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    overdue: Arc<AtomicUsize>,
    script: Arc<Mutex<Box<Script>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Serves a script on a free port.
    pub(crate) async fn start(
        framing: Framing,
        script: impl FnMut(Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let accepted = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicUsize::new(0));
        let overdue = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let line = Line {
            framing,
            current: Arc::default(),
            accepted: accepted.clone(),
            asked: asked.clone(),
            overdue: overdue.clone(),
        };
        tasks.spawn(line.serve(listener, script.clone()));
        Self {
            address,
            accepted,
            asked,
            overdue,
            script,
            _tasks: tasks,
        }
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The same, for a script.
    pub(crate) fn acceptances(&self) -> Arc<AtomicUsize> {
        self.accepted.clone()
    }

    /// How many requests it has taken up.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many copies of answers were sent later than twice their last time, because the machine was
    /// that slow.
    pub(crate) fn overdue(&self) -> usize {
        self.overdue.load(Ordering::Relaxed)
    }

    /// Does something else from now on.
    pub(crate) async fn follow(&self, script: impl FnMut(Asked) -> Reply + Send + 'static) {
        *self.script.lock().await = Box::new(script);
    }
}

#[derive(Clone)]
struct Line {
    framing: Framing,
    /// Whom answers go to: the newest connection.
    current: Arc<Mutex<Option<OwnedWriteHalf>>>,
    accepted: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    overdue: Arc<AtomicUsize>,
}

impl Line {
    async fn serve(self, listener: TcpListener, script: Arc<Mutex<Box<Script>>>) {
        let (asked, mut questions) = mpsc::channel(1000);
        let line = self.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(question) = questions.recv().await {
                line.asked.fetch_add(1, Ordering::Relaxed);
                let reply = (*script.lock().await)(question);
                answer(&line, reply).await;
            }
        });
        while let Ok((stream, _)) = listener.accept().await {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            let (input, output) = TcpStream::into_split(stream);
            *self.current.lock().await = Some(output);
            tasks.spawn(listen(input, self.framing, asked.clone()));
            while tasks.try_join_next().is_some() {}
        }
    }
}

/// Takes requests off one connection.
async fn listen(mut input: OwnedReadHalf, framing: Framing, asked: mpsc::Sender<Asked>) {
    loop {
        let mut transaction = 0;
        if framing == Framing::Tcp {
            let mut head = [0; 6];
            if input.read_exact(&mut head).await.is_err() {
                return;
            }
            transaction = u16::from_be_bytes([head[0], head[1]]);
        }
        let mut body = [0; 8];
        let length = if framing == Framing::Tcp { 6 } else { 8 };
        if input.read_exact(&mut body[..length]).await.is_err() {
            return;
        }
        let question = Asked {
            unit: body[0],
            function: body[1],
            address: u16::from_be_bytes([body[2], body[3]]),
            count: u16::from_be_bytes([body[4], body[5]]),
            transaction,
            framing,
        };
        if asked.send(question).await.is_err() {
            return;
        }
    }
}

async fn answer(line: &Line, reply: Reply) {
    let start = Instant::now();
    let mut copies = None;
    let (bytes, close) = match reply {
        Reply::Repeated(times, bytes, latest) => {
            copies = Some((times, bytes.clone(), latest));
            (bytes, false)
        }
        Reply::Silence => return,
        Reply::Now(bytes) => (bytes, false),
        Reply::Close(bytes) => (bytes, true),
        Reply::Late(span, bytes) => {
            let never = std::future::pending::<()>();
            drop(tokio::time::timeout(span, never).await);
            (bytes, false)
        }
    };
    let mut current = line.current.lock().await;
    if let Some(output) = current.as_mut() {
        // Whoever asked may be gone; a serial server does not care.
        drop(output.write_all(&bytes).await);
    }
    if close {
        *current = None;
    }
    drop(current);
    if let Some((times, bytes, latest)) = copies {
        tokio::spawn(repeat(line.clone(), start, times, bytes, latest));
    }
}

/// Sends an answer again at some times after it. One that the machine made late is not sent; one that
/// it made late while it was sent is counted.
async fn repeat(
    line: Line,
    start: Instant,
    times: Vec<Duration>,
    bytes: Vec<u8>,
    latest: Duration,
) {
    for time in times {
        tokio::time::sleep_until(start + time).await;
        let mut current = line.current.lock().await;
        let Some(output) = current.as_mut().filter(|_| start.elapsed() < latest) else {
            continue;
        };
        drop(output.try_write(&bytes));
        if start.elapsed() >= latest * 2 {
            line.overdue.fetch_add(1, Ordering::Relaxed);
        }
    }
}
