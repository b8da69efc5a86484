//! What a step writes: one transaction, all of it or nothing.
//!
//! An alarm or an order that changed several times in a step is written once, as it is at the
//! end; its events are all written.

use super::archive::{ANSWER, answer_row};
use super::aside::Refused;
use super::cell::{Cell, Table, query};
use super::{DeadLetter, InboxKey, Journal, JournalError, OutboxEntry, Step, aside, check, record};
use sqlx::{AnyConnection, Connection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use zhiban_core::alarm::rule::ClosePolicy;
use zhiban_core::notification::Audience;
use zhiban_core::{
    Alarm, AlarmId, AlarmTransition, Duration, Effect, Model, Notification, Place, PointId,
    Timestamp, Value, WorkOrder, WorkOrderEvent, WorkOrderNumber,
};

/// A dead letter keeps this much of its message.
const DEAD_LETTER_BYTES: usize = 64 * 1024;
/// Dead letters are kept up to this many and this many bytes; the oldest go first.
const DEAD_LETTERS: (i64, i64) = (10_000, 16 * 1024 * 1024);
/// So many may come before the oldest are looked for.
const DEAD_LETTERS_SLACK: u64 = 256;

pub(super) const WORK_ORDER: Table = Table {
    name: "work_order",
    columns: "id, no, kind, status, priority, asset, rule, title_zh, title_en, fault_family, \
        alarms, occurrences, assignee, reported_by, close_policy, created_at, due_at, \
        escalate_at, recovered_at, closed_at, problem, cause, remedy, labor_minutes, version, \
        place, completed_by, reopened_at, limit_ms, due_left",
    // A rule that is no longer configured is not known here, but was when the order was made.
    conflict: "on conflict (id) do update set status = excluded.status, \
        priority = excluded.priority, rule = coalesce(excluded.rule, work_order.rule), \
        title_zh = excluded.title_zh, title_en = excluded.title_en, alarms = excluded.alarms, \
        occurrences = excluded.occurrences, assignee = excluded.assignee, \
        close_policy = excluded.close_policy, due_at = excluded.due_at, \
        escalate_at = excluded.escalate_at, recovered_at = excluded.recovered_at, closed_at = excluded.closed_at, \
        problem = excluded.problem, cause = excluded.cause, remedy = excluded.remedy, \
        labor_minutes = excluded.labor_minutes, version = excluded.version, \
        place = excluded.place, completed_by = excluded.completed_by, \
        reopened_at = excluded.reopened_at, limit_ms = excluded.limit_ms, \
        due_left = excluded.due_left",
};

pub(super) const WORK_ORDER_EVENT: Table = Table {
    name: "work_order_event",
    columns: "work_order, version, at, recorded_at, by_whom, change, from_status, to_status, note, \
        place, only_account",
    conflict: "",
};

pub(super) const ALARM: Table = Table {
    name: "alarm",
    columns: "id, asset, rule, title_zh, title_en, priority, active, latched, raised_at, \
        raised_value, returned_at, acknowledged_at, acknowledged_by, comment, shelved_until, \
        shelved_by, suppressed_by, out_of_service, work_order, place",
    conflict: "on conflict (id) do update set active = excluded.active, \
        latched = excluded.latched, raised_at = excluded.raised_at, \
        raised_value = excluded.raised_value, returned_at = excluded.returned_at, \
        acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by, \
        comment = excluded.comment, shelved_until = excluded.shelved_until, \
        shelved_by = excluded.shelved_by, suppressed_by = excluded.suppressed_by, \
        out_of_service = excluded.out_of_service, work_order = excluded.work_order, \
        place = excluded.place",
};

pub(super) const ALARM_EVENT: Table = Table {
    name: "alarm_event",
    columns: "alarm, at, by_whom, change, from_state, to_state, note, place",
    conflict: "",
};

const NOTIFICATION: Table = Table {
    name: "notification",
    columns: "id, reason, person, priority, life_safety, asset, rule, alarm, work_order, \
        title_zh, title_en, at, signal, raised_at, returned_at, danger, place, note, respond_by, \
        due_at, due_left, reopened_at",
    conflict: "on conflict (id) do nothing",
};

const OUTBOX: Table = Table {
    name: "outbox",
    columns: "notification, channel, life_safety, urgency, status, attempts, created_at, due_at",
    conflict: "on conflict (notification, channel) do nothing",
};

pub(super) const POINT: Table = Table {
    name: "point",
    columns: "key, value, at",
    conflict: "on conflict (key) do update set value = excluded.value, at = excluded.at",
};

const INBOX: Table = Table {
    name: "inbox",
    columns: "at, hash",
    conflict: "",
};

const DEAD_LETTER: Table = Table {
    name: "dead_letter",
    columns: "at, size, link, topic, reason, payload",
    conflict: "",
};

impl Journal {
    /// Makes a step durable: everything of it, in one transaction. When this returns, it
    /// survives a kill, a crash and a power cut.
    ///
    /// # Errors
    /// Nothing of the step is written; the same step may be given again.
    pub async fn commit(&self, step: &Step) -> Result<(), JournalError> {
        if step.is_empty() {
            return Ok(());
        }
        self.store.in_room(|| self.try_commit(step)).await
    }

    async fn try_commit(&self, step: &Step) -> Result<(), JournalError> {
        let mut connection = self.store.writer().await?;
        let written = self.write(&mut connection, step).await;
        if written.is_err() {
            // SQLite may have ended the transaction by itself, and what this connection believes
            // of the file may be wrong: the next one reads anew.
            drop(connection.close().await);
        }
        written
    }

    async fn write(&self, connection: &mut AnyConnection, step: &Step) -> Result<(), JournalError> {
        let mut transaction = connection.begin_with("begin immediate").await?;
        self.write_rows(&mut transaction, step).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn write_rows(&self, to: &mut AnyConnection, step: &Step) -> Result<(), JournalError> {
        if let Some(by) = step.clock_set {
            move_waiting(to, by).await?;
        }
        for rows in self.rows(step) {
            if rows.table.name == WORK_ORDER_EVENT.name {
                record::forget(to, &edited(step)).await?;
            }
            rows.table.insert(to, &rows.rows).await?;
        }
        self.count_dead_letters(to, step.dead_letters.len()).await
    }

    /// Makes a step durable record by record: one that the store refuses is set aside, so that it
    /// holds up no other. Returns how many are set aside.
    ///
    /// # Errors
    /// Nothing of the step is written, and the reason is none of a single record.
    pub async fn commit_apart(&self, step: &Step) -> Result<usize, JournalError> {
        self.store.in_room(|| self.try_commit_apart(step)).await
    }

    async fn try_commit_apart(&self, step: &Step) -> Result<usize, JournalError> {
        let mut connection = self.store.writer().await?;
        let written = self.write_apart(&mut connection, step).await;
        if written.is_err() {
            drop(connection.close().await);
        }
        written
    }

    async fn write_apart(
        &self,
        connection: &mut AnyConnection,
        step: &Step,
    ) -> Result<usize, JournalError> {
        let mut transaction = connection.begin_with("begin immediate").await?;
        let mut refused = Vec::new();
        for part in parts(step) {
            let mut nested = transaction.begin().await?;
            match self.write_rows(&mut nested, &part).await {
                Ok(()) => nested.commit().await?,
                Err(error) if error.is_of_a_record() => {
                    nested.rollback().await?;
                    refused.push(Refused {
                        at: part.at,
                        rows: self.rows(&part),
                        why: error.chain(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        if !refused.is_empty() {
            let database = self.store.file();
            aside::append(database, &refused)
                .map_err(JournalError::unwritable(&aside::file(database)))?;
        }
        transaction.commit().await?;
        Ok(refused.len())
    }

    /// Whether every table takes what is written to it: a name that is damaged is found at the start,
    /// not by each commit.
    pub(super) async fn rehearse(&self) -> Result<(), JournalError> {
        let mut connection = self.store.readers().acquire().await?;
        for table in [
            WORK_ORDER,
            WORK_ORDER_EVENT,
            ALARM,
            ALARM_EVENT,
            NOTIFICATION,
            OUTBOX,
            POINT,
            INBOX,
            DEAD_LETTER,
            ANSWER,
            record::PART,
            record::PHOTO,
        ] {
            let rehearsed = table.rehearse(&mut connection).await;
            rehearsed.map_err(|error| {
                if JournalError::is_of_a_name(&error) {
                    let what = format!("table {} is not what it was: {error}", table.name);
                    return check::damaged(self.store.file(), &what);
                }
                JournalError::from(error)
            })?;
        }
        Ok(())
    }

    /// All rows of a step in the order in which they may be written.
    fn rows(&self, step: &Step) -> Vec<Rows> {
        let sorted = Sorted::of(&step.records);
        let mut all = Vec::new();
        let mut add = |table, rows: Vec<Vec<Cell>>| {
            if !rows.is_empty() {
                all.push(Rows { table, rows });
            }
        };
        let orders = sorted.orders.values();
        add(WORK_ORDER, orders.map(|one| self.order_row(one)).collect());
        let events = sorted.order_events.iter();
        add(
            WORK_ORDER_EVENT,
            events.map(|one| order_event_row(one)).collect(),
        );
        for no in &sorted.edited {
            if let Some(order) = sorted.orders.get(no) {
                add(record::PART, record::part_rows(order));
                add(record::PHOTO, record::photo_rows(order));
            }
        }
        let alarms = sorted.alarms.values();
        add(ALARM, alarms.map(|one| self.alarm_row(one)).collect());
        let events = sorted.alarm_events.iter();
        add(
            ALARM_EVENT,
            events.map(|one| alarm_event_row(one)).collect(),
        );
        let told = sorted.notifications.values();
        let told = told.map(|one| notification_row(&self.model, one));
        add(NOTIFICATION, told.collect());
        add(OUTBOX, outbox_rows(&step.outbox, &sorted));
        let received = step.inbox.iter();
        add(INBOX, received.map(|key| inbox_row(key, step.at)).collect());
        add(POINT, self.point_rows(step));
        let letters = step.dead_letters.iter();
        let letters = letters.map(|letter| dead_letter_row(letter, step.at));
        add(DEAD_LETTER, letters.collect());
        let answers = step.answers.iter();
        let answers = answers.map(|(key, answer)| answer_row(key, answer, step.at));
        add(ANSWER, answers.collect());
        all
    }

    /// The last value of each point of a step: a row may stand only once in a statement.
    fn point_rows(&self, step: &Step) -> Vec<Vec<Cell>> {
        let points = step.points.iter();
        let last: BTreeMap<_, _> = points
            .map(|(point, value, at)| (*point, (value, *at)))
            .collect();
        let row = |(point, (value, at)): (PointId, (&Value, Timestamp))| {
            let key = self.model.point(point).key.to_string();
            vec![key.into(), value_text(value).into(), at.into()]
        };
        last.into_iter().map(row).collect()
    }

    /// Now and then the oldest dead letters go.
    async fn count_dead_letters(
        &self,
        to: &mut AnyConnection,
        more: usize,
    ) -> Result<(), JournalError> {
        if more == 0 {
            return Ok(());
        }
        let come = self.dead_letters.fetch_add(more as u64, Ordering::Relaxed);
        if come + more as u64 >= DEAD_LETTERS_SLACK {
            drop_oldest_dead_letters(to).await?;
            self.dead_letters.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn alarm_row(&self, alarm: &Alarm) -> Vec<Cell> {
        let rule = &self.model.rule(alarm.rule).rule;
        vec![
            id_cell(alarm.id),
            self.model.asset(alarm.asset).code.as_str().into(),
            rule.id.as_str().into(),
            rule.title.zh.as_str().into(),
            rule.title.en.as_str().into(),
            u32::from(alarm.priority.number()).into(),
            alarm.active.into(),
            alarm.latched.into(),
            alarm.raised_at.into(),
            alarm.raised_value.as_ref().map(value_text).into(),
            alarm.returned_at.into(),
            alarm.acknowledged_at.into(),
            (&alarm.acknowledged_by).into(),
            (&alarm.comment).into(),
            alarm.shelved_until.into(),
            (&alarm.shelved_by).into(),
            (&alarm.suppressed_by).into(),
            alarm.out_of_service.into(),
            alarm.work_order.as_ref().map(ToString::to_string).into(),
            place_cell(alarm.place.as_ref()),
        ]
    }

    fn order_row(&self, order: &WorkOrder) -> Vec<Cell> {
        let alarms: Vec<String> = order.alarms.iter().map(ToString::to_string).collect();
        let rule = order.rule.map(|rule| self.model.rule(rule).rule.id.clone());
        vec![
            order_id(&order.no).into(),
            order.no.to_string().into(),
            order.kind.code().into(),
            order.status.code().into(),
            u32::from(order.priority.number()).into(),
            self.model.asset(order.asset).code.as_str().into(),
            rule.into(),
            order.title.zh.as_str().into(),
            order.title.en.as_str().into(),
            order.fault_family.as_str().into(),
            alarms.join(" ").into(),
            order.occurrences.into(),
            (&order.assignee).into(),
            (&order.reported_by).into(),
            close_code(order.close).into(),
            order.created_at.into(),
            order.due_at.into(),
            order.escalate_at.into(),
            order.recovered_at.into(),
            order.closed_at.into(),
            (&order.repair.problem).into(),
            (&order.repair.cause).into(),
            (&order.repair.remedy).into(),
            order.repair.labor_minutes.into(),
            order.version.into(),
            place_cell(order.place.as_ref()),
            (&order.completed_by).into(),
            order.reopened_at.into(),
            Cell::Int(order.limit.map(Duration::millis)),
            Cell::Int(order.due_left.map(Duration::millis)),
        ]
    }
}

/// Rows of one table.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: Table,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The tables that records set aside are written to later: a row that came there since stays.
pub(super) const REPLAYED: [Table; 12] = [
    first_stays(WORK_ORDER),
    first_stays(WORK_ORDER_EVENT),
    first_stays(record::PART),
    first_stays(record::PHOTO),
    first_stays(ALARM),
    first_stays(ALARM_EVENT),
    first_stays(NOTIFICATION),
    first_stays(OUTBOX),
    first_stays(POINT),
    first_stays(INBOX),
    first_stays(DEAD_LETTER),
    first_stays(ANSWER),
];

const fn first_stays(table: Table) -> Table {
    Table {
        name: table.name,
        columns: table.columns,
        conflict: "on conflict do nothing",
    }
}

/// The orders of a step whose parts or photos changed.
fn edited(step: &Step) -> Vec<&WorkOrderNumber> {
    let edits = step.records.iter().filter_map(|record| match record {
        Effect::WorkOrder(event) if event.change.edits_record() => Some(&event.order.no),
        Effect::WorkOrder(_) | Effect::Alarm(_) | Effect::Notify(_) => None,
    });
    edits.collect()
}

/// A step cut into what can be written without the rest, in the same order.
fn parts(step: &Step) -> Vec<Step> {
    let part = || Step {
        at: step.at,
        ..Step::default()
    };
    // First, so that what the step itself brings is not moved as well.
    let set = step.clock_set.is_some().then(|| Step {
        clock_set: step.clock_set,
        ..part()
    });
    let mut parts = Vec::from_iter(set);
    for record in &step.records {
        let mut one = part();
        if let Effect::Notify(notification) = record {
            let of_it = |entry: &&OutboxEntry| entry.notification == notification.id;
            one.outbox = step.outbox.iter().filter(of_it).cloned().collect();
        }
        one.records.push(record.clone());
        parts.push(one);
    }
    parts.extend(step.points.iter().map(|point| Step {
        points: vec![point.clone()],
        ..part()
    }));
    parts.extend(step.dead_letters.iter().map(|letter| Step {
        dead_letters: vec![letter.clone()],
        ..part()
    }));
    parts.extend(step.answers.iter().map(|answer| Step {
        answers: vec![answer.clone()],
        ..part()
    }));
    parts.push(Step {
        inbox: step.inbox.clone(),
        ..part()
    });
    parts
}

/// The records of a step by what they are; of each alarm and order the last one.
///
/// Ordered by number: an older occurrence is over before the next one of its rule is open.
struct Sorted<'a> {
    alarms: BTreeMap<AlarmId, &'a Alarm>,
    alarm_events: Vec<&'a AlarmTransition>,
    orders: BTreeMap<&'a WorkOrderNumber, &'a WorkOrder>,
    order_events: Vec<&'a WorkOrderEvent>,
    /// Orders whose parts or photos changed.
    edited: BTreeSet<&'a WorkOrderNumber>,
    notifications: BTreeMap<&'a str, &'a Notification>,
}

impl<'a> Sorted<'a> {
    fn of(records: &'a [Effect]) -> Self {
        let mut sorted = Self {
            alarms: BTreeMap::new(),
            alarm_events: Vec::new(),
            orders: BTreeMap::new(),
            order_events: Vec::new(),
            edited: BTreeSet::new(),
            notifications: BTreeMap::new(),
        };
        for record in records {
            match record {
                Effect::Alarm(transition) => {
                    sorted.alarms.insert(transition.alarm.id, &transition.alarm);
                    sorted.alarm_events.push(transition);
                }
                Effect::WorkOrder(event) => {
                    sorted.orders.insert(&event.order.no, &event.order);
                    sorted.order_events.push(event);
                    if event.change.edits_record() {
                        sorted.edited.insert(&event.order.no);
                    }
                }
                Effect::Notify(notification) => {
                    sorted.notifications.insert(&notification.id, notification);
                }
            }
        }
        sorted
    }
}

/// The clock was set: what waits with a time of its own waits as long as it would have, and who is
/// signed in stays so.
async fn move_waiting(to: &mut AnyConnection, by: Duration) -> Result<(), JournalError> {
    for sql in [
        "update outbox set created_at = created_at + $1, due_at = due_at + $1 \
         where status = 'pending'",
        "update session set created_at = created_at + $1, seen_at = seen_at + $1",
        "update setup set created_at = created_at + $1",
    ] {
        let moved = sqlx::query(sql).bind(by.millis());
        moved.execute(&mut *to).await?;
    }
    Ok(())
}

fn order_event_row(event: &WorkOrderEvent) -> Vec<Cell> {
    vec![
        order_id(&event.order.no).into(),
        event.order.version.into(),
        event.at.into(),
        event.recorded_at.into(),
        (&event.by).into(),
        event.change.code().into(),
        event.from.code().into(),
        event.to.code().into(),
        (&event.note).into(),
        place_cell(event.order.place.as_ref()),
        event.only_account.into(),
    ]
}

fn alarm_event_row(transition: &AlarmTransition) -> Vec<Cell> {
    vec![
        id_cell(transition.alarm.id),
        transition.at.into(),
        (&transition.by).into(),
        transition.change.code().into(),
        transition.from.code().into(),
        transition.to.code().into(),
        (&transition.note).into(),
        place_cell(transition.alarm.place.as_ref()),
    ]
}

fn notification_row(model: &Model, notification: &Notification) -> Vec<Cell> {
    let person = match &notification.audience {
        Audience::Person(person) => Some(person.clone()),
        Audience::Crew => None,
    };
    let rule = notification
        .rule
        .map(|rule| model.rule(rule).rule.id.clone());
    vec![
        notification.id.as_str().into(),
        notification.reason.code().into(),
        person.into(),
        u32::from(notification.priority.number()).into(),
        notification.life_safety.into(),
        model.asset(notification.asset).code.as_str().into(),
        rule.into(),
        notification.alarm.map_or(Cell::Int(None), id_cell),
        notification
            .work_order
            .as_ref()
            .map(ToString::to_string)
            .into(),
        notification.title.zh.as_str().into(),
        notification.title.en.as_str().into(),
        notification.at.into(),
        notification
            .incident
            .signal
            .map(|one| one.code().to_owned())
            .into(),
        notification.incident.raised_at.into(),
        notification.incident.returned_at.into(),
        notification
            .incident
            .danger
            .map(|one| one.code().to_owned())
            .into(),
        place_cell(notification.incident.place.as_ref()),
        (&notification.note).into(),
        notification.respond_by.into(),
        notification.due_at.into(),
        Cell::Int(notification.due_left.map(Duration::millis)),
        notification.reopened_at.into(),
    ]
}

/// An entry without its notification could never be sent, and would make the step fail for ever.
fn outbox_rows(entries: &[OutboxEntry], sorted: &Sorted) -> Vec<Vec<Cell>> {
    let row = |entry: &OutboxEntry| {
        let Some(about) = sorted.notifications.get(entry.notification.as_str()) else {
            tracing::error!(notification.id = %entry.notification, "an outbox entry has no notification");
            return None;
        };
        Some(vec![
            entry.notification.as_str().into(),
            entry.channel.as_str().into(),
            about.life_safety.into(),
            u32::from(about.urgency()).into(),
            "pending".into(),
            0_i64.into(),
            about.at.into(),
            about.at.into(),
        ])
    };
    entries.iter().filter_map(row).collect()
}

fn inbox_row(key: &InboxKey, at: Timestamp) -> Vec<Cell> {
    vec![at.into(), Cell::Bytes(key.hash.to_vec())]
}

fn dead_letter_row(letter: &DeadLetter, at: Timestamp) -> Vec<Cell> {
    let kept = letter.payload.iter().copied().take(DEAD_LETTER_BYTES);
    let payload: Vec<u8> = kept.collect();
    vec![
        at.into(),
        i64::try_from(payload.len()).unwrap_or(i64::MAX).into(),
        letter.link.as_str().into(),
        letter.topic.as_str().into(),
        letter.reason.as_str().into(),
        Cell::Bytes(payload),
    ]
}

async fn drop_oldest_dead_letters(to: &mut AnyConnection) -> Result<(), JournalError> {
    let newest = "select id, size from dead_letter order by id desc";
    let (mut count, mut bytes, mut last_kept) = (0, 0, None);
    for row in sqlx::query(newest).fetch_all(&mut *to).await? {
        count += 1;
        bytes += row.try_get::<i64, _>("size")?;
        if count > DEAD_LETTERS.0 || bytes > DEAD_LETTERS.1 {
            break;
        }
        last_kept = Some(row.try_get::<i64, _>("id")?);
    }
    let sql = "delete from dead_letter where id < $1".to_owned();
    let gone = query(sql)
        .bind(last_kept)
        .execute(to)
        .await?
        .rows_affected();
    if gone > 0 {
        metrics::counter!("zhiban_dead_letters_dropped_total").increment(gone);
    }
    Ok(())
}

/// So many keys of orders there are to a day.
const ORDERS_A_DAY: i64 = 10_000_000;

/// The key of an order: grows with its number, so that newest first is largest first.
pub(super) fn order_id(no: &WorkOrderNumber) -> i64 {
    i64::from(no.day) * ORDERS_A_DAY + i64::from(no.sequence)
}

/// The number of an order by its key; `None` when it is the key of none.
pub(super) fn order_number(id: i64) -> Option<WorkOrderNumber> {
    let day = u32::try_from(id.div_euclid(ORDERS_A_DAY)).ok()?;
    let sequence = u32::try_from(id.rem_euclid(ORDERS_A_DAY)).ok()?;
    Some(WorkOrderNumber { day, sequence })
}

fn id_cell(id: AlarmId) -> Cell {
    i64::try_from(id.0).unwrap_or(i64::MAX).into()
}

/// A place as JSON; a text that holds no place is never written.
fn place_cell(place: Option<&Place>) -> Cell {
    place
        .and_then(|place| serde_json::to_string(place).ok())
        .into()
}

/// A value as one text that is read back to the same value.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Flag(flag) => format!("f:{flag}"),
        Value::Integer(number) => format!("i:{number}"),
        Value::Number(number) => format!("n:{number:?}"),
        Value::Text(text) => format!("t:{text}"),
    }
}

pub(super) fn close_code(policy: ClosePolicy) -> &'static str {
    match policy {
        ClosePolicy::Never => "never",
        ClosePolicy::Verify => "verify",
        ClosePolicy::Auto => "auto",
    }
}
