//! Speed and size, printed by one command: `tests/bench/run`. Programs are measured side by
//! side in the same run, by their traffic on the wire and by /proc. It must never assert a time.
#![allow(clippy::print_stdout, reason = "its whole result is what it prints")]

mod footprint;
mod lean;
mod memory;
mod peers;
mod polling;
mod process;
mod site;
mod stats;
mod tickets;
mod zhiban;

use anyhow::{Context, Result, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peers::{Poller, Tools};
use polling::Work;

/// What to measure, and how long.
struct Plan {
    quick: bool,
    only: Option<String>,
    /// How long memory is watched.
    minutes: u64,
}

impl Plan {
    fn has(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut plan = Plan {
        quick: false,
        only: None,
        minutes: 10,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => plan.quick = true,
            "--only" => plan.only = arguments.next(),
            "--minutes" => {
                let minutes = arguments.next().context("--minutes wants a number")?;
                plan.minutes = minutes.parse().context("--minutes wants a number")?;
            }
            // What `cargo bench` adds by itself.
            "--bench" => {}
            _ => bail!(
                "usage: tests/bench/run [--quick] [--only start|polling|tickets|demo|memory] [--minutes N]"
            ),
        }
    }
    let tools = tools()?;
    let began = Instant::now();
    machine(&tools)?;
    if plan.has("start") {
        footprint::start(&tools, if plan.quick { 2 } else { 5 }).await?;
    }
    if plan.has("tickets") {
        tickets::run(&tools, if plan.quick { 100 } else { 200 }, plan.quick).await?;
    }
    if plan.has("demo") {
        let window = Duration::from_secs(if plan.quick { 3 } else { 8 });
        footprint::demo(&tools, window).await?;
    }
    if plan.has("polling") {
        polled(&tools, plan.quick).await?;
    }
    // Minutes: only when asked for.
    if plan.only.as_deref() == Some("memory") {
        memory::run(&tools, plan.minutes).await?;
    }
    println!("The run took {} s.", began.elapsed().as_secs());
    Ok(())
}

async fn polled(tools: &Tools, quick: bool) -> Result<()> {
    let w1 = Work {
        title: "W1: 50 devices",
        devices: 50,
        turnaround: Duration::ZERO,
        rounds: if quick { 1 } else { 3 },
        window: Duration::from_secs(5),
    };
    let late = Work {
        title: "W1, every answer 10 ms late",
        turnaround: Duration::from_millis(10),
        rounds: 1,
        ..w1
    };
    let w2 = Work {
        title: "W2: 500 devices",
        devices: 500,
        rounds: 1,
        ..w1
    };
    if quick {
        return polling::run(tools, w1, &[Poller::Zhiban, Poller::NodeRed]).await;
    }
    for work in [w1, late, w2] {
        polling::run(tools, work, &Poller::ALL).await?;
    }
    Ok(())
}

/// What the figures were measured on, and what else was going on.
fn machine(tools: &Tools) -> Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism()?;
    println!(
        "{cores} cores of {model}; load average before: {}",
        load.trim()
    );
    let syncs = syncs()?;
    println!(
        "One write of 4 KiB made durable: p50 {} ms, p99 {} ms",
        stats::figure(stats::median(&syncs)),
        stats::figure(stats::percentile(&syncs, 0.99))
    );
    let size = std::fs::metadata(&tools.zhiban)?.len() as f64 / (1 << 20) as f64;
    println!("{}: {} MiB\n", tools.zhiban.display(), stats::figure(size));
    Ok(())
}

/// What the disk alone takes, in milliseconds: no commit can be faster.
fn syncs() -> Result<Vec<f64>> {
    let mut file = tempfile::tempfile()?;
    let page = [7_u8; 4096];
    let mut times = Vec::new();
    for _ in 0..300 {
        file.write_all(&page)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(stats::millis(begun.elapsed()));
    }
    Ok(times)
}

fn tools() -> Result<Tools> {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let path = |name: &str| named(name).map(PathBuf::from);
    Ok(Tools {
        zhiban: path("ZHIBAN_BIN").context("ZHIBAN_BIN is not set: start it by tests/bench/run")?,
        mosquitto: path("ZHIBAN_MOSQUITTO"),
        python: path("ZHIBAN_PYMODBUS"),
        node_red: path("ZHIBAN_NODE_RED"),
        telegraf: path("ZHIBAN_TELEGRAF"),
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    })
}
