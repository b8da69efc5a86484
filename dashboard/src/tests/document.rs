//! The OpenAPI document against real answers: every answer has the shape that is promised, and no field more.

use super::{Web, request};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

struct Document(Value);

impl Document {
    async fn of(web: &Web) -> Self {
        Self(web.get("/api/openapi.json").await.json())
    }

    fn resolve<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            None => schema,
            Some(place) => {
                let found = self.0.pointer(place.trim_start_matches('#'));
                self.resolve(found.unwrap_or_else(|| panic!("{place} is nowhere")))
            }
        }
    }

    /// The schema of an answer; the one of refusals when the status is not named.
    fn answer(&self, method: &str, path: &str, status: u16, kind: &str) -> &Value {
        let responses = &self.0["paths"][path][method]["responses"];
        let named = &responses[status.to_string()];
        let response = if named.is_null() {
            &responses["default"]
        } else {
            named
        };
        let schema = &response["content"][kind]["schema"];
        assert!(
            !schema.is_null(),
            "{method} {path} {status} {kind}: {response}"
        );
        schema
    }

    /// Everything in which a value differs from its schema.
    fn faults(&self, value: &Value, schema: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolve(schema);
        for choice in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let fits = |schema: &Value| {
                    let mut own = Vec::new();
                    self.faults(value, schema, at, &mut own);
                    own.is_empty()
                };
                if !choices.iter().any(fits) {
                    faults.push(format!("{at}: {value} is none of {schema}"));
                }
                return;
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut known = json!({ "type": "object", "properties": {}, "required": [] });
            for part in parts.iter().map(|part| self.resolve(part)) {
                for (name, one) in part["properties"].as_object().into_iter().flatten() {
                    known["properties"][name] = one.clone();
                }
                let required = part["required"].as_array().into_iter().flatten().cloned();
                known["required"].as_array_mut().unwrap().extend(required);
            }
            return self.faults(value, &known, at, faults);
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        };
        let fits = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{at}: type {other}"),
        };
        if !kinds.is_empty() && !kinds.iter().any(fits) {
            faults.push(format!("{at}: {value} is not {kinds:?}"));
            return;
        }
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            self.faults(item, &schema["items"], &format!("{at}/{place}"), faults);
        }
        let (Some(fields), Some(properties)) =
            (value.as_object(), schema["properties"].as_object())
        else {
            return;
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                faults.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            match properties.get(name) {
                Some(schema) => self.faults(field, schema, &format!("{at}/{name}"), faults),
                None => faults.push(format!("{at}: {name} is not in the document")),
            }
        }
    }

    fn hold(&self, method: &str, path: &str, answer: &super::Answer) {
        let status = answer.status.as_u16();
        let kind = answer
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default();
        if answer.text.is_empty() {
            let named = &self.0["paths"][path][method]["responses"][status.to_string()];
            assert!(
                named.is_object() && named["content"].is_null(),
                "{method} {path} {status}"
            );
            return;
        }
        let schema = self.answer(method, path, status, kind);
        let mut faults = Vec::new();
        self.faults(&answer.json(), schema, path, &mut faults);
        assert!(faults.is_empty(), "{method} {path} {status}: {faults:#?}");
    }
}

#[tokio::test]
async fn every_answer_has_the_shape_that_the_document_promises() {
    let web = Web::new();
    web.fixture.trap();
    web.fixture.trip();
    let document = Document::of(&web).await;
    let (no, id) = (web.order().await, web.alarm("pump2_fault").await);
    let mut read = 0;
    for (path, item) in document.0["paths"].as_object().unwrap() {
        let address = path
            .replace("{code}", "P1")
            .replace("{asset}", "P1")
            .replace("{point}", "outlet_pressure")
            .replace("{key}", "P1%2Foutlet_pressure")
            .replace("{no}", &no);
        let address = address.replace("{id}", &id);
        if item["get"].is_null() || path.ends_with("/stream") || path.ends_with("/photos/{id}") {
            continue;
        }
        let answer = web.get(&address).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        document.hold("get", path, &answer);
        read += 1;
        let stranger = request(Method::GET, &address, &[], None);
        document.hold("get", path, &web.send(stranger).await);
    }
    assert!(read >= 14, "{read}");
    for asset in ["A3", "P1"] {
        let points = web
            .get(&format!("/api/v1/assets/{asset}/points?limit=200"))
            .await;
        document.hold("get", "/api/v1/assets/{code}/points", &points);
    }
}

