//! One connection to one endpoint, and one exchange at a time on it. A value leaves here only
//! when unit, function, transaction and every byte of the answer fit the request.
//!
//! A connection whose stream may be out of step is dropped, never repaired.

use super::fault::Fault;
use super::wire::{Exchange, Watch, Wire};
use crate::drivers::{Framing, Leniency, ModbusLink};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_modbus::client::{Client, Context};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error, ExceptionCode, ExceptionResponse, ProtocolError, Request, Response};
use zhiban_core::profile::Table;
use zhiban_core::profile::plan::Shape;

/// How long a serial server must be silent before the first request: a new connection can still
/// be handed the answer to a request of the one before.
const QUIET: Duration = Duration::from_millis(50);
/// A peer that talks unasked for longer than this is not a Modbus server.
const MOST_DRAINING: Duration = Duration::from_secs(2);

/// Registers or bits of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// The table.
    pub(super) table: Table,
    /// The first address, from 0.
    pub(super) address: u16,
    /// How many.
    pub(super) count: u16,
}

impl Ask {
    /// What its answer looks like.
    pub(super) fn shape(self) -> Shape {
        Shape::of(self.table, self.count)
    }

    fn request(self) -> Request<'static> {
        match self.table {
            Table::Coil => Request::ReadCoils(self.address, self.count),
            Table::Discrete => Request::ReadDiscreteInputs(self.address, self.count),
            Table::Holding => Request::ReadHoldingRegisters(self.address, self.count),
            Table::Input => Request::ReadInputRegisters(self.address, self.count),
        }
    }

    /// The values, when there are as many as were asked for; bits as 0 and 1.
    fn values(self, response: Response) -> Result<Vec<u16>, Fault> {
        let count = usize::from(self.count);
        let (mut values, expected) = match (self.table, response) {
            (Table::Coil, Response::ReadCoils(bits))
            | (Table::Discrete, Response::ReadDiscreteInputs(bits)) => {
                let values: Vec<u16> = bits.into_iter().map(u16::from).collect();
                // The codec cannot know how many bits of the last byte count.
                (values, count.next_multiple_of(8))
            }
            (Table::Holding, Response::ReadHoldingRegisters(words))
            | (Table::Input, Response::ReadInputRegisters(words)) => (words, count),
            (Table::Coil | Table::Discrete | Table::Holding | Table::Input, _) => {
                return Err(Fault::WrongFunction);
            }
        };
        match values.len().cmp(&expected) {
            std::cmp::Ordering::Less => Err(Fault::ShortAnswer),
            std::cmp::Ordering::Greater => Err(Fault::LongAnswer),
            std::cmp::Ordering::Equal => {
                values.truncate(count);
                Ok(values)
            }
        }
    }
}

/// The function that reads a table.
pub(super) fn function(table: Table) -> u8 {
    match table {
        Table::Coil => 1,
        Table::Discrete => 2,
        Table::Holding => 3,
        Table::Input => 4,
    }
}

/// The numbers of the requests of one endpoint, over all its connections, from one made by chance on: a number
/// comes again after 65 535 others.
#[derive(Debug, Clone)]
pub(super) struct Numbers(Arc<AtomicU16>);

impl Default for Numbers {
    fn default() -> Self {
        let chance = RandomState::new().build_hasher().finish();
        let [first, second, ..] = chance.to_be_bytes();
        Self(Arc::new(AtomicU16::new(u16::from_be_bytes([
            first, second,
        ]))))
    }
}

impl Numbers {
    fn next(&self) -> u16 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A live connection.
pub(super) struct Connection {
    client: Context,
    watch: Watch,
    framing: Framing,
    leniency: Leniency,
    numbers: Numbers,
    /// Whether anything good ever came over it.
    pub(super) fruitful: bool,
}

impl Connection {
    /// Connects, and waits for silence where the framing needs it.
    pub(super) async fn open(link: &ModbusLink, numbers: Numbers) -> io::Result<Self> {
        let limit = link.connect_timeout.to_std();
        let connecting = TcpStream::connect((link.host.as_str(), link.port));
        let mut stream = timeout(limit, connecting).await??;
        stream.set_nodelay(true)?;
        // The unit is set for each request.
        let unit = Slave(0);
        if !link.answers_are_numbered() {
            drain(&mut stream, QUIET.max(link.gap.to_std())).await?;
        }
        let (wire, watch) = Wire::new(stream);
        let client = match link.framing {
            Framing::Tcp => tokio_modbus::client::tcp::attach_slave(wire, unit),
            Framing::RtuOverTcp => tokio_modbus::client::rtu::attach_slave(wire, unit),
        };
        Ok(Self {
            client,
            watch,
            framing: link.framing,
            leniency: link.leniency,
            numbers,
            fruitful: false,
        })
    }

