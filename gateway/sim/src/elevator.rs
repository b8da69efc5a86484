//! A traction elevator: trips, doors, passengers, and the three ways in which it can go wrong.
//! In normal operation the car never moves unless its door is closed.

pub(crate) mod registers;

use serde::Serialize;

use crate::rng::Rng;
use crate::world::STEP;

/// Floor numbers and the height of their sills above floor 1, in mm.
pub(crate) const LANDINGS: [(i16, f64); 20] = landings();
const RATED_SPEED: f64 = 2500.0;
const ACCELERATION: f64 = 800.0;
const BRAKE: f64 = 4000.0;
const CREEP: f64 = 300.0;
const RESCUE_SPEED: f64 = 1000.0;
const DOOR_ZONE: f64 = 200.0;
const OPENING_SECONDS: f64 = 2.0;
const CLOSING_SECONDS: f64 = 2.5;
const RATED_LOAD: f64 = 1600.0;
const PASSENGER: f64 = 75.0;

const fn landings() -> [(i16, f64); 20] {
    let mut all = [(-2, -7500.0); 20];
    all[1] = (-1, -3800.0);
    all[2] = (1, 0.0);
    let mut i = 3;
    while i < 20 {
        all[i] = (i as i16 - 1, 5100.0 + 3600.0 * (i as f64 - 3.0));
        i += 1;
    }
    all
}

/// What the car is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// At a landing with the door closed; `left` seconds until the next call.
    Idle {
        left: f64,
    },
    /// `done` seconds of the opening have passed.
    Opening {
        done: f64,
    },
    Open {
        left: f64,
    },
    Closing {
        done: f64,
    },
    /// On the way to landing `target` with at most `limit` mm/s.
    Travel {
        target: usize,
        limit: f64,
    },
    /// The brake has fallen in.
    Braking,
    /// Standing between landings for `since` seconds.
    Stuck {
        since: f64,
    },
}

/// What is wrong with the car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// It stops between landings with somebody in it.
    Entrapment,
    /// Its door can't close.
    Door,
    /// It has lost its mains and runs on its battery.
    Mains,
}

/// One elevator.
#[derive(Debug, Clone)]
pub(crate) struct Elevator {
    number: u16,
    rng: Rng,
    phase: Phase,
    trouble: Trouble,
    /// mm above floor 1.
    position: f64,
    /// mm/s, positive upwards.
    velocity: f64,
    passengers: usize,
    fault_code: u16,
    alarm_button: bool,
    trapped: bool,
    run_count: u32,
    door_cycles: u32,
    trips_today: u32,
    run_hours: f64,
    temperature: f64,
    voltage: f64,
}

/// The truth about an elevator, in the resolution of its registers. Units and meanings: the device manual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ElevatorReadings {
    pub(crate) service_mode: u16,
    pub(crate) car_moving: bool,
    pub(crate) door_zone: bool,
    pub(crate) door_closed: bool,
    pub(crate) passenger_present: bool,
    pub(crate) alarm_button: bool,
    pub(crate) trapped: bool,
    pub(crate) mains: bool,
    pub(crate) safety_circuit: bool,
    pub(crate) overload: bool,
    pub(crate) overspeed: bool,
    pub(crate) direction: u16,
    pub(crate) floor: i16,
    pub(crate) door_state: u16,
    pub(crate) fault_code: u16,
    pub(crate) speed: f64,
    pub(crate) car_position: i32,
    pub(crate) load: Option<f64>,
    pub(crate) machine_room_temperature: Option<f64>,
    pub(crate) run_count: u32,
    pub(crate) door_cycles: u32,
    pub(crate) run_hours: f64,
    pub(crate) motor_current: Option<f64>,
    pub(crate) supply_voltage: Option<f64>,
    pub(crate) trips_today: u32,
    pub(crate) target_floor: Option<i16>,
    pub(crate) model: &'static str,
    pub(crate) serial_number: u32,
    pub(crate) rated_load: u16,
    pub(crate) rated_speed: f64,
    pub(crate) lowest_floor: i16,
    pub(crate) highest_floor: i16,
}

