//! The TCP stream below the Modbus codec, watched: how many bytes an answer really had, how it
//! began, and whether anything lay there before it was asked for. It must never change a byte, but for the numbers of
//! Modbus TCP: the codec begins with 0 on each connection, and on the line they go on over all connections, so that the
//! late answer to a request of an older connection fits no new one.
//!
//! Whether something lay there is asked of the system itself: what the runtime knows of a socket may be
//! older than what came since. The codec skips garbage until a checksum fits and ignores what follows an answer; a value is
//! only trusted when the stream carried exactly the answer and nothing else.

use socket2::SockRef;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What one exchange did on the stream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Exchange {
    /// Bytes sent.
    pub(super) sent: usize,
    /// Bytes received.
    pub(super) received: usize,
    /// The peer closed the stream, or it failed.
    pub(super) ended: bool,
    /// Bytes came that nobody had asked for yet.
    pub(super) unasked: bool,
}

/// So many bytes of an answer are kept to be shown.
const KEPT: usize = 64;

/// An exchange with its bytes.
#[derive(Debug, Default)]
struct Record {
    seen: Exchange,
    /// The first bytes sent.
    request: [u8; 2],
    /// The number that the exchange has on the line; `None` where frames have none.
    number: Option<[u8; 2]>,
    /// By which bits it differs from that of the codec.
    mask: [u8; 2],
    /// The first bytes received.
    answer: Vec<u8>,
}

impl Record {
    /// Gives the next bytes to be sent the number that the exchange has on the line.
    fn number(&mut self, bytes: &mut [u8]) {
        if let (0, [first, second, ..]) = (self.seen.sent, &*bytes) {
            let [high, low] = self.number.unwrap_or([*first, *second]);
            self.mask = [first ^ high, second ^ low];
            self.request = [high, low];
        }
        self.renumber(self.seen.sent, bytes);
    }

    /// Turns the number of the codec into that on the line, or back, in bytes that begin at a place of the frame.
    fn renumber(&self, from: usize, bytes: &mut [u8]) {
        let mask = self.mask.iter().skip(from);
        bytes
            .iter_mut()
            .zip(mask)
            .for_each(|(byte, bits)| *byte ^= bits);
    }
}

/// The eyes on a [`Wire`].
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Record>>);

impl Watch {
    /// Starts the record of an exchange.
    pub(super) fn begin(&self, number: Option<u16>) {
        let mut record = self.lock();
        record.seen = Exchange::default();
        record.number = number.map(u16::to_be_bytes);
        record.mask = [0; 2];
        record.request = [0; 2];
        record.answer.clear();
    }

    /// What happened since [`Watch::begin`].
    pub(super) fn seen(&self) -> Exchange {
        self.lock().seen
    }

    /// The first two bytes sent.
    pub(super) fn request(&self) -> [u8; 2] {
        self.lock().request
    }

    /// The first bytes received; not all of a long answer.
    pub(super) fn answer(&self) -> Vec<u8> {
        self.lock().answer.clone()
    }

    /// Three bytes of the answer from a place on; `None` when it has not so many.
    pub(super) fn three(&self, from: usize) -> Option<[u8; 3]> {
        let record = self.lock();
        let found = record.answer.get(from..from + 3)?;
        found.try_into().ok()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watched TCP stream.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    watch: Watch,
}

impl Wire {
    /// Puts a watch on a stream.
    pub(super) fn new(stream: TcpStream) -> (Self, Watch) {
        let watch = Watch::default();
        let wire = Self {
            stream,
            watch: watch.clone(),
        };
        (wire, watch)
    }

    /// Refuses to send into a stream that is not silent.
    fn must_be_silent(&self) -> io::Result<()> {
        let mut bytes = [0; KEPT];
        let mut record = self.watch.lock();
        match (&*SockRef::from(&self.stream)).read(&mut bytes) {
            Ok(0) => record.seen.ended = true,
            Ok(length) => {
                record.seen.unasked = true;
                record.answer = bytes.into_iter().take(length).collect();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => record.seen.ended = true,
        }
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let fresh = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        let mut record = self.watch.lock();
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !fresh.is_empty() => {
                let room = KEPT.saturating_sub(record.answer.len());
                record.answer.extend(fresh.iter().take(room));
                record.renumber(record.seen.received, fresh);
                record.seen.received += fresh.len();
            }
            Poll::Ready(_) => record.seen.ended = true,
        }
        drop(record);
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watch.seen().sent == 0 {
            self.must_be_silent()?;
        }
        let mut own = bytes.to_vec();
        self.watch.lock().number(&mut own);
        let result = Pin::new(&mut self.stream).poll_write(context, &own);
        let mut record = self.watch.lock();
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(length)) => record.seen.sent += length,
            Poll::Ready(Err(_)) => record.seen.ended = true,
        }
        drop(record);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
