//! The Modbus side: units, how they answer, and how they misbehave on demand.
//! Frames are made by hand, because a device that lies must be able to send wrong ones. Nothing can be written.

pub(crate) mod frame;
pub(crate) mod garbage;
pub(crate) mod server;

use serde::Serialize;

use crate::registers::{Image, Table};
use crate::rng::Rng;

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;

/// How a unit answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behaviour {
    #[default]
    Normal,
    Silent,
    Slow,
    Late,
    Garbage,
}

/// What a unit has been asked and has answered since the start.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counters {
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) exceptions: u64,
    pub(crate) unanswered: u64,
    pub(crate) spoiled: u64,
    pub(crate) write_attempts: u64,
}

/// One unit behind the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) id: u8,
    pub(crate) behaviour: Behaviour,
    pub(crate) counters: Counters,
    rng: Rng,
}

/// What leaves the unit, before it is framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A frame from `unit`, which a liar may have forged.
    Frame { unit: u8, pdu: Vec<u8> },
    /// The first half of such a frame.
    Cut { unit: u8, pdu: Vec<u8> },
    /// Bytes that are no frame at all.
    Noise(Vec<u8>),
    /// Nothing.
    Silence,
}

impl Unit {
    pub(crate) fn new(id: u8, seed: u64) -> Self {
        Self {
            id,
            behaviour: Behaviour::Normal,
            counters: Counters::default(),
            rng: Rng::new(seed, 0x100 + u64::from(id)),
        }
    }

    /// Answers a request as the unit behaves at present.
    pub(crate) fn reply(&mut self, image: &Image, request: &[u8]) -> Reply {
        self.counters.requests += 1;
        if request.first().is_some_and(|function| is_write(*function)) {
            self.counters.write_attempts += 1;
        }
        match self.behaviour {
            Behaviour::Silent => {
                self.counters.unanswered += 1;
                return Reply::Silence;
            }
            Behaviour::Garbage => {
                let honest = answer(image, request);
                let turn = self.counters.spoiled;
                self.counters.spoiled += 1;
                return garbage::spoil(turn, self.id, honest, &mut self.rng);
            }
            Behaviour::Normal | Behaviour::Slow | Behaviour::Late => {}
        }
        let pdu = answer(image, request);
        if pdu.first().is_some_and(|function| function & 0x80 != 0) {
            self.counters.exceptions += 1;
        } else {
            self.counters.answered += 1;
        }
        Reply::Frame { unit: self.id, pdu }
    }
}

/// Whether a function code would change the device.
fn is_write(function: u8) -> bool {
    matches!(function, 5 | 6 | 15 | 16 | 21 | 22 | 23)
}

/// Returns the exception answer to `function`.
pub(crate) fn exception(function: u8, code: u8) -> Vec<u8> {
    vec![function | 0x80, code]
}

/// Returns the honest answer to a request.
pub(crate) fn answer(image: &Image, request: &[u8]) -> Vec<u8> {
    let function = request.first().copied().unwrap_or(0);
    let table = match function {
        2 if image.0.iter().any(|b| b.table == Table::Discrete) => Table::Discrete,
        3 => Table::Holding,
        4 => Table::Input,
        _ => return exception(function, ILLEGAL_FUNCTION),
    };
    let [_, a, b, c, d] = *request else {
        return exception(function, ILLEGAL_VALUE);
    };
    let (address, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let limit = if table == Table::Discrete { 2000 } else { 125 };
    if count == 0 || count > limit {
        return exception(function, ILLEGAL_VALUE);
    }
    let Some(words) = image.read(table, address, count) else {
        return exception(function, ILLEGAL_ADDRESS);
    };
    let data: Vec<u8> = if table == Table::Discrete {
        words.chunks(8).map(pack).collect()
    } else {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    };
    let mut pdu = vec![function, data.len() as u8];
    pdu.extend(data);
    pdu
}

fn pack(bits: &[u16]) -> u8 {
    bits.iter().enumerate().fold(0, |byte, (index, bit)| {
        byte | (u8::from(*bit != 0) << index)
    })
}
