//! One unit on a link: what is read from it, how its answers become samples, and how it stands.
//! A failed exchange never leaves a value, and silence never becomes one.

use super::breaker::{Breaker, Permit};
use super::connection::Ask;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::fence::Step;
use super::parts::{Parts, Read};
use crate::drivers::memory::Pieces;
use crate::drivers::{Device, ModbusLink};
use chrono::Utc;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::decode::Reading;
use zhiban_core::profile::plan::{RowAt, told_apart};
use zhiban_core::profile::{PollClass, PollPeriods, Table};
use zhiban_core::{AssetId, LinkState, PointId, Quality, QualityReason, Sample, Timestamp};
use zhiban_dashboard::ports::DeviceFault;

/// The most small requests kept as a choice of fences.
const MOST_CHOICES: usize = 8;
/// After so many reads were parted in one cycle the other units come first.
const MOST_PARTED: usize = 4;

/// A probe that another unit's late answer disturbed, or that could not be sent, is not made again
/// sooner than this.
const AGAIN: Duration = Duration::from_millis(200);

/// What one cycle of a unit brought.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    /// The samples of all its reads.
    pub(super) samples: Vec<Sample>,
    /// How many reads were answered with values.
    answered: usize,
    /// How many were not.
    failed: usize,
    /// How many reads were parted.
    parted: usize,
    /// There was no connection to ask over.
    pub(super) cut_off: bool,
}

/// One unit.
pub(super) struct Unit {
    device: Device,
    parts: Parts,
    choices: Vec<Ask>,
    breaker: Breaker,
    /// When what waits may be asked, should that be before its next slot.
    later: Option<Instant>,
    /// When it last gave a value.
    answered: Option<Instant>,
    /// When it last answered anything, a fence too.
    heard: Option<Instant>,
    /// Others of the line fall silent now.
    hurried: bool,
    state: LinkState,
    fault: Option<&'static str>,
    /// The last failed read, until somebody takes it.
    trouble: Option<DeviceFault>,
    requests: metrics::Counter,
    overruns: metrics::Counter,
    name: String,
}

impl Cycle {
    /// Whether something was asked and nothing answered.
    pub(super) fn is_unanswered(&self) -> bool {
        self.failed > 0 && self.answered == 0
    }
}

impl Unit {
    /// A unit as its device's profile says; without requests when the profile has no registers.
    pub(super) fn new(device: Device, link: &ModbusLink, name: &str, memory: Pieces) -> Self {
        let mut plan = device.profile.plan();
        if !link.repeat_window.to_std().is_zero() {
            let settings = device.profile.modbus.as_ref();
            plan = told_apart(&plan, settings.map_or(125, |one| one.max_registers));
        }
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
        let owner = format!("{} {}", device.code, device.profile.id);
        let labels = [("link", name.to_owned()), ("unit", device.unit.to_string())];
        Self {
            parts: Parts::new(plan, &owner, device.life_safety, memory),
            choices,
            breaker: Breaker::new(device.life_safety),
            later: None,
            answered: None,
            heard: None,
            hurried: false,
            state: LinkState::Unknown,
            fault: None,
            trouble: None,
            requests: metrics::counter!("zhiban_modbus_requests_total", &labels),
            overruns: metrics::counter!("zhiban_modbus_overruns_total", "link" => name.to_owned()),
            name: name.to_owned(),
            device,
        }
    }

    /// The asset.
    pub(super) fn asset(&self) -> AssetId {
        self.device.asset
    }

    /// The asset's code.
    pub(super) fn code(&self) -> &str {
        &self.device.code
    }

    /// The last failed read since this was last asked.
    pub(super) fn take_trouble(&mut self) -> Option<DeviceFault> {
        self.trouble.take()
    }

    /// There was no connection to ask over.
    pub(super) fn unconnected(
        &mut self,
        endpoint: &Endpoint,
        error: &std::io::Error,
    ) -> DeviceFault {
        let is_refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        let kind = if is_refused {
            "connection_refused"
        } else {
            "no_connection"
        };
        self.fault = Some(kind);
        DeviceFault {
            kind,
            exception: None,
            endpoint: endpoint.name(),
            unit: Some(self.device.unit),
            asked: String::new(),
            answer: String::new(),
            detail: error.to_string(),
            at: Timestamp::from(Utc::now()),
        }
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
        let reads = self.parts.reads();
        let used = |class: &PollClass| reads.iter().any(|read| read.request.poll == *class);
        all.into_iter()
            .filter(|(class, _)| used(class))
            .map(|(class, period)| (class, period.to_std()))
            .collect()
    }

