//! How things are refused: status, stable code, pointers, and both languages.

use super::{Web, request};
use crate::fixture::TOKEN;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn fault(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

#[tokio::test]
async fn a_problem_says_everything_in_the_callers_language() {
    let web = Web::new();
    let english = web.get("/api/v1/assets/none").await.json();
    assert_eq!(
        english,
        json!({
            "type": "urn:zhiban:problem:not_found", "title": "Not found", "status": 404,
            "detail": "Check the address; what it names may not exist.",
            "instance": "/api/v1/assets/none", "code": "not_found", "errors": [], "current": Value::Null,
        })
    );
    let headers = [
        ("accept-language", "zh-CN,zh;q=0.9,en;q=0.8"),
        ("authorization", &format!("Bearer {TOKEN}")),
    ];
    let chinese = web
        .send(request(Method::GET, "/api/v1/assets/none", &headers, None))
        .await;
    assert_eq!(chinese.json()["title"], "没有找到");
}

#[tokio::test]
async fn what_is_not_there() {
    let web = Web::new();
    for path in [
        "/api/v1/none",
        "/api/v1/assets/none",
        "/api/v1/assets/none/points",
        "/api/v1/points/A3/none/series",
        "/api/v1/alarms/77",
        "/api/v1/alarms/x",
        "/api/v1/work-orders/WO-20260101-001",
        "/api/v1/work-orders/x",
        "/api/v1/work-orders/WO-20260101-001/transitions",
        "/api/v1/work-orders/WO-20260101-001/comments",
    ] {
        assert_eq!(
            web.get(path).await.refusal(),
            code(404, "not_found"),
            "{path}"
        );
    }
    for path in ["/api/v1/alarms/77/ack", "/api/v1/alarms/77/unshelve"] {
        assert_eq!(
            web.post(path, json!({})).await.refusal(),
            code(404, "not_found"),
            "{path}"
        );
    }
    let wrong = web.ask(Method::DELETE, "/api/v1/assets", &[], None).await;
    assert_eq!(wrong.refusal(), code(405, "method_not_allowed"));
    assert!(wrong.header("allow").contains("GET"));
    let page = web.get("/no-such-page").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let web = Web::new();
    let send = async |kind: &str, body: String| {
        let request = Request::post("/api/v1/work-orders")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::ACCEPT_LANGUAGE, "en")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body));
        web.send(request.unwrap()).await
    };
    let broken = send(
        "application/json",
        "{\"asset\": \"A3\",\n  oops}".to_owned(),
    )
    .await;
    assert_eq!(broken.refusal(), code(400, "body.syntax"));
    assert!(
        broken.json()["detail"]
            .as_str()
            .unwrap()
            .contains("line 2, column 3")
    );
    let form = send("application/x-www-form-urlencoded", "asset=A3".to_owned()).await;
    assert_eq!(form.refusal(), code(415, "body.media_type"));
    let large = send("application/json", format!("\"{}\"", "x".repeat(70_000))).await;
    assert_eq!(large.refusal(), code(413, "body.too_large"));
}

#[tokio::test]
async fn each_wrong_field_is_pointed_at() {
    let web = Web::new();
    let post = async |body: Value| {
        let answer = web.post("/api/v1/work-orders", body).await;
        assert_eq!(answer.refusal(), code(422, "form.invalid"));
        answer.faults()
    };
    assert_eq!(
        post(json!({})).await,
        [fault("/asset", "required"), fault("/title", "required")]
    );
    assert_eq!(
        post(json!({ "asset": "X9", "title": " ", "priority": 7, "note": "\u{0}" })).await,
        [
            fault("/asset", "unknown"),
            fault("/title", "required"),
            fault("/priority", "out_of_range"),
            fault("/note", "control_character")
        ]
    );
    assert_eq!(
        post(json!({ "asset": "A3", "title": "x".repeat(201) })).await,
        [fault("/title", "too_long")]
    );
    assert_eq!(
        post(json!({ "asset": "A3", "tittle": "noise" })).await,
        [fault("/tittle", "unknown_field")]
    );
    assert_eq!(
        post(json!({ "asset": 3 })).await,
        [fault("/asset", "wrong_type")]
    );
    assert_eq!(
        post(json!({ "priority": "high" })).await,
        [fault("/priority", "wrong_type")]
    );

    let empty = web
        .send(request(
            Method::POST,
            "/api/v1/session",
            &[("accept-language", "en")],
            None,
        ))
        .await;
    assert_eq!(
        empty.faults(),
        [
            fault("/username", "required"),
            fault("/password", "required")
        ]
    );
    assert_eq!(empty.json()["errors"][0]["message"], "This is needed");
    let strange = json!({ "username": "du\tty", "password": "a quiet\nnight" });
    let strange = web.send(request(Method::POST, "/api/v1/session", &[], Some(strange)));
    assert_eq!(
        strange.await.faults(),
        [
            fault("/username", "control_character"),
            fault("/password", "control_character")
        ]
    );
}

