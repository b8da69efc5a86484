//! What people named or wrote stands in a place of its own on every page: however its letters run, and whatever
//! marks of direction are in it, it moves nothing beside it.

use super::{PAGES, Person};

/// Elements that a text inside turns nothing around: the style sheet isolates them, or they are a line of their own.
const OWN: [&str; 19] = [
    "a",
    "b",
    "bdi",
    "blockquote",
    "dd",
    "dt",
    "em",
    "figcaption",
    "h1",
    "h3",
    "label",
    "li",
    "option",
    "p",
    "small",
    "span",
    "td",
    "textarea",
    "th",
];
/// A word that runs from right to left, with a number that such a word moves; then the marks, as they are shown.
const WRITTEN: [&str; 4] = ["שער תקוע 71", "בדקתי 72", "מנעול 73", "לא ידוע 74"];
const TURNS: &str = "\u{202e}";
const SHOWN: &str = "[U+202E]";

/// What may stand in a sentence of its own, where letters and no numbers are beside it.
const SENTENCE: [&str; 3] = ["李值班", "[U+202E]מנעול 73", "[U+202E]לא ידוע 74"];

/// The texts of a page, each with the element it is directly in; an element that was begun before counts for none.
fn texts(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('<').filter_map(|piece| {
        let (tag, text) = piece.split_once('>')?;
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        (!text.trim().is_empty()).then_some((name, text.trim()))
    })
}

/// Where a text does not stand alone in an element of its own.
fn astray(page: &str, wanted: &str) -> Vec<String> {
    let found = texts(page).filter(|(tag, text)| {
        let alone = (*text == wanted || SENTENCE.contains(&wanted)) && OWN.contains(tag);
        text.contains(wanted) && !alone && *tag != "title"
    });
    found.map(|(tag, text)| format!("<{tag}>{text}")).collect()
}

#[tokio::test]
async fn what_people_write_and_name_stands_alone_and_turns_nothing() {
    let person = Person::new().await;
    person.fixture.trap();
    person.fixture.trip();
    let [title, comment, part, reason] = WRITTEN.map(|text| format!("{TURNS}{text}"));
    let fields = [("title", &*title), ("note", &*comment), ("priority", "2")];
    let (_, place, page) = person.post("/assets/A3/report", &fields).await;
    let order = place.split('?').next().unwrap_or_default().to_owned();
    assert!(order.starts_with("/work-orders/"), "{page}");
    person
        .post(&format!("{order}/comment"), &[("comment", &comment)])
        .await;
    let used = [("name", &*part), ("sku", &*reason), ("quantity", "2")];
    person.post(&format!("{order}/parts"), &used).await;
    person.step(&order, "approved", &[]).await;
    person
        .step(&order, "assigned", &[("assignee", "duty")])
        .await;
    person.post("/alarms/2/ack", &[("comment", &comment)]).await;
    person
        .post(
            "/alarms/2/shelve",
            &[("reason", &reason), ("minutes", "15")],
        )
        .await;

    let pages = PAGES.into_iter().map(str::to_owned);
    let pages = pages.chain([order, "/alarms/1".into(), "/alarms/2".into()]);
    let named = ["3 号客梯", "Elevator 3", "A 座", "Tower A", "李值班"].map(str::to_owned);
    let written = WRITTEN.map(|text| format!("{SHOWN}{text}"));
    let mut seen = [0; 9];
    for path in pages {
        for language in ["zh-CN", "en"] {
            let page = person.read(&path, language).await;
            assert!(!page.contains(TURNS), "{path}");
            for (wanted, seen) in named.iter().chain(&written).zip(&mut seen) {
                *seen += page.matches(wanted.as_str()).count();
                let astray = astray(&page, wanted);
                assert!(astray.is_empty(), "{path} in {language}: {astray:#?}");
            }
        }
    }
    assert!(
        seen.iter().all(|times| *times > 0),
        "all of it was shown: {seen:?}"
    );
}
