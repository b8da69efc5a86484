//! The samples since the last segment, kept in memory in the bytes of the journal.
//!
//! Whatever is here is also in the journal: it is made again from there at the start.

use super::codec::{Damaged, Reader, Stored, put_value, put_zigzag};
use std::num::NonZeroU32;
use std::sync::Arc;
use zhiban_core::{Quality, Value};

/// One reading of a point that is known from the context.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// How far it may be trusted.
    pub(super) quality: Quality,
    /// The value; `None` when it may not be trusted.
    pub(super) value: Option<Value>,
}

/// Sorts readings by time; of two at one time the later one stays.
pub(super) fn in_order(mut readings: Vec<Reading>) -> Vec<Reading> {
    readings.sort_by_key(|reading| reading.at);
    readings.reverse();
    readings.dedup_by_key(|reading| reading.at);
    readings.reverse();
    readings
}

/// The readings of every point since the last segment. A lane's place is its point's number.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    blocks: Blocks,
}

/// Where the readings of one point are.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    /// Its first and its last block; `None` before the first reading.
    ends: Option<(Place, Place)>,
    /// Bytes used in the last block.
    filled: u8,
    /// When the last reading was.
    at: i64,
}

impl Lanes {
    /// How many points have a lane.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The bytes that are really resident.
    fn resident(&self) -> usize {
        self.lanes.capacity() * size_of::<Lane>() + self.blocks.resident()
    }

    fn push(&mut self, sample: &Stored, scratch: &mut Vec<u8>) {
        let number = sample.point as usize;
        if self.lanes.len() <= number {
            self.lanes.resize(number + 1, Lane::default());
        }
        if let Some(lane) = self.lanes.get_mut(number) {
            scratch.clear();
            put_zigzag(scratch, sample.at.wrapping_sub(lane.at));
            put_value(scratch, sample.quality, sample.value.as_ref());
            lane.at = sample.at;
            self.blocks.append(lane, scratch);
        }
    }

    /// Reads every reading of a point.
    pub(super) fn readings(&self, point: u32) -> Result<Vec<Reading>, Damaged> {
        let Some(lane) = self.lanes.get(point as usize) else {
            return Ok(Vec::new());
        };
        let bytes = self.blocks.bytes(lane);
        let mut reader = Reader(&bytes);
        let mut at = 0_i64;
        let mut readings = Vec::with_capacity(bytes.len() / 4);
        while !reader.0.is_empty() {
            at = at.wrapping_add(reader.zigzag()?);
            let (quality, value) = reader.value()?;
            readings.push(Reading { at, quality, value });
        }
        Ok(readings)
    }
}

/// Bytes of readings in one block.
const ROOM: usize = 60;

/// Blocks made at once: 64 KiB.
const SLAB: usize = 1024;

/// The place of a block, counted from one.
type Place = NonZeroU32;

/// A piece of a lane.
#[derive(Debug, Clone, Copy)]
struct Block {
    next: Option<Place>,
    bytes: [u8; ROOM],
}

/// Every block of all lanes. One growing vector a lane would cost the allocator several times what
/// it holds: tens of thousands of them, each doubled and moved again and again.
#[derive(Debug, Default)]
struct Blocks {
    slabs: Vec<Vec<Block>>,
}

impl Blocks {
    fn resident(&self) -> usize {
        self.slabs.len() * SLAB * size_of::<Block>()
    }

    /// A new block behind all others. `None` beyond what a number counts: 256 GiB.
    fn add(&mut self) -> Option<Place> {
        if self.slabs.last().is_none_or(|slab| slab.len() == SLAB) {
            self.slabs.push(Vec::with_capacity(SLAB));
        }
        let slabs_before = self.slabs.len() - 1;
        let slab = self.slabs.last_mut()?;
        slab.push(Block {
            next: None,
            bytes: [0; ROOM],
        });
        let count = u32::try_from(slabs_before * SLAB + slab.len()).ok()?;
        NonZeroU32::new(count)
    }

    fn get(&self, place: Place) -> Option<&Block> {
        let index = place.get() as usize - 1;
        self.slabs.get(index / SLAB)?.get(index % SLAB)
    }

    fn get_mut(&mut self, place: Place) -> Option<&mut Block> {
        let index = place.get() as usize - 1;
        self.slabs.get_mut(index / SLAB)?.get_mut(index % SLAB)
    }

