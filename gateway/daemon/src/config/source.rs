//! Reads one TOML file into a type and finds every fault on the way, not only the first.
//!
//! A wrong entry is reported, left out, and the rest read again; so that what stays can still be
//! checked. The places of all entries are kept for later checks. Nothing is ever repaired silently.

use super::fault::{Fault, Severity};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};
use zhiban_core::text;

/// More faults than anybody reads; beyond it a file is given up.
const MOST_FAULTS: usize = 100;

/// A text in both languages.
const BOTH: &str = "{ zh = \"…\", en = \"…\" }";

/// What the parser says of a key given twice, and of a choice that is none.
const TWICE: &str = "duplicate key";
const CHOOSE: &str = "wanted exactly 1 element";

/// A TOML file with the places of its entries.
pub(crate) struct Document<'t> {
    file: PathBuf,
    text: &'t str,
    table: Spanned<DeTable<'t>>,
    /// How many entries each table and list at the root had before any was left out.
    counts: BTreeMap<String, usize>,
    distorted: bool,
    /// What was left out: the place of its table, and its key.
    left_out: Vec<(Range<usize>, String)>,
}

/// Reads `text`, as if it stood in `file`. Every fault goes to `faults`; `None` when too little is
/// left to make a `T` of.
pub(crate) fn read<'t, T: DeserializeOwned>(
    file: &Path,
    text: &'t str,
    faults: &mut Vec<Fault>,
) -> Option<(T, Document<'t>)> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut document = Document {
        file: file.to_owned(),
        text,
        counts: counts(table.get_ref()),
        table,
        distorted: false,
        left_out: Vec::new(),
    };
    if !errors.is_empty() {
        faults.extend(document.wide_characters());
    }
    for error in &errors {
        let (what, remedy) = explain(error.message());
        let span = error.span().unwrap_or(0..0);
        let fault = document.fault_at(span, what, remedy);
        // What a full-width character does to the rest of its line is its doing.
        if !faults
            .iter()
            .any(|one| one.file == fault.file && one.line == fault.line)
        {
            faults.push(fault);
        }
    }
    // After a fault of TOML itself the rest is guesswork; a key given twice is not.
    if errors.iter().any(|error| error.message() != TWICE) {
        return None;
    }
    for _ in 0..MOST_FAULTS {
        let error = match T::deserialize(Deserializer::from(document.table.clone())) {
            Ok(value) => return Some((value, document)),
            Err(error) => error,
        };
        let (span, message) = (error.span().unwrap_or(0..0), error.message());
        let caused = match quoted_after(message, "missing field ") {
            Some(key) => document.left_out.contains(&(span.clone(), key.to_owned())),
            None if message.starts_with(CHOOSE) => {
                document.left_out.iter().any(|(at, _)| *at == span)
            }
            None => false,
        };
        if !caused {
            let (what, remedy) = explain(message);
            faults.push(document.fault_at(span.clone(), what, remedy));
        }
        document.distorted |= !message.starts_with("unknown field ");
        let root = document.table.span();
        let table = document.table.get_mut();
        let left_out = leave_out_of_table(table, &root, &span)?;
        document.left_out.push(left_out);
    }
    None
}

/// The text of a file, which must be in UTF-8.
///
/// # Errors
/// The file cannot be read, or is in another encoding.
pub(crate) fn text_of(path: &Path) -> Result<String, Fault> {
    let bytes = std::fs::read(path).map_err(|error| Fault::unreadable(path, &error))?;
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let valid = error.utf8_error().valid_up_to();
    let bytes = error.into_bytes();
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let in_line = before.rsplit('\n').next().unwrap_or_default();
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let encoding = if wide {
        "UTF-16"
    } else {
        "another encoding, such as GBK"
    };
    Err(Fault {
        severity: Severity::Error,
        file: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: in_line.chars().count() + 1,
        what: format!("what stands here is no UTF-8: the file is in {encoding}"),
        remedy: "save it as UTF-8".to_owned(),
    })
}

/// A text that was read without a fault, to find places in it.
pub(crate) fn open<'t>(file: &Path, text: &'t str) -> Document<'t> {
    let (table, _) = DeTable::parse_recoverable(text);
    Document {
        file: file.to_owned(),
        text,
        counts: counts(table.get_ref()),
        table,
        distorted: false,
        left_out: Vec::new(),
    }
}

