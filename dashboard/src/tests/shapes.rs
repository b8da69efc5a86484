//! What is answered: every object has exactly the fields that scripts rely on.

use super::Web;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn sorted(names: &'static str) -> Vec<&'static str> {
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.sort_unstable();
    names
}

const ORDER: &str = "no kind status priority asset title fault_family alarms assignee created_at due_at due_limit due_left_seconds respond_by reopened_at recovered_at closed_at place";
const ALARM: &str = "id rule asset priority state title raised_at returned_at acknowledged_at acknowledged_by work_order signal danger place";

#[tokio::test]
async fn assets_and_points() {
    let web = Web::new();
    web.fixture.trip();
    let list = web.get("/api/v1/assets").await.json();
    assert_eq!(fields(&list), ["items", "next_cursor"]);
    assert_eq!(list["next_cursor"], Value::Null);
    let pump = &list["items"][1];
    let wanted = "code class name location profile state link fault open_alarms open_work_orders";
    assert_eq!(fields(pump), sorted(wanted));
    assert_eq!(
        *pump,
        json!({
            "code": "P1", "class": "pump_set", "name": "Domestic water booster", "location": "B1 pump room",
            "profile": "fixture-pump_set", "state": "alarm", "link": "up", "fault": null, "open_alarms": 1, "open_work_orders": 1,
        })
    );
    assert_eq!(web.get("/api/v1/assets/P1").await.json(), *pump);

    let fault = &web.get("/api/v1/assets/A3").await.json()["fault"];
    assert_eq!(
        fields(fault),
        sorted("reason exception endpoint unit asked answer detail at")
    );
    assert_eq!(fault["reason"], "wrong_unit");
    assert_eq!(fault["endpoint"], "10.0.0.8:4001");
    assert_eq!(fault["answer"], "04 03 08");

    let points = web.get("/api/v1/assets/P1/points").await.json();
    let pressure = &points["items"][0];
    assert_eq!(
        fields(pressure),
        sorted("key name value unit quality reason at")
    );
    assert_eq!(pressure["key"], "P1/outlet_pressure");
    assert_eq!(pressure["value"], 0.42);
    assert_eq!(pressure["unit"], "MPa");
    assert_eq!(pressure["quality"], "good");
    assert_eq!(pressure["reason"], Value::Null);
    assert!(pressure["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(points["items"][2]["value"], true);

    let never = &web.get("/api/v1/assets/A3/points").await.json()["items"][0];
    assert_eq!(never["key"], "A3/service_mode");
    assert_eq!(
        (&never["value"], &never["at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&never["quality"], &never["reason"]),
        (&json!("stale"), &json!("never_read"))
    );
}

#[tokio::test]
async fn lists_are_paged() {
    let web = Web::new();
    let mut keys = Vec::new();
    let mut path = "/api/v1/assets/A3/points?limit=4".to_owned();
    loop {
        let page = web.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        keys.extend(items.iter().map(|one| one["key"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/assets/A3/points?limit=4&cursor={cursor}");
    }
    assert_eq!(keys.len(), 11);
    web.fixture.trap();
    web.fixture.trip();
    for list in [
        "alarms?state=open",
        "alarms?x=1",
        "work-orders?status=open",
        "work-orders?x=1",
        "assets?x=1",
    ] {
        let first = web.get(&format!("/api/v1/{list}&limit=1")).await.json();
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = web
            .get(&format!("/api/v1/{list}&limit=1&cursor={cursor}"))
            .await
            .json();
        assert_ne!(first["items"][0], second["items"][0], "{list}");
        assert_eq!(second["next_cursor"], Value::Null, "{list}");
    }
}

#[tokio::test]
async fn alarms_open_and_over() {
    let web = Web::new();
    web.fixture.trap();
    web.fixture.trip();
    let id = web.alarm("pump2_fault").await;
    let open = web.get("/api/v1/alarms?state=open").await.json();
    assert_eq!(open["items"].as_array().unwrap().len(), 2);
    assert_eq!(fields(&open["items"][0]), sorted(ALARM));
    assert_eq!(open["items"][1]["title"], "Pump 2 fault");
    let chinese = web
        .ask(Method::GET, "/api/v1/alarms?state=open&lang=zh", &[], None)
        .await
        .json();
    assert_eq!(chinese["items"][1]["title"], "2 号泵故障");
    assert_eq!(open["items"][0]["state"], "unacknowledged");
    assert!(open["items"][0]["id"].is_string() && open["items"][0]["priority"].is_number());
    let mine = web.get("/api/v1/alarms?state=open&asset=A3").await.json();
    assert_eq!(mine["items"].as_array().unwrap().len(), 1);

    let ack = format!("/api/v1/alarms/{id}/ack");
    assert_eq!(
        web.post(&ack, json!({ "comment": "on my way" }))
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let acknowledged = web.get("/api/v1/alarms?state=acknowledged").await.json();
    assert_eq!(acknowledged["items"][0]["acknowledged_by"], "fixture");

    web.fixture
        .set(&[("P1/pump2_fault", zhiban_core::Value::Flag(false))]);
    let normal = web.get("/api/v1/alarms?state=normal").await.json();
    assert_eq!(normal["items"][0]["id"], json!(id));
    assert_eq!(
        web.get("/api/v1/alarms").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let one = web.get(&format!("/api/v1/alarms/{id}")).await.json();
    assert_eq!(fields(&one), {
        let mut names = sorted(ALARM);
        names.extend([
            "comment",
            "shelved_until",
            "cause",
            "consequence",
            "action",
            "events",
            "told",
        ]);
        names.sort_unstable();
        names
    });
    assert_eq!(one["comment"], "on my way");
    let changes: Vec<&str> = one["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["raised", "acknowledged", "returned"]);
    assert_eq!(
        fields(&one["events"][0]),
        sorted("at by change from to only_account note place")
    );
}

#[tokio::test]
async fn open_alarms_come_by_what_is_in_danger_with_their_places() {
    let web = Web::new();
    web.fixture.trap();
    web.fixture.trip();
    for (language, place) in [("en", "car at 4F"), ("zh", "轿厢在 4F")] {
        let path = format!("/api/v1/alarms?state=open&lang={language}");
        let open = web.ask(Method::GET, &path, &[], None).await.json();
        // What must be looked at first, not what came last.
        let first = &open["items"][0];
        assert_eq!(first["rule"], "entrapment");
        assert_eq!(
            (&first["danger"], &first["signal"]),
            (&json!("people"), &json!("present"))
        );
        assert_eq!(first["place"]["text"], place);
        assert_eq!(first["place"]["fresh"], true);
        assert_eq!(open["items"][1]["danger"], "machine");
    }
    web.fixture.calm();
    let over = web.get("/api/v1/alarms?state=open").await.json();
    assert_eq!(over["items"][0]["state"], "returned_unacknowledged");
    assert_eq!(over["items"][0]["signal"], "gone");
}

#[tokio::test]
async fn an_alarm_is_shelved_and_comes_back() {
    let web = Web::new();
    web.fixture.trip();
    let id = web.alarm("pump2_fault").await;
    let path = |what: &str| format!("/api/v1/alarms/{id}/{what}");
    let shelve = web
        .post(
            &path("shelve"),
            json!({ "reason": "part ordered", "minutes": 60 }),
        )
        .await;
    assert_eq!(shelve.status, StatusCode::NO_CONTENT);
    let one = web.get(&format!("/api/v1/alarms/{id}")).await.json();
    assert_eq!(one["state"], "shelved");
    assert!(one["shelved_until"].is_string());
    assert_eq!(
        web.ask(Method::POST, &path("unshelve"), &[], None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let late = web.post(&path("unshelve"), json!({})).await;
    assert_eq!(late.refusal(), (409, "alarm.not_shelved".to_owned()));
    let late = late.json();
    let who = late["current"]["unshelved_by"].as_str().unwrap();
    let told = late["detail"].as_str().unwrap();
    assert!(
        told.contains(&format!("{who} unshelved this alarm at ")),
        "{told}"
    );
}

#[tokio::test]
async fn an_order_goes_its_whole_way() {
    let web = Web::new();
    web.fixture.trip();
    let no = web.order().await;
    let list = web.get("/api/v1/work-orders?status=open").await.json();
    assert_eq!(fields(&list["items"][0]), sorted(ORDER));
    let path = format!("/api/v1/work-orders/{no}");
    let one = web.get(&path).await;
    assert_eq!(one.header("etag"), "\"1.en\"");
    let one = one.json();
    assert_eq!(fields(&one), {
        let mut names = sorted(ORDER);
        names.extend(
            "events repair parts photos occurrences reported_by completed_by told".split(' '),
        );
        names.sort_unstable();
        names
    });
    assert_eq!(
        fields(&one["events"][0]),
        sorted("at by change from to only_account note place")
    );
    assert_eq!(
        fields(&one["repair"]),
        sorted("problem cause remedy labor_minutes")
    );
    assert_eq!(
        (&one["status"], &one["assignee"], &one["kind"]),
        (&json!("assigned"), &json!("zhao"), &json!("corrective"))
    );

    let moves = web.get(&format!("{path}/transitions")).await.json();
    assert_eq!(moves["items"][0], json!({ "to": "accepted", "needs": [] }));
    assert_eq!(
        moves["items"][1],
        json!({ "to": "assigned", "needs": ["assignee", "reason"] })
    );

    web.step(
        &no,
        json!({ "to": "accepted", "recorded_at": "2026-01-01T08:00:00+08:00" }),
    )
    .await;
    web.step(&no, json!({ "to": "on_site" })).await;
    web.step(&no, json!({ "to": "in_progress" })).await;
    let done = json!({ "to": "completed", "problem": "trips", "cause": "worn bearing", "remedy": "replaced it", "labor_minutes": 40 });
    let done = web.step(&no, done).await.json();
    assert_eq!(
        done["repair"],
        json!({ "problem": "trips", "cause": "worn bearing", "remedy": "replaced it", "labor_minutes": 40 })
    );
    web.fixture.calm();
    let over = web.step(&no, json!({ "to": "verified" })).await.json();
    assert_eq!(over["status"], "closed");
    assert!(over["closed_at"].is_string() && over["recovered_at"].is_string());
    let closed = web.get("/api/v1/work-orders?status=closed").await.json();
    assert_eq!(closed["items"][0]["no"], json!(no));
    let path = format!("/api/v1/work-orders/{no}");
    let late = json!({ "priority": 1 });
    let late = web
        .ask(Method::PATCH, &path, &[("if-match", "*")], Some(late))
        .await;
    let refusal = (409, "wo.transition_not_allowed".to_owned());
    assert_eq!(late.refusal(), refusal);
    assert_eq!(
        web.get("/api/v1/work-orders?status=open").await.json()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_person_reports_and_comments() {
    let web = Web::new();
    let body = json!({ "asset": "A3", "title": "Scratching noise", "note": "at night" });
    let made = web.post("/api/v1/work-orders", body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let order = made.json();
    let no = order["no"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/work-orders/{no}"));
    assert_eq!(
        (&order["status"], &order["kind"], &order["priority"]),
        (&json!("requested"), &json!("request"), &json!(3))
    );
    assert_eq!(
        (&order["fault_family"], &order["reported_by"]),
        (&Value::Null, &json!("fixture"))
    );
    let path = format!("/api/v1/work-orders/{no}/comments");
    let written = web.post(&path, json!({ "comment": "heard it too" })).await;
    assert_eq!(written.status, StatusCode::CREATED);
    assert_eq!(fields(&written.json()), sorted("at by comment"));
    let comments = web.get(&path).await.json();
    assert_eq!(comments["items"].as_array().unwrap().len(), 1);
    assert_eq!(comments["items"][0]["comment"], "heard it too");
}

#[tokio::test]
async fn two_people_cannot_change_an_order_at_once() {
    let web = Web::new();
    web.fixture.trip();
    let path = format!("/api/v1/work-orders/{}", web.order().await);
    let edit = async |headers: &[(&str, &str)], body| {
        web.ask(Method::PATCH, &path, headers, Some(body)).await
    };
    let urgent = || json!({ "priority": 1 });
    assert_eq!(
        edit(&[], urgent()).await.refusal(),
        (428, "match.required".to_owned())
    );
    let read = web.get(&path).await;
    let tag = read.header("etag").to_owned();
    let edited = edit(&[("if-match", &tag)], urgent()).await;
    assert_eq!(
        (edited.status, &edited.json()["priority"]),
        (StatusCode::OK, &json!(1))
    );
    assert_eq!(edited.header("etag"), "\"2.en\"");
    let last = &edited.json()["events"][1];
    assert_eq!(
        (&last["change"], &last["note"], &last["by"]),
        (&json!("edited"), &json!("2 → 1"), &json!("fixture"))
    );
    let stale = edit(&[("if-match", &tag)], urgent()).await;
    assert_eq!(stale.refusal(), (412, "wo.changed".to_owned()));
    let stale = stale.json();
    let current = &stale["current"];
    assert_eq!(
        (&current["version"], &current["status"], &current["by"]),
        (&json!(2), &json!("assigned"), &json!("fixture"))
    );
    let told = stale["detail"].to_string();
    assert!(told.contains("(Priority changed 2 → 1)"), "{told}");
    assert_eq!(
        edit(&[("if-match", "nonsense")], urgent()).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(
        edit(&[("if-match", "*")], json!({ "priority": 2 }))
            .await
            .status,
        StatusCode::OK
    );
    let again = web.get(&path).await;
    let headers = [("if-none-match", again.header("etag"))];
    let same = web.ask(Method::GET, &path, &headers, None).await;
    assert_eq!(
        (same.status, same.text.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let step = format!("{path}/transitions");
    let moved = web
        .ask(
            Method::POST,
            &step,
            &[("if-match", &tag)],
            Some(json!({ "to": "accepted" })),
        )
        .await;
    assert_eq!(moved.refusal(), (412, "wo.changed".to_owned()));
}

#[tokio::test]
async fn series_are_columns() {
    let web = Web::new();
    let query = "from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z&px=100&agg=minmax";
    let one = web
        .get(&format!("/api/v1/points/P1/outlet_pressure/series?{query}"))
        .await
        .json();
    assert_eq!(fields(&one), sorted("key from to step_ms t min max last"));
    assert_eq!(one["key"], "P1/outlet_pressure");
    let rows = one["t"].as_array().unwrap().len();
    assert_eq!(rows, 100);
    for column in ["min", "max", "last"] {
        assert_eq!(one[column].as_array().unwrap().len(), rows);
    }
    assert_eq!(one["t"][0], 1_767_225_600_000_i64);
    let same = web
        .get(&format!(
            "/api/v1/points/P1%2Foutlet_pressure/series?{query}"
        ))
        .await
        .json();
    assert_eq!(same, one);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let web = Web::new();
    let answer = web.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert!(answer.text.contains("zhiban_up 1"));
}
