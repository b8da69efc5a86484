//! Records that the record store refuses are set aside, so that they hold up no other.
//!
//! They are written to `set-aside.jsonl`, one line each, before anybody is told that they are
//! kept. A line is only removed when its rows are in the record store.

use super::cell::Cell;
use super::files::{sync_folder, with};
use super::write::{REPLAYED, Rows};
use super::{JournalError, Store};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zhiban_core::Timestamp;

/// The file beside the record store.
pub(crate) fn file(database: &Path) -> PathBuf {
    database.with_file_name("set-aside.jsonl")
}

/// How many records are set aside.
pub(crate) fn count(database: &Path) -> usize {
    // One that cannot be read at all holds something, too.
    read(database).map_or(1, |lines| lines.len())
}

/// What is set aside, a line each: when, what and why.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn list(database: &Path) -> io::Result<Vec<String>> {
    let line = |line: &[u8]| {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            let begin: String = String::from_utf8_lossy(line).chars().take(60).collect();
            return format!("a line that cannot be read; correct it by hand: {begin}…");
        };
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        format!("{}  {}  {}", text("at"), text("what"), text("why"))
    };
    Ok(read(database)?.iter().map(|one| line(one)).collect())
}

/// The lines as they are: one that is damaged costs no other.
fn read(database: &Path) -> io::Result<Vec<Vec<u8>>> {
    match std::fs::read(file(database)) {
        Ok(bytes) => Ok(bytes
            .split(|byte| *byte == b'\n')
            .filter(|one| !one.is_empty())
            .map(<[u8]>::to_vec)
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// One refused record.
pub(super) struct Refused {
    pub(super) at: Timestamp,
    pub(super) rows: Vec<Rows>,
    pub(super) why: String,
}

impl Refused {
    fn line(&self) -> String {
        let tables: Vec<&str> = self.rows.iter().map(|rows| rows.table.name).collect();
        let rows: Vec<Value> = self.rows.iter().map(as_json).collect();
        let at = chrono::DateTime::from_timestamp_millis(self.at.millis()).unwrap_or_default();
        json!({
            "at": at.to_rfc3339(),
            "what": tables.join(", "),
            "why": self.why,
            "rows": rows,
        })
        .to_string()
    }
}

/// Writes them down; they are on disk when this returns.
pub(super) fn append(database: &Path, refused: &[Refused]) -> io::Result<()> {
    let path = file(database);
    let mut to = File::options().create(true).append(true).open(&path)?;
    let mut text = String::new();
    // What a power cut left half-written stays a line of its own.
    if std::fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n')) {
        text.push('\n');
    }
    for one in refused {
        text += &one.line();
        text.push('\n');
    }
    to.write_all(text.as_bytes())?;
    to.sync_all()?;
    sync_folder(&path)
}

/// Tries again to write what is set aside. Returns how many were written and how many are left.
///
/// # Errors
/// The record store or the file cannot be written.
pub(crate) async fn replay(store: &Store) -> Result<(usize, usize), JournalError> {
    let path = file(store.file());
    let unwritable = JournalError::unwritable(&path);
    let lines = read(store.file()).map_err(unwritable)?;
    let mut left = Vec::new();
    let mut written = 0;
    for line in &lines {
        match replay_one(store, line).await {
            Ok(()) => written += 1,
            Err(error) if error.is_of_a_record() => {
                tracing::warn!(error = error.chain(), "a record is refused again");
                left.push(line.as_slice());
            }
            Err(error) => return Err(error),
        }
    }
    if written > 0 {
        let new = with(&path, ".new");
        let mut bytes = left.join(&b'\n');
        if !left.is_empty() {
            bytes.push(b'\n');
        }
        let renewed = File::create(&new).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            sync_folder(&path)
        });
        renewed.map_err(unwritable)?;
    }
    Ok((written, left.len()))
}

async fn replay_one(store: &Store, line: &[u8]) -> Result<(), JournalError> {
    let wrong = |what: &str| JournalError::Row {
        table: "set-aside.jsonl",
        key: "a line".to_owned(),
        what: what.to_owned(),
    };
    let value: Value = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
    let mut transaction = store.begin().await?;
    for rows in value["rows"].as_array().into_iter().flatten() {
        let name = rows["table"].as_str().unwrap_or_default();
        let table = REPLAYED.iter().find(|table| table.name == name);
        let table = table.ok_or_else(|| wrong(&format!("there is no table {name}")))?;
        if rows["columns"] != table.columns {
            return Err(wrong("it was written by another version of this program"));
        }
        let cells = rows["cells"].as_array().into_iter().flatten();
        let cells: Option<Vec<Vec<Cell>>> = cells.map(row_of).collect();
        let cells = cells.ok_or_else(|| wrong("a value is of no known kind"))?;
        table.insert(&mut transaction, &cells).await?;
    }
    Ok(transaction.commit().await?)
}

fn as_json(rows: &Rows) -> Value {
    let cell = |cell: &Cell| match cell {
        Cell::Int(number) => json!(number),
        Cell::Text(text) => json!({ "text": text }),
        Cell::Bytes(bytes) => json!({ "bytes": bytes }),
    };
    let row = |row: &Vec<Cell>| row.iter().map(cell).collect::<Value>();
    json!({
        "table": rows.table.name,
        "columns": rows.table.columns,
        "cells": rows.rows.iter().map(row).collect::<Value>(),
    })
}

fn row_of(row: &Value) -> Option<Vec<Cell>> {
    row.as_array()?.iter().map(cell_of).collect()
}

fn cell_of(cell: &Value) -> Option<Cell> {
    if cell.is_null() {
        return Some(Cell::Int(None));
    }
    if let Some(number) = cell.as_i64() {
        return Some(Cell::Int(Some(number)));
    }
    if let Some(text) = cell.get("text") {
        return Some(Cell::Text(text.as_str().map(str::to_owned)));
    }
    let bytes = cell.get("bytes")?.as_array()?.iter();
    let byte = |byte: &Value| u8::try_from(byte.as_u64()?).ok();
    bytes
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .map(Cell::Bytes)
}
