//! Which registers to ask for together: few requests, within what the device takes.
//!
//! A plan asks for nothing outside the range between two wanted registers, and never for more
//! than the profile allows.

mod apart;

use super::{ModbusSettings, PointRow, PollClass, Profile, Table};
pub use apart::{Shape, told_apart};

/// The most bits one request may ask for.
const MOST_BITS: u16 = 2000;

/// One request of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// How often it is sent.
    pub poll: PollClass,
    /// The table, which gives the function.
    pub table: Table,
    /// The first address on the wire.
    pub address: u16,
    /// How many registers, or bits of coils and discrete inputs; at least 1.
    pub count: u16,
    /// The rows of the profile that its answer holds.
    pub rows: Vec<RowAt>,
}

/// Where one row stands in the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowAt {
    /// The row's place in [`Profile::points`].
    pub row: usize,
    /// Its first register (or bit) in the answer.
    pub offset: u16,
    /// How many registers (or bits) it takes.
    pub words: u16,
}

impl Profile {
    /// The requests that read every Modbus row once, by poll class, table and address.
    pub fn plan(&self) -> Vec<ReadRequest> {
        let Some(settings) = &self.modbus else {
            return Vec::new();
        };
        let mut wanted: Vec<_> = self
            .points
            .iter()
            .enumerate()
            .filter_map(|(row, point)| Some((row, span(point)?)))
            .collect();
        wanted.sort_by_key(|(row, span)| (span.poll, span.table, span.address, *row));
        let mut plan: Vec<ReadRequest> = Vec::new();
        for (row, span) in wanted {
            match plan.last_mut() {
                Some(request) if joins(request, &span, settings) => request.add(row, &span),
                _ => {
                    let mut request = ReadRequest {
                        poll: span.poll,
                        table: span.table,
                        address: span.address,
                        count: 0,
                        rows: Vec::new(),
                    };
                    request.add(row, &span);
                    plan.push(request);
                }
            }
        }
        plan
    }
}

struct Span {
    poll: PollClass,
    table: Table,
    address: u16,
    words: u16,
}

fn span(point: &PointRow) -> Option<Span> {
    let row = point.modbus.as_ref()?;
    Some(Span {
        poll: point.poll,
        table: row.table,
        address: row.address,
        words: row.words(),
    })
}

fn joins(request: &ReadRequest, span: &Span, settings: &ModbusSettings) -> bool {
    let most = match span.table {
        Table::Coil | Table::Discrete => MOST_BITS,
        Table::Holding | Table::Input => settings.max_registers,
    };
    if (request.poll, request.table) != (span.poll, span.table) {
        return false;
    }
    // Sorted by address: the row starts at or after the request's first register.
    let end = u32::from(request.address) + u32::from(request.count);
    let start = u32::from(span.address);
    let count = start + u32::from(span.words) - u32::from(request.address);
    start.saturating_sub(end) <= u32::from(settings.max_gap) && count <= u32::from(most)
}

impl ReadRequest {
    /// The two requests that read its rows before and from a place in [`ReadRequest::rows`]; `None`
    /// when one had no row, or a register would be parted.
    pub fn parted(&self, place: usize) -> Option<[ReadRequest; 2]> {
        let (low, high) = self.rows.split_at_checked(place)?;
        // Rows stand in the order of their addresses; bits of one register stay together.
        let (end, start) = (end(low)?, high.first()?.offset);
        (end <= start).then_some(())?;
        Some([self.part(low)?, self.part(high)?])
    }

    /// The requests that read its rows and nothing between them.
    pub fn runs(&self) -> Vec<ReadRequest> {
        let mut runs: Vec<ReadRequest> = self.part(&self.rows).into_iter().collect();
        let places = (1..self.rows.len()).rev();
        for place in places {
            let (low, high) = self.rows.split_at(place);
            let hole = end(low)
                .zip(high.first())
                .is_some_and(|(end, row)| end < row.offset);
            let first = runs
                .first()
                .filter(|_| hole)
                .and_then(|run| run.parted(place));
            if let Some([low, high]) = first {
                runs.splice(0..1, [low, high]);
            }
        }
        runs
    }

    fn part(&self, rows: &[RowAt]) -> Option<ReadRequest> {
        let start = rows.first()?.offset;
        let rows = rows.iter().map(|at| RowAt {
            offset: at.offset - start,
            ..*at
        });
        let rows: Vec<RowAt> = rows.collect();
        Some(ReadRequest {
            poll: self.poll,
            table: self.table,
            address: self.address + start,
            count: end(&rows)?,
            rows,
        })
    }

