//! Reads InfluxDB's annotated CSV into rows by column name. It must never guess a type: a field
//! stays the text that the server sent.

use std::collections::BTreeMap;

/// One record: column name to text. Columns without a name are left out.
pub(crate) type Row = BTreeMap<String, String>;

/// All records of all tables of an annotated CSV answer.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut header: Option<Vec<String>> = None;
    for record in records(text) {
        let first = record.first().map_or("", String::as_str);
        if record.len() == 1 && first.is_empty() {
            header = None;
        } else if first.starts_with('#') {
            // A table without an empty line before it starts with its annotations.
            header = None;
        } else if let Some(names) = &header {
            let named = names.iter().cloned().zip(record);
            rows.push(named.filter(|(name, _)| !name.is_empty()).collect());
        } else {
            header = Some(record);
        }
    }
    rows
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            '"' => quoted = !quoted,
            _ if quoted => field.push(letter),
            ',' => record.push(std::mem::take(&mut field)),
            '\r' => {}
            '\n' => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(letter),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}
