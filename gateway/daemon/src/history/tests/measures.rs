//! Prints what a sample costs; asserts nothing. Run by hand, best optimised:
//! `cargo test -p zhiban --lib measures --config 'profile.dev.package.zhiban.opt-level=3' -- --ignored --nocapture`

use super::*;
use crate::history::chunk::{Chunk, decompress};
use crate::history::codec::{Row, Stored, samples_to_bytes};
use crate::history::dictionary::Dictionary;
use crate::history::line_protocol::{Encoder, Lines};
use crate::history::recent::Reading;
use std::collections::BTreeSet;
use std::time::Instant;

const SECONDS: i64 = 3600;
const POINTS: u32 = 100;

fn report(what: &str, begun: Instant, count: usize) {
    let nanos = begun.elapsed().as_nanos() as f64 / count as f64;
    let words = format!("{what}: {nanos:.0} ns each of {count}\n");
    std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()).unwrap();
}

fn say(words: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{words}\n").as_bytes()).unwrap();
}

/// A slow wave with one decimal, another for each point.
fn value(point: u32, second: i64) -> f64 {
    let phase = second as f64 / 300.0 + f64::from(point);
    (phase.sin() * 500.0 + f64::from(point)).round() / 10.0
}

fn sample(point: u32, second: i64) -> Stored {
    Stored {
        point,
        at: 1_795_000_000_000 + second * 1000,
        quality: Quality::Good,
        value: Some(Value::Number(value(point, second))),
    }
}

#[test]
#[ignore = "prints measures"]
fn what_a_sample_costs() {
    let rows = (1..=POINTS).map(|n| analog(&format!("point_{n}"), 0.0));
    let model = model(rows.collect());
    let (dictionary, _) = Dictionary::new(Default::default(), &model);
    let all: Vec<Stored> = (0..SECONDS)
        .flat_map(|second| (1..=POINTS).map(move |point| sample(point, second)))
        .collect();

    let begun = Instant::now();
    let bodies: Vec<Vec<u8>> = all.chunks(POINTS as usize).map(samples_to_bytes).collect();
    report("journal, written, a sample", begun, all.len());
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    say(&format!(
        "journal: {:.2} bytes a sample",
        bytes as f64 / all.len() as f64
    ));

    let begun = Instant::now();
    let read: Vec<Row> = bodies
        .iter()
        .map(|body| Row::from_bytes(body).unwrap())
        .collect();
    report("journal, read, a sample", begun, all.len());

    let encoder = Encoder::new("tower", &dictionary);
    let mut lines = Lines::default();
    let begun = Instant::now();
    for row in &read {
        encoder.add(row, &BTreeSet::new(), &mut lines);
    }
    report("line protocol, a line of 100 fields", begun, lines.len());
    let length = lines.bytes(0..lines.len()).len();
    say(&format!(
        "line protocol: {:.2} bytes a field",
        length as f64 / all.len() as f64
    ));

    let reading = |second: i64| Reading {
        at: sample(1, second).at,
        quality: Quality::Good,
        value: sample(1, second).value,
    };
    let hour: Vec<Reading> = (0..SECONDS).map(reading).collect();
    let begun = Instant::now();
    let chunk = Chunk::new(1, hour).unwrap();
    report("chunk, written, a sample", begun, SECONDS as usize);
    say(&format!(
        "chunk: {:.2} bytes a sample",
        chunk.body.len() as f64 / SECONDS as f64
    ));
    let begun = Instant::now();
    decompress(&chunk.body).unwrap();
    report("chunk, read, a sample", begun, SECONDS as usize);
}

#[tokio::test]
#[ignore = "prints measures"]
async fn what_a_question_costs() {
    let mut bench = Bench::new();
    bench.options.memory = 1;
    let running = bench.start().await;
    let from = wall() - 86_400_000;
    for hour in 0..24 {
        let updates = (hour * SECONDS..(hour + 1) * SECONDS)
            .map(|second| level(from + second * 1000, value(1, second)));
        assert!(running.store(updates.collect()).await);
    }
    for (what, span) in [("an hour", 3_600_000), ("a day", 86_400_000)] {
        let begun = Instant::now();
        let series = running
            .series("level", from, from + span, Aggregation::Auto)
            .await;
        report(&format!("{what} in {} buckets", series.t.len()), begun, 1);
    }
    running.stop().await;
}
