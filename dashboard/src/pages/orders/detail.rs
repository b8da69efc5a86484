//! One order on a page: what it is, how the machine is now, what to do, what was done, what comes next.
//!
//! The phone's page: everything in one column, the next step always at the thumb.

use super::super::frame::{Frame, Visit};
use super::super::items::{AlarmItem, Due, OrderItem};
use super::super::picture::Subject;
use super::super::show::{Reading, When};
use super::super::told::{self, ToldLine};
use super::form::{MoveForm, moves, not_yours};
use super::record::{self, PartView, PhotoForm, PhotoView};
use crate::error::ApiError;
use crate::ports::{About, OrderEventRow, OrderRow};
use crate::service;
use askama::Template;
use zhiban_core::alarm::Signal;
use zhiban_core::alarm::rule::AlarmRule;
use zhiban_core::work_order::{ALARM_NOTE, Actor, PERSON_NOTE};
use zhiban_core::{AssetId, WorkOrder, WorkOrderNumber, WorkOrderStatus as S};

/// Live facts shown on an order.
const FACTS: usize = 6;
/// Alarms shown on an order.
const ALARMS: usize = 10;

#[derive(Template)]
#[template(path = "page/order.html")]
pub(super) struct OrderPage {
    f: Frame,
    o: OrderItem,
    kind: String,
    source: String,
    version: u32,
    /// Until when somebody must have accepted it.
    respond: Option<Due>,
    /// Share of the time limit that is left, 0 to 100.
    left: i64,
    reopened: String,
    steps: Vec<Step>,
    closed: Option<When>,
    recovered: Option<When>,
    /// What is known now of the fault: `stands`, `unknown`, or empty when it is over or there is none.
    fault: &'static str,
    repeated: Option<String>,
    configured: bool,
    facts: Vec<Reading>,
    guidance: Option<Guidance>,
    alarms: Vec<AlarmItem>,
    repair: Vec<(String, String)>,
    parts: Vec<PartView>,
    part_key: String,
    photos: Vec<PhotoView>,
    photo_forms: Vec<PhotoForm>,
    main: Option<MoveForm>,
    others: Vec<MoveForm>,
    /// Why the next step is not for who looks.
    not_yours: String,
    told: Vec<ToldLine>,
    people: Vec<(String, String)>,
    /// Somebody just reported it, and is shown its number.
    received: bool,
    events: Vec<EventLine>,
    comment_key: String,
}

/// A step of the progress bar.
struct Step {
    name: String,
    class: &'static str,
}

/// What a rule says about its alarm.
pub(in crate::pages) struct Guidance {
    pub(in crate::pages) todo: Vec<String>,
    pub(in crate::pages) cause: String,
    pub(in crate::pages) consequence: String,
}

impl Guidance {
    pub(in crate::pages) fn new(visit: &Visit, rule: &AlarmRule) -> Self {
        let language = visit.words().0;
        let action = rule.action.get(language);
        Self {
            todo: sentences(action),
            cause: rule.cause.get(language).to_owned(),
            consequence: rule.consequence.get(language).to_owned(),
        }
    }
}

/// A list of steps written as sentences, one step each.
fn sentences(text: &str) -> Vec<String> {
    text.split(['。', '；', ';', '\n'])
        .flat_map(|part| part.split(". "))
        .map(|part| part.trim().trim_end_matches('.'))
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut letters = part.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            first.chain(letters).collect()
        })
        .collect()
}

/// One entry of an order's life.
struct EventLine {
    at: When,
    by: String,
    what: String,
    note: String,
    recorded: Option<When>,
}

impl OrderPage {
    pub(super) async fn new(visit: &Visit, no: &WorkOrderNumber) -> Result<Self, ApiError> {
        let live = visit.snapshot.work_orders.get(no);
        let (row, events) = recorded(visit, no, live.is_some()).await?;
        let order = live.or(row.as_ref().map(|row| &row.order));
        let order = order.ok_or(ApiError::NotFound)?;
        let asset = match (live, &row) {
            (Some(order), _) => Some(order.asset),
            (None, Some(row)) => visit.snapshot.model.asset_by_code(&row.asset),
            (None, None) => None,
        };
        let item = match (live, &row) {
            (None, Some(row)) => OrderItem::record(visit, row),
            (Some(_), _) | (None, None) => OrderItem::live(visit, order),
        };
        let rule = rule_of(visit, order, live.is_some());
        let actor = service::actor(&visit.app, &visit.me).await;
        let actor = actor.unwrap_or(Actor::Person);
        let watched = live.is_some() || order.status.is_over();
        let (main, others) = match watched {
            true => moves(visit, order, actor),
            false => (None, Vec::new()),
        };
        let told = told::lines(visit, About::Order(order.no.clone())).await;
        let alarms = alarms(visit, order).await;
        let words = visit.words();
        Ok(Self {
            f: visit.frame("orders"),
            kind: words.code("kind", order.kind.code()),
            source: source(visit, order),
            version: order.version,
            respond: Due::to_accept(visit, order),
            left: left(visit, order),
            reopened: reopened(visit, order),
            steps: steps(visit, order, &events),
            closed: order.closed_at.map(|at| visit.times.when(at)),
            recovered: order.recovered_at.map(|at| visit.times.when(at)),
            fault: fault(visit, order),
            repeated: (order.occurrences > 1).then(|| words.n("order.repeated", order.occurrences)),
            configured: asset.is_some(),
            facts: asset.map_or_else(Vec::new, |asset| facts(visit, asset, rule)),
            guidance: rule.map(|rule| Guidance::new(visit, &visit.snapshot.model.rule(rule).rule)),
            repair: repair(visit, order),
            parts: record::parts(order),
            part_key: uuid::Uuid::new_v4().to_string(),
            photos: record::photos(visit, order),
            photo_forms: record::photo_forms(visit),
            main,
            others,
            not_yours: not_yours(visit, order, actor),
            told,
            people: people(visit),
            received: visit.look.here.ends_with("?received=1"),
            events: lines(visit, &events, &alarms),
            alarms,
            comment_key: uuid::Uuid::new_v4().to_string(),
            o: item,
        })
    }
}