    fn add(&mut self, row: usize, span: &Span) {
        let offset = span.address - self.address;
        self.count = self.count.max(offset.saturating_add(span.words));
        self.rows.push(RowAt {
            row,
            offset,
            words: span.words,
        });
    }
}

/// Where the last of some rows ends.
fn end(rows: &[RowAt]) -> Option<u16> {
    rows.iter().map(|at| at.offset + at.words).max()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{profile, registers};
    use super::*;
    use crate::profile::DataType;
    use proptest::prelude::*;

    #[test]
    fn near_rows_are_read_together_and_far_ones_apart() {
        let rows = [
            (0, DataType::U16),
            (1, DataType::F32),
            (10, DataType::U16),
            (100, DataType::U16),
        ];
        let rows = rows.map(|(address, data_type)| registers(Table::Input, address, data_type));
        let plan = profile(rows.into()).plan();
        let asked: Vec<_> = plan.iter().map(|one| (one.address, one.count)).collect();
        assert_eq!(asked, [(0, 11), (100, 1)]);
    }

    fn at(row: usize, offset: u16, words: u16) -> RowAt {
        RowAt { row, offset, words }
    }

    fn with_holes() -> ReadRequest {
        ReadRequest {
            poll: PollClass::Fast,
            table: Table::Holding,
            address: 100,
            count: 9,
            rows: vec![
                at(0, 0, 2),
                at(1, 4, 1),
                at(2, 4, 1),
                at(3, 5, 1),
                at(4, 8, 1),
            ],
        }
    }

    #[test]
    fn parting_keeps_every_row_where_it_stood_and_parts_no_register() {
        let request = with_holes();
        let [low, high] = request.parted(4).unwrap();
        assert_eq!((low.address, low.count, low.rows.len()), (100, 6, 4));
        assert_eq!((high.address, high.count), (108, 1));
        assert_eq!(high.rows, [at(4, 0, 1)]);
        let [first, flags] = low.parted(1).unwrap();
        assert_eq!((first.address, first.count), (100, 2));
        assert_eq!((flags.address, flags.count), (104, 2));
        assert_eq!(request.parted(2), None, "two rows of one register");
        assert_eq!(request.parted(0), None);
        assert_eq!(request.parted(5), None);
    }

    #[test]
    fn runs_read_nothing_between_the_rows() {
        let runs = with_holes().runs();
        let runs: Vec<_> = runs.iter().map(|run| (run.address, run.count)).collect();
        assert_eq!(runs, [(100, 2), (104, 2), (108, 1)]);
    }

    pub(super) fn any_row() -> impl Strategy<Value = PointRow> {
        let table = prop::sample::select(vec![Table::Discrete, Table::Holding, Table::Input]);
        let types = vec![DataType::U16, DataType::F32, DataType::U64];
        let poll = prop::sample::select(vec![PollClass::Fast, PollClass::Normal, PollClass::Slow]);
        (table, 0..300_u16, prop::sample::select(types), poll).prop_map(
            |(table, address, data_type, poll)| PointRow {
                poll,
                ..registers(table, address, data_type)
            },
        )
    }

    proptest! {
        #[test]
        fn every_row_is_read_once_within_the_limits(
            rows in prop::collection::vec(any_row(), 0..40),
            most in 4..125_u16,
            gap in 0..40_u16,
        ) {
            let mut profile = profile(rows);
            profile.modbus = Some(ModbusSettings { max_registers: most, max_gap: gap, ..ModbusSettings::default() });
            let plan = profile.plan();
            let mut seen = vec![0; profile.points.len()];
            for request in &plan {
                prop_assert!(request.count >= 1);
                let bits = matches!(request.table, Table::Coil | Table::Discrete);
                prop_assert!(bits || request.count <= most);
                let mut ends: Vec<_> = request.rows.iter().map(|at| (at.offset, at.offset + at.words)).collect();
                ends.sort_unstable();
                let mut reached = 0;
                for (start, end) in ends {
                    prop_assert!(start <= reached + gap, "a gap before {}", start);
                    reached = reached.max(end);
                }
                prop_assert_eq!(reached, request.count);
                for at in &request.rows {
                    seen[at.row] += 1;
                    let row = profile.points[at.row].modbus.as_ref().unwrap();
                    prop_assert_eq!(row.address, request.address + at.offset);
                    prop_assert_eq!(row.table, request.table);
                    prop_assert_eq!(profile.points[at.row].poll, request.poll);
                }
            }
            prop_assert!(seen.iter().all(|count| *count == 1));
        }
    }
}
