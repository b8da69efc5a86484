//! One endpoint: its connection, made when it is needed and allowed, and what is still owed on it.
//! A connection that may be out of step is never used again.

use super::connection::{Ask, Connection};
use super::fault::Fault;
use super::fence::{Fence, Step};
use crate::drivers::ModbusLink;
use crate::drivers::backoff::Backoff;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// An endpoint: at most one connection, made when it is needed and allowed.
pub(super) struct Endpoint {
    link: ModbusLink,
    connection: Option<Connection>,
    backoff: Backoff,
    not_before: Option<Instant>,
    last: Option<Instant>,
    fence: Fence,
    connects: metrics::Counter,
}

impl Endpoint {
    /// An endpoint that is not connected yet.
    pub(super) fn new(link: ModbusLink, name: &str) -> Self {
        let labels = [("link", name.to_owned())];
        Self {
            link,
            connection: None,
            backoff: Backoff::default(),
            not_before: None,
            last: None,
            fence: Fence::default(),
            connects: metrics::counter!("zhiban_modbus_connects_total", &labels),
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
        let span = self.late_span();
        self.fence.step(unit, choices, Instant::now(), span)
    }

    /// A request was answered in a way that does not say which request it was.
    pub(super) fn owes(&mut self, unit: u8, ask: Ask) {
        self.fence.owes(unit, ask.shape(), Instant::now(), false);
    }

    /// An answer came that settles what the unit owed.
    pub(super) fn settled(&mut self, unit: u8) {
        self.fence.passed(unit);
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
        match Connection::open(&self.link).await {
            Ok(connection) => {
                self.connection = Some(connection);
                self.not_before = None;
                Ok(())
            }
            Err(error) => {
                self.not_before = Some(self.backoff.failed(Instant::now()));
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
        let result = self.attempt(unit, ask, limit).await;
        match result {
            // The idle connection had been closed, or was not silent: nothing is lost yet.
            Err((_, Sent::Nothing)) if reused => self.attempt(unit, ask, limit).await,
            result => result,
        }
        .map_err(|(fault, _)| fault)
    }

    async fn attempt(
        &mut self,
        unit: u8,
        ask: Ask,
        limit: Duration,
    ) -> Result<Vec<u16>, (Fault, Sent)> {
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
        match result {
            Ok(values) => {
                connection.fruitful = true;
                self.connection = Some(connection);
                Ok(values)
            }
            Err(fault) => {
                if fault.keeps_connection() {
                    connection.fruitful = true;
                    self.connection = Some(connection);
                } else if fault == Fault::Closed && sent == Sent::Request {
                    self.not_before = Some(match connection.fruitful {
                        true => Backoff::interrupted(now),
                        false => self.backoff.failed(now),
                    });
                }
                if sent == Sent::Request && !matches!(fault, Fault::Refused(_)) {
                    let silent = matches!(fault, Fault::Timeout | Fault::Closed);
                    self.fence.owes(unit, ask.shape(), now, silent);
                }
                Err((fault, sent))
            }
        }
    }
}

/// How far an exchange came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Request,
}
