//! A fire pump pair with a jockey pump: idle under pressure, the jockey making up for the leak.
//! It can be read only; nothing from outside starts or stops it.

pub(crate) mod registers;

use serde::Serialize;

use crate::elevator::round;
use crate::rng::Rng;
use crate::world::STEP;

const JOCKEY_ON: f64 = 1.00;
const JOCKEY_OFF: f64 = 1.10;
const MAIN_ON: f64 = 0.85;
const LEAK: f64 = 0.000_05;
const RATED_CURRENT: f64 = 84.0;

/// The course of an overload of pump 1.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Overload {
    None,
    /// Pump 1 has been running for so many seconds, its current climbing.
    Climbing(f64),
    Tripped,
}

/// The set.
#[derive(Debug, Clone)]
pub(crate) struct FirePump {
    rng: Rng,
    pressure: f64,
    jockey: bool,
    main: [bool; 2],
    overload: Overload,
    power_lost: bool,
    volts: [f64; 3],
    starts_day: u16,
    jockey_starts_day: u16,
    hours: [f64; 2],
    jockey_hours: f64,
    energy_wh: f64,
}

/// The truth about the set, in the resolution of its registers. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FirePumpReadings {
    pub(crate) selector_auto: bool,
    pub(crate) power_ok: bool,
    pub(crate) running: bool,
    pub(crate) fault: bool,
    pub(crate) pump1_running: bool,
    pub(crate) pump1_fault: bool,
    pub(crate) pump2_running: bool,
    pub(crate) pump2_fault: bool,
    pub(crate) jockey_running: bool,
    pub(crate) jockey_fault: bool,
    pub(crate) low_pressure: bool,
    pub(crate) flow_switch: bool,
    pub(crate) phase_fault: bool,
    pub(crate) outlet_pressure: f64,
    pub(crate) inlet_pressure: f64,
    pub(crate) voltage_l1: f64,
    pub(crate) voltage_l2: f64,
    pub(crate) voltage_l3: f64,
    pub(crate) pump1_current: f64,
    pub(crate) pump2_current: f64,
    pub(crate) jockey_current: f64,
    pub(crate) start_count_day: u16,
    pub(crate) jockey_starts_day: u16,
    pub(crate) pump1_run_hours: f64,
    pub(crate) pump2_run_hours: f64,
    pub(crate) jockey_run_hours: f64,
    pub(crate) energy: f64,
    pub(crate) patrol_result: u16,
    pub(crate) pump_fault_code: u16,
    pub(crate) model: &'static str,
    pub(crate) design_pressure: f64,
}

