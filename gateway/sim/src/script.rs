//! Scripts: scenarios at given times, from a TOML file. A wrong script is refused with the place of the fault.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use toml::Spanned;
use tracing::warn;

use crate::building::Shared;
use crate::error::SimError;
use crate::scenario::Scenario;

/// A script that has been read and found good.
#[derive(Debug)]
pub(crate) struct Script {
    /// In the order of their times.
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    at: Duration,
    scenario: String,
    asset: Option<String>,
    seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    step: Vec<FileStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    at: Spanned<String>,
    scenario: Spanned<String>,
    asset: Option<Spanned<String>>,
    seconds: Option<u64>,
}

impl Script {
    /// Reads a script.
    pub(crate) fn load(path: &Path) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path).map_err(|reason| SimError::ScriptFile {
            path: path.to_owned(),
            reason,
        })?;
        Self::parse(&text).map_err(|(offset, message)| {
            let (line, column) = place(&text, offset);
            SimError::Script {
                path: path.to_owned(),
                line,
                column,
                message,
            }
        })
    }

    /// Reads a script from its text; a fault comes with its byte offset.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let file: File = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            (offset, error.message().to_owned())
        })?;
        let mut steps = Vec::with_capacity(file.step.len());
        for step in file.step {
            let at = duration(step.at.get_ref()).ok_or_else(|| {
                let message = format!(
                    "`{}` is no time; write a number and a unit, such as \"500ms\", \"5s\", \"2m\" or \"1h\"",
                    step.at.get_ref()
                );
                (step.at.span().start, message)
            })?;
            let scenario = Scenario::find(step.scenario.get_ref())
                .map_err(|error| (step.scenario.span().start, error.to_string()))?;
            let asset = step.asset;
            scenario
                .asset(asset.as_ref().map(|code| code.get_ref().as_str()))
                .map_err(|error| {
                    let span = asset.as_ref().map_or(step.scenario.span(), Spanned::span);
                    (span.start, error.to_string())
                })?;
            steps.push(Step {
                at,
                scenario: step.scenario.into_inner(),
                asset: asset.map(Spanned::into_inner),
                seconds: step.seconds,
            });
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self { steps })
    }

    /// Plays the script once, from now on.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let start = Instant::now();
        for step in self.steps {
            tokio::select! {
                () = shared.cancel.cancelled() => return,
                () = sleep_until(start + step.at) => {}
            }
            let begun = shared.scenario(&step.scenario, step.asset.as_deref(), step.seconds);
            if let Err(error) = begun {
                warn!(%error, "a step of the script was refused");
            }
        }
    }
}

/// Reads "5s" and its like; at most a year.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let milliseconds = match text.strip_prefix(digits)? {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let total = number.checked_mul(milliseconds)?;
    (total <= 365 * 86_400_000).then(|| Duration::from_millis(total))
}

/// Returns line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}
