//! How long a commit takes. Prints figures; asserts none, since machines differ.

use super::building::{Building, minutes, model};
use super::*;
use std::time::Instant;
use zhiban_core::{Effects, Facility, Input, Quality, Sample, SampleBatch, Value};

#[tokio::test]
#[ignore = "measures: run it with --ignored --nocapture, in a release build"]
async fn commits() {
    for (faults, rounds) in [(1_usize, 400), (200, 40)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("core.db");
        let model = model(faults, &[]);
        let (journal, records) = Journal::open(&file, model.clone(), minutes(0))
            .await
            .unwrap();
        let mut facility = Facility::restore(model.clone(), records, minutes(0));
        let mut took = Vec::new();
        for round in 0..rounds * 2 {
            let mut effects = Effects::default();
            for asset in 1..=faults {
                let point = model.point_by_key(&format!("A{asset}/door_fault")).unwrap();
                let batch = SampleBatch {
                    asset: model.point(point).asset,
                    at: minutes(round),
                    samples: vec![Sample {
                        point,
                        value: Some(Value::Flag(round % 2 == 0)),
                        quality: Quality::Good,
                    }],
                    retained: false,
                };
                facility
                    .handle(Input::Samples(batch), minutes(round), &mut effects)
                    .unwrap();
            }
            let mut step = Building::step(effects.records, minutes(round));
            step.inbox = vec![
                InboxKey {
                    hash: [3; 16],
                    unique: true
                };
                faults
            ];
            let begun = Instant::now();
            journal.commit(&step).await.unwrap();
            took.push(begun.elapsed());
        }
        took.sort();
        let at = |part: usize| took[took.len() * part / 100];
        eprintln!(
            "{faults} faults in a step: p50 {:?}, p99 {:?}",
            at(50),
            at(99)
        );
    }
}
