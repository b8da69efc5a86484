//! Holds every file of the project to the rules of the house. It must never be quieted by an
//! exception without a reason beside it.

pub(crate) mod source;

use std::collections::BTreeSet;

use source::{Source, code, functions, root, sources};

const MOST_LINES: usize = 800;
const MOST_FUNCTION_LINES: usize = 70;
const MOST_BYTES: usize = 256 * 1024;

/// Files and functions that may be longer, each with the reason. It only ever shrinks.
const LONGER: &[(&str, &str)] = &[(
    "config/alarms/fire_panel.toml",
    "five rules for each of ten loops, so that a loop which is not there holds up no other",
)];

fn may_be_longer(place: &str) -> bool {
    LONGER.iter().any(|(longer, _)| *longer == place)
}

/// Asserts that no file has a fault, and prints all faults when one has.
fn hold(rule: &str, fault: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let found = fault(source).into_iter();
            found.map(|what| format!("{}{what}", source.path))
        })
        .collect();
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

/// The faults `:LINE: what` of the lines that a test condemns.
fn lines(text: &str, condemned: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| Some(format!(":{}: {}", index + 1, condemned(line)?)))
        .collect()
}

fn is_code(source: &Source) -> bool {
    let kinds = [
        "rs", "ts", "mjs", "js", "css", "html", "toml", "sh", "py", "go", "sql", "run",
    ];
    kinds.contains(&source.kind()) && !source.is_foreign()
}

fn is_test(source: &Source) -> bool {
    source.path.starts_with("tests/")
        || source.path.contains("/tests/")
        || source.path.ends_with("/tests.rs")
}

#[test]
fn files_are_short() {
    hold("a file has at most 800 lines", |source| {
        let length = source.text().lines().count();
        if is_code(source) && length > MOST_LINES && !may_be_longer(&source.path) {
            return vec![format!(": {length} lines")];
        }
        Vec::new()
    });
}

#[test]
fn functions_are_short() {
    hold("a function has at most 70 lines", |source| {
        if source.kind() != "rs" {
            return Vec::new();
        }
        functions(source.text())
            .into_iter()
            .filter(|(name, _, length)| {
                let place = format!("{} {name}", source.path);
                *length > MOST_FUNCTION_LINES && !may_be_longer(&place)
            })
            .map(|(name, line, length)| format!(":{line}: {name} has {length} lines"))
            .collect()
    });
}

#[test]
fn every_file_says_what_it_is() {
    hold("a file opens with what it is and must never do", |source| {
        let marks: &[&str] = match source.kind() {
            "rs" => &["//!"],
            "ts" | "mjs" | "js" | "go" => &["//", "/*"],
            "css" => &["/*"],
            "html" => &["<!--", "{#"],
            "sql" => &["--"],
            "sh" | "run" | "yaml" | "yml" | "conf" | "service" | "Dockerfile" => &["#"],
            "py" => &["\"\"\"", "#"],
            "toml" if !source.path.ends_with("/Cargo.toml") => &["#"],
            _ => return Vec::new(),
        };
        let mut lines = source.text().lines();
        let mut first = lines.next().unwrap_or_default();
        if first.starts_with("#!/") {
            first = lines.next().unwrap_or_default();
        }
        let said = marks.iter().any(|mark| first.starts_with(mark));
        if said || source.is_foreign() {
            return Vec::new();
        }
        vec![format!(":1: no header ({})", marks.join(" or "))]
    });
}

#[test]
fn modules_are_named_files() {
    hold("foo.rs beside foo/, never mod.rs", |source| {
        let is_mod = source.path.ends_with("/mod.rs");
        is_mod.then(String::new).into_iter().collect()
    });
}

#[test]
fn tests_wait_for_a_condition() {
    hold("no sleeping in a test: wait for a condition", |source| {
        let sleeps = ["sleep(", "waitForTimeout(", "setTimeout("];
        match source.kind() {
            "rs" if is_test(source) => lines(&code(source.text()), |line| {
                line.contains(sleeps[0]).then(|| line.trim().to_owned())
            }),
            "ts" | "mjs" | "js" if is_test(source) => lines(source.text(), |line| {
                let found = sleeps.iter().any(|sleep| line.contains(sleep));
                found.then(|| line.trim().to_owned())
            }),
            _ => Vec::new(),
        }
    });
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK:"),
    ];
    hold("no promises in the code", |source| {
        if source.is_foreign() {
            return Vec::new();
        }
        lines(source.text(), |line| {
            let found = marks.iter().any(|mark| line.contains(mark));
            found.then(|| line.trim().to_owned())
        })
    });
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("registry.", "npmjs"),
        concat!("pypi.", "org"),
        concat!("proxy.", "golang"),
        concat!("index.", "crates"),
        concat!("deb.", "debian"),
    ];
    hold("no paths of one machine, no registry's host", |source| {
        if source.path == "Cargo.lock" {
            return Vec::new();
        }
        lines(source.text(), |line| {
            let found = words.iter().any(|word| line.contains(word));
            found.then(|| line.trim().to_owned())
        })
    });
}

