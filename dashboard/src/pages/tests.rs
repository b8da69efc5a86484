//! Pages as people meet them: in both languages, without scripts, with forms alone.

mod direction;
mod given_back;
mod headline;
mod photos;

use super::words::tests::table;
use crate::fixture::{Fixture, PASSWORD, USER};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use tower::ServiceExt;
use zhiban_core::point::QualityReason;
use zhiban_core::{LinkState, Value};

const PAGES: [&str; 12] = [
    "/",
    "/assets",
    "/assets?class=elevator&state=alarm",
    "/assets/A3",
    "/assets/P1?point=outlet_pressure&hours=24",
    "/alarms",
    "/alarms?state=unacknowledged",
    "/alarms?state=shelved",
    "/alarms?state=all",
    "/work-orders",
    "/work-orders?view=mine",
    "/work-orders?view=over",
];

/// A person with a browser that runs no scripts.
struct Person {
    fixture: Fixture,
    router: Router,
    cookie: String,
}

/// What came back: status, where to, and the page.
type Answer = (StatusCode, String, String);

impl Person {
    async fn new() -> Self {
        Self::of(Fixture::start()).await
    }

    async fn of(fixture: Fixture) -> Self {
        let router = crate::router(fixture.app.clone());
        let mut person = Self {
            fixture,
            router,
            cookie: String::new(),
        };
        person.sign_in(USER).await;
        person
    }

    /// From now on it is somebody else.
    async fn sign_in(&mut self, user: &str) {
        let fields = [
            ("username", user),
            ("password", PASSWORD),
            ("next", "/alarms"),
        ];
        let request = self.request(Method::POST, "/login", "zh-CN", &fields);
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()["location"], "/alarms");
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        language: &str,
        fields: &[(&str, &str)],
    ) -> Request<Body> {
        let pairs = fields.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", crate::auth::escape(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        Request::builder()
            .method(method)
            .uri(path)
            .header("accept-language", language)
            .header("cookie", &self.cookie)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let location = parts.headers.get("location");
        let location = location.map_or("", |value| value.to_str().unwrap());
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        let page = String::from_utf8(bytes.to_vec()).unwrap();
        (parts.status, location.to_owned(), page)
    }

    async fn read(&self, path: &str, language: &str) -> String {
        let request = self.request(Method::GET, path, language, &[]);
        let (status, _, page) = self.ask(request).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        page
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(self.request(Method::POST, path, "zh-CN", fields))
            .await
    }

    /// The first order's address in the list.
    async fn order(&self) -> String {
        let list = self.read("/work-orders", "en").await;
        let rest = list.split_once("href=\"/work-orders/WO-").unwrap().1;
        format!("/work-orders/WO-{}", rest.split('"').next().unwrap())
    }

    /// What a step's form says of the order as the page shows it: its status, and whose it is.
    async fn shown(&self, order: &str) -> (String, String) {
        let page = self.read(order, "en").await;
        let field = |name: &str| {
            let mark = format!("name=\"{name}\" value=\"");
            piece(&page, &mark, "\"").to_owned()
        };
        (field("from"), field("of"))
    }

    /// Sends a step as the order's page has it.
    async fn try_step(&self, order: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let (from, of) = self.shown(order).await;
        let mut all = vec![("to", to), ("from", &*from), ("of", &*of)];
        all.extend(fields);
        self.post(&format!("{order}/move"), &all).await
    }

    /// A step that must be allowed.
    async fn step(&self, order: &str, to: &str, fields: &[(&str, &str)]) {
        let (status, location, page) = self.try_step(order, to, fields).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{to}: {page}");
        assert_eq!(location, order);
    }
}

fn location_of(order: &str) -> String {
    format!("{order}?received=1")
}

fn is_chinese(letter: char) -> bool {
    ('\u{3400}'..='\u{9fff}').contains(&letter)
}

#[tokio::test]
async fn every_page_speaks_one_language_and_names_no_key() {
    let person = Person::new().await;
    person.fixture.trap();
    person.fixture.trip();
    let order = person.order().await;
    let pages = PAGES.into_iter().map(str::to_owned);
    let pages: Vec<String> = pages.chain([order, "/alarms/1".into()]).collect();
    let keys = table("zh-CN.toml");
    for path in &pages {
        for language in ["zh-CN", "en"] {
            let page = person.read(path, language).await;
            assert!(
                page.contains(&format!("<html lang=\"{language}\"")),
                "{path}"
            );
            let shown = keys.keys().find(|key| page.contains(&format!(">{key}<")));
            assert_eq!(shown, None, "{path} in {language}");
            if language == "en" {
                let people = ["中文", "李值班", "赵师傅", "孙师傅"];
                let rest = people
                    .iter()
                    .fold(page, |page, name| page.replace(name, ""));
                let left: String = rest.chars().filter(|one| is_chinese(*one)).collect();
                assert!(left.is_empty(), "{path}: {left}");
            }
        }
    }
}

