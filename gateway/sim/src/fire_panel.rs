//! An addressable fire panel with two loops of 32 points: quiescent, on fire, dirty, or on its batteries.
//! It can be read only; nothing from outside resets or silences it.

pub(crate) mod registers;

use serde::Serialize;

use crate::elevator::round;
use crate::rng::Rng;
use crate::world::STEP;

/// Points of a loop.
pub(crate) const POINTS: usize = 32;
/// Where the smoke scenario burns: loop and point, from 0; loop 1 address 9.
const FIRE_AT: (usize, usize) = (0, 8);
/// The detector that gets dirty: loop 2 address 12.
const DIRTY_AT: (usize, usize) = (1, 11);
const DIRTY: f64 = 88.0;
const SOUNDERS: usize = 30;
const RESET_SECONDS: f64 = 5.0;

/// The state of one loop point or, all of them together, of the panel: the bits of GB/T 26875.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PointState {
    pub(crate) fire: bool,
    pub(crate) fault: bool,
    pub(crate) disabled: bool,
    pub(crate) supervisory: bool,
    pub(crate) started: bool,
    pub(crate) feedback: bool,
    pub(crate) delayed: bool,
    pub(crate) prealarm: bool,
}

impl PointState {
    fn or(self, other: Self) -> Self {
        Self {
            fire: self.fire || other.fire,
            fault: self.fault || other.fault,
            disabled: self.disabled || other.disabled,
            supervisory: self.supervisory || other.supervisory,
            started: self.started || other.started,
            feedback: self.feedback || other.feedback,
            delayed: self.delayed || other.delayed,
            prealarm: self.prealarm || other.prealarm,
        }
    }

    /// Returns the word of a component.
    fn word(self) -> u16 {
        crate::registers::bits(&[
            true,
            self.fire,
            self.fault,
            self.disabled,
            self.supervisory,
            self.started,
            self.feedback,
            self.delayed,
        ]) | (u16::from(self.prealarm) << 14)
    }
}

/// The panel.
#[derive(Debug, Clone)]
pub(crate) struct FirePanel {
    rng: Rng,
    points: [[PointState; POINTS]; 2],
    /// Per cent; `None` where there is no smoke chamber.
    dirt: [[Option<f64>; POINTS]; 2],
    usual_dirt: f64,
    /// Seconds since the smoke came.
    smoke: Option<f64>,
    dirty: bool,
    mains_lost: bool,
    battery: f64,
    mains_voltage: f64,
    reset_left: f64,
    event_count: u32,
}

/// The truth about the panel, in the resolution of its registers. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FirePanelReadings {
    pub(crate) normal: bool,
    pub(crate) fire: bool,
    pub(crate) fault: bool,
    pub(crate) disabled: bool,
    pub(crate) supervisory: bool,
    pub(crate) started: bool,
    pub(crate) feedback: bool,
    pub(crate) delayed: bool,
    pub(crate) mains_fault: bool,
    pub(crate) battery_fault: bool,
    pub(crate) bus_fault: bool,
    pub(crate) manual_mode: bool,
    pub(crate) config_changed: bool,
    pub(crate) reset: bool,
    pub(crate) prealarm: bool,
    pub(crate) loop1_fires: u16,
    pub(crate) loop1_faults: u16,
    pub(crate) loop1_disabled: u16,
    pub(crate) loop2_fires: u16,
    pub(crate) loop2_faults: u16,
    pub(crate) loop2_disabled: u16,
    pub(crate) battery_voltage: f64,
    pub(crate) mains_voltage: f64,
    pub(crate) first_alarm_loop: u8,
    pub(crate) first_alarm_address: u8,
    pub(crate) first_alarm_text: String,
    pub(crate) detector_dirt_max: u16,
    pub(crate) dirtiest_loop: u8,
    pub(crate) dirtiest_address: u8,
    pub(crate) event_count: u32,
    pub(crate) firmware: f64,
    pub(crate) sounders_on: u16,
    /// Point words of loop 1 and loop 2.
    pub(crate) points: [Vec<u16>; 2],
    /// Dirt of each detector in per cent.
    pub(crate) dirt: [Vec<Option<u16>>; 2],
}

