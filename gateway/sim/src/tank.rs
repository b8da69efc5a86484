//! The roof tank: its level follows the demand of the building and its inlet valve.

use serde::Serialize;

use crate::booster::usual_demand;
use crate::elevator::round;
use crate::rng::Rng;
use crate::world::STEP;

const HEIGHT: f64 = 3.0;
const AREA: f64 = 12.0;
const WANTED: f64 = 2.40;
const HIGH_HIGH: f64 = 2.85;
const LOW_LOW: f64 = 0.50;
/// m³/h through the fully open valve.
const INLET_FLOW: f64 = 40.0;

/// The tank.
#[derive(Debug, Clone)]
pub(crate) struct Tank {
    rng: Rng,
    level: f64,
    /// Per cent open.
    valve: f64,
    temperature: f64,
}

/// The telemetry message, without time and number. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Telemetry {
    pub(crate) level: f64,
    pub(crate) level_percent: f64,
    pub(crate) high_high: bool,
    pub(crate) low_low: bool,
    pub(crate) inlet_valve: f64,
    pub(crate) temperature: f64,
}

impl Tank {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 50);
        Self {
            level: rng.between(2.2, 2.4),
            valve: 20.0,
            temperature: rng.between(16.0, 20.0),
            rng,
        }
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self, second_of_day: f64) {
        let wanted = ((WANTED - self.level) * 400.0 + 20.0).clamp(0.0, 100.0);
        // The valve needs a minute from end to end.
        self.valve += (wanted - self.valve).clamp(-1.7 * STEP, 1.7 * STEP);
        let inflow = INLET_FLOW * self.valve / 100.0;
        let outflow = usual_demand(second_of_day) * 0.6;
        self.level += (inflow - outflow) / AREA * STEP / 3600.0;
        self.level = self.level.clamp(0.0, HEIGHT);
        self.temperature +=
            (18.0 - self.temperature) * STEP / 7200.0 + self.rng.between(-0.002, 0.002);
    }

    /// Returns what the sensors tell at this moment.
    pub(crate) fn telemetry(&self) -> Telemetry {
        Telemetry {
            level: round(self.level, 3),
            level_percent: round(self.level / HEIGHT * 100.0, 1),
            high_high: self.level >= HIGH_HIGH,
            low_low: self.level <= LOW_LOW,
            inlet_valve: round(self.valve, 1),
            temperature: round(self.temperature, 1),
        }
    }

    /// Returns the flags whose changes are events, by the names of their points.
    pub(crate) fn flags(&self) -> Vec<(&'static str, bool)> {
        let now = self.telemetry();
        vec![("high_high", now.high_high), ("low_low", now.low_low)]
    }
}
