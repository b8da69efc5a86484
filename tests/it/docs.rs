//! Holds the documents to the code: what they name exists. It must never check by a list of its
//! own what it can find by walking the documents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zhiban_core::{AlarmState, WorkOrderStatus};

use crate::tidy::source::{Source, root, sources};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let words = prose.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Whether it can only be the name of a file or a folder.
fn is_path(word: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || "/._-*".contains(c);
    let ending = [".rs", ".toml", ".script", ".md", ".yaml", ".sh"];
    word.chars().all(letters)
        && !word.starts_with('/')
        && (ending.iter().any(|end| word.ends_with(end)) || word.ends_with('/'))
}

/// A path may be told from the root or from the folder that its section is about.
fn is_there(word: &str) -> bool {
    let bases = [
        "",
        "config",
        "dashboard/src",
        "gateway/core/src",
        "gateway/core/src/facility/tests",
        "gateway/daemon/src",
    ];
    let folder = |base: &str| -> PathBuf { root().join(base) };
    bases.iter().any(|base| match word.split_once('*') {
        None => folder(base).join(word).exists(),
        Some((before, after)) => {
            let found = folder(base).join(before).read_dir().into_iter().flatten();
            found
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .any(|name| name.ends_with(after))
        }
    })
}

/// Whether it is the name of something in code: a function, a type, a table, a constant.
fn is_name(word: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let tells = word.contains('_') || word.contains("::");
    word.chars().all(letters) && tells && !word.starts_with(':')
}

/// Every word of everything but the documents.
fn words() -> BTreeSet<String> {
    let code = |source: &&Source| !matches!(source.kind(), "md" | "lock");
    let mut words = BTreeSet::new();
    for source in sources().iter().filter(code) {
        let parts = source
            .text()
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.extend(parts.map(str::to_owned));
    }
    words
}

#[test]
fn what_the_architecture_names_exists() {
    let words = words();
    let mut missing = Vec::new();
    for word in quoted(&read("ARCHITECTURE.md")) {
        let known = if is_path(&word) {
            is_there(&word)
        } else if is_name(&word) {
            word.split("::").all(|part| words.contains(part))
        } else {
            true
        };
        if !known {
            missing.push(word);
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn every_decision_is_in_the_list() {
    let list = read("docs/decisions/README.md");
    let folder = root().join("docs/decisions");
    for entry in folder.read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let (number, _) = name.split_once('-').unwrap();
        let title = read(&format!("docs/decisions/{name}"));
        let title = title.lines().find_map(|line| line.strip_prefix("# "));
        let title = title.and_then(|title| title.strip_prefix(&format!("{number}: ")));
        let title = title.unwrap_or_else(|| panic!("{name} does not open with # {number}: …"));
        let row = format!("| [{number}]({name}) | {title} |");
        assert!(
            list.contains(&row),
            "docs/decisions/README.md lacks:\n{row}"
        );
    }
}

#[test]
fn the_glossary_has_every_state() {
    let glossary = read("docs/glossary.md");
    let orders = WorkOrderStatus::ALL.iter().map(|status| status.code());
    let alarms = AlarmState::ALL.iter().map(|state| state.code());
    for code in orders.chain(alarms) {
        assert!(glossary.contains(&format!("`{code}`")), "{code}");
    }
}

/// The lines of a document that are commands of this project.
fn commands(document: &str) -> Vec<String> {
    let text = read(document);
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(str::trim);
    lines
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn commands_in_documents_name_files_that_exist() {
    let documents = [
        "CONTRIBUTING.md",
        "docs/how-to/deploy-with-docker.md",
        "docs/how-to/deploy-with-systemd.md",
    ];
    for document in documents {
        for command in commands(document) {
            let ours = ["config/", "deploy/", "tests/", ".ci/"];
            for word in command.split_whitespace() {
                let named = ours.iter().any(|folder| word.starts_with(folder));
                assert!(
                    !named || Path::new(&root()).join(word).exists(),
                    "{document}: {command}"
                );
            }
        }
    }
}
