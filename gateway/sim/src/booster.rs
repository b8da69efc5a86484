//! A domestic-water booster of three pumps that holds its outlet pressure while the demand follows the hours of the day.

use serde::Serialize;

use crate::elevator::round;
use crate::rng::Rng;
use crate::world::STEP;

const SETPOINT: f64 = 0.45;
const INLET: f64 = 0.12;
const DRY: f64 = 0.02;
/// m³/h that one pump can lift.
const PUMP_FLOW: f64 = 20.0;
const RATED_CURRENT: f64 = 15.5;
const DUTY_SECONDS: f64 = 12.0 * 3600.0;
const CODE_OVERLOAD: u8 = 1;
const CODE_DRY: u8 = 2;

/// One pump of the set.
#[derive(Debug, Clone, Default)]
struct Pump {
    running: bool,
    fault: bool,
    hours: f64,
    starts: u32,
}

/// The set.
#[derive(Debug, Clone)]
pub(crate) struct Booster {
    rng: Rng,
    pumps: [Pump; 3],
    /// Index of the pump that runs first.
    duty: usize,
    duty_left: f64,
    pressure: f64,
    inlet: f64,
    /// m³/h drawn by the building and delivered by the pumps.
    demand: f64,
    supply: f64,
    /// The pump whose current climbs, and for how many seconds it has.
    overload: Option<(usize, f64)>,
    no_inlet: bool,
    dry_run: bool,
    mains_lost: bool,
    energy: f64,
}

/// What a pump tells in a telemetry message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PumpTelemetry {
    pub(crate) running: bool,
    pub(crate) fault: bool,
    code: u8,
    auto: bool,
    frequency: f64,
    pub(crate) current: f64,
    hours: f64,
    starts: u32,
}

/// The telemetry message, without time and number. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Telemetry {
    pub(crate) outlet_pressure: f64,
    pub(crate) setpoint: f64,
    pub(crate) inlet_pressure: f64,
    pub(crate) flow: f64,
    pub(crate) dry_run: bool,
    pub(crate) mains: bool,
    pub(crate) energy: f64,
    pub(crate) pumps: [PumpTelemetry; 3],
}

impl Booster {
    /// Returns the set as it runs at `second_of_day`.
    pub(crate) fn new(seed: u64, second_of_day: f64) -> Self {
        let mut rng = Rng::new(seed, 30);
        let demand = usual_demand(second_of_day);
        let mut set = Self {
            pumps: std::array::from_fn(|_| Pump {
                hours: rng.between(9_000.0, 11_000.0),
                starts: 700 + rng.below(300) as u32,
                ..Pump::default()
            }),
            duty: rng.below(3),
            duty_left: DUTY_SECONDS,
            pressure: SETPOINT,
            inlet: INLET,
            demand,
            supply: demand,
            overload: None,
            no_inlet: false,
            dry_run: false,
            mains_lost: false,
            energy: rng.between(80_000.0, 90_000.0),
            rng,
        };
        set.stage();
        set
    }

    /// Overloads the duty pump until its protection trips, or resets it.
    pub(crate) fn set_overload(&mut self, on: bool) {
        if on {
            self.overload = self.overload.or(Some((self.duty, 0.0)));
        } else if let Some((pump, _)) = self.overload.take() {
            self.pumps[pump].fault = false;
        }
    }

    /// Takes the water from the inlet, or gives it back.
    pub(crate) fn set_no_inlet(&mut self, on: bool) {
        self.no_inlet = on;
        if !on {
            self.inlet = INLET;
            self.dry_run = false;
        }
    }

    pub(crate) fn set_mains_lost(&mut self, on: bool) {
        self.mains_lost = on;
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self, second_of_day: f64) {
        let usual = usual_demand(second_of_day);
        self.demand += (usual - self.demand) * STEP / 120.0 + self.rng.between(-0.1, 0.1);
        self.demand = self.demand.clamp(1.0, 50.0);
        self.step_inlet();
        self.step_overload();
        self.duty_left -= STEP;
        if self.duty_left <= 0.0 {
            self.duty = (self.duty + 1) % 3;
            self.duty_left = DUTY_SECONDS;
        }
        self.stage();
        let running = self.running() as f64;
        // The controller follows the demand and corrects what the pressure lacks.
        let wanted = (self.demand + 200.0 * (SETPOINT - self.pressure)).max(0.0);
        self.supply += (wanted - self.supply) * STEP / 1.5;
        self.supply = self.supply.clamp(0.0, running * PUMP_FLOW * 1.1);
        let drawn = self.demand * (self.pressure / SETPOINT).max(0.0).sqrt();
        self.pressure = (self.pressure + (self.supply - drawn) * 0.004 * STEP).clamp(0.0, 0.8);
        for pump in self.pumps.iter_mut().filter(|pump| pump.running) {
            pump.hours += STEP / 3600.0;
        }
        self.energy += self.supply * 0.25 * STEP / 3600.0;
    }