    /// Adds bytes to a lane, in as many new blocks as they need.
    fn append(&mut self, lane: &mut Lane, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if lane.ends.is_none() || usize::from(lane.filled) == ROOM {
                let Some(new) = self.add() else { return };
                let first = lane.ends.map_or(new, |(first, _)| first);
                if let Some(last) = lane.ends.and_then(|(_, last)| self.get_mut(last)) {
                    last.next = Some(new);
                }
                (lane.ends, lane.filled) = (Some((first, new)), 0);
            }
            let Some(block) = lane.ends.and_then(|(_, last)| self.get_mut(last)) else {
                return;
            };
            let Some(free) = block.bytes.get_mut(usize::from(lane.filled)..) else {
                return;
            };
            let count = free.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            free.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            lane.filled += u8::try_from(count).unwrap_or(0);
            bytes = later;
        }
    }

    /// The bytes of a lane, in one piece.
    fn bytes(&self, lane: &Lane) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = lane.ends.map(|(first, _)| first);
        while let Some(block) = next.and_then(|place| self.get(place)) {
            let used = if block.next.is_some() {
                ROOM
            } else {
                usize::from(lane.filled)
            };
            bytes.extend(block.bytes.iter().take(used));
            next = block.next;
        }
        bytes
    }
}

/// Every point's readings since the last segment.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lanes: Lanes,
    /// What is being made into a segment, and still counts until that is on disk.
    leaving: Option<Arc<Lanes>>,
    scratch: Vec<u8>,
}

impl Recent {
    /// Adds samples.
    pub(super) fn push(&mut self, samples: &[Stored]) {
        for sample in samples {
            self.lanes.push(sample, &mut self.scratch);
        }
    }

    /// How many bytes of memory the samples take, without those that are leaving.
    pub(super) fn resident(&self) -> usize {
        self.lanes.resident()
    }

    /// Takes everything out to be made into a segment; what is taken still counts until `left`.
    /// Taking again before that gives the same again.
    pub(super) fn leave(&mut self) -> Arc<Lanes> {
        let leaving = self
            .leaving
            .take()
            .unwrap_or_else(|| Arc::new(std::mem::take(&mut self.lanes)));
        self.leaving = Some(leaving.clone());
        leaving
    }

    /// Whether something is being made into a segment.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The segment is on disk.
    pub(super) fn left(&mut self) {
        self.leaving = None;
    }

    /// The readings of one point.
    pub(super) fn readings(&self, point: u32) -> Vec<Reading> {
        let lanes = self.leaving.as_deref().into_iter().chain([&self.lanes]);
        lanes
            .filter_map(|lanes| lanes.readings(point).ok())
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(point: u32, at: i64) -> Stored {
        Stored {
            point,
            at,
            quality: Quality::Good,
            value: Some(Value::Integer(at)),
        }
    }

    #[test]
    fn what_is_leaving_still_counts_until_it_is_on_disk() {
        let mut recent = Recent::default();
        let times =
            |recent: &Recent| -> Vec<i64> { recent.readings(2).iter().map(|one| one.at).collect() };
        recent.push(&[sample(2, 10), sample(1, 11), sample(2, 12)]);
        assert!(recent.resident() > 0);
        let lanes = recent.leave();
        assert_eq!(recent.resident(), 0);
        recent.push(&[sample(2, 13)]);
        assert_eq!(times(&recent), [10, 12, 13]);
        assert!(Arc::ptr_eq(&lanes, &recent.leave()));
        recent.left();
        assert_eq!(times(&recent), [13]);
        assert_eq!(recent.readings(99), []);
    }
    #[test]
    fn a_lane_reads_back_whatever_length_its_readings_have() {
        let mut recent = Recent::default();
        let texts: [Arc<str>; 3] = ["", "closed", &"long ".repeat(50)].map(Arc::from);
        let mut expected: [Vec<Reading>; 3] = Default::default();
        for round in 0..200_i64 {
            for (point, readings) in (0_u32..).zip(&mut expected) {
                let text = texts[(round as usize + point as usize) % 3].clone();
                let value = if point == 0 {
                    Value::Integer(round << (round % 40))
                } else {
                    Value::Text(text)
                };
                let sample = Stored {
                    point,
                    at: round * 1000 - i64::from(point),
                    quality: Quality::Good,
                    value: Some(value.clone()),
                };
                recent.push(&[sample]);
                readings.push(Reading {
                    at: round * 1000 - i64::from(point),
                    quality: Quality::Good,
                    value: Some(value),
                });
            }
        }
        for (point, readings) in (0_u32..).zip(&expected) {
            assert_eq!(&recent.readings(point), readings);
        }
    }

    #[test]
    fn many_points_take_no_more_memory_than_their_readings_and_a_block_each() {
        let (points, rounds) = (2_000, 50);
        let mut recent = Recent::default();
        let mut bytes = 0;
        for round in 0..rounds {
            for point in 0..points {
                let sample = sample(point, 1_000 * i64::from(round));
                let mut one = Vec::new();
                put_zigzag(&mut one, 1_000);
                put_value(&mut one, sample.quality, sample.value.as_ref());
                bytes += one.len();
                recent.push(&[sample]);
            }
        }
        let each = size_of::<Block>() + 2 * size_of::<Lane>();
        let most = bytes * size_of::<Block>() / ROOM + points as usize * each;
        assert!(recent.resident() <= most + SLAB * size_of::<Block>());
    }
}