impl Elevator {
    /// Returns elevator `number` (1 …), standing at a landing that the seed chooses.
    pub(crate) fn new(seed: u64, number: u16) -> Self {
        let mut rng = Rng::new(seed, u64::from(number));
        let position = LANDINGS
            .get(rng.below(LANDINGS.len()))
            .map_or(0.0, |at| at.1);
        Self {
            number,
            phase: Phase::Idle {
                left: rng.between(0.0, 8.0),
            },
            trouble: Trouble::None,
            position,
            velocity: 0.0,
            passengers: 0,
            fault_code: 0,
            alarm_button: false,
            trapped: false,
            run_count: 400_000 + rng.below(900_000) as u32,
            door_cycles: 900_000 + rng.below(1_900_000) as u32,
            trips_today: rng.below(300) as u32,
            run_hours: rng.between(3000.0, 9000.0),
            temperature: rng.between(24.0, 29.0),
            voltage: 388.0,
            rng,
        }
    }

    /// Makes something go wrong, or right again with [`Trouble::None`].
    pub(crate) fn set_trouble(&mut self, trouble: Trouble) {
        if self.trouble == trouble {
            return;
        }
        let was = std::mem::replace(&mut self.trouble, trouble);
        match trouble {
            Trouble::Entrapment => self.passengers = self.passengers.max(1),
            Trouble::Door => self.stop_at_next_landing(),
            Trouble::Mains => {
                self.fault_code = 0;
                if matches!(self.phase, Phase::Travel { .. }) {
                    self.phase = Phase::Braking;
                }
            }
            Trouble::None => {}
        }
        if trouble != Trouble::Entrapment {
            self.alarm_button = false;
        }
        if was == Trouble::Entrapment && matches!(self.phase, Phase::Stuck { .. } | Phase::Braking)
        {
            self.phase = Phase::Travel {
                target: nearest(self.position),
                limit: RESCUE_SPEED,
            };
        }
        if was == Trouble::Mains && matches!(self.phase, Phase::Braking) {
            self.phase = Phase::Travel {
                target: nearest(self.position),
                limit: RESCUE_SPEED,
            };
        }
    }

    /// Lets [`STEP`] seconds pass.
    pub(crate) fn step(&mut self) {
        self.phase = match self.phase {
            Phase::Idle { left } => self.idle(left - STEP),
            Phase::Opening { done } if done + STEP < OPENING_SECONDS => {
                Phase::Opening { done: done + STEP }
            }
            Phase::Opening { .. } => self.opened(),
            Phase::Open { left } => self.open(left - STEP),
            Phase::Closing { done } => self.closing(done + STEP),
            Phase::Travel { target, limit } => self.travel(target, limit),
            Phase::Braking => self.braking(),
            Phase::Stuck { since } => self.stuck(since + STEP),
        };
        if self.velocity != 0.0 {
            self.run_hours += STEP / 3600.0;
        }
        let warm = 24.0 + 5.0 * (self.velocity.abs() / RATED_SPEED);
        self.temperature += (warm - self.temperature) * STEP / 1800.0;
        self.voltage += (388.0 - self.voltage) * 0.01 + self.rng.between(-0.2, 0.2);
    }

    /// Forgets the trips of the day that has ended.
    pub(crate) fn new_day(&mut self) {
        self.trips_today = 0;
    }

    fn idle(&mut self, left: f64) -> Phase {
        match self.trouble {
            Trouble::Entrapment => self.depart(self.far_end()),
            Trouble::Door | Trouble::Mains => self.start_opening(),
            Trouble::None if left > 0.0 => Phase::Idle { left },
            Trouble::None => {
                let target = self.rng.below(LANDINGS.len());
                if target == nearest(self.position) {
                    self.start_opening()
                } else {
                    self.depart(target)
                }
            }
        }
    }

    fn depart(&mut self, target: usize) -> Phase {
        self.run_count = self.run_count.wrapping_add(1);
        self.trips_today = (self.trips_today + 1) % 10_000;
        Phase::Travel {
            target,
            limit: RATED_SPEED,
        }
    }

