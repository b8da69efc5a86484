//! JSON as devices write it: exact first, and where that fails once more with what firmware that
//! prints its messages gets wrong. What cannot be read for certain is never a value: one point is
//! bad then, and the others are what they are.

use serde::Deserialize as _;
use serde_json::Value as Json;
use std::borrow::Cow;

/// What a payload says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document {
    /// The JSON; `None` when it is none.
    pub(super) json: Option<Json>,
    /// Whether something had to be put right to read it.
    pub(super) repaired: bool,
}

/// Reads a payload.
pub(super) fn read(payload: &[u8]) -> Document {
    if let Ok(json) = serde_json::from_slice(payload) {
        return Document {
            json: Some(json),
            repaired: false,
        };
    }
    let json = lenient(payload);
    Document {
        repaired: json.is_some(),
        json,
    }
}

/// Reads with a mark in front, padding or rubbish behind, bytes that are no UTF-8 and numbers that
/// are none.
fn lenient(payload: &[u8]) -> Option<Json> {
    let text = String::from_utf8_lossy(payload);
    let text = repair(text.trim_start_matches('\u{FEFF}').trim_start());
    let mut parser = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
    let json = parser.next()?.ok()?;
    let rest = text.get(parser.byte_offset()..)?;
    let rest = rest.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    // Where a bare number or word ends is not certain with something behind it: "12,5" is not 12.
    let ends_by_itself = json.is_object() || json.is_array();
    if !rest.is_empty() && (!ends_by_itself || is_document(rest)) {
        return None;
    }
    Some(json)
}

/// Whether text is another message: which of the two is meant nobody knows.
fn is_document(text: &str) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let json = Json::deserialize(&mut deserializer);
    json.is_ok_and(|json| json.is_object() || json.is_array())
}