#[tokio::test]
async fn wrong_query_parameters_are_named() {
    let web = Web::new();
    for (path, pointer) in [
        ("/api/v1/assets?limit=0", "/limit"),
        ("/api/v1/assets?limit=201", "/limit"),
        ("/api/v1/assets?cursor=none", "/cursor"),
        ("/api/v1/assets/A3/points?cursor=P1/setpoint", "/cursor"),
        ("/api/v1/alarms?state=loud", "/state"),
        ("/api/v1/alarms?cursor=x", "/cursor"),
        ("/api/v1/work-orders?status=lost", "/status"),
        ("/api/v1/points/A3/floor/series?from=yesterday", "/from"),
        ("/api/v1/points/A3/floor/series?from=20&to=10", "/from"),
        ("/api/v1/points/A3/floor/series?px=5", "/px"),
        ("/api/v1/points/A3/floor/series?agg=mode", "/agg"),
        ("/api/v1/stream?sets=", "/sets"),
    ] {
        let answer = web.get(path).await;
        assert_eq!(answer.refusal(), code(400, "query.invalid"), "{path}");
        assert_eq!(answer.faults()[0].0, pointer, "{path}");
    }
    let all = "/api/v1/points/P1/setpoint/series?agg=raw&from=0";
    let answer = web.get(all).await;
    assert_eq!(answer.refusal(), code(400, "series.too_large"));
    assert_eq!(answer.header("retry-after"), "", "later is no better");
}

#[tokio::test]
async fn alarms_refuse_what_the_facility_refuses() {
    let web = Web::new();
    web.fixture.trap();
    let id = web.alarm("entrapment").await;
    let path = |what: &str| format!("/api/v1/alarms/{id}/{what}");
    let shelve = json!({ "reason": "noise", "minutes": 60 });
    assert_eq!(
        web.post(&path("shelve"), shelve).await.refusal(),
        code(409, "alarm.life_safety")
    );
    assert_eq!(
        web.post(&path("shelve"), json!({ "minutes": 500 }))
            .await
            .faults(),
        [
            fault("/reason", "required"),
            fault("/minutes", "out_of_range")
        ]
    );
    assert_eq!(
        web.post(&path("comment"), json!({})).await.faults(),
        [fault("/comment", "required")]
    );
    let cookie = web.cookie().await;
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let first = web
        .send(request(Method::POST, &path("ack"), &headers, None))
        .await;
    assert_eq!(first.status, StatusCode::NO_CONTENT);
    let second = web.post(&path("ack"), json!({})).await;
    assert_eq!(second.refusal(), code(409, "alarm.already_acked"));
    assert_eq!(second.json()["current"]["acknowledged_by"], "duty");
    let detail = second.json()["detail"].to_string();
    let said = "A3 Passenger entrapment was acknowledged by";
    assert!(detail.contains(said), "{detail}");
    web.fixture.calm();
    assert_eq!(
        web.post(&path("comment"), json!({ "comment": "x" }))
            .await
            .refusal(),
        code(409, "alarm.not_open")
    );
}

#[tokio::test]
async fn orders_refuse_what_the_table_refuses() {
    let web = Web::new();
    web.fixture.trip();
    let no = web.order().await;
    let path = format!("/api/v1/work-orders/{no}/transitions");
    let skip = web
        .post(
            &path,
            json!({ "to": "completed", "cause": "x", "remedy": "y" }),
        )
        .await;
    assert_eq!(skip.refusal(), code(409, "wo.transition_not_allowed"));
    let mut current = skip.json()["current"].take();
    assert!(current["at"].take().is_string(), "since when it is so");
    assert_eq!(
        current,
        json!({ "status": "assigned", "version": 1, "assignee": "zhao", "by": null, "at": null })
    );
    let told = skip.json()["detail"].to_string();
    assert!(told.contains("The gateway assigned the order to"), "{told}");
    assert_eq!(
        web.post(&path, json!({ "to": "lost" })).await.faults(),
        [fault("/to", "unknown")]
    );
    assert_eq!(
        web.post(&path, json!({})).await.faults(),
        [fault("/to", "required")]
    );
    assert_eq!(
        web.post(&path, json!({ "to": "assigned" })).await.faults(),
        [fault("/assignee", "required"), fault("/reason", "required")]
    );
    let future = json!({ "to": "accepted", "recorded_at": "2999-01-01T00:00:00Z" });
    assert_eq!(
        web.post(&path, future).await.faults(),
        [fault("/recorded_at", "in_future")]
    );
    let odd = json!({ "to": "accepted", "recorded_at": "noon", "labor_minutes": 1_000_000 });
    assert_eq!(
        web.post(&path, odd).await.faults(),
        [
            fault("/labor_minutes", "out_of_range"),
            fault("/recorded_at", "wrong_type")
        ]
    );
    for to in ["accepted", "on_site", "in_progress"] {
        web.step(&no, json!({ "to": to })).await;
    }
    let missing = web.post(&path, json!({ "to": "completed" })).await;
    assert_eq!(missing.refusal(), code(422, "form.invalid"));
    assert_eq!(
        missing.faults(),
        [fault("/cause", "required"), fault("/remedy", "required")]
    );
    web.step(
        &no,
        json!({ "to": "completed", "cause": "x", "remedy": "y" }),
    )
    .await;
    let stands = web.post(&path, json!({ "to": "verified" })).await;
    assert_eq!(stands.refusal(), code(409, "wo.fault_stands"));
}