    /// One exchange. After any fault that does not keep the connection this must be dropped.
    pub(super) async fn read(
        &mut self,
        unit: u8,
        ask: Ask,
        limit: Duration,
    ) -> Result<Vec<u16>, Fault> {
        let numbered = self.framing == Framing::Tcp;
        self.watch.begin(numbered.then(|| self.numbers.next()));
        self.client.set_slave(Slave(unit));
        let Ok(result) = timeout(limit, self.client.call(ask.request())).await else {
            return Err(Fault::Timeout);
        };
        let seen = self.watch.seen();
        let answer = match result {
            Err(Error::Protocol(ProtocolError::HeaderMismatch { result, .. }))
                if self.is_excused(unit) =>
            {
                let refused = |refusal: ExceptionResponse| {
                    let fits = refusal.function.value() == function(ask.table);
                    fits.then_some(refusal.exception)
                        .ok_or(Fault::WrongFunction)
                };
                match result {
                    Ok(response) => Ok(response),
                    Err(refusal) => Err(refused(refusal)?),
                }
            }
            result => result.map_err(|error| self.what_went_wrong(&error, seen, unit))?,
        };
        match answer {
            Err(code) => {
                self.exact(2, seen)?;
                Err(refusal(code))
            }
            Ok(response) => {
                let values = ask.values(response)?;
                self.exact(2 + usize::from(ask.shape().bytes), seen)?;
                Ok(values)
            }
        }
    }

    /// How many bytes the last exchange sent.
    pub(super) fn sent(&self) -> usize {
        self.watch.seen().sent
    }

    /// The first bytes of the last answer, or of what lay there before it was asked for.
    pub(super) fn answer(&self) -> Vec<u8> {
        self.watch.answer()
    }

    /// Unit, function and the byte after them of the last answer.
    pub(super) fn look(&self) -> Option<[u8; 3]> {
        self.watch.three(match self.framing {
            Framing::Tcp => 6,
            Framing::RtuOverTcp => 0,
        })
    }

    /// Whether the site said that what differs in the header of the answer is of no account here:
    /// the transaction, or unit 0 in the place of the unit asked.
    fn is_excused(&self, unit: u8) -> bool {
        let answer = self.watch.answer();
        let (Framing::Tcp, [first, second, _, _, _, _, answered, ..]) =
            (self.framing, answer.as_slice())
        else {
            return false;
        };
        let same = [*first, *second] == self.watch.request();
        (same || self.leniency.any_transaction)
            && (*answered == unit || *answered == 0 && self.leniency.unit_0)
    }

    /// The stream carried one answer of so many bytes after the unit, and nothing else.
    fn exact(&self, pdu: usize, seen: Exchange) -> Result<(), Fault> {
        let around = match self.framing {
            // Transaction, protocol, length, unit.
            Framing::Tcp => 7,
            // Unit, checksum.
            Framing::RtuOverTcp => 3,
        };
        match seen.received == around + pdu {
            true => Ok(()),
            false => Err(Fault::LongAnswer),
        }
    }

