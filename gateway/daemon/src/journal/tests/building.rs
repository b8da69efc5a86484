//! A small building over a real store: what it decides is committed as the engine does it.
//!
//! Used by the tests of this crate only.

use crate::journal::{Journal, OutboxEntry, Step};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use zhiban_core::alarm::AlarmChange;
use zhiban_core::alarm::rule::RuleFile;
use zhiban_core::model::{AssetSpec, Location, Policy, Site};
use zhiban_core::{
    Alarm, AlarmState, AlarmTransition, Command, Duration, Effect, Effects, Facility, Input, Model,
    Outcome, Quality, Refusal, Sample, SampleBatch, Snapshot, Text, Timestamp, Value,
};

/// Points of the asset `A1`.
pub(crate) const TRAPPED: &str = "A1/trapped";
pub(crate) const DOOR: &str = "A1/door_fault";
pub(crate) const SLOW: &str = "A1/slow";

const PROFILE: &str = r#"
    id = "test-lift"
    class = "elevator"
    title = { zh = "电梯", en = "Elevator" }
    trust = "bench"
    source = "made for tests"

    [[point]]
    point = "trapped"
    name = { zh = "困人", en = "Trapped" }
    kind = "flag"

    [[point]]
    point = "door_fault"
    name = { zh = "门故障", en = "Door fault" }
    kind = "flag"

    [[point]]
    point = "slow"
    name = { zh = "缓慢", en = "Slow" }
    kind = "flag"
"#;

const RULES: &str = r#"
    class = "elevator"

    [[rule]]
    id = "entrapment"
    family = "entrapment"
    priority = 1
    life_safety = true
    latch = true
    close = "never"
    due = "30m"
    title = { zh = "电梯困人", en = "Passengers trapped" }
    cause = { zh = "停在层间", en = "Stopped between floors" }
    consequence = { zh = "人员被困", en = "People are caught" }
    action = { zh = "安抚被困人员,通知维保单位", en = "Calm the passengers, call the maintenance company" }
    when = { flag = { point = "trapped" } }

    [[rule]]
    id = "door"
    family = "door"
    priority = 2
    due = "4h"
    title = { zh = "门系统故障", en = "Door fault" }
    cause = { zh = "门机或门锁", en = "Door drive or lock" }
    consequence = { zh = "电梯停用", en = "The elevator stands" }
    action = { zh = "检查门机", en = "Check the door drive" }
    when = { flag = { point = "door_fault" } }

    [[rule]]
    id = "slow"
    family = "drive"
    priority = 4
    close = "auto"
    due = "72h"
    title = { zh = "运行缓慢", en = "Runs slowly" }
    cause = { zh = "驱动", en = "Drive" }
    consequence = { zh = "等待", en = "Waiting" }
    action = { zh = "观察", en = "Watch" }
    when = { flag = { point = "slow" } }
"#;

/// So many minutes after the start of the test's time.
pub(crate) fn minutes(count: i64) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000 + count * 60_000)
}

/// Elevators `A1` to `A{count}`, without the rules named.
pub(crate) fn model(count: usize, without: &[&str]) -> Arc<Model> {
    let profile = Arc::new(toml::from_str(PROFILE).unwrap());
    let file: RuleFile = toml::from_str(RULES).unwrap();
    let kept = file.into_rules().into_iter();
    let kept = kept.filter(|rule| !without.contains(&rule.id.as_str()));
    let rules: Vec<_> = kept.map(Arc::new).collect();
    let asset = |number: usize| AssetSpec {
        code: format!("A{number}"),
        name: Text::new(format!("{number}号梯"), format!("Elevator {number}")),
        location: Some(Location {
            code: "b1".to_owned(),
            name: Text::new("一号楼", "Building 1"),
        }),
        profile: Arc::clone(&profile),
        link: "plant".to_owned(),
        disabled: false,
        stale_after: Duration::from_secs(3600 * 24 * 365),
        rules: rules.clone(),
    };
    let site = Site {
        code: "home".to_owned(),
        name: Text::new("测试楼", "Test house"),
        time_zone: chrono_tz::Asia::Shanghai,
    };
    let assets = (1..=count).map(asset).collect();
    Arc::new(Model::build(site, assets, Vec::new(), Policy::default()).unwrap())
}