/// Characters that a Chinese keyboard makes where a plain one is meant.
fn is_wide(c: char) -> bool {
    text::narrow(c).is_some()
}

/// The first full-width character of a line that is in no text and no remark.
fn wide_in(line: &str) -> Option<(usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' => return None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if is_wide(c) => return Some((at, c)),
            None => {}
        }
    }
    None
}

/// What a full-width character is called, and what to write instead.
fn full_width(wide: char) -> (String, String) {
    let narrow = text::narrow(wide).unwrap_or(wide);
    let (what, remedy) = if narrow == ' ' {
        (
            "a full-width space (全角空格)".to_owned(),
            "write a plain space".to_owned(),
        )
    } else {
        (
            format!("\"{wide}\" is a full-width character (全角字符)"),
            format!("write {narrow} with the keyboard set to English"),
        )
    };
    (what, remedy)
}

fn counts(table: &DeTable<'_>) -> BTreeMap<String, usize> {
    let count = |value: &DeValue<'_>| {
        let table = value.as_table().map(|table| table.len());
        table
            .or(value.as_array().map(|list| list.len()))
            .unwrap_or(1)
    };
    table
        .iter()
        .map(|(key, value)| (key.get_ref().clone().into_owned(), count(value.get_ref())))
        .collect()
}

impl Document<'_> {
    /// Whether entries of a known name had to be left out, so that what is missing may be their doing.
    pub(crate) fn is_distorted(&self) -> bool {
        self.distorted
    }

    /// Whether something of a table or list at the root had to be left out.
    pub(crate) fn lost(&self, key: &str) -> bool {
        counts(self.table.get_ref()).get(key) != self.counts.get(key)
    }

    /// Whether this key of the table at `path`, which ends with a place in a list, was left out for its fault.
    pub(crate) fn was_left_out(&self, path: &[String], key: &str) -> bool {
        let place = self.locate(path);
        self.left_out
            .iter()
            .any(|(table, left)| *table == place && left == key)
    }

    /// A fault of the entry at `path`, keys and positions from the root; of the nearest one
    /// around it when there is no such entry.
    pub(crate) fn fault(
        &self,
        path: &[String],
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Fault {
        self.fault_at(self.locate(path), what.into(), remedy.into())
    }

    /// The first full-width character of each line that stands outside of texts and remarks, where
    /// TOML has none.
    fn wide_characters(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some((at, wide)) = wide_in(line) {
                let (what, remedy) = full_width(wide);
                found.push(self.fault_at(start + at..start + at + wide.len_utf8(), what, remedy));
            }
            start += line.len();
        }
        found
    }

    fn fault_at(&self, span: Range<usize>, what: String, remedy: String) -> Fault {
        let wide = what.chars().find(|c| is_wide(*c));
        let remedy = match wide {
            Some(wide) if !what.contains("full-width") => {
                format!("{remedy}; {}", full_width(wide).0)
            }
            _ => remedy,
        };
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Fault {
            severity: Severity::Error,
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            what,
            remedy,
        }
    }

    fn locate(&self, path: &[String]) -> Range<usize> {
        let mut span = 0..0;
        let mut steps = path.iter();
        let Some((key, mut value)) = steps
            .next()
            .and_then(|step| self.table.get_ref().get_key_value(step.as_str()))
        else {
            return span;
        };
        if !matches!(value.get_ref(), DeValue::Array(_)) || path.len() == 1 {
            span = key.span();
        }
        for step in steps {
            match value.get_ref() {
                DeValue::Table(table) => {
                    let Some((key, next)) = table.get_key_value(step.as_str()) else {
                        return span;
                    };
                    (span, value) = (key.span(), next);
                }
                DeValue::Array(list) => {
                    let Some(next) = step.parse().ok().and_then(|at: usize| list.get(at)) else {
                        return span;
                    };
                    (span, value) = (next.span(), next);
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => return span,
            }
        }
        span
    }
}

/// Takes the deepest entry with exactly this place out; says of which table, and its key.
fn leave_out_of_table(
    table: &mut DeTable<'_>,
    place: &Range<usize>,
    span: &Range<usize>,
) -> Option<(Range<usize>, String)> {
    for (_, value) in table.iter_mut() {
        let inner = value.span();
        if let Some(done) = leave_out_of_value(value.get_mut(), &inner, span) {
            return Some(done);
        }
    }
    let here = |key: &Spanned<_>, value: &Spanned<_>| key.span() == *span || value.span() == *span;
    let key = table
        .iter()
        .find(|(key, value)| here(key, value))?
        .0
        .clone();
    table.remove(&key);
    Some((place.clone(), key.into_inner().into_owned()))
}

