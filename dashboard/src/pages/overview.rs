//! The overview: is anything wrong, where, and who has it.
//!
//! Assets are grouped by class; a class with a picture is drawn, every other class gets plain tiles.

use super::frame::{Frame, Visit};
use super::items::{AlarmItem, OrderItem, is_to_verify};
use super::picture::Subject;
use super::picture::indicator::Indicator;
use super::picture::lift::Strip;
use super::picture::panel::Panel;
use super::picture::pumps::Pumps;
use super::render;
use super::show::{Reading, Symbol};
use crate::error::ApiError;
use askama::Template;
use askama::filters::HtmlSafe;
use axum::response::Response;
use chrono::Timelike;
use zhiban_core::facility::AssetState;
use zhiban_core::{Alarm, AlarmState, AssetId, Timestamp};

/// Rows of the alarm list and of the order list.
const ALARMS: usize = 9;
const ORDERS: usize = 8;
/// Points on a plain tile.
const TILE_POINTS: usize = 4;

/// The indicators of each class, with the point of its set point.
const INDICATORS: [(&str, &str, &str); 5] = [
    ("fire_pump", "outlet_pressure", ""),
    ("pump_set", "outlet_pressure", "setpoint"),
    ("pump_set", "inlet_pressure", ""),
    ("tank", "level", ""),
    ("sump", "level", ""),
];

#[derive(Template)]
#[template(path = "page/overview.html")]
struct OverviewPage {
    f: Frame,
    lifts: Vec<Strip>,
    lift_line: LiftLine,
    panels: Vec<Panel>,
    fire_pumps: Vec<Pumps>,
    indicators: Vec<Indicator>,
    pumps: Vec<Pumps>,
    tiles: Vec<Tile>,
    alarms: Vec<AlarmItem>,
    alarm_count: usize,
    /// Alarms that the list has no room for.
    alarms_more: usize,
    shelved: usize,
    orders: Vec<OrderItem>,
    histogram: Option<Histogram>,
    figures: Vec<Figure>,
}

/// What stands beside the title of the elevators; the script keeps the count of moving cars.
struct LiftLine {
    cars: String,
    moving: usize,
    others: Vec<String>,
}

/// An asset without a picture.
pub(super) struct Tile {
    code: String,
    name: String,
    place: String,
    state: &'static str,
    state_word: String,
    symbol: Option<Symbol>,
    /// Whether a fault stands, as far as is known.
    marked: bool,
    /// What is over and waits for a person, in words.
    waiting: String,
    readings: Vec<Reading>,
}

/// One number at the foot of the overview.
struct Figure {
    name: String,
    value: String,
    beside: String,
    /// Something that people should look into.
    marked: bool,
}

/// Alarms of each of the last 24 hours.
#[derive(Template)]
#[template(path = "piece/histogram.html")]
pub(super) struct Histogram {
    bars: Vec<Bar>,
    target: String,
    hours: Vec<(String, String)>,
    label: String,
    now: String,
    total: u32,
    last: u32,
}

impl HtmlSafe for Histogram {}

struct Bar {
    x: String,
    y: String,
    height: String,
    now: bool,
}

