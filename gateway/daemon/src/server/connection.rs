//! One connection of the web server: it has a place, leaves when it must make room, and may not stand still for ever.
//!
//! A peer that vanished, or takes nothing of what it asked for, must not keep its descriptor.

use super::places::{Busy, Places, Slot};
use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use http_body::{Body, Frame, SizeHint};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How long a peer may take nothing of what is ready for it, or acknowledge nothing of what was sent.
const STALLED: Duration = Duration::from_secs(30);

/// Who is at the other end, and the place it has.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) slot: Arc<Slot>,
}

impl Address for Peer {
    type Stream = Connection;
    type Listener = Door;
}

impl Connected<Peer> for Peer {
    fn connect_info(peer: Peer) -> Self {
        peer
    }
}

/// Lets connections in, each when there is a place for it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) places: Arc<Places>,
}

impl AddrListener<Connection, Peer> for Door {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn accept_stream(&self) -> io::Result<(Connection, Peer)> {
        loop {
            self.places.room().await;
            let (stream, address) = self.listener.accept().await?;
            // Closed by dropping it, when there is no place.
            let Some(slot) = self.places.take(address) else {
                continue;
            };
            if let Err(error) = set_options(&stream) {
                tracing::debug!(%error, "the options of a connection cannot be set");
            }
            let leave = slot.leave().cancelled_owned();
            let connection = Connection {
                stream,
                leave: Box::pin(leave),
                stalled: None,
                _slot: slot.clone(),
            };
            return Ok((connection, Peer { address, slot }));
        }
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// A peer that is gone without a word is noticed within half a minute, whether or not something is sent to it.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    let millis = u32::try_from(STALLED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, millis)?;
    sockopt::set_tcp_keepidle(stream, STALLED / 2)?;
    sockopt::set_tcp_keepintvl(stream, STALLED / 6)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

/// The stream of bytes.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    leave: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _slot: Arc<Slot>,
}

impl Connection {
    /// Ends a connection whose peer takes nothing for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(stalled.as_mut().poll(context));
        let closed =
            metrics::counter!("zhiban_http_connections_closed_total", "reason" => "stalled");
        closed.increment(1);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leave.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, shut)
    }
}

/// A request's body that says when it is there.
pub(crate) struct Coming {
    pub(crate) body: axum::body::Body,
    pub(crate) busy: Arc<Busy>,
}

impl Body for Coming {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.busy.answers();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that keeps its connection marked as answering until it is sent or given up.
pub(crate) struct Answering {
    pub(crate) body: axum::body::Body,
    pub(crate) _busy: Arc<Busy>,
}

impl Body for Answering {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
