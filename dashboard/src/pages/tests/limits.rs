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

/// What the pages say in a language.
struct Words {
    language: &'static str,
    /// Which limit it is: in a list, and on the order's page.
    limit: [&'static str; 2],
    respond: &'static str,
    held: &'static str,
    completed: &'static str,
    again: &'static str,
    open_again: &'static str,
}

const WORDS: [Words; 2] = [
    Words {
        language: "zh-CN",
        limit: ["完工时限", "完工时限"],
        respond: "接单时限",
        held: "挂起停表，剩",
        completed: "按时完工，剩",
        again: "重开",
        open_again: "重新打开",
    },
    Words {
        language: "en",
        limit: ["To complete", "Time limit to complete"],
        respond: "Time limit to accept:",
        held: "clock stopped on hold,",
        completed: "completed in time,",
        again: "re-opened",
        open_again: "Open again since",
    },
];

#[tokio::test]
async fn every_page_says_which_limit_runs_and_which_stands() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    for words in WORDS {
        for (place, text) in surfaces(&person, &order, words.language).await {
            assert!(
                words.limit.iter().any(|limit| text.contains(limit)),
                "{place}: {text}"
            );
            let counts = text.contains("data-due") || text.contains("data-count");
            assert!(counts, "{place}: {text}");
            let accepts = place == "the order";
            assert_eq!(text.contains(words.respond), accepts, "{place}: {text}");
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
        for words in WORDS {
            let stands = match step {
                "on_hold" => words.held,
                _ => words.completed,
            };
            for (place, text) in surfaces(&person, &order, words.language).await {
                assert!(text.contains(stands), "{step}, {place}: {text}");
                assert!(
                    words.limit.iter().any(|limit| text.contains(limit)),
                    "{step}, {place}: {text}"
                );
                for runs in ["data-due", "data-count", words.respond] {
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
    for words in WORDS {
        for (place, text) in surfaces(&person, &order, words.language).await {
            assert!(!text.contains(words.again), "{place}: {text}");
        }
    }
    let done = [("cause", "轴承损坏"), ("remedy", "更换轴承")];
    person.step(&order, "completed", &done).await;
    person.fixture.calm();
    // The fault is there again: its order is, too.
    person.fixture.trip();
    for words in WORDS {
        let no = short(&order);
        for (place, text) in surfaces(&person, &order, words.language).await {
            let said = match place {
                "the order" => words.open_again,
                _ => words.again,
            };
            assert!(text.contains(said), "{place}: {text}");
        }
        let alarms = person.read("/alarms", words.language).await;
        let id = piece(&alarms, "<tr id=\"row-", "\"").to_owned();
        let alarm = person.read(&format!("/alarms/{id}"), words.language).await;
        let overview = person.read("/", words.language).await;
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
            let marked = text.contains(words.again) && text.contains(&no);
            assert!(marked, "{place} in {}: {text}", words.language);
        }
    }
}

fn short(order: &str) -> String {
    order.rsplit('-').next().unwrap().to_owned()
}