    fn what_went_wrong(&self, error: &Error, seen: Exchange, unit: u8) -> Fault {
        match error {
            Error::Transport(_) if seen.ended => Fault::Closed,
            Error::Transport(_) => Fault::Garbage,
            Error::Protocol(ProtocolError::FunctionCodeMismatch { .. }) => Fault::WrongFunction,
            Error::Protocol(ProtocolError::HeaderMismatch { .. }) => {
                let answered = self.look().map(|[answered, ..]| answered);
                match self.framing {
                    Framing::Tcp if answered == Some(unit) => Fault::WrongTransaction,
                    Framing::Tcp | Framing::RtuOverTcp => Fault::WrongUnit,
                }
            }
        }
    }
}

fn refusal(code: ExceptionCode) -> Fault {
    match u8::from(code) {
        code @ (0x0A | 0x0B) => Fault::Unreachable(code),
        code => Fault::Refused(code),
    }
}

/// Reads and forgets until nothing came for a while.
async fn drain(stream: &mut TcpStream, quiet: Duration) -> io::Result<()> {
    let mut waste = [0; 512];
    let end = Instant::now() + MOST_DRAINING;
    while Instant::now() < end {
        match timeout(quiet, stream.read(&mut waste)).await {
            Err(_) => return Ok(()),
            Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn link_to(listener: &TcpListener, framing: Framing) -> ModbusLink {
        ModbusLink {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            framing,
            timeout: zhiban_core::Duration::from_secs(5),
            connect_timeout: zhiban_core::Duration::from_secs(5),
            gap: zhiban_core::Duration::ZERO,
            repeat_window: zhiban_core::Duration::ZERO,
            leniency: Leniency::default(),
        }
    }

    fn numbers_from(number: u16) -> Numbers {
        Numbers(Arc::new(AtomicU16::new(number)))
    }

    /// A gateway that hands what it owes to the newest connection: by its number it fits nothing there.
    #[tokio::test]
    async fn numbers_go_on_over_connections_so_that_what_is_owed_fits_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = link_to(&listener, Framing::Tcp);
        let numbers = numbers_from(u16::MAX - 1);
        let limit = Duration::from_secs(30);
        let server = async {
            let mut seen = Vec::new();
            let mut owed = Vec::new();
            for turn in 0..3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 12];
                stream.read_exact(&mut request).await.unwrap();
                let [high, low, ..] = request;
                seen.push(u16::from_be_bytes([high, low]));
                let value = [0, turn, 0, 2, 0, 3, 0, 4];
                let mut answer = vec![high, low, 0, 0, 0, 11, 1, 3, 8];
                answer.extend(value);
                match turn {
                    0 => owed = answer,
                    1 => stream.write_all(&owed).await.unwrap(),
                    _ => stream.write_all(&answer).await.unwrap(),
                }
            }
            seen
        };
        let client = async {
            let mut got = Vec::new();
            for turn in 0..3 {
                let mut connection = Connection::open(&link, numbers.clone()).await.unwrap();
                let limit = match turn {
                    0 => Duration::from_millis(1),
                    _ => limit,
                };
                got.push(connection.read(1, ASK, limit).await);
            }
            got
        };
        let (seen, got) = tokio::join!(server, client);
        assert_eq!(seen, [u16::MAX - 1, u16::MAX, 0]);
        assert_eq!(got[1], Err(Fault::WrongTransaction));
        assert_eq!(got[2], Ok(vec![2, 2, 3, 4]));
    }

    const ASK: Ask = Ask {
        table: Table::Holding,
        address: 0,
        count: 4,
    };

    /// What an exchange makes of these bytes.
    async fn answered(framing: Framing, bytes: &[u8]) -> Result<Vec<u16>, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let link = link_to(&listener, framing);
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 12];
            let length = if framing == Framing::Tcp { 12 } else { 8 };
            stream.read_exact(&mut request[..length]).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        };
        let client = async {
            let mut connection = Connection::open(&link, numbers_from(0)).await.unwrap();
            connection.read(7, ASK, link.timeout.to_std()).await
        };
        tokio::join!(peer, client).1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_bytes_but_the_answer_are_a_value(
            start in 0..9_usize,
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let right = [0, 0, 0, 0, 0, 11, 7, 3, 8];
            let bytes = [&right[..start], &noise].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let answer = runtime.unwrap().block_on(answered(Framing::Tcp, &bytes));
            let is_answer = bytes.len() == 17 && bytes.starts_with(&right);
            prop_assert_eq!(answer.is_ok(), is_answer);
        }

    }

    proptest! {
        // Each case waits for silence first.
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn no_bytes_without_their_checksum_are_a_value(
            start in 0..4_usize,
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [&[7, 3, 8][..start.min(3)], &noise].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let answer = runtime.unwrap().block_on(answered(Framing::RtuOverTcp, &bytes));
            prop_assert!(answer.is_err());
        }
    }

    #[tokio::test]
    async fn the_right_answer_is_a_value() {
        let words = [0, 1, 0, 2, 0, 3, 0, 4];
        let tcp = [&[0, 0, 0, 0, 0, 11, 7, 3, 8][..], &words].concat();
        let rtu = [&[7, 3, 8][..], &words, &[0x13, 0x9C]].concat();
        for (framing, bytes) in [(Framing::Tcp, tcp), (Framing::RtuOverTcp, rtu)] {
            assert_eq!(
                answered(framing, &bytes).await,
                Ok(vec![1, 2, 3, 4]),
                "{framing:?}"
            );
        }
    }
}
