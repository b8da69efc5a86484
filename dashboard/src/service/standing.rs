//! Who brought about what stands now, and when: told with a refusal, so that of two who pressed at once
//! the second one knows. Never guesses: what cannot be read is left out.

use crate::error::Standing;
use crate::ports::{AlarmRow, App, OrderEventRow, OrderRow};
use serde_json::{Value, json};
use std::time::Duration;
use zhiban_core::{AlarmId, Language, Snapshot, Text, Timestamp, WorkOrderNumber, WorkOrderStatus};

/// How long a refusal waits for what caused it to be recorded.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the snapshot shows what the facility already decided by.
async fn shown(app: &App, holds: impl Fn(&Snapshot) -> bool) {
    let mut snapshots = app.snapshot.clone();
    let seen = snapshots.wait_for(|snapshot| holds(snapshot));
    // Where it does not come, what is told is only less.
    drop(tokio::time::timeout(PATIENCE, seen).await);
}

/// Where an order stands, once it has this status.
pub(super) async fn of_status(
    app: &App,
    no: &WorkOrderNumber,
    status: WorkOrderStatus,
    before: Text,
) -> Standing {
    let is = |snapshot: &Snapshot| {
        let order = snapshot.work_orders.get(no);
        order.is_none_or(|order| order.status == status)
    };
    shown(app, is).await;
    let mut standing = of_order(app, no).await;
    if let Some(told) = &standing.told {
        let both = |language| format!("{} {}", before.get(language), told.get(language));
        standing.told = Some(Text::new(both(Language::ZhCn), both(Language::En)));
    }
    standing
}

/// Where an order stands, once it has at least this version.
pub(crate) async fn of_version(app: &App, no: &WorkOrderNumber, version: u32) -> Standing {
    let is = |snapshot: &Snapshot| {
        let order = snapshot.work_orders.get(no);
        order.is_none_or(|order| order.version >= version)
    };
    shown(app, is).await;
    of_order(app, no).await
}

/// Where an order stands since its last change, whatever that was, and whose it is.
pub(super) async fn of_change(app: &App, no: &WorkOrderNumber, version: u32) -> Standing {
    let mut standing = of_version(app, no, version).await;
    let Ok(Some((_, events))) = app.archive.work_order(no.clone()).await else {
        return standing;
    };
    let Some(last) = events.last().filter(|last| last.from == last.to) else {
        return standing;
    };
    if let Some(current) = standing.current.as_mut().and_then(Value::as_object_mut) {
        current.insert("by".to_owned(), json!(last.by));
        current.insert("at".to_owned(), json!(last.at.to_string()));
    }
    let (zh, en) = who(app, last.by.as_deref()).await;
    let at = clock(app, last.at);
    // What somebody wrote is on the order itself.
    let note = last.note.as_deref().filter(|_| last.change == "edited");
    let what = |language| {
        let change = crate::pages::change(&last.change, language);
        note.map_or(change.clone(), |note| format!("{change} {note}"))
    };
    let (what_zh, what_en) = (what(Language::ZhCn), what(Language::En));
    standing.told = Some(Text::new(
        format!("{zh}于 {at} 改过这张工单（{what_zh}）。请重新读取后再改。"),
        format!("{en} changed the order at {at} ({what_en}). Read it again first."),
    ));
    standing
}

/// Where an order stands, and who brought it there.
pub(super) async fn of_order(app: &App, no: &WorkOrderNumber) -> Standing {
    let Ok(Some((row, events))) = app.archive.work_order(no.clone()).await else {
        return Standing::default();
    };
    let snapshot = app.snapshot.borrow().clone();
    let order = snapshot.work_orders.get(no).unwrap_or(&row.order);
    let mut current = json!({
        "status": order.status.code(),
        "version": order.version,
        "assignee": order.assignee,
    });
    let moved = |event: &&OrderEventRow| {
        (event.change == "created" || event.from != event.to) && event.to == order.status.code()
    };
    let Some(last) = events.iter().rev().find(moved) else {
        return Standing {
            current: Some(current),
            told: None,
        };
    };
    if let Some(current) = current.as_object_mut() {
        current.insert("by".to_owned(), json!(last.by));
        current.insert("at".to_owned(), json!(last.at.to_string()));
    }
    Standing {
        current: Some(current),
        told: Some(told(app, &row, last).await),
    }
}

