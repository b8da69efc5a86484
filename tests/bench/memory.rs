//! Memory over minutes: what stays resident while 50 000 points a second come, and in the idle demo.
//! It must never print a figure of the first seconds as if it were the last word.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

use crate::footprint::Apart;
use crate::lean::Lean;
use crate::peers::Tools;
use crate::process::{Program, Resident};
use crate::site::Site;
use crate::stats::{figure, row, table};
use crate::zhiban::{PATIENCE, Zhiban, free_port};

const DEVICES: usize = 500;
/// When memory is looked at, in seconds after every device was read; then once a minute.
const LOOKS: [u64; 4] = [5, 20, 40, 80];

/// Watches the gateway for some minutes under W2, then without work.
pub(crate) async fn run(tools: &Tools, minutes: u64) -> Result<()> {
    println!("### Memory over {minutes} minutes\n");
    println!("{DEVICES} devices × 100 registers each second; MiB\n");
    let lean = Lean::start(DEVICES, Duration::ZERO)?;
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let config = Site::new(folder.path(), port)
        .polled(&lean.ports())?
        .write()?;
    let mut zhiban = Zhiban::start(&tools.zhiban, &config, port).await?;
    let all_read = async || lean.first_reads().len() == DEVICES;
    let program = &mut zhiban.program;
    program
        .until("every device was read", PATIENCE, all_read)
        .await?;
    watch("50 000 points a second", &zhiban.program, minutes).await?;
    drop(zhiban);
    let demo = Apart::start(tools).await?;
    let minutes = 2.max(minutes / 5);
    watch(
        "demo, idle, without its building",
        &demo.zhiban.program,
        minutes,
    )
    .await?;
    Ok(())
}

async fn watch(what: &str, program: &Program, minutes: u64) -> Result<()> {
    let begun = Instant::now();
    let mut rows = vec![row([
        "seconds",
        what,
        "of it not backed by a file",
        "highest so far",
    ])];
    let looks = LOOKS
        .into_iter()
        .chain((2..=minutes).map(|minute| 60 * minute));
    for second in looks.filter(|second| *second <= 60 * minutes) {
        sleep_until((begun + Duration::from_secs(second)).into()).await;
        let now = Resident::of(program.id()).context("the program ended")?;
        rows.push(vec![
            second.to_string(),
            figure(now.all),
            figure(now.anonymous),
            figure(now.highest),
        ]);
    }
    table(&rows);
    Ok(())
}
