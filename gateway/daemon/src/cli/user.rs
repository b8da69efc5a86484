//! `zhiban user`: accounts, from the shell of the machine.
//!
//! A password is read from a file, a pipe or the terminal, never from an argument, where every
//! process of the machine could read it.

mod password;

use crate::accounts::Accounts;
use crate::journal::Store;
use anyhow::{Result, anyhow};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Makes and changes accounts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, which names the data folder
    #[arg(long, global = true, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

/// What to do with accounts.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make an account
    Add {
        /// The user name: 2 to 32 of a-z, 0-9, dot, dash and underscore
        name: String,
        /// The name people read; the user name when absent
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Read the password from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account a new password, and let it in again when it was disabled
    Passwd {
        /// The user name
        name: String,
        /// Read the password from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List all accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an account in no more, and end its sessions
    Disable {
        /// The user name
        name: String,
    },
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let input = match &args.action {
        Action::Add { password_file, .. } | Action::Passwd { password_file, .. } => {
            password_file.as_deref()
        }
        Action::List { .. } | Action::Disable { .. } => None,
    };
    let accounts = open(args.config.as_deref(), input).await?;
    act(args.action, &accounts, &mut std::io::stdout()).await
}

/// The accounts in the data folder that a configuration names; a gateway may be running on it. `input` is what is read
/// after this.
pub(super) async fn open(config: Option<&Path>, input: Option<&Path>) -> Result<Accounts> {
    let file =
        config.ok_or_else(|| anyhow!("--config FILE is missing; it names the data folder"))?;
    let loaded = super::account::load_as_owner(file, input)?;
    let store = Store::open_beside(&loaded.config.storage.data_dir.join("core.db")).await?;
    Ok(Accounts::new(store).at(&loaded.config.site))
}

async fn act(action: Action, accounts: &Accounts, out: &mut (dyn Write + Send)) -> Result<()> {
    match action {
        Action::Add {
            name,
            display_name,
            password_file,
        } => {
            let password = password::read(password_file.as_deref())?;
            let shown = display_name.as_ref().unwrap_or(&name);
            accounts.add_user(&name, shown, password).await?;
            writeln!(out, "{name} can sign in now.")?;
        }
        Action::Passwd {
            name,
            password_file,
        } => {
            let password = password::read(password_file.as_deref())?;
            accounts.set_password(&name, password).await?;
            writeln!(out, "{name} has a new password and must sign in again.")?;
        }
        Action::List { json } => list(accounts, json, out).await?,
        Action::Disable { name } => {
            accounts.disable_user(&name).await?;
            writeln!(out, "{name} cannot sign in any more.")?;
        }
    }
    Ok(())
}

async fn list(accounts: &Accounts, json: bool, out: &mut (dyn Write + Send)) -> Result<()> {
    let users = accounts.users().await?;
    if json {
        let list = users.iter().map(|user| {
            serde_json::json!({
                "name": user.name,
                "display_name": user.display_name,
                "created_at": user.created_at.to_string(),
                "disabled_at": user.disabled_at.map(|at| at.to_string()),
            })
        });
        writeln!(out, "{}", serde_json::Value::from_iter(list))?;
        return Ok(());
    }
    for user in users {
        let state = match user.disabled_at {
            Some(at) => format!("disabled since {at}"),
            None => "active".to_owned(),
        };
        writeln!(out, "{:<32} {:<24} {}", user.name, state, user.display_name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::token;
    use clap::Parser;

    #[derive(Debug, Parser)]
    enum Shell {
        User(Args),
        Token(token::Args),
    }

    async fn shell(accounts: &Accounts, line: &str) -> Result<String> {
        let mut out = Vec::new();
        match Shell::try_parse_from(std::iter::once("zhiban").chain(line.split(' ')))? {
            Shell::User(args) => act(args.action, accounts, &mut out).await?,
            Shell::Token(args) => token::act(args.action, accounts, &mut out).await?,
        }
        Ok(String::from_utf8(out)?)
    }

    #[tokio::test]
    async fn accounts_and_tokens_are_kept_from_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("core.db")).await.unwrap();
        let accounts = Accounts::new(store);
        let file = folder.path().join("password");
        std::fs::write(&file, "a quiet night shift\n").unwrap();
        let file = file.display();

        let added = format!("user add wang --display-name 王工 --password-file {file}");
        let added = shell(&accounts, &added).await.unwrap();
        assert_eq!(added, "wang can sign in now.\n");
        let list = shell(&accounts, "user list").await.unwrap();
        assert!(list.contains("wang") && list.contains("王工") && list.contains("active"));
        shell(&accounts, "user disable wang").await.unwrap();
        let list = shell(&accounts, "user list --json").await.unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert!(list[0]["disabled_at"].is_string(), "{list}");
        let back = format!("user passwd wang --password-file {file}");
        shell(&accounts, &back).await.unwrap();
        let twice = format!("user add wang --password-file {file}");
        let twice = shell(&accounts, &twice).await.unwrap_err().to_string();
        assert!(twice.contains("there already"), "{twice}");
        let argument = shell(&accounts, "user add li secret-in-the-open").await;
        assert!(argument.is_err(), "a password is no argument");

        let secret = shell(&accounts, "token add scada").await.unwrap();
        assert!(secret.starts_with("zb_") && secret.lines().count() == 1);
        let list = shell(&accounts, "token list").await.unwrap();
        assert!(
            list.contains("scada") && list.contains("never used"),
            "{list}"
        );
        assert!(!list.contains(secret.trim()));
        shell(&accounts, "token revoke scada").await.unwrap();
        assert!(shell(&accounts, "token revoke scada").await.is_err());
    }
}
