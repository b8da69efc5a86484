//! The whole product as its user starts it: `zhiban demo`, its API, its building.
//!
//! What is shown is held against what is so: the virtual building tells its physical truth.

mod building;

use crate::support::zhiban::Zhiban;
use crate::support::{http, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

/// The longest wait for something that must happen, on a slow machine that has much else to do.
const SOON: Duration = Duration::from_secs(240);

/// A running demo, signed in by its token.
struct Demo {
    _process: Zhiban,
    dashboard: String,
    control: String,
    token: String,
    printed: Value,
}

impl Demo {
    async fn start(speed: &str) -> Self {
        Self::start_with(speed, &[]).await
    }

    async fn start_with(speed: &str, more: &[&str]) -> Self {
        let arguments = [
            "--log",
            "warn",
            "demo",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--speed",
            speed,
        ];
        let mut process = Zhiban::start(&[&arguments, more].concat());
        let printed: Value = serde_json::from_str(&process.first_line().await).unwrap();
        let text = |key: &str| printed[key].as_str().unwrap().to_owned();
        let (dashboard, control, token) = (text("dashboard"), text("control"), text("token"));
        Self {
            _process: process,
            dashboard,
            control,
            token,
            printed,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http()
            .get(format!("{}/api/v1{path}", self.dashboard))
            .bearer_auth(&self.token);
        let answer = answer.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = http().post(format!("{}/api/v1{path}", self.dashboard));
        let answer = request
            .bearer_auth(&self.token)
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// The cookie of one of the two people whose sign-in the demo prints.
    async fn sign_in(&self, user: &str, password: &str) -> String {
        let request = http().post(format!("{}/api/v1/session", self.dashboard));
        let said = json!({ "username": self.printed[user], "password": self.printed[password] });
        let answer = request.json(&said).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 204);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// What a person of a cookie sends.
    async fn post_as(&self, cookie: &str, path: &str, body: Value) -> (u16, Value) {
        let request = http().post(format!("{}/api/v1{path}", self.dashboard));
        let request = request.header("cookie", cookie);
        let request = request.header("sec-fetch-site", "same-origin");
        let answer = request.json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    async fn scenario(&self, name: &str, asset: &str) {
        let body = if asset.is_empty() {
            json!({})
        } else {
            json!({ "asset": asset })
        };
        let request = http()
            .post(format!("{}/scenarios/{name}", self.control))
            .json(&body);
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            202,
            "{name}"
        );
    }

    async fn truth(&self) -> Value {
        http()
            .get(format!("{}/state", self.control))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Waits until everything was read and is normal.
    async fn calm(&self) {
        wait_until(SOON, "every asset to be normal", async || {
            let assets = self.get("/assets").await;
            let mut all = assets["items"].as_array().unwrap().iter();
            all.all(|asset| asset["state"] == "normal")
        })
        .await;
    }

    /// The open order of a fault family, or of one that begins so, once it is there.
    async fn order(&self, asset: &str, family: &str) -> Value {
        let mut found = Value::Null;
        wait_until(
            SOON,
            &format!("the order {family} of {asset}"),
            async || {
                let orders = self
                    .get(&format!("/work-orders?asset={asset}&limit=200"))
                    .await;
                let items = orders["items"].as_array().unwrap().clone();
                let order = items.into_iter().find(|order| {
                    order["fault_family"]
                        .as_str()
                        .is_some_and(|one| one.starts_with(family))
                        && order["closed_at"].is_null()
                });
                order.is_some_and(|order| {
                    found = order;
                    true
                })
            },
        )
        .await;
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_the_building_as_it_is() {
    let demo = Demo::start("5").await;
    for key in [
        "dashboard",
        "user",
        "password",
        "second_user",
        "second_password",
        "token",
        "control",
        "mqtt",
    ] {
        assert!(demo.printed[key].is_string(), "{key} in {}", demo.printed);
    }
    assert!(
        demo.printed["modbus"][0]
            .as_str()
            .unwrap()
            .starts_with("modbus+tcp://")
    );
    demo.calm().await;
    let assets = demo.get("/assets").await;
    assert_eq!(assets["items"].as_array().unwrap().len(), 12);

    // Values that stand still long enough to be compared: read on both sides until they agree.
    for (asset, point) in [
        ("A1", "door_closed"),
        ("A2", "floor"),
        ("FP1", "fire"),
        ("BW1", "setpoint"),
        ("FPU1", "power_ok"),
        ("SP1", "high_level"),
    ] {
        wait_until(
            SOON,
            &format!("{asset}/{point} shown as it is"),
            async || {
                let truth = demo.truth().await[asset][point].clone();
                let points = demo.get(&format!("/assets/{asset}/points")).await;
                let items = points["items"].as_array().unwrap();
                let key = format!("{asset}/{point}");
                let shown = items.iter().find(|one| one["key"] == key.as_str()).unwrap();
                shown["quality"] == "good" && same(&shown["value"], &truth)
            },
        )
        .await;
    }
}

fn same(shown: &Value, truth: &Value) -> bool {
    match (shown.as_f64(), truth.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 0.011,
        _ => shown == truth,
    }
}

/// Takes an order through every step of the people until it is completed.
async fn repair(demo: &Demo, path: &str, order: &Value) {
    let (status, problem) = demo.post(path, json!({ "to": "closed" })).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("wo.transition_not_allowed"))
    );
    if order["status"] == "approved" {
        let (status, _) = demo
            .post(path, json!({ "to": "assigned", "assignee": "demo" }))
            .await;
        assert_eq!(status, 200);
    }
    for to in ["accepted", "on_site", "in_progress"] {
        let (status, answer) = demo.post(path, json!({ "to": to })).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (status, problem) = demo.post(path, json!({ "to": "completed" })).await;
    assert_eq!(status, 422);
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/cause", "/remedy"]);
    let repair = json!({ "to": "completed", "problem": "trapped", "cause": "door lock", "remedy": "freed, lock adjusted", "labor_minutes": 40 });
    assert_eq!(demo.post(path, repair).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entrapment_goes_from_register_to_closed_order() {
    let demo = Demo::start("5").await;
    demo.calm().await;
    demo.scenario("entrapment", "A3").await;
    let order = demo.order("A3", "entrapment").await;
    assert_eq!(order["priority"], 1);
    assert_eq!(order["kind"], "corrective");
    let no = order["no"].as_str().unwrap();
    let alarm = order["alarms"][0].as_str().unwrap().to_owned();

    let (status, _) = demo
        .post(
            &format!("/alarms/{alarm}/ack"),
            json!({ "comment": "on the way" }),
        )
        .await;
    assert_eq!(status, 204);
    let (status, problem) = demo.post(&format!("/alarms/{alarm}/ack"), json!({})).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("alarm.already_acked"))
    );

    let path = format!("/work-orders/{no}/transitions");
    repair(&demo, &path, &order).await;

    // People say it is done; the machine does not. It stays open until the machine says so too.
    let (status, problem) = demo.post(&path, json!({ "to": "verified" })).await;
    assert_eq!((status, &problem["code"]), (409, &json!("wo.fault_stands")));
    demo.scenario("all-clear", "").await;
    wait_until(SOON, "the order to be recovered", async || {
        demo.get(&format!("/work-orders/{no}")).await["recovered_at"].is_string()
    })
    .await;
    assert_eq!(demo.post(&path, json!({ "to": "verified" })).await.0, 200);
    let order = demo.get(&format!("/work-orders/{no}")).await;
    assert_eq!(order["status"], "closed");
    assert!(order["closed_at"].is_string());
    let changes: Vec<_> = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes.first(), Some(&"created"));
    assert!(changes.contains(&"recovered"));
}

/// Two people on one order: only the one it is given to works, and only the other one verifies.
#[tokio::test(flavor = "multi_thread")]
async fn who_did_the_repair_does_not_verify_it() {
    let demo = Demo::start("5").await;
    demo.calm().await;
    demo.scenario("door-fault", "A2").await;
    let order = demo.order("A2", "door").await;
    let path = format!("/work-orders/{}/transitions", order["no"].as_str().unwrap());
    let first = demo.sign_in("user", "password").await;
    let second = demo.sign_in("second_user", "second_password").await;
    let assign = json!({ "to": "assigned", "assignee": demo.printed["user"] });
    assert_eq!(demo.post_as(&second, &path, assign).await.0, 200);
    let (status, problem) = demo
        .post_as(&second, &path, json!({ "to": "accepted" }))
        .await;
    assert_eq!((status, &problem["code"]), (403, &json!("wo.not_assignee")));
    assert_eq!(problem["current"]["assignee"], demo.printed["user"]);
    for to in ["accepted", "on_site", "in_progress"] {
        let (status, answer) = demo.post_as(&first, &path, json!({ "to": to })).await;
        assert_eq!(status, 200, "{answer}");
    }
    let done = json!({ "to": "completed", "cause": "sill", "remedy": "cleared" });
    let (status, order) = demo.post_as(&first, &path, done).await;
    assert_eq!(
        (status, &order["completed_by"]),
        (200, &demo.printed["user"])
    );
    assert!(
        order["due_at"].is_null() && order["due_left_seconds"].is_i64(),
        "{order}"
    );
    demo.scenario("all-clear", "").await;
    let no = order["no"].as_str().unwrap();
    wait_until(SOON, "the order to be recovered", async || {
        demo.get(&format!("/work-orders/{no}")).await["recovered_at"].is_string()
    })
    .await;
    let (status, problem) = demo
        .post_as(&first, &path, json!({ "to": "verified" }))
        .await;
    assert_eq!((status, &problem["code"]), (403, &json!("wo.own_repair")));
    let (status, order) = demo
        .post_as(&second, &path, json!({ "to": "verified" }))
        .await;
    assert_eq!((status, &order["status"]), (200, &json!("closed")));
    let told = order["told"].as_array().unwrap();
    assert!(!told.is_empty());
    assert!(
        told.iter().all(|one| one["reached"] == "nobody"),
        "no channel: {order}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_building_becomes_its_order() {
    let demo = Demo::start("10").await;
    demo.calm().await;
    // Scenario, asset, fault family or the beginning of it.
    for (scenario, asset, family) in [
        ("door-fault", "A2", "door"),
        ("smoke", "FP1", "fire"),
        ("detector-dirty", "FP1", "detector"),
        ("fire-mains-loss", "FP1", "supply"),
        ("pump-overload", "BW1", "pump"),
        ("mains-loss", "A1", "supply"),
        ("sump-high", "SP1", "flooding"),
        ("dry-run", "BW1", "water_supply"),
        ("unit-silent", "A5", "communication"),
    ] {
        demo.scenario(scenario, asset).await;
        let order = demo.order(asset, family).await;
        assert!(order["alarms"][0].is_string(), "{scenario}");
    }
    // A unit that lies, one that is late and one that is slow are no trouble of the others.
    demo.scenario("garbage", "A4").await;
    demo.scenario("unit-late", "A6").await;
    demo.scenario("unit-slow", "FPU1").await;
    demo.order("A6", "communication").await;
    wait_until(SOON, "the liar to be noticed", async || {
        demo.get("/assets/A4").await["link"] != "up"
    })
    .await;
    let open = demo.get("/alarms?state=open&limit=200").await;
    assert!(open["items"].as_array().unwrap().len() >= 7);
    // A silent unit is stale, and the one behind the same address is not.
    let silent = demo.get("/assets/A5").await;
    assert_eq!(
        (&silent["state"], &silent["link"]),
        (&json!("stale"), &json!("down"))
    );
    assert_eq!(demo.get("/assets/A3").await["state"], "normal");
    demo.scenario("all-clear", "").await;
    demo.scenario("broker-down", "").await;
    demo.order("TK1", "communication").await;
    demo.scenario("all-clear", "").await;
    wait_until(SOON, "the broker's assets to be heard", async || {
        demo.get("/assets/TK1").await["link"] == "up"
    })
    .await;
    wait_until(SOON, "the silent unit to be heard", async || {
        demo.get("/assets/A5").await["link"] == "up"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_without_a_sign_in() {
    let demo = Demo::start("1").await;
    drop(http());
    let client = reqwest::Client::builder()
        .timeout(SOON)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let status = async |path: &str| {
        let answer = client
            .get(format!("{}{path}", demo.dashboard))
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    };
    assert_eq!(status("/healthz").await, 200);
    assert_eq!(status("/api/v1/assets").await, 401);
    assert_eq!(status("/api/v1/stream").await, 401);
    assert_eq!(status("/").await, 303);
    let sign_in = client
        .post(format!("{}/api/v1/session", demo.dashboard))
        .json(&json!({ "username": demo.printed["user"], "password": demo.printed["password"] }))
        .send()
        .await
        .unwrap();
    assert_eq!(sign_in.status().as_u16(), 204);
    let cookie = sign_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly"));
    let page = client
        .get(&demo.dashboard)
        .header("cookie", cookie.split(';').next().unwrap());
    let page = page.send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
}
