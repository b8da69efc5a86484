//! Rows back into records.
//!
//! A row that cannot be read is an error that names it, never a guess.

use super::{Journal, JournalError};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::str::FromStr;
use zhiban_core::alarm::rule::ClosePolicy;
use zhiban_core::work_order::{Repair, WorkOrderKind};
use zhiban_core::{
    Alarm, AlarmId, AlarmState, AssetId, Duration, Model, Place, Priority, Text, Timestamp, Value,
    WorkOrder, WorkOrderNumber, WorkOrderStatus,
};
use zhiban_dashboard::ports::{AlarmEventRow, AlarmRow, OrderEventRow, OrderRow, Reached, ToldRow};

/// Reads columns of one row and says which one is wrong.
pub(crate) struct Reader<'a> {
    table: &'static str,
    row: &'a AnyRow,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(table: &'static str, row: &'a AnyRow) -> Self {
        Self { table, row }
    }

    pub(crate) fn wrong(&self, column: &str, what: &dyn std::fmt::Display) -> JournalError {
        let key = self.row.try_get::<i64, _>("id").map(|id| id.to_string());
        let key = key.or_else(|_| self.row.try_get::<String, _>("id"));
        JournalError::Row {
            table: self.table,
            key: key.unwrap_or_else(|_| "?".to_owned()),
            what: format!("{column}: {what}"),
        }
    }

    pub(crate) fn maybe_int(&self, column: &str) -> Result<Option<i64>, JournalError> {
        let read = self.row.try_get::<Option<i64>, _>(column);
        read.map_err(|error| self.wrong(column, &error))
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, JournalError> {
        let read = self.maybe_int(column)?;
        read.ok_or_else(|| self.wrong(column, &"no value"))
    }

    pub(crate) fn small(&self, column: &str) -> Result<u32, JournalError> {
        u32::try_from(self.int(column)?).map_err(|error| self.wrong(column, &error))
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, JournalError> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>, JournalError> {
        let read = self.row.try_get::<Option<String>, _>(column);
        read.map_err(|error| self.wrong(column, &error))
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, JournalError> {
        let read = self.maybe_text(column)?;
        read.ok_or_else(|| self.wrong(column, &"no value"))
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, JournalError> {
        let read = self.row.try_get::<Vec<u8>, _>(column);
        read.map_err(|error| self.wrong(column, &error))
    }

    pub(crate) fn at(&self, column: &str) -> Result<Timestamp, JournalError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub(crate) fn maybe_at(&self, column: &str) -> Result<Option<Timestamp>, JournalError> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_millis))
    }

    pub(crate) fn title(&self) -> Result<Text, JournalError> {
        Ok(Text::new(self.text("title_zh")?, self.text("title_en")?))
    }

    pub(crate) fn priority(&self) -> Result<Priority, JournalError> {
        let number = u8::try_from(self.int("priority")?).unwrap_or(0);
        Priority::try_from(number).map_err(|what| self.wrong("priority", &what))
    }

    /// A column that holds a stable name or a number in its usual writing.
    pub(crate) fn parsed<T>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, JournalError> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| self.wrong(column, &format!("\"{text}\" has no meaning here")))
    }

    /// Where a fault is, from JSON.
    pub(crate) fn place(&self) -> Result<Option<Place>, JournalError> {
        let text = self.maybe_text("place")?;
        let place = text.map(|text| serde_json::from_str(&text));
        place
            .transpose()
            .map_err(|error| self.wrong("place", &error))
    }

    pub(crate) fn maybe_order(
        &self,
        column: &str,
    ) -> Result<Option<WorkOrderNumber>, JournalError> {
        match self.maybe_text(column)? {
            None => Ok(None),
            Some(text) => match WorkOrderNumber::from_str(&text) {
                Ok(no) => Ok(Some(no)),
                Err(error) => Err(self.wrong(column, &error)),
            },
        }
    }

    pub(crate) fn alarm_id(&self, column: &str) -> Result<AlarmId, JournalError> {
        let id = u64::try_from(self.int(column)?);
        id.map(AlarmId).map_err(|error| self.wrong(column, &error))
    }
}

impl Journal {
    /// The alarm of a row; `None` when its asset or its rule is no longer configured.
    pub(super) fn configured_alarm(&self, row: &AnyRow) -> Result<Option<Alarm>, JournalError> {
        let read = Reader::new("alarm", row);
        let asset = self.model.asset_by_code(&read.text("asset")?);
        let name = read.text("rule")?;
        let rule = asset.and_then(|asset| self.model.rule_by_name(asset, &name));
        let (Some(asset), Some(rule)) = (asset, rule) else {
            return Ok(None);
        };
        Ok(Some(Alarm {
            id: read.alarm_id("id")?,
            rule,
            asset,
            priority: read.priority()?,
            active: read.flag("active")?,
            latched: read.flag("latched")?,
            raised_at: read.at("raised_at")?,
            raised_value: raised_value(&read)?,
            returned_at: read.maybe_at("returned_at")?,
            acknowledged_at: read.maybe_at("acknowledged_at")?,
            acknowledged_by: read.maybe_text("acknowledged_by")?,
            comment: read.maybe_text("comment")?,
            shelved_until: read.maybe_at("shelved_until")?,
            shelved_by: read.maybe_text("shelved_by")?,
            suppressed_by: read.maybe_text("suppressed_by")?,
            out_of_service: read.flag("out_of_service")?,
            work_order: read.maybe_order("work_order")?,
            place: read.place()?,
        }))
    }
}

