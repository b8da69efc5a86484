//! Every form, refused in every way, without scripts: what was written in it comes back.

use super::{Answer, Person};
use axum::http::{Method, StatusCode};

/// What was written; short enough for every field.
const TEXT: &str = "门锁触点磨损 <&>";
/// The same as it stands in a page.
const SHOWN: &str = "门锁触点磨损 &#60;&#38;&#62;";

/// A form with a text in one of its fields: where it is sent to, its other fields, the field.
struct Form {
    path: String,
    fields: Vec<(&'static str, String)>,
    field: &'static str,
}

impl Form {
    fn new(path: String, fields: &[(&'static str, &str)], field: &'static str) -> Self {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        Self {
            path,
            fields: fields.iter().map(own).collect(),
            field,
        }
    }

    async fn send(&self, person: &Person, text: &str) -> Answer {
        let mut fields: Vec<(&str, &str)> = vec![
            ("idempotency_key", "01890000-0000-7000-8000-00000000000a"),
            ("by", crate::fixture::USER),
        ];
        fields.extend(self.fields.iter().map(|(name, value)| (*name, &**value)));
        fields.push((self.field, text));
        person.post(&self.path, &fields).await
    }
}

/// Every form in which something can be written.
async fn forms(person: &Person) -> Vec<Form> {
    let order = person.order().await;
    let (from, of) = person.shown(&order).await;
    let step = [("to", "cancelled"), ("from", &*from), ("of", &*of)];
    vec![
        Form::new(format!("{order}/comment"), &[], "comment"),
        Form::new(format!("{order}/move"), &step, "reason"),
        Form::new(format!("{order}/parts"), &[("quantity", "2")], "name"),
        Form::new("/alarms/1/comment".into(), &[], "comment"),
        Form::new("/alarms/1/ack".into(), &[], "comment"),
        Form::new("/alarms/1/ack".into(), &[("back", "/alarms")], "comment"),
        Form::new("/alarms/1/ack".into(), &[("back", "/")], "comment"),
        Form::new("/alarms/1/shelve".into(), &[("minutes", "60")], "reason"),
        Form::new("/assets/P1/report".into(), &[("priority", "2")], "title"),
        Form::new(
            "/assets/P1/report".into(),
            &[("priority", "2"), ("title", "x")],
            "note",
        ),
    ]
}

fn is_whole(form: &Form, (_, _, page): &Answer) {
    assert!(page.contains(SHOWN), "{} {}: {page}", form.path, form.field);
    assert!(page.contains("role=\"alert\""), "{}: {page}", form.path);
}

#[tokio::test]
async fn a_form_that_cannot_be_recorded_comes_back_with_its_text() {
    let person = Person::new().await;
    person.fixture.trip();
    for form in forms(&person).await {
        person.fixture.stop_recording(true);
        let answer = form.send(&person, TEXT).await;
        assert!(!answer.0.is_success(), "{}", form.path);
        is_whole(&form, &answer);
        let (_, _, page) = &answer;
        assert!(page.contains("id=\"bar\""), "it is the page: {page}");
        assert!(page.contains("没有保存"), "{page}");
        if answer.0 == StatusCode::SERVICE_UNAVAILABLE && page.contains("data-typed") {
            let key = "value=\"01890000-0000-7000-8000-00000000000a\"";
            assert!(
                page.contains(key),
                "sent again it is the same sending: {}",
                form.path
            );
        }
        person.fixture.stop_recording(false);
    }
}

#[tokio::test]
async fn a_form_comes_back_alone_where_no_page_can_be_shown() {
    let person = Person::new().await;
    person.fixture.trip();
    for form in forms(&person).await {
        person.fixture.break_store(true);
        let answer = form.send(&person, TEXT).await;
        assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE, "{}", form.path);
        is_whole(&form, &answer);
        assert!(answer.2.contains(&format!("action=\"{}\"", form.path)));
        person.fixture.break_store(false);
    }
}

#[tokio::test]
async fn a_text_of_any_length_comes_back_with_its_field_marked() {
    let person = Person::new().await;
    person.fixture.trip();
    let long = "长".repeat(40_000);
    for form in forms(&person).await {
        let (status, _, page) = form.send(&person, &long).await;
        if status == StatusCode::PRECONDITION_FAILED || status == StatusCode::CONFLICT {
            continue;
        }
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{}", form.path);
        assert!(page.contains(&long), "{}: not whole", form.path);
        assert!(page.contains("现在有 40000 个"), "{}", form.path);
        assert!(
            page.contains("aria-invalid=\"true\" data-refused autofocus"),
            "{}",
            form.path
        );
    }
}

#[tokio::test]
async fn a_field_behind_a_fold_is_unfolded() {
    let person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    let page = person.post("/assets/P1/report", &[("note", TEXT)]).await.2;
    assert!(
        page.contains("<details class=\"rep\" open>") && page.contains(SHOWN),
        "{page}"
    );
    let part = [("name", TEXT), ("quantity", "0,5")];
    let page = person.post(&format!("{order}/parts"), &part).await.2;
    assert!(page.contains("<details class=\"add\" open>") && page.contains("value=\"0,5\""));
    assert!(page.contains(SHOWN));
}

#[tokio::test]
async fn what_was_written_for_a_form_that_is_gone_stands_beside_the_page() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    person.sign_in("zhao").await;
    let (from, of) = person.shown(&order).await;
    person.step(&order, "accepted", &[]).await;
    let old = [
        ("to", "accepted"),
        ("from", &*from),
        ("of", &*of),
        ("note", TEXT),
    ];
    let (status, _, page) = person.post(&format!("{order}/move"), &old).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert!(page.contains("赵师傅于"), "who did what: {page}");
    assert!(
        page.contains(&format!("<blockquote>备注: {SHOWN}</blockquote>")),
        "{page}"
    );
}

#[tokio::test]
async fn a_form_waits_for_its_writer_to_sign_in_again_and_for_nobody_else() {
    let mut person = Person::new().await;
    person.fixture.trip();
    let forms = forms(&person).await;
    let signed = person.cookie.clone();
    for form in &forms {
        person.cookie = "zhiban_session=ended".into();
        let (status, _, page) = form.send(&person, TEXT).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", form.path);
        assert!(
            page.contains("action=\"/login\"") && page.contains(SHOWN),
            "{page}"
        );
        let hidden = hidden_fields(&page);
        for (user, password, back) in [
            ("zhao", crate::fixture::PASSWORD, false),
            (crate::fixture::USER, "wrong", true),
            (crate::fixture::USER, crate::fixture::PASSWORD, true),
        ] {
            let mut fields: Vec<(&str, &str)> = vec![("username", user), ("password", password)];
            fields.extend(hidden.iter().map(|(name, value)| (&**name, &**value)));
            let (status, _, page) = person.post("/login", &fields).await;
            assert_eq!(page.contains(SHOWN), back, "{user} {status} {page}");
            if user != "zhao" && password != "wrong" {
                assert_eq!(status, StatusCode::OK);
                assert!(
                    page.contains("id=\"bar\"") && page.contains("登录已失效"),
                    "{page}"
                );
            }
        }
    }
    person.cookie = signed;
    let (status, to, _) = person
        .ask(person.request(Method::POST, "/logout", "en", &[]))
        .await;
    assert_eq!((status, &*to), (StatusCode::SEE_OTHER, "/login"));
}

/// The hidden fields of a page, as a browser sends them.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input type=\"hidden\" name=\"").skip(1);
    let fields = inputs.filter_map(|input| {
        let (name, rest) = input.split_once("\" value=\"")?;
        let (value, _) = rest.split_once('"')?;
        let mut value = value.to_owned();
        for (code, letter) in [("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")] {
            value = value.replace(code, letter);
        }
        Some((name.to_owned(), value))
    });
    fields.collect()
}

#[tokio::test]
async fn the_setup_page_keeps_token_and_name_when_the_store_fails() {
    let mut person = Person::new().await;
    person.fixture.forget_accounts();
    person.cookie.clear();
    person.fixture.break_store(true);
    let fields = [
        ("token", crate::fixture::SETUP_TOKEN),
        ("username", "chen"),
        ("password", "seven quiet lanterns"),
    ];
    let (status, _, page) = person.post("/setup", &fields).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        page.contains(&format!("value=\"{}\"", crate::fixture::SETUP_TOKEN)),
        "{page}"
    );
    assert!(page.contains("value=\"chen\"") && !page.contains("quiet lanterns"));
    assert!(page.contains("role=\"alert\""));
    let fields = [("username", "chen"), ("password", "seven quiet lanterns")];
    let (status, _, page) = person.post("/login", &fields).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        page.contains("value=\"chen\"") && page.contains("action=\"/login\""),
        "{page}"
    );
}
