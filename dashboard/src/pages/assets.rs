//! Assets: the list by class, and one asset with everything known of it.
//!
//! An old value is always shown with its age; what is not known is said to be unknown.

use super::frame::{Frame, Visit};
use super::items::{AlarmItem, OrderItem};
use super::overview::subjects;
use super::picture::Subject;
use super::picture::indicator::Indicator;
use super::picture::lift::Shaft;
use super::picture::panel::Panel;
use super::picture::pumps::Pumps;
use super::posts::{LONGEST, Once, Sent, TITLE, written};
use super::render;
use super::show::{Reading, Symbol, When};
use crate::auth;
use crate::error::ApiError;
use crate::service;
use askama::Template;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeSet;
use zhiban_core::facility::{AssetState, NewWorkOrder};
use zhiban_core::profile::Trust;
use zhiban_core::{Command, Outcome, Priority};

/// Readings shown as cards; the others stand in a table below.
const CARDS: usize = 8;

#[derive(Template)]
#[template(path = "page/assets.html")]
struct AssetsPage {
    f: Frame,
    rows: Vec<AssetRow>,
    classes: Vec<(String, String)>,
    states: Vec<(&'static str, String)>,
    class: String,
    state: String,
}

struct AssetRow {
    code: String,
    name: String,
    place: String,
    class: String,
    state: &'static str,
    state_word: String,
    symbol: Option<Symbol>,
    link: &'static str,
    link_word: String,
    heard: Option<When>,
    alarms: u32,
    orders: u32,
}

/// What is asked for in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    class: String,
    state: String,
}

const STATES: [AssetState; 4] = [
    AssetState::Alarm,
    AssetState::Stale,
    AssetState::Normal,
    AssetState::OutOfService,
];

/// The list of assets.
pub(super) async fn list(
    visit: Visit,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let words = visit.words();
    let all = subjects(&visit);
    let classes: BTreeSet<&str> = all.iter().map(|one| one.asset().class.as_str()).collect();
    let rows = all
        .iter()
        .filter(|one| query.class.is_empty() || one.asset().class == query.class)
        .filter(|one| query.state.is_empty() || one.state().code() == query.state);
    let page = AssetsPage {
        rows: rows.filter_map(AssetRow::new).collect(),
        classes: classes
            .into_iter()
            .map(|class| (class.to_owned(), words.code_or_same("class", class)))
            .collect(),
        states: STATES
            .iter()
            .map(|state| (state.code(), words.code("asset_state", state.code())))
            .collect(),
        class: query.class,
        state: query.state,
        f: visit.frame("assets"),
    };
    render(&page)
}

impl AssetRow {
    fn new(subject: &Subject<'_>) -> Option<Self> {
        let visit = subject.visit;
        let words = visit.words();
        let view = visit.snapshot.assets.get(subject.id.index())?;
        let (code, name, place) = visit.asset_line(subject.id);
        Some(Self {
            code,
            name,
            place,
            class: words.code_or_same("class", &subject.asset().class),
            state: view.state.code(),
            state_word: words.code("asset_state", view.state.code()),
            symbol: subject.mark(),
            link: view.link.code(),
            link_word: words.code("link", view.link.code()),
            heard: view.heard_at.map(|at| visit.times.when(at)),
            alarms: view.open_alarms,
            orders: view.open_work_orders,
        })
    }
}

#[derive(Template)]
#[template(path = "page/asset.html")]
struct AssetPage {
    f: Frame,
    row: AssetRow,
    class: String,
    profile: String,
    trust: String,
    link_name: String,
    fault: Option<FaultItem>,
    points: usize,
    good: usize,
    worst: Option<AlarmItem>,
    /// The alarm of a fault that is over and that nobody has acknowledged.
    waiting: Option<AlarmItem>,
    shaft: Option<Shaft>,
    panel: Option<Panel>,
    pumps: Option<Pumps>,
    indicators: Vec<Indicator>,
    cards: Vec<Card>,
    /// The readings beyond the cards.
    rest: Vec<Card>,
    trends: Vec<Reading>,
    trend: Option<Reading>,
    ranges: Vec<(i64, String)>,
    hours: i64,
    from: i64,
    to: i64,
    marks: String,
    alarms: Vec<AlarmItem>,
    orders: Vec<OrderItem>,
    report_key: String,
    report_urgent: String,
}

/// Why a device is not read.
struct FaultItem {
    /// What is wrong, and what to look at.
    what: String,
    cure: String,
    /// What was asked and what came: names with their values.
    facts: Vec<(String, String)>,
    at: When,
}

