//! What can be wrong with a topic: one of a profile, with `{topic}` for the asset's own, or that own.
//!
//! A topic that no device sends is silent for ever, and one that several send mixes them up.

/// What is wrong with a profile's topic, what to write instead, and whether it is only a warning.
pub fn faults(topic: &str) -> Vec<(String, String, bool)> {
    let mut found = plain(&topic.replace("{topic}", "t"));
    for name in placeholders(topic) {
        if name != "topic" {
            let what = format!("\"{{{name}}}\" in a topic stands for nothing");
            let remedy = "write {topic}, which is the asset's own topic, or the text itself";
            found.push((what, remedy.to_owned(), false));
        }
    }
    let levels: Vec<_> = topic.split('/').collect();
    let last = levels.len() - 1;
    for (index, level) in levels.iter().enumerate() {
        let wild = level.contains(['+', '#']);
        if wild && (level.chars().count() > 1 || (*level == "#" && index < last)) {
            let what = format!("\"{level}\" in \"{topic}\" is not allowed in a topic");
            let remedy = "let + be a whole level, # the whole last one, or write the level itself";
            found.push((what, remedy.to_owned(), false));
        } else if wild {
            let what = format!(
                "\"{topic}\" fits many topics: a point takes what comes on any of them, also from other devices"
            );
            let remedy = format!("write the level itself instead of {level}, or {{topic}}");
            found.push((what, remedy, true));
        }
    }
    found
}

/// MQTT takes 65535 bytes; what a profile adds to the topic of an asset must fit, too.
const LONGEST: usize = 60_000;

/// What is wrong with an asset's own topic, and what to write instead.
pub fn own_faults(topic: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = plain(topic)
        .into_iter()
        .map(|(what, remedy, _)| (what, remedy))
        .collect();
    if topic.contains(['#', '+']) {
        let what = format!("\"{topic}\" is not the topic of one asset");
        found.push((what, "write a topic without # and +".to_owned()));
    }
    if topic.contains(['{', '}']) {
        let what = format!("\"{topic}\" holds a brace, and nothing is put in its place");
        found.push((what, "write the topic as the device sends it".to_owned()));
    }
    found
}

fn plain(topic: &str) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: &str| found.push((what, remedy.to_owned(), false));
    if topic.trim().is_empty() {
        let remedy = "write a topic, for example \"{topic}/telemetry\"";
        add("the topic is empty".to_owned(), remedy);
        return found;
    }
    if topic.len() > LONGEST {
        let what = format!(
            "a topic of {} bytes is longer than a broker takes",
            topic.len()
        );
        add(what, "write the topic that the device sends to");
        return found;
    }
    if topic.starts_with("$share/") || topic == "$share" {
        let what = format!("\"{topic}\" shares its messages out: this gateway would miss some");
        add(what, "write the topic without $share and the group");
    } else if topic.starts_with('$') {
        let what = format!("\"{topic}\" is the broker's own, no device sends there");
        add(what, "write the topic the device sends to");
    }
    if topic.split('/').any(str::is_empty) {
        let what = format!("\"{topic}\" has an empty level, which a device hardly sends");
        add(
            what,
            "write single slashes, none at the beginning or the end",
        );
    }
    if let Some((wide, plain)) = topic
        .chars()
        .filter(|c| !c.is_whitespace())
        .find_map(|c| Some((c, crate::text::narrow(c)?)))
    {
        let what = format!("\"{wide}\" in \"{topic}\" is a full-width character (全角字符)");
        found.push((
            what,
            format!("write {plain} with the keyboard set to English"),
            false,
        ));
    } else if topic.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let what = format!("\"{topic}\" has a space in it");
        add(what, "take it out, or write the character the device sends");
    }
    found
}

/// The names in braces.
fn placeholders(topic: &str) -> impl Iterator<Item = &str> {
    let parts = topic.split('{').skip(1);
    parts.map(|part| part.split('}').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_nothing_or_everything_fits_is_named() {
        for (topic, said) in [
            ("{topic}/telemetry", None),
            ("roof/tank/level", None),
            ("{topic}", None),
            ("", Some("the topic is empty")),
            (
                "{door}/state",
                Some("\"{door}\" in a topic stands for nothing"),
            ),
            ("{topic}//state", Some("has an empty level")),
            ("/{topic}", Some("has an empty level")),
            ("{topic}/", Some("has an empty level")),
            ("$share/g/{topic}", Some("shares its messages out")),
            ("$SYS/uptime", Some("is the broker's own")),
            ("a/+/b", Some("fits many topics")),
            ("a/#", Some("fits many topics")),
            ("a/#/b", Some("is not allowed in a topic")),
            ("a/b+/c", Some("is not allowed in a topic")),
            ("a/b c", Some("has a space")),
            ("a/b\u{3000}c", Some("has a space")),
        ] {
            let found = faults(topic);
            match said {
                None => assert_eq!(found, [], "{topic}"),
                Some(said) => assert!(
                    found.iter().any(|(what, ..)| what.contains(said)),
                    "{topic}: {found:?}"
                ),
            }
        }
        let warned = faults("a/+/b");
        assert!(warned.iter().all(|(_, _, is_warning)| *is_warning));
        assert_eq!(own_faults("building/BW1"), []);
        for topic in ["a/+", "a/#", "a//b", "{topic}", "$share/g/a", "", "a b"] {
            assert_ne!(own_faults(topic), [], "{topic}");
        }
    }
}