/// The page.
pub(super) async fn page(visit: Visit) -> Result<Response, ApiError> {
    let per_hour = visit.app.archive.alarms_per_hour(visit.times.now).await;
    let histogram = per_hour.ok().map(|counts| Histogram::new(&visit, &counts));
    let alarms = visit.open_alarms();
    let guards_life = |alarm: &Alarm| visit.snapshot.model.rule(alarm.rule).rule.life_safety;
    let shown = alarms
        .iter()
        .filter(|alarm| alarm.state() != AlarmState::Shelved);
    let rows = rows(
        shown
            .clone()
            .map(|alarm| alarm.active && guards_life(alarm)),
    );
    let all = subjects(&visit);
    let of = |class: &str| {
        let class = class.to_owned();
        all.iter()
            .filter(move |one| one.asset().class == class)
            .copied()
    };
    let mut drawn = Vec::new();
    let mut keep = |subject: &Subject<'_>| drawn.push(subject.id);
    let lifts: Vec<Strip> = of("elevator")
        .filter_map(|one| Strip::new(&one).inspect(|_| keep(&one)))
        .collect();
    let panels: Vec<Panel> = of("fire_panel")
        .filter_map(|one| Panel::new(&one).inspect(|_| keep(&one)))
        .collect();
    let indicators: Vec<Indicator> = INDICATORS
        .iter()
        .flat_map(|(class, point, set)| of(class).map(move |one| (one, *point, *set)))
        .filter_map(|(one, point, set)| Indicator::new(&one, point, set).inspect(|_| keep(&one)))
        .collect();
    let mut pumps_of = |classes: &[&str]| -> Vec<Pumps> {
        let some = classes.iter().flat_map(|class| of(class));
        some.filter_map(|one| Pumps::new(&one).inspect(|_| keep(&one)))
            .collect()
    };
    let fire_pumps = pumps_of(&["fire_pump"]);
    let pumps = pumps_of(&["pump_set", "sump"]);
    let rest = all.iter().filter(|one| !drawn.contains(&one.id));
    let page = OverviewPage {
        lift_line: lift_line(&visit, &lifts),
        tiles: rest.map(Tile::new).collect(),
        lifts,
        panels,
        fire_pumps,
        indicators,
        pumps,
        alarms: shown
            .clone()
            .take(rows)
            .map(|alarm| AlarmItem::live(&visit, alarm))
            .collect(),
        alarms_more: shown.clone().count().saturating_sub(rows),
        alarm_count: shown.count(),
        shelved: alarms
            .iter()
            .filter(|alarm| alarm.state() == AlarmState::Shelved)
            .count(),
        orders: visit.order_items(visit.open_orders().into_iter().take(ORDERS)),
        figures: figures(&visit, histogram.as_ref()),
        histogram,
        f: visit.frame("overview"),
    };
    render(&page)
}

/// How many alarms are listed of those of which it is said, in their order, whether they guard life and
/// stand: all of these are on the page, however long it gets.
fn rows(standing: impl Iterator<Item = bool>) -> usize {
    let standing = standing.enumerate().filter(|(_, standing)| *standing);
    standing
        .last()
        .map_or(0, |(place, _)| place + 1)
        .max(ALARMS)
}

/// Every asset, in the order of the configuration.
pub(super) fn subjects(visit: &Visit) -> Vec<Subject<'_>> {
    let count = u32::try_from(visit.snapshot.model.assets.len()).unwrap_or(0);
    (0..count)
        .map(|id| Subject::new(visit, AssetId(id)))
        .collect()
}

fn lift_line(visit: &Visit, lifts: &[Strip]) -> LiftLine {
    let words = visit.words();
    let count = |of: fn(&Strip) -> bool| lifts.iter().filter(|one| of(one)).count();
    let parts = [
        ("overview.cars_alarm", count(|one| !one.0.alarm.is_empty())),
        ("overview.cars_stale", count(|one| one.0.stale)),
    ];
    let others = parts.into_iter().filter(|(_, n)| *n > 0);
    LiftLine {
        cars: words.n("overview.cars", lifts.len()),
        moving: count(|one| one.0.moving.is("true")),
        others: others.map(|(key, n)| words.n(key, n)).collect(),
    }
}

impl Tile {
    pub(super) fn new(subject: &Subject<'_>) -> Self {
        let visit = subject.visit;
        let (code, name, place) = visit.asset_line(subject.id);
        let state = subject.state().code();
        let snapshot = &visit.snapshot;
        let readings = subject.points().take(TILE_POINTS).filter_map(|id| {
            let state = snapshot.points.get(id.index())?;
            Some(Reading::new(&visit.times, snapshot.model.point(id), state))
        });
        Self {
            readings: readings.collect(),
            symbol: subject.mark(),
            marked: subject.worst().is_some(),
            waiting: subject.waiting_words(),
            state,
            state_word: visit.words().code("asset_state", state),
            code,
            name,
            place,
        }
    }
}

fn figures(visit: &Visit, histogram: Option<&Histogram>) -> Vec<Figure> {
    let words = visit.words();
    let raised = histogram.map_or_else(|| words.t("value.none"), |one| one.total.to_string());
    let this_hour =
        histogram.map_or_else(String::new, |one| words.n("overview.kpi_hour", one.last));
    let mut figures = vec![Figure::new(
        words.t("overview.kpi_alarms"),
        raised,
        this_hour,
        false,
    )];
    figures.extend(work_figures(visit));
    figures.extend(machine_figures(visit));
    figures
}

impl Figure {
    fn new(name: String, value: String, beside: String, marked: bool) -> Self {
        Self {
            name,
            value,
            beside,
            marked,
        }
    }
}

