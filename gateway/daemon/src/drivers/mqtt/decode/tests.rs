//! Messages of every kind, decoded; devices from a profile as a file would hold it.

use super::*;
use std::sync::Arc;
use zhiban_core::Value;
use zhiban_core::profile::Profile;

const PROFILE: &str = r#"
id = "test"
class = "pump"
title = { zh = "泵", en = "pump" }
trust = "bench"
source = "test"
[mqtt]
period = "10s"
time = { pointer = "/ts", format = "unix_ms" }
availability = { topic = "{topic}/online", online = "1", offline = "0" }
[[point]]
point = "pressure"
name = { zh = "压力", en = "pressure" }
kind = "analog"
mqtt = { topic = "{topic}/state", read = { json = "/p" } }
[[point]]
point = "running"
name = { zh = "运行", en = "running" }
kind = "flag"
mqtt = { topic = "{topic}/state", read = { json = "/run" } }
[[point]]
point = "starts"
name = { zh = "启动次数", en = "starts" }
kind = "counter"
mqtt = { topic = "{topic}/+/starts", read = "raw" }
"#;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn devices() -> Devices {
    let profile: Arc<Profile> = Arc::new(toml::from_str(PROFILE).unwrap());
    let device = |number: u32, topic: &str| Device {
        asset: AssetId(number),
        code: format!("P{number}"),
        profile: Arc::clone(&profile),
        decoders: profile.decoders(),
        first_point: PointId(number * 10),
        unit: 0,
        life_safety: false,
        topic: topic.to_owned(),
    };
    Devices::new(vec![device(1, "楼/P1"), device(2, "楼/P2")])
}

fn raw<'m>(topic: &'m str, payload: &'m str) -> Raw<'m> {
    Raw {
        topic,
        payload: payload.as_bytes(),
        retained: false,
        repeated: false,
        epoch: 1,
        now: NOW,
    }
}

fn link(asset: u32, state: LinkState) -> Input {
    Input::Link {
        asset: AssetId(asset),
        state,
    }
}

fn batch(meaning: &Meaning) -> &SampleBatch {
    let batches = meaning.inputs.iter().filter_map(|input| match input {
        Input::Samples(batch) => Some(batch),
        Input::Link { .. } | Input::ClockSet(_) | Input::Command(_) | Input::Tick => None,
    });
    let [batch] = batches.collect::<Vec<_>>()[..] else {
        panic!("{meaning:?}");
    };
    batch
}

