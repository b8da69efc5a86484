//! The words of notifications: texts are data, `config/messages`, in both languages.
//!
//! A text is only ever filled in, never interpreted: what a person typed cannot change it.

use serde::Deserialize;
use std::collections::BTreeMap;
use zhiban_core::text::shown;
use zhiban_core::{Duration, Language, NotifyReason, Priority, Signal};

const ZH_CN: &str = include_str!("../../../../config/messages/zh-CN.toml");
const EN: &str = include_str!("../../../../config/messages/en.toml");
/// What a text may have in braces.
const PLACES: [&str; 22] = [
    "title", "asset", "location", "order", "alarm", "person", "time", "action", "priority", "site",
    "url", "caution", "signal", "raised", "returned", "lasted", "place", "where", "why", "respond",
    "due", "reopened",
];
/// The units of a time span, by the seconds of each.
const UNITS: [(&str, i64); 4] = [
    ("day", 86_400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
];

/// The texts in every language.
#[derive(Debug)]
pub(super) struct Texts {
    zh_cn: Messages,
    en: Messages,
}

/// A file of texts is not usable.
#[derive(Debug, thiserror::Error)]
#[error("the texts of notifications in {language} are not usable: {what}")]
pub struct TextsError {
    language: &'static str,
    what: String,
}

/// The texts in one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Messages {
    unrecorded: String,
    /// Why an order is work again when no person sent it back.
    again: String,
    priority: BTreeMap<String, String>,
    /// What the machine says of a fault.
    signal: BTreeMap<String, String>,
    /// A place that is not sure, with `{place}` and `{time}`.
    last_known: String,
    /// That a clock stands while an order is on hold, with what is left as `{time}`; and when it was late.
    held_left: String,
    held_late: String,
    /// The units of a time span.
    span: BTreeMap<String, String>,
    /// By fault family: what nobody may conclude from a signal that is gone.
    caution: BTreeMap<String, String>,
    reason: BTreeMap<String, Message>,
}

/// The texts of one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    title: String,
    text: String,
}

/// What goes into the places of a text; an empty one says nothing.
pub(super) type Words = BTreeMap<&'static str, String>;

impl Texts {
    /// The texts the program comes with.
    pub(super) fn built_in() -> Result<Self, TextsError> {
        Ok(Self {
            zh_cn: Messages::parse(Language::ZhCn, ZH_CN)?,
            en: Messages::parse(Language::En, EN)?,
        })
    }

    fn of(&self, language: Language) -> &Messages {
        match language {
            Language::ZhCn => &self.zh_cn,
            Language::En => &self.en,
        }
    }

    /// What nobody may conclude when the signal of a fault family is gone; empty for most.
    pub(super) fn caution(&self, language: Language, family: &str) -> String {
        let words = &self.of(language).caution;
        words.get(family).cloned().unwrap_or_default()
    }

    /// The words for what the machine says of a fault.
    pub(super) fn signal(&self, language: Language, signal: Signal) -> String {
        let words = &self.of(language).signal;
        words.get(signal.code()).cloned().unwrap_or_default()
    }

    /// A place that was known once, and when.
    pub(super) fn last_known(&self, language: Language, place: &str, time: &str) -> String {
        let words = Words::from([("place", place.to_owned()), ("time", time.to_owned())]);
        fill(&self.of(language).last_known, &words).unwrap_or_else(|filled| filled)
    }

    /// That the clock of an order stands on hold, and what is left of its limit.
    pub(super) fn held(&self, language: Language, left: Duration) -> String {
        let messages = self.of(language);
        let late = left < Duration::ZERO;
        let template = if late {
            &messages.held_late
        } else {
            &messages.held_left
        };
        let span = Duration::from_millis(left.millis().saturating_abs());
        let words = Words::from([("time", self.lasted(language, span))]);
        fill(template, &words).unwrap_or_else(|filled| filled)
    }

    /// A time span in words, two units at most: `2 分 41 秒`.
    pub(super) fn lasted(&self, language: Language, span: Duration) -> String {
        let mut left = span.millis().max(0) / 1000;
        let words = &self.of(language).span;
        let mut said = Vec::new();
        for (unit, seconds) in UNITS {
            let count = left / seconds;
            left %= seconds;
            if count > 0 || !said.is_empty() || unit == "second" {
                let word = words.get(unit).map_or("", String::as_str);
                said.push(format!("{count} {word}"));
            }
        }
        said.truncate(2);
        said.join(" ")
    }

    /// Why an order is work again when no person sent it back.
    pub(super) fn again(&self, language: Language) -> String {
        self.of(language).again.clone()
    }

    /// The word for a priority, 1 to 4.
    pub(super) fn priority(&self, language: Language, priority: u8) -> String {
        let words = &self.of(language).priority;
        words
            .get(&priority.to_string())
            .cloned()
            .unwrap_or_default()
    }

    /// Title and text for a reason; no name or comment in them turns the direction of writing.
    pub(super) fn write(
        &self,
        language: Language,
        reason: &str,
        words: &Words,
        unrecorded: bool,
    ) -> (String, String) {
        let (title, text) = self.fill(language, reason, words, unrecorded);
        (shown(&title).into_owned(), shown(&text).into_owned())
    }

