//! Properties that hold for every sequence of inputs.

use super::runner::{START, building, restart_knowing};
use crate::alarm::AlarmChange;
use crate::facility::{Command, Effect, Effects, Facility, Input, MoveWorkOrder};
use crate::model::{AssetId, LinkState, PointId};
use crate::point::{Quality, QualityReason, Sample, SampleBatch, Value};
use crate::time::Duration;
use crate::work_order::{
    Actor, Repair, WorkOrderChange, WorkOrderKind, WorkOrderStatus, moves_from,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What one step of a random night is.
#[derive(Debug, Clone)]
enum Step {
    Read {
        asset: u32,
        point: u32,
        value: u8,
        quality: u8,
    },
    Link {
        asset: u32,
        up: bool,
    },
    Wait,
    Ack(u64),
    Move {
        nth: usize,
        to: usize,
        by: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<(u16, Step)>> {
    let step = prop_oneof![
        8 => (0..2u32, 0..6u32, 0..4u8, 0..6u8)
            .prop_map(|(asset, point, value, quality)| Step::Read { asset, point, value, quality }),
        1 => (0..2u32, any::<bool>()).prop_map(|(asset, up)| Step::Link { asset, up }),
        2 => Just(Step::Wait),
        2 => (1..8u64).prop_map(Step::Ack),
        3 => (0..4usize, 0..WorkOrderStatus::ALL.len(), 0..3usize)
            .prop_map(|(nth, to, by)| Step::Move { nth, to, by }),
    ];
    prop::collection::vec((0..40u16, step), 1..80)
}

fn input(facility: &Facility, step: &Step, now: crate::Timestamp) -> Option<Input> {
    Some(match step {
        Step::Wait => Input::Tick,
        Step::Link { asset, up } => Input::Link {
            asset: AssetId(*asset),
            state: if *up { LinkState::Up } else { LinkState::Down },
        },
        Step::Ack(id) => Input::Command(Command::Acknowledge {
            alarm: crate::AlarmId(*id),
            by: "li".into(),
            comment: None,
        }),
        Step::Move { nth, to, by } => {
            let no = facility.orders.keys().nth(*nth)?.clone();
            let said = || Some("said".to_owned());
            Input::Command(Command::MoveWorkOrder(Box::new(MoveWorkOrder {
                no,
                to: WorkOrderStatus::ALL[*to],
                by: ["said", "said", "li"][*by].into(),
                actor: Actor::Person,
                version: None,
                note: None,
                reason: said(),
                assignee: said(),
                repair: Repair {
                    cause: said(),
                    remedy: said(),
                    ..Repair::default()
                },
                recorded_at: None,
            })))
        }
        Step::Read {
            asset,
            point,
            value,
            quality,
        } => {
            let id = PointId(asset * 6 + point);
            let value = match point {
                0 | 1 => Value::Flag(*value > 1),
                2 | 5 => Value::Number(f64::from(*value) * 21.0),
                3 => Value::Text(["normal", "stopped", "fault", "other"][*value as usize].into()),
                _ => Value::Integer(i64::from(*value) * 4),
            };
            let (value, quality) = match quality {
                0 => (None, Quality::Bad(QualityReason::BadAnswer)),
                1 => (Some(value), Quality::Uncertain(QualityReason::Retained)),
                _ => (Some(value), Quality::Good),
            };
            let samples = vec![Sample {
                point: id,
                value,
                quality,
            }];
            let batch = SampleBatch {
                asset: AssetId(*asset),
                at: now,
                samples,
                retained: false,
            };
            Input::Samples(batch)
        }
    })
}

/// What not good data may do: nothing when they are bad, nothing but raise when they are uncertain.
/// A lost link raises only the lack of data, and that only after its delay.
fn check_trust(facility: &Facility, step: &Step, effects: &Effects) {
    for effect in &effects.records {
        let Effect::Alarm(one) = effect else { continue };
        let about_data = facility.model().rule(one.alarm.rule).no_data;
        let judged = matches!(one.change, AlarmChange::Raised | AlarmChange::Returned);
        match step {
            Step::Read { quality: 0, .. } | Step::Link { .. } => {
                assert!(!judged, "bad or lost data moved an alarm: {one:?}");
            }
            Step::Read { quality: 1, .. } if !about_data => {
                assert!(
                    one.change != AlarmChange::Returned,
                    "uncertain data cleared: {one:?}"
                );
            }
            Step::Read { .. } | Step::Wait | Step::Ack(_) | Step::Move { .. } => {}
        }
    }
}

/// People move orders only as the table says, and nothing else moves one that somebody has taken.
fn check_moves(effects: &Effects) {
    for effect in &effects.records {
        let Effect::WorkOrder(one) = effect else {
            continue;
        };
        let in_table = moves_from(one.from).any(|row| row.to == one.to);
        let nobodys = matches!(
            one.from,
            WorkOrderStatus::Approved
                | WorkOrderStatus::Assigned
                | WorkOrderStatus::Completed
                | WorkOrderStatus::Verified
        );
        if one.change == WorkOrderChange::Moved {
            assert!(in_table, "{one:?}");
            let (by, worker) = (one.by.as_ref(), one.order.assignee.as_ref());
            let own = by == one.order.completed_by.as_ref() && by.is_some();
            match (one.from, one.to) {
                (WorkOrderStatus::Assigned, WorkOrderStatus::Accepted)
                | (WorkOrderStatus::Accepted, WorkOrderStatus::OnSite) => assert_eq!(by, worker),
                (_, WorkOrderStatus::Verified) => assert!(!own, "{one:?}"),
                _ => {}
            }
        } else if one.change == WorkOrderChange::Reopened {
            assert!(one.from.is_over() && !one.to.is_over());
        } else if one.change == WorkOrderChange::Joined {
            let order = &one.order;
            assert!(
                one.from == one.to && order.recovered_at.is_none(),
                "{one:?}"
            );
        } else {
            assert!(one.from == one.to || nobodys, "{one:?}");
        }
        if one.to == WorkOrderStatus::InProgress {
            assert!(one.order.assignee.is_some(), "nobody works on it: {one:?}");
        }
    }
}

/// One open corrective order for a family of an asset, and every open alarm that wants one has it.
fn check_orders(facility: &Facility) {
    let mut families = BTreeSet::new();
    for order in facility
        .orders
        .values()
        .filter(|order| !order.status.is_over())
    {
        if order.kind == WorkOrderKind::Corrective {
            assert!(
                families.insert((order.asset, order.fault_family.clone())),
                "two orders"
            );
        }
    }
    for alarm in facility.alarms.values().filter(|alarm| alarm.active) {
        let no = alarm
            .work_order
            .as_ref()
            .expect("an active alarm has an order");
        let order = &facility.orders[no];
        assert!(order.alarms.contains(&alarm.id));
        let dropped = order.status == WorkOrderStatus::Cancelled;
        assert!(
            !order.status.is_over() || dropped,
            "closed while the fault stands: {order:?}"
        );
    }
}

proptest! {
    #[test]
    fn every_night_keeps_the_invariants(steps in steps()) {
        let mut facility = Facility::new(building(), START);
        let mut twin = Facility::new(building(), START);
        let mut now = START;
        for (wait, step) in steps {
            now = now + Duration::from_secs(i64::from(wait));
            let Some(input) = input(&facility, &step, now) else { continue };
            let (mut effects, mut again) = (Effects::default(), Effects::default());
            // What only time brings is taken first, so that what follows comes of the step alone.
            facility.handle(Input::Tick, now, &mut Effects::default()).unwrap();
            twin.handle(Input::Tick, now, &mut Effects::default()).unwrap();
            let before = facility.sequence();
            let outcome = facility.handle(input.clone(), now, &mut effects);
            prop_assert_eq!(&outcome, &twin.handle(input, now, &mut again), "the same twice");
            prop_assert_eq!(&effects.records, &again.records, "the same twice");
            prop_assert!(effects.records.is_empty() || facility.sequence() > before);
            check_trust(&facility, &step, &effects);
            check_orders(&facility);
            check_moves(&effects);
        }
        let restored = restart_knowing(Vec::new(), &facility, now);
        let (old, new) = (facility.snapshot(now), restored.snapshot(now));
        prop_assert_eq!(old.alarms, new.alarms);
        prop_assert_eq!(old.work_orders, new.work_orders);
    }
}
