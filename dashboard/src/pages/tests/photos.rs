//! Photos from an order's page: each is there once, and in nobody else's name.

use super::{Answer, Person};
use crate::fixture::USER;
use axum::body::Body;
use axum::http::{Method, StatusCode};

/// Sends a photo as the form of the page does, drawn for somebody.
async fn send(person: &Person, order: &str, by: &str, photo: &[u8]) -> Answer {
    let head = "--cut\r\nContent-Disposition: form-data; name=";
    let mut body = Vec::new();
    let key = "01890000-0000-7000-8000-000000000009";
    for (name, value) in [("idempotency_key", key), ("by", by), ("stage", "after")] {
        body.extend(format!("{head}\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(format!("{head}\"photo\"; filename=\"x\"\r\n\r\n").bytes());
    body.extend(photo);
    body.extend(b"\r\n--cut--\r\n");
    let mut request = person.request(Method::POST, &format!("{order}/photos"), "en", &[]);
    let kind = "multipart/form-data; boundary=cut".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    *request.body_mut() = Body::from(body);
    person.ask(request).await
}

async fn count(person: &Person, order: &str) -> usize {
    let page = person.read(order, "en").await;
    page.matches("<img src=\"/api/v1/work-orders/").count()
}

#[tokio::test]
async fn a_photo_sent_twice_at_once_is_there_once() {
    let person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    let photo = b"\xff\xd8\xff one";
    let (first, second) = tokio::join!(
        send(&person, &order, USER, photo),
        send(&person, &order, USER, photo)
    );
    for (status, location, page) in [first, second] {
        assert_eq!(
            (status, location),
            (StatusCode::SEE_OTHER, order.clone()),
            "{page}"
        );
    }
    assert_eq!(count(&person, &order).await, 1);
}

#[tokio::test]
async fn a_photo_that_somebody_else_chose_is_not_sent() {
    let person = Person::new().await;
    person.fixture.trip();
    let order = person.order().await;
    let (status, _, _) = send(&person, &order, "zhao", b"\xff\xd8\xff his").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(count(&person, &order).await, 0);
}