fn leave_out_of_value(
    value: &mut DeValue<'_>,
    place: &Range<usize>,
    span: &Range<usize>,
) -> Option<(Range<usize>, String)> {
    match value {
        DeValue::Table(table) => leave_out_of_table(table, place, span),
        DeValue::Array(list) => {
            for value in list.iter_mut() {
                let inner = value.span();
                if let Some(done) = leave_out_of_value(value.get_mut(), &inner, span) {
                    return Some(done);
                }
            }
            let count = list.len();
            let kept = list.iter().filter(|value| value.span() != *span);
            *list = kept.cloned().collect();
            (list.len() < count).then(|| (place.clone(), String::new()))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

/// What the parser says, in the words of this project: what is wrong, and what to write instead.
fn explain(message: &str) -> (String, String) {
    let message = message.lines().next().unwrap_or_default();
    if let Some(key) = quoted_after(message, "unknown field ") {
        if ["write", "writes", "writable", "command", "control"].contains(&key) {
            return (
                format!("\"{key}\" is not allowed: Zhiban only reads"),
                "take it out; life-safety equipment is never commanded from here".to_owned(),
            );
        }
        return (
            format!("key \"{key}\" is not known here"),
            choice(message, key),
        );
    }
    if let Some(key) = quoted_after(message, "unknown variant ") {
        return (format!("\"{key}\" is not known here"), choice(message, key));
    }
    if let Some(key) = quoted_after(message, "missing field ") {
        return (
            format!("\"{key}\" is missing"),
            format!("add {key} = {}", sample(key)),
        );
    }
    if let Some(key) = quoted_after(message, "duplicate field ") {
        return (format!("\"{key}\" is given twice"), "keep one".to_owned());
    }
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        let rest = message.strip_prefix(start);
        if let Some((found, wanted)) = rest.and_then(|rest| rest.split_once(", expected ")) {
            let (found, wanted) = (found.replace('`', ""), plain_type(wanted));
            if found == "map" && wanted.contains("list") {
                let what = "a single table can't stand here";
                return (
                    what.to_owned(),
                    "write its name in two brackets on each side, as in [[asset]]".to_owned(),
                );
            }
            return (
                format!("{found} can't stand here"),
                format!("write {wanted}"),
            );
        }
    }
    if message.starts_with("data did not match any variant") {
        let remedy = "write true, false, a number or a text in quotes";
        return (
            "a value of this kind can't stand here".to_owned(),
            remedy.to_owned(),
        );
    }
    if message.starts_with("string values must be quoted") {
        let what = "a word without quotes can't stand here";
        let remedy = "write true or false, a number, or a text in quotes";
        return (what.to_owned(), remedy.to_owned());
    }
    if message.starts_with(CHOOSE) {
        let what = "exactly one kind must be chosen here";
        return (what.to_owned(), "keep one key, or add one".to_owned());
    }
    if message == TWICE {
        let remedy = "keep one, or give the other its own name";
        return ("this key is given twice".to_owned(), remedy.to_owned());
    }
    match message.split_once("; ") {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (message.to_owned(), "correct what stands here".to_owned()),
    }
}

/// How a value of a key may look.
fn sample(key: &str) -> &'static str {
    match key {
        "name" | "title" | "cause" | "consequence" | "action" => BOTH,
        "zh" | "en" => "\"…\"",
        "due" => "\"8h\"",
        _ => "…",
    }
}

fn quoted_after<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    rest.split_once('`').map(|(key, _)| key)
}

fn choice(message: &str, wrong: &str) -> String {
    let known: Vec<&str> = message
        .split_once("expected ")
        .map_or("", |(_, list)| list)
        .split('`')
        .skip(1)
        .step_by(2)
        .collect();
    match (nearest(wrong, known.iter().copied()), known.as_slice()) {
        (Some(key), _) => format!("write {key}"),
        (None, []) => "take it out".to_owned(),
        (None, _) => format!("take it out, or write one of: {}", known.join(", ")),
    }
}

