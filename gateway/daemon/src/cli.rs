//! The command line: what can be asked of the program, and what it prints.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod account;
pub mod backup;
pub mod check;
pub mod demo;
pub mod health;
pub mod profile;
pub mod run;
mod signals;
pub mod simulate;
pub mod token;
pub mod user;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::io::Write as _;
use std::net::SocketAddr;
use tracing_subscriber::EnvFilter;

/// 值班 Zhiban: watches a building's equipment and raises a work order for each fault by itself.
#[derive(Debug, Parser)]
#[command(name = "zhiban", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to log: a level, or a filter such as `info,zhiban::drivers=debug`.
    #[arg(
        long,
        global = true,
        env = "ZHIBAN_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = filter
    )]
    pub log: String,
    /// Log as JSON, one object a line.
    #[arg(
        long,
        global = true,
        env = "ZHIBAN_LOG_JSON",
        value_parser = FalseyValueParser::new()
    )]
    pub log_json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts a virtual building and the gateway against it; needs nothing else.
    Demo(demo::Args),
    /// Runs the gateway.
    Run(run::Args),
    /// Says everything that is wrong with a configuration, and starts nothing.
    Check(check::Args),
    /// Lists and checks device descriptions.
    Profile(profile::Args),
    /// Serves the virtual building alone.
    Simulate(simulate::Args),
    /// Makes and changes accounts.
    User(user::Args),
    /// Makes and revokes API tokens.
    Token(token::Args),
    /// Writes all records and photos into one file, while the gateway runs.
    Backup(backup::BackupArgs),
    /// Puts back the records and photos of a backup, while the gateway runs or not.
    Restore(backup::RestoreArgs),
    /// Lists and writes again the records that the record store refused.
    SetAside(backup::SetAsideArgs),
    /// Asks a running gateway whether it works; for container health checks.
    Health(health::Args),
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; write a level such as info or debug")),
    }
}

impl Cli {
    /// What was asked on the command line; wrong usage ends the process here, with exit code 2.
    pub fn from_shell() -> Self {
        let cli = Self::parse();
        let config = match &cli.command {
            Command::User(args) => args.config.as_ref(),
            Command::Token(args) => args.config.as_ref(),
            Command::SetAside(args) => args.config.as_ref(),
            Command::Demo(_)
            | Command::Run(_)
            | Command::Check(_)
            | Command::Profile(_)
            | Command::Simulate(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Health(_) => return cli,
        };
        // It may stand before the subcommand or behind it, which clap calls global, and a global
        // argument cannot be required.
        if config.is_none() {
            let words = "--config FILE is missing; it names the data folder";
            let mut command = Self::command();
            command
                .error(ErrorKind::MissingRequiredArgument, words)
                .exit();
        }
        cli
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// It was refused or failed; the text is one sentence that names place and remedy.
    pub async fn execute(self) -> Result<()> {
        match self.command {
            Command::Demo(args) => demo::run(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Check(args) => check::run(&args),
            Command::Profile(args) => profile::run(args),
            Command::Simulate(args) => simulate::run(args).await,
            Command::User(args) => user::run(args).await,
            Command::Token(args) => token::run(args).await,
            Command::Backup(args) => backup::backup(args).await,
            Command::Restore(args) => backup::restore(args).await,
            Command::SetAside(args) => backup::set_aside(args).await,
            Command::Health(args) => health::run(args).await,
        }
    }
}

/// An address that a person can open: one that stands for all of this machine is no name of it.
pub(crate) fn url(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("{scheme}://localhost:{}", address.port());
    }
    format!("{scheme}://{address}")
}

/// Prints a line of the result.
///
/// # Errors
/// Stdout is gone.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Waits for Ctrl-C or a request to end. What belongs to a terminal ends with it, too.
///
/// # Errors
/// Signals cannot be had.
pub(crate) async fn until_stopped() -> Result<()> {
    let mut signals = signals::Signals::listen()?;
    let asked = signals.next().await;
    tracing::info!(?asked, "stopping");
    Ok(())
}
