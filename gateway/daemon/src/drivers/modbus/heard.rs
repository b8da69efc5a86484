//! When which answers came last, so that nothing is asked that a repetition of one would fit.
//!
//! Radio bridges and serial servers send a frame again when they are not sure that it arrived. A
//! request must never be on its way while the line may still repeat an answer that looks the same.

use super::connection::Ask;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::plan::Shape;

/// More than a line of devices has shapes; what is older than the window is forgotten then.
const MOST: usize = 512;

/// An answer from outside: a unit, its function with the bit of a refusal, its count of bytes
/// (0 for a refusal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    unit: u8,
    function: u8,
    bytes: u16,
}

const REFUSED: u8 = 0x80;

/// The answers of one link, whatever connection they came over.
#[derive(Debug)]
pub(super) struct Heard {
    window: Duration,
    last: BTreeMap<Look, Instant>,
}

impl Heard {
    /// Nothing was heard yet. A line may repeat an answer for `window` after it.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            last: BTreeMap::new(),
        }
    }

    /// A frame came, of which this is the unit, the function and what follows.
    pub(super) fn frame(&mut self, [unit, function, next]: [u8; 3], now: Instant) {
        let bytes = match function & REFUSED {
            0 => u16::from(next),
            _ => 0,
        };
        self.note(
            Look {
                unit,
                function,
                bytes,
            },
            now,
        );
    }

    /// An answer of this shape may have come, up to now.
    pub(super) fn shape(&mut self, unit: u8, shape: Shape, now: Instant) {
        self.note(look(unit, shape), now);
    }

    /// When a request may be sent: at or after this nothing repeated can be taken for its answer.
    pub(super) fn free_at(&self, unit: u8, ask: Ask) -> Option<Instant> {
        let answer = look(unit, ask.shape());
        let refusal = Look {
            function: answer.function | REFUSED,
            bytes: 0,
            ..answer
        };
        let last = [answer, refusal].map(|look| self.last.get(&look));
        let last = last.into_iter().flatten().max()?;
        Some(*last + self.window)
    }

    fn note(&mut self, look: Look, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        if self.last.len() >= MOST {
            let window = self.window;
            self.last.retain(|_, at| now - *at < window);
        }
        self.last.insert(look, now);
    }
}

fn look(unit: u8, shape: Shape) -> Look {
    Look {
        unit,
        function: super::connection::function(shape.table),
        bytes: shape.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::profile::Table;

    const WINDOW: Duration = Duration::from_millis(250);

    fn ask(count: u16) -> Ask {
        Ask {
            table: Table::Holding,
            address: 0,
            count,
        }
    }

    #[test]
    fn what_looks_like_a_late_copy_is_not_asked_for_within_the_window() {
        let mut heard = Heard::new(WINDOW);
        let now = Instant::now();
        heard.frame([7, 3, 8], now);
        assert_eq!(heard.free_at(7, ask(4)), Some(now + WINDOW));
        assert_eq!(heard.free_at(7, ask(5)), None);
        assert_eq!(heard.free_at(8, ask(4)), None);
        // A refusal names no length: it fits every request of its function.
        heard.frame([7, 0x83, 2], now);
        assert_eq!(heard.free_at(7, ask(5)), Some(now + WINDOW));
        let input = Ask {
            table: Table::Input,
            ..ask(5)
        };
        assert_eq!(heard.free_at(7, input), None);
    }

    #[test]
    fn what_is_known_of_a_line_stays_small() {
        let mut heard = Heard::new(WINDOW);
        let start = Instant::now();
        for round in 0..10_000_u32 {
            let [.., unit, bytes] = round.to_be_bytes();
            heard.frame([unit, 3, bytes], start + WINDOW * round);
        }
        assert!(heard.last.len() <= MOST, "{}", heard.last.len());
        let mut none = Heard::new(Duration::ZERO);
        none.frame([7, 3, 8], start);
        assert_eq!(none.free_at(7, ask(4)), None);
    }
}
