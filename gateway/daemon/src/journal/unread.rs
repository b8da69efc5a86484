//! Records that a start cannot read: each is set aside whole, with all that belongs to it, so that it
//! neither keeps the gateway from starting nor costs what was recorded beside it.
//!
//! They are in `set-aside.jsonl` before they leave the tables, and are written again like refused ones.

use super::aside::{self, Refused};
use super::cell::{Cell, Table, bind, query};
use super::read::Reader;
use super::write::{ALARM, ALARM_EVENT, POINT, Rows, WORK_ORDER, WORK_ORDER_EVENT, order_number};
use super::{JournalError, Store, check, record};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::str::FromStr;
use zhiban_core::{Timestamp, WorkOrderNumber};

/// A table and the column by which its rows belong to a record.
type Belongs = (Table, &'static str);

const OF_ALARM: [Belongs; 2] = [(ALARM, "id"), (ALARM_EVENT, "alarm")];
const OF_ORDER: [Belongs; 4] = [
    (WORK_ORDER, "id"),
    (WORK_ORDER_EVENT, "work_order"),
    (record::PART, "work_order"),
    (record::PHOTO, "work_order"),
];
const OF_POINT: [Belongs; 1] = [(POINT, "key")];

/// Sets an alarm aside that cannot be read.
pub(super) async fn alarm(
    store: &Store,
    row: &AnyRow,
    why: &JournalError,
    at: Timestamp,
) -> Result<(), JournalError> {
    let id = Reader::new(ALARM.name, row).int("id")?;
    set_aside(store, &OF_ALARM, id.into(), why, at).await
}

/// Sets an order aside that cannot be read. Returns its number, which no other order may get; `None` when
/// nothing that is left of it says one of up to today.
pub(super) async fn order(
    store: &Store,
    id: i64,
    no: Option<&str>,
    why: &JournalError,
    at: Timestamp,
) -> Result<Option<WorkOrderNumber>, JournalError> {
    set_aside(store, &OF_ORDER, id.into(), why, at).await?;
    let by_no = no.and_then(|no| WorkOrderNumber::from_str(no).ok());
    let tomorrow = chrono::DateTime::from_timestamp_millis(at.millis()).unwrap_or_default()
        + chrono::TimeDelta::days(1);
    let newest = tomorrow.format("%Y%m%d").to_string().parse::<u32>();
    let newest = newest.unwrap_or_default();
    Ok([order_number(id), by_no]
        .into_iter()
        .flatten()
        .filter(|no| no.day <= newest)
        .max())
}

/// Sets the last value of a point aside that cannot be read.
pub(super) async fn point(
    store: &Store,
    key: String,
    why: &JournalError,
    at: Timestamp,
) -> Result<(), JournalError> {
    set_aside(store, &OF_POINT, key.into(), why, at).await
}

async fn set_aside(
    store: &Store,
    tables: &[Belongs],
    key: Cell,
    why: &JournalError,
    at: Timestamp,
) -> Result<(), JournalError> {
    tracing::error!(
        why = why.chain(),
        "a record cannot be read and is set aside"
    );
    let mut transaction = store.begin().await?;
    let mut rows = Vec::new();
    for (table, column) in tables {
        let sql = format!(
            "select {} from {} where {column} = $1",
            table.columns, table.name
        );
        let found = bind(query(sql), key.clone());
        let found = found.fetch_all(&mut *transaction).await?;
        let found: Option<Vec<Vec<Cell>>> = found.iter().map(cells).collect();
        let found = found.ok_or_else(|| check::damaged(store.file(), &why.chain()))?;
        if !found.is_empty() {
            rows.push(Rows {
                table: *table,
                rows: found,
            });
        }
    }
    for (table, column) in tables.iter().rev() {
        let sql = format!("delete from {} where {column} = $1", table.name);
        let gone = bind(query(sql), key.clone());
        gone.execute(&mut *transaction).await?;
    }
    let refused = Refused {
        at,
        rows,
        why: why.chain(),
    };
    aside::append(store.file(), &[refused])
        .map_err(JournalError::unwritable(&aside::file(store.file())))?;
    Ok(transaction.commit().await?)
}

/// A row as it stands; `None` when even its values cannot be had.
fn cells(row: &AnyRow) -> Option<Vec<Cell>> {
    (0..row.len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &AnyRow, index: usize) -> Option<Cell> {
    if let Ok(number) = row.try_get::<Option<i64>, _>(index) {
        return Some(Cell::Int(number));
    }
    if let Ok(text) = row.try_get::<Option<String>, _>(index) {
        return Some(Cell::Text(text));
    }
    if let Ok(number) = row.try_get::<f64, _>(index) {
        return Some(Cell::Text(Some(number.to_string())));
    }
    row.try_get::<Vec<u8>, _>(index).ok().map(Cell::Bytes)
}