    fn step_inlet(&mut self) {
        if self.no_inlet {
            self.inlet = (self.inlet - 0.03 * STEP).max(0.0);
            self.dry_run = self.dry_run || self.inlet < DRY;
        } else {
            self.inlet += (INLET - self.inlet) * 0.05 + self.rng.between(-0.0005, 0.0005);
        }
    }

    fn step_overload(&mut self) {
        if let Some((pump, seconds)) = &mut self.overload {
            *seconds += STEP;
            if *seconds >= 2.5 {
                self.pumps[*pump].fault = true;
            }
        }
    }

    /// Runs as many healthy pumps as the demand needs, the duty pump first.
    fn stage(&mut self) {
        let stopped = self.mains_lost || self.dry_run;
        let now = self.running();
        let mut needed = (self.demand / PUMP_FLOW).ceil().clamp(1.0, 3.0) as usize;
        if needed < now && self.demand > (now as f64 - 1.0) * PUMP_FLOW * 0.9 {
            needed = now;
        }
        for offset in 0..3 {
            let pump = &mut self.pumps[(self.duty + offset) % 3];
            let run = !stopped && !pump.fault && needed > 0;
            if run {
                needed -= 1;
            }
            if run && !pump.running {
                pump.starts += 1;
            }
            pump.running = run;
        }
    }

    fn running(&self) -> usize {
        self.pumps.iter().filter(|pump| pump.running).count()
    }

    /// Returns what the controller tells at this moment.
    pub(crate) fn telemetry(&self) -> Telemetry {
        let share = self.supply / (self.running().max(1) as f64 * PUMP_FLOW);
        let pump = |index: usize| {
            let pump = &self.pumps[index];
            let extra = match self.overload {
                Some((overloaded, seconds)) if overloaded == index => 1.0 + 0.4 * seconds,
                Some(_) | None => 1.0,
            };
            let speed = if pump.running {
                30.0 + 18.0 * share
            } else {
                0.0
            };
            let load = if pump.running {
                0.25 + 0.6 * share
            } else {
                0.0
            };
            PumpTelemetry {
                running: pump.running,
                fault: pump.fault,
                code: match (pump.fault, self.dry_run) {
                    (true, _) => CODE_OVERLOAD,
                    (false, true) => CODE_DRY,
                    (false, false) => 0,
                },
                auto: true,
                frequency: round(speed, 1),
                current: round(RATED_CURRENT * load * extra, 1),
                hours: round(pump.hours, 1),
                starts: pump.starts,
            }
        };
        Telemetry {
            outlet_pressure: round(self.pressure, 3),
            setpoint: SETPOINT,
            inlet_pressure: round(self.inlet, 3),
            flow: round(self.supply, 1),
            dry_run: self.dry_run,
            mains: !self.mains_lost,
            energy: round(self.energy, 1),
            pumps: [pump(0), pump(1), pump(2)],
        }
    }

    /// Returns the flags whose changes are events, by the names of their points.
    pub(crate) fn flags(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("pump1_fault", self.pumps[0].fault),
            ("pump2_fault", self.pumps[1].fault),
            ("pump3_fault", self.pumps[2].fault),
            ("dry_run", self.dry_run),
            ("mains", !self.mains_lost),
        ]
    }
}

/// Returns the m³/h that the building usually draws: little at night, most before work and in the evening.
pub(crate) fn usual_demand(second_of_day: f64) -> f64 {
    let hour = second_of_day / 3600.0;
    let peak = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
    3.0 + 10.0 * peak(13.0, 5.0) + 18.0 * peak(7.5, 1.2) + 22.0 * peak(20.0, 1.8)
}
