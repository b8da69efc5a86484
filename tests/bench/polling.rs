//! W1 and W2: how evenly a program polls many devices, and what that costs.
//! A row must never be printed without saying whether the values arrived.

use anyhow::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

use crate::lean::Lean;
use crate::peers::{Poller, Running, Tools};
use crate::process::Watch;
use crate::stats::{figure, mean, median, millis, percentile, row, table};
use crate::zhiban::PATIENCE;

const PERIOD_MS: f64 = 1000.0;
/// After the first reading of every device, before the measurement.
const SETTLING: Duration = Duration::from_secs(2);
/// How many cycles a value may be behind in what a program hands out.
const BEHIND: u64 = 4;

/// What is polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) title: &'static str,
    pub(crate) devices: usize,
    pub(crate) turnaround: Duration,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
}

/// One program in one round.
struct Measured {
    cycle_ms: f64,
    jitter: Vec<f64>,
    requests: f64,
    percent: f64,
    cpu_per_thousand: f64,
    rss: f64,
    first_ms: f64,
    right: bool,
}

/// Runs the programs against the same devices, interleaved, and prints medians.
pub(crate) async fn run(tools: &Tools, work: Work, pollers: &[Poller]) -> Result<()> {
    let lean = Lean::start(work.devices, work.turnaround)?;
    let mut rounds: BTreeMap<Poller, Vec<Measured>> = BTreeMap::new();
    for _ in 0..work.rounds {
        for poller in pollers.iter().filter(|poller| poller.is_there(tools)) {
            match measure(tools, work, *poller, &lean).await {
                Ok(measured) => rounds.entry(*poller).or_default().push(measured),
                Err(error) => println!("{}: {error:#}\n", poller.name()),
            }
        }
    }
    print(work, pollers, &rounds);
    Ok(())
}

async fn measure(tools: &Tools, work: Work, poller: Poller, lean: &Lean) -> Result<Measured> {
    lean.forget();
    let folder = tempfile::tempdir()?;
    let mut running = poller.start(tools, folder.path(), &lean.ports()).await?;
    let all_read = async || lean.first_reads().len() == work.devices;
    let program = running.program();
    program
        .until("every device was read", PATIENCE, all_read)
        .await?;
    let started = program.started;
    sleep_until((Instant::now() + SETTLING).into()).await;
    let watch = Watch::start(running.program());
    let from = lean.mark();
    sleep_until((Instant::now() + work.window).into()).await;
    let to = lean.mark();
    let usage = watch.stop();
    let right = values_arrive(&running, lean, work.devices).await?;
    let traffic = lean.traffic(&from, &to);
    let first = lean.first_reads().into_iter().min();
    let jitter = traffic.cycles.iter().map(|cycle| (cycle - PERIOD_MS).abs());
    Ok(Measured {
        cycle_ms: mean(&traffic.cycles),
        jitter: jitter.collect(),
        requests: traffic.requests_per_cycle,
        percent: usage.percent(),
        cpu_per_thousand: usage.cpu_ms / (traffic.registers as f64 / 1000.0),
        rss: usage.rss,
        first_ms: first.map_or(f64::NAN, |first| millis(first - started)),
        right,
    })
}

/// The gate: what a program hands out follows what the devices say, for three of them.
async fn values_arrive(running: &Running, lean: &Lean, devices: usize) -> Result<bool> {
    for device in [0, devices / 2, devices - 1] {
        let told = running.newest(device).await?;
        let newest = lean.counter(device);
        let fresh = newest.saturating_sub(BEHIND)..=newest;
        if !told.is_some_and(|told| told > 0 && fresh.contains(&told)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn print(work: Work, pollers: &[Poller], rounds: &BTreeMap<Poller, Vec<Measured>>) {
    println!("### {}\n", work.title);
    let points = work.devices * usize::from(crate::site::REGISTERS);
    println!(
        "{} devices × {} registers each second = {points} points/s, {} round(s) of {} s\n",
        work.devices,
        crate::site::REGISTERS,
        work.rounds,
        work.window.as_secs()
    );
    let mut rows = vec![row([
        "program",
        "cycle ms",
        "jitter p50 ms",
        "jitter p99 ms",
        "requests / cycle",
        "CPU % of a core",
        "CPU-ms / 1 000 points",
        "times Zhiban",
        "RSS MiB",
        "first poll ms",
        "values arrive",
    ])];
    let of = |poller: &Poller, what: fn(&Measured) -> f64| {
        let all = rounds.get(poller).map_or(&[][..], Vec::as_slice);
        median(&all.iter().map(what).collect::<Vec<f64>>())
    };
    let zhiban = of(&Poller::Zhiban, |one| one.cpu_per_thousand);
    for poller in pollers {
        let Some(all) = rounds.get(poller) else {
            println!("{}: skipped\n", poller.name());
            continue;
        };
        let cost = of(poller, |one| one.cpu_per_thousand);
        rows.push(vec![
            poller.name().to_owned(),
            figure(of(poller, |one| one.cycle_ms)),
            figure(of(poller, |one| percentile(&one.jitter, 0.5))),
            figure(of(poller, |one| percentile(&one.jitter, 0.99))),
            figure(of(poller, |one| one.requests)),
            figure(of(poller, |one| one.percent)),
            figure(cost),
            figure(cost / zhiban),
            figure(of(poller, |one| one.rss)),
            figure(of(poller, |one| one.first_ms)),
            if all.iter().all(|one| one.right) {
                "yes"
            } else {
                "NO"
            }
            .to_owned(),
        ]);
    }
    table(&rows);
}
