//! An elevator: a strip of its shaft for the overview, the whole shaft for its own page.
//!
//! Floors are drawn at equal heights; between landings the page's script moves the car by its position.

use super::Subject;
use crate::pages::show::{Symbol, When, floor_name, quality_number};
use askama::Template;
use askama::filters::HtmlSafe;
use std::collections::BTreeMap;
use zhiban_core::facility::AssetState;
use zhiban_core::{Timestamp, Value};

/// The points without which there is no picture.
pub(crate) const NEEDED: [&str; 3] = ["floor", "car_moving", "direction"];

/// The points without which nobody can say what the car does, where the asset has them.
const TELLING: [&str; 5] = [
    "floor",
    "car_moving",
    "direction",
    "service_mode",
    "door_state",
];

/// A part of the picture: a value and whether it can be trusted.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) val: String,
    pub(crate) q: u8,
}

impl Part {
    fn new(subject: &Subject<'_>, name: &str) -> Self {
        if subject.find(name).is_none() {
            return Self::default();
        }
        Self {
            val: subject.raw(name),
            q: subject.quality(name),
        }
    }

    /// Whether it says something about now.
    pub(crate) fn is(&self, val: &str) -> bool {
        self.q <= 1 && self.val == val
    }
}

/// A tick or a label beside the shaft.
pub(crate) struct Mark {
    pub(crate) y: String,
    pub(crate) text: String,
    pub(crate) here: bool,
}

/// What both sizes show.
pub(crate) struct Car {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) symbol: Option<Symbol>,
    /// What is over and waits for a person, in words.
    pub(crate) waiting: String,
    /// The alarm's title; empty when there is none.
    pub(crate) alarm: String,
    /// The quality of the floor.
    pub(crate) q: u8,
    /// The worst quality of what says what the car does.
    pub(crate) state_q: u8,
    /// The word for it, and since when it has been so.
    pub(crate) old: String,
    pub(crate) old_at: Option<When>,
    pub(crate) stale: bool,
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    pub(crate) top: f64,
    pub(crate) height: f64,
    pub(crate) y: String,
    pub(crate) floor: String,
    pub(crate) state: String,
    pub(crate) moving: Part,
    pub(crate) direction: Part,
    pub(crate) door: Part,
    pub(crate) present: Part,
    pub(crate) modes: String,
    pub(crate) doors: String,
    pub(crate) out_of_service: bool,
    pub(crate) inspection: bool,
    pub(crate) ticks: Vec<Mark>,
    pub(crate) labels: Vec<Mark>,
}

/// The strip on the overview.
#[derive(Template)]
#[template(path = "piece/lift.html")]
pub(crate) struct Strip(pub(crate) Car);

/// The whole shaft on the asset's page.
#[derive(Template)]
#[template(path = "piece/shaft.html")]
pub(crate) struct Shaft {
    pub(crate) car: Car,
    pub(crate) view_height: f64,
    pub(crate) label: String,
}

impl HtmlSafe for Strip {}
impl HtmlSafe for Shaft {}

impl Strip {
    /// `None` when the asset lacks the needed points.
    pub(crate) fn new(subject: &Subject<'_>) -> Option<Self> {
        let mut car = Car::new(subject, 10.0, 142.0)?;
        car.labels.retain(|mark| {
            let ends = [floor_name(car.lo), floor_name(car.hi)];
            mark.text == "1F" || ends.contains(&mark.text)
        });
        for mark in &mut car.labels {
            mark.text = mark.text.trim_end_matches('F').to_owned();
        }
        Some(Self(car))
    }
}

impl Shaft {
    /// `None` when the asset lacks the needed points.
    pub(crate) fn new(subject: &Subject<'_>) -> Option<Self> {
        let (lo, hi) = extent(subject)?;
        let floors = order(hi) - order(lo);
        #[expect(clippy::cast_precision_loss, reason = "a building has few floors")]
        let height = (floors as f64 * 30.0).clamp(180.0, 780.0);
        let car = Car::new(subject, 20.0, height)?;
        let label = format!("{} {} {}", car.code, car.floor, car.state);
        Some(Self {
            car,
            view_height: height + 70.0,
            label,
        })
    }
}

