//! Parts and photos of an order's record, as callers meet them.

use super::Web;
use crate::fixture::TOKEN;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 not a whole picture, but it begins as one";

/// A form with these fields; a name that ends in `@` is a file.
fn form(cut: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (name, file) = match name.strip_suffix('@') {
            Some(name) => (
                name,
                "; filename=\"../../etc/x.html\"\r\nContent-Type: text/html",
            ),
            None => (*name, ""),
        };
        let head =
            format!("--{cut}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend(head.as_bytes());
        body.extend(*value);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{cut}--\r\n").as_bytes());
    body
}

impl Web {
    async fn upload(&self, path: &str, key: &str, fields: &[(&str, &[u8])]) -> super::Answer {
        self.upload_cut("cut", path, key, fields).await
    }

    async fn upload_cut(
        &self,
        cut: &str,
        path: &str,
        key: &str,
        fields: &[(&str, &[u8])],
    ) -> super::Answer {
        let kind = format!("multipart/form-data; boundary={cut}");
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::ACCEPT_LANGUAGE, "en")
            .header(header::CONTENT_TYPE, kind)
            .header("idempotency-key", key)
            .body(Body::from(form(cut.trim_matches('"'), fields)));
        self.send(request.unwrap()).await
    }

    async fn bytes(&self, path: &str, tag: &str) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        use tower::ServiceExt;
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::IF_NONE_MATCH, tag)
            .body(Body::empty());
        let answer = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        (parts.status, parts.headers, bytes.to_vec())
    }

    async fn order_path(&self) -> String {
        self.fixture.trip();
        format!("/api/v1/work-orders/{}", self.order().await)
    }
}

