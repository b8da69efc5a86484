//! The ways in which a lying unit answers, one after the other. Every one can be told from the truth by a careful reader.

use super::{Reply, exception};
use crate::rng::Rng;

/// Number of different lies.
pub(crate) const LIES: u64 = 8;

/// Turns the honest answer `pdu` of `unit` into lie number `turn`, going round.
pub(crate) fn spoil(turn: u64, unit: u8, mut pdu: Vec<u8>, rng: &mut Rng) -> Reply {
    let function = pdu.first().copied().unwrap_or(0);
    match turn % LIES {
        // Too few words, the byte count agreeing.
        0 => {
            pdu.truncate(pdu.len().saturating_sub(2).max(2));
            recount(&mut pdu);
        }
        // Too many words, the byte count agreeing.
        1 => {
            pdu.extend([0x12, 0x34]);
            recount(&mut pdu);
        }
        // A byte count that disagrees with the data.
        2 => {
            if let Some(count) = pdu.get_mut(1) {
                *count = count.wrapping_add(2);
            }
        }
        3 => {
            return Reply::Frame {
                unit: unit.wrapping_add(100),
                pdu,
            };
        }
        // The answer to another function.
        4 => {
            if let Some(first) = pdu.first_mut() {
                *first = if function == 3 { 4 } else { 3 };
            }
        }
        5 => pdu = exception(function, 4),
        6 => return Reply::Cut { unit, pdu },
        _ => {
            let length = 5 + rng.below(16);
            return Reply::Noise((0..length).map(|_| rng.next() as u8).collect());
        }
    }
    Reply::Frame { unit, pdu }
}

fn recount(pdu: &mut [u8]) {
    let bytes = pdu.len().saturating_sub(2) as u8;
    if let Some(count) = pdu.get_mut(1) {
        *count = bytes;
    }
}
