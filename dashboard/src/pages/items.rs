//! Alarms and orders as lists show them, from the snapshot or from the archive.
//!
//! Names people, never user names, where a name is known.

use super::frame::Visit;
use super::said::Said;
use super::show::{Symbol, When, value_with_unit};
use crate::ports::{AlarmRow, OrderRow};
use zhiban_core::{
    Alarm, AlarmState, Duration, Timestamp, WorkOrder, WorkOrderNumber, WorkOrderStatus,
};

/// One alarm.
pub(crate) struct AlarmItem {
    pub(crate) id: String,
    pub(crate) symbol: Symbol,
    /// The fault now, the alarm's state, its time.
    pub(crate) said: Said,
    pub(crate) title: String,
    pub(crate) asset: String,
    pub(crate) asset_name: String,
    /// Where the fault is, as far as its values say.
    pub(crate) spot: String,
    /// Where the asset stands.
    pub(crate) place: String,
    pub(crate) value: String,
    pub(crate) acknowledged: Option<When>,
    pub(crate) acknowledged_by: String,
    pub(crate) comment: String,
    pub(crate) shelved_until: Option<When>,
    pub(crate) order: Option<OrderRef>,
    /// Whether it waits to be acknowledged.
    pub(crate) waits: bool,
}

/// The order an alarm belongs to.
pub(crate) struct OrderRef {
    pub(crate) no: String,
    pub(crate) short: String,
    pub(crate) status: String,
    pub(crate) assignee: String,
    /// It was completed or closed before, and is open again.
    pub(crate) reopened: bool,
    /// Until when somebody must have accepted it.
    pub(crate) respond: Option<Due>,
    pub(crate) limit: Limit,
}

impl OrderRef {
    fn new(visit: &Visit, no: &WorkOrderNumber) -> Self {
        let words = visit.words();
        let order = visit.snapshot.work_orders.get(no);
        let over = || words.t("orders.over");
        let assignee = order.and_then(|one| one.assignee.as_deref());
        Self {
            no: no.to_string(),
            short: short_no(&no.to_string()),
            status: order.map_or_else(over, |one| words.code("status", one.status.code())),
            assignee: assignee.map_or_else(String::new, |user| visit.person(user)),
            reopened: order.is_some_and(|one| one.reopened_at.is_some()),
            respond: order.and_then(|one| Due::to_accept(visit, one)),
            limit: order.map_or_else(Limit::default, |one| Limit::of(visit, one)),
        }
    }
}

impl AlarmItem {
    /// An open alarm.
    pub(crate) fn live(visit: &Visit, alarm: &Alarm) -> Self {
        let model = &visit.snapshot.model;
        let bound = model.rule(alarm.rule);
        let (code, _, _) = visit.asset_line(alarm.asset);
        let row = AlarmRow {
            id: alarm.id,
            rule: bound.rule.id.clone(),
            asset: code,
            priority: alarm.priority,
            state: alarm.state(),
            title: bound.rule.title.clone(),
            raised_at: alarm.raised_at,
            raised_value: alarm.raised_value.clone(),
            returned_at: alarm.returned_at,
            acknowledged_at: alarm.acknowledged_at,
            acknowledged_by: alarm.acknowledged_by.clone(),
            comment: alarm.comment.clone(),
            shelved_until: alarm.shelved_until,
            work_order: alarm.work_order.clone(),
            place: alarm.place.clone(),
        };
        Self::record(visit, &row)
    }

