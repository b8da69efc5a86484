//! One connection to a broker: bytes in, bytes out, and whether the other end is still there.
//!
//! Reading may rest while the gateway is behind; the keep-alive goes on meanwhile, so that the
//! broker waits instead of ending the connection. It must never wait for anything but the network.

use super::frames::{Frame, Frames};
use super::tls;
use crate::drivers::MqttLink;
use bytes::BytesMut;
use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::tokio_rustls::rustls::pki_types::ServerName;
use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, Login, Packet, PubAck, Subscribe, Unsubscribe, mqttbytes,
};
use secrecy::ExposeSecret;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// How many filters go into one request.
pub(super) const FILTERS: usize = 50;
/// How long it may take until the broker has accepted the connection.
const OPEN: Duration = Duration::from_secs(5);
/// Room that is made for each read.
const READ: usize = 16 * 1024;
/// Bytes that may wait to be written before no more acknowledgements are added.
const WRITE: usize = 64 * 1024;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It could not be had, or the network ended it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The broker ended it.
    #[error("the broker closed the connection")]
    Closed,
    /// Nothing came back in time.
    #[error("the broker does not answer")]
    Silent,
    /// The broker takes nothing any more.
    #[error("the broker does not read what it is sent")]
    Stuck,
    /// It does not want this client.
    #[error("the broker refuses the connection: {0:?}")]
    Refused(ConnectReturnCode),
    /// It speaks no MQTT 3.1.1.
    #[error("what came is no MQTT: {0}")]
    Protocol(#[from] mqttbytes::Error),
    /// It cannot be encrypted.
    #[error("encryption: {0}")]
    Tls(#[from] tls::TlsError),
}

impl Broken {
    /// Whether the other end closed it, in whatever manner.
    pub(super) fn by_peer(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            ),
            Self::Silent | Self::Stuck | Self::Refused(_) | Self::Protocol(_) | Self::Tls(_) => {
                false
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that the broker accepted.
pub(super) struct Line {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: Frames,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// Whether something was written that may still wait inside the encryption.
    unflushed: bool,
    keep_alive: Duration,
    /// When the broker is asked next whether it is there.
    ask: Instant,
    /// When it was asked last.
    asked: Option<Instant>,
    /// When anything came last, or could not have been read.
    heard: Instant,
    /// When it took something last, or nothing waited for it.
    taken: Instant,
}

impl Line {
    /// Connects, signs in and waits for the broker's answer.
    ///
    /// # Errors
    /// The broker cannot be reached or does not take this client.
    pub(super) async fn open(link: &MqttLink) -> Result<(Self, ConnAck), Broken> {
        match timeout(OPEN, Self::accepted(link)).await {
            Ok(opened) => opened,
            Err(_) => Err(Broken::Silent),
        }
    }

    async fn accepted(link: &MqttLink) -> Result<(Self, ConnAck), Broken> {
        let keep_alive = link.keep_alive.to_std();
        let keep_alive = keep_alive.clamp(Duration::from_secs(1), Duration::from_secs(3600));
        let mut line = Self::new(stream(link).await?, keep_alive);
        let mut connect = Connect::new(&link.client_id);
        connect.clean_session = false;
        connect.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        connect.login = link.credentials.as_ref().map(|(user, password)| {
            let password = password.expose_secret();
            Login::new(user.as_str(), password)
        });
        line.put(Packet::Connect(connect))?;
        loop {
            match line.frame()? {
                None => line.work(true).await?,
                Some(Frame::Packet(Packet::ConnAck(answer))) => {
                    if answer.code != ConnectReturnCode::Success {
                        return Err(Broken::Refused(answer.code));
                    }
                    return Ok((line, answer));
                }
                Some(_) => return Err(mqttbytes::Error::IncorrectPacketFormat.into()),
            }
        }
    }

    fn new(stream: Box<dyn Stream>, keep_alive: Duration) -> Self {
        let (reader, writer) = split(stream);
        let now = Instant::now();
        Self {
            reader,
            writer,
            frames: Frames::default(),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            unflushed: false,
            keep_alive,
            ask: now + keep_alive,
            asked: None,
            heard: now,
            taken: now,
        }
    }

    /// A connection on which nothing was said yet.
    #[cfg(test)]
    pub(super) async fn unanswered(link: &MqttLink) -> Result<Self, Broken> {
        Ok(Self::new(stream(link).await?, link.keep_alive.to_std()))
    }

    /// The next packet of what was read; `None` until more was.
    ///
    /// # Errors
    /// It is no MQTT.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        Ok(self.frames.next(&mut self.incoming)?)
    }

    /// Acknowledges a message. Says whether there was room for that.
    ///
    /// # Errors
    /// Never for a number that the broker gave.
    pub(super) fn acknowledge(&mut self, packet: u16) -> Result<bool, Broken> {
        let room = self.outgoing.len() < WRITE;
        if room {
            self.put(Packet::PubAck(PubAck::new(packet)))?;
        }
        Ok(room)
    }

    /// Asks for topics.
    ///
    /// # Errors
    /// A filter is not valid.
    pub(super) fn subscribe(&mut self, request: Subscribe) -> Result<(), Broken> {
        self.put(Packet::Subscribe(request))
    }

    /// Takes topics back.
    ///
    /// # Errors
    /// A filter is too long.
    pub(super) fn unsubscribe(&mut self, request: Unsubscribe) -> Result<(), Broken> {
        self.put(Packet::Unsubscribe(request))
    }

    fn put(&mut self, packet: Packet) -> Result<(), Broken> {
        if self.outgoing.is_empty() {
            self.taken = Instant::now();
        }
        packet.write(&mut self.outgoing, usize::MAX)?;
        Ok(())
    }

    /// Waits until something was read, if that is wanted, or written, or it was time to ask. Losing
    /// interest half-way loses nothing.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn work(&mut self, reading: bool) -> Result<(), Broken> {
        let now = Instant::now();
        if reading {
            self.incoming.reserve(READ);
        } else {
            self.heard = now;
        }
        let writing = !self.outgoing.is_empty() || self.unflushed;
        tokio::select! {
            read = self.reader.read_buf(&mut self.incoming), if reading => {
                if read? == 0 {
                    return Err(Broken::Closed);
                }
                self.heard = Instant::now();
            }
            written = write(&mut self.writer, &mut self.outgoing), if writing => {
                self.unflushed = !written?;
                self.taken = Instant::now();
            }
            () = sleep_until(self.ask) => self.ask_again(Instant::now())?,
        }
        Ok(())
    }

    /// Any byte is an answer: one behind a very large message may be long on its way.
    fn ask_again(&mut self, now: Instant) -> Result<(), Broken> {
        if self.asked.is_some_and(|asked| self.heard < asked) {
            return Err(Broken::Silent);
        }
        if !self.outgoing.is_empty() && now - self.taken >= self.keep_alive {
            return Err(Broken::Stuck);
        }
        self.put(Packet::PingReq)?;
        self.asked = Some(now);
        self.ask = now + self.keep_alive;
        Ok(())
    }
}

/// Writes some of what waits, or has what was written leave. Says whether all has left.
async fn write(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    outgoing: &mut BytesMut,
) -> io::Result<bool> {
    if outgoing.is_empty() {
        writer.flush().await?;
        return Ok(true);
    }
    if writer.write_buf(outgoing).await? == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(false)
}

async fn stream(link: &MqttLink) -> Result<Box<dyn Stream>, Broken> {
    let tls = link.tls.as_ref().map(tls::config).transpose()?;
    let tcp = TcpStream::connect((link.host.as_str(), link.port)).await?;
    tcp.set_nodelay(true)?;
    let Some(config) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(link.host.clone()).map_err(io::Error::other)?;
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    Ok(Box::new(encrypted.await?))
}
