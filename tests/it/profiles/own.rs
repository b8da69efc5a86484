//! What the rules that come along make of devices that a site describes itself: more pumps than any
//! profile of ours, other units, other names, other classes.

use super::print;
use super::rules::{Watched, on};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use zhiban::config::{Config, Fault, Loaded, Severity, check_profile};
use zhiban_core::{Input, LinkState, NotifyReason, Value};

/// A site of one device with a profile of its own.
struct Site {
    folder: TempDir,
    class: String,
}

/// One row of a profile: name, kind, unit and the rest.
fn row(address: usize, name: &str, kind: &str, rest: &str) -> String {
    let (place, example) = match kind {
        "flag" => ("type = \"bool\", bit = 0", "{ raw = [0], value = false }"),
        "enum" => ("type = \"u16\"", "{ raw = [0], value = \"none\" }"),
        _ => ("type = \"u16\"", "{ raw = [0], value = 0 }"),
    };
    format!(
        "\n[[point]]\npoint = \"{name}\"\nname = {{ zh = \"点\", en = \"Point\" }}\nkind = \"{kind}\"\n\
         {rest}\nmodbus = {{ table = \"input\", address = {address}, {place} }}\nexample = {example}\n"
    )
}

impl Site {
    fn new(class: &str, rows: &[String]) -> Self {
        let site = Self {
            folder: TempDir::new().unwrap(),
            class: class.to_owned(),
        };
        let head = format!(
            "id = \"own\"\nclass = \"{class}\"\ntitle = {{ zh = \"自制\", en = \"Own\" }}\n\
             trust = \"transcribed\"\nsource = \"a test\"\nmodbus = {{}}\n{}",
            if rows.concat().contains("spare_alarm") {
                "unwatched.spare_alarm = \"not wired\"\n"
            } else {
                ""
            }
        );
        site.write(
            &format!("profiles/{class}/own.toml"),
            &(head + &rows.concat()),
        );
        site
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn profile(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("profiles/{}/own.toml", self.class))
    }

    fn load(&self, more: &str) -> Result<Loaded, Vec<Fault>> {
        let text = format!(
            r#"
            site = {{ code = "test", name = {{ zh = "测试", en = "Test" }} }}
            link.line.modbus_tcp = {{ host = "127.0.0.1" }}
            [[asset]]
            code = "X"
            name = {{ zh = "甲", en = "X" }}
            profile = "own"
            link = "line"
            unit = 1
            {more}
            "#
        );
        Config::parse(&self.folder.path().join("gateway.toml"), &text)
    }

    fn watched(&self) -> Watched {
        let loaded = self
            .load("")
            .unwrap_or_else(|faults| panic!("{}", print(&faults)));
        Watched::of(&Arc::new(loaded))
    }

    /// What is said of it, warnings and errors, without the folder.
    fn said(&self, more: &str) -> String {
        let found = match self.load(more) {
            Ok(loaded) => loaded.remarks,
            Err(faults) => faults,
        };
        let weighty = found.iter().filter(|one| one.severity != Severity::Info);
        let lines: Vec<_> = weighty.map(ToString::to_string).collect();
        let base = format!("{}/", self.folder.path().display());
        lines.join("\n").replace(&base, "")
    }
}

fn pressure(unit: &str) -> String {
    row(
        100,
        "outlet_pressure",
        "analog",
        &format!("unit = \"{unit}\""),
    )
}

fn booster(unit: &str, pumps: usize) -> Site {
    let mut rows = vec![pressure(unit)];
    for number in 1..=pumps {
        rows.push(row(number * 3, &format!("pump{number}_fault"), "flag", ""));
        rows.push(row(
            number * 3 + 1,
            &format!("pump{number}_auto"),
            "flag",
            "",
        ));
    }
    Site::new("pump_set", &rows)
}

/// The pressure in its own unit, and every pump in automatic.
fn calm(pressure: f64, pumps: usize) -> Vec<(String, Value)> {
    let auto = (1..=pumps).map(|number| (format!("pump{number}_auto"), on()));
    let pressure = ("outlet_pressure".to_owned(), Value::Number(pressure));
    auto.chain([pressure]).collect()
}

