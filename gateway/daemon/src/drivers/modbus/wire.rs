//! The TCP stream below the Modbus codec, watched: how many bytes an answer really had, how it
//! began, and whether anything lay there before it was asked for. It must never change a byte.
//!
//! The codec skips garbage until a checksum fits and ignores what follows an answer; a value is
//! only trusted when the stream carried exactly the answer and nothing else.

use std::io;
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
    /// The first bytes received.
    pub(super) head: [u8; 8],
    /// The peer closed the stream, or it failed.
    pub(super) ended: bool,
    /// Bytes came that nobody had asked for yet.
    pub(super) unasked: bool,
}

/// The eyes on a [`Wire`].
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Exchange>>);

impl Watch {
    /// Starts the record of an exchange.
    pub(super) fn begin(&self) {
        *self.lock() = Exchange::default();
    }

    /// What happened since [`Watch::begin`].
    pub(super) fn seen(&self) -> Exchange {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
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
        let mut one = [0];
        let mut seen = self.watch.lock();
        match self.stream.try_read(&mut one) {
            Ok(0) => seen.ended = true,
            Ok(_) => seen.unasked = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => seen.ended = true,
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
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let mut seen = self.watch.lock();
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !fresh.is_empty() => {
                let start = seen.received;
                let places = seen.head.iter_mut().skip(start);
                places.zip(fresh).for_each(|(place, byte)| *place = *byte);
                seen.received += fresh.len();
            }
            Poll::Ready(_) => seen.ended = true,
        }
        drop(seen);
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watch.lock().sent == 0 {
            self.must_be_silent()?;
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        let mut seen = self.watch.lock();
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(length)) => seen.sent += length,
            Poll::Ready(Err(_)) => seen.ended = true,
        }
        drop(seen);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
