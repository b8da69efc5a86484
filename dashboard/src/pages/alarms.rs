//! Alarms: the list, one alarm with what to do about it, and acknowledging, shelving, writing.
//!
//! Acknowledging says that somebody has seen it; nothing here resets or silences equipment.

use super::frame::{Frame, Visit};
use super::items::AlarmItem;
use super::orders::{Guidance, Tab};
use super::posts::{LONGEST, Once, REASON, written};
use super::show::When;
use super::told::{self, ToldLine};
use super::{overview::Histogram, render};
use crate::auth;
use crate::error::ApiError;
use crate::ports::{About, AlarmEventRow, AlarmFilter, AlarmRow};
use askama::Template;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use serde::Deserialize;
use zhiban_core::model::PointKind;
use zhiban_core::{AlarmId, AlarmState, Command, Duration};

/// Alarms on one page of the records.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "page/alarms.html")]
struct AlarmsPage {
    f: Frame,
    tabs: Vec<Tab>,
    alarms: Vec<AlarmRowView>,
    /// What to do about the chosen alarm, else the first.
    guide: Option<Guide>,
    histogram: Option<Histogram>,
    older: Option<String>,
}

/// A row of the list, with the key of its own form.
struct AlarmRowView {
    a: AlarmItem,
    key: String,
    /// The list with this alarm's guidance beside it.
    pick: String,
}

/// The pane beside the list.
struct Guide {
    a: AlarmItem,
    g: Guidance,
    key: String,
}

#[derive(Template)]
#[template(path = "page/alarm.html")]
struct AlarmPage {
    f: Frame,
    a: AlarmItem,
    rule: String,
    configured: bool,
    guidance: Option<Guidance>,
    trend: Option<TrendLink>,
    life: Vec<LifeLine>,
    /// Whether it may be shelved; life safety never may.
    may_shelve: bool,
    open: bool,
    keys: [String; 4],
    told: Vec<ToldLine>,
}

/// The point that the page's trend shows.
struct TrendLink {
    key: String,
    name: String,
    unit: String,
    decimals: u8,
    flag: bool,
    /// The words for false and true, as JSON.
    words: String,
    from: i64,
    to: i64,
    raised: i64,
    /// When it was over, or `null` for the script.
    ended: String,
}

/// One entry of an alarm's life.
struct LifeLine {
    at: When,
    by: String,
    what: String,
    note: String,
}

/// What is asked for in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    state: String,
    asset: String,
    before: String,
    sel: String,
}

/// The list of alarms.
pub(super) async fn list(
    visit: Visit,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let state = query.state.as_str();
    let open = visit.open_alarms();
    let (alarms, older) = if state == "all" {
        records(&visit, &query).await?
    } else {
        let of_asset = |alarm: &&zhiban_core::Alarm| {
            query.asset.is_empty() || visit.asset(alarm.asset).code == query.asset
        };
        let chosen = open
            .iter()
            .copied()
            .filter(of_asset)
            .filter(|alarm| match state {
                "unacknowledged" => waits(alarm.state()),
                "shelved" => alarm.state() == AlarmState::Shelved,
                _ => true,
            });
        let items = chosen.map(|alarm| AlarmItem::live(&visit, alarm));
        (items.collect(), None)
    };
    let per_hour = visit.app.archive.alarms_per_hour(visit.times.now).await;
    render(&AlarmsPage {
        f: visit.frame("alarms"),
        tabs: tabs(&visit, state, &open),
        alarms: alarms
            .into_iter()
            .map(|a| AlarmRowView {
                pick: format!("/alarms?state={}&sel={}", auth::escape(state), a.id),
                key: key(),
                a,
            })
            .collect(),
        histogram: per_hour.ok().map(|counts| Histogram::new(&visit, &counts)),
        guide: guide(&visit, &query),
        older,
    })
}

/// The ways to look at the list, with how many alarms each holds.
fn tabs(visit: &Visit, state: &str, open: &[&zhiban_core::Alarm]) -> Vec<Tab> {
    let count = |of: &dyn Fn(AlarmState) -> bool| open.iter().filter(|one| of(one.state())).count();
    let tab = |name: &str, key: &str, n: Option<usize>| Tab {
        href: if name.is_empty() {
            "/alarms".to_owned()
        } else {
            format!("/alarms?state={name}")
        },
        name: visit.look.t(key),
        current: state == name,
        n,
    };
    vec![
        tab("", "alarms.open", Some(open.len())),
        tab(
            "unacknowledged",
            "alarms.unacknowledged",
            Some(count(&waits)),
        ),
        tab(
            "shelved",
            "alarms.shelved",
            Some(count(&|state| state == AlarmState::Shelved)),
        ),
        tab("all", "alarms.all", None),
    ]
}