impl FaultItem {
    fn of(visit: &Visit, asset: &str) -> Option<Self> {
        let fault = visit.app.health.device_fault(asset)?;
        let words = visit.words();
        let mut what = words.code("fault", fault.kind);
        if let Some(number) = fault.exception {
            what = format!("{what} ({number})");
        }
        let nothing = || words.t("fault_fact.nothing");
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        // A unit is asked; of a topic one waits for what comes.
        let (asked, nothing) = match fault.unit {
            Some(_) => ("asked", Some(nothing())),
            None => ("topic", None),
        };
        let facts = [
            ("endpoint", Some(fault.endpoint)),
            ("unit", fault.unit.map(|unit| unit.to_string())),
            (asked, filled(fault.asked)),
            ("answer", filled(fault.answer).or(nothing)),
            ("detail", filled(fault.detail)),
        ];
        let facts = facts.into_iter().filter_map(|(name, value)| {
            let name = words.code("fault_fact", name);
            value.map(|value| (name, value))
        });
        Some(Self {
            what,
            cure: words.code("fault_cure", fault.kind),
            facts: facts.collect(),
            at: visit.times.when(fault.at),
        })
    }
}

/// One reading as a card.
struct Card {
    r: Reading,
    symbol: Option<Symbol>,
    range: String,
}

/// What the trend shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TrendQuery {
    point: String,
    hours: String,
}

/// One asset.
pub(super) async fn detail(
    visit: Visit,
    Path(code): Path<String>,
    Query(query): Query<TrendQuery>,
) -> Result<Response, ApiError> {
    let model = &visit.snapshot.model;
    let id = model.asset_by_code(&code).ok_or(ApiError::NotFound)?;
    let subject = Subject::new(&visit, id);
    let mut readings = cards(&subject);
    let trends: Vec<Reading> = readings
        .iter()
        .filter(|card| card.r.numeric)
        .map(|card| card.r.clone())
        .collect();
    let alarms = visit.open_alarms();
    let mine = alarms.iter().filter(|alarm| alarm.asset == id);
    let window = Window::of(&visit, &query, subject.worst().or(subject.waiting()));
    let orders = visit.open_orders();
    let indicators = ["outlet_pressure", "level"];
    let setpoints = ["setpoint", ""];
    let page = AssetPage {
        row: AssetRow::new(&subject).ok_or(ApiError::NotFound)?,
        class: subject.asset().class.clone(),
        profile: subject.asset().profile.clone(),
        trust: visit
            .words()
            .code("trust", trust_code(subject.asset().trust)),
        link_name: subject.asset().link.clone(),
        fault: FaultItem::of(&visit, &code),
        points: readings.len(),
        good: readings.iter().filter(|card| card.r.is_good()).count(),
        worst: subject.worst().map(|alarm| AlarmItem::live(&visit, alarm)),
        waiting: subject
            .waiting()
            .map(|alarm| AlarmItem::live(&visit, alarm)),
        shaft: Shaft::new(&subject),
        panel: Panel::new(&subject),
        pumps: Pumps::new(&subject),
        indicators: indicators
            .iter()
            .zip(setpoints)
            .filter_map(|(point, set)| Indicator::new(&subject, point, set))
            .collect(),
        trend: chosen(&trends, &query.point, &subject),
        trends,
        ranges: [1, 8, 24, 168]
            .into_iter()
            .map(|hours| (hours, visit.look.t(&format!("asset.hours_{hours}"))))
            .collect(),
        hours: window.hours,
        from: window.from,
        to: visit.times.now.millis(),
        marks: marks(&visit, id, window.from),
        alarms: mine.map(|alarm| AlarmItem::live(&visit, alarm)).collect(),
        orders: visit.order_items(orders.into_iter().filter(|order| order.asset == id)),
        rest: readings.split_off(CARDS.min(readings.len())),
        cards: readings,
        report_key: uuid::Uuid::new_v4().to_string(),
        report_urgent: visit.look.t(if visit.app.tells {
            "asset.report_urgent"
        } else {
            "asset.report_urgent_nobody"
        }),
        f: visit.frame("assets"),
    };
    render(&page)
}

/// The name of how far a profile was proved, in `trust.*`.
fn trust_code(trust: Trust) -> &'static str {
    match trust {
        Trust::Transcribed => "transcribed",
        Trust::Bench => "bench",
        Trust::Field => "field",
    }
}

/// Every reading: first those in alarm, then the most telling ones of the class.
fn cards(subject: &Subject<'_>) -> Vec<Card> {
    let ranked = subject.ranked(&[]);
    let shown = ranked.into_iter().filter_map(|id| subject.show(id));
    let mut cards: Vec<Card> = shown.map(|r| Card::new(subject, r)).collect();
    cards.sort_by_key(|card| card.symbol.as_ref().map_or(9, |symbol| symbol.p));
    cards
}

