//! Values on their way into SQL, and the one way to insert many rows with few statements.
//!
//! Placeholders are `$1` and flags are 0 or 1, which both SQLite and PostgreSQL understand.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use std::fmt::Write;
use zhiban_core::Timestamp;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Int(Some(number))
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Cell::Int(Some(number.into()))
    }
}

impl From<Option<u32>> for Cell {
    fn from(number: Option<u32>) -> Self {
        Cell::Int(number.map(i64::from))
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Cell::Int(Some(flag.into()))
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Cell::Int(Some(at.millis()))
    }
}

impl From<Option<Timestamp>> for Cell {
    fn from(at: Option<Timestamp>) -> Self {
        Cell::Int(at.map(Timestamp::millis))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(Some(text.to_owned()))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(Some(text))
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Cell::Text(text)
    }
}

impl From<&Option<String>> for Cell {
    fn from(text: &Option<String>) -> Self {
        Cell::Text(text.clone())
    }
}

/// A table that rows are inserted into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The columns, with commas between.
    pub(crate) columns: &'static str,
    /// What happens when the row is there already; empty lets it fail.
    pub(crate) conflict: &'static str,
}

/// How many rows one statement takes: few different statements, each prepared once.
const CHUNKS: [usize; 3] = [64, 8, 1];

impl Table {
    /// Inserts every row, in order.
    pub(crate) async fn insert(
        &self,
        connection: &mut AnyConnection,
        rows: &[Vec<Cell>],
    ) -> Result<(), sqlx::Error> {
        let mut rest = rows;
        while !rest.is_empty() {
            let size = CHUNKS.into_iter().find(|size| *size <= rest.len());
            let (chunk, after) = rest.split_at(size.unwrap_or(1).min(rest.len()));
            rest = after;
            let mut query = query(self.statement(chunk.len()));
            for cell in chunk.iter().flatten() {
                query = bind(query, cell.clone());
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Has the insert understood without carrying it out.
    pub(crate) async fn rehearse(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let explained = query(format!("explain query plan {}", self.statement(1)));
        explained.fetch_all(connection).await.map(drop)
    }

    fn statement(&self, rows: usize) -> String {
        let width = self.columns.split(',').count();
        let mut sql = format!("insert into {} ({}) values ", self.name, self.columns);
        for row in 0..rows {
            let separator = if row == 0 { "(" } else { ", (" };
            sql.push_str(separator);
            for column in 1..=width {
                let comma = if column == 1 { "" } else { ", " };
                // Writing into a string cannot fail.
                write!(sql, "{comma}${}", row * width + column).unwrap_or_default();
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(self.conflict);
        sql
    }
}

/// A query whose text is made of constants and placeholders only.
pub(crate) fn query(sql: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(sql))
}

pub(crate) fn bind(
    query: Query<'static, Any, AnyArguments>,
    cell: Cell,
) -> Query<'static, Any, AnyArguments> {
    match cell {
        Cell::Int(number) => query.bind(number),
        Cell::Text(text) => query.bind(text),
        Cell::Bytes(bytes) => query.bind(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through_all_rows() {
        let table = Table {
            name: "t",
            columns: "a, b",
            conflict: "on conflict do nothing",
        };
        assert_eq!(
            table.statement(2),
            "insert into t (a, b) values ($1, $2), ($3, $4) on conflict do nothing"
        );
    }
}