pub(super) fn alarm_row(row: &AnyRow) -> Result<AlarmRow, JournalError> {
    let read = Reader::new("alarm", row);
    Ok(AlarmRow {
        id: read.alarm_id("id")?,
        rule: read.text("rule")?,
        asset: read.text("asset")?,
        priority: read.priority()?,
        state: read.parsed("state", AlarmState::from_code)?,
        title: read.title()?,
        raised_at: read.at("raised_at")?,
        raised_value: raised_value(&read)?,
        returned_at: read.maybe_at("returned_at")?,
        acknowledged_at: read.maybe_at("acknowledged_at")?,
        acknowledged_by: read.maybe_text("acknowledged_by")?,
        comment: read.maybe_text("comment")?,
        shelved_until: read.maybe_at("shelved_until")?,
        work_order: read.maybe_order("work_order")?,
        place: read.place()?,
    })
}

pub(super) fn alarm_event_row(row: &AnyRow) -> Result<AlarmEventRow, JournalError> {
    let read = Reader::new("alarm_event", row);
    Ok(AlarmEventRow {
        at: read.at("at")?,
        by: read.maybe_text("by_whom")?,
        change: read.text("change")?,
        from: read.text("from_state")?,
        to: read.text("to_state")?,
        note: read.maybe_text("note")?,
        place: read.place()?,
    })
}

pub(super) fn order_event_row(row: &AnyRow) -> Result<OrderEventRow, JournalError> {
    let read = Reader::new("work_order_event", row);
    Ok(OrderEventRow {
        only_account: read.flag("only_account")?,
        at: read.at("at")?,
        recorded_at: read.maybe_at("recorded_at")?,
        by: read.maybe_text("by_whom")?,
        change: read.text("change")?,
        from: read.text("from_status")?,
        to: read.text("to_status")?,
        note: read.maybe_text("note")?,
        place: read.place()?,
    })
}

/// Whom one message was for, by what it went, and what became of it.
pub(super) fn told_row(row: &AnyRow) -> Result<ToldRow, JournalError> {
    let read = Reader::new("notification", row);
    let reached = match read.maybe_text("status")?.as_deref() {
        None => Reached::Nobody,
        Some("pending") => Reached::Waits,
        Some("sent") => Reached::Accepted,
        Some(_) => Reached::GivenUp,
    };
    Ok(ToldRow {
        at: read.at("at")?,
        reason: read.text("reason")?,
        person: read.maybe_text("person")?,
        channel: read.maybe_text("channel")?,
        reached,
        attempts: read
            .maybe_int("attempts")?
            .map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        last_at: read.maybe_at("last_at")?,
        error: read.maybe_text("error")?,
    })
}

/// The order of a row, without its parts and photos; whether its asset is still configured is for the caller to ask.
pub(super) fn order_row(model: &Model, row: &AnyRow) -> Result<OrderRow, JournalError> {
    let read = Reader::new("work_order", row);
    let code = read.text("asset")?;
    let asset = model.asset_by_code(&code);
    let rule = match (asset, read.maybe_text("rule")?) {
        (Some(asset), Some(name)) => model.rule_by_name(asset, &name),
        (None, _) | (_, None) => None,
    };
    let order = WorkOrder {
        no: read.parsed("no", |text| text.parse().ok())?,
        kind: read.parsed("kind", WorkOrderKind::from_code)?,
        status: read.parsed("status", WorkOrderStatus::from_code)?,
        priority: read.priority()?,
        asset: asset.unwrap_or(AssetId(u32::MAX)),
        rule,
        title: read.title()?,
        fault_family: read.text("fault_family")?,
        alarms: read.parsed("alarms", numbers)?,
        occurrences: read.small("occurrences")?,
        assignee: read.maybe_text("assignee")?,
        completed_by: read.maybe_text("completed_by")?,
        reported_by: read.maybe_text("reported_by")?,
        close: read.parsed("close_policy", close_policy)?,
        created_at: read.at("created_at")?,
        limit: read.maybe_int("limit_ms")?.map(Duration::from_millis),
        due_at: read.maybe_at("due_at")?,
        due_left: read.maybe_int("due_left")?.map(Duration::from_millis),
        escalate_at: read.maybe_at("escalate_at")?,
        recovered_at: read.maybe_at("recovered_at")?,
        reopened_at: read.maybe_at("reopened_at")?,
        closed_at: read.maybe_at("closed_at")?,
        repair: Repair {
            problem: read.maybe_text("problem")?,
            cause: read.maybe_text("cause")?,
            remedy: read.maybe_text("remedy")?,
            labor_minutes: read
                .maybe_int("labor_minutes")?
                .and_then(|n| u32::try_from(n).ok()),
        },
        parts: Vec::new(),
        photos: Vec::new(),
        version: read.small("version")?,
        place: read.place()?,
    };
    Ok(OrderRow { order, asset: code })
}

fn numbers(text: &str) -> Option<Vec<AlarmId>> {
    text.split_whitespace()
        .map(|one| one.parse().ok())
        .collect()
}

fn raised_value(read: &Reader) -> Result<Option<Value>, JournalError> {
    match read.maybe_text("raised_value")? {
        None => Ok(None),
        Some(_) => read.parsed("raised_value", value_of_text).map(Some),
    }
}

/// The value of a text made by `value_text`.
pub(super) fn value_of_text(text: &str) -> Option<Value> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "f" => rest.parse().ok().map(Value::Flag),
        "i" => rest.parse().ok().map(Value::Integer),
        "n" => rest.parse().ok().map(Value::Number),
        "t" => Some(Value::Text(rest.into())),
        _ => None,
    }
}

fn close_policy(code: &str) -> Option<ClosePolicy> {
    let all = [ClosePolicy::Never, ClosePolicy::Verify, ClosePolicy::Auto];
    all.into_iter()
        .find(|one| super::write::close_code(*one) == code)
}
