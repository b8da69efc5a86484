//! One order from its assignment over a hold to its completion and open again: which of its limits is
//! meant, that the clock stands, that there is none any more, and that it is open again.

use super::{BOTH, Stage, hurry, model_of, piece, plain};
use serde_json::json;
use zhiban_core::{Language, NotifyReason, Value};

/// The words that tell one state from the others.
struct Words {
    accept: &'static str,
    complete: &'static [&'static str],
    left: &'static str,
    stopped: &'static str,
    reopened: &'static [&'static str],
}

fn words(language: Language) -> Words {
    match language {
        Language::ZhCn => Words {
            accept: "接单时限",
            complete: &["完工时限"],
            left: "剩",
            stopped: "停表",
            reopened: &["重开", "重新打开"],
        },
        Language::En => Words {
            accept: "ccept",
            complete: &["to complete", "until completed", "Complete by"],
            left: "left",
            stopped: "stopped",
            reopened: &["re-opened", "Re-opened", "pen again"],
        },
    }
}

fn has(text: &str, any: &[&str]) -> bool {
    any.iter().any(|word| text.contains(word))
}

/// What shows the limits of an order, by name, with what it says.
struct Surface {
    name: &'static str,
    said: String,
    /// Whether it shows the limit to accept too.
    accepts: bool,
    /// Whether the limits stand on it at all.
    limits: bool,
}

/// One state of the order on every surface. `reasons` are the messages of this state.
async fn surfaces(
    stage: &Stage,
    (no, alarm): (&str, &str),
    reasons: &[NotifyReason],
    language: Language,
) -> Vec<Surface> {
    let row = format!("<td class=\"w\" colspan=\"3\"><a href=\"/work-orders/{no}\">");
    let mut found = Vec::new();
    let mut add = |name, piece: &str, accepts, limits| {
        assert!(!piece.is_empty(), "{name} does not show {no}");
        let said = plain(piece);
        found.push(Surface {
            name,
            said,
            accepts,
            limits,
        });
    };
    let page = stage.page("/", language).await;
    add("overview", piece(&page, &row, "</tbody>"), false, true);
    let item = format!("id=\"al-{alarm}\"");
    add("overview alarm", piece(&page, &item, "</li>"), false, false);
    let page = stage.page("/assets/X1", language).await;
    add("asset", piece(&page, &row, "</tbody>"), false, true);
    let page = stage.page("/work-orders", language).await;
    let item = format!("id=\"wo-{no}\"");
    add("list", piece(&page, &item, "</tr>"), false, true);
    let page = stage.page(&format!("/work-orders/{no}"), language).await;
    let head = piece(&page, "<header class=\"hero", "</header>");
    add("order", head, true, true);
    let page = stage.page("/alarms", language).await;
    let item = format!("id=\"row-{alarm}\"");
    add("alarms", piece(&page, &item, "</tr>"), false, false);
    let page = stage.page(&format!("/alarms/{alarm}"), language).await;
    let line = format!("<dd><a href=\"/work-orders/{no}\">");
    add("alarm", piece(&page, &line, "</dd>"), true, true);
    let told = stage.fixture.told();
    for reason in reasons {
        let about = told.iter().rev().find(|one| one.reason == *reason);
        let about = about.unwrap_or_else(|| panic!("nobody was told: {}", reason.code()));
        let text = stage.message(about, language);
        add("message", &text, true, *reason != NotifyReason::Recovered);
    }
    found
}

/// The order is open and its clock runs, or stands on hold, or it is completed.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    Runs,
    Stands,
    Over,
}

/// Wants every surface to say what holds. Where nobody has accepted it yet, until when somebody must.
async fn hold(
    stage: &Stage,
    of: (&str, &str),
    reasons: &[NotifyReason],
    (clock, waits, again): (Clock, bool, bool),
) {
    for language in BOTH {
        let words = words(language);
        for one in surfaces(stage, of, reasons, language).await {
            let (name, said) = (one.name, one.said.as_str());
            let complete = has(said, words.complete);
            let stopped = said.contains(words.stopped);
            if one.limits {
                assert_eq!(complete, clock != Clock::Over, "{name}: {said}");
                assert_eq!(stopped, clock == Clock::Stands, "{name}: {said}");
                let is_page = name != "message" && name != "order";
                let left = said.contains(words.left);
                let wants = clock == Clock::Stands || (is_page && clock == Clock::Runs);
                assert!(left || !wants, "{name}: {said}");
                assert!(!left || clock != Clock::Over, "{name}: {said}");
            } else {
                assert!(!stopped && !said.contains(words.left), "{name}: {said}");
            }
            if one.accepts {
                let accept = said.contains(words.accept);
                assert_eq!(accept, waits, "{name}: {said}");
            }
            assert_eq!(has(said, words.reopened), again, "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn every_surface_says_which_limit_and_that_an_order_is_open_again() {
    let mut model = model_of("virtual-elevator");
    hurry(&mut model, "entrapment");
    let stage = Stage::new(model).await;
    let trapped = |is| stage.fixture.set(&[("X1/trapped", Value::Flag(is))]);
    stage.fixture.set(&[("X1/floor", Value::Integer(7))]);
    trapped(true);
    let snapshot = stage.fixture.app.snapshot.borrow().clone();
    let no = snapshot.work_orders.keys().next().unwrap().to_string();
    let alarm = snapshot.alarms.keys().next().unwrap().to_string();
    let latest = || {
        let snapshot = stage.fixture.app.snapshot.borrow().clone();
        snapshot.alarms.keys().next_back().unwrap().to_string()
    };
    let path = format!("work-orders/{no}/transitions");
    let step = async |body| stage.post(&path, body).await;

    step(json!({ "to": "assigned", "assignee": "zhao" })).await;
    let told = [NotifyReason::Raised, NotifyReason::Assigned];
    hold(&stage, (&no, &alarm), &told, (Clock::Runs, true, false)).await;

    for to in ["accepted", "on_site", "in_progress"] {
        step(json!({ "to": to })).await;
    }
    step(json!({ "to": "on_hold", "reason": "a part is on its way" })).await;
    trapped(false);
    trapped(true);
    let told = [NotifyReason::Repeated];
    let (of, held) = ((no.as_str(), latest()), (Clock::Stands, false, false));
    hold(&stage, (of.0, &of.1), &told, held).await;

    step(json!({ "to": "in_progress" })).await;
    step(json!({ "to": "completed", "cause": "worn sill", "remedy": "new one" })).await;
    hold(&stage, (&no, &latest()), &[], (Clock::Over, false, false)).await;

    let back = [
        ("to", "in_progress"),
        ("from", "completed"),
        ("of", "zhao"),
        ("reason", "it still sticks"),
    ];
    stage.form(&format!("/work-orders/{no}/move"), &back).await;
    let told = [NotifyReason::SentBack];
    hold(&stage, (&no, &latest()), &told, (Clock::Runs, false, true)).await;
    trapped(false);
    trapped(true);
    step(json!({ "to": "assigned", "assignee": "duty", "reason": "shift" })).await;
    let told = [NotifyReason::Repeated, NotifyReason::Assigned];
    let again = told.map(|reason| {
        let all = stage.fixture.told();
        let about = all.into_iter().rev().find(|one| one.reason == reason);
        about.unwrap()
    });
    for language in BOTH {
        for about in &again {
            let said = stage.message(about, language);
            assert!(has(&said, words(language).reopened), "{said}");
        }
    }
    hold(
        &stage,
        (&no, &latest()),
        &[told[1]],
        (Clock::Runs, true, true),
    )
    .await;
}
