//! Bodies that do not come: they hold up nobody else, and end.

use super::{address, demo};
use crate::support::{PATIENCE, http};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 not a whole picture, but it begins as one";

/// The head of a request whose body is still to come.
async fn begun(demo: &Value, method: &str, path: &str, kind: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address(demo)).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: zhiban\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
         Content-Length: 60000\r\n\r\n",
        demo["token"].as_str().unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Everything up to the end of a connection.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = tokio::time::timeout(PATIENCE * 2, stream.read_to_end(&mut said));
    // A reset says as well that it is over.
    drop(reading.await.expect("the connection ends by itself"));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn silent_uploads_hold_up_no_photo_of_anybody_else_and_end() {
    let (_demo, place) = demo(None).await;
    let url = place["dashboard"].as_str().unwrap();
    let token = place["token"].as_str().unwrap();
    let new = json!({ "asset": "A1", "title": "The light flickers", "priority": 3 });
    let made = http()
        .post(format!("{url}/api/v1/work-orders"))
        .bearer_auth(token)
        .json(&new);
    let made = made.send().await.unwrap();
    assert!(made.status().is_success(), "{made:?}");
    let order: Value = made.json().await.unwrap();
    let no = order["no"].as_str().unwrap();
    let photos = format!("/api/v1/work-orders/{no}/photos");
    let kind = "multipart/form-data; boundary=cut";
    let mut silent = Vec::new();
    for path in [
        photos.as_str(),
        &photos,
        &photos,
        &photos,
        "/none/photos",
        "/x/photos",
    ] {
        silent.push(begun(&place, "POST", path, kind).await);
    }
    let signed = json!({ "username": place["user"], "password": place["password"] });
    let signed = http().post(format!("{url}/api/v1/session")).json(&signed);
    let signed = signed.send().await.unwrap();
    let cookie = signed.headers()["set-cookie"].to_str().unwrap().to_owned();
    let mut body =
        b"--cut\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n".to_vec();
    body.extend(JPEG);
    body.extend(b"\r\n--cut--\r\n");
    let sent = http()
        .post(format!("{url}{photos}"))
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", kind)
        .body(body);
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.status().as_u16(), 201, "{sent:?}");
    for stream in &mut silent {
        let said = to_the_end(stream).await;
        assert!(
            said.starts_with("HTTP/1.1 408") || said.starts_with("HTTP/1.1 429"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_body_that_drips_ends_with_its_connection() {
    let (_demo, place) = demo(None).await;
    for (method, path) in [
        ("POST", "/api/v1/alarms/1/comment"),
        ("PATCH", "/api/v1/work-orders/WO-20260101-001"),
        ("POST", "/api/v1/session"),
        ("POST", "/login"),
        ("DELETE", "/api/v1/session"),
    ] {
        let stream = begun(&place, method, path, "application/json").await;
        let (mut read, mut write) = stream.into_split();
        let dripping = tokio::spawn(async move {
            let mut pulse = tokio::time::interval(Duration::from_millis(200));
            while write.write_all(b" ").await.is_ok() {
                pulse.tick().await;
            }
        });
        let mut said = Vec::new();
        let reading = tokio::time::timeout(PATIENCE * 2, read.read_to_end(&mut said));
        drop(reading.await.expect("the connection ends by itself"));
        dripping.abort();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408"),
            "{method} {path}: {said}"
        );
    }
}
