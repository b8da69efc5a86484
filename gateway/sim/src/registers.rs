//! Register images: what a device's tables hold at one moment, word by word, as its manual prints them.
//! Knows nothing of frames; the values come from the devices.

/// A table of the Modbus data model, as far as the building serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Function 02; one word per bit, 0 or 1.
    Discrete,
    /// Function 03.
    Holding,
    /// Function 04.
    Input,
}

/// One run of consecutive addresses in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) table: Table,
    pub(crate) start: u16,
    pub(crate) words: Vec<u16>,
}

/// All that one unit can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) Vec<Block>);

impl Image {
    /// Returns `count` words from `address` on, or `None` if any of them lies outside the blocks.
    pub(crate) fn read(&self, table: Table, address: u16, count: u16) -> Option<&[u16]> {
        self.0
            .iter()
            .filter(|block| block.table == table)
            .find_map(|block| {
                let first = usize::from(address.checked_sub(block.start)?);
                block.words.get(first..first + usize::from(count))
            })
    }
}

/// Appends values to the words of a block in the layouts the manual uses.
#[derive(Debug, Default)]
pub(crate) struct Words(pub(crate) Vec<u16>);

impl Words {
    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Two's complement; `None` is the maker's "not available", 0x7FFF.
    pub(crate) fn i16(&mut self, value: Option<i16>) -> &mut Self {
        self.u16(value.unwrap_or(i16::MAX) as u16)
    }

    /// An unsigned number of `scale` units, rounded; `None` is 0xFFFF.
    pub(crate) fn scaled(&mut self, value: Option<f64>, scale: f64) -> &mut Self {
        let raw = value.map_or(u16::MAX, |v| {
            (v / scale).round().clamp(0.0, f64::from(u16::MAX - 1)) as u16
        });
        self.u16(raw)
    }

    /// A signed number of `scale` units, rounded; `None` is 0x7FFF.
    pub(crate) fn scaled_i16(&mut self, value: Option<f64>, scale: f64) -> &mut Self {
        let limit = f64::from(i16::MAX - 1);
        self.i16(value.map(|v| (v / scale).round().clamp(-limit, limit) as i16))
    }

    pub(crate) fn u32_high_first(&mut self, value: u32) -> &mut Self {
        self.u16((value >> 16) as u16).u16(value as u16)
    }

    pub(crate) fn u32_low_first(&mut self, value: u32) -> &mut Self {
        self.u16(value as u16).u16((value >> 16) as u16)
    }

    pub(crate) fn u64_high_first(&mut self, value: u64) -> &mut Self {
        self.u32_high_first((value >> 32) as u32)
            .u32_high_first(value as u32)
    }

    /// Four decimal digits; higher digits are cut off.
    pub(crate) fn bcd4(&mut self, value: u32) -> &mut Self {
        let digit = |power: u32| ((value / 10u32.pow(power)) % 10) as u16;
        self.u16(digit(3) << 12 | digit(2) << 8 | digit(1) << 4 | digit(0))
    }

    /// Eight decimal digits in two words, high first.
    pub(crate) fn bcd8(&mut self, value: u32) -> &mut Self {
        self.bcd4(value / 10_000).bcd4(value % 10_000)
    }

    /// ASCII in `registers` words, high byte first, filled up with `pad`, cut off where it is too long.
    pub(crate) fn text(&mut self, text: &str, registers: usize, pad: u8) -> &mut Self {
        let mut bytes = text.bytes().chain(std::iter::repeat(pad));
        for _ in 0..registers {
            let word = [bytes.next().unwrap_or(pad), bytes.next().unwrap_or(pad)];
            self.u16(u16::from_be_bytes(word));
        }
        self
    }

    /// Ends the block.
    pub(crate) fn block(self, table: Table, start: u16) -> Block {
        Block {
            table,
            start,
            words: self.0,
        }
    }
}

/// Packs flags into a word, the first at bit 0.
pub(crate) fn bits(flags: &[bool]) -> u16 {
    flags
        .iter()
        .enumerate()
        .fold(0, |word, (bit, set)| word | (u16::from(*set) << bit))
}
