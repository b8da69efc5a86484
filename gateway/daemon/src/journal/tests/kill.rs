//! A process that is killed while it commits: what it said was durable is there.
//!
//! The process is this test program itself, started again for the one test that writes.

use super::building::{Building, DOOR, building_at, minutes};
use super::*;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

const FILE: &str = "ZHIBAN_TEST_JOURNAL";
const ROUNDS: u64 = 12;

/// Commits faults for ever and says after each commit how many there are.
#[tokio::test]
#[ignore = "started by the test below, and killed by it"]
async fn writes_until_killed() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let mut building = building_at(Path::new(&file).to_owned()).await;
    let mut stdout = std::io::stdout();
    loop {
        building.set(DOOR, true).await;
        building.set(DOOR, false).await;
        let alarm = *building.snapshot().alarms.keys().next().unwrap();
        let acknowledge = Command::Acknowledge {
            alarm,
            by: "li".to_owned(),
            comment: None,
        };
        building.command(acknowledge).await;
        std::io::Write::write_fmt(&mut stdout, format_args!("durable {alarm}\n")).unwrap();
        std::io::Write::flush(&mut stdout).unwrap();
    }
}

fn start_writer(file: &Path) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["journal::tests::kill::writes_until_killed", "--exact"])
        .args(["--ignored", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the writer say so many words, kills it, and returns the last alarm it called durable.
fn kill_after(mut writer: Child, words: u64) -> u64 {
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut heard = 0;
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("durable ") {
            last = number.parse().unwrap();
            heard += 1;
        }
        if heard == words {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    last
}

#[tokio::test]
async fn what_was_called_durable_survives_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.db");
    for round in 0..ROUNDS {
        let writer = start_writer(&file);
        let killed = tokio::task::spawn_blocking(move || kill_after(writer, 1 + round * 3));
        let durable = killed.await.unwrap();
        assert!(durable > 0, "the writer wrote");

        let mut building = building_at(file.clone()).await;
        let journal = &building.journal;
        let (row, life) = Archive::alarm(journal, zhiban_core::AlarmId(durable))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.state, AlarmState::Normal, "round {round}");
        assert_eq!(life.len(), 3, "raised, returned, acknowledged");
        consistent(journal).await;
        settle(&mut building).await;
    }
}

/// Nothing is there by half.
async fn consistent(journal: &Journal) {
    for (what, sql) in [
        (
            "every alarm has its order",
            "select count(*) from alarm a left join work_order w on w.no = a.work_order where w.no is null",
        ),
        (
            "every alarm has its events",
            "select count(*) from alarm where id not in (select alarm from alarm_event)",
        ),
        (
            "every notification goes to both channels",
            "select count(*) from notification n \
             where (select count(*) from outbox o where o.notification = n.id) <> 2",
        ),
        (
            "every order has all its events",
            "select count(*) from work_order w where w.version <> \
             (select count(*) from work_order_event e where e.work_order = w.id)",
        ),
        (
            "one open order for a family",
            "select count(*) - count(distinct asset || fault_family) from work_order \
             where status not in ('closed', 'rejected', 'cancelled')",
        ),
    ] {
        assert_eq!(count(journal, sql).await, 0, "{what}");
    }
}

/// Ends what the kill left open, so that the next writer starts with the door closed.
async fn settle(building: &mut Building) {
    building.now = minutes(1);
    let open: Vec<_> = building.snapshot().alarms.keys().copied().collect();
    building.set(DOOR, false).await;
    for alarm in open {
        let acknowledge = Command::Acknowledge {
            alarm,
            by: "li".to_owned(),
            comment: None,
        };
        building
            .handle(zhiban_core::Input::Command(acknowledge))
            .await
            .ok();
    }
    building.journal.store.close().await;
}
