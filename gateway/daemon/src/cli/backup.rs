//! `zhiban backup`, `zhiban restore` and `zhiban set-aside`: work on the records of a gateway that
//! may be running.
//!
//! A backup is never put in place before all of it was looked through.

use super::{account, say};
use crate::config::Loaded;
use crate::journal::backup::{self, Contents};
use crate::journal::{Store, aside, notice};
use crate::private::name_of;
use anyhow::{Context, Result, anyhow, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a running gateway gets to put a backup in place.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it did.
const LOOK: Duration = Duration::from_millis(200);

/// Writes all records and photos into one file, while the gateway runs.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The file to write, a tar archive; one that is there is replaced once the new one is whole.
    /// With `-` it goes to standard output
    pub file: PathBuf,
    /// The configuration; it names the data folder
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// Puts back the records and photos of a backup, while the gateway runs or not.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The backup; `-` reads it from standard input
    pub file: PathBuf,
    /// The configuration; it names the data folder
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// Lists and writes again the records that the record store refused.
#[derive(Debug, clap::Args)]
pub struct SetAsideArgs {
    /// What to do
    #[command(subcommand)]
    pub action: SetAside,
    /// The configuration; it names the data folder
    #[arg(long, env = "ZHIBAN_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What to do with records that were refused.
#[derive(Debug, clap::Subcommand)]
pub enum SetAside {
    /// Say when each was refused, what it is, and why
    List,
    /// Write them again; those that are taken leave the list
    Replay,
}

pub(crate) async fn backup(args: BackupArgs) -> Result<()> {
    let database = records(&account::load(&args.config)?);
    if args.file == Path::new("-") {
        let made = backup::write(&database, std::io::stdout()).await?;
        let mut words = std::io::stderr();
        writeln!(words, "{}", held(&made))?;
        if let Some(line) = missing(&made) {
            writeln!(words, "{line}")?;
        }
        return Ok(());
    }
    let same = |one: &Path, other: &Path| {
        let (one, other) = (one.canonicalize(), other.canonicalize());
        one.is_ok_and(|one| other.is_ok_and(|other| one == other))
    };
    if same(&args.file, &args.config) {
        bail!(
            "{} is the configuration; name another file for the backup. Nothing was changed",
            args.file.display()
        );
    }
    let made = backup::make(&database, &args.file).await?;
    say(format!("{}: {}", args.file.display(), held(&made)))?;
    missing(&made).map_or(Ok(()), say)
}

pub(crate) async fn restore(args: RestoreArgs) -> Result<()> {
    let database = records(&account::load_as_owner(&args.config, Some(&args.file))?);
    let named = match args.file.to_str() {
        Some("-") => Path::new("standard input"),
        Some(_) | None => &args.file,
    };
    let input = account::open(&args.file).map_err(|error| {
        let me = name_of(rustix::process::geteuid().as_raw());
        anyhow!(
            "{}: {error}; give the path of a backup that the account {me} may read. Nothing was changed",
            named.display()
        )
    })?;
    let _only = backup::only_one(&database)?;
    let (before, told_before) = (database.exists(), notice::newest(&database));
    let held_by_it = backup::unpack(named, input, &database).await?;
    if backup::put_in_place_now(&database).await? {
        say("The gateway does not run; the backup is in place for its next start.")?;
    } else {
        wait_for_the_gateway(&database).await?;
        say("The running gateway has put the backup in place and started its parts again.")?;
    }
    say(format!("{}.", held(&held_by_it)))?;
    if before {
        say("The records of before are kept beside core.db as core.db.before-restore-…")?;
    }
    let told = notice::newest(&database).filter(|told| told_before.as_ref() != Some(told));
    told.map_or(Ok(()), say)?;
    missing(&held_by_it).map_or(Ok(()), say)
}

async fn wait_for_the_gateway(database: &Path) -> Result<()> {
    let mut looks = tokio::time::interval(LOOK);
    let taken = async {
        while backup::waits(database) {
            looks.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, taken).await.is_err() {
        backup::withdraw(database).context("the backup cannot be taken back")?;
        bail!(
            "the gateway that works on {} did not put the backup in place within {} s; nothing was \
             changed. Stop it, and say this again",
            database.display(),
            PATIENCE.as_secs()
        );
    }
    Ok(())
}

pub(crate) async fn set_aside(args: SetAsideArgs) -> Result<()> {
    let config = args.config.as_deref();
    let config = config.ok_or_else(|| anyhow!("--config FILE is missing"))?;
    let database = records(&account::load_as_owner(config, None)?);
    match args.action {
        SetAside::List => {
            for line in aside::list(&database)? {
                say(line)?;
            }
        }
        SetAside::Replay => {
            let store = Store::open_beside(&database).await?;
            let (written, left) = aside::replay(&store).await?;
            store.close().await;
            say(format!(
                "{written} written, {left} refused again. A running gateway shows them in its lists; \
                 open ones it takes up at its next start."
            ))?;
        }
    }
    Ok(())
}

fn records(loaded: &Loaded) -> PathBuf {
    loaded.config.storage.data_dir.join("core.db")
}

fn held(contents: &Contents) -> String {
    let newest = contents
        .newest
        .as_deref()
        .map(|no| format!(", the newest {no}"));
    format!(
        "{} work orders{}, {} photos",
        contents.work_orders,
        newest.unwrap_or_default(),
        contents.photos
    )
}

fn missing(contents: &Contents) -> Option<String> {
    if contents.missing.is_empty() {
        return None;
    }
    Some(format!(
        "{} photos that the records name are missing or damaged: {}",
        contents.missing.len(),
        contents.missing.join(", ")
    ))
}