fn say(watched: &mut Watched, values: &[(String, Value)], seconds: u64) -> Vec<(String, u8)> {
    let values: Vec<(&str, Value)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let mut told = watched.say(&values);
    told.extend(watched.wait(seconds));
    told.into_iter()
        .filter(|(_, reason, ..)| *reason != NotifyReason::Located)
        .map(|(rule, _, priority, _)| (rule, priority.number()))
        .collect()
}

fn told(rule: &str, priority: u8) -> (String, u8) {
    (rule.to_owned(), priority)
}

#[test]
fn every_pump_of_a_set_of_six_is_watched() {
    let site = booster("bar", 6);
    assert_eq!(site.said(""), "");
    let mut set = site.watched();
    assert_eq!(say(&mut set, &calm(4.5, 6), 90), []);
    for (number, second) in [(4, None), (5, Some("no_standby")), (6, None)] {
        let fault = [(format!("pump{number}_fault"), on())];
        let mut expected = vec![told(&format!("pump{number}_fault"), 3)];
        expected.extend(second.map(|rule| told(rule, 2)));
        assert_eq!(say(&mut set, &fault, 3), expected);
    }
    let by_hand = [("pump6_auto".to_owned(), Value::Flag(false))];
    assert_eq!(say(&mut set, &by_hand, 60), [told("not_automatic", 3)]);
}

#[test]
fn a_limit_in_megapascal_judges_what_a_device_counts_in() {
    for (unit, normal, none, high) in [
        ("MPa", 0.45, 0.03, 0.7),
        ("bar", 4.5, 0.3, 7.0),
        ("kPa", 450.0, 30.0, 700.0),
        ("psi", 65.0, 4.0, 101.0),
        ("mH2O", 46.0, 3.0, 71.0),
        ("kgf/cm²", 4.6, 0.3, 7.1),
    ] {
        let site = booster(unit, 2);
        let mut set = site.watched();
        assert_eq!(say(&mut set, &calm(normal, 2), 90), [], "{normal} {unit}");
        let found = say(&mut set, &calm(none, 2), 16);
        assert_eq!(found, [told("pressure_very_low", 1)], "{none} {unit}");
        let mut set = site.watched();
        let found = say(&mut set, &calm(high, 2), 16);
        assert_eq!(found, [told("pressure_high", 2)], "{high} {unit}");
    }
}

#[test]
fn a_unit_that_measures_something_else_is_refused_where_it_stands() {
    let site = Site::new("pump_set", &[pressure("m")]);
    let said = site.said("");
    let expected = "profiles/pump_set/own.toml:12:1: rule \"pressure_very_low\" compares point \
                    \"outlet_pressure\" in MPa, and profile \"own\" has it in m; write what the \
                    device counts in, one of: Pa, kPa, MPa, mbar, bar, psi, mH2O, kgf/cm²";
    assert_eq!(said.lines().next(), Some(expected), "{said}");
    // Without any unit as well, and the profile is refused by itself, too.
    let site = Site::new("pump_set", &[row(0, "outlet_pressure", "analog", "")]);
    assert!(
        site.said("")
            .contains("and profile \"own\" has it without a unit")
    );
    let faults = check_profile(&site.profile()).unwrap_err();
    assert!(print(&faults).contains("has it without a unit"));
}

#[test]
fn a_profile_is_not_judged_by_other_rules_than_those_beside_it() {
    let site = booster("bar", 2);
    assert!(check_profile(&site.profile()).is_ok());
    site.write(
        "alarms/pump_set.toml",
        "class = \"pump_set\"\n[[rule]]\nid = 7\n",
    );
    let found = print(&check_profile(&site.profile()).unwrap_err());
    assert!(
        found.contains("alarms/pump_set.toml:3:6: integer 7 can't stand here"),
        "{found}"
    );
    // What is wrong with the rules of another class is another matter.
    std::fs::remove_file(site.folder.path().join("alarms/pump_set.toml")).unwrap();
    site.write("alarms/tank.toml", "class = 7\n");
    assert!(check_profile(&site.profile()).is_ok());
}

