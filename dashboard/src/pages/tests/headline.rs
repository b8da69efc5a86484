//! The head of an order's page: what is over does not look as if it stood, and the step shown as the current one is
//! the one that comes next.

use super::*;
use zhiban_core::Text;

#[tokio::test]
async fn the_order_of_a_machine_that_is_normal_again_is_not_marked_as_standing() {
    let person = Person::new().await;
    person.fixture.trap();
    let order = person.order().await;
    for (language, said) in [("en", "Machine is normal"), ("zh-CN", "设备已恢复")] {
        let page = person.read(&order, language).await;
        let hero = piece(&page, "<header class=\"hero", "</header>");
        assert!(hero.starts_with(" p1\">"), "{hero}");
        assert!(hero.contains("class=\"sy p1\"") && !hero.contains(said));
    }
    person.fixture.calm();
    for (language, said) in [("en", "Machine is normal"), ("zh-CN", "设备已恢复")] {
        let page = person.read(&order, language).await;
        let hero = piece(&page, "<header class=\"hero", "</header>");
        assert!(hero.starts_with(" p1 over\">"), "no red: {hero}");
        assert!(hero.contains("class=\"sy p1 past\""), "hollow: {hero}");
        assert!(hero.contains(said), "said at the top: {hero}");
        for path in ["/", "/work-orders"] {
            let page = person.read(path, language).await;
            let no = order.rsplit('/').next().unwrap();
            let row = page.split("<tr").find(|row| row.contains(no)).unwrap();
            assert!(row.contains("class=\"sy p1 past\""), "{path}: {row}");
        }
    }
}

#[tokio::test]
async fn a_report_promises_to_tell_only_where_somebody_is_told() {
    for (tells, en, zh) in [
        (true, "everybody on duty is told at once", "立即通知"),
        (false, "nobody is told of a report", "不会通知任何人"),
    ] {
        let mut fixture = Fixture::start();
        fixture.app.tells = tells;
        let person = Person::of(fixture).await;
        for (language, words) in [("en", en), ("zh-CN", zh)] {
            let page = person.read("/assets/A3", language).await;
            let form = piece(&page, "<form id=\"report\"", "</form>");
            assert!(form.contains(words), "{form}");
        }
    }
}

#[tokio::test]
async fn what_nobody_watches_any_more_is_named_on_every_page() {
    let mut fixture = Fixture::start();
    fixture.app.unwatched = vec![Text::new("F3 火灾报警", "F3 Fire alarm")];
    let person = Person::of(fixture).await;
    for (language, words) in [
        ("en", "Not watched any more: F3 Fire alarm."),
        ("zh-CN", "已不再监视：F3 火灾报警。"),
    ] {
        for path in ["/", "/alarms", "/work-orders", "/assets/A3"] {
            let page = person.read(path, language).await;
            assert!(
                piece(&page, "id=\"unwatched\"", "</div>").contains(words),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_reported_fault_is_reviewed_before_it_is_assigned() {
    let person = Person::new().await;
    let fields = [
        ("idempotency_key", "k"),
        ("title", "noise"),
        ("priority", "3"),
        ("note", ""),
    ];
    let (status, location, _) = person.post("/assets/A3/report", &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let order = location.split('?').next().unwrap();
    for (language, review) in [("en", "Review"), ("zh-CN", "审核")] {
        let page = person.read(order, language).await;
        let current = piece(&page, "aria-current=\"step\">", "</li>");
        assert_eq!(current, review);
    }
    // What the machine reported itself needs no review.
    person.fixture.trap();
    let page = person.read(&person.order().await, "en").await;
    assert_eq!(piece(&page, "aria-current=\"step\">", "</li>"), "Assign");
    assert!(!piece(&page, "<ol class=\"steps\"", "</ol>").contains("Review"));
}
