//! Whether everybody on the rota can sign in: an order given to somebody who cannot is taken by nobody.
//!
//! It only says so. People are accounts, which come and go while the gateway runs.

use crate::accounts::Accounts;
use crate::health::Board;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use zhiban_dashboard::ports::Accounts as _;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(10);

/// Looks until stopped; nothing to look at when the rota is empty.
pub(crate) async fn watch(
    accounts: Arc<Accounts>,
    board: Arc<Board>,
    named: BTreeSet<String>,
    stop: CancellationToken,
) {
    if named.is_empty() {
        return;
    }
    let look = async {
        let mut pulse = tokio::time::interval(LOOK);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut said = String::new();
        loop {
            pulse.tick().await;
            // Where accounts cannot be read, that is said elsewhere.
            let Ok(people) = accounts.people().await else {
                continue;
            };
            let known: BTreeSet<String> = people.into_iter().map(|person| person.user).collect();
            let unknown: Vec<&str> = named.difference(&known).map(String::as_str).collect();
            let words = told(&unknown);
            if !words.is_empty() && words != said {
                tracing::error!("{words}");
            }
            board.set("rota", words.is_empty(), false, words.clone());
            said = words;
        }
    };
    stop.run_until_cancelled(look).await;
}

fn told(unknown: &[&str]) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    format!(
        "notify.rota names {}, who cannot sign in: orders given to them wait for somebody who gives them on. \
         Correct the name, or make the account with zhiban user add",
        unknown.join(", ")
    )
}