/// What waits for people.
fn work_figures(visit: &Visit) -> [Figure; 3] {
    let words = visit.words();
    let snapshot = &visit.snapshot;
    let waiting = snapshot.alarms.values().filter(|alarm| {
        matches!(
            alarm.state(),
            AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
        )
    });
    let waiting = waiting.count();
    let orders = snapshot.work_orders.values();
    let now = visit.times.now;
    let late = orders
        .clone()
        .filter(|order| order.due_at.is_some_and(|due| due < now));
    let late = late.count();
    let to_verify = orders.filter(|order| is_to_verify(order)).count();
    [
        Figure::new(
            words.t("overview.kpi_unack"),
            waiting.to_string(),
            words.n("overview.kpi_unack_sub", snapshot.alarms.len()),
            waiting > 0,
        ),
        Figure::new(
            words.t("overview.kpi_orders"),
            snapshot.work_orders.len().to_string(),
            words.n("overview.kpi_overdue", late),
            late > 0,
        ),
        Figure::new(
            words.t("overview.kpi_recovered"),
            to_verify.to_string(),
            words.t("overview.kpi_recovered_sub"),
            false,
        ),
    ]
}

/// How the watching itself is.
fn machine_figures(visit: &Visit) -> [Figure; 2] {
    let words = visit.words();
    let views = visit.snapshot.assets.iter();
    let used = views.filter(|view| view.state != AssetState::OutOfService);
    let total = used.clone().count();
    let online = used.filter(|view| view.has_data == Some(true)).count();
    let checks = visit.app.health.checks();
    let broken = checks.iter().filter(|check| !check.ok);
    let broken: Vec<&str> = broken.map(|check| check.name.as_str()).collect();
    let said = if broken.is_empty() {
        let bytes = visit.app.health.resident();
        bytes.map_or_else(
            || words.t("overview.kpi_gateway_ok"),
            |bytes| {
                let mebibytes = (bytes >> 20).to_string();
                words.with("overview.kpi_gateway_memory", &[("memory", &mebibytes)])
            },
        )
    } else {
        words.with("overview.kpi_gateway_bad", &[("what", &broken.join(", "))])
    };
    [
        Figure::new(
            words.t("overview.kpi_online"),
            online.to_string(),
            words.n("overview.kpi_online_sub", total),
            online < total,
        ),
        Figure::new(
            words.t("overview.kpi_gateway"),
            format!("{}/{}", checks.len() - broken.len(), checks.len()),
            said,
            !broken.is_empty(),
        ),
    ]
}

impl Histogram {
    /// From 24 counts, oldest hour first.
    pub(super) fn new(visit: &Visit, counts: &[u32]) -> Self {
        const WIDTH: f64 = 460.0;
        const FOOT: f64 = 60.0;
        const TALL: f64 = 54.0;
        const TARGET: u32 = 6;
        let most = counts.iter().copied().max().unwrap_or(0).max(TARGET);
        let step = WIDTH / 24.0;
        let place = |index: usize| step * f64::from(u32::try_from(index).unwrap_or(0));
        let tall = |n: u32| TALL * f64::from(n) / f64::from(most);
        let bars = counts.iter().enumerate().map(|(index, n)| {
            let height = tall(*n).max(1.0);
            Bar {
                x: format!("{:.1}", place(index) + 2.0),
                y: format!("{:.1}", FOOT - height),
                height: format!("{height:.1}"),
                now: index + 1 == counts.len(),
            }
        });
        let hour = |index: usize| {
            let back = i64::try_from(counts.len() - index).unwrap_or(0) - 1;
            let at = Timestamp::from_millis(visit.times.now.millis() - back * 3_600_000);
            format!("{:02}:00", visit.times.local(at).hour())
        };
        let total: u32 = counts.iter().sum();
        Self {
            bars: bars.collect(),
            target: format!("{:.1}", FOOT - tall(TARGET)),
            hours: [0, 6, 12, 18]
                .into_iter()
                .filter(|index| *index < counts.len())
                .map(|index| (format!("{:.1}", place(index) + 2.0), hour(index)))
                .collect(),
            label: visit.words().n("overview.histogram_text", total),
            now: visit.words().t("overview.now"),
            total,
            last: counts.last().copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alarm_that_guards_life_and_stands_is_cut_off() {
        assert_eq!(rows([false; 30].into_iter()), ALARMS);
        assert_eq!(rows([true, false].into_iter()), ALARMS);
        let mut many = [false; 30];
        many[..14].fill(true);
        many[16] = true;
        assert_eq!(rows(many.into_iter()), 17);
    }
}
