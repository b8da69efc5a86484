//! Modbus frames, TCP (MBAP header) and RTU over TCP (CRC), read from and written to plain bytes.
//! Input comes from anybody: nothing here may panic on it.

use super::Reply;

/// How requests and answers are framed on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// MBAP header.
    Tcp,
    /// RTU frames on a TCP stream.
    Rtu,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// 0 with RTU framing.
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

/// What the bytes received so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Not enough for a request.
    More,
    /// A request that took this many bytes.
    Request(Request, usize),
    /// Noise; a real device forgets it and says nothing.
    Discard,
    /// Beyond repair; a real gateway hangs up.
    HangUp,
}

/// Looks for a request at the beginning of `bytes`.
pub(crate) fn parse(framing: Framing, bytes: &[u8]) -> Parsed {
    match framing {
        Framing::Tcp => parse_tcp(bytes),
        Framing::Rtu => parse_rtu(bytes),
    }
}

fn parse_tcp(bytes: &[u8]) -> Parsed {
    let [t1, t0, p1, p0, l1, l0, rest @ ..] = bytes else {
        return Parsed::More;
    };
    let length = usize::from(u16::from_be_bytes([*l1, *l0]));
    if (*p1, *p0) != (0, 0) || !(2..=254).contains(&length) {
        return Parsed::HangUp;
    }
    let Some([unit, pdu @ ..]) = rest.get(..length) else {
        return Parsed::More;
    };
    let request = Request {
        transaction: u16::from_be_bytes([*t1, *t0]),
        unit: *unit,
        pdu: pdu.to_vec(),
    };
    Parsed::Request(request, 6 + length)
}

fn parse_rtu(bytes: &[u8]) -> Parsed {
    let [unit, function, rest @ ..] = bytes else {
        return Parsed::More;
    };
    let length = match function {
        1..=6 => 8,
        15 | 16 => match rest.get(4) {
            Some(count) => 9 + usize::from(*count),
            None => return Parsed::More,
        },
        22 => 10,
        23 => match rest.get(8) {
            Some(count) => 13 + usize::from(*count),
            None => return Parsed::More,
        },
        // The length of an unknown function is unknown: all that has come is the frame.
        _ => bytes.len().max(4),
    };
    let Some(frame) = bytes.get(..length) else {
        return Parsed::More;
    };
    let Some((body, check)) = frame.split_last_chunk::<2>() else {
        return Parsed::More;
    };
    if crc(body) != u16::from_le_bytes(*check) {
        return Parsed::Discard;
    }
    let request = Request {
        transaction: 0,
        unit: *unit,
        pdu: body.get(1..).unwrap_or_default().to_vec(),
    };
    Parsed::Request(request, length)
}

/// Returns the bytes of a reply; empty for silence.
pub(crate) fn encode(framing: Framing, transaction: u16, reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Frame { unit, pdu } => frame(framing, transaction, unit, &pdu),
        Reply::Cut { unit, pdu } => {
            let mut bytes = frame(framing, transaction, unit, &pdu);
            bytes.truncate(bytes.len() / 2);
            bytes
        }
        Reply::Noise(bytes) => bytes,
        Reply::Silence => Vec::new(),
    }
}

fn frame(framing: Framing, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pdu.len() + 7);
    if framing == Framing::Tcp {
        bytes.extend(transaction.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend((pdu.len() as u16 + 1).to_be_bytes());
    }
    bytes.push(unit);
    bytes.extend(pdu);
    if framing == Framing::Rtu {
        bytes.extend(crc(&bytes).to_le_bytes());
    }
    bytes
}

/// CRC-16/MODBUS.
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |mut crc, byte| {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xA001 } else { 0 };
        }
        crc
    })
}
