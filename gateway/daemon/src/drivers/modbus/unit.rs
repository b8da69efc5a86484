//! One unit on a link: what is read from it, how its answers become samples, and how it stands.
//! A failed exchange never leaves a value, and silence never becomes one.

use super::breaker::{Breaker, Permit};
use super::connection::Ask;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::fence::Step;
use crate::drivers::Device;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::decode::{Decoder, Reading};
use zhiban_core::profile::plan::{ReadRequest, RowAt};
use zhiban_core::profile::{PointRow, PollClass, PollPeriods, Table};
use zhiban_core::{AssetId, LinkState, PointId, Quality, QualityReason, Sample};

/// The most small requests kept as a choice of fences.
const MOST_CHOICES: usize = 8;
/// A request that was parted is tried whole again after the first figure, doubled up to the second.
const PARTED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// One request of the plan, which may be asked in parts.
struct Whole {
    request: ReadRequest,
    /// Since it was parted: when it may be tried whole again.
    again: Option<Instant>,
    pause: Duration,
}

/// One request as it is asked, and how it fares.
struct Read {
    request: ReadRequest,
    /// The request of the plan that it is a part of, by its place.
    whole: usize,
    breaker: Breaker,
    /// Whether it was answered when it was last asked.
    answered: bool,
}

impl Read {
    fn new(request: ReadRequest, whole: usize) -> Self {
        Self {
            request,
            whole,
            breaker: Breaker::default(),
            answered: false,
        }
    }

    fn ask(&self) -> Ask {
        Ask {
            table: self.request.table,
            address: self.request.address,
            count: self.request.count,
        }
    }
}

/// What one cycle of a unit brought.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    /// The samples of all its reads.
    pub(super) samples: Vec<Sample>,
    /// How many reads were answered with values.
    answered: usize,
    /// How many were not.
    failed: usize,
    /// There was no connection to ask over.
    pub(super) cut_off: bool,
}

/// One unit.
pub(super) struct Unit {
    device: Device,
    /// One for each row of the profile.
    decoders: Vec<Decoder>,
    plan: Vec<Whole>,
    reads: Vec<Read>,
    choices: Vec<Ask>,
    breaker: Breaker,
    /// The read to begin with: after silence the next one, so that one bad block starves no other.
    first: usize,
    state: LinkState,
    fault: Option<&'static str>,
    requests: metrics::Counter,
    link: String,
}

impl Unit {
    /// A unit as its device's profile says; without requests when the profile has no registers.
    pub(super) fn new(device: Device, link: &str) -> Self {
        let plan = device.profile.plan();
        let mut choices: Vec<Ask> = Vec::new();
        for request in &plan {
            for row in &request.rows {
                let ask = Ask {
                    table: request.table,
                    address: request.address,
                    count: row.offset + row.words,
                };
                if choices.iter().all(|known| known.shape() != ask.shape()) {
                    choices.push(ask);
                }
            }
        }
        choices.sort_by_key(|ask| ask.count);
        choices.truncate(MOST_CHOICES);
        let labels = [("link", link.to_owned()), ("unit", device.unit.to_string())];
        Self {
            decoders: device
                .profile
                .points
                .iter()
                .map(PointRow::decoder)
                .collect(),
            reads: (0..)
                .zip(&plan)
                .map(|(n, one)| Read::new(one.clone(), n))
                .collect(),
            plan: plan
                .into_iter()
                .map(|request| Whole {
                    request,
                    again: None,
                    pause: PARTED.0,
                })
                .collect(),
            choices,
            breaker: Breaker::default(),
            first: 0,
            state: LinkState::Unknown,
            fault: None,
            requests: metrics::counter!("zhiban_modbus_requests_total", &labels),
            link: link.to_owned(),
            device,
        }
    }

    /// The asset.
    pub(super) fn asset(&self) -> AssetId {
        self.device.asset
    }

