//! Commands that work on the records do so as the account that owns the data folder, so that the gateway can go on with
//! every file that they leave.
//!
//! They never give a file to somebody else and never change the rights of one.

use crate::config::{Config, Fault, Loaded};
use crate::private::{name_of, owner};
use anyhow::{Result, anyhow, bail};
use rustix::fs::{Access, access};
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the same command under the other account: the file that it is to read is open as standard input.
const OPENED: &str = "ZHIBAN_INPUT_IS_OPEN";

/// The configuration, where this account may work on the records.
///
/// # Errors
/// The configuration is refused, or this account may not write the data folder.
pub(super) fn load(config: &Path) -> Result<Loaded> {
    let loaded = Config::load(config).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    let folder = &loaded.config.storage.data_dir;
    let me = geteuid().as_raw();
    // Where there is none yet, it is made by whoever comes first.
    let user = owner(folder).map_or(me, |(user, _)| user);
    if me == user || me == 0 || may_write(folder) {
        return Ok(loaded);
    }
    bail!(
        "the data folder {} belongs to the account {name}, and {} may not write it; run this as {name}, with \
         sudo -u {name} for example. Nothing was changed",
        folder.display(),
        name_of(me),
        name = name_of(user)
    );
}

/// The configuration, once this process works as the account that owns the data folder. Root becomes that account; what
/// `input` names is opened before, as it may be readable for root alone.
///
/// # Errors
/// The configuration is refused, or this account may not write the data folder.
pub(super) fn load_as_owner(config: &Path, input: Option<&Path>) -> Result<Loaded> {
    let loaded = load(config)?;
    become_owner_of(&loaded.config.storage.data_dir, input)?;
    Ok(loaded)
}

fn become_owner_of(folder: &Path, input: Option<&Path>) -> Result<()> {
    let Some((user, group)) = owner(folder) else {
        return if geteuid().is_root() {
            warn_of_a_folder_of_root(folder)
        } else {
            Ok(())
        };
    };
    if !geteuid().is_root() || user == 0 {
        return Ok(());
    }
    let input = match input {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            Some(file)
        }
        Some(_) | None => None,
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    command.uid(user).gid(group);
    if let Some(file) = input {
        command.stdin(Stdio::from(file)).env(OPENED, "1");
    }
    let error = command.exec();
    bail!(
        "the data folder {} belongs to the account {name}, as which this program cannot be run ({error}); run it as {name}, \
         from a place where that account may read it, such as /usr/local/bin. Nothing was changed",
        folder.display(),
        name = name_of(user)
    )
}

fn warn_of_a_folder_of_root(folder: &Path) -> Result<()> {
    let words = format!(
        "The data folder {} is not there yet and will belong to root. A gateway that runs as another account cannot use it: \
         give it to that account with chown -R, or start the gateway once before",
        folder.display()
    );
    Ok(writeln!(io::stderr(), "{words}")?)
}

fn may_write(folder: &Path) -> bool {
    let records = folder.join("core.db");
    let both = Access::READ_OK | Access::WRITE_OK;
    access(folder, both | Access::EXEC_OK).is_ok()
        && (!records.exists() || access(&records, both).is_ok())
}

/// The file that a command is to read: standard input for `-`, or where [`load_as_owner`] opened it there.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let opened = std::env::var_os(OPENED).is_some_and(|set| set == OsStr::new("1"));
    if opened || path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}