#[test]
fn a_profile_in_the_folder_of_another_class_is_warned_of() {
    let site = booster("bar", 2);
    let text = std::fs::read_to_string(site.profile()).unwrap();
    site.write("profiles/pump/own.toml", &text);
    let place = site.folder.path().join("profiles/pump/own.toml");
    let checked = check_profile(&place).unwrap();
    let expected = "own.toml:2:1: warning: the class is \"pump_set\", and the file stands in \
                    profiles/pump; move the file to profiles/pump_set, or write class = \"pump\"";
    assert!(
        print(&checked.remarks).contains(expected),
        "{}",
        print(&checked.remarks)
    );
    let checked = check_profile(&site.profile()).unwrap();
    assert!(!print(&checked.remarks).contains("the file stands in"));
}

#[test]
fn a_site_says_in_which_unit_its_own_limits_are() {
    let site = booster("bar", 2);
    let change =
        |rest: &str| format!("[[alarm]]\nasset = \"X\"\nrule = \"pressure_low\"\n{rest}\n");
    let limit = |rest: &str| {
        let loaded = site.load(&change(rest));
        let model = loaded
            .unwrap_or_else(|faults| panic!("{}", print(&faults)))
            .model;
        let rule = model
            .rule_by_name(zhiban_core::AssetId(0), "pressure_low")
            .unwrap();
        let when = serde_json::to_value(&model.rule(rule).rule.when).unwrap();
        (
            when["limit"]["below"].as_f64().unwrap(),
            when["limit"]["deadband"].as_f64().unwrap(),
        )
    };
    assert_eq!(limit("below = 3.0\nunit = \"bar\""), (3.0, 0.2));
    assert_eq!(
        limit("below = 0.3\ndeadband = 0.01\nunit = \"MPa\""),
        (3.0, 0.1)
    );
    // 0.3 without a unit would be 0.3 bar to the one and 0.3 MPa to the other.
    let said = site.said(&change("below = 0.3"));
    assert!(
        said.contains("counts in MPa and point \"outlet_pressure\" of asset \"X\" in bar"),
        "{said}"
    );
    assert!(said.contains("add unit = \"bar\""), "{said}");
    let said = site.said(&change("below = 30.0\nunit = \"m\""));
    assert!(
        said.contains("\"m\" can't be converted into the unit of point"),
        "{said}"
    );
    // Of a pump by its number, or of all.
    let slower = |rule: &str| {
        let more = format!("[[alarm]]\nasset = \"X\"\nrule = \"{rule}\"\non_delay = \"1m\"\n");
        let model = site.load(&more).unwrap().model;
        let delay = |id: &str| {
            let rule = model.rule_by_name(zhiban_core::AssetId(0), id).unwrap();
            model.rule(rule).rule.on_delay.to_string()
        };
        (delay("pump1_fault"), delay("pump2_fault"))
    };
    assert_eq!(slower("pump2_fault"), ("3s".to_owned(), "1m".to_owned()));
    assert_eq!(slower("pump{n}_fault"), ("1m".to_owned(), "1m".to_owned()));
    let said = site.said("[[alarm]]\nasset = \"X\"\nrule = \"pump7_fault\"\non_delay = \"1m\"\n");
    assert!(said.contains("this changes nothing"), "{said}");
}

#[test]
fn a_fault_that_no_rule_looks_at_is_named() {
    let rows = [
        pressure("bar"),
        row(1, "pump_4_fault", "flag", ""),
        row(2, "seal_leakage", "flag", ""),
        row(3, "spare_alarm", "flag", ""),
        row(4, "pump1_running", "flag", ""),
        row(
            5,
            "state",
            "enum",
            "meanings = { 0 = { code = \"none\", zh = \"无\", en = \"None\" }, 1 = { code = \"fault\", zh = \"坏\", en = \"Fault\" } }",
        ),
    ];
    let site = Site::new("pump_set", &rows);
    let said = site.said("");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].contains("warning: point \"pump_4_fault\" of profile \"own\" tells of a fault, and no rule looks at it; name it \"pump4_fault\""), "{said}");
    assert!(
        lines[1].contains("\"seal_leakage\"") && lines[1].contains("alarms/pump_set.toml"),
        "{said}"
    );
    assert!(lines[2].contains("\"state\""), "{said}");
    let checked = check_profile(&site.profile()).unwrap();
    assert!(print(&checked.remarks).contains("seal_leakage"));
}