    /// Its poll classes that have something to read, with their periods.
    pub(super) fn periods(&self) -> Vec<(PollClass, Duration)> {
        let usual = PollPeriods::default();
        let settings = self.device.profile.modbus.as_ref();
        let periods = settings.map_or(&usual, |settings| &settings.poll);
        let all = [
            (PollClass::Fast, periods.fast),
            (PollClass::Normal, periods.normal),
            (PollClass::Slow, periods.slow),
        ];
        let used = |class: &PollClass| self.reads.iter().any(|read| read.request.poll == *class);
        all.into_iter()
            .filter(|(class, _)| used(class))
            .map(|(class, period)| (class, period.to_std()))
            .collect()
    }

    /// Takes over a state of the link; says whether it is news.
    pub(super) fn set_state(&mut self, state: LinkState) -> bool {
        let news = self.state != state;
        self.state = state;
        news
    }

    /// How the unit stands after a cycle.
    pub(super) fn judge(&self, cycle: &Cycle) -> LinkState {
        let hurt = cycle.failed > 0 || self.reads.iter().any(|read| read.breaker.is_open());
        match (self.breaker.is_open(), cycle.answered, hurt) {
            (true, _, _) => LinkState::Down,
            (false, 0, true) if self.state == LinkState::Up => LinkState::Degraded,
            (false, 0, _) => self.state,
            (false, _, true) => LinkState::Degraded,
            (false, _, false) => LinkState::Up,
        }
    }

    /// Reads what is due.
    pub(super) async fn cycle(&mut self, endpoint: &mut Endpoint, classes: &[PollClass]) -> Cycle {
        let mut cycle = Cycle::default();
        match self.breaker.permit(Instant::now()) {
            Permit::Wait => return cycle,
            Permit::Probe => {
                let limit = self.breaker.probe_limit(endpoint.limit());
                if !self.pass_fence(endpoint, limit, &mut cycle).await {
                    return cycle;
                }
            }
            Permit::Yes => {}
        }
        self.mend(Instant::now());
        let count = self.reads.len();
        let order = (0..count).map(|place| (self.first + place) % count);
        for index in order.collect::<Vec<_>>() {
            let wanted = self.reads.get(index).is_some_and(|read| {
                classes.contains(&read.request.poll)
                    && read.breaker.permit(Instant::now()) != Permit::Wait
            });
            if !wanted {
                continue;
            }
            let limit = endpoint.limit();
            if !self.pass_fence(endpoint, limit, &mut cycle).await
                || !self.read(index, endpoint, &mut cycle).await
            {
                break;
            }
        }
        cycle
    }

    /// Makes sure that no old answer can be taken for a new one; `false` ends the cycle.
    async fn pass_fence(
        &mut self,
        endpoint: &mut Endpoint,
        limit: Duration,
        cycle: &mut Cycle,
    ) -> bool {
        let unit = self.device.unit;
        let ask = match endpoint.step(unit, &self.choices) {
            Step::Wait => return false,
            Step::Fence(ask) => ask,
            Step::Read => match self.choices.first() {
                Some(ask) if self.breaker.is_open() => *ask,
                Some(_) | None => return true,
            },
        };
        self.requests.increment(1);
        let asked = Instant::now();
        match endpoint.exchange(unit, ask, limit).await {
            Ok(_) => {
                endpoint.settled(unit);
                if self.breaker.is_open() {
                    self.reads.iter_mut().for_each(|read| read.breaker.close());
                }
                self.breaker.succeeded(asked.elapsed());
                true
            }
            Err(fault) => {
                if matches!(fault, Fault::Refused(_)) {
                    // It is there; but a refusal does not say which request it answers.
                    endpoint.owes(unit, ask);
                    self.breaker.succeeded(asked.elapsed());
                } else if !self.is_innocent(fault, endpoint) {
                    self.breaker.failed(Instant::now());
                }
                self.note(fault, cycle);
                false
            }
        }
    }

