//! The record store on real files: kills, full disks, damage, and what a restart knows.
//!
//! Nothing here waits or mocks: every store is a SQLite file in a folder of its own.

mod archive;
pub(crate) mod building;
mod damage;
mod kill;
mod property;
mod speed;
mod startup;

use super::*;
use building::{Building, DOOR, TRAPPED, building, minutes};
use sqlx::Row;
use zhiban_core::{AlarmState, Command};
use zhiban_dashboard::ports::{AlarmFilter, Archive};

async fn count(journal: &Journal, sql: &'static str) -> i64 {
    let row = sqlx::query(sql).fetch_one(journal.store.readers()).await;
    row.unwrap().try_get(0).unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_kill() {
    let mut building = building().await;
    building.set(TRAPPED, true).await;
    building.set(DOOR, true).await;
    let before = building.snapshot();
    assert_eq!((before.alarms.len(), before.work_orders.len()), (2, 2));

    // Dropped as a kill would: nothing is closed, nothing flushed.
    building.kill_and_restart().await;
    let after = building.snapshot();
    assert_eq!(after.alarms, before.alarms);
    assert_eq!(after.work_orders, before.work_orders);
    assert_eq!(
        count(&building.journal, "select count(*) from notification").await,
        2
    );
    assert_eq!(
        count(&building.journal, "select count(*) from outbox").await,
        4
    );
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    building.set(DOOR, false).await;
    let alarm = *building.snapshot().alarms.keys().next().unwrap();
    building
        .command(Command::Acknowledge {
            alarm,
            by: "li".to_owned(),
            comment: Some("看过了".to_owned()),
        })
        .await;
    assert!(building.snapshot().alarms.is_empty());
    building.kill_and_restart().await;
    building.set(DOOR, true).await;
    let next = *building.snapshot().alarms.keys().next().unwrap();
    assert_eq!(next.0, alarm.0 + 1);
}

#[tokio::test]
async fn a_step_that_does_not_fit_leaves_nothing_and_fits_later() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let pages = count(&building.journal, "pragma page_count").await;
    let limit = format!("pragma max_page_count = {pages}");
    let mut writer = building.journal.store.writer().await.unwrap();
    cell::query(limit).execute(&mut *writer).await.unwrap();
    drop(writer);

    let mut step = Step {
        at: minutes(1),
        ..Step::default()
    };
    step.dead_letters = vec![letter(60_000); 20];
    step.inbox = vec![InboxKey {
        hash: [1; 16],
        unique: true,
    }];
    let error = building.journal.commit(&step).await.unwrap_err();
    assert!(matches!(error, JournalError::Full(_)), "{}", error.chain());
    assert_eq!(
        count(&building.journal, "select count(*) from inbox").await,
        0
    );
    assert_eq!(
        count(&building.journal, "select count(*) from dead_letter").await,
        0
    );

    let mut writer = building.journal.store.writer().await.unwrap();
    let more = "pragma max_page_count = 100000".to_owned();
    cell::query(more).execute(&mut *writer).await.unwrap();
    drop(writer);
    building.journal.commit(&step).await.unwrap();
    assert_eq!(
        count(&building.journal, "select count(*) from inbox").await,
        1
    );
    assert_eq!(building.snapshot().alarms.len(), 1);
}

#[tokio::test]
async fn a_writer_in_another_process_makes_it_busy_not_wrong() {
    let building = building().await;
    let file = building.journal.store.file().to_owned();
    let other = Store::open_beside(&file).await.unwrap();
    let held = other.begin().await.unwrap();
    let mut writer = building.journal.store.writer().await.unwrap();
    let soon = "pragma busy_timeout = 10".to_owned();
    cell::query(soon).execute(&mut *writer).await.unwrap();
    drop(writer);
    let step = Step {
        inbox: vec![InboxKey {
            hash: [2; 16],
            unique: true,
        }],
        ..Step::default()
    };
    let error = building.journal.commit(&step).await.unwrap_err();
    assert!(matches!(error, JournalError::Busy(_)), "{}", error.chain());
    drop(held);
    other.close().await;
    building.journal.commit(&step).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_cut_and_the_oldest_go() {
    let building = building().await;
    for batch in 0..6_i64 {
        let step = Step {
            at: minutes(batch),
            dead_letters: vec![letter(70_000); 60],
            ..Step::default()
        };
        building.journal.commit(&step).await.unwrap();
    }
    let largest = count(&building.journal, "select max(size) from dead_letter").await;
    assert_eq!(largest, 65_536);
    let kept = count(&building.journal, "select sum(size) from dead_letter").await;
    assert!(kept <= 16 * 1024 * 1024 + 60 * 65_536, "{kept}");
    let oldest = count(&building.journal, "select min(at) from dead_letter").await;
    assert!(oldest > 0, "the first batch is gone");
}

#[tokio::test]
async fn received_messages_are_remembered_for_a_day() {
    let building = building().await;
    let key = |n: u8| InboxKey {
        hash: [n; 16],
        unique: true,
    };
    for (minute, n) in [(0, 1), (60 * 23, 2), (60 * 24 + 1, 3)] {
        let step = Step {
            at: minutes(minute),
            inbox: vec![key(n)],
            ..Step::default()
        };
        building.journal.commit(&step).await.unwrap();
    }
    let now = minutes(60 * 24 + 2);
    let recent = building.journal.recent_inbox(now).await.unwrap();
    assert_eq!(recent, [key(2), key(3)]);
    assert_eq!(building.journal.prune(now, now).await.unwrap(), 1);
    assert_eq!(building.journal.recent_inbox(now).await.unwrap(), recent);
}

#[tokio::test]
async fn the_state_of_the_table_is_the_state_of_the_facts() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let alarm = building.snapshot().alarms.values().next().unwrap().clone();
    for bits in 0_u8..32 {
        let on = |bit: u8| bits & (1 << bit) != 0;
        let mut alarm = alarm.clone();
        alarm.active = on(0);
        alarm.acknowledged_at = on(1).then(|| minutes(3));
        alarm.shelved_until = on(2).then(|| minutes(4));
        alarm.suppressed_by = on(3).then(|| "power".to_owned());
        alarm.out_of_service = on(4);
        let state = alarm.state();
        let step = Building::step_of(alarm, AlarmState::Normal, minutes(5));
        building.journal.commit(&step).await.unwrap();
        let rows = building.journal.alarms(AlarmFilter {
            limit: 1,
            ..AlarmFilter::default()
        });
        assert_eq!(rows.await.unwrap()[0].state, state, "{bits:05b}");
    }
}

fn letter(bytes: usize) -> DeadLetter {
    DeadLetter {
        link: "broker".to_owned(),
        topic: "plant/泵/1".to_owned(),
        payload: vec![0xff; bytes],
        reason: "not JSON".to_owned(),
    }
}
