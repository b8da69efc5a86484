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
        "README.md",
        "README.zh-CN.md",
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

/// What stands between these two in the code of the program, tests left out.
fn in_code(before: &str, after: char) -> BTreeSet<String> {
    let ours = |source: &&Source| {
        let program = ["gateway/daemon/src/", "dashboard/src/"];
        let tests = source.path.contains("/tests") || source.path.contains("fixture");
        source.kind() == "rs" && !tests && program.iter().any(|path| source.path.starts_with(path))
    };
    let mut found = BTreeSet::new();
    for source in sources().iter().filter(ours) {
        let rests = source.text().split(before).skip(1);
        found.extend(rests.filter_map(|rest| Some(rest.split_once(after)?.0.to_owned())));
    }
    found
}

#[test]
fn every_metric_is_described() {
    let cookies = ["session", "device", "lang", "theme"];
    let names = in_code("\"zhiban_", '"');
    let counted = names
        .iter()
        .filter(|name| !cookies.contains(&name.as_str()));
    let counted: BTreeSet<String> = counted.map(|name| format!("zhiban_{name}")).collect();
    let described: BTreeSet<String> = quoted(&read("docs/reference/metrics.md"))
        .into_iter()
        .filter(|word| word.starts_with("zhiban_"))
        .collect();
    assert_eq!(described, counted, "described, counted");
}

#[test]
fn every_route_of_the_api_is_described() {
    let rows = read("docs/reference/http-api.md");
    let rows = rows.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (method, path) = (cells.next()?, cells.next()?);
        let path = path.strip_prefix("`/api/")?.strip_suffix('`')?;
        Some(format!("{} /api/{path}", method.to_lowercase()))
    });
    let described: BTreeSet<String> = rows.collect();
    let served: BTreeSet<String> = in_code("#[utoipa::path(", ')')
        .iter()
        .filter_map(|inner| {
            let (method, rest) = inner.split_once(", path = \"")?;
            Some(format!("{method} {}", rest.split_once('"')?.0))
        })
        .collect();
    assert_eq!(described, served, "described, served");
}

#[test]
fn every_refusal_is_described() {
    let described = quoted(&read("docs/reference/http-api.md"));
    for code in in_code(" => \"", '"') {
        let (area, _) = code.split_once('.').unwrap_or_default();
        let areas = [
            "auth",
            "body",
            "query",
            "form",
            "idempotency",
            "alarm",
            "wo",
            "match",
            "rate",
            "store",
        ];
        if areas.contains(&area) && !code.contains(' ') {
            assert!(
                described.contains(&code),
                "docs/reference/http-api.md lacks {code}"
            );
        }
    }
}

/// The help of a command and of all commands below it.
fn help(command: &[&str], text: &mut String) {
    let mut arguments = command.to_vec();
    arguments.push("--help");
    let output = crate::support::zhiban::run(&arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    let name = [&["zhiban"], command].concat().join(" ");
    text.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        said.trim_end()
    ));
    let commands = said.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = commands.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        help(&[command, &[name]].concat(), text);
    }
}

/// `UPDATE=1` writes it anew.
#[test]
fn the_command_line_is_described() {
    let path = "docs/reference/command-line.md";
    let mut text = "<!-- What `zhiban --help` says, command by command; written by the tests (UPDATE=1). -->\n\
        # Command line\n\n\
        Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.\n"
        .to_owned();
    help(&[], &mut text);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(path), &text).unwrap();
    }
    assert!(
        read(path) == text,
        "{path} is not what --help says: run again with UPDATE=1"
    );
}

#[test]
fn the_configuration_in_the_readme_is_accepted() {
    for document in ["README.md", "README.zh-CN.md"] {
        let text = read(document);
        let example = text.split("```toml\n").nth(1).unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let file = Path::new("/etc/zhiban/gateway.toml");
        if let Err(faults) = zhiban::config::Config::parse(file, example) {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{document}:\n{}", faults.join("\n"));
        }
    }
}
