//! The control port over plain HTTP, the script file, and the options that are refused.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::wire::building;
use crate::{Building, BuildingOptions, MqttChoice, SimError, start};

const LIMIT: Duration = Duration::from_secs(10);

/// Sends one request and returns the status, the head and the JSON of the body.
async fn http(
    address: SocketAddr,
    request: &str,
    headers: &str,
    body: &str,
) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head.to_lowercase(),
        serde_json::from_str(body).unwrap(),
    )
}

/// Waits until the state fulfils `wanted`.
async fn until(building: &Building, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + LIMIT;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !wanted(&building.state()) {
        assert!(Instant::now() < deadline, "{}", building.state());
        looks.tick().await;
    }
}

#[tokio::test]
async fn the_control_port_lists_begins_and_shows() {
    let building = building(&[]).await;
    let at = building.control_addr();
    let (status, _, list) = http(at, "GET /scenarios", "", "").await;
    assert_eq!((status, list.as_array().unwrap().len()), (200, 15));
    assert_eq!(list[0]["name"], "entrapment");
    assert_eq!(list[0]["title"], "Passengers trapped in an elevator");
    let (_, _, list) = http(
        at,
        "GET /scenarios",
        "Accept-Language: zh-CN,zh;q=0.9\r\n",
        "",
    )
    .await;
    assert_eq!(list[0]["title"], "电梯困人");

    let (status, _, _) = http(at, "POST /scenarios/fire-mains-loss", "", "").await;
    assert_eq!(status, 202);
    until(&building, |s| s["FP1"]["mains_fault"] == true).await;
    let (status, _, state) = http(at, "GET /state", "", "").await;
    assert_eq!(
        (status, &state["FP1"]["scenarios"][0]),
        (200, &"fire-mains-loss".into())
    );
    assert_eq!(state["A1"]["modbus"]["unit"], 1);
    let (status, _, _) = http(at, "POST /scenarios/all-clear", "", "{}").await;
    assert_eq!(status, 202);
    until(&building, |s| s["FP1"]["mains_fault"] == false).await;

    let json = "Content-Type: application/json\r\n";
    let body = r#"{"asset":"A5","seconds":1}"#;
    let (status, _, _) = http(at, "POST /scenarios/unit-silent", json, body).await;
    assert_eq!(status, 202);
    until(&building, |s| s["A5"]["scenarios"][0] == "unit-silent").await;
    until(&building, |s| {
        s["A5"]["scenarios"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    building.stop().await;
}

#[tokio::test]
async fn the_control_port_refuses_with_a_reason() {
    let building = building(&[]).await;
    let at = building.control_addr();
    for (path, body, status, code) in [
        ("nonsense", "", 404, "sim.unknown_scenario"),
        ("smoke", r#"{"asset":"A9"}"#, 422, "sim.unknown_asset"),
        ("smoke", r#"{"asset":"A1"}"#, 422, "sim.unsuited_asset"),
        (
            "broker-down",
            r#"{"asset":"BW1"}"#,
            422,
            "sim.unsuited_asset",
        ),
        ("broker-down", "", 409, "sim.no_own_broker"),
        ("smoke", r#"{"aset":"FP1"}"#, 400, "sim.bad_body"),
        ("smoke", "smoke", 400, "sim.bad_body"),
    ] {
        let (got, head, problem) = http(at, &format!("POST /scenarios/{path}"), "", body).await;
        assert_eq!(
            (got, &problem["code"]),
            (status, &code.into()),
            "{path} {body}"
        );
        assert!(head.contains("application/problem+json"));
    }
    let (_, _, problem) = http(at, "POST /scenarios/nonsense", "", "").await;
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("entrapment, door-fault")
    );
    building.stop().await;
}

#[tokio::test]
async fn a_script_plays() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "[[step]]\nat = \"1s\"\nscenario = \"all-clear\"\n\n\
                [[step]]\nat = \"0ms\"\nscenario = \"fire-mains-loss\"\nasset = \"FP1\"\nseconds = 60\n";
    file.write_all(text.as_bytes()).unwrap();
    let building = start(BuildingOptions {
        mqtt: MqttChoice::None,
        script: Some(file.path().to_owned()),
        ..BuildingOptions::default()
    })
    .await
    .unwrap();
    until(&building, |s| s["FP1"]["mains_fault"] == true).await;
    until(&building, |s| s["FP1"]["mains_fault"] == false).await;
    building.stop().await;
}

#[tokio::test]
async fn a_wrong_script_is_refused_with_its_place() {
    for (text, place, word) in [
        (
            "[[step]]\nat = \"5s\"\nscenario = \"smok\"\n",
            (3, 12),
            "smoke",
        ),
        (
            "[[step]]\nat = \"5 parsecs\"\nscenario = \"smoke\"\n",
            (2, 6),
            "500ms",
        ),
        (
            "[[step]]\nat = \"5s\"\nscenario = \"smoke\"\nasset = \"A1\"\n",
            (4, 9),
            "FP1",
        ),
        (
            "[[step]]\nat = \"5s\"\nscenari = \"smoke\"\n",
            (3, 1),
            "scenario",
        ),
        ("[[step]\n", (1, 8), "]"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let refused = start(BuildingOptions {
            mqtt: MqttChoice::None,
            script: Some(file.path().to_owned()),
            ..BuildingOptions::default()
        })
        .await
        .err();
        let Some(SimError::Script {
            line,
            column,
            message,
            ..
        }) = refused
        else {
            panic!("{text} was not refused");
        };
        assert_eq!((line, column), place, "{text}: {message}");
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn wrong_options_are_refused() {
    let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = |options| async { start(options).await.err().unwrap() };
    let control = BuildingOptions {
        control: open,
        ..BuildingOptions::default()
    };
    assert!(matches!(
        refused(control).await,
        SimError::NotLoopback { .. }
    ));
    let mqtt = BuildingOptions {
        mqtt: MqttChoice::Embedded(open),
        ..BuildingOptions::default()
    };
    assert!(matches!(refused(mqtt).await, SimError::NotLoopback { .. }));
    for speed in [0.0, -1.0, f64::NAN, 1e9] {
        let options = BuildingOptions {
            speed,
            ..BuildingOptions::default()
        };
        assert!(matches!(refused(options).await, SimError::Speed(_)));
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = BuildingOptions {
        modbus: taken.local_addr().unwrap(),
        ..BuildingOptions::default()
    };
    assert!(matches!(refused(options).await, SimError::Bind { .. }));
    let options = BuildingOptions {
        scenario: vec!["smoke@A1".to_owned()],
        ..BuildingOptions::default()
    };
    assert!(matches!(
        refused(options).await,
        SimError::UnsuitedAsset { .. }
    ));
}
