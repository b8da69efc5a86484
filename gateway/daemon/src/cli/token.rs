//! `zhiban token`: API tokens for machines, from the shell.
//!
//! A token's secret is printed once, when it is made; nobody can read it again.

use crate::accounts::Accounts;
use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;

/// Makes and revokes API tokens.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, which names the data folder
    #[arg(long, global = true, env = "ZHIBAN_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(super) action: Action,
}

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Make a token and print its secret, once
    Add {
        /// Its name: 2 to 32 of a-z, 0-9, dot, dash and underscore
        name: String,
    },
    /// List all tokens, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back
    Revoke {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let accounts = super::user::open(args.config.as_deref(), None).await?;
    act(args.action, &accounts, &mut std::io::stdout()).await
}

pub(super) async fn act(
    action: Action,
    accounts: &Accounts,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    match action {
        // Nothing but the secret, so that a script can take it as it stands.
        Action::Add { name } => writeln!(out, "{}", accounts.add_token(&name).await?)?,
        Action::List { json } => list(accounts, json, out).await?,
        Action::Revoke { name } => {
            accounts.revoke_token(&name).await?;
            writeln!(out, "{name} does not work any more.")?;
        }
    }
    Ok(())
}

async fn list(accounts: &Accounts, json: bool, out: &mut (dyn Write + Send)) -> Result<()> {
    let tokens = accounts.tokens().await?;
    if json {
        let list = tokens.iter().map(|token| {
            serde_json::json!({
                "name": token.name,
                "created_at": token.created_at.to_string(),
                "last_used_at": token.last_used_at.map(|at| at.to_string()),
            })
        });
        writeln!(out, "{}", serde_json::Value::from_iter(list))?;
        return Ok(());
    }
    for token in tokens {
        let used = match token.last_used_at {
            Some(at) => format!("last used {at}"),
            None => "never used".to_owned(),
        };
        writeln!(out, "{:<32} {used}", token.name)?;
    }
    Ok(())
}