#[test]
fn files_are_small() {
    hold("a file has at most 256 KiB", |source| {
        let exempt = source.path.starts_with("docs/pictures/") || source.is_foreign();
        if exempt || source.bytes.len() <= MOST_BYTES {
            return Vec::new();
        }
        vec![format!(": {} KiB", source.bytes.len() / 1024)]
    });
}

#[test]
fn text_is_plain() {
    hold("no CRLF, no tab in Rust, a newline at the end", |source| {
        let text = source.text();
        let mut faults = Vec::new();
        if text.contains('\r') {
            faults.push(": CRLF".to_owned());
        }
        if source.kind() == "rs" && code(text).contains('\t') {
            faults.push(": a tab".to_owned());
        }
        if !text.is_empty() && !text.ends_with('\n') && !source.is_foreign() {
            faults.push(": no newline at the end".to_owned());
        }
        faults
    });
}

#[test]
fn links_in_documents_resolve() {
    let root = root();
    hold("a link leads to a file", |source| {
        if source.kind() != "md" {
            return Vec::new();
        }
        let here = root.join(&source.path);
        let folder = here.parent().unwrap_or(&root);
        lines(source.text(), |line| {
            let links = line.split("](").skip(1);
            let targets = links.filter_map(|rest| rest.split([')', ' ']).next());
            let missing: Vec<&str> = targets
                .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
                .filter_map(|target| target.split('#').next())
                .filter(|file| !file.is_empty() && !folder.join(file).exists())
                .collect();
            (!missing.is_empty()).then(|| missing.join(", "))
        })
    });
}

#[test]
fn the_architecture_fits_on_a_few_pages() {
    hold("ARCHITECTURE.md has at most 200 lines", |source| {
        let length = source.text().lines().count();
        if source.path == "ARCHITECTURE.md" && length > 200 {
            return vec![format!(": {length} lines")];
        }
        Vec::new()
    });
}

/// What each package may depend on of ours: the arrows of the house never turn back.
#[test]
fn packages_depend_in_one_direction() {
    let allowed: &[(&str, &[&str])] = &[
        ("gateway/core/Cargo.toml", &[]),
        ("gateway/sim/Cargo.toml", &[]),
        ("dashboard/Cargo.toml", &["zhiban-core"]),
        (
            "gateway/daemon/Cargo.toml",
            &["zhiban-core", "zhiban-dashboard", "zhiban-sim"],
        ),
    ];
    for (path, may) in allowed {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let ours: BTreeSet<&str> = ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .filter_map(|section| manifest.get(*section)?.as_table())
            .flat_map(|section| section.keys().map(String::as_str))
            .filter(|name| name.starts_with("zhiban"))
            .collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert!(ours.is_subset(&may), "{path}: {ours:?}, allowed {may:?}");
    }
}

/// Crates that are kept in one place, so that changing them is a change of one module.
#[test]
fn foreign_clients_stay_behind_their_fence() {
    let fences = [
        ("influxdb2::", "influxdb"),
        ("tokio_modbus::", "modbus"),
        ("rumqttc::", "mqtt"),
    ];
    hold("a foreign client is used in its own module", |source| {
        if source.kind() != "rs" || !source.path.starts_with("gateway/daemon/src/") {
            return Vec::new();
        }
        lines(&code(source.text()), |line| {
            let outside = fences
                .iter()
                .find(|(name, module)| line.contains(name) && !source.path.contains(module));
            outside.map(|(name, module)| format!("{name} outside of {module}"))
        })
    });
}

#[test]
fn the_reader_of_rust_sees_code_only() {
    let text = "fn a<'x>(s: &'x str) -> char { // }\n    let _ = \"{ \\\" }\"; '}'\n}\n\
                /* fn b() { /* } */ { */ fn c() {\n    r#\"} \" {\"#; '\\'';\n}\n\
                trait T { fn d(&self)\n    -> bool;\n}\n";
    let found = functions(text);
    let names: Vec<(&str, usize, usize)> = found
        .iter()
        .map(|(name, line, length)| (name.as_str(), *line, *length))
        .collect();
    assert_eq!(names, [("a", 1, 3), ("c", 4, 3)]);
}