async fn told(app: &App, row: &OrderRow, last: &OrderEventRow) -> Text {
    let (zh, en) = who(app, last.by.as_deref()).await;
    let at = clock(app, last.at);
    let word = |code: &str, language| {
        let status = WorkOrderStatus::from_code(code);
        status.map_or_else(
            || code.to_owned(),
            |status| crate::pages::status(status, language),
        )
    };
    if last.to == WorkOrderStatus::Assigned.code() {
        let assignee = row.order.assignee.as_deref().unwrap_or_default();
        let assignee = name(app, assignee).await;
        return Text::new(
            format!("{zh}于 {at} 已将工单派给{assignee}。"),
            format!("{en} assigned the order to {assignee} at {at}."),
        );
    }
    let (from_zh, to_zh) = (
        word(&last.from, Language::ZhCn),
        word(&last.to, Language::ZhCn),
    );
    let (from_en, to_en) = (word(&last.from, Language::En), word(&last.to, Language::En));
    Text::new(
        format!("{zh}于 {at} 已将工单从“{from_zh}”改为“{to_zh}”。"),
        format!("{en} moved the order from \"{from_en}\" to \"{to_en}\" at {at}."),
    )
}

/// An alarm that is open and acknowledged.
pub(super) async fn of_acknowledged(app: &App, id: AlarmId, by: &str) -> Standing {
    let is = |snapshot: &Snapshot| {
        let alarm = snapshot.alarms.get(&id);
        alarm.is_none_or(|alarm| alarm.acknowledged_at.is_some())
    };
    shown(app, is).await;
    let alarm = app.snapshot.borrow().alarms.get(&id).cloned();
    let at = alarm.as_ref().and_then(|alarm| alarm.acknowledged_at);
    let title = alarm.map(|alarm| {
        let model = &app.snapshot.borrow().model;
        let asset = &model.asset(alarm.asset).code;
        titled(asset, &model.rule(alarm.rule).rule.title)
    });
    acknowledged(app, title, by, at).await
}

/// What an alarm is called: where it is and what it says.
fn titled(asset: &str, title: &Text) -> Text {
    let both = |language| format!("{asset} {}", title.get(language));
    Text::new(both(Language::ZhCn), both(Language::En))
}

/// An alarm that somebody shelved already.
pub(super) async fn of_shelved(app: &App, id: AlarmId, by: &str, until: Timestamp) -> Standing {
    let is = |snapshot: &Snapshot| {
        let alarm = snapshot.alarms.get(&id);
        alarm.is_none_or(|alarm| alarm.shelved_until.is_some())
    };
    shown(app, is).await;
    let (who, end) = (name(app, by).await, clock(app, until));
    Standing {
        current: Some(json!({ "shelved_by": by, "shelved_until": until.to_string() })),
        told: Some(Text::new(
            format!("{who}已搁置这条报警，到 {end} 为止。要改时间，先恢复再搁置。"),
            format!("{who} shelved this alarm until {end}. To change the time, unshelve it first."),
        )),
    }
}

/// An alarm that is not shelved, or not any more.
pub(super) async fn of_unshelved(app: &App, id: AlarmId) -> Standing {
    let is = |snapshot: &Snapshot| {
        let alarm = snapshot.alarms.get(&id);
        alarm.is_none_or(|alarm| alarm.shelved_until.is_none())
    };
    shown(app, is).await;
    let Ok(Some((_, events))) = app.archive.alarm(id).await else {
        return Standing::default();
    };
    let last = events
        .iter()
        .rev()
        .find(|event| event.change == "unshelved");
    let Some(last) = last else {
        return Standing::default();
    };
    let at = clock(app, last.at);
    let told = match &last.by {
        Some(by) => {
            let who = name(app, by).await;
            Text::new(
                format!("{who}已于 {at} 恢复这条报警。"),
                format!("{who} unshelved this alarm at {at}."),
            )
        }
        None => Text::new(
            format!("搁置时间已于 {at} 结束。"),
            format!("Its time of shelving was over at {at}."),
        ),
    };
    Standing {
        current: Some(json!({ "unshelved_by": last.by, "unshelved_at": last.at.to_string() })),
        told: Some(told),
    }
}