#[test]
fn a_message_is_decoded_for_the_device_of_its_topic_and_only_for_what_it_holds() {
    let mut devices = devices();
    let meaning = devices.decode(raw("楼/P2/state", r#"{"p": 3.5}"#));
    assert_eq!(meaning.inputs.first(), Some(&link(2, LinkState::Up)));
    let batch = batch(&meaning);
    assert_eq!(
        (batch.asset, batch.at, batch.retained),
        (AssetId(2), NOW, false)
    );
    assert_eq!(batch.samples.len(), 1);
    assert_eq!(batch.samples[0].point, PointId(20));
    assert_eq!(batch.samples[0].value, Some(Value::Number(3.5)));
    let again = devices.decode(raw("楼/P2/a/starts", "12"));
    assert_eq!(again.inputs.len(), 1, "the link is up already");
}

#[test]
fn its_own_time_is_taken_unless_it_cannot_be() {
    for (millis, believed) in [
        (-1000, true),
        (-47 * 3_600_000, true),
        (-40 * 24 * 3_600_000, false),
        (299_000, true),
        (301_000, false),
    ] {
        let mut devices = devices();
        let at = NOW.0 + millis;
        let payload = format!(r#"{{"p": 1, "ts": {at}}}"#);
        let meaning = devices.decode(raw("楼/P1/state", &payload));
        assert_eq!(meaning.wrong_clock, !believed, "{millis}");
        let expected = if believed { Timestamp(at) } else { NOW };
        assert_eq!(batch(&meaning).at, expected, "{millis}");
    }
}

#[test]
fn a_device_with_a_wrong_clock_counts_when_it_speaks() {
    let mut devices = devices();
    let mut says = |after: i64, repeated| {
        let payload = format!(r#"{{"p": 1, "ts": {}}}"#, NOW.0 + after - 7_200_000);
        let message = Raw {
            now: Timestamp(NOW.0 + after),
            repeated,
            ..raw("楼/P1/state", &payload)
        };
        let meaning = devices.decode(message);
        let age = message.now.since(batch(&meaning).at).millis();
        (age, meaning.wrong_clock)
    };
    assert_eq!(says(0, false), (7_200_000, false), "it may have waited");
    assert_eq!(says(31_000, false), (0, true), "it is always as far behind");
    assert_eq!(says(90_000, true), (0, true));
}

#[test]
fn what_the_broker_kept_is_old_also_after_the_gateways_clock_was_set_back() {
    let mut devices = devices();
    let mut says = |now: i64, own: i64, retained| {
        let payload = format!(r#"{{"p": 1, "ts": {own}}}"#);
        let message = Raw {
            now: Timestamp(now),
            retained,
            ..raw("楼/P1/state", &payload)
        };
        let meaning = devices.decode(message);
        batch(&meaning).retained
    };
    let ahead = 7_200_000;
    assert!(!says(NOW.0 + ahead, 0, false), "dated by the gateway");
    assert!(says(NOW.0 + 60_000, NOW.0 - 3_600_000, true));
}

#[test]
fn what_the_broker_kept_is_marked_unless_it_is_still_fresh() {
    let mut devices = devices();
    for (ts, marked) in [
        ("null", true),
        ("1799999999000", false),
        ("1799999900000", true),
    ] {
        let payload = format!(r#"{{"p": 1, "ts": {ts}}}"#);
        let kept = Raw {
            retained: true,
            ..raw("楼/P1/state", &payload)
        };
        let meaning = devices.decode(kept);
        assert_eq!(batch(&meaning).retained, marked, "{ts}");
        assert_eq!(
            meaning.inputs.len(),
            1,
            "it does not say that the device is there"
        );
    }
}

#[test]
fn availability_says_who_is_there() {
    let mut devices = devices();
    let mut tell = |payload| {
        let kept = Raw {
            retained: true,
            ..raw("楼/P1/online", payload)
        };
        devices.decode(kept)
    };
    assert_eq!(tell("1").inputs, [link(1, LinkState::Up)]);
    assert_eq!(tell("1\n").inputs, []);
    assert_eq!(tell("0").inputs, [link(1, LinkState::Down)]);
    let odd = tell("perhaps");
    assert_eq!(odd.inputs, []);
    assert!(odd.problem.is_some());
    assert_eq!(devices.all_down(), [link(2, LinkState::Down)]);
}

#[test]
fn what_cannot_be_decoded_says_why() {
    let mut devices = devices();
    for payload in [
        "",
        "no JSON",
        "{\"p\": 1",
        "[]",
        "{\"other\": 1}",
        "{\"p\": {}}",
    ] {
        let meaning = devices.decode(raw("楼/P1/state", payload));
        assert!(meaning.problem.is_some(), "{payload}");
        assert!(!meaning.unknown);
    }
    let unknown = devices.decode(raw("elsewhere", "1"));
    assert!(unknown.unknown && unknown.inputs.is_empty());
}

#[test]
fn what_a_message_too_large_to_be_read_may_have_said_is_bad() {
    let mut devices = devices();
    devices.decode(raw("楼/P1/state", r#"{"p": 1.5, "run": true}"#));
    let meaning = devices.too_large(raw("楼/P1/state", "{"));
    assert!(meaning.problem.is_some());
    let samples = &batch(&meaning).samples;
    let undecodable = Quality::Bad(QualityReason::Undecodable);
    let bad = |sample: &Sample| sample.quality == undecodable && sample.value.is_none();
    assert!(samples.len() == 2 && samples.iter().all(bad), "{samples:?}");
}

#[test]
fn what_one_device_takes_is_no_dead_letter_for_another() {
    // The topics of the two overlap: one reads the pressure of the whole building's messages.
    let all = PROFILE
        .replace("{topic}/state", "楼/+/state")
        .replace("/run", "/other");
    let mut devices = devices();
    let mut both: Vec<Device> = devices.known.drain(..).map(|known| known.device).collect();
    let profile: Arc<Profile> = Arc::new(toml::from_str(&all).unwrap());
    both.push(Device {
        asset: AssetId(3),
        code: "P3".to_owned(),
        decoders: profile.decoders(),
        profile,
        first_point: PointId(30),
        unit: 0,
        life_safety: false,
        topic: "楼/P3".to_owned(),
    });
    for order in [[0, 2], [2, 0]] {
        let some = order.iter().map(|place| both[*place].clone()).collect();
        let mut devices = Devices::new(some);
        let meaning = devices.decode(raw("楼/P1/state", r#"{"run": true}"#));
        assert_eq!(meaning.problem, None, "{order:?}");
        assert_eq!(batch(&meaning).asset, AssetId(1));
        let nothing = devices.decode(raw("楼/P1/state", r#"{"x": 1}"#));
        assert!(nothing.problem.is_some(), "nobody took it");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(payload: Vec<u8>, retained: bool) {
        let mut devices = devices();
        for topic in ["楼/P1/state", "楼/P1/online", "楼/P1/a/starts"] {
            let raw = Raw {
                topic,
                payload: &payload,
                retained,
                repeated: false,
                epoch: 1,
                now: NOW,
            };
            let values = devices.decode(raw).inputs;
            proptest::prop_assert!(values.len() <= 2);
        }
    }
}

#[test]
fn one_value_that_is_no_number_leaves_the_others_as_they_are() {
    let mut devices = devices();
    let payload = "\u{FEFF}{\"p\": nan, \"run\": true}\0\0";
    let meaning = devices.decode(raw("楼/P1/state", payload));
    assert!(meaning.repaired && meaning.problem.is_none());
    let samples = &batch(&meaning).samples;
    let not_available = Quality::Bad(QualityReason::NotAvailable);
    assert_eq!(
        (&samples[0].value, samples[0].quality),
        (&None, not_available)
    );
    assert_eq!(samples[1].value, Some(Value::Flag(true)));
    assert_eq!(samples[1].quality, Quality::Good);
    let whole = devices.decode(raw("楼/P1/state", r#"{"p": 1, "run": true}"#));
    assert!(!whole.repaired);
    let padded = devices.decode(raw("楼/P1/online", "0\0"));
    assert_eq!(padded.inputs, [link(1, LinkState::Down)]);
    let empty = devices.decode(raw("楼/P1/online", "\0"));
    assert!(empty.problem.is_some());
}

#[test]
fn devices_of_a_contested_connection_are_not_up_however_much_they_say() {
    let mut devices = devices();
    let mut inputs = |state: &str| devices.decode(raw("楼/P1/online", state)).inputs;
    assert_eq!(inputs("1"), [link(1, LinkState::Up)]);
    assert_eq!(devices.contested(true), [link(1, LinkState::Contested)]);
    let mut inputs = |state: &str| devices.decode(raw("楼/P1/online", state)).inputs;
    assert_eq!(inputs("1"), []);
    assert_eq!(inputs("0"), [link(1, LinkState::Down)]);
    assert_eq!(inputs("1"), [link(1, LinkState::Contested)]);
    assert_eq!(devices.contested(false), [link(1, LinkState::Up)]);
}

#[test]
fn values_whose_time_cannot_be_read_are_unsure_until_it_can() {
    let mut devices = devices();
    let odd = r#"{"ts": "yesterday", "p": 1, "run": true}"#;
    let meaning = devices.decode(raw("楼/P1/state", odd));
    assert!(meaning.unreadable_time);
    let unsure = Quality::Uncertain(QualityReason::TimeUnreadable);
    assert_eq!(batch(&meaning).at, NOW);
    assert!(
        batch(&meaning)
            .samples
            .iter()
            .all(|sample| sample.quality == unsure)
    );
    assert_eq!(devices.unreadable_times().collect::<Vec<_>>(), ["P1"]);
    let text = format!(r#"{{"ts": "{}", "p": 1}}"#, NOW.0);
    let meaning = devices.decode(raw("楼/P1/state", &text));
    assert_eq!(batch(&meaning).samples[0].quality, Quality::Good);
    assert_eq!(devices.unreadable_times().count(), 0);
    // One that carries no time at all is as before.
    let meaning = devices.decode(raw("楼/P1/state", r#"{"p": 1}"#));
    assert_eq!(batch(&meaning).samples[0].quality, Quality::Good);
}