/// An order and its life as they are recorded; nothing when they cannot be read and the order is open.
pub(super) async fn recorded(
    visit: &Visit,
    no: &WorkOrderNumber,
    live: bool,
) -> Result<(Option<OrderRow>, Vec<OrderEventRow>), ApiError> {
    match visit.app.archive.work_order(no.clone()).await {
        Ok(Some((row, events))) => Ok((Some(row), events)),
        Err(error) if !live => Err(error.into()),
        Ok(None) | Err(_) => Ok((None, Vec::new())),
    }
}

/// Who made the order.
fn source(visit: &Visit, order: &WorkOrder) -> String {
    let words = visit.words();
    match &order.reported_by {
        Some(by) => words.with("order.reported_by", &[("name", &visit.person(by))]),
        None => words.t("order.raised_by"),
    }
}

/// Everybody who can be given the order.
fn people(visit: &Visit) -> Vec<(String, String)> {
    let users = visit.people.keys();
    let named = users.map(|user| (user.clone(), visit.person(user)));
    named.collect()
}

/// The latest alarms of an order, open or over; what cannot be read is left out.
async fn alarms(visit: &Visit, order: &WorkOrder) -> Vec<AlarmItem> {
    let mut items = Vec::new();
    for id in order.alarms.iter().rev().take(ALARMS) {
        if let Some(alarm) = visit.snapshot.alarms.get(id) {
            items.push(AlarmItem::live(visit, alarm));
        } else if let Ok(Some((row, _))) = visit.app.archive.alarm(*id).await {
            items.push(AlarmItem::record(visit, &row));
        }
    }
    items
}

/// What is known now of an order's fault. One that stood when its data became old may be gone.
fn fault(visit: &Visit, order: &WorkOrder) -> &'static str {
    if order.alarms.is_empty() || order.recovered_at.is_some() || order.status.is_over() {
        return "";
    }
    let open = order
        .alarms
        .iter()
        .filter_map(|id| visit.snapshot.alarms.get(id));
    let standing = open.filter(|alarm| alarm.active);
    let signals = standing.map(|alarm| visit.snapshot.signal(alarm.id));
    match signals.min() {
        Some(Signal::Unknown) => "unknown",
        Some(Signal::Present | Signal::Clearing | Signal::Gone) | None => "stands",
    }
}

/// The rule that raised an order; its number is only good while the order is open.
fn rule_of(visit: &Visit, order: &WorkOrder, live: bool) -> Option<zhiban_core::RuleId> {
    let rule = order.rule.filter(|_| live)?;
    (rule.index() < visit.snapshot.model.rules.len()).then_some(rule)
}

fn left(visit: &Visit, order: &WorkOrder) -> i64 {
    let (Some(due), Some(limit)) = (order.due_at, order.limit) else {
        return 0;
    };
    let whole = limit.millis().max(1);
    (due.since(visit.times.now).millis() * 100 / whole).clamp(0, 100)
}

/// That and since when the order is open again, and who had completed it.
fn reopened(visit: &Visit, order: &WorkOrder) -> String {
    let Some(at) = order.reopened_at.filter(|_| !order.status.is_over()) else {
        return String::new();
    };
    let time = visit.times.when(at).full;
    match &order.completed_by {
        Some(user) => visit.words().with(
            "order.reopened_by",
            &[("time", &time), ("name", &visit.person(user))],
        ),
        None => visit.words().with("order.reopened", &[("time", &time)]),
    }
}

