//! Whatever happens in a building, a restart knows exactly what was known before.

use super::building::{Building, building};
use proptest::prelude::*;
use zhiban_core::facility::{MoveWorkOrder, NewWorkOrder};
use zhiban_core::work_order::Actor;
use zhiban_core::work_order::{
    NewPart, NewPhoto, PhotoFormat, PhotoStage, Quantity, RecordEdit, Repair, moves_from,
};
use zhiban_core::{AlarmId, Command, Duration, Input, Priority, WorkOrder};
use zhiban_dashboard::ports::Archive;

/// Something that happens. Numbers pick one of whatever there is.
#[derive(Debug, Clone)]
enum Happening {
    Flag(usize, usize, bool),
    Acknowledge(usize),
    Shelve(usize),
    Unshelve(usize),
    CommentAlarm(usize),
    Create(usize),
    Move(usize, usize),
    CommentOrder(usize),
    EditRecord(usize, usize),
    Later(i64),
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (0..3_usize, 0..3_usize, any::<bool>()).prop_map(|(a, p, on)| Happening::Flag(a, p, on)),
        3 => any::<usize>().prop_map(Happening::Acknowledge),
        1 => any::<usize>().prop_map(Happening::Shelve),
        1 => any::<usize>().prop_map(Happening::Unshelve),
        1 => any::<usize>().prop_map(Happening::CommentAlarm),
        1 => (0..3_usize).prop_map(Happening::Create),
        8 => (any::<usize>(), any::<usize>()).prop_map(|(o, m)| Happening::Move(o, m)),
        1 => any::<usize>().prop_map(Happening::CommentOrder),
        4 => (any::<usize>(), any::<usize>()).prop_map(|(o, e)| Happening::EditRecord(o, e)),
        3 => (1..400_i64).prop_map(Happening::Later),
        2 => Just(Happening::Restart),
    ]
}

fn pick<T>(mut from: impl ExactSizeIterator<Item = T>, number: usize) -> Option<T> {
    let count = from.len().max(1);
    from.nth(number % count)
}

impl Building {
    async fn let_happen(&mut self, happening: Happening) {
        if let Happening::Flag(asset, point, on) = happening {
            let point = ["trapped", "door_fault", "slow"][point];
            return self.set(&format!("A{}/{point}", asset + 1), on).await;
        }
        let by = "li".to_owned();
        let snapshot = self.snapshot();
        let alarm = |number| pick(snapshot.alarms.keys().copied(), number).unwrap_or(AlarmId(0));
        let order = |number| pick(snapshot.work_orders.values(), number);
        let command = match happening {
            Happening::Flag(..) | Happening::Restart => return,
            Happening::Later(by) => {
                self.now = self.now + Duration::from_secs(by * 60);
                self.handle(Input::Tick).await.unwrap();
                return;
            }
            Happening::Acknowledge(number) => Some(Command::Acknowledge {
                alarm: alarm(number),
                by,
                comment: None,
            }),
            Happening::Shelve(number) => Some(Command::Shelve {
                alarm: alarm(number),
                by,
                reason: "等待备件".to_owned(),
                duration: Duration::from_secs(3600),
            }),
            Happening::Unshelve(number) => Some(Command::Unshelve {
                alarm: alarm(number),
                by,
            }),
            Happening::CommentAlarm(number) => Some(Command::CommentAlarm {
                alarm: alarm(number),
                by,
                comment: "看过".to_owned(),
            }),
            Happening::Create(asset) => Some(Command::CreateWorkOrder(NewWorkOrder {
                asset: self
                    .journal
                    .model()
                    .asset_by_code(&format!("A{}", asset + 1))
                    .unwrap(),
                title: "灯不亮".to_owned(),
                priority: Priority::Low,
                by,
                note: None,
            })),
            Happening::Move(number, place) => order(number).and_then(|order| a_move(order, place)),
            Happening::CommentOrder(number) => {
                order(number).map(|order| Command::CommentWorkOrder {
                    no: order.no.clone(),
                    by,
                    comment: "备注".to_owned(),
                })
            }
            Happening::EditRecord(number, edit) => order(number).map(|order| an_edit(order, edit)),
        };
        if let Some(command) = command {
            // A refusal changes nothing, which is also something that happens.
            drop(self.handle(Input::Command(command)).await);
        }
    }
}

fn a_move(order: &WorkOrder, place: usize) -> Option<Command> {
    let moves: Vec<_> = moves_from(order.status).collect();
    let to = pick(moves.iter(), place)?.to;
    Some(Command::MoveWorkOrder(Box::new(MoveWorkOrder {
        no: order.no.clone(),
        to,
        by: if place.is_multiple_of(3) {
            "li"
        } else {
            "wang"
        }
        .to_owned(),
        actor: Actor::Person,
        version: None,
        note: Some("随手记".to_owned()),
        reason: Some("原因".to_owned()),
        assignee: Some("wang".to_owned()),
        repair: Repair {
            problem: Some("门不关".to_owned()),
            cause: Some("磨损".to_owned()),
            remedy: Some("更换".to_owned()),
            labor_minutes: Some(30),
        },
        recorded_at: None,
    })))
}

fn an_edit(order: &WorkOrder, number: usize) -> Command {
    let first = |ids: Option<u32>| ids.unwrap_or(0);
    let edit = match number % 6 {
        0 => RecordEdit::RemovePart(first(order.parts.first().map(|part| part.id))),
        1 => RecordEdit::RemovePhoto(first(order.photos.first().map(|photo| photo.id))),
        2 | 3 => RecordEdit::AddPhoto(NewPhoto {
            file: format!("{number:032x}"),
            stage: PhotoStage::ALL[number % 2],
            format: PhotoFormat::ALL[number % 3],
            size: u32::try_from(number % 10_000_000).unwrap(),
            sha256: format!("{number:064x}"),
        }),
        _ => RecordEdit::AddPart(NewPart {
            name: "门滚轮".to_owned(),
            sku: number.is_multiple_of(2).then(|| "K-771".to_owned()),
            quantity: Quantity::from_thousandths(500).unwrap(),
            unit: number.is_multiple_of(3).then(|| "m".to_owned()),
        }),
    };
    Command::EditRecord {
        no: order.no.clone(),
        by: "wang".to_owned(),
        edit,
        recorded_at: number
            .is_multiple_of(5)
            .then(|| super::building::minutes(1)),
    }
}

async fn play(happenings: Vec<Happening>) {
    let mut building = building().await;
    for happening in happenings.into_iter().chain([Happening::Restart]) {
        if !matches!(happening, Happening::Restart) {
            building.let_happen(happening).await;
            continue;
        }
        let before = building.snapshot();
        building.kill_and_restart().await;
        let after = building.snapshot();
        assert_eq!(after.alarms, before.alarms);
        assert_eq!(after.work_orders, before.work_orders);
        for (no, order) in before.work_orders.iter() {
            let (row, _) = building
                .journal
                .work_order(no.clone())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.order, *order);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_knows_what_was_known(happenings in prop::collection::vec(happening(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(play(happenings));
    }
}