    /// One read of the plan; `false` ends the cycle.
    async fn read(&mut self, index: usize, endpoint: &mut Endpoint, cycle: &mut Cycle) -> bool {
        let Some(read) = self.reads.get_mut(index) else {
            return true;
        };
        self.requests.increment(1);
        let asked = Instant::now();
        let answer = endpoint
            .exchange(self.device.unit, read.ask(), endpoint.limit())
            .await;
        match answer {
            Ok(values) => {
                read.breaker.close();
                read.answered = true;
                self.breaker.succeeded(asked.elapsed());
                cycle.answered += 1;
                self.decode(index, &values, &mut cycle.samples);
                true
            }
            Err(fault) => {
                self.note(fault, cycle);
                self.failed(index, fault, endpoint, cycle)
            }
        }
    }

    fn decode(&self, index: usize, values: &[u16], samples: &mut Vec<Sample>) {
        let Some(read) = self.reads.get(index) else {
            return;
        };
        for at in &read.request.rows {
            let start = usize::from(at.offset);
            let own = values.get(start..start + usize::from(at.words));
            let reading = match (self.decoders.get(at.row), own, read.request.table) {
                (Some(decoder), Some(registers), Table::Holding | Table::Input) => {
                    decoder.registers(registers)
                }
                (Some(decoder), Some([bit]), Table::Coil | Table::Discrete) => {
                    decoder.bit(*bit != 0)
                }
                _ => Reading::bad(QualityReason::BadAnswer),
            };
            samples.push(Sample {
                point: self.point(at.row),
                value: reading.value,
                quality: reading.quality,
            });
        }
    }

    fn point(&self, row: usize) -> PointId {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        PointId(self.device.first_point.0.saturating_add(row))
    }

    /// What a failed read means for its points, the read and the unit; `false` ends the cycle.
    fn failed(
        &mut self,
        index: usize,
        fault: Fault,
        endpoint: &Endpoint,
        cycle: &mut Cycle,
    ) -> bool {
        if self.is_innocent(fault, endpoint) {
            return false;
        }
        let Some(read) = self.reads.get_mut(index) else {
            return true;
        };
        read.breaker.failed(Instant::now());
        read.answered = false;
        if let Fault::Refused(code) = fault {
            self.breaker.close();
            if !matches!(code, 2 | 3) || !self.split(index) {
                let quality = Quality::Bad(QualityReason::Refused);
                self.spoil(index, quality, &mut cycle.samples);
            }
            return true;
        }
        if fault.is_bad_answer() {
            let quality = Quality::Bad(QualityReason::BadAnswer);
            self.spoil(index, quality, &mut cycle.samples);
        } else if read.breaker.is_open() {
            // Others of its unit may answer and keep the asset fresh: these points are not.
            let quality = Quality::Stale(QualityReason::Timeout);
            self.spoil(index, quality, &mut cycle.samples);
        }
        self.breaker.failed(Instant::now());
        self.first = index + 1;
        // After nonsense the next read may do; after silence the line has waited enough.
        fault.is_bad_answer()
    }

    /// Whether a fault says nothing about this unit: there was no line, or another unit's late
    /// answer came in between.
    fn is_innocent(&self, fault: Fault, endpoint: &Endpoint) -> bool {
        fault == Fault::NoConnection
            || fault.is_bad_answer() && endpoint.others_owe(self.device.unit)
    }

    /// The points of a read, without a value.
    fn spoil(&self, index: usize, quality: Quality, samples: &mut Vec<Sample>) {
        let rows = self.reads.get(index).map(|read| &read.request.rows);
        samples.extend(rows.into_iter().flatten().map(|row| Sample {
            point: self.point(row.row),
            value: None,
            quality,
        }));
    }

    /// One refused register must not lose its neighbours: halves the read.
    fn split(&mut self, index: usize) -> bool {
        let Some(read) = self.reads.get(index) else {
            return false;
        };
        let place = read.whole;
        let Some(halves) = halves(&read.request) else {
            return false;
        };
        let halves = halves.map(|half| Read::new(half, place));
        self.reads.splice(index..=index, halves);
        if let Some(whole) = self.plan.get_mut(place).filter(|one| one.again.is_none()) {
            whole.again = Some(Instant::now() + whole.pause);
            whole.pause = (whole.pause * 2).min(PARTED.1);
        }
        true
    }