/// The way of an order: what was done, and where it is. A step that nobody took is none that was done. Only what a
/// person reported is reviewed.
fn steps(visit: &Visit, order: &WorkOrder, events: &[OrderEventRow]) -> Vec<Step> {
    const STEPS: [(&str, S); 7] = [
        ("order.step_review", S::Approved),
        ("order.step_assign", S::Assigned),
        ("order.step_accept", S::Accepted),
        ("order.step_arrive", S::OnSite),
        ("order.step_repair", S::InProgress),
        ("order.step_verify", S::Verified),
        ("order.step_close", S::Closed),
    ];
    let current = match order.status {
        S::Requested => 0,
        S::Approved => 1,
        S::Assigned => 2,
        S::Accepted => 3,
        S::OnSite | S::InProgress | S::OnHold => 4,
        S::Completed => 5,
        S::Verified => 6,
        S::Closed => 7,
        S::Rejected | S::Cancelled => 8,
    };
    let taken = |reached: S| events.iter().any(|event| event.to == reached.code());
    let class = |index: usize, reached: S| {
        if current > STEPS.len() || index > current {
            ""
        } else if index == current {
            "cur"
        } else if taken(reached) {
            "dn"
        } else {
            "no"
        }
    };
    let first = usize::from(order.reported_by.is_none());
    let steps = STEPS.into_iter().enumerate().skip(first);
    steps
        .map(|(index, (key, reached))| Step {
            name: visit.look.t(key),
            class: class(index, reached),
        })
        .collect()
}

/// The readings that matter for an order: those its rule looks at, then the usual ones of the class.
fn facts(visit: &Visit, asset: AssetId, rule: Option<zhiban_core::RuleId>) -> Vec<Reading> {
    let subject = Subject::new(visit, asset);
    let rule = rule.map(|rule| visit.snapshot.model.rule(rule));
    let first = rule.map_or(&[][..], |rule| &rule.points);
    let ranked = subject.ranked(first);
    ranked
        .into_iter()
        .take(FACTS)
        .filter_map(|id| subject.show(id))
        .collect()
}

fn repair(visit: &Visit, order: &WorkOrder) -> Vec<(String, String)> {
    let done = &order.repair;
    let minutes = done
        .labor_minutes
        .map(|n| visit.times.span(u64::from(n) * 60_000));
    [
        ("order.problem", done.problem.clone()),
        ("order.cause", done.cause.clone()),
        ("order.remedy", done.remedy.clone()),
        ("order.labor", minutes),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((visit.look.t(key), text?)))
    .collect()
}

/// An order's life, the latest entry first.
fn lines(visit: &Visit, events: &[OrderEventRow], alarms: &[AlarmItem]) -> Vec<EventLine> {
    let latest = events.iter().rev();
    latest.map(|one| line(visit, one, alarms)).collect()
}

fn line(visit: &Visit, event: &OrderEventRow, alarms: &[AlarmItem]) -> EventLine {
    let words = visit.words();
    let status = |code: &str| words.code_or_same("status", code);
    let moved = format!("{} → {}", status(&event.from), status(&event.to));
    let what = match event.change.as_str() {
        "moved" => moved,
        change if event.from == event.to => words.code_or_same("order_change", change),
        change => format!("{}: {moved}", words.code_or_same("order_change", change)),
    };
    let what = if event.only_account {
        format!("{what} ({})", words.t("order.only_account"))
    } else {
        what
    };
    EventLine {
        at: visit.times.when(event.at),
        by: event
            .by
            .as_deref()
            .map_or_else(|| words.t("order.gateway"), |by| visit.person(by)),
        what,
        // The hash of a photo is for proof, not for reading.
        note: event
            .note
            .as_deref()
            .filter(|note| !note.starts_with("sha256:"))
            .map(|note| about(visit, note, alarms))
            .unwrap_or_else(|| match event.change.as_str() {
                "created" | "located" => visit.spot(event.place.as_ref()),
                _ => String::new(),
            }),
        recorded: event.recorded_at.map(|at| visit.times.when(at)),
    }
}

/// A note as people read it: of one that names an alarm, which and what.
fn about(visit: &Visit, note: &str, alarms: &[AlarmItem]) -> String {
    let words = visit.words();
    if let Some(given) = note.strip_prefix(PERSON_NOTE) {
        let (person, rest) = given.split_once('\n').unwrap_or((given, ""));
        let name = visit.person(person);
        let to = words.with("order.given_to", &[("name", &name)]);
        return format!("{to}\n{rest}").trim_end().to_owned();
    }
    let Some(id) = note.strip_prefix(ALARM_NOTE) else {
        return note.to_owned();
    };
    let name = words.with("order.about_alarm", &[("id", id)]);
    match alarms.iter().find(|alarm| alarm.id == id) {
        Some(alarm) => format!("{name} · {}", alarm.title),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::sentences;

    #[test]
    fn what_to_do_is_one_step_a_line() {
        assert_eq!(sentences("安抚乘客；断电挂牌。"), ["安抚乘客", "断电挂牌"]);
        assert_eq!(sentences("Calm them; lock out."), ["Calm them", "Lock out"]);
    }
}
