//! Both tables have the same keys, every key used exists, none is left over, and templates hold no words.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The keys and texts of a table; reads the small part of TOML that the tables use.
pub(in crate::pages) fn table(name: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("i18n").join(name)).unwrap();
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_owned();
        } else if let Some((key, text)) = line.split_once(" = ") {
            let old = keys.insert(format!("{section}.{key}"), text.to_owned());
            assert!(old.is_none(), "{section}.{key} stands twice");
        }
    }
    keys
}

fn files(under: &str, ending: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.extension().is_some_and(|one| one == ending) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(under), ending, &mut found);
    assert!(!found.is_empty(), "no {ending} under {under}");
    found
}

fn is_chinese(letter: char) -> bool {
    ('\u{3400}'..='\u{9fff}').contains(&letter) || ('\u{3000}'..='\u{303f}').contains(&letter)
}

#[test]
fn both_languages_have_the_same_keys_and_the_same_blanks() {
    let (zh, en) = (table("zh-CN.toml"), table("en.toml"));
    let keys = |table: &BTreeMap<String, String>| table.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&zh), keys(&en));
    for (key, text) in &zh {
        let blanks = |text: &str| {
            let parts = text.split("%{").skip(1);
            parts
                .filter_map(|part| part.split('}').next().map(str::to_owned))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(blanks(text), blanks(&en[key]), "{key}");
        assert!(!text.trim_matches('"').trim().is_empty(), "{key}");
        assert!(!en[key].chars().any(is_chinese), "{key} of en has Chinese");
    }
}

/// Groups whose keys are codes of core, looked up by `code`.
const GROUPS: [&str; 19] = [
    "alarm_change.",
    "asset_state.",
    "class.",
    "fault.",
    "fault_cure.",
    "fault_fact.",
    "kind.",
    "link.",
    "move.",
    "order_change.",
    "panel.",
    "photo.",
    "priority.",
    "quality.",
    "reason.",
    "signal.",
    "state.",
    "status.",
    "told_reason.",
];

#[test]
fn every_key_used_exists_and_no_key_is_left_over() {
    let zh = table("zh-CN.toml");
    let mut text = String::new();
    for (path, content) in files("templates", "html")
        .into_iter()
        .chain(files("src/pages", "rs"))
    {
        if !path.ends_with("words/tests.rs") {
            text.push_str(&content);
        }
    }
    let mut unused = Vec::new();
    for key in zh.keys() {
        let in_group = GROUPS.iter().any(|group| key.starts_with(group));
        let built = ["span.", "trust.", "asset.hours_", "order."];
        let by_code = built.iter().any(|group| key.starts_with(group));
        let named = text.contains(&format!("\"{key}\""));
        if !(in_group || by_code || named) {
            unused.push(key);
        }
    }
    assert!(unused.is_empty(), "not used: {unused:?}");
    for call in [".t(\"", ".n(\"", ".with(\""] {
        for part in text.split(call).skip(1) {
            let key = part.split('"').next().unwrap_or_default();
            let is_key = key.contains('.') && !key.contains('{');
            assert!(!is_key || zh.contains_key(key), "{key} does not exist");
        }
    }
}

#[test]
fn every_code_of_core_has_a_word() {
    use zhiban_core::work_order::{PhotoStage, WorkOrderChange, WorkOrderKind};
    use zhiban_core::{AlarmState, NotifyReason, QualityReason, Signal, WorkOrderStatus};
    let zh = table("zh-CN.toml");
    let mut codes: Vec<String> = Vec::new();
    codes.extend(
        AlarmState::ALL
            .iter()
            .map(|one| format!("state.{}", one.code())),
    );
    codes.extend(
        Signal::ALL
            .iter()
            .map(|one| format!("signal.{}", one.code())),
    );
    codes.extend(
        QualityReason::ALL
            .iter()
            .map(|one| format!("reason.{}", one.code())),
    );
    codes.extend(
        WorkOrderStatus::ALL
            .iter()
            .map(|one| format!("status.{}", one.code())),
    );
    codes.extend(
        WorkOrderKind::ALL
            .iter()
            .map(|one| format!("kind.{}", one.code())),
    );
    codes.extend(
        WorkOrderChange::ALL
            .iter()
            .map(|one| format!("order_change.{}", one.code())),
    );
    for kind in crate::ports::DeviceFault::KINDS {
        codes.extend(["fault.", "fault_cure."].map(|group| format!("{group}{kind}")));
    }
    codes.extend(
        NotifyReason::ALL
            .iter()
            .map(|one| format!("told_reason.{}", one.code())),
    );
    for stage in PhotoStage::ALL {
        codes.extend(["photo.", "order.photo_"].map(|group| format!("{group}{}", stage.code())));
    }
    for code in codes {
        assert!(zh.contains_key(&code), "{code}");
    }
}

#[test]
fn templates_hold_no_words_of_their_own() {
    for (path, text) in files("templates", "html") {
        assert!(text.starts_with("{#-"), "{} has no header", path.display());
        assert!(
            !text.chars().any(is_chinese),
            "{} has Chinese",
            path.display()
        );
        assert!(
            !text.contains("style="),
            "{} has inline style",
            path.display()
        );
        for part in markup_text(&text) {
            let words = part.split(|one: char| !one.is_ascii_alphabetic());
            let long = words.filter(|word| word.len() > 2).collect::<Vec<_>>();
            assert!(
                long.is_empty(),
                "{}: {long:?} is not in i18n",
                path.display()
            );
        }
    }
}

/// What stands between tags and outside template code.
fn markup_text(template: &str) -> Vec<String> {
    let mut text = template.to_owned();
    // What these blocks hold is for the style sheet and the scripts.
    for block in ["{% block class %}", "{% block sets %}"] {
        if let Some((before, after)) = text.split_once(block) {
            let after = after
                .split_once("{% endblock %}")
                .map_or("", |(_, rest)| rest);
            text = format!("{before}{after}");
        }
    }
    for (open, close) in [("{#", "#}"), ("{%", "%}"), ("{{", "}}"), ("<", ">")] {
        let mut kept = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(open) {
            kept.push_str(before);
            kept.push('\n');
            rest = after.split_once(close).map_or("", |(_, after)| after);
        }
        kept.push_str(rest);
        text = kept;
    }
    text.lines().map(str::to_owned).collect()
}