/// An entry that an order's record does not have: what was taken out of it last, and by whom.
pub(super) async fn of_taken_out(app: &App, no: &WorkOrderNumber, id: u32) -> Standing {
    let is = |snapshot: &Snapshot| {
        let order = snapshot.work_orders.get(no);
        order.is_none_or(|order| {
            order.parts.iter().all(|part| part.id != id)
                && order.photos.iter().all(|photo| photo.id != id)
        })
    };
    shown(app, is).await;
    let Ok(Some((_, events))) = app.archive.work_order(no.clone()).await else {
        return Standing::default();
    };
    let removed =
        |event: &&OrderEventRow| event.change == "part_removed" || event.change == "photo_removed";
    let Some(last) = events.iter().rev().find(removed) else {
        return Standing::default();
    };
    let (zh, en) = who(app, last.by.as_deref()).await;
    let at = clock(app, last.at);
    let part = last
        .note
        .as_deref()
        .filter(|_| last.change == "part_removed");
    let (what_zh, what_en) = match part {
        Some(part) => (format!("备件“{part}”"), format!("the part \"{part}\"")),
        None => ("一张照片".to_owned(), "a photo".to_owned()),
    };
    Standing {
        current: Some(json!({ "removed_by": last.by, "removed_at": last.at.to_string() })),
        told: Some(Text::new(
            format!("记录里已没有这一项。最近一次删除：{zh}于 {at} 删除了{what_zh}。"),
            format!(
                "It is not in the record any more. Taken out last: {what_en}, by {en} at {at}."
            ),
        )),
    }
}

/// An alarm that is over.
pub(super) async fn of_over(app: &App, row: &AlarmRow) -> Standing {
    let title = titled(&row.asset, &row.title);
    match &row.acknowledged_by {
        Some(by) => acknowledged(app, Some(title), by, row.acknowledged_at).await,
        None => Standing::default(),
    }
}

/// Names the alarm: by then another one may stand where it stood on the page.
async fn acknowledged(app: &App, title: Option<Text>, by: &str, at: Option<Timestamp>) -> Standing {
    let who = name(app, by).await;
    let title = title.unwrap_or_else(|| Text::new("这条报警", "This alarm"));
    let (zh, en) = (title.get(Language::ZhCn), title.get(Language::En));
    let (zh, en) = match at.map(|at| clock(app, at)) {
        Some(at) => (
            format!("{zh}已由{who}于 {at} 确认。"),
            format!("{en} was acknowledged by {who} at {at}."),
        ),
        None => (
            format!("{zh}已由{who}确认。"),
            format!("{en} was acknowledged by {who}."),
        ),
    };
    let at = at.map(|at| at.to_string());
    Standing {
        current: Some(json!({ "acknowledged_by": by, "acknowledged_at": at })),
        told: Some(Text::new(zh, en)),
    }
}

/// Who did something, in both languages.
async fn who(app: &App, by: Option<&str>) -> (String, String) {
    match by {
        Some(by) => {
            let name = name(app, by).await;
            (name.clone(), name)
        }
        None => ("网关".to_owned(), "The gateway".to_owned()),
    }
}

async fn name(app: &App, user: &str) -> String {
    let people = app.accounts.people().await.unwrap_or_default();
    let known = people.into_iter().find(|one| one.user == user);
    known
        .map(|one| one.display_name)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| user.to_owned())
}

/// The site's time of day, with the day when it is not today's.
fn clock(app: &App, at: Timestamp) -> String {
    let zone = app.snapshot.borrow().model.site.time_zone;
    let (at, now) = (
        at.to_utc().with_timezone(&zone),
        (app.now)().to_utc().with_timezone(&zone),
    );
    let same_day = at.date_naive() == now.date_naive();
    let form = if same_day {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    at.format(form).to_string()
}