#[tokio::test]
async fn a_broken_store_is_said_and_snapshots_still_answer() {
    let web = Web::new();
    web.fixture.trip();
    let id = web.alarm("pump2_fault").await;
    let cookie = web.cookie().await;
    // Tokens are looked up in the store too, so the whole API says when it is down.
    web.fixture.break_store(true);
    let answer = web
        .post(&format!("/api/v1/alarms/{id}/ack"), json!({}))
        .await;
    assert_eq!(answer.refusal(), code(503, "store.unavailable"));
    assert_eq!(answer.header("retry-after"), "5");
    let headers = [("cookie", cookie.as_str())];
    let page = web.send(request(Method::GET, "/", &headers, None)).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    web.fixture.break_store(false);
    assert_eq!(
        web.post(&format!("/api/v1/alarms/{id}/ack"), json!({}))
            .await
            .status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_repeated_post_happens_once() {
    let web = Web::new();
    let key = [("idempotency-key", "phone-1")];
    let body = || json!({ "asset": "A3", "title": "Noise" });
    let post = async |headers: &[(&str, &str)], body| {
        web.ask(Method::POST, "/api/v1/work-orders", headers, Some(body))
            .await
    };
    let first = post(&key, body()).await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (StatusCode::CREATED, "")
    );
    let second = post(&key, body()).await;
    assert_eq!(
        (second.status, second.header("idempotent-replayed")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(second.text, first.text);
    assert_eq!(second.header("content-type"), "application/json");
    let other = post(&key, json!({ "asset": "P1", "title": "Noise" })).await;
    assert_eq!(other.refusal(), code(422, "idempotency.mismatch"));
    let orders = web.get("/api/v1/work-orders").await.json();
    assert_eq!(orders["items"].as_array().unwrap().len(), 1);
    // A refusal changed nothing: the same key may be used once the form is right.
    let key = [("idempotency-key", "phone-2")];
    assert_eq!(
        post(&key, json!({})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(post(&key, body()).await.status, StatusCode::CREATED);
    // Keys are each caller's own.
    let cookie = web.cookie().await;
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("idempotency-key", "phone-1"),
    ];
    let theirs = web
        .send(request(
            Method::POST,
            "/api/v1/work-orders",
            &headers,
            Some(body()),
        ))
        .await;
    assert_eq!(
        (theirs.status, theirs.header("idempotent-replayed")),
        (StatusCode::CREATED, "")
    );
    let long = "k".repeat(201);
    assert_eq!(
        post(&[("idempotency-key", &long)], body()).await.refusal(),
        code(400, "query.invalid")
    );
}

#[tokio::test]
async fn what_was_done_is_not_done_again_though_its_answer_is_lost() {
    let web = Web::new();
    web.fixture.lose_answers();
    let key = [("idempotency-key", "phone-9")];
    let post = async |path: &str, body: Value| web.ask(Method::POST, path, &key, Some(body)).await;
    let body = json!({ "asset": "A3", "title": "noise" });
    let first = post("/api/v1/work-orders", body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = post("/api/v1/work-orders", body).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (StatusCode::OK, "true")
    );
    assert_eq!(again.json()["no"], first.json()["no"]);
    let all = web.get("/api/v1/work-orders").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    let other = post(
        "/api/v1/work-orders",
        json!({ "asset": "A3", "title": "x" }),
    )
    .await;
    assert_eq!(other.refusal(), code(422, "idempotency.mismatch"));

    web.fixture.trap();
    let path = format!("/api/v1/alarms/{}/ack", web.alarm("entrapment").await);
    let key = [("idempotency-key", "phone-10")];
    for replayed in ["", "true"] {
        let answer = web.ask(Method::POST, &path, &key, Some(json!({}))).await;
        assert_eq!(
            (answer.status, answer.header("idempotent-replayed")),
            (StatusCode::NO_CONTENT, replayed)
        );
    }
}

#[tokio::test]
async fn a_post_repeated_too_soon_waits_for_the_first() {
    let web = Web::new();
    let key = [("idempotency-key", "impatient")];
    let post = || {
        let body = json!({ "asset": "A3", "title": "Noise" });
        web.ask(Method::POST, "/api/v1/work-orders", &key, Some(body))
    };
    let (first, second) = tokio::join!(post(), post());
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(second.refusal(), code(409, "idempotency.in_progress"));
    assert_eq!(post().await.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn an_empty_answer_is_repeated_too() {
    let web = Web::new();
    web.fixture.trip();
    let path = format!("/api/v1/alarms/{}/ack", web.alarm("pump2_fault").await);
    let key = [("idempotency-key", "a")];
    for replayed in ["", "true"] {
        let answer = web.ask(Method::POST, &path, &key, None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(
            (answer.header("idempotent-replayed"), answer.text.as_str()),
            (replayed, "")
        );
    }
}