    fn start_opening(&mut self) -> Phase {
        self.door_cycles = self.door_cycles.wrapping_add(1);
        Phase::Opening { done: 0.0 }
    }

    /// The door stands open: whoever was shut in is free, people change.
    fn opened(&mut self) -> Phase {
        self.alarm_button = false;
        self.trapped = false;
        if self.fault_code == 4 {
            self.fault_code = 0;
        }
        if self.trouble == Trouble::Door {
            return Phase::Open { left: 1.0 };
        }
        self.passengers = match self.trouble {
            // Nobody boards at half of the stops.
            Trouble::None => self.rng.below(9).saturating_sub(4),
            Trouble::Entrapment => 1,
            Trouble::Door | Trouble::Mains => 0,
        };
        Phase::Open {
            left: self.rng.between(2.0, 5.0),
        }
    }

    fn open(&mut self, left: f64) -> Phase {
        let hurry = self.trouble == Trouble::Entrapment;
        if self.trouble == Trouble::Mains || (left > 0.0 && !hurry) {
            return Phase::Open { left };
        }
        Phase::Closing { done: 0.0 }
    }

    fn closing(&mut self, done: f64) -> Phase {
        if self.trouble == Trouble::Door && done > CLOSING_SECONDS * 0.6 {
            self.fault_code = 2;
            return self.start_opening();
        }
        if self.trouble == Trouble::Mains {
            return self.start_opening();
        }
        if done < CLOSING_SECONDS {
            return Phase::Closing { done };
        }
        self.fault_code = 0;
        let left = if self.passengers > 0 {
            0.5
        } else {
            self.rng.between(2.0, 15.0)
        };
        Phase::Idle { left }
    }

    fn travel(&mut self, target: usize, limit: f64) -> Phase {
        let goal = sill(target);
        let distance = goal - self.position;
        let way = distance.abs();
        let speed = (self.velocity.abs() + ACCELERATION * STEP)
            .min(limit)
            .min((2.0 * ACCELERATION * way).sqrt().max(60.0));
        if way <= speed * STEP {
            self.position = goal;
            self.velocity = 0.0;
            if self.trouble == Trouble::Entrapment {
                return self.depart(self.far_end());
            }
            return self.start_opening();
        }
        self.velocity = speed.copysign(distance);
        self.position += self.velocity * STEP;
        if self.trouble == Trouble::Entrapment && self.would_stop_between() {
            return Phase::Braking;
        }
        Phase::Travel { target, limit }
    }

    /// Whether the brake, falling in now, would stop the car well away from every landing.
    fn would_stop_between(&self) -> bool {
        let way = self.velocity * self.velocity.abs() / (2.0 * BRAKE);
        let end = self.position + way;
        (end - sill(nearest(end))).abs() > 2.0 * DOOR_ZONE
    }

    fn braking(&mut self) -> Phase {
        let speed = self.velocity.abs() - BRAKE * STEP;
        if speed > 0.0 {
            self.velocity = speed.copysign(self.velocity);
            self.position += self.velocity * STEP;
            return Phase::Braking;
        }
        self.velocity = 0.0;
        if self.trouble == Trouble::Mains {
            return Phase::Travel {
                target: nearest(self.position),
                limit: CREEP,
            };
        }
        self.fault_code = 4;
        Phase::Stuck { since: 0.0 }
    }

    fn stuck(&mut self, since: f64) -> Phase {
        self.alarm_button = since >= 1.0;
        self.trapped = since >= 10.0;
        Phase::Stuck { since }
    }

