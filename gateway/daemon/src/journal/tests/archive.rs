//! Pages, filters, lives of records, and stored answers.

use super::building::{DOOR, SLOW, TRAPPED, building, minutes};
use super::*;
use bytes::Bytes;
use zhiban_core::facility::MoveWorkOrder;
use zhiban_core::work_order::Actor;
use zhiban_core::work_order::Repair;
use zhiban_core::{AlarmId, Duration, WorkOrderStatus};
use zhiban_dashboard::ports::{OrderFilter, StoredAnswer};

#[tokio::test]
async fn pages_go_back_in_time_without_gaps_or_repeats() {
    let mut building = building().await;
    for round in 0..5 {
        building.now = minutes(round);
        for asset in ["A1", "A2", "A3"] {
            building.set(&format!("{asset}/door_fault"), true).await;
            building.set(&format!("{asset}/door_fault"), false).await;
        }
        let open: Vec<AlarmId> = building.snapshot().alarms.keys().copied().collect();
        for alarm in open {
            building
                .command(Command::Acknowledge {
                    alarm,
                    by: "li".to_owned(),
                    comment: None,
                })
                .await;
        }
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = building.journal.alarms(AlarmFilter {
            before,
            limit: 4,
            ..AlarmFilter::default()
        });
        let page = page.await.unwrap();
        before = page.last().map(|row| row.id);
        seen.extend(page.iter().map(|row| row.id.0));
        if page.len() < 4 {
            break;
        }
    }
    assert_eq!(seen, (1..=15).rev().collect::<Vec<_>>());

    let one = building.journal.alarms(AlarmFilter {
        states: vec![AlarmState::Normal, AlarmState::Shelved],
        asset: Some("A2".to_owned()),
        before: Some(AlarmId(12)),
        limit: 200,
    });
    let ids: Vec<_> = one.await.unwrap().iter().map(|row| row.id.0).collect();
    assert_eq!(ids, [11, 8, 5, 2]);
}

#[tokio::test]
async fn a_record_shows_its_whole_life() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let order = building
        .snapshot()
        .work_orders
        .values()
        .next()
        .unwrap()
        .clone();
    let step = |to, note: &str| {
        Command::MoveWorkOrder(Box::new(MoveWorkOrder {
            no: order.no.clone(),
            to,
            by: "王工".to_owned(),
            actor: Actor::OnlyPerson,
            version: None,
            note: Some(note.to_owned()),
            reason: None,
            assignee: Some("王工".to_owned()),
            repair: Repair {
                cause: Some("门锁触点磨损".to_owned()),
                remedy: Some("更换".to_owned()),
                ..Repair::default()
            },
            recorded_at: Some(minutes(7)),
        }))
    };
    let assigned = step(WorkOrderStatus::Assigned, "请尽快");
    let accepted = step(WorkOrderStatus::Accepted, "已接");
    building.command(assigned).await;
    building.command(accepted).await;

    let (row, events) = building
        .journal
        .work_order(order.no.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.order, building.snapshot().work_orders[&order.no]);
    assert_eq!(row.order.repair.cause.as_deref(), Some("门锁触点磨损"));
    let life: Vec<_> = events
        .iter()
        .map(|event| (event.change.as_str(), event.to.as_str()))
        .collect();
    assert_eq!(
        life,
        [
            ("created", "approved"),
            ("moved", "assigned"),
            ("moved", "accepted")
        ]
    );
    assert_eq!(events[2].by.as_deref(), Some("王工"));
    assert_eq!(events[2].note.as_deref(), Some("已接"));
    assert_eq!(events[2].recorded_at, Some(minutes(7)));

    let (row, events) = building.journal.alarm(AlarmId(1)).await.unwrap().unwrap();
    assert_eq!(row.work_order, Some(order.no.clone()));
    assert_eq!((row.asset.as_str(), row.rule.as_str()), ("A1", "door"));
    assert_eq!(row.raised_value, Some(zhiban_core::Value::Flag(true)));
    assert_eq!(events.len(), 1);
    assert!(building.journal.alarm(AlarmId(99)).await.unwrap().is_none());
}

#[tokio::test]
async fn orders_are_found_by_status_and_person() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let orders = building.snapshot().work_orders;
    let assign = MoveWorkOrder {
        no: orders.keys().next().unwrap().clone(),
        to: WorkOrderStatus::Assigned,
        by: "li".to_owned(),
        actor: Actor::Person,
        version: None,
        note: None,
        reason: None,
        assignee: Some("王工".to_owned()),
        repair: Repair::default(),
        recorded_at: None,
    };
    let assign = Command::MoveWorkOrder(Box::new(assign));
    building.command(assign).await;
    let mine = building.journal.work_orders(OrderFilter {
        statuses: vec![WorkOrderStatus::Assigned],
        assignee: Some("王工".to_owned()),
        limit: 10,
        ..OrderFilter::default()
    });
    assert_eq!(mine.await.unwrap().len(), 1);
    let others = building.journal.work_orders(OrderFilter {
        assignee: Some("li".to_owned()),
        limit: 10,
        ..OrderFilter::default()
    });
    assert!(others.await.unwrap().is_empty());
}

#[tokio::test]
async fn alarms_are_counted_by_the_hour() {
    let mut building = building().await;
    for (minute, point) in [(0, DOOR), (61, TRAPPED), (62, SLOW)] {
        building.now = minutes(minute);
        building.set(point, true).await;
    }
    let hours = building.journal.alarms_per_hour(minutes(63)).await.unwrap();
    assert_eq!(hours.len(), 24);
    assert_eq!(&hours[22..], [1, 2]);
    let later = minutes(63) + Duration::from_secs(24 * 3600);
    let hours = building.journal.alarms_per_hour(later).await.unwrap();
    assert_eq!(hours.iter().sum::<u32>(), 0);
}

#[tokio::test]
async fn the_first_answer_is_kept() {
    let building = building().await;
    let answer = |body: &'static str| StoredAnswer {
        request: "abc".to_owned(),
        status: 201,
        body: Bytes::from_static(body.as_bytes()),
    };
    let key = "li/1".to_owned();
    assert_eq!(building.journal.replay(key.clone()).await.unwrap(), None);
    let first = answer("{\"no\":1}");
    building
        .journal
        .keep_answer(key.clone(), first.clone())
        .await
        .unwrap();
    building
        .journal
        .keep_answer(key.clone(), answer("{}"))
        .await
        .unwrap();
    assert_eq!(
        building.journal.replay(key.clone()).await.unwrap(),
        Some(first)
    );
    let later = now() + Duration::from_secs(8 * 24 * 3600);
    assert_eq!(building.journal.prune(later, later).await.unwrap(), 1);
    assert_eq!(building.journal.replay(key).await.unwrap(), None);
}