#[tokio::test]
async fn parts_are_written_down_and_taken_out() {
    let web = Web::new();
    let order = web.order_path().await;
    let path = format!("{order}/parts");
    let used = json!({ "name": "Door roller", "sku": "K-771", "quantity": 2 });
    let made = web.post(&path, used).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let part = made.json();
    assert_eq!(made.header("location"), format!("{path}/{}", part["id"]));
    assert_eq!(
        (&part["name"], &part["quantity"], &part["unit"], &part["by"]),
        (
            &json!("Door roller"),
            &json!(2.0),
            &Value::Null,
            &json!("fixture")
        )
    );
    let oil = json!({ "name": "Gear oil", "quantity": 0.25, "unit": "L" });
    web.post(&path, oil).await;
    let list = web.get(&path).await.json();
    assert_eq!(list["items"][0], part);
    assert_eq!(list["items"][1]["quantity"], 0.25);
    let detail = web.get(&order).await.json();
    assert_eq!(detail["parts"], list["items"]);
    assert_eq!(detail["photos"], json!([]));
    let last = detail["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["change"], &last["note"]),
        (&json!("part_added"), &json!("0.25 L × Gear oil"))
    );

    let gone = format!("{path}/{}", part["id"]);
    let delete = async || web.ask(Method::DELETE, &gone, &[], None).await;
    assert_eq!(delete().await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete().await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(
        web.get(&path).await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_part_that_is_none_is_pointed_at() {
    let web = Web::new();
    let path = format!("{}/parts", web.order_path().await);
    let faults = async |body: Value| {
        let answer = web.post(&path, body).await;
        assert_eq!(answer.refusal(), (422, "form.invalid".to_owned()));
        let faults = answer.faults().into_iter();
        faults
            .map(|(at, code)| format!("{at} {code}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        faults(json!({})).await,
        ["/name required", "/quantity required"]
    );
    for quantity in [json!(0), json!(-1), json!(0.0001), json!(1e7), json!(1e300)] {
        let body = json!({ "name": "x", "quantity": quantity });
        assert_eq!(faults(body).await, ["/quantity not_a_quantity"]);
    }
    let body = json!({ "name": "x".repeat(201), "quantity": 1, "unit": "u".repeat(17) });
    assert_eq!(faults(body).await, ["/name too_long", "/unit too_long"]);
    assert_eq!(
        faults(json!({ "count": 1 })).await,
        ["/count unknown_field"]
    );
}

#[tokio::test]
async fn a_photo_is_kept_as_it_was_sent_and_shown_as_what_it_is() {
    let web = Web::new();
    let order = web.order_path().await;
    let path = format!("{order}/photos");
    let fields: [(&str, &[u8]); 2] = [("stage", b"after"), ("photo@", JPEG)];
    let made = web.upload(&path, "once", &fields).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let photo = made.json();
    let url = photo["url"].as_str().unwrap();
    assert_eq!(made.header("location"), url);
    assert_eq!(
        (&photo["stage"], &photo["media_type"], &photo["size"]),
        (&json!("after"), &json!("image/jpeg"), &json!(JPEG.len()))
    );
    let again = web.upload(&path, "once", &fields).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), photo);
    let detail = web.get(&order).await.json();
    assert_eq!(detail["photos"], json!([photo]));

    let (status, headers, bytes) = web.bytes(url, "").await;
    assert_eq!((status, bytes.as_slice()), (StatusCode::OK, JPEG));
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(web.bytes(url, &tag).await.0, StatusCode::NOT_MODIFIED);

    let delete = web.ask(Method::DELETE, url, &[], None).await;
    assert_eq!(delete.status, StatusCode::NO_CONTENT);
    assert_eq!(web.bytes(url, "").await.0, StatusCode::NOT_FOUND);
    let life = web.get(&order).await.json()["events"].clone();
    let last = life.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["change"], "photo_removed");
    let hash = format!("sha256:{}", photo["sha256"].as_str().unwrap());
    assert_eq!(last["note"], json!(hash));
    let late = web.ask(Method::DELETE, url, &[], None).await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    let told = late.json()["detail"].as_str().unwrap().to_owned();
    let by = last["by"].as_str().unwrap();
    assert!(told.contains(&format!("a photo, by {by} at ")), "{told}");
}

/// Browsers and programs make a new boundary for every sending.
#[tokio::test]
async fn a_photo_that_is_sent_again_is_kept_once() {
    let web = Web::new();
    let path = format!("{}/photos", web.order_path().await);
    let first = web.upload_cut("cut", &path, "k", &[("photo@", JPEG)]).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    for cut in ["----WebKitFormBoundaryx1", "\"quoted\""] {
        let again = web.upload_cut(cut, &path, "k", &[("photo@", JPEG)]).await;
        assert_eq!(again.header("idempotent-replayed"), "true", "{cut}");
        assert_eq!(again.json(), first.json());
    }
    let other = [JPEG, b"x"].concat();
    for fields in [
        vec![("photo@", &other[..])],
        vec![("photo@", JPEG), ("stage", b"before")],
        vec![("photo@", JPEG), ("photo@", b"")],
    ] {
        let answer = web.upload_cut("cut2", &path, "k", &fields).await;
        let mismatch = (422, "idempotency.mismatch".to_owned());
        assert_eq!(answer.refusal(), mismatch);
    }
    let list = web.get(&path).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_photo_is_refused_and_takes_no_room() {
    let web = Web::new();
    let path = format!("{}/photos", web.order_path().await);
    for (fields, fault) in [
        (
            vec![("photo@", &b"<svg onload=alert(1)>"[..])],
            "/photo not_a_photo",
        ),
        (vec![("photo@", b"")], "/photo not_a_photo"),
        (vec![("stage", b"before")], "/photo required"),
        (
            vec![("photo@", JPEG), ("stage", b"during")],
            "/stage unknown",
        ),
        (
            vec![("photo@", JPEG), ("photo@", JPEG)],
            "/photo duplicate_field",
        ),
        (
            vec![("photo@", JPEG), ("name", b"x")],
            "/name unknown_field",
        ),
        (
            vec![("photo@", JPEG), ("recorded_at", b"now")],
            "/recorded_at wrong_type",
        ),
    ] {
        let answer = web.upload(&path, "k", &fields).await;
        assert_eq!(
            answer.refusal(),
            (422, "form.invalid".to_owned()),
            "{fault}"
        );
        let faults = answer.faults();
        assert_eq!(format!("{} {}", faults[0].0, faults[0].1), fault);
    }
    let json = web.post(&path, json!({ "photo": "x" })).await;
    assert_eq!(json.refusal(), (415, "body.media_type".to_owned()));
    let mut large = JPEG.to_vec();
    large.resize(crate::PHOTO_LIMIT + 1, 0);
    let answer = web.upload(&path, "k", &[("photo@", &large)]).await;
    assert_eq!(answer.refusal(), (413, "body.too_large".to_owned()));
    large.resize(crate::UPLOAD_LIMIT, 0);
    let answer = web.upload(&path, "k", &[("photo@", &large)]).await;
    assert_eq!(answer.refusal(), (413, "body.too_large".to_owned()));

    let none = web.upload(
        "/api/v1/work-orders/WO-20260101-001/photos",
        "n",
        &[("photo@", JPEG)],
    );
    assert_eq!(none.await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(web.get(&path).await.json()["items"], json!([]));
    large.resize(crate::PHOTO_LIMIT, 0);
    web.fixture.stop_recording(true);
    for key in ["a", "b", "c"] {
        let answer = web.upload(&path, key, &[("photo@", &large)]).await;
        assert_eq!(answer.refusal(), (503, "store.unavailable".to_owned()));
    }
    web.fixture.stop_recording(false);
    // Ten MiB twice just fit, so that nothing of what was refused is left.
    for (key, status) in [("1", 201), ("2", 201), ("3", 507)] {
        let answer = web.upload(&path, key, &[("photo@", &large)]).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
}

#[tokio::test]
async fn the_record_of_an_order_that_is_over_stays_as_it_is() {
    let web = Web::new();
    let order = web.order_path().await;
    let (parts, photos) = (format!("{order}/parts"), format!("{order}/photos"));
    let part = web
        .post(&parts, json!({ "name": "seal", "quantity": 1 }))
        .await
        .json();
    let photo = web.upload(&photos, "a", &[("photo@", JPEG)]).await.json();
    web.fixture.calm();
    let no = order.rsplit('/').next().unwrap().to_owned();
    web.step(&no, json!({ "to": "verified" })).await;
    let refused = (409, "wo.transition_not_allowed".to_owned());
    let body = json!({ "name": "late", "quantity": 1 });
    assert_eq!(web.post(&parts, body).await.refusal(), refused);
    let late = web.upload(&photos, "b", &[("photo@", JPEG)]).await;
    assert_eq!(late.refusal(), refused);
    let path = format!("{parts}/{}", part["id"]);
    let delete = web.ask(Method::DELETE, &path, &[], None).await;
    assert_eq!(delete.refusal(), refused);
    let url = photo["url"].as_str().unwrap();
    assert_eq!(
        web.ask(Method::DELETE, url, &[], None).await.refusal(),
        refused
    );
    assert_eq!(web.bytes(url, "").await.2, JPEG);
}
