//! Reads a password from a file, a pipe or the terminal, where it is not shown.

use crate::cli::account;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

/// The password in the file, or from standard input; a final line break is cut off.
pub(super) fn read(file: Option<&Path>) -> Result<String> {
    let text = match file {
        Some(file) => account::open(file)
            .and_then(std::io::read_to_string)
            .with_context(|| format!("the password file {} cannot be read", file.display()))?,
        None if std::io::stdin().is_terminal() => return ask(),
        None => line()?,
    };
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask() -> Result<String> {
    let hidden = echo("-echo");
    let asked = prompt("Password: ").and_then(|first| Ok((first, prompt("Once more: ")?)));
    if hidden {
        echo("echo");
    }
    let (first, second) = asked?;
    ensure!(
        first == second,
        "the two passwords differ; nothing was changed"
    );
    Ok(first)
}

fn prompt(words: &str) -> Result<String> {
    let mut terminal = std::io::stderr();
    write!(terminal, "{words}")?;
    terminal.flush()?;
    let text = line()?;
    writeln!(terminal)?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn line() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text);
    ensure!(
        read.context("no password can be read")? > 0,
        "no password was given"
    );
    Ok(text)
}

/// Switches whether the terminal shows what is typed; where it cannot, people see what they type.
fn echo(mode: &str) -> bool {
    let status = Command::new("stty").arg(mode).status();
    status.is_ok_and(|status| status.success())
}
