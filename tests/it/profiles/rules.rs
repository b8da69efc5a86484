//! What the rules that come along make of what a device says: an asset of a profile, told values.
//! It must never judge by itself: the rules are bound and judged as in the gateway.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use zhiban::config::{Config, Loaded};
use zhiban_core::model::{Model, PointKind};
use zhiban_core::{
    AssetId, Duration, Effect, Effects, Facility, Input, NotifyReason, Priority, Quality,
    QualityReason, Sample, SampleBatch, Timestamp, Value,
};

/// The building of one asset of a profile, read once for all tests.
fn loaded(profile: &str) -> Arc<Loaded> {
    static LOADED: Mutex<BTreeMap<String, Arc<Loaded>>> = Mutex::new(BTreeMap::new());
    let mut known = LOADED.lock().unwrap();
    let loaded = known.entry(profile.to_owned()).or_insert_with(|| {
        let text = format!(
            r#"
            site = {{ code = "test", name = {{ zh = "测试", en = "Test" }} }}
            link.line.modbus_tcp = {{ host = "127.0.0.1" }}
            [[asset]]
            code = "X"
            name = {{ zh = "甲", en = "X" }}
            profile = "{profile}"
            link = "line"
            unit = 1
            "#
        );
        Arc::new(Config::parse(Path::new("/nowhere/gateway.toml"), &text).unwrap())
    });
    loaded.clone()
}

/// One asset of a profile, calm at the start.
pub(super) struct Watched {
    model: Arc<Model>,
    facility: Facility,
    now: Timestamp,
    /// What the device says of each point, over and over; `None` is nothing usable.
    says: BTreeMap<String, Option<Value>>,
    /// Why there is nothing where it says nothing.
    silent: QualityReason,
}

/// What was told: the rule, why, how urgent, and whether it guards life.
pub(super) type Told = (String, NotifyReason, Priority, bool);

impl Watched {
    /// Everything off and zero but for what is calm otherwise.
    fn new(profile: &str, calm: &[(&str, Value)]) -> Self {
        let mut watched = Self::unread(profile);
        watched.say(calm);
        watched
    }

    /// A panel of two loops behind a CLSS gateway, which refuses the registers of the other eight.
    fn of_two_loops() -> Self {
        let mut watched = Self::unread(CLSS);
        for (point, value) in &mut watched.says {
            let digits = point.strip_prefix("loop").unwrap_or_default();
            let number = digits.split('_').next().unwrap_or_default();
            if number.parse().is_ok_and(|number: u32| number > 2) {
                *value = None;
            }
        }
        watched.silent = QualityReason::Refused;
        watched.say(&[("node_online", on())]);
        watched
    }

    fn unread(profile: &str) -> Self {
        Self::of(&loaded(profile))
    }

