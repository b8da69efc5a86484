//! The router as callers meet it: who may, what is answered, and how it is refused.

mod document;
mod gate;
mod record;
mod refusals;
mod shapes;
mod stream;

use crate::fixture::{Fixture, PASSWORD, TOKEN, USER};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A building and the router over it.
struct Web {
    fixture: Fixture,
    router: Router,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Status and stable code of a refusal.
    fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let code = problem["code"].as_str().unwrap().to_owned();
        (self.status.as_u16(), code)
    }

    /// Pointer and code of each wrong field.
    fn faults(&self) -> Vec<(String, String)> {
        let problem = self.json();
        let errors = problem["errors"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors
            .map(|one| (text(&one["pointer"]), text(&one["code"])))
            .collect()
    }
}

impl Web {
    fn new() -> Self {
        let fixture = Fixture::start();
        let router = crate::router(fixture.app.clone());
        Self { fixture, router }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Asks with the token and reads English.
    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let mut all = vec![
            ("authorization", bearer.as_str()),
            ("accept-language", "en"),
        ];
        all.extend(headers);
        self.send(request(method, path, &all, body)).await
    }

    /// Signs in and gives the cookie.
    async fn cookie(&self) -> String {
        let body = json!({ "username": USER, "password": PASSWORD });
        let request = request(Method::POST, "/api/v1/session", &[], Some(body));
        let answer = self.send(request).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let cookie = answer.header("set-cookie").split(';').next();
        cookie.unwrap().to_owned()
    }

    /// The number of the newest open alarm of a rule.
    async fn alarm(&self, rule: &str) -> String {
        let list = self.get("/api/v1/alarms?state=open").await.json();
        let found = list["items"].as_array().unwrap().iter();
        let mut found = found.filter(|alarm| alarm["rule"] == rule);
        found.next().unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// The number of the newest open order.
    async fn order(&self) -> String {
        let list = self.get("/api/v1/work-orders?status=open").await.json();
        list["items"][0]["no"].as_str().unwrap().to_owned()
    }

    /// Moves an order and expects that it is allowed.
    async fn step(&self, no: &str, body: Value) -> Answer {
        let path = format!("/api/v1/work-orders/{no}/transitions");
        let answer = self.post(&path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer
    }
}

fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let body = match body {
        Some(body) => {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    builder.body(body).unwrap()
}
