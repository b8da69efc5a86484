//! What devices make of rules: numbers, units, and points that are not there.

use super::*;
use crate::alarm::rule::RuleFile;

/// A profile of points, each written `name kind unit`.
fn device(points: &[&str]) -> Profile {
    let mut text = r#"
        id = "d"
        class = "c"
        title = { zh = "设备", en = "Device" }
        trust = "transcribed"
        source = "a test"
        modbus = {}
    "#
    .to_owned();
    for (address, point) in points.iter().enumerate() {
        let mut parts = point.split(' ');
        let (name, kind) = (parts.next().unwrap(), parts.next().unwrap_or("flag"));
        let unit = parts.next().unwrap_or_default();
        text += &format!(
            "\n[[point]]\npoint = \"{name}\"\nname = {{ zh = \"点\", en = \"P\" }}\nkind = \"{kind}\"\n\
             unit = \"{unit}\"\nmodbus = {{ table = \"input\", address = {address}, type = \"u16\" }}\n"
        );
    }
    toml::from_str(&text).unwrap()
}

fn rule(head: &str, when: &str) -> Arc<AlarmRule> {
    let text = format!(
        "class = \"c\"\n[[rule]]\n{head}\npriority = 1\ncause = {{ zh = \"因\", en = \"c\" }}\n\
         consequence = {{ zh = \"果\", en = \"c\" }}\naction = {{ zh = \"做\", en = \"a\" }}\n\
         due = \"1h\"\nwhen = {when}\n"
    );
    let file: RuleFile = toml::from_str(&text).unwrap();
    Arc::new(file.rules.into_iter().next().unwrap())
}

const PUMP: &str = "id = \"pump{n}_fault\"\nfor_each = \"pump{n}\"\nfamily = \"pump{n}\"\n\
                    title = { zh = \"{n}号泵故障\", en = \"Pump {n} fault\" }\nlife_safety = true";
const ONE: &str = "id = \"one\"\nfamily = \"f\"\ntitle = { zh = \"一\", en = \"One\" }";

fn when(fit: &Fit) -> serde_json::Value {
    serde_json::to_value(&fit.rule.as_ref().unwrap().when).unwrap()
}

#[test]
fn a_rule_for_each_pump_is_one_rule_for_each_pump_that_is_there() {
    let points = [
        "pump1_fault",
        "pump2_fault",
        "pump6_fault",
        "pump10_fault",
        "pump4_running",
    ];
    let fits = fit(
        &rule(PUMP, r#"{ flag = { point = "pump{n}_fault" } }"#),
        &device(&points),
    );
    let ids: Vec<_> = fits.iter().map(|fit| fit.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "pump1_fault",
            "pump2_fault",
            "pump4_fault",
            "pump6_fault",
            "pump10_fault"
        ]
    );
    let last = fits.last().unwrap().rule.as_ref().unwrap();
    assert_eq!(last.title.en, "Pump 10 fault");
    assert_eq!(last.title.zh, "10号泵故障");
    assert_eq!(last.family, "pump10");
    assert!(last.life_safety);
    assert_eq!(last.for_each, None);
    assert_eq!(
        when(&fits[3]),
        serde_json::json!({"flag": {"point": "pump6_fault", "is": true}})
    );
    // The fourth pump runs and tells of no fault: that is said, and costs the others nothing.
    assert_eq!(fits[2].rule, Err(Misfit::Lacks));
    assert_eq!(fits[2].lacks, ["pump4_fault"]);
}