    fn fill(
        &self,
        language: Language,
        reason: &str,
        words: &Words,
        unrecorded: bool,
    ) -> (String, String) {
        let messages = self.of(language);
        let Some(message) = messages.reason.get(reason) else {
            // A row of a newer program, read by an older one: the plain facts.
            let fact = |place| words.get(place).cloned().unwrap_or_default();
            return (
                fact("title"),
                format!("{}\n{}", fact("title"), fact("asset")),
            );
        };
        let title = fill(&message.title, words).unwrap_or_else(|filled| filled);
        let lines = message
            .text
            .lines()
            .filter_map(|line| fill(line, words).ok());
        let mut text: Vec<String> = lines.collect();
        if unrecorded {
            text.insert(0, messages.unrecorded.clone());
        }
        (title, text.join("\n"))
    }
}

impl Messages {
    fn parse(language: Language, text: &str) -> Result<Self, TextsError> {
        let wrong = |what: String| TextsError {
            language: language.tag(),
            what,
        };
        let parsed: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for priority in Priority::ALL {
            if !parsed.priority.contains_key(&priority.number().to_string()) {
                return Err(wrong(format!("priority {} is missing", priority.number())));
            }
        }
        for signal in Signal::ALL {
            if !parsed.signal.contains_key(signal.code()) {
                return Err(wrong(format!("signal.{} is missing", signal.code())));
            }
        }
        for (unit, _) in UNITS {
            if !parsed.span.contains_key(unit) {
                return Err(wrong(format!("span.{unit} is missing")));
            }
        }
        for reason in NotifyReason::ALL {
            let message = parsed.reason.get(reason.code());
            let message =
                message.ok_or_else(|| wrong(format!("reason.{} is missing", reason.code())))?;
            for template in [&message.title, &message.text] {
                if let Some(unknown) = unknown_place(template) {
                    return Err(wrong(format!(
                        "reason.{}: {{{unknown}}} is no placeholder",
                        reason.code()
                    )));
                }
            }
        }
        Ok(parsed)
    }
}

/// A template in pieces: plain text, and the name of the place after it.
fn pieces(template: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    template.split('{').scan(true, |first, part| {
        if std::mem::take(first) {
            return Some((part, None));
        }
        Some(match part.split_once('}') {
            Some((place, plain)) => (plain, Some(place)),
            None => (part, None),
        })
    })
}

fn unknown_place(template: &str) -> Option<&str> {
    let places = pieces(template).filter_map(|(_, place)| place);
    places.into_iter().find(|place| !PLACES.contains(place))
}

/// Fills the places of a template; an error holds the same when a place had nothing to say.
fn fill(template: &str, words: &Words) -> Result<String, String> {
    let mut filled = String::new();
    let mut complete = true;
    for (plain, place) in pieces(template) {
        if let Some(place) = place {
            match words.get(place).filter(|word| !word.is_empty()) {
                Some(word) => filled.push_str(word),
                None => complete = false,
            }
        }
        filled.push_str(plain);
    }
    if complete { Ok(filled) } else { Err(filled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let all = PLACES.map(|place| (place, format!("<{place}>")));
        all.into_iter().collect()
    }

    #[test]
    fn every_reason_has_its_words_in_both_languages() {
        let texts = Texts::built_in().unwrap();
        for language in [Language::ZhCn, Language::En] {
            for reason in NotifyReason::ALL {
                let (title, text) = texts.write(language, reason.code(), &words(), false);
                let all = format!("{title}\n{text}");
                assert!(!all.contains('{') && !all.contains('}'), "{all}");
                for place in [
                    "title", "asset", "place", "location", "order", "time", "url",
                ] {
                    assert!(all.contains(&format!("<{place}>")), "{place}: {all}");
                }
                assert!(
                    !title.contains('\n') && title.chars().count() < 120,
                    "{title}"
                );
            }
            for priority in Priority::ALL {
                assert!(!texts.priority(language, priority.number()).is_empty());
            }
        }
        let (_, zh) = texts.write(Language::ZhCn, "raised", &words(), true);
        assert!(zh.starts_with("【未入库】"), "{zh}");
        let (_, en) = texts.write(Language::En, "raised", &words(), true);
        assert!(en.starts_with("[NOT RECORDED]"), "{en}");
    }

    #[test]
    fn a_line_that_says_nothing_is_left_out_and_words_are_not_interpreted() {
        let texts = Texts::built_in().unwrap();
        let mut words = words();
        words.insert("location", String::new());
        words.remove("person");
        words.insert("title", "{url} 已断 {\u{202e}".to_owned());
        let (title, text) = texts.write(Language::ZhCn, "raised", &words, false);
        assert_eq!(title, "【<priority>】<asset> {url} 已断 {[U+202E]<where>");
        assert!(
            !text.contains("设备所在") && !text.contains("处理人"),
            "{text}"
        );
        assert!(text.contains("设备:<asset>"), "{text}");
    }

    #[test]
    fn a_file_that_misses_something_is_refused() {
        let missing = ZH_CN.replace("[reason.escalated]", "[reason.later]");
        let error = Messages::parse(Language::ZhCn, &missing).unwrap_err();
        assert!(error.to_string().contains("reason.escalated"), "{error}");
        let unknown = EN.replace("{location}", "{room}");
        let error = Messages::parse(Language::En, &unknown).unwrap_err();
        assert!(error.to_string().contains("{room}"), "{error}");
    }
}