/// Whether somebody still has to acknowledge it.
fn waits(state: AlarmState) -> bool {
    matches!(
        state,
        AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
    )
}

/// What to do about one open alarm.
fn guide(visit: &Visit, query: &ListQuery) -> Option<Guide> {
    let alarms = visit.open_alarms();
    let id = query.sel.parse().ok();
    let chosen = alarms.iter().find(|alarm| Some(alarm.id) == id);
    let alarm = chosen.or(alarms.first())?;
    let rule = &visit.snapshot.model.rule(alarm.rule).rule;
    Some(Guide {
        a: AlarmItem::live(visit, alarm),
        g: Guidance::new(visit, rule),
        key: key(),
    })
}

/// A page of every alarm, newest first, and the address of the next page.
async fn records(
    visit: &Visit,
    query: &ListQuery,
) -> Result<(Vec<AlarmItem>, Option<String>), ApiError> {
    let filter = AlarmFilter {
        states: Vec::new(),
        asset: (!query.asset.is_empty()).then(|| query.asset.clone()),
        before: query.before.parse().ok(),
        limit: PAGE,
    };
    let rows = visit.app.archive.alarms(filter).await?;
    let last = rows.last().filter(|_| rows.len() >= PAGE as usize);
    let asset = if query.asset.is_empty() {
        String::new()
    } else {
        format!("&asset={}", auth::escape(&query.asset))
    };
    let older = last.map(|row| format!("/alarms?state=all&before={}{asset}", row.id));
    let items = rows.iter().map(|row| AlarmItem::record(visit, row));
    Ok((items.collect(), older))
}

fn key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// One alarm, open or over.
pub(super) async fn detail(visit: Visit, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = number(&id)?;
    let live = visit.snapshot.alarms.get(&id);
    let found = visit.app.archive.alarm(id).await;
    let (row, events) = match found {
        Ok(Some((row, events))) => (Some(row), events),
        Ok(None) => (None, Vec::new()),
        Err(error) if live.is_none() => return Err(error.into()),
        Err(_) => (None, Vec::new()),
    };
    let item = match (live, &row) {
        (Some(alarm), _) => AlarmItem::live(&visit, alarm),
        (None, Some(row)) => AlarmItem::record(&visit, row),
        (None, None) => return Err(ApiError::NotFound),
    };
    let model = &visit.snapshot.model;
    let rule = live.map(|alarm| alarm.rule).or_else(|| {
        let row = row.as_ref()?;
        model.rule_by_name(model.asset_by_code(&row.asset)?, &row.rule)
    });
    let bound = rule.map(|rule| model.rule(rule));
    let page = AlarmPage {
        rule: bound.map_or_else(
            || {
                row.as_ref()
                    .map_or_else(String::new, |row| row.rule.clone())
            },
            |bound| bound.rule.id.clone(),
        ),
        configured: model.asset_by_code(&item.asset).is_some(),
        guidance: bound.map(|bound| Guidance::new(&visit, &bound.rule)),
        trend: bound.and_then(|bound| trend(&visit, bound, live, row.as_ref())),
        life: events.iter().rev().map(|one| line(&visit, one)).collect(),
        may_shelve: bound.is_some_and(|bound| bound.rule.may_be_shelved()),
        open: live.is_some(),
        keys: std::array::from_fn(|_| key()),
        told: told::lines(&visit, About::Alarm(id)).await,
        f: visit.frame("alarms"),
        a: item,
    };
    render(&page)
}

fn number(text: &str) -> Result<AlarmId, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

/// The trend of the first numeric point the rule looks at, around the alarm.
fn trend(
    visit: &Visit,
    bound: &zhiban_core::alarm::rule::BoundRule,
    live: Option<&zhiban_core::Alarm>,
    row: Option<&AlarmRow>,
) -> Option<TrendLink> {
    const BEFORE: i64 = 20 * 60_000;
    const AFTER: i64 = 10 * 60_000;
    let model = &visit.snapshot.model;
    let points = bound.points.iter().map(|id| model.point(*id));
    let point = points
        .into_iter()
        .find(|point| !matches!(point.kind, PointKind::Text | PointKind::Enum))?;
    let raised = live.map_or_else(
        || row.map(|row| row.raised_at),
        |alarm| Some(alarm.raised_at),
    )?;
    let returned = live.map_or_else(
        || row.and_then(|row| row.returned_at),
        |one| one.returned_at,
    );
    let end = returned.map_or(visit.times.now.millis(), |at| at.millis() + AFTER);
    Some(TrendLink {
        key: point.key.to_string(),
        name: point.name.get(visit.words().0).to_owned(),
        unit: point.unit.to_string(),
        decimals: point.decimals,
        flag: point.kind == PointKind::Flag,
        words: yes_and_no(visit),
        from: raised.millis() - BEFORE,
        to: end.min(visit.times.now.millis()),
        raised: raised.millis(),
        ended: returned.map_or_else(|| "null".to_owned(), |at| at.millis().to_string()),
    })
}

