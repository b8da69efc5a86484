//! Modbus: one task for each endpoint, one connection, one request at a time. A unit that is
//! silent costs the others almost nothing, and no answer is trusted that does not fit its request.
//!
//! It only reads: there is no code here that could write to a device.

mod breaker;
mod connection;
mod endpoint;
mod fault;
mod fence;
mod heard;
mod parts;
mod probes;
mod reach;
mod schedule;
mod unit;
mod wire;

use super::{Device, DriverContext, ModbusLink};
use crate::engine::Stopped;
use chrono::Utc;
use endpoint::Endpoint;
use probes::{Probes, Silent};
use schedule::{Due, Schedule};
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::time::{Instant, sleep_until};
use unit::Unit;
use zhiban_core::{Input, LinkState, SampleBatch, Timestamp};

/// Reads the devices of one link until it is told to stop or the engine is gone.
pub async fn run(context: DriverContext, link: ModbusLink, devices: Vec<Device>) {
    let stop = context.stop.clone();
    let line = Line::new(context, link, devices);
    tokio::select! {
        () = stop.cancelled() => {}
        Stopped = line.run() => {}
    }
}

/// How the reading of a unit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    Answered,
    Unanswered,
    /// The connection is gone and none is to be had now.
    CutOff,
}

/// A link with its units.
struct Line {
    context: DriverContext,
    endpoint: Endpoint,
    units: Vec<Unit>,
    schedule: Schedule,
    probes: Probes,
    /// What was due and must wait, because a unit before it did not answer.
    waiting: Vec<Due>,
    /// Since when units of the line fall silent.
    trouble: Option<Instant>,
    connected: Option<bool>,
    overruns: metrics::Counter,
    seconds: metrics::Histogram,
}

impl Line {
    fn new(context: DriverContext, link: ModbusLink, devices: Vec<Device>) -> Self {
        let name = context.link.clone();
        let life_safety = devices.iter().any(|device| device.life_safety);
        let units: Vec<Unit> = devices
            .into_iter()
            .map(|device| Unit::new(device, &link, &name, context.memory.pieces.clone()))
            .collect();
        let periods: Vec<_> = units.iter().map(Unit::periods).collect();
        let mut seed = DefaultHasher::new();
        name.hash(&mut seed);
        let labels = [("link", name.clone())];
        Self {
            context,
            endpoint: Endpoint::new(link, &name, life_safety),
            units,
            // The remainder keeps sums of slots far from any limit.
            schedule: Schedule::new(&periods, seed.finish() % 1_000_000, Instant::now()),
            probes: Probes::default(),
            waiting: Vec::new(),
            trouble: None,
            connected: None,
            overruns: metrics::counter!("zhiban_modbus_overruns_total", &labels),
            seconds: metrics::histogram!("zhiban_modbus_cycle_seconds", &labels),
        }
    }

    async fn run(mut self) -> Stopped {
        loop {
            if let Err(stopped) = self.turn().await {
                return stopped;
            }
        }
    }

    /// Waits for the next slot and reads what is due in it.
    async fn turn(&mut self) -> Result<(), Stopped> {
        if !self.endpoint.is_open() {
            let opened = self.endpoint.open().await;
            if let Err(error) = &opened {
                self.all_down().await?;
                for unit in &mut self.units {
                    let fault = unit.unconnected(&self.endpoint, error);
                    let board = &self.context.board;
                    board.set_device_fault(unit.code(), Some(fault));
                }
                if self.connected.replace(false) != Some(false) {
                    let endpoint = self.endpoint.name();
                    tracing::warn!(link = %self.context.link, endpoint, "no connection: {error}");
                }
                return Ok(());
            }
            if self.connected.replace(true) != Some(true) {
                tracing::info!(link = %self.context.link, "connected");
                self.hasten();
            }
        }
        let answering = self.units.iter().filter(|unit| !unit.is_silent());
        let later = answering.filter_map(Unit::later).min();
        let probe = self.probe(Instant::now()).map(|(at, _)| at);
        let times = self.schedule.next().into_iter().chain(later).chain(probe);
        let at_once = (!self.waiting.is_empty()).then(Instant::now);
        let Some(next) = times.chain(at_once).min() else {
            return std::future::pending().await;
        };
        sleep_until(next).await;
        let mut due = self.due(Instant::now()).into_iter();
        self.overruns.increment(self.schedule.take_overruns());
        while let Some(one) = due.next() {
            match self.read(&one).await? {
                Went::Answered => {}
                // Those who answer, and are due by now, go before the next who may not.
                Went::Unanswered => {
                    self.waiting = due.collect();
                    break;
                }
                Went::CutOff => break,
            }
        }
        Ok(())
    }