    /// When what waits may be asked, should that be before its next slot.
    pub(super) fn later(&self) -> Option<Instant> {
        self.later
    }

    /// Whether it does not answer; then it has no slots.
    pub(super) fn is_silent(&self) -> bool {
        self.breaker.is_open()
    }

    /// When it may be asked whether it is back; `None` while it answers.
    pub(super) fn silent_until(&self) -> Option<Instant> {
        let next = self.breaker.next()?;
        Some(self.later.unwrap_or(next))
    }

    /// Whether it did not answer when it was asked last, and is still asked at its times.
    pub(super) fn is_failing(&self) -> bool {
        self.breaker.has_failed() && !self.breaker.is_open()
    }

    /// Whether it gave a value since then.
    pub(super) fn has_answered_since(&self, then: Instant) -> bool {
        self.answered.is_some_and(|at| at >= then)
    }

    /// Says whether others of its line fall silent now.
    pub(super) fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    fn limit(&self, endpoint: &Endpoint) -> Duration {
        match self.hurried {
            true => self.breaker.hurried_limit(endpoint.limit()),
            false => endpoint.limit(),
        }
    }

    /// Whether lives depend on what it says.
    pub(super) fn guards_life(&self) -> bool {
        self.device.life_safety
    }

    /// It may be asked at once, if it is silent.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.breaker.hasten(now);
        if self.breaker.is_open() {
            self.later = self.breaker.next();
        }
    }

    /// Takes over a state of the link; says whether it is news.
    pub(super) fn set_state(&mut self, state: LinkState) -> bool {
        let news = self.state != state;
        self.state = state;
        news
    }

    /// How the unit stands after a cycle.
    pub(super) fn judge(&self, cycle: &Cycle) -> LinkState {
        let mut reads = self.parts.reads().iter();
        let hurt = cycle.failed > 0 || reads.any(|read| read.breaker.is_open());
        match (self.breaker.is_open(), cycle.answered, hurt) {
            (true, _, _) => LinkState::Down,
            (false, 0, true) if self.state == LinkState::Up => LinkState::Degraded,
            (false, 0, _) => self.state,
            (false, _, true) => LinkState::Degraded,
            (false, _, false) => LinkState::Up,
        }
    }

    /// Reads what is due, and what waits of the slots before.
    pub(super) async fn cycle(&mut self, endpoint: &mut Endpoint, classes: &[PollClass]) -> Cycle {
        let mut cycle = Cycle::default();
        self.later = None;
        let now = Instant::now();
        match self.breaker.permit(now) {
            Permit::Wait => {
                self.later = self.breaker.next();
                return cycle;
            }
            Permit::Probe => {
                let limit = self.breaker.probe_limit(endpoint.limit());
                if !self.pass_fence(endpoint, limit, &mut cycle).await {
                    let soonest = Instant::now() + AGAIN;
                    let next = self.later.or(self.breaker.next());
                    self.later = next.map(|next| next.max(soonest));
                    return cycle;
                }
                self.parts.restart(now);
            }
            Permit::Yes => self.overruns.increment(self.parts.make_due(classes, now)),
        }
        while self.parts.reads().iter().any(|read| read.due.is_some()) {
            let limit = endpoint.limit();
            if !self.pass_fence(endpoint, limit, &mut cycle).await {
                break;
            }
            let Some(index) = self.next(endpoint) else {
                break;
            };
            if !self.read(index, endpoint, &mut cycle).await {
                break;
            }
            if cycle.parted >= MOST_PARTED {
                self.later = Some(Instant::now());
                break;
            }
        }
        if cycle.failed == 0 {
            self.try_whole(endpoint, &mut cycle).await;
        }
        self.parts.keep();
        if self.breaker.is_open() {
            self.parts.forget_due();
            self.later = self.breaker.next();
        }
        cycle
    }

    /// The read that waits longest of those that may be asked now.
    fn next(&mut self, endpoint: &Endpoint) -> Option<usize> {
        let now = Instant::now();
        let mut found: Option<(Instant, usize)> = None;
        for index in 0..self.parts.reads().len() {
            let Some(read) = self.parts.get(index) else {
                continue;
            };
            let Some(due) = read.due else {
                continue;
            };
            if read.breaker.permit(now) == Permit::Wait {
                read.due = None;
                continue;
            }
            match endpoint.free_at(self.device.unit, read.ask()) {
                Some(at) if at > now => {
                    self.later = Some(self.later.map_or(at, |later| later.min(at)));
                }
                _ if found.is_none_or(|(known, _)| due < known) => found = Some((due, index)),
                _ => {}
            }
        }
        found.map(|(_, index)| index)
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
            Step::Later(at) => {
                self.later = Some(at);
                return false;
            }
            Step::Fence(ask) => ask,
            Step::Read if self.breaker.is_open() => {
                let wait = |ask: &&Ask| endpoint.free_at(unit, **ask);
                match self.choices.iter().min_by_key(wait) {
                    Some(ask) => *ask,
                    None => return true,
                }
            }
            Step::Read => return true,
        };
        self.requests.increment(1);
        let asked = Instant::now();
        let answer = endpoint.exchange(unit, ask, limit).await;
        self.doubt(endpoint, cycle);
        match answer {
            Ok(_) => {
                endpoint.settled(unit);
                self.heard = Some(Instant::now());
                if self.breaker.is_open() {
                    self.parts.restart(asked);
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
                    self.breaker.failed(asked);
                }
                self.note(fault, ask, endpoint, cycle);
                false
            }
        }
    }

    /// After something that nobody can explain, what was read before it is no value: it may have
    /// been an old answer, and this the right one.
    fn doubt(&self, endpoint: &mut Endpoint, cycle: &mut Cycle) {
        if endpoint.take_surplus() {
            cycle.samples.retain(|sample| sample.value.is_none());
        }
    }

    /// Asks in one piece for what was parted, once that may be answered again: a request for each
    /// row keeps the line busy for ever. The pieces were read before, and stay when this fails.
    async fn try_whole(&mut self, endpoint: &mut Endpoint, cycle: &mut Cycle) {
        let now = Instant::now();
        let unit = self.device.unit;
        let Some((place, ask)) = self.parts.trial(now) else {
            return;
        };
        let is_free = endpoint.free_at(unit, ask).is_none_or(|at| at <= now);
        if !is_free || endpoint.step(unit, &self.choices) != Step::Read {
            return;
        }
        self.requests.increment(1);
        let answer = endpoint.exchange(unit, ask, endpoint.limit()).await;
        self.doubt(endpoint, cycle);
        match answer {
            Ok(values) => {
                let rows = self.parts.join(place).map(|whole| whole.rows.clone());
                self.decode(&rows.unwrap_or_default(), ask.table, &values, cycle);
                cycle.answered += 1;
            }
            Err(_) => self.parts.stay_parted(place, now),
        }
    }

    /// One read; `false` ends the cycle.
    async fn read(&mut self, index: usize, endpoint: &mut Endpoint, cycle: &mut Cycle) -> bool {
        let Some(ask) = self.parts.reads().get(index).map(Read::ask) else {
            return true;
        };
        self.requests.increment(1);
        let asked = Instant::now();
        let answer = endpoint
            .exchange(self.device.unit, ask, self.limit(endpoint))
            .await;
        self.doubt(endpoint, cycle);
        let Some(read) = self.parts.get(index) else {
            return true;
        };
        match answer {
            Ok(values) => {
                read.breaker.close();
                (read.answered, read.due) = (true, None);
                self.breaker.succeeded(asked.elapsed());
                self.answered = Some(Instant::now());
                self.heard = self.answered;
                cycle.answered += 1;
                let rows = self.parts.reads().get(index).map(|read| &read.request.rows);
                let rows = rows.map_or(&[][..], Vec::as_slice);
                self.decode(rows, ask.table, &values, cycle);
                true
            }
            Err(fault) => {
                self.note(fault, ask, endpoint, cycle);
                self.failed(index, fault, endpoint, cycle)
            }
        }
    }

    fn decode(&self, rows: &[RowAt], table: Table, values: &[u16], cycle: &mut Cycle) {
        for at in rows {
            let start = usize::from(at.offset);
            let own = values.get(start..start + usize::from(at.words));
            let reading = match (self.device.decoders.get(at.row), own, table) {
                (Some(decoder), Some(registers), Table::Holding | Table::Input) => {
                    decoder.registers(registers)
                }
                (Some(decoder), Some([bit]), Table::Coil | Table::Discrete) => {
                    decoder.bit(*bit != 0)
                }
                _ => Reading::bad(QualityReason::BadAnswer),
            };
            cycle.samples.push(Sample {
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
        let now = Instant::now();
        if let Fault::Refused(code) = fault {
            self.breaker.close();
            if matches!(code, 1..=4) && self.parts.part(index, now) {
                cycle.parted += 1;
                return true;
            }
        }
        let is_silence = matches!(fault, Fault::Timeout | Fault::Unreachable(_));
        if is_silence
            && self.parts.is_in_vain(index, self.heard, now)
            && self.parts.part(index, now)
        {
            cycle.parted += 1;
            self.breaker.failed(now);
            return false;
        }
        let Some(read) = self.parts.get(index) else {
            return true;
        };
        read.breaker.failed(now);
        (read.answered, read.due) = (false, None);
        let is_silent = read.breaker.is_open();
        if matches!(fault, Fault::Refused(_)) {
            let quality = Quality::Bad(QualityReason::Refused);
            self.spoil(index, quality, &mut cycle.samples);
            return true;
        }
        if fault.is_bad_answer() {
            let quality = Quality::Bad(QualityReason::BadAnswer);
            self.spoil(index, quality, &mut cycle.samples);
        } else if is_silent {
            // Others of its unit may answer and keep the asset fresh: these points are not.
            let quality = Quality::Stale(QualityReason::Timeout);
            self.spoil(index, quality, &mut cycle.samples);
        }
        self.breaker.failed(now);
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
        let rows = self.parts.reads().get(index).map(|read| &read.request.rows);
        samples.extend(rows.into_iter().flatten().map(|row| Sample {
            point: self.point(row.row),
            value: None,
            quality,
        }));
    }

    /// Counts a fault, and logs it when it is a new one.
    fn note(&mut self, fault: Fault, ask: Ask, endpoint: &Endpoint, cycle: &mut Cycle) {
        cycle.failed += 1;
        cycle.cut_off |= fault == Fault::NoConnection;
        let kind = fault.kind();
        let answer = hex(endpoint.answer());
        if fault != Fault::NoConnection {
            self.trouble = Some(DeviceFault {
                kind: endpoint.explain(fault),
                exception: fault.exception(),
                endpoint: endpoint.name(),
                unit: Some(self.device.unit),
                asked: format!("{} {}, {}", ask.table.code(), ask.address, ask.count),
                answer: answer.clone(),
                detail: String::new(),
                at: Timestamp::from(Utc::now()),
            });
        }
        let unit = self.device.unit.to_string();
        let labels = [
            ("link", self.name.clone()),
            ("unit", unit),
            ("kind", kind.to_owned()),
        ];
        metrics::counter!("zhiban_modbus_faults_total", &labels).increment(1);
        if self.fault.replace(kind) != Some(kind) {
            tracing::warn!(
                link = %self.name, asset.code = %self.device.code, endpoint = endpoint.name(),
                unit = self.device.unit, table = ask.table.code(), address = ask.address,
                count = ask.count, %answer, "a read failed: {fault}"
            );
        }
    }

    /// Logs that all is well again; says whether it was not.
    pub(super) fn note_recovery(&mut self) -> bool {
        self.trouble = None;
        let was_faulty = self.fault.take().is_some();
        if was_faulty {
            tracing::info!(
                link = %self.name, asset.code = %self.device.code, unit = self.device.unit,
                "all reads succeed again"
            );
        }
        was_faulty
    }
}

/// Bytes as people write them down.
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}
