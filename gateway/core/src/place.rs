//! Where a fault is, in words made from the values of the machine itself.
//!
//! A place is only ever as sure as the values it was made of: from an old or bad value it is the last
//! known place, with its time, and never the place of now.

use crate::model::{Point, PointId};
use crate::numbered::NUMBER;
use crate::point::{PointState, Quality, Value};
use crate::text::{Language, Text};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a fault is, or was last known to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The words.
    pub text: Text,
    /// When the oldest of the values it was made of was acquired; `None` when it needs no value.
    pub known_at: Option<Timestamp>,
    /// Whether every value was good when the place was made; else it is the last known place.
    pub fresh: bool,
}

impl Place {
    /// Whether it says the same: the time of values that stay as they are is no difference.
    pub fn says_as(&self, other: &Self) -> bool {
        self.text == other.text && self.fresh == other.fresh
    }
}

/// One part of the text of a place, as written in a rule file: plain words, `{point}` for a value,
/// `{point:level}` for a whole number as a floor, `{point?words}` when a flag is set, `{point!words}`
/// when it is not.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<P> {
    /// Words.
    Words(String),
    /// The value of a point, in words.
    Value(P),
    /// A whole number as a floor: `7F`, `B1`.
    Level(P),
    /// Words for one state of a flag.
    When(P, bool, String),
}

/// Takes the text of a place apart.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub fn parse(text: &str) -> Result<Vec<Part<String>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((words, after)) = rest.split_once('{') {
        if !words.is_empty() {
            parts.push(Part::Words(words.to_owned()));
        }
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| format!("\"{{{after}\" has no closing brace"))?;
        parts.push(part(inside)?);
        rest = after;
    }
    if rest.contains('}') {
        return Err("a closing brace stands without an opening one".to_owned());
    }
    if !rest.is_empty() {
        parts.push(Part::Words(rest.to_owned()));
    }
    Ok(parts)
}

fn part(inside: &str) -> Result<Part<String>, String> {
    let end = inside.find(['?', '!', ':']).unwrap_or(inside.len());
    let (name, how) = inside.split_at(end);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("\"{{{inside}}}\" names no point"));
    }
    let name = name.to_owned();
    match how.split_at(how.len().min(1)) {
        ("", _) => Ok(Part::Value(name)),
        (":", "level") => Ok(Part::Level(name)),
        ("?", words) if !words.is_empty() => Ok(Part::When(name, true, words.to_owned())),
        ("!", words) if !words.is_empty() => Ok(Part::When(name, false, words.to_owned())),
        _ => Err(format!("\"{{{inside}}}\" says nothing")),
    }
}

/// The text with each part that names a point by `{n}` written once for every number the device has:
/// `{pump{n}_fault?{n}号泵}` of two pumps is `{pump1_fault?1号泵}{pump2_fault?2号泵}`. `numbers` gives
/// those of a name; a part of which it has none stays as it is, and the place can't be said.
pub(crate) fn for_each_number(text: &str, numbers: impl Fn(&str) -> Vec<String>) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (words, part) = rest.split_at(start);
        whole.push_str(words);
        let Some(end) = end_of_part(part) else {
            rest = part;
            break;
        };
        let (part, after) = part.split_at(end);
        rest = after;
        let inside = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        let name = inside.and_then(|inside| inside.split(['?', '!', ':']).next());
        let name = name.filter(|name| name.contains(NUMBER));
        let found = name.map(&numbers).unwrap_or_default();
        if found.is_empty() {
            whole.push_str(part);
        }
        for number in found {
            whole.push_str(&part.replace(NUMBER, &number));
        }
    }
    whole.push_str(rest);
    whole
}

/// Where a part that opens a text ends, behind its brace; a `{n}` inside it closes nothing.
fn end_of_part(part: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, letter) in part.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth <= 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The points that a text names; those without which it says nothing first.
pub fn points(parts: &[Part<String>]) -> (Vec<&str>, Vec<&str>) {
    let mut named = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Words(_) => {}
            Part::Value(point) | Part::Level(point) => named.0.push(point.as_str()),
            Part::When(point, ..) => named.1.push(point.as_str()),
        }
    }
    named
}

/// The texts of one place, bound to the points of an asset.
#[derive(Debug, Clone)]
pub(crate) struct BoundPlace {
    zh: Vec<Part<PointId>>,
    en: Vec<Part<PointId>>,
}

impl BoundPlace {
    /// `None` when the asset lacks a point without which the place cannot be said.
    pub(crate) fn bind(text: &Text, find: &impl Fn(&str) -> Option<PointId>) -> Option<Self> {
        Some(Self {
            zh: bind(&text.zh, find)?,
            en: bind(&text.en, find)?,
        })
    }

    /// Every point it looks at.
    pub(crate) fn points(&self) -> impl Iterator<Item = PointId> + '_ {
        self.zh
            .iter()
            .chain(&self.en)
            .filter_map(|part| match part {
                Part::Words(_) => None,
                Part::Value(point) | Part::Level(point) | Part::When(point, ..) => Some(*point),
            })
    }

    /// The place by what is known; `None` when nothing is.
    pub(crate) fn say(&self, states: &[PointState], points: &[Point]) -> Option<Place> {
        let mut sure = Sure {
            known_at: None,
            fresh: true,
        };
        let zh = fill(&self.zh, Language::ZhCn, states, points, &mut sure)?;
        let en = fill(&self.en, Language::En, states, points, &mut sure)?;
        Some(Place {
            text: Text::new(zh, en),
            known_at: sure.known_at,
            fresh: sure.fresh,
        })
    }
}