    /// The one asset of a site.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let rows = &loaded.devices["line"][0].profile.points;
        let says = rows
            .iter()
            .map(|row| (row.point.clone(), Some(blank(row.kind))));
        Self {
            facility: Facility::new(loaded.model.clone(), now),
            model: loaded.model.clone(),
            now,
            says: says.collect(),
            silent: QualityReason::Undecodable,
        }
    }

    /// The device says these values from now on; what was told at once.
    pub(super) fn say(&mut self, values: &[(&str, Value)]) -> Vec<Told> {
        for (point, value) in values {
            self.says.insert((*point).to_owned(), Some(value.clone()));
        }
        self.read()
    }

    /// The device is read once.
    fn read(&mut self) -> Vec<Told> {
        let samples = self.says.iter().map(|(point, value)| Sample {
            point: self.model.point_by_key(&format!("X/{point}")).unwrap(),
            value: value.clone(),
            quality: match value {
                Some(_) => Quality::Good,
                None => Quality::Bad(self.silent),
            },
        });
        let samples = samples.collect();
        self.samples(samples)
    }

    fn samples(&mut self, samples: Vec<Sample>) -> Vec<Told> {
        self.handle(Input::Samples(SampleBatch {
            asset: AssetId(0),
            at: self.now,
            samples,
            retained: false,
        }))
    }

    /// Time passes; what was told meanwhile.
    pub(super) fn wait(&mut self, seconds: u64) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            told.extend(self.read());
        }
        told
    }

    /// The rules whose fault stands.
    fn standing(&self) -> Vec<String> {
        let alarms = self.facility.snapshot(self.now).alarms;
        let standing = alarms.values().filter(|one| one.active);
        standing
            .map(|one| self.model.rule(one.rule).rule.id.clone())
            .collect()
    }

    /// What the device says of a point is of no use from now on.
    pub(super) fn lose(&mut self, point: &str, reason: QualityReason) {
        self.says.insert(point.to_owned(), None);
        self.silent = reason;
    }

    /// Time passes and nothing comes; what was told meanwhile.
    pub(super) fn pass(&mut self, seconds: u64) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            told.extend(self.handle(Input::Tick));
        }
        told
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Told> {
        let mut effects = Effects::default();
        self.facility.handle(input, self.now, &mut effects).unwrap();
        let told = effects
            .records
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Notify(one) => Some(one),
                Effect::Alarm(_) | Effect::WorkOrder(_) => None,
            });
        told.map(|one| {
            let rule = &self.model.rule(one.rule.unwrap()).rule;
            (rule.id.clone(), one.reason, one.priority, one.life_safety)
        })
        .collect()
    }
}

fn blank(kind: PointKind) -> Value {
    match kind {
        PointKind::Analog => Value::Number(0.0),
        PointKind::Flag => Value::Flag(false),
        PointKind::Counter => Value::Integer(0),
        PointKind::Enum => Value::Text("none".into()),
        PointKind::Text => Value::Text("".into()),
    }
}

pub(super) fn on() -> Value {
    Value::Flag(true)
}

fn urgent(rule: &str, reason: NotifyReason) -> Told {
    (rule.to_owned(), reason, Priority::Urgent, true)
}

const CLSS: &str = "honeywell-clss-gateway";

#[test]
fn a_fire_on_any_loop_of_the_clss_gateway_is_told() {
    for number in 1..=10 {
        for source in ["detector", "module"] {
            let mut panel = Watched::new(CLSS, &[("node_online", on())]);
            let point = format!("loop{number}_{source}_alarms");
            let told = panel.say(&[(&point, Value::Integer(1))]);
            let rule = format!("fire_on_loop{number}");
            assert_eq!(told, [urgent(&rule, NotifyReason::Raised)], "{point}");
        }
        for (what, rule, delay) in [
            ("prealarms", "prealarm_on_loop", 0),
            ("troubles", "fault_on_loop", 3),
            ("disables", "disabled_on_loop", 3),
        ] {
            let mut panel = Watched::new(CLSS, &[("node_online", on())]);
            let point = format!("loop{number}_detector_{what}");
            let mut told = panel.say(&[(&point, Value::Integer(1))]);
            told.extend(panel.wait(delay));
            assert_eq!(told.len(), 1, "{point}: {told:?}");
            assert_eq!(told[0].0, format!("{rule}{number}"), "{point}");
        }
    }
}

#[test]
fn loops_that_a_panel_does_not_have_hold_up_no_recovery() {
    for (what, number, rule, delay) in [
        ("detector_alarms", 2, "second_fire_on_loop1", 0),
        ("detector_prealarms", 1, "prealarm_on_loop1", 0),
        ("module_troubles", 1, "fault_on_loop1", 3),
        ("module_disables", 1, "disabled_on_loop1", 3),
    ] {
        let point = format!("loop1_{what}");
        let mut panel = Watched::of_two_loops();
        for _ in 0..2 {
            let mut told = panel.say(&[(&point, Value::Integer(number))]);
            told.extend(panel.wait(delay));
            assert!(told.iter().any(|(told, ..)| told == rule), "{told:?}");
            assert!(panel.standing().contains(&rule.to_owned()), "{rule}");
            let mut told = panel.say(&[(&point, Value::Integer(0))]);
            told.extend(panel.wait(31));
            assert_eq!(panel.standing(), [""; 0], "{rule} stands for ever");
            let recovered = told
                .iter()
                .any(|(_, why, ..)| *why == NotifyReason::Recovered);
            assert!(recovered, "{rule}: {told:?}");
        }
    }
}

