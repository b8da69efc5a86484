//! One endpoint: its connection, made when it is needed and allowed, what is still owed on it, and
//! what the line may repeat. A connection that may be out of step is never used again, and no request
//! is sent that a repeated answer would fit.

use super::connection::{Ask, Connection, Numbers};
use super::fault::Fault;
use super::fence::{Fence, Step};
use super::heard::Heard;
use super::reach::Reach;
use crate::drivers::backoff::Backoff;
use crate::drivers::{Framing, ModbusLink};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// So many of the last answers are known again when the line repeats them.
const FRAMES: usize = 8;
/// With what guards life behind it, the longest time from one attempt to connect to the next.
const LIFE_SAFETY: Duration = Duration::from_secs(4);

/// An endpoint: at most one connection, made when it is needed and allowed.
pub(super) struct Endpoint {
    link: ModbusLink,
    numbers: Numbers,
    connection: Option<Connection>,
    backoff: Backoff,
    not_before: Option<Instant>,
    last: Option<Instant>,
    fence: Fence,
    heard: Heard,
    reach: Reach,
    /// The last answers, to know a repeated one by.
    frames: VecDeque<Vec<u8>>,
    /// What came last that was no value.
    answer: Vec<u8>,
    /// Something came that was neither asked for nor a repeated answer.
    surplus: bool,
    /// The connection was given up because nobody was reached over it.
    renewed: bool,
    connects: metrics::Counter,
    repeats: metrics::Counter,
}

impl Endpoint {
    /// An endpoint that is not connected yet.
    pub(super) fn new(link: ModbusLink, name: &str, life_safety: bool) -> Self {
        let labels = [("link", name.to_owned())];
        Self {
            heard: Heard::new(link.repeat_window.to_std()),
            link,
            numbers: Numbers::default(),
            connection: None,
            backoff: match life_safety {
                true => Backoff::at_most(LIFE_SAFETY),
                false => Backoff::default(),
            },
            not_before: None,
            last: None,
            fence: Fence::default(),
            reach: Reach::default(),
            frames: VecDeque::with_capacity(FRAMES),
            answer: Vec::new(),
            surplus: false,
            renewed: false,
            repeats: metrics::counter!("zhiban_modbus_repeats_total", &labels),
            connects: metrics::counter!("zhiban_modbus_connects_total", &labels),
        }
    }