    /// The units that have something to ask now: by the timetable, or because they had to wait; and at
    /// the end one that is silent, so that those who answer wait for one probe at most. While units fall
    /// silent, those that are known to answer go first, then what guards life, last those that did
    /// not answer before.
    fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = self.schedule.take_due(now);
        for waiting in std::mem::take(&mut self.waiting) {
            match due.iter_mut().find(|one| one.unit == waiting.unit) {
                Some(one) => one.add(waiting.classes),
                None => due.push(waiting),
            }
        }
        due.retain(|one| {
            self.units
                .get(one.unit)
                .is_some_and(|unit| !unit.is_silent())
        });
        let waited = self.units.iter().enumerate().filter(|(place, unit)| {
            let is_due = unit.later().is_some_and(|later| later <= now);
            is_due && !unit.is_silent() && due.iter().all(|one| one.unit != *place)
        });
        let waited: Vec<Due> = waited.map(|(place, _)| Due::again(place)).collect();
        due.extend(waited);
        if !self.units.iter().any(Unit::is_failing) {
            self.trouble = None;
        }
        if let Some(since) = self.trouble {
            due.sort_by_key(|one| {
                let unit = self.units.get(one.unit);
                let answers = unit.is_some_and(|unit| unit.has_answered_since(since));
                let failing = unit.is_some_and(Unit::is_failing);
                (failing, !answers, !unit.is_some_and(Unit::guards_life))
            });
        }
        let probe = self.probe(now).filter(|(at, _)| *at <= now);
        due.extend(probe.map(|(_, unit)| Due::again(unit)));
        due
    }

    /// The silent unit to ask next, and when.
    fn probe(&self, now: Instant) -> Option<(Instant, usize)> {
        let silent = self.units.iter().enumerate().filter_map(|(unit, one)| {
            Some(Silent {
                unit,
                next: one.silent_until()?,
                life_safety: one.guards_life(),
            })
        });
        self.probes.next(silent, now)
    }

    /// Every silent unit may be asked at once.
    fn hasten(&mut self) {
        let now = Instant::now();
        self.units.iter_mut().for_each(|unit| unit.hasten(now));
    }

    /// Reads one unit.
    async fn read(&mut self, due: &Due) -> Result<Went, Stopped> {
        let hurried = self.trouble.is_some();
        let Some(unit) = self.units.get_mut(due.unit) else {
            return Ok(Went::Answered);
        };
        unit.hurry(hurried);
        let was_silent = unit.is_silent();
        let started = Instant::now();
        let cycle = unit.cycle(&mut self.endpoint, &due.classes).await;
        self.seconds.record(started.elapsed());
        let is_silent = unit.is_silent();
        if was_silent && is_silent {
            self.probes.unanswered(started.elapsed(), Instant::now());
        }
        let went = match (cycle.cut_off, cycle.is_unanswered()) {
            (true, _) => Went::CutOff,
            (false, true) => Went::Unanswered,
            (false, false) => Went::Answered,
        };
        if went == Went::Unanswered && !was_silent {
            self.trouble.get_or_insert(started);
        }
        let state = unit.judge(&cycle);
        let mut inputs = Vec::with_capacity(2);
        if state == LinkState::Up {
            if unit.note_recovery() {
                self.context.board.set_device_fault(unit.code(), None);
            }
        } else if let Some(fault) = unit.take_trouble() {
            let board = &self.context.board;
            board.set_device_fault(unit.code(), Some(fault));
        }
        if unit.set_state(state) {
            inputs.push(Input::Link {
                asset: unit.asset(),
                state,
            });
        }
        if !cycle.samples.is_empty() {
            inputs.push(Input::Samples(SampleBatch {
                asset: unit.asset(),
                at: Timestamp::from(Utc::now()),
                samples: cycle.samples,
                retained: false,
            }));
        }
        if self.endpoint.take_renewed() {
            tracing::warn!(link = %self.context.link, "every unit is out of reach behind the gateway: connecting anew");
            self.hasten();
        } else if was_silent && !is_silent {
            // What kept this one silent may have kept the others so.
            self.hasten();
        }
        if !inputs.is_empty() {
            self.context.engine.inputs(inputs).await?;
        }
        Ok(went)
    }

    /// The endpoint cannot be reached: nothing behind it can.
    async fn all_down(&mut self) -> Result<(), Stopped> {
        let state = LinkState::Down;
        let news = self.units.iter_mut().filter_map(|unit| {
            let news = unit.set_state(state);
            news.then(|| Input::Link {
                asset: unit.asset(),
                state,
            })
        });
        let news: Vec<Input> = news.collect();
        match news.is_empty() {
            true => Ok(()),
            false => self.context.engine.inputs(news).await,
        }
    }
}