fn bind(text: &str, find: &impl Fn(&str) -> Option<PointId>) -> Option<Vec<Part<PointId>>> {
    let parts = parse(text).ok()?;
    let mut bound = Vec::new();
    let mut choices = 0;
    for part in parts {
        bound.push(match part {
            Part::Words(words) => Part::Words(words),
            Part::Value(name) => Part::Value(find(&name)?),
            Part::Level(name) => Part::Level(find(&name)?),
            // A set of two pumps has no third one to be named.
            Part::When(name, is, words) => {
                choices += 1;
                match find(&name) {
                    Some(point) => Part::When(point, is, words),
                    None => continue,
                }
            }
        });
    }
    let named = bound.iter().any(|part| !matches!(part, Part::Words(_)));
    (named || choices == 0).then_some(bound)
}

/// How far what is said can be trusted, and since when.
struct Sure {
    known_at: Option<Timestamp>,
    fresh: bool,
}

impl Sure {
    fn of(&mut self, state: &PointState) {
        self.fresh &= state.quality == Quality::Good;
        self.known_at = match (self.known_at, state.at) {
            (Some(known), Some(at)) => Some(known.min(at)),
            (known, at) => known.or(at),
        };
    }
}

fn fill(
    parts: &[Part<PointId>],
    language: Language,
    states: &[PointState],
    points: &[Point],
    sure: &mut Sure,
) -> Option<String> {
    let mut text = String::new();
    let mut chosen = false;
    for part in parts {
        let mut choice = false;
        match part {
            Part::Words(words) => text.push_str(words),
            Part::Value(id) | Part::Level(id) => {
                let state = states.get(id.index())?;
                let value = state.value.as_ref()?;
                let point = points.get(id.index())?;
                let words = match part {
                    Part::Level(_) => level(value)?,
                    Part::Words(_) | Part::Value(_) | Part::When(..) => {
                        words(value, point, language)
                    }
                };
                if words.trim().is_empty() {
                    return None;
                }
                sure.of(state);
                text.push_str(words.trim());
            }
            Part::When(id, is, words) => {
                let state = states.get(id.index())?;
                sure.of(state);
                if state.value.as_ref().and_then(flag) == Some(*is) {
                    if chosen {
                        text.push_str(match language {
                            Language::ZhCn => "、",
                            Language::En => ", ",
                        });
                    }
                    text.push_str(words);
                    choice = true;
                } else {
                    choice = chosen;
                }
            }
        }
        chosen = choice;
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        Value::Integer(number) => Some(*number != 0),
        Value::Number(_) | Value::Text(_) => None,
    }
}

fn words(value: &Value, point: &Point, language: Language) -> String {
    let plain = match value {
        Value::Number(number) => format!("{number:.*}", usize::from(point.decimals)),
        Value::Flag(_) | Value::Integer(_) | Value::Text(_) => value.to_string(),
    };
    let meaning = point.meanings.iter().find(|one| *one.code == *plain);
    match meaning {
        Some(meaning) => meaning.name.get(language).to_owned(),
        None if point.unit.is_empty() => plain,
        None => format!("{plain} {}", point.unit),
    }
}

/// A floor as people say it: `7F`, `B2`. There is no floor 0.
fn level(value: &Value) -> Option<String> {
    let number = value.as_number()?;
    #[expect(clippy::cast_possible_truncation, reason = "a floor is a small number")]
    let floor = number.round() as i64;
    Some(if floor > 0 {
        format!("{floor}F")
    } else {
        format!("B{}", floor.unsigned_abs().max(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_and_faults_are_named() {
        let parts = parse("轿厢在 {floor:level}，{pump1_fault?1号泵}{name}").unwrap();
        assert_eq!(points(&parts), (vec!["floor", "name"], vec!["pump1_fault"]));
        for (text, word) in [
            ("{floor", "closing"),
            ("floor}", "opening"),
            ("{}", "names no point"),
            ("{floor:storey}", "says nothing"),
            ("{pump1_fault?}", "says nothing"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn a_part_with_a_number_is_written_for_each_that_the_device_has() {
        let numbers = |name: &str| match name {
            "pump{n}_fault" => vec!["1".to_owned(), "12".to_owned()],
            _ => Vec::new(),
        };
        for (written, whole) in [
            (
                "{pump{n}_fault?{n}号泵}，{name}",
                "{pump1_fault?1号泵}{pump12_fault?12号泵}，{name}",
            ),
            ("{floor:level}{door?open}", "{floor:level}{door?open}"),
            ("{n}号泵", "{n}号泵"),
            ("{fan{n}_fault?fan {n}}", "{fan{n}_fault?fan {n}}"),
            ("{pump{n}_fault?", "{pump{n}_fault?"),
        ] {
            assert_eq!(for_each_number(written, numbers), whole, "{written}");
        }
    }

    #[test]
    fn a_floor_is_said_as_people_say_it() {
        let said = [7, 1, 0, -2].map(|floor| level(&Value::Integer(floor)).unwrap());
        assert_eq!(said, ["7F", "1F", "B1", "B2"]);
        assert_eq!(level(&Value::Text("up".into())), None);
    }
}