    /// Directs a moving car to the next landing at which it can stop, and opens an idle one.
    fn stop_at_next_landing(&mut self) {
        match self.phase {
            Phase::Travel { limit, .. } => {
                let way = self.velocity * self.velocity.abs() / (2.0 * ACCELERATION);
                let end = self.position + way;
                let up = self.velocity > 0.0;
                let ahead = |at: &usize| {
                    if up {
                        sill(*at) >= end
                    } else {
                        sill(*at) <= end
                    }
                };
                let mut order: Vec<usize> = (0..LANDINGS.len()).collect();
                if !up {
                    order.reverse();
                }
                let target = order
                    .into_iter()
                    .find(ahead)
                    .unwrap_or_else(|| nearest(end));
                self.phase = Phase::Travel { target, limit };
            }
            Phase::Stuck { .. } | Phase::Braking => {
                self.phase = Phase::Travel {
                    target: nearest(self.position),
                    limit: RESCUE_SPEED,
                };
            }
            Phase::Idle { .. }
            | Phase::Opening { .. }
            | Phase::Open { .. }
            | Phase::Closing { .. } => {}
        }
    }

    fn far_end(&self) -> usize {
        if self.position < 25_000.0 {
            LANDINGS.len() - 1
        } else {
            0
        }
    }

    /// Returns what the controller knows at this moment.
    pub(crate) fn readings(&self) -> ElevatorReadings {
        let here = nearest(self.position);
        let powered = self.trouble != Trouble::Mains;
        let moving = self.velocity != 0.0;
        let load = self.passengers as f64 * PASSENGER / RATED_LOAD * 100.0;
        let effort = self.velocity.abs() / RATED_SPEED;
        let current = if moving {
            9.0 + 8.0 * effort + (load - 50.0).abs() * 0.12
        } else {
            0.8
        };
        ElevatorReadings {
            service_mode: if powered { 1 } else { 5 },
            car_moving: moving,
            door_zone: (self.position - sill(here)).abs() <= DOOR_ZONE,
            door_closed: self.door_state() == 0,
            passenger_present: self.passengers > 0,
            alarm_button: self.alarm_button,
            trapped: self.trapped,
            mains: powered,
            safety_circuit: true,
            overload: load > 110.0,
            overspeed: self.velocity.abs() > RATED_SPEED * 1.15,
            direction: match self.velocity.total_cmp(&0.0) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less if moving => 2,
                std::cmp::Ordering::Less | std::cmp::Ordering::Equal => 0,
            },
            floor: LANDINGS.get(here).map_or(1, |at| at.0),
            door_state: self.door_state(),
            fault_code: self.fault_code,
            speed: self.velocity.round() / 1000.0,
            car_position: self.position.round() as i32,
            load: powered.then(|| round(load, 1)),
            machine_room_temperature: powered.then(|| round(self.temperature, 1)),
            run_count: self.run_count,
            door_cycles: self.door_cycles,
            run_hours: f64::from(self.run_hours as f32),
            motor_current: powered.then(|| round(current, 1)),
            supply_voltage: powered.then(|| round(self.voltage, 1)),
            trips_today: self.trips_today,
            target_floor: match self.phase {
                Phase::Travel { target, .. } => LANDINGS.get(target).map(|at| at.0),
                Phase::Idle { .. }
                | Phase::Opening { .. }
                | Phase::Open { .. }
                | Phase::Closing { .. }
                | Phase::Braking
                | Phase::Stuck { .. } => None,
            },
            model: "ZB-EL 1600/2.5",
            serial_number: 24_060_000 + u32::from(self.number),
            rated_load: RATED_LOAD as u16,
            rated_speed: RATED_SPEED / 1000.0,
            lowest_floor: -2,
            highest_floor: 18,
        }
    }

    fn door_state(&self) -> u16 {
        match self.phase {
            Phase::Opening { .. } => 1,
            Phase::Open { .. } => 2,
            Phase::Closing { .. } => 3,
            Phase::Idle { .. } | Phase::Travel { .. } | Phase::Braking | Phase::Stuck { .. } => 0,
        }
    }
}

fn sill(landing: usize) -> f64 {
    LANDINGS.get(landing).map_or(0.0, |at| at.1)
}

/// Returns the index of the landing nearest to `position`.
fn nearest(position: f64) -> usize {
    let distance = |at: &(i16, f64)| (at.1 - position).abs();
    LANDINGS
        .iter()
        .enumerate()
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
        .map_or(0, |(index, _)| index)
}

/// Rounds to `decimals` digits, the resolution in which a device tells a value.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