#[test]
fn a_second_fire_is_told_like_the_first() {
    let one = Value::Integer(1);
    let joined = NotifyReason::Joined;
    let mut panel = Watched::new(CLSS, &[("node_online", on())]);
    panel.say(&[("loop3_detector_alarms", one.clone())]);
    let told = panel.say(&[("loop3_detector_alarms", Value::Integer(2))]);
    assert_eq!(told, [urgent("second_fire_on_loop3", joined)]);
    let told = panel.say(&[("loop8_module_alarms", one.clone())]);
    assert_eq!(told, [urgent("fire_on_loop8", joined)]);
    // A detector and a call point of one loop are two as well.
    let mut panel = Watched::new(CLSS, &[("node_online", on())]);
    panel.say(&[("loop4_detector_alarms", one.clone())]);
    let told = panel.say(&[("loop4_module_alarms", one.clone())]);
    assert_eq!(told, [urgent("second_fire_on_loop4", joined)]);
    // Two loops already burn, and a third gets its second.
    panel.say(&[("loop5_module_alarms", one.clone())]);
    let told = panel.say(&[("loop5_module_alarms", Value::Integer(2))]);
    assert_eq!(told, [urgent("second_fire_on_loop5", joined)]);

    for (second, rule) in [
        (("loop1_fires", Value::Integer(2)), "second_fire_on_loop1"),
        (("loop2_fires", one.clone()), "fire_on_two_loops"),
    ] {
        let mut panel = Watched::new("virtual-fire-panel", &[("normal", on())]);
        let told = panel.say(&[("fire", on()), ("loop1_fires", one.clone())]);
        assert_eq!(told, [urgent("fire", NotifyReason::Raised)]);
        assert_eq!(panel.say(&[second]), [urgent(rule, joined)]);
    }
}

/// Each rule of two fires leaves the order its name, also when both are there at the first look.
#[test]
fn two_fires_at_once_give_the_order_its_name() {
    let mut panel = Watched::of_two_loops();
    let told = panel.say(&[("loop2_detector_alarms", Value::Integer(2))]);
    let first = urgent("second_fire_on_loop2", NotifyReason::Raised);
    assert_eq!(told.first(), Some(&first), "{told:?}");
}

#[test]
fn outputs_and_feedback_without_a_fire_are_told_as_life_safety() {
    for point in ["started", "feedback"] {
        let mut panel = Watched::new("virtual-fire-panel", &[("normal", on())]);
        assert_eq!(panel.say(&[(point, on())]), []);
        let told = panel.wait(10);
        assert_eq!(told, [urgent("started_without_fire", NotifyReason::Raised)]);
        // The fire itself, when it comes, is one order with it.
        let told = panel.say(&[("fire", on())]);
        assert_eq!(told, [urgent("fire", NotifyReason::Joined)]);
    }
    let mut panel = Watched::new("virtual-fire-panel", &[("normal", on())]);
    panel.say(&[("fire", on()), ("started", on())]);
    assert_eq!(panel.wait(60), [], "a fire explains it");
}

#[test]
fn a_panel_that_its_gateway_lost_is_told() {
    let mut panel = Watched::new(CLSS, &[("node_online", on())]);
    let off = Value::Flag(false);
    panel.say(&[("node_online", off.clone())]);
    let told = panel.wait(15);
    let expected = (
        "node_offline".to_owned(),
        NotifyReason::Raised,
        Priority::Urgent,
        false,
    );
    assert_eq!(told, [expected]);
}