impl Card {
    fn new(subject: &Subject<'_>, r: Reading) -> Self {
        let worst = subject.worst_of(&r.point);
        let limits = super::picture::indicator::limits(subject, &r.point);
        let number = |value: f64| super::show::number_text(value, r.decimals);
        let range = match limits {
            (Some(low), Some(high)) => format!("{} – {}", number(low), number(high)),
            (Some(low), None) => format!("≥ {}", number(low)),
            (None, Some(high)) => format!("≤ {}", number(high)),
            (None, None) => String::new(),
        };
        Self {
            symbol: worst.map(|alarm| subject.symbol(alarm)),
            range,
            r,
        }
    }
}

/// The time a trend shows.
struct Window {
    hours: i64,
    from: i64,
}

impl Window {
    /// As asked; else from 20 minutes before the alarm that is open; else 8 hours.
    fn of(visit: &Visit, query: &TrendQuery, open: Option<&zhiban_core::Alarm>) -> Self {
        const HOUR: i64 = 3_600_000;
        let now = visit.times.now.millis();
        let asked = query
            .hours
            .parse()
            .ok()
            .filter(|n| (1..=24 * 31).contains(n));
        let standing = open.map(|alarm| alarm.raised_at.millis() - HOUR / 3);
        match (asked, standing) {
            (Some(hours), _) => Self {
                hours,
                from: now - hours * HOUR,
            },
            (None, Some(from)) if now - from < 24 * HOUR => Self { hours: 0, from },
            (None, _) => Self {
                hours: 8,
                from: now - 8 * HOUR,
            },
        }
    }
}

/// The point whose trend is shown: the asked one, the one in alarm, the usual one, the first.
fn chosen(trends: &[Reading], asked: &str, subject: &Subject<'_>) -> Option<Reading> {
    const USUAL: [&str; 4] = [
        "car_position",
        "outlet_pressure",
        "level",
        "battery_voltage",
    ];
    let by_name = |name: &str| trends.iter().find(|one| one.point == name);
    let in_alarm = || {
        trends
            .iter()
            .find(|one| subject.worst_of(&one.point).is_some())
    };
    let usual = || USUAL.iter().find_map(|name| by_name(name));
    by_name(asked)
        .or_else(in_alarm)
        .or_else(usual)
        .or(trends.first())
        .cloned()
}

/// Alarms of the asset as marks on its trend: when it began and ended, priority, title.
fn marks(visit: &Visit, id: zhiban_core::AssetId, from: i64) -> String {
    let alarms = visit.snapshot.alarms.values();
    let marks: Vec<(i64, Option<i64>, u8, &str)> = alarms
        .filter(|alarm| alarm.asset == id && alarm.raised_at.millis() >= from)
        .map(|alarm| {
            let title = &visit.snapshot.model.rule(alarm.rule).rule.title;
            (
                alarm.raised_at.millis(),
                alarm.returned_at.map(zhiban_core::Timestamp::millis),
                alarm.priority.number(),
                title.get(visit.words().0),
            )
        })
        .collect();
    serde_json::to_string(&marks).unwrap_or_default()
}

/// What the report form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReportInput {
    #[serde(flatten)]
    once: Once,
    title: String,
    note: String,
    priority: String,
}

/// A fault that a person saw.
pub(super) async fn report(
    visit: Visit,
    Path(code): Path<String>,
    Form(input): Form<ReportInput>,
) -> Result<Response, ApiError> {
    let model = &visit.snapshot.model;
    let asset = model.asset_by_code(&code).ok_or(ApiError::NotFound)?;
    let title = written(&input.title, "title", TITLE)?;
    let title = title.ok_or_else(|| ApiError::field("/title", "required"))?;
    let priority = input.priority.parse::<u8>().ok();
    let priority = priority.and_then(|number| Priority::try_from(number).ok());
    let command = Command::CreateWorkOrder(NewWorkOrder {
        asset,
        title,
        priority: priority.unwrap_or(Priority::Medium),
        by: visit.me.user.clone(),
        note: written(&input.note, "note", LONGEST)?,
    });
    let making = service::command(&visit.app, command);
    let no = match input.once.run(&visit, "", making).await? {
        Sent::Now(Outcome::WorkOrder(order)) => order.no.to_string(),
        Sent::Now(Outcome::Done) => return Err(ApiError::Internal),
        Sent::Before(known) => String::from_utf8_lossy(&known.body).into_owned(),
    };
    Ok(auth::see_other(&format!("/work-orders/{no}?received=1")))
}
