//! `zhiban check`: says everything that is wrong with a configuration, and starts nothing.

use super::say;
use crate::config::{Config, Fault, Loaded};
use anyhow::{Result, bail};
use serde_json::json;
use std::path::PathBuf;

/// Loads everything and prints every fault with its place and what to write instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (faults, loaded) = match Config::load(&args.config) {
        Ok(loaded) => (loaded.remarks.clone(), Some(loaded)),
        Err(faults) => (faults, None),
    };
    if args.json {
        say(json!({ "ok": loaded.is_some(), "faults": as_json(&faults) }))?;
    }
    let errors = faults.iter().filter(|fault| fault.is_error()).count();
    match loaded {
        Some(_) if args.json => Ok(()),
        Some(loaded) => tell(&args.config, &loaded),
        None if args.json => bail!("{} faults in {}", errors, args.config.display()),
        None => bail!("{}", lines(&faults)),
    }
}

fn tell(file: &std::path::Path, loaded: &Loaded) -> Result<()> {
    for remark in &loaded.remarks {
        say(remark)?;
    }
    let model = &loaded.model;
    say(format!(
        "{}: no fault. {} assets on {} links, {} points, {} alarm rules, {} channels.",
        file.display(),
        model.assets.len(),
        loaded.config.links.len(),
        model.points.len(),
        model.rules.len(),
        loaded.config.notify.channels.len()
    ))
}

/// Faults, a line each.
pub(super) fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// Faults as a list of objects.
pub(super) fn as_json(faults: &[Fault]) -> serde_json::Value {
    faults
        .iter()
        .map(|fault| {
            json!({
                "severity": fault.severity.code(),
                "file": fault.file.display().to_string(),
                "line": fault.line,
                "column": fault.column,
                "what": fault.what,
                "remedy": fault.remedy,
            })
        })
        .collect()
}
