//! Makes the requests of a plan such that no two of their answers look the same from outside, as far
//! as that is possible without reading a register that no row stands in.
//!
//! An RTU answer says which unit and function it is of and how many bytes it has, and nothing else.

use super::{ReadRequest, Table};
use std::collections::BTreeSet;

/// What an answer looks like from outside: all that tells two answers of a unit apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// The table, which gives the function.
    pub table: Table,
    /// How many bytes of values follow.
    pub bytes: u16,
}

impl Shape {
    /// What the answer to so many registers or bits of a table looks like.
    pub fn of(table: Table, count: u16) -> Self {
        let bytes = match table {
            Table::Coil | Table::Discrete => count.div_ceil(8),
            Table::Holding | Table::Input => count.saturating_mul(2),
        };
        Self { table, bytes }
    }
}

impl ReadRequest {
    /// What its answer looks like.
    pub fn shape(&self) -> Shape {
        Shape::of(self.table, self.count)
    }
}

/// The same rows in requests whose answers differ in shape. A request that looks like one before it
/// also reads rows beside it that are read anyway, or becomes two; what can be neither (a register
/// that stands alone) stays as it is. `most` registers may be asked for at once.
pub fn told_apart(plan: &[ReadRequest], most: u16) -> Vec<ReadRequest> {
    let mut taken: BTreeSet<Shape> = plan.iter().map(ReadRequest::shape).collect();
    let mut seen = BTreeSet::new();
    let mut apart = Vec::with_capacity(plan.len());
    for request in plan {
        if seen.insert(request.shape()) {
            apart.push(request.clone());
            continue;
        }
        let wider = widened(request, plan, most).find(|one| !taken.contains(&one.shape()));
        let changed = match wider {
            Some(wider) => vec![wider],
            None => two(request, &taken).unwrap_or_else(|| vec![request.clone()]),
        };
        taken.extend(changed.iter().map(ReadRequest::shape));
        apart.extend(changed);
    }
    apart
}

/// The request with ever more of the rows that follow it, then of those before it.
fn widened(
    request: &ReadRequest,
    plan: &[ReadRequest],
    most: u16,
) -> impl Iterator<Item = ReadRequest> {
    let all = plan.iter().filter(|other| other.table == request.table);
    let mut spans: Vec<(u16, u16)> = all
        .flat_map(|one| {
            let rows = one.rows.iter();
            rows.map(|at| (one.address + at.offset, at.words))
        })
        .map(|(start, words)| (start, start.saturating_add(words)))
        .collect();
    spans.sort_unstable();
    let (start, last) = (request.address, request.address + request.count);
    let mut wider = Vec::new();
    let mut reach = last;
    for (from, to) in &spans {
        if *from <= reach && *to > reach {
            reach = *to;
            wider.push((start, reach));
        }
    }
    spans.sort_unstable_by_key(|(_, to)| std::cmp::Reverse(*to));
    let mut reach = start;
    for (from, to) in spans {
        if to >= reach && from < reach {
            reach = from;
            wider.push((reach, last));
        }
    }
    let most = match request.table {
        Table::Coil | Table::Discrete => super::MOST_BITS,
        Table::Holding | Table::Input => most,
    };
    let fits = wider
        .into_iter()
        .filter(move |(from, to)| to - from <= most);
    fits.map(|(from, to)| {
        let mut wider = request.clone();
        for at in &mut wider.rows {
            at.offset += request.address - from;
        }
        (wider.address, wider.count) = (from, to - from);
        wider
    })
}

/// The request in two pieces whose shapes are free.
fn two(request: &ReadRequest, taken: &BTreeSet<Shape>) -> Option<Vec<ReadRequest>> {
    // The last rows first: a long and a short piece keep most of the answer in one.
    let mut places = (1..request.rows.len()).rev();
    places.find_map(|place| {
        let parts = request.parted(place)?;
        let [low, high] = parts.each_ref().map(ReadRequest::shape);
        let free = low != high && !taken.contains(&low) && !taken.contains(&high);
        free.then(|| parts.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::any_row;
    use super::*;
    use crate::profile::tests::{profile, registers};
    use crate::profile::{DataType, ModbusSettings, PollClass};
    use proptest::prelude::*;

    fn words(table: Table, starts: &[(u16, u16)]) -> Vec<ReadRequest> {
        let rows = starts
            .iter()
            .flat_map(|(start, count)| *start..start + count);
        let rows = rows.map(|address| registers(table, address, DataType::U16));
        told_apart(&profile(rows.collect()).plan(), 125)
    }

    fn asked(plan: &[ReadRequest]) -> Vec<(u16, u16)> {
        plan.iter().map(|one| (one.address, one.count)).collect()
    }

    #[test]
    fn equal_blocks_are_parted_and_single_registers_are_not() {
        let two = words(Table::Holding, &[(0, 4), (100, 4)]);
        assert_eq!(asked(&two), [(0, 4), (100, 3), (103, 1)]);
        let single = words(Table::Holding, &[(7, 1), (100, 1), (200, 1)]);
        assert_eq!(asked(&single), [(7, 1), (100, 1), (200, 1)]);
        let other = words(Table::Holding, &[(0, 4), (100, 5)]);
        assert_eq!(asked(&other), [(0, 4), (100, 5)]);
    }

    #[test]
    fn a_register_beside_others_that_are_read_is_read_with_them() {
        let row = |address, poll| crate::profile::PointRow {
            poll,
            ..registers(Table::Input, address, DataType::U16)
        };
        let rows = vec![
            row(50, PollClass::Fast),
            row(10, PollClass::Normal),
            row(11, PollClass::Slow),
        ];
        let plan = told_apart(&profile(rows).plan(), 125);
        assert_eq!(asked(&plan), [(50, 1), (10, 2), (11, 1)]);
    }

    proptest! {
        #[test]
        fn rows_stay_and_nothing_without_a_row_is_read(
            rows in prop::collection::vec(any_row(), 0..40),
            most in 4..125_u16,
        ) {
            let mut profile = profile(rows);
            profile.modbus = Some(ModbusSettings { max_registers: most, max_gap: 3, ..ModbusSettings::default() });
            let plan = profile.plan();
            let apart = told_apart(&plan, most);
            let read = |plan: &[ReadRequest]| -> BTreeSet<(Table, u16)> {
                plan.iter().flat_map(|one| (one.address..one.address + one.count).map(|at| (one.table, at))).collect()
            };
            prop_assert!(read(&apart).is_subset(&read(&plan)));
            let mut seen = vec![0; profile.points.len()];
            for request in &apart {
                let bits = matches!(request.table, Table::Coil | Table::Discrete);
                prop_assert!(request.count >= 1 && (bits || request.count <= most));
                for at in &request.rows {
                    seen[at.row] += 1;
                    let row = profile.points[at.row].modbus.as_ref().unwrap();
                    prop_assert_eq!(row.address, request.address + at.offset);
                    prop_assert!(at.offset + at.words <= request.count);
                    prop_assert_eq!(profile.points[at.row].poll, request.poll);
                }
            }
            prop_assert!(seen.iter().all(|count| *count == 1));
            let count = |plan: &[ReadRequest]| plan.iter().map(ReadRequest::shape).collect::<BTreeSet<_>>().len();
            prop_assert!(count(&apart) >= count(&plan));
        }
    }
}