/// A building whose every step is durable before it is looked at.
pub(crate) struct Building {
    pub(crate) journal: Journal,
    pub(crate) facility: Facility,
    pub(crate) now: Timestamp,
    file: PathBuf,
    /// The folder of the file, when it is the building's own.
    _folder: Option<TempDir>,
}

/// A building on a new file.
pub(crate) async fn building() -> Building {
    let folder = tempfile::tempdir().unwrap();
    let building = building_at(folder.path().join("数据 1/core.db")).await;
    Building {
        _folder: Some(folder),
        ..building
    }
}

/// A building on a file that may be there.
pub(crate) async fn building_at(file: PathBuf) -> Building {
    let now = minutes(0);
    let (journal, records) = Journal::open(&file, model(3, &[]), now).await.unwrap();
    Building {
        facility: Facility::restore(journal.model().clone(), records, now),
        journal,
        now,
        file,
        _folder: None,
    }
}

impl Building {
    pub(crate) fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// Everything in memory is gone, and the file is opened as a start does.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.restart_with(self.journal.model().clone()).await;
    }

    /// Drops everything without closing, and opens the file with another configuration.
    pub(crate) async fn restart_with(&mut self, model: Arc<Model>) {
        let spare = tempfile::tempdir().unwrap();
        let other = spare.path().join("core.db");
        let (other, _) = Journal::open(&other, model.clone(), self.now)
            .await
            .unwrap();
        drop(std::mem::replace(&mut self.journal, other));
        let opened = Journal::open(&self.file(), model.clone(), self.now).await;
        let (journal, records) = opened.unwrap();
        self.journal = journal;
        self.facility = Facility::restore(model, records, self.now);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.facility.snapshot(self.now)
    }

    /// Gives a flag a value and commits what comes of it.
    pub(crate) async fn set(&mut self, key: &str, value: bool) {
        let point = self.journal.model().point_by_key(key).unwrap();
        let batch = SampleBatch {
            asset: self.journal.model().point(point).asset,
            at: self.now,
            samples: vec![Sample {
                point,
                value: Some(Value::Flag(value)),
                quality: Quality::Good,
            }],
            retained: false,
        };
        self.handle(Input::Samples(batch)).await.unwrap();
    }

    pub(crate) async fn command(&mut self, command: Command) -> Outcome {
        self.handle(Input::Command(command)).await.unwrap()
    }

    /// One input through the facility into the store.
    pub(crate) async fn handle(&mut self, input: Input) -> Result<Outcome, Refusal> {
        let mut effects = Effects::default();
        let outcome = self.facility.handle(input, self.now, &mut effects);
        let step = Self::step(effects.records, self.now);
        self.journal.commit(&step).await.unwrap();
        outcome
    }

    /// What the engine makes of effects: two channels take everything.
    pub(crate) fn step(records: Vec<Effect>, at: Timestamp) -> Step {
        let mut step = Step {
            at,
            records,
            ..Step::default()
        };
        for record in &step.records {
            if let Effect::Notify(notification) = record {
                step.outbox
                    .extend(["crew", "mail"].map(|channel| OutboxEntry {
                        notification: notification.id.clone(),
                        channel: channel.to_owned(),
                    }));
            }
        }
        step
    }

    pub(crate) fn step_of(alarm: Alarm, from: AlarmState, at: Timestamp) -> Step {
        let transition = AlarmTransition {
            to: alarm.state(),
            alarm,
            change: AlarmChange::Commented,
            from,
            at,
            by: None,
            note: None,
        };
        Self::step(vec![Effect::Alarm(transition)], at)
    }
}
