//! The files of the project and a reader of Rust that sees code without its strings and comments.
//! It must never look at what is not the project's: build output, installed packages, the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file: its path from the root with forward slashes, and its bytes.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl Source {
    /// Its text; empty for a picture or another binary file.
    pub(crate) fn text(&self) -> &str {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if !text.contains('\0') => text,
            Ok(_) | Err(_) => "",
        }
    }

    /// The part of its name after the last dot, or its whole name where there is none.
    pub(crate) fn kind(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default()
    }

    /// Whether somebody else wrote it and it lies here as it came.
    pub(crate) fn is_foreign(&self) -> bool {
        self.path.contains("/vendor/")
            || self.path.contains(".min.")
            || matches!(self.kind(), "lock" | "sum" | "woff2")
            || self.path.ends_with("package-lock.json")
    }
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every file of the project: what git knows or would add, else what lies there.
pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(&root)
        .output();
    let mut paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .unwrap()
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
        Ok(_) | Err(_) => {
            let mut found = Vec::new();
            walk(&root, &root, &mut found);
            found
        }
    };
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        // A file that git lists may just have been removed.
        .filter_map(|path| {
            let bytes = std::fs::read(root.join(&path)).ok()?;
            Some(Source { path, bytes })
        })
        .collect()
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        let skipped = [
            "target",
            "node_modules",
            ".git",
            ".venv",
            "artifacts",
            "data",
        ];
        if skipped.iter().any(|skip| name == *skip) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            let relative = path.strip_prefix(root).unwrap();
            found.push(relative.to_string_lossy().into_owned());
        }
    }
}

/// Rust code with every comment, string and character literal replaced by spaces; lines stay.
pub(crate) fn code(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        let length = literal(&letters, at);
        if length == 0 {
            code.push(*letter);
            at += 1;
        } else {
            let skipped = letters.iter().skip(at).take(length);
            code.extend(skipped.map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    code
}

/// The length of the comment or literal that starts here; 0 when none does.
fn literal(letters: &[char], at: usize) -> usize {
    let rest = letters.get(at..).unwrap_or_default();
    let before = at.checked_sub(1).and_then(|i| letters.get(i));
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest),
        ['r', '"' | '#', ..] if !in_word => raw_string(rest, 1),
        ['b', 'r', '"' | '#', ..] if !in_word => raw_string(rest, 2),
        ['\'', '\\', ..] => {
            let tail = rest.iter().skip(3).take_while(|c| **c != '\'').count();
            tail + 4
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    loop {
        match rest.get(at..).unwrap_or_default() {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            [_, ..] => at += 1,
            [] => return at,
        }
    }
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    loop {
        match rest.get(at) {
            Some('\\') => at += 2,
            Some('"') => return at + 1,
            Some(_) => at += 1,
            None => return rest.len(),
        }
    }
}

fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest.iter().skip(prefix).take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let closes = |at: usize| {
        let tail = rest.get(at + 1..at + 1 + hashes).unwrap_or_default();
        rest.get(at) == Some(&'"') && tail.len() == hashes && tail.iter().all(|c| *c == '#')
    };
    let end = (open + 1..rest.len()).find(|at| closes(*at));
    end.map_or(rest.len(), |at| at + 1 + hashes)
}

/// Every function of Rust code: its name, the line it starts on (from 1) and how many it has.
pub(crate) fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = code(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let mut depth = 0_i32;
        let mut opened = false;
        for (count, body) in lines.iter().skip(index).enumerate() {
            for letter in body.chars() {
                match letter {
                    '{' => (depth, opened) = (depth + 1, true),
                    '}' => depth -= 1,
                    _ => {}
                }
            }
            let declared_only = !opened && body.trim_end().ends_with(';');
            if declared_only || (opened && depth <= 0) {
                functions.push((name.to_owned(), index + 1, count + 1));
                break;
            }
        }
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let starts = before
        .chars()
        .all(|c| c.is_alphanumeric() || " ()_:".contains(c));
    let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, rest) = after.split_at_checked(end)?;
    (starts && !name.is_empty() && rest.starts_with(['(', '<'])).then_some(name)
}
