//! A sump pit: water trickles in, two pumps in turn lift it out.

use serde::Serialize;

use crate::elevator::round;
use crate::rng::Rng;
use crate::world::STEP;

const START: f64 = 1.00;
const JOIN: f64 = 1.20;
const STOP: f64 = 0.40;
const HIGH: f64 = 1.60;
const HIGH_RESET: f64 = 1.55;
const FLOOD_LIMIT: f64 = 1.90;
/// m of level per second.
const PUMP_RATE: f64 = 0.0055;
const TRICKLE: f64 = 0.0011;
const FLOOD: f64 = 0.15;

/// The pit.
#[derive(Debug, Clone)]
pub(crate) struct Sump {
    rng: Rng,
    level: f64,
    high_level: bool,
    running: [bool; 2],
    starts: [u32; 2],
    /// Index of the pump whose turn it is.
    next: usize,
    flooding: bool,
    /// After a flood a mobile pump empties the pit.
    draining: bool,
    overload: Option<(usize, f64)>,
    fault: [bool; 2],
    mains_lost: bool,
}

/// What a pump tells in a telemetry message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PumpTelemetry {
    pub(crate) running: bool,
    pub(crate) fault: bool,
    starts: u32,
    current: f64,
}

/// The telemetry message, without time and number. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Telemetry {
    pub(crate) level: f64,
    pub(crate) high_level: bool,
    pub(crate) mains: bool,
    pub(crate) pumps: [PumpTelemetry; 2],
}

impl Sump {
    /// Returns pit `number` (1 …).
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::new(seed, 40 + number);
        Self {
            level: rng.between(0.5, 0.95),
            high_level: false,
            running: [false; 2],
            starts: [3900 + rng.below(200) as u32, 3900 + rng.below(200) as u32],
            next: rng.below(2),
            flooding: false,
            draining: false,
            overload: None,
            fault: [false; 2],
            mains_lost: false,
            rng,
        }
    }

    /// Lets water pour in, or stops it and empties the pit.
    pub(crate) fn set_flooding(&mut self, on: bool) {
        self.draining = self.draining || (self.flooding && !on);
        self.flooding = on;
    }

    /// Overloads the pump whose turn it is until its protection trips, or resets it.
    pub(crate) fn set_overload(&mut self, on: bool) {
        if on {
            self.overload = self.overload.or(Some((self.next, 0.0)));
        } else {
            self.overload = None;
            self.fault = [false; 2];
        }
    }

    pub(crate) fn set_mains_lost(&mut self, on: bool) {
        self.mains_lost = on;
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self) {
        if let Some((pump, seconds)) = &mut self.overload {
            *seconds += STEP;
            if *seconds >= 2.5 {
                self.fault[*pump] = true;
            }
        }
        self.switch_pumps();
        let inflow = if self.flooding {
            FLOOD
        } else {
            TRICKLE * self.rng.between(0.6, 1.4)
        };
        let out = self.running.iter().filter(|on| **on).count() as f64 * PUMP_RATE;
        let mobile = if self.draining { 0.2 } else { 0.0 };
        // Above the limit the water finds another way.
        let level = self.level + (inflow - out - mobile) * STEP;
        self.level = level.clamp(0.05, FLOOD_LIMIT);
        self.draining = self.draining && self.level > 0.9;
        self.high_level = self.level >= if self.high_level { HIGH_RESET } else { HIGH };
    }

    fn switch_pumps(&mut self) {
        let testing = match self.overload {
            Some((pump, _)) if !self.fault[pump] => Some(pump),
            Some(_) | None => None,
        };
        let was = self.running;
        for (pump, was_running) in was.into_iter().enumerate() {
            let first = pump == self.next || self.fault[1 - pump];
            let on = self.level >= if first { START } else { JOIN };
            let hold = self.running[pump] && self.level > STOP;
            let able = !self.mains_lost && !self.fault[pump];
            self.running[pump] = able && (on || hold || testing == Some(pump));
            if self.running[pump] && !was_running {
                self.starts[pump] += 1;
            }
        }
        if was != [false; 2] && self.running == [false; 2] {
            self.next = 1 - self.next;
        }
    }

    /// Returns what the controller tells at this moment.
    pub(crate) fn telemetry(&self) -> Telemetry {
        let pump = |index: usize| {
            let extra = match self.overload {
                Some((overloaded, seconds)) if overloaded == index => 1.0 + 0.4 * seconds,
                Some(_) | None => 1.0,
            };
            let current = if self.running[index] {
                5.2 * extra
            } else {
                0.0
            };
            PumpTelemetry {
                running: self.running[index],
                fault: self.fault[index],
                starts: self.starts[index],
                current: round(current, 1),
            }
        };
        Telemetry {
            level: round(self.level, 3),
            high_level: self.high_level,
            mains: !self.mains_lost,
            pumps: [pump(0), pump(1)],
        }
    }

    /// Returns the flags whose changes are events, by the names of their points.
    pub(crate) fn flags(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("pump1_fault", self.fault[0]),
            ("pump2_fault", self.fault[1]),
            ("high_level", self.high_level),
            ("mains", !self.mains_lost),
        ]
    }
}