    /// Host and port.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.link.host, self.link.port)
    }

    /// What a fault is called to people, by what came instead of an answer.
    pub(super) fn explain(&self, fault: Fault) -> &'static str {
        let is_other = match self.link.framing {
            Framing::Tcp => is_rtu_frame(&self.answer),
            Framing::RtuOverTcp => is_tcp_frame(&self.answer),
        };
        // Bytes 2 and 3 of every Modbus TCP frame are zero.
        let is_modbus = self.link.framing != Framing::Tcp
            || self
                .answer
                .get(2..4)
                .is_none_or(|protocol| protocol == [0, 0]);
        let is_silence = fault == Fault::Timeout;
        if is_other && (is_silence || fault.is_bad_answer()) {
            "other_framing"
        } else if is_silence && !is_modbus {
            Fault::Garbage.kind()
        } else if is_silence && !self.answer.is_empty() {
            "incomplete"
        } else {
            fault.kind()
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// How long an exchange may take.
    pub(super) fn limit(&self) -> Duration {
        self.link.timeout.to_std()
    }

    /// What to do before a unit is read, given small requests that may serve as a fence.
    pub(super) fn step(&self, unit: u8, choices: &[Ask]) -> Step {
        if !self.fence.owes_any(unit) {
            return Step::Read;
        }
        let now = Instant::now();
        let free_at = |ask: &Ask| self.heard.free_at(unit, *ask).filter(|at| *at > now);
        let free: Vec<Ask> = choices
            .iter()
            .filter(|ask| free_at(ask).is_none())
            .copied()
            .collect();
        match choices.iter().filter_map(free_at).min() {
            Some(at) if free.is_empty() => Step::Later(at),
            _ => self.fence.step(unit, &free, now, self.late_span()),
        }
    }

    /// When a request may be sent: not while a repeated answer could be taken for its own.
    pub(super) fn free_at(&self, unit: u8, ask: Ask) -> Option<Instant> {
        self.heard.free_at(unit, ask)
    }

    /// A request was answered in a way that does not say which request it was.
    pub(super) fn owes(&mut self, unit: u8, ask: Ask) {
        self.fence.owes(unit, ask.shape(), Instant::now(), false);
    }

    /// An answer came that settles what the unit owed. That may have come just before, unseen.
    pub(super) fn settled(&mut self, unit: u8) {
        let now = Instant::now();
        for shape in self.fence.passed(unit) {
            self.heard.shape(unit, shape, now);
        }
    }

    /// Whether something came since this was last asked that nobody can explain: what was taken for
    /// an answer just before may have been an old one, and this the right one.
    pub(super) fn take_surplus(&mut self) -> bool {
        std::mem::take(&mut self.surplus)
    }

    /// Whether the connection was given up because nobody was reached over it, since this was last
    /// asked.
    pub(super) fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.renewed)
    }

    /// The first bytes of what came last and was no value.
    pub(super) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Whether what disturbed this unit may be the late answer of another that was silent.
    pub(super) fn others_owe(&self, unit: u8) -> bool {
        let span = self.late_span();
        self.fence.others_owe(unit, Instant::now(), span)
    }

    /// How long after its request an answer may still come.
    fn late_span(&self) -> Duration {
        self.limit() * 3
    }

    /// Waits until an attempt is allowed, and makes it.
    pub(super) async fn open(&mut self) -> io::Result<()> {
        if let Some(at) = self.not_before {
            sleep_until(at).await;
        }
        self.connect().await
    }

    async fn connect(&mut self) -> io::Result<()> {
        self.connects.increment(1);
        let begun = Instant::now();
        match Connection::open(&self.link, self.numbers.clone()).await {
            Ok(connection) => {
                self.connection = Some(connection);
                self.not_before = None;
                Ok(())
            }
            Err(error) => {
                // Counted from the beginning: a host that says nothing takes the whole time to connect.
                self.not_before = Some(self.backoff.failed(begun));
                Err(error)
            }
        }
    }

    /// Reads from a unit within a limit.
    pub(super) async fn exchange(
        &mut self,
        unit: u8,
        ask: Ask,
        limit: Duration,
    ) -> Result<Vec<u16>, Fault> {
        let reused = self.connection.is_some();
        self.until_free(unit, ask).await;
        let result = self.attempt(unit, ask, limit).await;
        match result {
            // The idle connection had been closed, or was not silent: nothing is lost yet. What was
            // heard on it may be repeated, too.
            Err((_, Sent::Nothing)) if reused => {
                self.until_free(unit, ask).await;
                self.attempt(unit, ask, limit).await
            }
            result => result,
        }
        .map_err(|(fault, _)| fault)
    }

    async fn until_free(&mut self, unit: u8, ask: Ask) {
        if let Some(at) = self.free_at(unit, ask) {
            sleep_until(at).await;
        }
    }

    async fn attempt(
        &mut self,
        unit: u8,
        ask: Ask,
        limit: Duration,
    ) -> Result<Vec<u16>, (Fault, Sent)> {
        self.answer.clear();
        let none = (Fault::NoConnection, Sent::Nothing);
        if self.connection.is_none() {
            if self.not_before.is_some_and(|at| Instant::now() < at) {
                return Err(none);
            }
            self.connect().await.map_err(|_| none)?;
        }
        let mut connection = self.connection.take().ok_or(none)?;
        let gap = self.link.gap.to_std();
        if let Some(last) = self.last.filter(|_| !gap.is_zero()) {
            sleep_until(last + gap).await;
        }
        let result = connection.read(unit, ask, limit).await;
        let now = Instant::now();
        self.last = Some(now);
        let sent = if connection.sent() == 0 {
            Sent::Nothing
        } else {
            Sent::Request
        };
        if let Some(look) = connection.look() {
            self.heard.frame(look, now);
        }
        match result {
            Ok(values) => {
                self.reach.reached();
                self.know(&connection);
                connection.fruitful = true;
                self.connection = Some(connection);
                Ok(values)
            }
            Err(fault) => {
                self.failed(fault, unit, ask, sent, connection);
                Err((fault, sent))
            }
        }
    }

    /// What a failed exchange means for the connection and for what the unit owes.
    fn failed(&mut self, fault: Fault, unit: u8, ask: Ask, sent: Sent, mut connection: Connection) {
        let now = Instant::now();
        self.answer = connection.answer();
        if fault.keeps_connection() {
            let unreachable = matches!(fault, Fault::Unreachable(_));
            if !unreachable {
                self.reach.reached();
            }
            self.know(&connection);
            connection.fruitful = true;
            if unreachable && self.reach.unreachable(now) {
                self.renewed = true;
            } else {
                self.connection = Some(connection);
            }
        } else if fault == Fault::Closed && sent == Sent::Request {
            self.not_before = Some(match connection.fruitful {
                true => Backoff::interrupted(now),
                false => self.backoff.failed(now),
            });
        } else if fault.is_bad_answer() && !self.link.answers_are_numbered() {
            match self.frames.contains(&self.answer) {
                true => self.repeats.increment(1),
                false => self.surplus = true,
            }
        }
        if sent == Sent::Request && !matches!(fault, Fault::Refused(_)) {
            let silent = matches!(fault, Fault::Timeout | Fault::Closed);
            self.fence.owes(unit, ask.shape(), now, silent);
        }
    }

    /// Keeps an answer, to know it again should the line repeat it.
    fn know(&mut self, connection: &Connection) {
        if self.link.answers_are_numbered() {
            return;
        }
        if self.frames.len() >= FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(connection.answer());
    }
}

/// Whether bytes are one RTU frame: a unit, a function and so on, and their checksum.
fn is_rtu_frame(bytes: &[u8]) -> bool {
    let sum = |sum: u16, byte: &u8| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| match sum & 1 {
            1 => (sum >> 1) ^ 0xA001,
            _ => sum >> 1,
        })
    };
    // With its own checksum at the end the sum of a frame is zero.
    bytes.len() >= 5 && bytes.iter().fold(0xFFFF, sum) == 0
}

/// Whether bytes are one frame of Modbus TCP: protocol 0, and as long as it says.
fn is_tcp_frame(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, 0, 0, high, low, rest @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) == rest.len() && rest.len() >= 3
        }
        _ => false,
    }
}

/// How far an exchange came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Request,
}