impl Car {
    fn new(subject: &Subject<'_>, top: f64, height: f64) -> Option<Self> {
        if NEEDED.iter().any(|name| subject.find(name).is_none()) {
            return None;
        }
        let (lo, hi) = extent(subject)?;
        let words = subject.visit.words();
        let floor = whole(subject.value("floor"));
        let worst = subject.worst();
        let scale = Scale {
            lo,
            hi,
            top,
            height,
        };
        let alarm = worst.map(|alarm| &subject.visit.snapshot.model.rule(alarm.rule).rule.title);
        let mode = subject.raw("service_mode");
        let state = subject.state();
        let mut car = Self {
            code: subject.code().to_owned(),
            name: subject.name(),
            symbol: subject.mark(),
            waiting: subject.waiting_words(),
            alarm: alarm.map_or_else(String::new, |title| title.get(words.0).to_owned()),
            q: subject.quality("floor"),
            state_q: telling(subject).map(|(q, _)| q).max().unwrap_or(3),
            old: words.t("value.old"),
            old_at: telling(subject)
                .filter(|(q, _)| *q > 1)
                .filter_map(|(_, at)| at)
                .min()
                .map(|at| subject.visit.times.when(at)),
            stale: subject.is_silent(),
            lo,
            hi,
            top,
            height,
            y: number(scale.y(floor.unwrap_or(lo))),
            floor: floor.map_or_else(|| words.t("value.none"), floor_name),
            state: String::new(),
            moving: Part::new(subject, "car_moving"),
            direction: Part::new(subject, "direction"),
            door: Part::new(subject, "door_state"),
            present: Part::new(subject, "passenger_present"),
            modes: meanings(subject, "service_mode"),
            doors: meanings(subject, "door_state"),
            out_of_service: state == AssetState::OutOfService,
            inspection: mode == "inspection",
            ticks: Vec::new(),
            labels: Vec::new(),
        };
        car.state = car.sentence(subject, &mode);
        for floor in (lo..=hi).filter(|floor| *floor != 0) {
            let mark = |text| Mark {
                y: number(scale.y(floor)),
                text,
                here: car.floor == floor_name(floor),
            };
            car.ticks.push(mark(String::new()));
            car.labels.push(mark(floor_name(floor)));
        }
        Some(car)
    }

    /// What the car does, in one word, nothing when that is not known; the page's script says the same.
    fn sentence(&self, subject: &Subject<'_>, mode: &str) -> String {
        let words = subject.visit.words();
        if !self.alarm.is_empty() {
            return self.alarm.clone();
        }
        if self.out_of_service {
            return words.t("asset_state.out_of_service");
        }
        if self.state_q > 1 {
            return String::new();
        }
        if !mode.is_empty() && mode != "normal" {
            return subject
                .reading("service_mode")
                .map_or_else(String::new, |one| one.text);
        }
        match (self.moving.val.as_str(), self.direction.val.as_str()) {
            ("true", "up") => words.t("lift.up"),
            ("true", "down") => words.t("lift.down"),
            _ if !matches!(self.door.val.as_str(), "" | "closed") => subject
                .reading("door_state")
                .map_or_else(String::new, |one| one.text),
            _ => words.t("lift.idle"),
        }
    }
}

/// Quality and time of each point that says what the car does.
fn telling<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (u8, Option<Timestamp>)> + use<'a> {
    let subject = *subject;
    let points = TELLING.iter().filter_map(move |name| subject.find(name));
    points.map(|(_, state)| (quality_number(state.quality), state.at))
}

/// Where floors stand in a picture.
struct Scale {
    lo: i64,
    hi: i64,
    top: f64,
    height: f64,
}

impl Scale {
    fn y(&self, floor: i64) -> f64 {
        let floor = floor.clamp(self.lo, self.hi);
        #[expect(clippy::cast_precision_loss, reason = "a building has few floors")]
        let share = (order(self.hi) - order(floor)) as f64
            / (order(self.hi) - order(self.lo)).max(1) as f64;
        self.top + share * self.height
    }
}

/// The lowest and highest floor: as the device says, else as its profile limits them.
fn extent(subject: &Subject<'_>) -> Option<(i64, i64)> {
    let named = whole(subject.value("lowest_floor")).zip(whole(subject.value("highest_floor")));
    let (point, state) = subject.find("floor")?;
    #[expect(clippy::cast_possible_truncation, reason = "a floor is a small number")]
    let ranged = point.range.map(|(lo, hi)| (lo as i64, hi as i64));
    let now = whole(state.value.as_ref()).unwrap_or(1);
    let (lo, hi) = named.or(ranged).unwrap_or((now.min(-1), now.max(10)));
    (hi > lo && hi - lo <= 200).then_some((lo, hi))
}

/// A floor's place when counted from the bottom; there is no floor 0.
fn order(floor: i64) -> i64 {
    if floor > 0 { floor - 1 } else { floor }
}

fn whole(value: Option<&Value>) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a floor is a small number")]
    value?.as_number().map(|number| number.round() as i64)
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

/// The words of a point's codes, as JSON for the page's script.
fn meanings(subject: &Subject<'_>, name: &str) -> String {
    let language = subject.visit.words().0;
    let table: BTreeMap<&str, &str> =
        subject.find(name).map_or_else(BTreeMap::new, |(point, _)| {
            let all = point.meanings.iter();
            all.map(|one| (&*one.code, one.name.get(language)))
                .collect()
        });
    serde_json::to_string(&table).unwrap_or_default()
}