    /// An alarm from the archive.
    pub(crate) fn record(visit: &Visit, row: &AlarmRow) -> Self {
        let words = visit.words();
        let model = &visit.snapshot.model;
        let asset = model.asset_by_code(&row.asset);
        let (_, asset_name, place) =
            asset.map_or_else(Default::default, |asset| visit.asset_line(asset));
        let point = asset
            .and_then(|asset| model.rule_by_name(asset, &row.rule))
            .map(|rule| &model.rule(rule).points)
            .filter(|points| points.len() == 1)
            .and_then(|points| points.first().copied());
        let state = row.state_now(&visit.snapshot);
        let waits = matches!(
            state,
            AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
        );
        // With several points the value alone would not say whose it is.
        let value = row.raised_value.as_ref().zip(point);
        let value = value.map(|(value, id)| value_with_unit(words, value, model.point(id)));
        let said = Said::new(
            visit,
            row.signal(&visit.snapshot),
            state,
            row.raised_at,
            row.returned_at,
        );
        let order = row.work_order.as_ref();
        let mut order = order.map(|no| OrderRef::new(visit, no));
        // One that nobody watches is not among the open ones, and not over for that.
        if let Some(order) = order
            .as_mut()
            .filter(|_| said.signal == zhiban_core::Signal::Unknown.code())
            && !row.is_configured(&visit.snapshot)
        {
            order.status.clear();
        }
        Self {
            id: row.id.to_string(),
            symbol: Symbol::new(words, row.priority, waits).hollow(!said.stands),
            said,
            title: row.title.get(words.0).to_owned(),
            asset: row.asset.clone(),
            asset_name,
            spot: visit.spot(row.place.as_ref()),
            place,
            value: value.unwrap_or_default(),
            acknowledged: row.acknowledged_at.map(|at| visit.times.when(at)),
            acknowledged_by: row
                .acknowledged_by
                .as_deref()
                .map_or_else(String::new, |user| visit.person(user)),
            comment: row.comment.clone().unwrap_or_default(),
            shelved_until: row.shelved_until.map(|at| visit.times.when(at)),
            order,
            waits,
        }
    }
}

/// One order.
pub(crate) struct OrderItem {
    pub(crate) no: String,
    pub(crate) short: String,
    pub(crate) title: String,
    pub(crate) asset: String,
    pub(crate) asset_name: String,
    /// Where the fault is, as far as its values say.
    pub(crate) spot: String,
    /// Where the asset stands.
    pub(crate) place: String,
    /// The status as forms send it.
    pub(crate) status: &'static str,
    pub(crate) status_word: String,
    pub(crate) assignee: String,
    /// The user name of the assignee, as forms send it.
    pub(crate) assigned_to: String,
    pub(crate) symbol: Symbol,
    pub(crate) created: When,
    /// Until when the work must be completed.
    pub(crate) limit: Limit,
    /// It was completed or closed before, and is open again.
    pub(crate) reopened: bool,
    pub(crate) recovered: bool,
    pub(crate) over: bool,
}

/// The time limit of an order.
pub(crate) struct Due {
    pub(crate) at: When,
    /// `剩 27 分 19 秒`, or how late it is.
    pub(crate) left: String,
    /// Less than a quarter of an hour is left, or none.
    pub(crate) hot: bool,
}

impl Due {
    /// Until when somebody must have accepted an order.
    pub(crate) fn to_accept(visit: &Visit, order: &WorkOrder) -> Option<Self> {
        order.escalate_at.map(|limit| Self::until(visit, limit))
    }

    /// A limit at a time.
    pub(crate) fn until(visit: &Visit, limit: Timestamp) -> Self {
        let now = visit.times.now;
        let at = visit.times.when(limit);
        let late = now > limit;
        let key = if late { "span.over" } else { "span.left" };
        Self {
            left: visit.words().with(key, &[("age", &at.age)]),
            hot: limit.since(now).millis() < 15 * 60_000,
            at,
        }
    }
}

/// The time limit until which the work of an order must be completed.
#[derive(Default)]
pub(crate) struct Limit {
    /// While its clock runs.
    pub(crate) due: Option<Due>,
    /// That it stands on hold, and what is left.
    pub(crate) held: String,
    /// The same in few words.
    pub(crate) held_short: String,
    /// Whether the work was completed in time: after that there is no limit.
    pub(crate) done: String,
    /// Of an order without such a limit: until when somebody must take it, and what that is called.
    pub(crate) respond: Option<Due>,
    pub(crate) respond_label: String,
    /// That nobody took it by then.
    pub(crate) untaken: String,
}