#[tokio::test]
async fn every_change_is_answered_as_the_document_promises() {
    let web = Web::new();
    web.fixture.trip();
    let document = Document::of(&web).await;
    let (no, id) = (web.order().await, web.alarm("pump2_fault").await);
    let order = "/api/v1/work-orders/{no}";
    let alarm = "/api/v1/alarms/{id}";
    for (method, path, body) in [
        ("post", format!("{alarm}/ack"), json!({ "comment": "seen" })),
        ("post", format!("{alarm}/ack"), json!({})),
        (
            "post",
            format!("{alarm}/shelve"),
            json!({ "reason": "part ordered", "minutes": 5 }),
        ),
        ("post", format!("{alarm}/unshelve"), json!({})),
        (
            "post",
            format!("{alarm}/comment"),
            json!({ "comment": "noted" }),
        ),
        ("post", format!("{alarm}/comment"), json!({ "remark": 1 })),
        (
            "post",
            "/api/v1/work-orders".to_owned(),
            json!({ "asset": "P1", "title": "It drips", "priority": 3 }),
        ),
        ("patch", order.to_owned(), json!({ "priority": 2 })),
        (
            "post",
            format!("{order}/comments"),
            json!({ "comment": "on the way" }),
        ),
        (
            "post",
            format!("{order}/parts"),
            json!({ "name": "seal", "quantity": 2 }),
        ),
        (
            "post",
            format!("{order}/transitions"),
            json!({ "to": "nowhere" }),
        ),
        ("post", format!("{order}/photos"), json!({})),
    ] {
        let address = path.replace("{no}", &no).replace("{id}", &id);
        let headers = [("if-match", "*")];
        let method_name: Method = method.to_uppercase().parse().unwrap();
        let answer = web.ask(method_name, &address, &headers, Some(body)).await;
        document.hold(method, &path, &answer);
    }
    let values = &document.0["components"]["schemas"]["PointValue"];
    let kinds: Vec<&Value> = values["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["type"])
        .collect();
    for kind in ["boolean", "integer", "number", "string"] {
        assert!(kinds.contains(&&Value::from(kind)), "{values}");
    }
    let photo =
        &document.0["paths"]["/api/v1/work-orders/{no}/photos/{id}"]["get"]["responses"]["200"];
    let kinds: Vec<&String> = photo["content"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["image/jpeg", "image/png", "image/webp"]);
}

#[tokio::test]
async fn only_a_strong_tag_matches() {
    let web = Web::new();
    web.fixture.trip();
    let no = web.order().await;
    let path = format!("/api/v1/work-orders/{no}");
    let tag = web.get(&path).await.header("etag").to_owned();
    let edit = async |tag: &str| {
        let body = Some(json!({ "priority": 2 }));
        web.ask(Method::PATCH, &path, &[("if-match", tag)], body)
            .await
    };
    let bare = tag.trim_matches('"').to_owned();
    for weak in [
        format!("W/{tag}"),
        bare,
        format!("W/{tag}, \"99.en\""),
        "W/*".to_owned(),
    ] {
        assert_eq!(
            edit(&weak).await.refusal(),
            (412, "wo.changed".to_owned()),
            "{weak}"
        );
    }
    let listed = format!("W/\"1.en\", {tag}");
    assert_eq!(edit(&listed).await.status, StatusCode::OK);
}