/// The text with each bare word inside a document that JSON does not know replaced: what is no number by `null`, what
/// nobody can read by `{}`, and a value that is missing by `null`. Strings stay as they are.
fn repair(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    let mut before = None;
    let mut depth = 0_u32;
    let mut put = |from: usize, to: usize, with: &str| {
        out.push_str(text.get(kept..from).unwrap_or_default());
        out.push_str(with);
        kept = to;
    };
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        let length = match first {
            '"' => string(rest),
            _ if is_bare(first) => rest.find(|c| !is_bare(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let word = rest.get(..length).unwrap_or(rest);
        match first {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if is_bare(first) && depth > 0 {
            if let Some(instead) = instead_of(word) {
                put(at, at + length, instead);
            }
        } else if before == Some(':') && matches!(first, ',' | '}') {
            put(at, at, "null");
        }
        if !first.is_whitespace() {
            before = Some(first);
        }
        at += length;
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(out)
}

/// How long the string is that `text` begins with, its marks counted; to the end when it has none.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Whether a character may be part of a number or a word outside strings.
fn is_bare(c: char) -> bool {
    !matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | '"' | '\0') && !c.is_whitespace()
}

/// What stands for a bare word; `None` when it is JSON.
fn instead_of(word: &str) -> Option<&'static str> {
    if serde_json::from_str::<Json>(word).is_ok() {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let name = lower.trim_start_matches(['+', '-']);
    let no_number = [
        "nan", "inf", "infinity", "1.#qnan", "1.#snan", "1.#ind", "1.#inf",
    ]
    .iter()
    .any(|known| name.strip_prefix(known).is_some_and(is_tail));
    // A number that no computer holds is none, either: 1e999.
    let too_large = name.starts_with(|c: char| c.is_ascii_digit())
        && word.parse().is_ok_and(|number: f64| !number.is_finite());
    Some(if no_number || too_large { "null" } else { "{}" })
}

/// What `printf` puts behind the name: nothing, `(ind)`, `(0x8000)`, or the digits of a precision.
fn is_tail(tail: &str) -> bool {
    let digits = tail.chars().all(|c| c.is_ascii_digit());
    digits || (tail.starts_with('(') && tail.ends_with(')'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn lenient_json(text: &str) -> Option<Json> {
        let document = read(text.as_bytes());
        assert_eq!(document.repaired, document.json.is_some(), "{text}");
        document.json
    }

    #[test]
    fn what_printf_writes_for_no_number_is_null_and_the_rest_is_there() {
        for bare in [
            "nan",
            "NaN",
            "-nan",
            "NAN",
            "-nan(ind)",
            "nan(0x8000)",
            "inf",
            "-inf",
            "Infinity",
            "-Infinity",
            "+inf",
            "1.#QNAN",
            "-1.#IND",
            "1.#INF00",
            "1e999",
        ] {
            let text = format!("{{\"level\": {bare}, \"nan\":\"nan, inf\",\"overflow\":true}}");
            let wanted = json!({ "level": null, "nan": "nan, inf", "overflow": true });
            assert_eq!(lenient_json(&text), Some(wanted), "{bare}");
        }
        let list = lenient_json("[1, nan,-inf]");
        assert_eq!(list, Some(json!([1, null, null])));
        assert_eq!(
            lenient_json(r#"{"a":,"b":}"#),
            Some(json!({ "a": null, "b": null }))
        );
    }

    #[test]
    fn what_nobody_can_read_is_no_value_and_the_rest_is_there() {
        for bare in [
            "007", "+5", "True", "None", "0x1F", "12.", ".5", "nano", "--", "3V",
        ] {
            let text = format!("{{\"level\":{bare},\"overflow\":true}}");
            let wanted = json!({ "level": {}, "overflow": true });
            assert_eq!(lenient_json(&text), Some(wanted), "{bare}");
        }
    }

    #[test]
    fn padding_marks_and_rubbish_around_the_document_are_passed_over() {
        let document = json!({ "level": 1.5, "overflow": true });
        let text = document.to_string();
        for (before, behind) in [
            ("\u{FEFF}", ""),
            ("", "\0\0\0"),
            ("\u{FEFF} ", "\r\n\0"),
            ("", "\0rflow\":false}"),
            ("", "34}"),
            ("", " OK"),
            ("", "}"),
        ] {
            let padded = format!("{before}{text}{behind}");
            assert_eq!(
                lenient_json(&padded).as_ref(),
                Some(&document),
                "{padded:?}"
            );
        }
        // Text of another character set in one string spoils that string alone.
        let gbk = b"{\"name\":\"\xb1\xc3\",\"overflow\":true}";
        let read = read(gbk);
        assert!(read.repaired);
        assert_eq!(read.json.unwrap()["overflow"], json!(true));
    }

    #[test]
    fn what_is_not_certain_is_none() {
        for text in [
            "12,5",
            "12 5",
            "true}",
            "\"a\" b",
            "{\"level\":12,5,\"overflow\":true}",
            "{\"level\":12",
            "{\"a\":1}{\"a\":2}",
            "{\"a\":1}\n{\"a\":2}",
            "{nan:1}",
            "\0",
            "",
            "{\"a\":\"nan}",
            "{\"a\" nan}",
            "[1 nan]",
        ] {
            assert_eq!(read(text.as_bytes()), Document::default(), "{text:?}");
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-9_000_000..9_000_000).prop_map(|eighths: i32| json!(f64::from(eighths) / 8.0)),
            "[\\PC\"\\\\nan,:{}\\[\\]]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                proptest::collection::btree_map("[\\PC\"\\\\nan:,]{0,6}", inner, 0..5)
                    .prop_map(Json::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_it_is(json in any_json()) {
            let text = json.to_string();
            prop_assert!(matches!(repair(&text), Cow::Borrowed(_)), "{}", text);
            prop_assert_eq!(read(text.as_bytes()), Document { json: Some(json), repaired: false });
        }

        #[test]
        fn one_that_is_no_number_changes_nothing_else(
            json in any_json(),
            word in prop_oneof![Just("nan"), Just("-Infinity"), Just("inf")],
        ) {
            let text = format!("{{\"a\":{word},\"b\":{json},\"c\":{word}}}");
            let wanted = json!({ "a": null, "b": json, "c": null });
            prop_assert_eq!(read(text.as_bytes()).json, Some(wanted));
        }

        #[test]
        fn rubbish_never_makes_a_value_that_was_not_there(
            json in any_json(), rubbish in "[\\x00\\x20-\\x7e]{0,10}",
        ) {
            let whole = json!({ "a": json });
            let text = format!("{whole}{rubbish}");
            if let Some(read) = read(text.as_bytes()).json {
                prop_assert_eq!(read, whole);
            }
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            read(&bytes);
        }

        #[test]
        fn text_never_panics(text in "[\"\\\\{}:,nai1\u{0}é ]{0,40}") {
            read(text.as_bytes());
        }
    }
}