impl Limit {
    pub(crate) fn of(visit: &Visit, order: &WorkOrder) -> Self {
        if order.status.is_over() {
            return Self::default();
        }
        let words = visit.words();
        let due = order.due_at.map(|limit| Due::until(visit, limit));
        let Some(left) = order.due_left else {
            let waits = due.is_none() && order.waits_for_somebody();
            let respond = Due::to_accept(visit, order).filter(|_| waits);
            let untaken = waits && respond.is_none();
            return Self {
                due,
                respond,
                respond_label: words.t("orders.respond"),
                untaken: match untaken {
                    true => words.t("orders.untaken"),
                    false => String::new(),
                },
                ..Self::default()
            };
        };
        let age = visit.times.span(left.millis().unsigned_abs());
        let say = |key: &str| words.with(key, &[("age", &age)]);
        let late = left < Duration::ZERO;
        match (order.status, late) {
            (WorkOrderStatus::OnHold, false) => Self {
                held: say("order.held_left"),
                held_short: say("orders.held_left"),
                ..Self::default()
            },
            (WorkOrderStatus::OnHold, true) => Self {
                held: say("order.held_late"),
                held_short: say("orders.held_late"),
                ..Self::default()
            },
            (_, false) => Self {
                done: say("order.done_in_time"),
                ..Self::default()
            },
            (_, true) => Self {
                done: say("order.done_late"),
                ..Self::default()
            },
        }
    }
}

impl OrderItem {
    /// An open order.
    pub(crate) fn live(visit: &Visit, order: &WorkOrder) -> Self {
        let asset = visit.asset_line(order.asset);
        Self::new(visit, order, asset)
    }

    /// An order from the archive.
    pub(crate) fn record(visit: &Visit, row: &OrderRow) -> Self {
        let asset = visit.snapshot.model.asset_by_code(&row.asset);
        let line = asset.map_or_else(
            || (row.asset.clone(), String::new(), String::new()),
            |asset| visit.asset_line(asset),
        );
        Self::new(visit, &row.order, line)
    }

    fn new(visit: &Visit, order: &WorkOrder, asset: (String, String, String)) -> Self {
        let words = visit.words();
        let no = order.no.to_string();
        let over = order.status.is_over();
        Self {
            short: short_no(&no),
            no,
            title: order.title.get(words.0).to_owned(),
            asset: asset.0,
            asset_name: asset.1,
            spot: visit.spot(order.place.as_ref()),
            place: asset.2,
            status: order.status.code(),
            assigned_to: order.assignee.clone().unwrap_or_default(),
            status_word: words.code("status", order.status.code()),
            assignee: order
                .assignee
                .as_deref()
                .map_or_else(String::new, |user| visit.person(user)),
            symbol: Symbol::new(words, order.priority, false).hollow(order.recovered_at.is_some()),
            created: visit.times.when(order.created_at),
            limit: Limit::of(visit, order),
            reopened: order.reopened_at.is_some(),
            recovered: order.recovered_at.is_some() && !over,
            over,
        }
    }
}

/// `018` of `WO-20261123-018`: what people say aloud on the day itself.
pub(crate) fn short_no(no: &str) -> String {
    no.rsplit('-').next().unwrap_or(no).to_owned()
}

/// Whether somebody still has to be found for an order.
pub(crate) fn is_unassigned(status: WorkOrderStatus) -> bool {
    matches!(
        status,
        WorkOrderStatus::Requested | WorkOrderStatus::Approved
    )
}

/// Whether the work was called done, and somebody must look whether it is.
pub(crate) fn is_to_verify(order: &WorkOrder) -> bool {
    matches!(
        order.status,
        WorkOrderStatus::Completed | WorkOrderStatus::Verified
    )
}