#[tokio::test]
async fn no_page_carries_code_or_style_of_its_own() {
    let person = Person::new().await;
    person.fixture.trap();
    for path in PAGES {
        let page = person.read(path, "en").await;
        for forbidden in [
            " style=",
            "<style",
            "<script>",
            "onclick=",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn what_people_write_comes_back_as_text() {
    let person = Person::new().await;
    let evil = "<img src=x onerror=alert(1)>\"'";
    let fields = [("title", evil), ("note", evil), ("priority", "2")];
    let (status, location, _) = person.post("/assets/A3/report", &fields).await;
    let order = person.order().await;
    assert_eq!(
        (status, location),
        (StatusCode::SEE_OTHER, format!("{order}?received=1"))
    );
    let page = person.read(&location_of(&order), "en").await;
    let no = order.rsplit('/').next().unwrap();
    assert!(page.contains(&format!("Its work order is {no};")));
    for path in ["/", "/work-orders", "/assets/A3", &order] {
        let page = person.read(path, "zh-CN").await;
        assert!(!page.contains("<img"), "{path}");
    }
    let (_, _, page) = person.try_step(&order, "rejected", &[("note", evil)]).await;
    assert!(!page.contains("<img"));
}

#[tokio::test]
async fn an_order_goes_from_birth_to_its_end_by_forms_alone() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    // It is given to somebody else: the page says so, and offers no step that is theirs.
    let page = person.read(&order, "zh-CN").await;
    assert!(page.contains("工单已派给 赵师傅"), "{page}");
    assert!(!page.contains("value=\"accepted\""));
    let (status, _, page) = person.try_step(&order, "accepted", &[]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(page.contains("只有本人可以接单"), "{page}");
    person.sign_in("zhao").await;
    for step in ["accepted", "on_site", "in_progress"] {
        person.step(&order, step, &[("note", "走到这一步")]).await;
    }
    let half = [("cause", "轴承损坏"), ("labor_minutes", "x")];
    let (status, _, page) = person.try_step(&order, "completed", &half).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains(">轴承损坏</textarea>"),
        "what was written is kept"
    );
    let half = [("cause", "轴承损坏")];
    let (status, _, page) = person.try_step(&order, "completed", &half).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        page.matches("aria-invalid=\"true\"").count(),
        1,
        "only the remedy is missing"
    );
    let done = [
        ("cause", "轴承损坏"),
        ("remedy", "更换轴承"),
        ("labor_minutes", "35"),
    ];
    person.step(&order, "completed", &done).await;
    let page = person.read(&order, "zh-CN").await;
    assert!(
        page.contains("须由他人验收") && page.contains("按时完工"),
        "{page}"
    );
    person.sign_in(USER).await;
    let (status, _, page) = person.try_step(&order, "verified", &[]).await;
    assert_eq!(status, StatusCode::CONFLICT, "the fault still stands");
    assert!(
        page.contains(&format!("hx-get=\"{order}\"")),
        "the page is the order's"
    );
    person.fixture.calm();
    person.step(&order, "verified", &[]).await;
    let page = person.read(&order, "zh-CN").await;
    assert!(page.contains("更换轴承") && page.contains("35 分 0 秒"));
    assert!(
        page.contains("id=\"al-1\""),
        "an alarm that is over still belongs to it"
    );
    assert!(
        person
            .read("/work-orders?view=over", "zh-CN")
            .await
            .contains(&order)
    );
}

#[tokio::test]
async fn parts_and_photos_are_added_and_taken_out_without_scripts() {
    let person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    let key = ("idempotency_key", "01890000-0000-7000-8000-000000000007");
    let part = [
        key,
        ("name", "机械密封"),
        ("quantity", "0.5"),
        ("unit", "套"),
        ("sku", "MS-7"),
    ];
    for _ in 0..2 {
        let (status, location, _) = person.post(&format!("{order}/parts"), &part).await;
        assert_eq!((status, location), (StatusCode::SEE_OTHER, order.clone()));
    }
    let wrong = [("name", "油"), ("quantity", "0,5")];
    let (status, _, page) = person.post(&format!("{order}/parts"), &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains("最多三位小数") && page.contains(&order),
        "said on the order's page"
    );

    let send = async |photos: &[&[u8]]| {
        let mut body = Vec::new();
        let head = "--cut\r\nContent-Disposition: form-data; name=";
        for (name, value) in [("idempotency_key", key.1), ("stage", "before")] {
            body.extend(format!("{head}\"{name}\"\r\n\r\n{value}\r\n").bytes());
        }
        for photo in photos {
            body.extend(format!("{head}\"photo\"; filename=\"x\"\r\n\r\n").bytes());
            body.extend(*photo);
            body.extend(b"\r\n");
        }
        body.extend(b"--cut--\r\n");
        let mut request = person.request(Method::POST, &format!("{order}/photos"), "zh-CN", &[]);
        let kind = "multipart/form-data; boundary=cut".parse().unwrap();
        request.headers_mut().insert("content-type", kind);
        *request.body_mut() = Body::from(body);
        person.ask(request).await
    };
    let two: [&[u8]; 2] = [b"\xff\xd8\xff one", b"\x89PNG\r\n\x1a\n two"];
    for _ in 0..2 {
        assert_eq!(send(&two).await.0, StatusCode::SEE_OTHER);
    }
    let (status, _, page) = send(&[b"<svg/>", b"x"]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
    let third: [&[u8]; 1] = [b"\xff\xd8\xff another from the same form"];
    assert_eq!(send(&third).await.0, StatusCode::SEE_OTHER);
    let page = person.read(&order, "zh-CN").await;
    assert_eq!(
        page.matches("<img src=\"/api/v1/work-orders/").count(),
        3,
        "each once"
    );
    assert_eq!(page.matches("<b>机械密封</b>").count(), 1);
    assert!(page.contains("0.5 套") && page.contains("维修前") && !page.contains("sha256:"));

    for (what, id) in [("parts", "2"), ("photos", "3")] {
        let path = format!("{order}/{what}/remove");
        let (status, _, page) = person.post(&path, &[("id", id)]).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    }
    let page = person.read(&order, "zh-CN").await;
    assert_eq!(page.matches("<img src=\"/api/v1/work-orders/").count(), 2);
    assert!(page.contains("没有登记备件"));
}

#[tokio::test]
async fn a_form_sent_twice_is_carried_out_once() {
    let person = Person::new().await;
    person.fixture.trap();
    let order = person.order().await;
    let fields = [
        ("idempotency_key", "01890000-0000-7000-8000-000000000001"),
        ("back", order.as_str()),
        ("comment", "已联系维保"),
    ];
    for _ in 0..2 {
        let (status, location, _) = person.post(&format!("{order}/comment"), &fields).await;
        assert_eq!((status, location), (StatusCode::SEE_OTHER, order.clone()));
    }
    let page = person.read(&order, "zh-CN").await;
    assert_eq!(page.matches("已联系维保").count(), 1);
    // The same form on another content is another comment, never a refusal.
    let other = [fields[0], fields[1], ("comment", "乘客已救出")];
    let (status, _, page) = person.post(&format!("{order}/comment"), &other).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let page = person.read(&order, "zh-CN").await;
    assert_eq!(page.matches("乘客已救出").count(), 1);
}

#[tokio::test]
async fn two_presses_at_the_same_time_are_one_and_both_are_answered() {
    let person = Person::new().await;
    person.fixture.trap();
    let order = person.order().await;
    let fields = [
        ("idempotency_key", "01890000-0000-7000-8000-000000000002"),
        ("comment", "已联系维保"),
    ];
    let path = format!("{order}/comment");
    let (one, two) = tokio::join!(person.post(&path, &fields), person.post(&path, &fields));
    for (status, location, page) in [one, two] {
        assert_eq!(
            (status, &location),
            (StatusCode::SEE_OTHER, &order),
            "{page}"
        );
    }
    let page = person.read(&order, "zh-CN").await;
    assert_eq!(page.matches("已联系维保").count(), 1);
}

#[tokio::test]
async fn a_step_for_an_older_state_is_refused_and_says_who_changed_it() {
    let mut person = Person::new().await;
    person.sign_in("zhao").await;
    person.fixture.trip();
    let order = person.order().await;
    let (from, of) = person.shown(&order).await;
    let old = [("to", "accepted"), ("from", &*from), ("of", &*of)];
    let path = format!("{order}/move");
    // A comment changes nothing of what was decided on.
    person
        .post(&format!("{order}/comment"), &[("comment", "路上")])
        .await;
    assert_eq!(person.post(&path, &old).await.0, StatusCode::SEE_OTHER);
    let (status, _, page) = person.post(&path, &old).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert!(
        page.contains("赵师傅于") && page.contains("改为“已接单”"),
        "{page}"
    );
    // The button that came under the finger was another step, and one without a state is no step.
    let (status, _, _) = person.post(&path, &[("to", "on_site")]).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let mut request = person.request(Method::POST, &path, "en", &old);
    request
        .headers_mut()
        .insert("hx-request", "true".parse().unwrap());
    let (status, _, problem) = person.ask(request).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["current"]["status"], "accepted");
    assert_eq!(problem["current"]["by"], "zhao");
    let told = problem["detail"].as_str().unwrap();
    assert!(
        told.contains("赵师傅 moved the order from \"Assigned\" to \"Accepted\" at "),
        "{told}"
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_with_the_figures_and_never_cut() {
    let person = Person::new().await;
    person.fixture.trap();
    let order = person.order().await;
    let long = "长".repeat(2001);
    for (path, name) in [
        (format!("{order}/comment"), "comment"),
        ("/assets/A3/report".into(), "title"),
    ] {
        let (status, _, problem) = {
            let mut request = person.request(Method::POST, &path, "en", &[(name, &long)]);
            request
                .headers_mut()
                .insert("hx-request", "true".parse().unwrap());
            person.ask(request).await
        };
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert!(problem.contains("characters, this has 2001"), "{problem}");
    }
    for path in PAGES {
        assert!(
            !person.read(path, "en").await.contains("maxlength"),
            "{path}"
        );
    }
    // A browser sends a line break as two characters; it is one.
    let lines = "一\r\n".repeat(1000);
    let (status, _, page) = person
        .post(&format!("{order}/comment"), &[("comment", &lines)])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
}

#[tokio::test]
async fn what_turns_the_direction_of_writing_is_shown_and_turns_nothing() {
    let person = Person::new().await;
    person.fixture.trap();
    let order = person.order().await;
    let comment = [("comment", "正常\u{202e}常异\u{2066}")];
    person.post(&format!("{order}/comment"), &comment).await;
    let page = person.read(&order, "zh-CN").await;
    assert!(page.contains("正常[U+202E]常异[U+2066]"));
    assert!(!page.contains('\u{202e}'));
}

#[tokio::test]
async fn who_presses_set_up_twice_is_signed_in() {
    let person = Person::new().await;
    person.fixture.forget_accounts();
    let fields = [
        ("token", "fixture-setup"),
        ("username", "zhang"),
        ("password", "a long enough one"),
    ];
    for _ in 0..2 {
        let (status, location, page) = person.post("/setup", &fields).await;
        assert_eq!((status, &*location), (StatusCode::SEE_OTHER, "/"), "{page}");
    }
    let other = [fields[0], fields[1], ("password", "another long one")];
    let (status, _, _) = person.post("/setup", &other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn acknowledging_names_the_person_and_never_fails_for_being_second() {
    let person = Person::new().await;
    person.fixture.trap();
    let fields = [("comment", "我去现场"), ("back", "/")];
    for _ in 0..2 {
        let (status, location, _) = person.post("/alarms/1/ack", &fields).await;
        assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, "/"));
    }
    let page = person.read("/alarms/1", "zh-CN").await;
    assert!(page.contains("李值班") && page.contains("我去现场"));
    assert!(person.read("/", "zh-CN").await.contains("bar calm"));
    let elsewhere = [("back", "//evil.example/")];
    let (_, location, _) = person.post("/alarms/1/ack", &elsewhere).await;
    assert_eq!(location, "/", "a form never leads to another site");
}

#[tokio::test]
async fn losing_the_record_store_is_said_in_words() {
    let person = Person::new().await;
    person.fixture.break_store(true);
    let (status, _, page) = person
        .ask(person.request(Method::GET, "/", "zh-CN", &[]))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.contains("<html lang=\"zh-CN\"") && page.contains("暂时无法读写记录"));
}

/// The part of a page from a mark to the end of its element.
fn piece<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap();
    rest.split(to).next().unwrap()
}

#[tokio::test]
async fn what_says_nothing_about_now_is_not_drawn_as_if_it_did() {
    let person = Person::new().await;
    let fixture = &person.fixture;
    fixture.set(&[
        ("A3/floor", Value::Integer(5)),
        ("A3/car_moving", Value::Flag(true)),
        ("A3/direction", Value::Text("up".into())),
        ("A3/service_mode", Value::Text("normal".into())),
    ]);
    let page = person.read("/", "en").await;
    let lift = piece(&page, "id=\"lift-A3\"", "</a>");
    assert!(lift.contains("data-lift-state>Up<") && lift.contains("data-state-q=\"0\""));
    assert!(page.contains("data-cars-moving> · 1 running<"));

    // One part is enough: nobody knows what the car does, though its floor is known.
    fixture.spoil("A3/direction", QualityReason::OutOfRange);
    for path in ["/", "/assets/A3"] {
        let page = person.read(path, "en").await;
        let lift = piece(&page, "data-lift=\"A3\"", "data-lift-at");
        assert!(lift.contains("data-lift-state></span>"), "{lift}");
        assert!(lift.contains("data-q=\"0\" data-state-q=\"2\""), "{lift}");
        assert!(page.contains("A3/direction\" data-val=\"up\" data-q=\"2\""));
        assert!(lift.ends_with("<span class=\"old\">Stale <time class=\"n\" data-age "));
    }
    fixture.link("A3", LinkState::Down);
    let page = person.read("/", "zh-CN").await;
    assert!(
        page.contains("data-cars-moving hidden"),
        "no car is known to move"
    );
    let lift = piece(&page, "id=\"lift-A3\"", "</a>");
    assert!(lift.contains("data-q=\"3\" data-state-q=\"3\"") && lift.contains("数据陈旧"));

    fixture.spoil("P1/pump1_running", QualityReason::Timeout);
    fixture.spoil("P1/outlet_pressure", QualityReason::Timeout);
    let page = person.read("/", "en").await;
    let pump = piece(&page, "data-c=\"P1/pump1_running\"", "</li>");
    assert!(
        pump.starts_with(" data-val=\"true\" data-q=\"2\""),
        "{pump}"
    );
    assert!(pump.contains("class=\"w oldw\"") && pump.contains("data-at=\"P1/pump1_running\""));
    let gauge = piece(&page, "<figure class=\"ind", "</figure>");
    assert!(gauge.contains("data-q=\"2\"") && gauge.contains("data-at=\"P1/outlet_pressure\""));
}

#[tokio::test]
async fn what_is_not_recorded_is_said_on_every_page() {
    let person = Person::new().await;
    person.fixture.stop_recording(true);
    for (language, words) in [
        ("zh-CN", "记录暂时无法写入"),
        ("en", "Records cannot be written"),
    ] {
        for path in PAGES {
            let page = person.read(path, language).await;
            assert!(page.contains(words), "{path} in {language}");
        }
    }
    person.fixture.stop_recording(false);
    let page = person.read("/", "zh-CN").await;
    assert!(!page.contains("记录暂时无法写入"));
}

#[tokio::test]
async fn that_records_are_those_of_an_older_copy_is_said_on_every_page() {
    let person = Person::new().await;
    person.fixture.use_older_records(true);
    for (language, words) in [
        ("zh-CN", "记录库曾损坏或丢失"),
        ("en", "The record store was damaged or missing"),
    ] {
        for path in PAGES {
            let page = person.read(path, language).await;
            assert!(page.contains(words), "{path} in {language}");
        }
    }
    person.fixture.use_older_records(false);
    let page = person.read("/", "zh-CN").await;
    assert!(!page.contains("记录库曾损坏或丢失"));
}

#[tokio::test]
async fn what_nobody_types_is_refused_at_the_door() {
    let person = Person::new().await;
    for fields in [
        [("username", "du\u{7}ty"), ("password", PASSWORD)],
        [("username", USER), ("password", "a quiet\u{0} night shift")],
    ] {
        let (status, _, page) = person.post("/login", &fields).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(page.contains("name=\"username\""));
    }
    person.fixture.forget_accounts();
    for (token, user, password) in [
        ("fixture-setup\u{1}", "zhang", "a long enough one"),
        ("fixture-setup", "zh\u{1b}ang", "a long enough one"),
        ("fixture-setup", "zhang", "a long\nenough one"),
    ] {
        let fields = [("token", token), ("username", user), ("password", password)];
        let (status, _, _) = person.post("/setup", &fields).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
    }
}

#[tokio::test]
async fn language_and_theme_are_kept_and_the_address_stays() {
    let person = Person::new().await;
    let request = person.request(
        Method::GET,
        "/alarms?state=all&lang=en&theme=dark",
        "zh-CN",
        &[],
    );
    let response = person.router.clone().oneshot(request).await.unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert!(
        cookies
            .iter()
            .any(|one| one.to_str().unwrap().starts_with("zhiban_theme=dark"))
    );
    let bytes = to_bytes(response.into_body(), 1 << 22).await.unwrap();
    let page = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(page.contains("<html lang=\"en\" data-theme=\"dark\""));
    assert!(
        page.contains("href=\"/alarms?state=all&#38;lang=zh-CN\""),
        "the switch keeps the address"
    );
}

#[tokio::test]
async fn a_fault_that_is_over_is_no_fact_of_now() {
    let person = Person::new().await;
    let floor = |n| [("A3/floor", Value::Integer(n))];
    person.fixture.set(&floor(4));
    person.fixture.trap();
    let page = person.read("/", "zh-CN").await;
    assert!(page.contains("class=\"lift ab p1\""), "the car is marked");
    assert!(page.contains("class=\"bar un p1\""), "so is the bar");
    assert!(page.contains("信号仍在"), "what the machine says now");

    person.fixture.calm();
    let page = person.read("/", "zh-CN").await;
    assert!(!page.contains("lift ab"), "the car runs empty");
    assert!(page.contains("data-alarm=\"\""), "it is said what it does");
    assert!(
        page.contains("class=\"bar un p1 past\""),
        "the bar is not red"
    );
    let bar = page.split_once("id=\"bar\"").unwrap().1;
    let bar = bar.split_once("</section>").unwrap().0;
    for said in ["信号已消失", "未确认", "持续 "] {
        assert!(bar.contains(said), "{said}: {bar}");
    }
    assert!(!bar.contains("data-age"), "its time stands still: {bar}");
    for path in ["/alarms", "/alarms/1", "/assets/A3", "/alarms?state=all"] {
        let page = person.read(path, "zh-CN").await;
        let main = page.split_once("<main").unwrap().1;
        assert!(
            main.contains("信号已消失") && main.contains("持续 "),
            "{path}"
        );
        assert!(!main.contains("信号仍在"), "{path}");
    }
}

#[tokio::test]
async fn a_fault_whose_data_are_old_is_not_known_now() {
    let person = Person::new().await;
    person.fixture.trap();
    person.fixture.link("A3", LinkState::Down);
    for path in ["/", "/alarms/1", "/assets/A3"] {
        let page = person.read(path, "en").await;
        let bar = page.split_once("id=\"bar\"").unwrap().1;
        let bar = bar.split_once("</section>").unwrap().0;
        assert!(bar.contains("not known now"), "{path}: {bar}");
        assert!(!bar.contains("still present"), "{path}: {bar}");
    }
    let page = person.read("/", "en").await;
    assert!(page.contains("lift ab p1"), "bad data clear nothing");
    let order = person.order().await;
    let page = person.read(&order, "en").await;
    assert!(page.contains("Whether the fault is still there is not known"));
}

#[tokio::test]
async fn where_the_fault_is_stands_on_every_page() {
    let person = Person::new().await;
    let floor = |n| [("A3/floor", Value::Integer(n))];
    person.fixture.set(&floor(7));
    person.fixture.trap();
    person.fixture.set(&floor(-2));
    let order = person.order().await;
    let pages = [
        "/",
        "/alarms",
        "/alarms/1",
        "/assets/A3",
        "/work-orders",
        &order,
    ];
    for path in pages {
        let page = person.read(path, "en").await;
        assert!(page.contains("car at B2"), "{path}");
    }
    for path in ["/alarms/1", &order] {
        let life = person.read(path, "en").await;
        assert!(life.contains("Place updated"), "{path}");
    }
    person.fixture.link("A3", LinkState::Down);
    // Followed again after the pause, or at once: the page must not say that it is so now.
    let page = person.read("/alarms/1", "en").await;
    assert!(page.contains("not known now"));
}