/// The words for false and true, as JSON.
pub(super) fn yes_and_no(visit: &Visit) -> String {
    let words = ["value.no", "value.yes"].map(|key| visit.look.t(key));
    serde_json::to_string(&words).unwrap_or_default()
}

fn line(visit: &Visit, event: &AlarmEventRow) -> LifeLine {
    let words = visit.words();
    let by = event.by.as_deref();
    LifeLine {
        at: visit.times.when(event.at),
        by: by.map_or_else(|| words.t("alarms.gateway"), |by| visit.person(by)),
        what: words.code_or_same("alarm_change", &event.change),
        note: event
            .note
            .clone()
            .unwrap_or_else(|| match event.change.as_str() {
                "raised" | "located" => visit.spot(event.place.as_ref()),
                _ => String::new(),
            }),
    }
}

/// What the forms of an alarm send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AlarmInput {
    #[serde(flatten)]
    once: Once,
    comment: String,
    reason: String,
    minutes: String,
}

/// "I have seen it."
pub(super) async fn acknowledge(
    visit: Visit,
    Path(id): Path<String>,
    Form(input): Form<AlarmInput>,
) -> Result<Response, ApiError> {
    let alarm = number(&id)?;
    let comment = written(&input.comment, "comment", LONGEST)?;
    let by = visit.me.user.clone();
    let said = comment.clone();
    let command = Command::Acknowledge { alarm, by, comment };
    if let Err(error) = input.once.send(&visit, command).await {
        // The same person's second press; somebody else's acknowledgement, and a comment that is in no record, are told.
        let alarms = &visit.app.snapshot.borrow().alarms;
        let written = alarms.get(&alarm).and_then(|one| one.comment.clone());
        if !is_done_by(&error, &visit.me.user) || (said.is_some() && said != written) {
            return Err(error);
        }
    }
    Ok(input.once.go_back(&format!("/alarms/{id}")))
}

/// Whether this very person acknowledged it already.
fn is_done_by(error: &ApiError, user: &str) -> bool {
    let current = error.standing().and_then(|one| one.current.as_ref());
    current.is_some_and(|current| current["acknowledged_by"] == user)
}

/// Puts an alarm aside for a time.
pub(super) async fn shelve(
    visit: Visit,
    Path(id): Path<String>,
    Form(input): Form<AlarmInput>,
) -> Result<Response, ApiError> {
    let alarm = number(&id)?;
    let reason = written(&input.reason, "reason", REASON)?;
    let reason = reason.ok_or_else(|| ApiError::field("/reason", "required"))?;
    let minutes: i64 = input
        .minutes
        .parse()
        .ok()
        .filter(|n| *n <= 480)
        .unwrap_or(0);
    let command = Command::Shelve {
        alarm,
        by: visit.me.user.clone(),
        reason,
        duration: Duration::from_secs(minutes * 60),
    };
    input.once.send(&visit, command).await?;
    Ok(input.once.go_back(&format!("/alarms/{id}")))
}

/// Brings a shelved alarm back.
pub(super) async fn unshelve(
    visit: Visit,
    Path(id): Path<String>,
    Form(input): Form<AlarmInput>,
) -> Result<Response, ApiError> {
    let alarm = number(&id)?;
    let by = visit.me.user.clone();
    let command = Command::Unshelve { alarm, by };
    input.once.send(&visit, command).await?;
    Ok(input.once.go_back(&format!("/alarms/{id}")))
}

/// Writes something on an alarm.
pub(super) async fn comment(
    visit: Visit,
    Path(id): Path<String>,
    Form(input): Form<AlarmInput>,
) -> Result<Response, ApiError> {
    let alarm = number(&id)?;
    if let Some(comment) = written(&input.comment, "comment", LONGEST)? {
        let by = visit.me.user.clone();
        let command = Command::CommentAlarm { alarm, by, comment };
        input.once.send(&visit, command).await?;
    }
    Ok(input.once.go_back(&format!("/alarms/{id}")))
}
