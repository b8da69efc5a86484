//! Every rule that a device of each profile gets, as it is judged: numbered, in the device's own
//! units. What the rules come to is compared with a file for each profile, so that a change of the
//! rules or of how they are expanded is seen in full. `UPDATE=1` writes the files.

use super::{library, print};
use std::fmt::Write;
use std::path::Path;
use zhiban::config::Config;
use zhiban_core::model::Model;

/// The model of one asset of a profile that comes with the program.
pub(crate) fn model_of(profile: &str) -> std::sync::Arc<Model> {
    let text = |link: &str, rest: &str| {
        format!(
            "site = {{ code = \"t\", name = {{ zh = \"甲\", en = \"A\" }} }}\n\
             link.line.{link} = {{ host = \"h\" }}\n[[asset]]\ncode = \"X\"\n\
             name = {{ zh = \"甲\", en = \"X\" }}\nprofile = \"{profile}\"\nlink = \"line\"\n{rest}\n"
        )
    };
    let file = Path::new("/nowhere/gateway.toml");
    let loaded = Config::parse(file, &text("modbus_tcp", "unit = 1"));
    let loaded = loaded.or_else(|_| Config::parse(file, &text("mqtt", "topic = \"x\"")));
    let loaded = loaded.unwrap_or_else(|faults| panic!("{profile}: {}", print(&faults)));
    loaded.model
}

#[test]
fn every_profile_is_judged_by_the_rules_written_down_for_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/profiles/judged");
    for profile in library().profiles.keys() {
        let mut found = String::new();
        for bound in &model_of(profile).rules {
            let rule = &bound.rule;
            writeln!(
                found,
                "{} [{}] P{}{}{} on {} off {} close {:?} due {}{} | {} | {} | {}",
                rule.id,
                rule.family,
                rule.priority.number(),
                if rule.life_safety { " life" } else { "" },
                if rule.latch { " latch" } else { "" },
                rule.on_delay,
                rule.off_delay,
                rule.close,
                rule.due,
                if rule.work_order { "" } else { " no order" },
                rule.title.en,
                rule.title.zh,
                serde_json::to_string(&rule.when).unwrap(),
            )
            .unwrap();
        }
        crate::config::hold(&folder.join(format!("{profile}.expected")), &found);
    }
}