impl FirePump {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 20);
        Self {
            pressure: rng.between(1.01, 1.09),
            jockey: false,
            main: [false; 2],
            overload: Overload::None,
            power_lost: false,
            volts: [398.0, 397.5, 399.0],
            starts_day: 0,
            jockey_starts_day: rng.below(20) as u16,
            hours: [rng.between(100.0, 140.0), rng.between(90.0, 130.0)],
            jockey_hours: rng.between(1200.0, 1800.0),
            energy_wh: rng.between(4.0e7, 5.0e7),
            rng,
        }
    }

    /// Starts pump 1 for a test in which it trips, or ends the test.
    pub(crate) fn set_overload(&mut self, on: bool) {
        if on && self.overload == Overload::None && !self.power_lost {
            self.overload = Overload::Climbing(0.0);
            self.start(0);
        } else if !on && self.overload != Overload::None {
            self.overload = Overload::None;
            self.main = [false; 2];
        }
    }

    pub(crate) fn set_power_lost(&mut self, on: bool) {
        self.power_lost = on;
        if on {
            self.main = [false; 2];
            self.jockey = false;
            self.overload = Overload::None;
        }
    }

    /// Forgets the starts of the day that has ended.
    pub(crate) fn new_day(&mut self) {
        self.starts_day = 0;
        self.jockey_starts_day = 0;
    }

    fn start(&mut self, pump: usize) {
        if !self.power_lost && !self.main[pump] {
            self.main[pump] = true;
            self.starts_day += 1;
        }
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self) {
        if let Overload::Climbing(seconds) = self.overload {
            self.overload = Overload::Climbing(seconds + STEP);
            if seconds + STEP >= 2.5 {
                self.overload = Overload::Tripped;
                self.main[0] = false;
                self.start(1);
            }
        }
        if self.pressure < MAIN_ON && self.main == [false; 2] {
            self.start(if self.overload == Overload::Tripped {
                1
            } else {
                0
            });
        }
        if !self.power_lost {
            if self.pressure < JOCKEY_ON && !self.jockey {
                self.jockey = true;
                self.jockey_starts_day = self.jockey_starts_day.saturating_add(1);
            } else if self.pressure >= JOCKEY_OFF {
                self.jockey = false;
            }
        }
        let lift = if self.main == [false; 2] { 0.0 } else { 0.05 };
        let jockey = if self.jockey { 0.005 } else { 0.0 };
        self.pressure = (self.pressure + (lift + jockey - LEAK) * STEP).clamp(0.0, 1.25);
        self.count_hours();
        for (volts, usual) in self.volts.iter_mut().zip([398.0, 397.5, 399.0]) {
            *volts += (usual - *volts) * 0.01 + self.rng.between(-0.1, 0.1);
        }
    }

    fn count_hours(&mut self) {
        let hours = STEP / 3600.0;
        for (total, running) in self.hours.iter_mut().zip(self.main) {
            if running {
                *total += hours;
                self.energy_wh += 45_000.0 * hours;
            }
        }
        if self.jockey {
            self.jockey_hours += hours;
            self.energy_wh += 1_500.0 * hours;
        }
    }

    /// Returns what the cabinet shows at this moment.
    pub(crate) fn readings(&self) -> FirePumpReadings {
        let volt = |phase: usize| {
            if self.power_lost {
                0.0
            } else {
                round(self.volts[phase], 1)
            }
        };
        let tripped = self.overload == Overload::Tripped;
        let current = |pump: usize| match (self.main[pump], self.overload) {
            (false, _) => 0.0,
            (true, Overload::Climbing(seconds)) => round(RATED_CURRENT * (0.9 + 0.3 * seconds), 1),
            (true, Overload::None | Overload::Tripped) => round(RATED_CURRENT * 0.9, 1),
        };
        FirePumpReadings {
            selector_auto: true,
            power_ok: !self.power_lost,
            running: self.main != [false; 2],
            fault: tripped,
            pump1_running: self.main[0],
            pump1_fault: tripped,
            pump2_running: self.main[1],
            pump2_fault: false,
            jockey_running: self.jockey,
            jockey_fault: false,
            low_pressure: self.pressure < MAIN_ON,
            flow_switch: false,
            phase_fault: false,
            outlet_pressure: round(self.pressure, 3),
            inlet_pressure: if self.main == [false; 2] {
                0.032
            } else {
                -0.012
            },
            voltage_l1: volt(0),
            voltage_l2: volt(1),
            voltage_l3: volt(2),
            pump1_current: current(0),
            pump2_current: current(1),
            jockey_current: if self.jockey { 3.4 } else { 0.0 },
            start_count_day: self.starts_day,
            jockey_starts_day: self.jockey_starts_day,
            pump1_run_hours: round(self.hours[0], 1),
            pump2_run_hours: round(self.hours[1], 1),
            jockey_run_hours: f64::from(self.jockey_hours as f32),
            energy: (self.energy_wh.round()) / 1000.0,
            patrol_result: match self.overload {
                Overload::None => 1,
                Overload::Climbing(_) => 3,
                Overload::Tripped => 2,
            },
            pump_fault_code: u16::from(tripped),
            model: "ZB-FP 2x45+J",
            design_pressure: 1.1,
        }
    }
}
