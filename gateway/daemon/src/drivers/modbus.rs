//! Modbus: one task for each endpoint, one connection, one request at a time. A unit that is
//! silent costs the others almost nothing, and no answer is trusted that does not fit its request.
//!
//! It only reads: there is no code here that could write to a device.

mod breaker;
mod connection;
mod endpoint;
mod fault;
mod fence;
mod schedule;
mod unit;
mod wire;

use super::{Device, DriverContext, ModbusLink};
use crate::engine::Stopped;
use chrono::Utc;
use endpoint::Endpoint;
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

/// A link with its units.
struct Line {
    context: DriverContext,
    endpoint: Endpoint,
    units: Vec<Unit>,
    schedule: Schedule,
    connected: Option<bool>,
    overruns: metrics::Counter,
    seconds: metrics::Histogram,
}

impl Line {
    fn new(context: DriverContext, link: ModbusLink, devices: Vec<Device>) -> Self {
        let name = context.link.clone();
        let units: Vec<Unit> = devices
            .into_iter()
            .map(|device| Unit::new(device, &name))
            .collect();
        let periods: Vec<_> = units.iter().map(Unit::periods).collect();
        let mut seed = DefaultHasher::new();
        name.hash(&mut seed);
        let labels = [("link", name.clone())];
        Self {
            context,
            endpoint: Endpoint::new(link, &name),
            units,
            // The remainder keeps sums of slots far from any limit.
            schedule: Schedule::new(&periods, seed.finish() % 1_000_000, Instant::now()),
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
                if self.connected.replace(false) != Some(false) {
                    tracing::warn!(link = %self.context.link, "no connection: {error}");
                }
                return Ok(());
            }
            if self.connected.replace(true) != Some(true) {
                tracing::info!(link = %self.context.link, "connected");
            }
        }
        let Some(next) = self.schedule.next() else {
            return std::future::pending().await;
        };
        sleep_until(next).await;
        let due = self.schedule.take_due(Instant::now());
        self.overruns.increment(self.schedule.take_overruns());
        for one in due {
            if !self.read(&one).await? {
                break;
            }
        }
        Ok(())
    }

    /// Reads one unit; `false` when the connection is gone and none is to be had now.
    async fn read(&mut self, due: &Due) -> Result<bool, Stopped> {
        let Some(unit) = self.units.get_mut(due.unit) else {
            return Ok(true);
        };
        let started = Instant::now();
        let cycle = unit.cycle(&mut self.endpoint, &due.classes).await;
        self.seconds.record(started.elapsed());
        let state = unit.judge(&cycle);
        let mut inputs = Vec::with_capacity(2);
        if state == LinkState::Up {
            unit.note_recovery();
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
        if !inputs.is_empty() {
            self.context.engine.inputs(inputs).await?;
        }
        Ok(!cycle.cut_off)
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
