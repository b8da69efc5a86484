//! `zhiban profile`: the device descriptions there are, and what is wrong with a new one.
//!
//! Nothing here opens a connection.

use super::check::{as_json, lines};
use super::say;
use crate::config::{Checked, Fault, Library, check_profile};
use anyhow::{Result, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use zhiban_core::model::PointKind;
use zhiban_core::profile::{Example, ExampleValue, PointRow};

/// Works on device descriptions.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the profiles that assets can name
    List {
        /// Also those in the folder `profiles` beside this configuration
        #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check one profile file: every fault, else its points, its examples and the reads it makes
    Check {
        /// The profile
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.action {
        Action::List { config, json } => list(config.as_deref(), json),
        Action::Check { file, json } => check(&file, json),
    }
}

fn list(config: Option<&Path>, json: bool) -> Result<()> {
    let mut faults = Vec::new();
    let library = match config {
        Some(config) => Library::read(config.parent().unwrap_or(Path::new("")), &mut faults),
        None => Library::built_in(&mut faults),
    };
    if json {
        let list = library.profiles.values().map(|profile| {
            json!({
                "id": profile.id,
                "class": profile.class,
                "title": { "zh": profile.title.zh, "en": profile.title.en },
                "trust": profile.trust.code(),
                "points": profile.points.len(),
                "source": profile.source,
                "place": library.places.get(&profile.id),
            })
        });
        say(serde_json::Value::from_iter(list))?;
    } else {
        for profile in library.profiles.values() {
            say(format!(
                "{:<24} {:<12} {:<12} {:>4} points  {} / {}",
                profile.id,
                profile.class,
                profile.trust.code(),
                profile.points.len(),
                profile.title.en,
                profile.title.zh
            ))?;
        }
    }
    if faults.iter().any(Fault::is_error) {
        bail!("{}", lines(&faults));
    }
    Ok(())
}

fn check(file: &Path, json: bool) -> Result<()> {
    match check_profile(file) {
        Ok(Checked { profile, remarks }) if json => say(json!({
            "ok": true,
            "id": profile.id,
            "class": profile.class,
            "points": profile.points.len(),
            "requests": profile.plan().len(),
            "faults": as_json(&remarks),
        })),
        Ok(checked) => tell(file, &checked),
        Err(faults) if json => {
            say(json!({ "ok": false, "faults": as_json(&faults) }))?;
            bail!("{} faults in {}", faults.len(), file.display())
        }
        Err(faults) => bail!("{}", lines(&faults)),
    }
}

fn tell(file: &Path, checked: &Checked) -> Result<()> {
    let profile = &checked.profile;
    let title = &profile.title;
    say(format!(
        "{} ({}): {} / {}",
        profile.id, profile.class, title.en, title.zh
    ))?;
    for row in &profile.points {
        let example = row.example.as_ref().map_or(String::new(), example);
        let line = format!(
            "  {:<28} {:<8} {:<26} {example} {}",
            row.point,
            kind(row.kind),
            place(row),
            row.unit
        );
        say(line.trim_end())?;
    }
    let plan = profile.plan();
    if let Some(modbus) = &profile.modbus
        && !plan.is_empty()
    {
        say(format!("Reads ({} requests):", plan.len()))?;
        for request in &plan {
            say(format!(
                "  every {:<6} {:<8} {} + {} for {} points",
                modbus.poll.of(request.poll).to_string(),
                request.table.code(),
                request.address,
                request.count,
                request.rows.len()
            ))?;
        }
    }
    for remark in &checked.remarks {
        say(remark)?;
    }
    say(format!(
        "{}: no fault. Every example decodes.",
        file.display()
    ))
}

fn kind(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Analog => "analog",
        PointKind::Flag => "flag",
        PointKind::Counter => "counter",
        PointKind::Enum => "enum",
        PointKind::Text => "text",
    }
}

fn place(row: &PointRow) -> String {
    if let Some(place) = &row.modbus {
        let bit = place.bit.map_or(String::new(), |bit| format!(" bit {bit}"));
        let bits = place
            .bits
            .map_or(String::new(), |bits| format!(" × {bits}"));
        return format!("{} {}{bit}{bits}", place.table.code(), place.address);
    }
    row.mqtt
        .as_ref()
        .map_or(String::new(), |place| place.topic.clone())
}

fn example(example: &Example) -> String {
    match &example.value {
        ExampleValue::Flag(value) => value.to_string(),
        ExampleValue::Integer(value) => value.to_string(),
        ExampleValue::Number(value) => value.to_string(),
        ExampleValue::Text(value) => value.clone(),
    }
}