#[test]
fn a_device_without_numbers_lacks_the_rule_by_its_written_name() {
    let fits = fit(
        &rule(PUMP, r#"{ flag = { point = "pump{n}_fault" } }"#),
        &device(&["fault", "pump_fault", "pumps1_fault", "pump1fault"]),
    );
    let found: Vec<_> = fits
        .iter()
        .map(|fit| (&*fit.id, fit.rule.clone().err()))
        .collect();
    assert_eq!(found, [("pump{n}_fault", Some(Misfit::Lacks))]);
    assert_eq!(fits[0].lacks, ["pump{n}_fault"]);
}

#[test]
fn some_and_all_of_the_pumps() {
    let some = |count: u16| {
        format!(
            r#"{{ for_some = {{ each = "pump{{n}}", at_least = {count}, when = {{ flag = {{ point = "pump{{n}}_fault" }} }} }} }}"#
        )
    };
    let six: Vec<String> = (1..=6).map(|n| format!("pump{n}_fault")).collect();
    let six: Vec<&str> = six.iter().map(String::as_str).collect();
    let of = |points: &[&str], count| fit(&rule(ONE, &some(count)), &device(points)).remove(0);
    assert_eq!(when(&of(&six, 2))["at_least"]["count"], 2);
    assert_eq!(
        when(&of(&six, 2))["at_least"]["of"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    assert_eq!(when(&of(&six[..2], 2))["all"].as_array().unwrap().len(), 2);
    assert_eq!(when(&of(&six, 1))["any"].as_array().unwrap().len(), 6);
    assert_eq!(
        of(&six[..1], 2).rule,
        Err(Misfit::Lacks),
        "one pump has no second"
    );
    let all =
        r#"{ for_all = { each = "pump{n}", when = { flag = { point = "pump{n}_fault" } } } }"#;
    let fits = fit(&rule(ONE, all), &device(&six));
    assert_eq!(when(&fits[0])["all"].as_array().unwrap().len(), 6);
    // Whether all have failed is not known where one says nothing.
    let fits = fit(&rule(ONE, all), &device(&["pump1_fault", "pump2_running"]));
    assert_eq!(fits[0].rule, Err(Misfit::Lacks));
    assert_eq!(fits[0].lacks, ["pump2_fault"]);
}

#[test]
fn limits_are_judged_in_the_units_of_the_device() {
    let low = r#"{ limit = { point = "p", below = 0.15, deadband = 0.02, unit = "MPa" } }"#;
    for (unit, below, deadband) in [("MPa", 0.15, 0.02), ("bar", 1.5, 0.2), ("kPa", 150.0, 20.0)] {
        let fits = fit(&rule(ONE, low), &device(&[&format!("p analog {unit}")]));
        let limit = &when(&fits[0])["limit"];
        assert_eq!(limit["below"], below, "{unit}");
        assert_eq!(limit["deadband"], deadband, "{unit}");
        assert_eq!(limit["unit"], unit);
    }
    let hot = r#"{ limit = { point = "p", above = 40.0, deadband = 2.0, unit = "°C" } }"#;
    let fits = fit(&rule(ONE, hot), &device(&["p analog °F"]));
    let limit = &when(&fits[0])["limit"];
    assert_eq!(
        (&limit["above"], &limit["deadband"]),
        (&104.0.into(), &3.6.into())
    );
    let fast = r#"{ rate = { point = "p", change = 0.1, window = "10m", unit = "MPa" } }"#;
    let fits = fit(&rule(ONE, fast), &device(&["p analog bar"]));
    assert_eq!(when(&fits[0])["rate"]["change"], 1.0);
}

#[test]
fn what_cannot_be_converted_refuses_the_rule() {
    let limit = |unit: &str| format!(r#"{{ limit = {{ point = "p", below = 0.15{unit} }} }}"#);
    let mpa = r#", unit = "MPa""#;
    for (point, unit, has, wants, why) in [
        ("p analog m", mpa, "m", "MPa", Mismatch::Different),
        ("p analog", mpa, "", "MPa", Mismatch::Different),
        ("p analog bar", "", "bar", "", Mismatch::Different),
        (
            "p analog bar",
            r#", unit = "bars""#,
            "bar",
            "bars",
            Mismatch::Unknown,
        ),
    ] {
        let fits = fit(&rule(ONE, &limit(unit)), &device(&[point]));
        let wrong = WrongUnit {
            point: "p".into(),
            has: has.into(),
            wants: wants.into(),
            why,
        };
        assert_eq!(fits[0].rule, Err(Misfit::Unit(wrong)), "{point}");
    }
    // Also in a part of an `any`, which would else be left out as if the point were not there.
    let any = format!(
        r#"{{ any = [{{ flag = {{ point = "q" }} }}, {}] }}"#,
        limit(mpa)
    );
    let fits = fit(&rule(ONE, &any), &device(&["q", "p analog m"]));
    assert!(matches!(fits[0].rule, Err(Misfit::Unit(_))));
}

#[test]
fn a_part_of_an_any_that_is_not_there_is_named_and_left_out() {
    let any = r#"{ any = [{ flag = { point = "a" } }, { flag = { point = "b" } }] }"#;
    let fits = fit(&rule(ONE, any), &device(&["a"]));
    assert_eq!(
        when(&fits[0]),
        serde_json::json!({"any": [{"flag": {"point": "a", "is": true}}]})
    );
    assert_eq!(fits[0].lacks, ["b"]);
}

#[test]
fn a_place_names_as_many_pumps_as_there_are() {
    let points: Vec<_> = (1..=12).map(|n| format!("pump{n}_fault")).collect();
    let points: Vec<_> = points.iter().map(String::as_str).collect();
    let mut written = AlarmRule::clone(&rule(
        ONE,
        r#"{ for_some = { each = "pump{n}", when = { flag = { point = "pump{n}_fault" } } } }"#,
    ));
    written.places = vec![Text::new(
        "{pump{n}_fault?{n}号泵}".to_owned(),
        "{pump{n}_fault?pump {n}}".to_owned(),
    )];
    let fits = fit(&Arc::new(written), &device(&points));
    let place = &fits[0].rule.as_ref().unwrap().places[0];
    assert!(
        place
            .zh
            .ends_with("{pump11_fault?11号泵}{pump12_fault?12号泵}")
    );
    assert!(
        place
            .en
            .starts_with("{pump1_fault?pump 1}{pump2_fault?pump 2}")
    );
}