#[test]
fn a_flood_switch_of_another_name_is_not_lost_without_a_word() {
    for name in [
        "highlevel",
        "hihg_level",
        "high_water",
        "flooded",
        "water_detected",
        "pump1_overtemp",
        "pump1_overcurrent",
    ] {
        let site = Site::new(
            "sump",
            &[
                row(0, "level", "analog", "unit = \"m\""),
                row(1, name, "flag", ""),
            ],
        );
        let said = site.said("");
        let line = said
            .lines()
            .find(|line| line.contains(&format!("point \"{name}\"")));
        let line = line.unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(
            line.contains("warning") && line.contains("no rule looks at it"),
            "{line}"
        );
        if name.contains("level") {
            assert!(line.contains("name it \"high_level\""), "{line}");
        }
    }
}

#[test]
fn a_device_that_cannot_tell_of_its_main_danger_is_warned_of() {
    let lift = [
        row(0, "floor", "counter", ""),
        row(1, "door_zone", "flag", ""),
        row(2, "door_closed", "flag", ""),
    ];
    let said = Site::new("elevator", &lift).said("");
    let line = said
        .lines()
        .find(|line| line.contains("family \"entrapment\""));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("warning") && line.contains("trapped"),
        "{line}"
    );
    let with = [&lift[..], &[row(3, "trapped", "flag", "")]].concat();
    assert!(
        !Site::new("elevator", &with)
            .said("")
            .contains("family \"entrapment\"")
    );
}

/// A maker's numbers must not be taken for another's: a code of 1 is leakage for one and a dry pump for the next.
#[test]
fn numbers_of_one_maker_are_judged_under_that_makers_name_alone() {
    let rows = |name: &str| [row(0, "running", "flag", ""), row(1, name, "counter", "")];
    let site = Site::new("pump", &rows("alarm_code"));
    let said = site.said("");
    assert!(
        said.contains(
            "point \"alarm_code\" of profile \"own\" tells of a fault, and no rule looks at it"
        ),
        "{said}"
    );
    assert!(
        !Site::new("pump", &rows("grundfos_alarm_code"))
            .said("")
            .contains("no rule looks at it")
    );
}

#[test]
fn a_class_that_is_nearly_ours_is_refused_and_one_of_its_own_is_warned_of() {
    for (class, meant) in [
        ("metre", "meter"),
        ("lift", "elevator"),
        ("fire-panel", "fire_panel"),
        ("vfd", "drive"),
    ] {
        let site = Site::new(class, &[row(0, "trapped", "flag", "")]);
        let said = site.said("");
        assert!(
            said.contains(&format!(
                "own.toml:2:1: class \"{class}\" has no rules but that for lost communication"
            )),
            "{said}"
        );
        assert!(
            said.contains(&format!("write class = \"{meant}\"")),
            "{said}"
        );
        assert!(check_profile(&site.profile()).is_err(), "{class}");
    }
    let site = Site::new("escalator", &[row(0, "running", "flag", "")]);
    let said = site.said("");
    assert!(
        said.contains("warning: class \"escalator\" has no rules but"),
        "{said}"
    );
}

#[test]
fn a_device_of_any_class_is_told_of_when_it_falls_silent() {
    let site = Site::new("escalator", &[row(0, "running", "flag", "")]);
    let mut device = site.watched();
    let mut found = device.handle(Input::Link {
        asset: zhiban_core::AssetId(0),
        state: LinkState::Down,
    });
    found.extend(device.pass(20));
    let rules: Vec<_> = found.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert_eq!(rules, ["communication"]);
}
