//! From registers to a raw value: widths, byte orders, bit fields, decimal digits, texts.
//!
//! Every function takes registers of any content and never panics.

use super::{Raw, Table};
use crate::profile::{ByteOrder, DataType, RegisterRow};

/// How a point stands in its registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    table: Table,
    data_type: DataType,
    order: ByteOrder,
    /// The lowest bit and how many.
    field: Option<(u8, u8)>,
    pub(super) inverted: bool,
    pub(super) words: u16,
}

impl Layout {
    pub(super) fn of(row: &RegisterRow) -> Self {
        Self {
            table: row.table,
            data_type: row.data_type,
            order: row.order,
            field: row.bit.map(|bit| (bit, row.bits.unwrap_or(1))),
            inverted: row.inverted,
            words: row.words(),
        }
    }

    pub(super) fn is_bit_table(&self) -> bool {
        matches!(self.table, Table::Coil | Table::Discrete)
    }

    /// The bits that a raw value has on the wire, so that -1 and 0xFFFF name the same word.
    pub(super) fn pattern_of(&self, raw: i64) -> i64 {
        match self.words {
            0 | 1 => raw & 0xFFFF,
            2 => raw & 0xFFFF_FFFF,
            _ => raw,
        }
    }

    /// The raw value, and the pattern that the invalid values are held against. The registers are
    /// as many as `words` says.
    pub(super) fn read(&self, registers: &[u16]) -> Option<(Raw, Option<i64>)> {
        let pattern = || self.bits(registers);
        let integer = |number: i64| Some((Raw::Integer(number), Some(pattern().cast_signed())));
        match self.data_type {
            DataType::Bool => self.flag(registers),
            DataType::U16 => {
                let (bit, count) = self.field.unwrap_or((0, 16));
                let mask = if count >= 16 {
                    0xFFFF
                } else {
                    (1 << count) - 1
                };
                let number = pattern().checked_shr(u32::from(bit))? & mask;
                Some((
                    Raw::Integer(number.cast_signed()),
                    Some(number.cast_signed()),
                ))
            }
            DataType::I16 => integer(i64::from(low16(pattern()).cast_signed())),
            DataType::U32 => integer(pattern().cast_signed()),
            DataType::I32 => integer(i64::from(low32(pattern()).cast_signed())),
            DataType::I64 => integer(pattern().cast_signed()),
            DataType::U64 => {
                let number = pattern();
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "beyond i64 it can only be analogue"
                )]
                let raw = i64::try_from(number).map_or(Raw::Float(number as f64), Raw::Integer);
                Some((raw, Some(number.cast_signed())))
            }
            DataType::F32 => {
                let number = f64::from(f32::from_bits(low32(pattern())));
                Some((Raw::Float(number), Some(pattern().cast_signed())))
            }
            DataType::F64 => {
                let number = f64::from_bits(pattern());
                Some((Raw::Float(number), Some(pattern().cast_signed())))
            }
            DataType::Bcd16 | DataType::Bcd32 => integer(decimal(pattern())?),
            DataType::String => Some((self.text(registers)?, None)),
        }
    }

    fn flag(&self, registers: &[u16]) -> Option<(Raw, Option<i64>)> {
        let word = self.bits(registers);
        let set = match (self.field, word) {
            (Some((bit, _)), _) => word.checked_shr(u32::from(bit))? & 1 == 1,
            (None, 0) => false,
            (None, 1) => true,
            (None, _) => return None,
        };
        Some((Raw::Flag(set != self.inverted), Some(word.cast_signed())))
    }

    /// All bits as one number, the most significant byte of the value on top.
    fn bits(&self, registers: &[u16]) -> u64 {
        let join = |number: u64, word: u16| number << 16 | u64::from(word);
        let words = registers.iter().copied();
        match self.order {
            ByteOrder::Abcd => words.fold(0, join),
            ByteOrder::Cdab => words.rev().fold(0, join),
            ByteOrder::Badc => words.map(u16::swap_bytes).fold(0, join),
            ByteOrder::Dcba => words.rev().map(u16::swap_bytes).fold(0, join),
        }
    }

    fn text(&self, registers: &[u16]) -> Option<Raw> {
        let low_first = matches!(self.order, ByteOrder::Badc | ByteOrder::Dcba);
        let bytes: Vec<u8> = registers
            .iter()
            .flat_map(|word| {
                if low_first {
                    word.to_le_bytes()
                } else {
                    word.to_be_bytes()
                }
            })
            .take_while(|byte| *byte != 0)
            .collect();
        let text = std::str::from_utf8(&bytes).ok()?.trim_end();
        (!text.chars().any(char::is_control)).then(|| Raw::Text(text.into()))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low half is meant"
)]
fn low16(bits: u64) -> u16 {
    bits as u16
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low half is meant"
)]
fn low32(bits: u64) -> u32 {
    bits as u32
}

/// Binary-coded decimal, a digit in four bits.
fn decimal(bits: u64) -> Option<i64> {
    (0..16).rev().try_fold(0_i64, |number, nibble| {
        let digit = i64::try_from(bits >> (nibble * 4) & 0xF).ok()?;
        (digit <= 9).then_some(number * 10 + digit)
    })
}
