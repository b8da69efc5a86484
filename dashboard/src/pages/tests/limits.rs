//! Which time limit it is that a page shows, whether it runs, and that an order is work again: on every page that shows
//! the order.

use super::*;

/// One order on every page that lists it, as the page says it.
async fn surfaces(person: &Person, order: &str, language: &str) -> Vec<(&'static str, String)> {
    let no = order.rsplit('/').next().unwrap();
    let row = |page: &str, from: &str, to: &str| {
        let row = page.split(from).skip(1).find(|row| row.contains(no));
        let row = row.unwrap_or_else(|| panic!("no {no} after {from}: {page}"));
        row.split(to).next().unwrap().to_owned()
    };
    let overview = person.read("/", language).await;
    let list = person.read("/work-orders", language).await;
    let page = person.read(order, language).await;
    vec![
        ("the overview", row(&overview, "<tr><td>", "</tr>")),
        ("the list", row(&list, "<tr id=\"wo-", "</tr>")),
        (
            "the order",
            piece(&page, "<header class=\"hero", "</header>").to_owned(),
        ),
    ]
}

/// In each language: which limit it is, that it stands on hold, that the work was called done.
const WORDS: [(&str, [&str; 2], &str, &str, &str, &str); 2] = [
    (
        "zh-CN",
        ["完工时限", "完工时限"],
        "接单时限",
        "挂起停表，剩",
        "按时完工，剩",
        "重开",
    ),
    (
        "en",
        ["To complete", "Time limit to complete"],
        "Time limit to accept:",
        "clock stopped on hold,",
        "completed in time,",
        "re-opened",
    ),
];

#[tokio::test]
async fn every_page_says_which_limit_runs_and_which_stands() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    for (language, [short, long], respond, _, _, _) in WORDS {
        for (place, text) in surfaces(&person, &order, language).await {
            assert!(
                text.contains(short) || text.contains(long),
                "{place}: {text}"
            );
            let counts = text.contains("data-due") || text.contains("data-count");
            assert!(counts, "{place}: {text}");
            let accepts = place == "the order";
            assert_eq!(text.contains(respond), accepts, "{place}: {text}");
        }
    }
    person.sign_in("zhao").await;
    for step in ["accepted", "on_site", "in_progress"] {
        person.step(&order, step, &[]).await;
    }
    person.step(&order, "on_hold", &[("reason", "part")]).await;
    let done = [("cause", "轴承损坏"), ("remedy", "更换轴承")];
    for (step, fields) in [("on_hold", &[][..]), ("completed", &done[..])] {
        if step == "completed" {
            person.step(&order, "in_progress", &[]).await;
            person.step(&order, step, fields).await;
        }
        for (language, [short, long], respond, held, completed, _) in WORDS {
            let stands = if step == "on_hold" { held } else { completed };
            for (place, text) in surfaces(&person, &order, language).await {
                assert!(text.contains(stands), "{step}, {place}: {text}");
                assert!(
                    text.contains(short) || text.contains(long),
                    "{step}, {place}: {text}"
                );
                for runs in ["data-due", "data-count", respond] {
                    assert!(!text.contains(runs), "{step}, {place}: {text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_page_says_that_an_order_is_work_again() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    person.sign_in("zhao").await;
    for step in ["accepted", "on_site", "in_progress"] {
        person.step(&order, step, &[]).await;
    }
    for (language, _, _, _, _, again) in WORDS {
        for (place, text) in surfaces(&person, &order, language).await {
            assert!(!text.contains(again), "{place}: {text}");
        }
    }
    let done = [("cause", "轴承损坏"), ("remedy", "更换轴承")];
    person.step(&order, "completed", &done).await;
    person.fixture.calm();
    // The fault is there again: its order is, too.
    person.fixture.trip();
    for (language, _, _, _, _, again) in WORDS {
        let no = short(&order);
        for (place, text) in surfaces(&person, &order, language).await {
            let said = match (place, language) {
                ("the order", "zh-CN") => "重新打开",
                ("the order", _) => "Open again since",
                _ => again,
            };
            assert!(text.contains(said), "{place}: {text}");
        }
        let alarms = person.read("/alarms", language).await;
        let id = piece(&alarms, "<tr id=\"row-", "\"").to_owned();
        let alarm = person.read(&format!("/alarms/{id}"), language).await;
        let overview = person.read("/", language).await;
        let lines = [
            ("the alarms", piece(&alarms, "<tr id=\"row-", "</tr>")),
            ("the guide", piece(&alarms, "<p class=\"acts\">", "</p>")),
            (
                "the alarm",
                piece(piece(&alarm, "<main", "</main>"), "<header", "</header>"),
            ),
            (
                "the overview",
                piece(&overview, "<ol class=\"al\">", "</ol>"),
            ),
        ];
        for (place, text) in lines {
            let marked = text.contains(again) && text.contains(&no);
            assert!(marked, "{place} in {language}: {text}");
        }
    }
}

fn short(order: &str) -> String {
    order.rsplit('-').next().unwrap().to_owned()
}