/// The name that a wrong one was probably meant to be: at most two letters away.
pub(crate) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| {
            let begins_otherwise = name.chars().next() != wrong.chars().next();
            let steps = match name.eq_ignore_ascii_case(wrong) {
                true => usize::from(name != wrong),
                false => distance(wrong, name).max(1),
            };
            // "U16" is u16 with another capital, and i16 with another letter.
            (
                steps,
                !name.eq_ignore_ascii_case(wrong),
                begins_otherwise,
                name,
            )
        })
        .min()
        .filter(|(steps, .., name)| *steps <= 2 && *steps < name.chars().count())
        .map(|(.., name)| name)
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in other.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(a != *b))
                .min(*above + 1)
                .min(left + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn plain_type(wanted: &str) -> String {
    match wanted {
        "a string" | "string" | "path string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a sequence" => "a list in square brackets".to_owned(),
        "a map" => "a table in curly brackets".to_owned(),
        "struct Text" => format!("both languages: {BOTH}"),
        _ => match wanted.strip_prefix("struct ") {
            Some(_) => "a table in curly brackets".to_owned(),
            None => wanted.replace('`', "\""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        item: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        unit: u8,
    }

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        read::<Outer>(Path::new("f.toml"), text, &mut faults);
        faults.sort_by(Fault::place_order);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_of_a_file_is_found() {
        let text =
            "nmae = 1\nname = 2\n[[item]]\nunit = 300\n[[item]]\nunit = 3\nx = 1\n[[item]]\n";
        assert_eq!(
            faults(text),
            [
                "f.toml:1:1: key \"nmae\" is not known here; write name",
                "f.toml:2:8: integer 2 can't stand here; write a text in quotes",
                "f.toml:4:8: integer 300 can't stand here; write a whole number from 0 to 255",
                "f.toml:7:1: key \"x\" is not known here; take it out, or write one of: unit",
                "f.toml:8:1: \"unit\" is missing; add unit = …",
            ]
        );
    }

    #[test]
    fn full_width_characters_are_named_as_such() {
        for (text, said) in [
            (
                "name = “a”\n",
                "f.toml:1:8: \"“\" is a full-width character (全角字符); write \" with the keyboard set to English",
            ),
            (
                "name ＝ \"a\"\n",
                "f.toml:1:6: \"＝\" is a full-width character (全角字符); write = with the keyboard set to English",
            ),
            (
                "name　= \"a\"\n",
                "f.toml:1:5: a full-width space (全角空格); write a plain space",
            ),
            (
                "item = [{ unit = 1 }，{ unit = 2 }]\n",
                "f.toml:1:21: \"，\" is a full-width character (全角字符); write , with the keyboard set to English",
            ),
            (
                "name： \"a\"\n",
                "f.toml:1:5: \"：\" is a full-width character (全角字符); write : with the keyboard set to English",
            ),
            (
                "［name］\n",
                "f.toml:1:1: \"［\" is a full-width character (全角字符); write [ with the keyboard set to English",
            ),
        ] {
            assert_eq!(faults(text), [said], "{text}");
        }
        // In texts and remarks they are what they should be.
        let sound = "# 说明：水泵，“一”\nname = \"（B1）水泵，\\\"一\\\"：二\"\nx = \n";
        let found = faults(sound);
        assert!(
            found.iter().all(|one| !one.contains("full-width")),
            "{found:?}"
        );
        // A value that is refused for one names it, too.
        let found = faults("name = \"a\"\n[[item]]\nｕnit = 1\n");
        assert!(
            found
                .iter()
                .any(|one| one.contains("\"ｕ\" is a full-width character")),
            "{found:?}"
        );
    }

    #[test]
    fn columns_count_characters() {
        let found = faults("name = { \"水泵\" = 1, b = }\n");
        assert!(
            found.iter().any(|line| line.starts_with("f.toml:1:24:")),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_left_can_still_be_placed() {
        let mut faults = Vec::new();
        let text = "name = \"a\"\n[[item]]\nunit = 1\n[[item]]\nunit = 2\n";
        let (outer, document) = read::<Outer>(Path::new("f"), text, &mut faults).unwrap();
        let units: Vec<_> = outer.item.iter().map(|item| item.unit).collect();
        assert_eq!((outer.name.as_str(), units), ("a", vec![1, 2]));
        let path = ["item", "1", "unit"].map(str::to_owned);
        let fault = document.fault(&path, "w", "r");
        assert_eq!((fault.line, fault.column), (5, 1));
        let path = ["item", "1", "none"].map(str::to_owned);
        assert_eq!(document.fault(&path, "w", "r").line, 4);
    }
}