/// What a car with people in it says that stands between floors.
fn stuck() -> [(&'static str, Value); 3] {
    [
        ("passenger_present", on()),
        ("door_zone", Value::Flag(false)),
        ("door_closed", on()),
    ]
}

#[test]
fn no_mode_of_an_elevator_hides_people() {
    let calm = [
        ("mains", on()),
        ("door_zone", on()),
        ("service_mode", Value::Text("normal".into())),
    ];
    for mode in ["inspection", "normal", "fire_return", ""] {
        let mut lift = Watched::new("virtual-elevator", &calm);
        if mode.is_empty() {
            lift.says.insert("service_mode".to_owned(), None);
        } else {
            lift.say(&[("service_mode", Value::Text(mode.into()))]);
        }
        let mut told = lift.say(&stuck());
        told.extend(lift.wait(15));
        let expected = urgent("entrapment_suspected", NotifyReason::Raised);
        assert!(told.contains(&expected), "mode \"{mode}\": {told:?}");
    }
}

#[test]
fn a_terminal_tells_of_people_between_floors() {
    let calm = [("mains", on()), ("door_zone", on())];
    // By what it sees itself, whatever its own times are set to.
    let mut lift = Watched::new("lift-sensor-terminal", &calm);
    lift.say(&stuck());
    let told = lift.wait(15);
    assert_eq!(told, [urgent("entrapment_suspected", NotifyReason::Raised)]);
    // A car on its way is between floors too.
    let mut lift = Watched::new("lift-sensor-terminal", &calm);
    lift.say(&[("moving_up", on())]);
    lift.say(&stuck());
    assert_eq!(lift.wait(60), []);
    // By its judgement of the stop, as soon as anybody is seen.
    let mut lift = Watched::new("lift-sensor-terminal", &calm);
    lift.say(&[("stopped_outside_zone", on())]);
    let told = lift.say(&[("passenger_present", on())]);
    let expected = urgent("stop_outside_zone_detected_occupied", NotifyReason::Raised);
    assert_eq!(told, [expected]);
}

#[test]
fn a_test_run_of_a_fire_pump_is_not_told_as_a_fire() {
    let calm = [("selector_auto", on()), ("power_ok", on())];
    for (result, is_told) in [("under_way", false), ("passed", true), ("failed", true)] {
        let mut pump = Watched::new("virtual-fire-pump", &calm);
        pump.say(&[
            ("patrol_result", Value::Text(result.into())),
            ("running", on()),
        ]);
        let told = pump.wait(5);
        let running = told.iter().any(|(rule, ..)| rule == "running");
        assert_eq!(running, is_told, "{result}: {told:?}");
    }
}

/// A code that the profile has no meaning for is never taken for calm: the fire is not known, so
/// that nobody can judge it is told, until the code has a meaning again.
#[test]
fn a_fire_that_cannot_be_read_is_told_as_such() {
    for (reason, is_told) in [
        (QualityReason::Undecodable, true),
        (QualityReason::OutOfRange, true),
        (QualityReason::NotAvailable, false),
        (QualityReason::Refused, false),
    ] {
        let mut panel = Watched::new("virtual-fire-panel", &[("normal", on())]);
        panel.lose("fire", reason);
        // The first reading of it begins the delay of 10 s.
        let told = panel.wait(11);
        let expected = (
            "unreadable".to_owned(),
            NotifyReason::Raised,
            Priority::Urgent,
            false,
        );
        assert_eq!(
            told,
            Vec::from_iter(is_told.then_some(expected)),
            "{reason:?}"
        );
        let told = panel.say(&[("fire", Value::Flag(false))]);
        assert_eq!(told, []);
        let told: Vec<_> = panel.wait(31).into_iter().map(|one| one.1).collect();
        assert_eq!(
            told,
            Vec::from_iter(is_told.then_some(NotifyReason::Recovered))
        );
    }
    // A fire that stands is not over because its code can't be read any more.
    let mut panel = Watched::new("virtual-fire-panel", &[("normal", on()), ("fire", on())]);
    panel.lose("fire", QualityReason::Undecodable);
    panel.wait(60);
    assert!(panel.standing().contains(&"fire".to_owned()));
}