    /// What was parted is asked in one piece again once all parts are answered: the refusal may
    /// have passed, and a request for each row keeps the line busy for ever.
    fn mend(&mut self, now: Instant) {
        for (place, whole) in self.plan.iter_mut().enumerate() {
            let due = whole.again.is_some_and(|again| again <= now);
            let mut parts = self.reads.iter().filter(|read| read.whole == place);
            if !due || !parts.all(|read| read.answered) {
                continue;
            }
            whole.again = None;
            let first = self.reads.iter().position(|read| read.whole == place);
            self.reads.retain(|read| read.whole != place);
            let first = first.unwrap_or(0).min(self.reads.len());
            self.reads
                .insert(first, Read::new(whole.request.clone(), place));
        }
    }

    /// Counts a fault, and logs it when it is a new one.
    fn note(&mut self, fault: Fault, cycle: &mut Cycle) {
        cycle.failed += 1;
        cycle.cut_off |= fault == Fault::NoConnection;
        let kind = fault.kind();
        let unit = self.device.unit.to_string();
        let labels = [
            ("link", self.link.clone()),
            ("unit", unit),
            ("kind", kind.to_owned()),
        ];
        metrics::counter!("zhiban_modbus_faults_total", &labels).increment(1);
        if self.fault.replace(kind) != Some(kind) {
            tracing::warn!(
                link = %self.link, asset.code = %self.device.code, unit = self.device.unit,
                "a read failed: {fault}"
            );
        }
    }

    /// Logs that all is well again.
    pub(super) fn note_recovery(&mut self) {
        if self.fault.take().is_some() {
            tracing::info!(
                link = %self.link, asset.code = %self.device.code, unit = self.device.unit,
                "all reads succeed again"
            );
        }
    }
}

/// Two requests that read the same rows; `None` when the rows cannot be parted.
fn halves(request: &ReadRequest) -> Option<[ReadRequest; 2]> {
    let rows = &request.rows;
    let end = |rows: &[RowAt]| rows.iter().map(|at| at.offset + at.words).max();
    // Rows stand in the order of their addresses; bits of one register stay together.
    let parts = |place: &usize| match rows.split_at_checked(*place) {
        Some((low, [first, ..])) => end(low).is_some_and(|end| end <= first.offset),
        Some((_, [])) | None => false,
    };
    let middle = rows.len() / 2;
    let place = (middle..rows.len()).chain((1..middle).rev()).find(parts)?;
    let (low, high) = rows.split_at_checked(place)?;
    let part = |rows: &[RowAt]| {
        let start = rows.first()?.offset;
        Some(ReadRequest {
            poll: request.poll,
            table: request.table,
            address: request.address + start,
            count: end(rows)? - start,
            rows: rows
                .iter()
                .map(|at| RowAt {
                    offset: at.offset - start,
                    ..*at
                })
                .collect(),
        })
    };
    Some([part(low)?, part(high)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(row: usize, offset: u16, words: u16) -> RowAt {
        RowAt { row, offset, words }
    }

    #[test]
    fn halving_keeps_every_row_where_it_stood_and_parts_no_register() {
        let request = ReadRequest {
            poll: PollClass::Fast,
            table: Table::Holding,
            address: 100,
            count: 9,
            rows: vec![
                at(0, 0, 2),
                at(1, 4, 1),
                at(2, 4, 1),
                at(3, 4, 1),
                at(4, 8, 1),
            ],
        };
        let [low, high] = halves(&request).unwrap();
        assert_eq!((low.address, low.count, low.rows.len()), (100, 5, 4));
        assert_eq!((high.address, high.count), (108, 1));
        assert_eq!(high.rows, [at(4, 0, 1)]);
        let [first, flags] = halves(&low).unwrap();
        assert_eq!((first.address, first.count), (100, 2));
        assert_eq!((flags.address, flags.count), (104, 1));
        assert_eq!(halves(&flags), None);
        assert_eq!(halves(&first), None);
    }
}