impl FirePanel {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 10);
        let mut chamber = |index: usize| (index < 24).then(|| rng.between(4.0, 36.0));
        let dirt: [[Option<f64>; POINTS]; 2] =
            std::array::from_fn(|_| std::array::from_fn(&mut chamber));
        Self {
            points: [[PointState::default(); POINTS]; 2],
            usual_dirt: dirt[DIRTY_AT.0][DIRTY_AT.1].unwrap_or(0.0),
            dirt,
            smoke: None,
            dirty: false,
            mains_lost: false,
            battery: 27.3,
            mains_voltage: 229.0,
            reset_left: 0.0,
            event_count: 60_000 + rng.below(20_000) as u32,
            rng,
        }
    }

    /// Lets smoke into a corridor, or clears it and resets the panel.
    pub(crate) fn set_smoke(&mut self, on: bool) {
        if on {
            self.smoke = self.smoke.or(Some(0.0));
        } else if self.smoke.take().is_some() {
            self.points = [[PointState::default(); POINTS]; 2];
            self.reset_left = RESET_SECONDS;
            self.event_count += 1;
        }
    }

    pub(crate) fn set_dirty(&mut self, on: bool) {
        self.dirty = on;
        if !on {
            self.dirt[DIRTY_AT.0][DIRTY_AT.1] = Some(self.usual_dirt);
        }
    }

    pub(crate) fn set_mains_lost(&mut self, on: bool) {
        if self.mains_lost != on {
            self.event_count += 1;
            self.battery = if on { 25.6 } else { 27.3 };
        }
        self.mains_lost = on;
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self) {
        self.reset_left = (self.reset_left - STEP).max(0.0);
        if let Some(since) = &mut self.smoke {
            *since += STEP;
            let since = *since;
            self.burn(since);
        }
        if self.dirty
            && let Some(dirt) = &mut self.dirt[DIRTY_AT.0][DIRTY_AT.1]
        {
            *dirt = (*dirt + 20.0 * STEP).min(DIRTY);
        }
        if self.mains_lost {
            // 24 hours from 25.6 V to 21.6 V.
            self.battery = (self.battery - 4.0 / 86_400.0 * STEP).max(20.0);
            self.mains_voltage = 0.0;
        } else {
            let noise = self.rng.between(-0.1, 0.1);
            let from = if self.mains_voltage == 0.0 {
                229.0
            } else {
                self.mains_voltage
            };
            self.mains_voltage = from + (229.0 - from) * 0.01 + noise;
        }
    }

    fn burn(&mut self, since: f64) {
        let detector = &mut self.points[FIRE_AT.0][FIRE_AT.1];
        let was_burning = detector.fire;
        detector.fire = since >= 2.0;
        detector.prealarm = since < 2.0;
        if detector.fire && !was_burning {
            self.event_count += 1;
        }
        for line in &mut self.points {
            line[SOUNDERS].started = since >= 2.0;
            line[SOUNDERS].feedback = since >= 3.0;
        }
    }

    /// Returns what the panel shows at this moment.
    pub(crate) fn readings(&self) -> FirePanelReadings {
        let all = self
            .points
            .iter()
            .flatten()
            .fold(PointState::default(), |all, point| all.or(*point));
        let count = |line: usize, what: fn(&PointState) -> bool| {
            self.points[line].iter().filter(|point| what(point)).count() as u16
        };
        let (dirt_line, dirt_point, dirt_max) = self.dirtiest();
        let at_fire = |number: usize| if all.fire { number as u8 + 1 } else { 0 };
        FirePanelReadings {
            normal: true,
            fire: all.fire,
            fault: all.fault,
            disabled: all.disabled,
            supervisory: all.supervisory,
            started: all.started,
            feedback: all.feedback,
            delayed: all.delayed,
            mains_fault: self.mains_lost,
            battery_fault: false,
            bus_fault: false,
            manual_mode: false,
            config_changed: false,
            reset: self.reset_left > 0.0,
            prealarm: all.prealarm,
            loop1_fires: count(0, |point| point.fire),
            loop1_faults: count(0, |point| point.fault),
            loop1_disabled: count(0, |point| point.disabled),
            loop2_fires: count(1, |point| point.fire),
            loop2_faults: count(1, |point| point.fault),
            loop2_disabled: count(1, |point| point.disabled),
            battery_voltage: round(self.battery, 2),
            mains_voltage: round(self.mains_voltage, 1),
            first_alarm_loop: at_fire(FIRE_AT.0),
            first_alarm_address: at_fire(FIRE_AT.1),
            first_alarm_text: if all.fire {
                "FLOOR 07 EAST".to_owned()
            } else {
                String::new()
            },
            detector_dirt_max: dirt_max,
            dirtiest_loop: dirt_line as u8 + 1,
            dirtiest_address: dirt_point as u8 + 1,
            event_count: self.event_count,
            firmware: 3.12,
            sounders_on: self
                .points
                .iter()
                .filter(|line| line[SOUNDERS].feedback)
                .count() as u16,
            points: [0, 1].map(|line: usize| self.points[line].map(PointState::word).to_vec()),
            dirt: [0, 1].map(|line: usize| {
                self.dirt[line]
                    .map(|dirt| dirt.map(|d| d.round() as u16))
                    .to_vec()
            }),
        }
    }

    /// Returns loop and point (from 0) of the dirtiest chamber, and its dirt.
    fn dirtiest(&self) -> (usize, usize, u16) {
        let mut worst = (0, 0, 0.0);
        for (line, points) in self.dirt.iter().enumerate() {
            for (point, dirt) in points.iter().enumerate() {
                if let Some(dirt) = dirt
                    && *dirt > worst.2
                {
                    worst = (line, point, *dirt);
                }
            }
        }
        (worst.0, worst.1, worst.2.round() as u16)
    }
}
