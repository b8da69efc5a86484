//! The outbox over a real store, with channels that fail on command.
//!
//! The channels here are ours, not stand-ins for a protocol: those are tested with real servers.

use super::*;
use crate::channels::{Channel, DeliveryError, Rendered, Route};
use crate::journal::tests::building::{Building, DOOR, TRAPPED, building};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Row;
use std::collections::BTreeSet;
use std::sync::Mutex;
use zhiban_core::{Language, NotifyReason, Priority};
use zhiban_dashboard::ports::{About, Archive, Check, Health, Reached};

const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a channel does with a message.
type Manner = Box<dyn Fn(usize) -> Reply + Send + Sync>;

enum Reply {
    Take,
    Fail,
    Refuse,
    Hang,
}

/// Keeps what it was given and answers as told.
struct Scripted {
    given: Mutex<Vec<Rendered>>,
    news: Notify,
    manner: Manner,
}

impl Scripted {
    fn new(manner: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            given: Mutex::default(),
            news: Notify::new(),
            manner: Box::new(manner),
        })
    }

    async fn wait_for(&self, count: usize) -> Vec<Rendered> {
        let enough = async {
            loop {
                let news = self.news.notified();
                let given = self.given.lock().unwrap().clone();
                if given.len() >= count {
                    return given;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.unwrap()
    }
}

impl Channel for Scripted {
    fn deliver<'a>(&'a self, message: &'a Rendered) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async {
            let number = {
                let mut given = self.given.lock().unwrap();
                given.push(message.clone());
                given.len()
            };
            self.news.notify_one();
            match (self.manner)(number) {
                Reply::Take => Ok(()),
                Reply::Fail => Err(DeliveryError::Transient {
                    reason: "answered 503".to_owned(),
                    retry_after: None,
                }),
                Reply::Refuse => Err(DeliveryError::Permanent("answered 400".to_owned())),
                Reply::Hang => std::future::pending().await,
            }
        }
        .boxed()
    }
}

struct Running {
    journal: Arc<Journal>,
    board: Arc<Board>,
    unrecorded: Unrecorded,
    wake: Arc<Notify>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Runs an outbox with the channels `crew` (Chinese) and `mail` (English).
fn run(journal: Journal, crew: &Arc<Scripted>, mail: &Arc<Scripted>, pace: Pace) -> Running {
    let journal = Arc::new(journal);
    let configured = |name: &str, language, channel: &Arc<Scripted>| Configured {
        name: name.to_owned(),
        language,
        concurrency: 2,
        // What people read by mail here may wait a day, or not at all.
        retry_for: if name == "mail" { Duration::ZERO } else { DAY },
        channel: channel.clone(),
    };
    let route = |channel: &str| Route {
        channel: channel.to_owned(),
        reasons: NotifyReason::ALL.to_vec(),
        priorities: Priority::ALL.to_vec(),
    };
    let board = Arc::new(Board::default());
    let (outbox, unrecorded) = Outbox::new(Parts {
        journal: journal.clone(),
        channels: vec![
            configured("crew", Language::ZhCn, crew),
            configured("mail", Language::En, mail),
        ],
        routes: Arc::new(Routes::new(vec![route("crew"), route("mail")])),
        url: Some("https://duty.example/".to_owned()),
        board: board.clone(),
        pace,
        steps: Arc::default(),
    })
    .unwrap();
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(outbox.run(wake.clone(), stop.clone()));
    Running {
        journal,
        board,
        unrecorded,
        wake,
        stop,
        tasks,
    }
}

fn quick() -> Pace {
    Pace {
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        ..Pace::default()
    }
}

impl Running {
    /// The rows `channel status attempts`, once they are as expected.
    async fn wait_for_rows(&self, expected: &[&str]) {
        let sql = "select channel || ' ' || status || ' ' || attempts from outbox order by id";
        let as_expected = async {
            let mut pulse = tokio::time::interval(Duration::from_millis(10));
            loop {
                pulse.tick().await;
                let rows = sqlx::query(sql).fetch_all(self.journal.store().readers());
                let rows = rows.await.unwrap();
                let rows: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
                if rows == expected {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, as_expected).await;
        waited.unwrap_or_else(|_| panic!("{expected:?}"));
    }

    /// The line of the board, once it is as expected: whether it is well, and a part of its words.
    async fn wait_for_check(&self, name: &str, ok: bool, words: &str) -> Check {
        let as_expected = async {
            let mut pulse = tokio::time::interval(Duration::from_millis(10));
            loop {
                pulse.tick().await;
                let mut checks = self.board.checks().into_iter();
                let is_it = |check: &Check| check.name == name && check.ok == ok;
                let found = checks.find(|check| is_it(check) && check.detail.contains(words));
                if let Some(check) = found {
                    return check;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, as_expected).await;
        waited.unwrap_or_else(|_| panic!("{name} {ok} {words}: {:?}", self.board.checks()))
    }

    async fn stop(mut self) -> Journal {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        drop(self.unrecorded);
        Arc::into_inner(self.journal).unwrap()
    }
}

#[tokio::test]
async fn every_channel_is_told_in_its_language() {
    let mut building = building().await;
    building.set(TRAPPED, true).await;
    let (crew, mail) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(building.journal, &crew, &mail, quick());
    let zh = crew.wait_for(1).await.remove(0);
    let en = mail.wait_for(1).await.remove(0);
    assert_eq!(zh.id, en.id, "one notification, one id");
    assert_eq!(zh.title, "【紧急】A1 1号梯 电梯困人");
    assert_eq!(en.title, "[Urgent] A1 Elevator 1: Passengers trapped");
    for expected in [
        "设备所在:一号楼",
        "安抚被困人员",
        "https://duty.example/work-orders/WO-",
    ] {
        assert!(zh.text.contains(expected), "{}", zh.text);
    }
    assert!(
        en.text.contains("First action: Calm the passengers"),
        "{}",
        en.text
    );
    assert!(zh.life_safety && zh.priority == 1 && !zh.unrecorded);
    assert_eq!((zh.site.as_str(), zh.asset.code.as_str()), ("home", "A1"));
    running.wait_for_rows(&["crew sent 1", "mail sent 1"]).await;
}

#[tokio::test]
async fn a_signal_that_is_gone_proves_nothing() {
    let mut building = building().await;
    for (point, on) in [(TRAPPED, true), (TRAPPED, false), (TRAPPED, true)] {
        building.set(point, on).await;
    }
    let (crew, mail) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(building.journal, &crew, &mail, quick());
    let told = |given: Vec<Rendered>, reason: &str| {
        let one = given.into_iter().find(|one| one.reason == reason).unwrap();
        format!("{}\n{}", one.title, one.text)
    };
    let zh = crew.wait_for(3).await;
    let en = mail.wait_for(3).await;
    let gone = told(zh.clone(), "recovered");
    assert!(gone.contains("不能证明现场正常"), "{gone}");
    assert!(gone.contains("无困人提示不代表轿厢内无人"), "{gone}");
    assert!(!gone.contains("验收"), "{gone}");
    let gone = told(en.clone(), "recovered");
    assert!(gone.contains("proves nothing on site"), "{gone}");
    assert!(gone.contains("no proof that the car is empty"), "{gone}");
    assert!(!gone.contains("accept"), "{gone}");
    // The machine was normal between the two: it is the fault again.
    assert!(told(zh, "repeated").contains("恢复正常后故障再次发生"));
    let again = told(en, "repeated");
    assert!(again.contains("came again after"), "{again}");
    running.stop().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_for_as_long_as_the_channel_says() {
    let mut building = building().await;
    building.now = crate::journal::now();
    building.set(DOOR, true).await;
    let third = Scripted::new(|number| {
        if number < 3 {
            Reply::Refuse
        } else {
            Reply::Take
        }
    });
    let refuses = Scripted::new(|_| Reply::Refuse);
    let running = run(building.journal, &third, &refuses, quick());
    let given = third.wait_for(3).await;
    assert!(
        given.iter().all(|one| *one == given[0]),
        "the same message, the same id"
    );
    running.wait_for_rows(&["crew sent 3", "mail dead 1"]).await;
    let sql = "select outcome || ' ' || coalesce(error, '') from delivery order by outbox, id";
    let rows = sqlx::query(sql).fetch_all(running.journal.store().readers());
    let rows = rows.await.unwrap();
    let rows: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    let expected = [
        "failed answered 400",
        "failed answered 400",
        "sent ",
        "refused answered 400",
    ];
    assert_eq!(rows, expected);
    // People see of the order what became of each message.
    let no = "select work_order from notification limit 1";
    let no = sqlx::query(no).fetch_one(running.journal.store().readers());
    let no: String = no.await.unwrap().try_get(0).unwrap();
    let told = running.journal.told(About::Order(no.parse().unwrap()));
    let told = told.await.unwrap().into_iter();
    let told: Vec<_> = told
        .map(|row| (row.channel.unwrap(), row.reached, row.attempts, row.error))
        .collect();
    let refused = Some("answered 400".to_owned());
    let expected = [
        ("crew".to_owned(), Reached::Accepted, 3, None),
        ("mail".to_owned(), Reached::GivenUp, 1, refused),
    ];
    assert_eq!(told, expected);
}

/// A redeployment answers 404 for a while. What guards life is told all the same, whatever the channel says.
#[tokio::test]
async fn what_guards_life_is_told_again_whatever_is_answered() {
    let mut building = building().await;
    building.now = crate::journal::now();
    building.set(TRAPPED, true).await;
    let crew = Scripted::new(|_| Reply::Take);
    let mail = Scripted::new(|number| {
        if number < 6 {
            Reply::Refuse
        } else {
            Reply::Take
        }
    });
    let running = run(building.journal, &crew, &mail, quick());
    running.wait_for_rows(&["crew sent 1", "mail sent 6"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_no_channel_takes_was_told_to_nobody() {
    let mut building = building().await;
    building.now = crate::journal::now();
    let mut effects = zhiban_core::Effects::default();
    let model = building.journal.model().clone();
    let point = model.point_by_key(DOOR).unwrap();
    let batch = zhiban_core::SampleBatch {
        asset: model.point(point).asset,
        at: building.now,
        samples: vec![zhiban_core::Sample {
            point,
            value: Some(zhiban_core::Value::Flag(true)),
            quality: zhiban_core::Quality::Good,
        }],
        retained: false,
    };
    let (input, now) = (zhiban_core::Input::Samples(batch), building.now);
    building.facility.handle(input, now, &mut effects).unwrap();
    let mut step = Building::step(effects.records, now);
    step.outbox.clear();
    building.journal.commit(&step).await.unwrap();
    let order = building.facility.snapshot(now).work_orders;
    let no = order.keys().next().unwrap().clone();
    let told = building.journal.told(About::Order(no)).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].reached, &told[0].channel),
        (Reached::Nobody, &None)
    );
}

/// Who reads the rows after the clock was set sees them as old as they are.
#[tokio::test]
async fn a_clock_that_was_set_forward_ages_no_message() {
    let mut building = building().await;
    building.now = crate::journal::now() - zhiban_core::Duration::from_secs(3600);
    building.set(DOOR, true).await;
    let step = crate::journal::Step {
        at: building.now,
        clock_set: Some(zhiban_core::Duration::from_secs(3600)),
        ..crate::journal::Step::default()
    };
    building.journal.commit(&step).await.unwrap();
    let due = queue::due(
        building.journal.store(),
        "crew",
        crate::journal::now(),
        DAY,
        1,
    );
    let due = due.await.unwrap();
    let age = crate::journal::now().since(due[0].created_at).to_std();
    assert!(age < Duration::from_secs(600), "{age:?}");
}

#[tokio::test]
async fn a_message_that_grew_too_old_is_given_up() {
    let mut building = building().await;
    building.now = crate::journal::now() - zhiban_core::Duration::from_secs(25 * 3600);
    building.set(DOOR, true).await;
    building.set(TRAPPED, true).await;
    let (fails, takes) = (
        Scripted::new(|_| Reply::Fail),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(building.journal, &fails, &takes, quick());
    let least = format!("crew dead {}", Pace::default().least);
    running
        .wait_for_rows(&["crew dead 1", "mail sent 1", &least, "mail sent 1"])
        .await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_delays_nothing() {
    let mut building = building().await;
    // The clock was a month ahead when these were made, and tried without success.
    let ahead = zhiban_core::Duration::from_secs(30 * 24 * 3600);
    building.now = crate::journal::now() + ahead;
    building.set(TRAPPED, true).await;
    let (crew, mail) = (
        Scripted::new(|number| if number < 2 { Reply::Fail } else { Reply::Take }),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(building.journal, &crew, &mail, quick());
    running.wait_for_rows(&["crew sent 2", "mail sent 1"]).await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_silences_no_message_it_holds() {
    let mut building = building().await;
    building.now = crate::journal::now();
    for asset in ["A1", "A2", "A3"] {
        for point in ["slow", "door_fault", "trapped"] {
            building.set(&format!("{asset}/{point}"), true).await;
        }
    }
    let read_only = async |on: &'static str| {
        let mut writer = building.journal.store().writer().await.unwrap();
        sqlx::query(on).execute(&mut *writer).await.unwrap();
    };
    read_only("pragma query_only = on").await;
    let (mail, crew) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|number| if number < 5 { Reply::Fail } else { Reply::Take }),
    );
    let store = building.journal.store().clone();
    let running = run(building.journal, &crew, &mail, quick());
    let ids = |given: Vec<Rendered>| -> Vec<String> {
        let ids: BTreeSet<String> = given.into_iter().map(|one| one.id).collect();
        ids.into_iter().collect()
    };
    let told = ids(mail.wait_for(9).await);
    assert_eq!(told.len(), 9, "each was told once");
    // What failed is tried again all the same.
    assert_eq!(ids(crew.wait_for(13).await), told);
    let mut writer = store.writer().await.unwrap();
    let writable = sqlx::query("pragma query_only = off");
    writable.execute(&mut *writer).await.unwrap();
    drop(writer);
    let sent = "select count(*) from outbox where status = 'sent'";
    let all_sent = async {
        let mut pulse = tokio::time::interval(Duration::from_millis(10));
        loop {
            pulse.tick().await;
            let row = sqlx::query(sent).fetch_one(store.readers()).await.unwrap();
            if row.try_get::<i64, _>(0).unwrap() == 18 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all_sent).await.unwrap();
    assert_eq!(mail.given.lock().unwrap().len(), 9, "nobody heard twice");
    drop(running);
}

#[tokio::test]
async fn a_channel_that_hangs_stops_no_other() {
    let mut building = building().await;
    for asset in ["A1", "A2", "A3"] {
        building.set(&format!("{asset}/door_fault"), true).await;
    }
    let (hangs, takes) = (
        Scripted::new(|_| Reply::Hang),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(building.journal, &hangs, &takes, quick());
    assert_eq!(takes.wait_for(3).await.len(), 3);
    assert_eq!(
        hangs.wait_for(2).await.len(),
        2,
        "no more than its share at once"
    );
    running
        .wait_for_rows(&[
            "crew pending 0",
            "mail sent 1",
            "crew pending 0",
            "mail sent 1",
            "crew pending 0",
            "mail sent 1",
        ])
        .await;
}

#[tokio::test]
async fn life_safety_goes_first_and_news_need_no_waiting() {
    let mut building = building().await;
    for asset in ["A1", "A2", "A3"] {
        building.set(&format!("{asset}/slow"), true).await;
    }
    building.set(TRAPPED, true).await;
    let (crew, mail) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|_| Reply::Take),
    );
    let Building {
        journal,
        mut facility,
        now,
        ..
    } = building;
    let running = run(journal, &crew, &mail, quick());
    assert!(crew.wait_for(4).await[0].life_safety);

    let mut effects = zhiban_core::Effects::default();
    let model = running.journal.model().clone();
    let point = model.point_by_key("A2/trapped").unwrap();
    let batch = zhiban_core::SampleBatch {
        asset: model.point(point).asset,
        at: now,
        samples: vec![zhiban_core::Sample {
            point,
            value: Some(zhiban_core::Value::Flag(true)),
            quality: zhiban_core::Quality::Good,
        }],
        retained: false,
    };
    let input = zhiban_core::Input::Samples(batch);
    facility.handle(input, now, &mut effects).unwrap();
    let step = Building::step(effects.records, now);
    running.journal.commit(&step).await.unwrap();
    running.wake.notify_one();
    assert_eq!(crew.wait_for(5).await[4].asset.code, "A2");
}

#[tokio::test]
async fn a_restart_sends_the_rest_and_nothing_twice() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    building.set(TRAPPED, true).await;
    let (takes, hangs) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|_| Reply::Hang),
    );
    let running = run(building.journal, &takes, &hangs, quick());
    takes.wait_for(2).await;
    running
        .wait_for_rows(&[
            "crew sent 1",
            "mail pending 0",
            "crew sent 1",
            "mail pending 0",
        ])
        .await;
    hangs.wait_for(2).await;
    let journal = running.stop().await;
    let (again, late) = (
        Scripted::new(|_| Reply::Take),
        Scripted::new(|_| Reply::Take),
    );
    let running = run(journal, &again, &late, quick());
    late.wait_for(2).await;
    running
        .wait_for_rows(&["crew sent 1", "mail sent 1", "crew sent 1", "mail sent 1"])
        .await;
    assert!(again.given.lock().unwrap().is_empty(), "sent is sent");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_told_all_the_same() {
    let mut building = building().await;
    let third = Scripted::new(|number| if number < 3 { Reply::Fail } else { Reply::Take });
    let takes = Scripted::new(|_| Reply::Take);
    let mut effects = zhiban_core::Effects::default();
    let model = building.journal.model().clone();
    let point = model.point_by_key(TRAPPED).unwrap();
    let batch = zhiban_core::SampleBatch {
        asset: model.point(point).asset,
        at: building.now,
        samples: vec![zhiban_core::Sample {
            point,
            value: Some(zhiban_core::Value::Flag(true)),
            quality: zhiban_core::Quality::Good,
        }],
        retained: false,
    };
    let input = zhiban_core::Input::Samples(batch);
    building
        .facility
        .handle(input, building.now, &mut effects)
        .unwrap();
    let running = run(building.journal, &third, &takes, quick());
    running.unrecorded.tell(&effects.records);
    let given = third.wait_for(3).await;
    assert!(
        given
            .iter()
            .all(|one| one.unrecorded && one.text.starts_with("【未入库】"))
    );
    assert!(
        takes.wait_for(1).await[0]
            .text
            .starts_with("[NOT RECORDED]")
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_read_holds_up_no_other() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    building.set(TRAPPED, true).await;
    let store = building.journal.store().clone();
    for damage in [
        "update notification set priority = 'x' where life_safety = 0",
        // What the message can do without is left out of it.
        "update notification set danger = 'x' where life_safety = 1",
    ] {
        let mut writer = store.writer().await.unwrap();
        sqlx::query(damage).execute(&mut *writer).await.unwrap();
    }
    let crew = Scripted::new(|_| Reply::Take);
    let mail = Scripted::new(|_| Reply::Take);
    let running = run(building.journal, &crew, &mail, quick());
    assert!(crew.wait_for(1).await[0].life_safety);
    let rows = ["crew dead 1", "mail dead 1", "crew sent 1", "mail sent 1"];
    running.wait_for_rows(&rows).await;
    assert_eq!(crew.wait_for(1).await.len(), 1);
    let standing = queue::standing(&store, zhiban_core::Timestamp::default());
    assert_eq!(standing.await.unwrap().dead, 2);
    running.stop().await;
}

/// A receiver that refuses is somebody else's fault, and seen; a queue that takes nothing is the gateway's.
#[tokio::test]
async fn a_receiver_that_fails_is_told_apart_from_a_queue_that_does() {
    let mut building = building().await;
    building.now = crate::journal::now();
    building.set(DOOR, true).await;
    let store = building.journal.store().clone();
    let crew = Scripted::new(|_| Reply::Take);
    let mail = Scripted::new(|_| Reply::Refuse);
    let running = run(building.journal, &crew, &mail, quick());
    running.wait_for_rows(&["crew sent 1", "mail dead 1"]).await;
    let words = "0 waiting, 0 of them failing, 1 given up within a day, 0 of those guard life; \
                 channels: mail";
    // The line may have been written between the two messages: it is written again.
    let told = running.wait_for_check("deliveries", false, words).await;
    assert_eq!((told.critical, told.detail.as_str()), (false, words));
    let queue = running.wait_for_check("outbox", true, "").await;
    assert!(queue.critical, "without it nobody is told");

    let mut writer = store.writer().await.unwrap();
    let gone = "alter table delivery rename to elsewhere";
    sqlx::query(gone).execute(&mut *writer).await.unwrap();
    let again = "update outbox set status = 'pending', due_at = 0 where channel = 'crew'";
    sqlx::query(again).execute(&mut *writer).await.unwrap();
    drop(writer);
    running.wake.notify_one();
    let broken = running.wait_for_check("outbox", false, "").await;
    assert!(broken.detail.contains("delivery"), "{broken:?}");
    let mut writer = store.writer().await.unwrap();
    let back = "alter table elsewhere rename to delivery";
    sqlx::query(back).execute(&mut *writer).await.unwrap();
    drop(writer);
    running.wait_for_check("outbox", true, "").await;
}

#[test]
fn waits_grow_to_the_longest_and_differ() {
    let pace = Pace::default();
    for attempt in 1..40 {
        let waits: Vec<_> = (0..50).map(|_| pace.wait(attempt)).collect();
        assert!(
            waits
                .iter()
                .all(|wait| (pace.first..=pace.longest).contains(wait))
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{attempt}");
    }
}

#[tokio::test]
async fn what_waits_for_a_channel_that_is_gone_is_given_to_those_that_take_it_now() {
    let mut building = building().await;
    building.set(TRAPPED, true).await;
    let store = building.journal.store().clone();
    let route = |name: &str| Route {
        channel: name.to_owned(),
        // What guards life goes to every channel, whatever it takes otherwise.
        reasons: Vec::new(),
        priorities: Vec::new(),
    };
    let rows = async || -> Vec<(String, String, i64)> {
        let sql = "select notification, channel, due_at from outbox order by notification, channel";
        let rows = sqlx::query(sql).fetch_all(store.readers()).await.unwrap();
        let read = |row: &sqlx::any::AnyRow| {
            (
                row.get("notification"),
                row.get("channel"),
                row.get("due_at"),
            )
        };
        rows.iter().map(read).collect()
    };
    let before = rows().await;
    assert!(
        before
            .iter()
            .all(|(_, channel, _)| channel == "crew" || channel == "mail"),
        "{before:?}"
    );
    let messages = before
        .iter()
        .filter(|(_, channel, _)| channel == "crew")
        .count();
    let served = ["crew2".to_owned(), "desk".to_owned()];
    let routes = Routes::new(served.iter().map(|name| route(name)).collect());
    let now = building.now;
    let handed = queue::hand_over(&store, &served, &routes, now)
        .await
        .unwrap();
    assert!(handed > 0);
    let after = rows().await;
    for name in &served {
        let of_it = after
            .iter()
            .filter(|(_, channel, due)| channel == name && *due == now.millis());
        assert_eq!(of_it.count(), messages, "{after:?}");
    }
    // Once is enough, also when two channels were taken out.
    let again = queue::hand_over(&store, &served, &routes, now)
        .await
        .unwrap();
    assert_eq!((again, rows().await.len()), (0, after.len()));
    // Nobody takes it: it waits for its channel to come back.
    let none = Routes::new(Vec::new());
    assert_eq!(queue::hand_over(&store, &[], &none, now).await.unwrap(), 0);
    assert_eq!(rows().await, after);
    let standing = queue::standing(&store, now - zhiban_core::Duration::from_secs(86_400));
    let standing = standing.await.unwrap();
    assert_eq!(
        (standing.pending, standing.dead),
        (2, 0),
        "nothing is missed"
    );
}

#[tokio::test]
async fn what_waits_for_a_channel_that_is_gone_is_given_up_after_a_day() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let store = building.journal.store().clone();
    let served = ["crew".to_owned()];
    let day = zhiban_core::Duration::from_secs(24 * 3600);
    let early = queue::give_up_orphans(&store, &served, building.now - day).await;
    assert_eq!(early.unwrap(), 0);
    let late = queue::give_up_orphans(&store, &served, building.now + day).await;
    assert_eq!(late.unwrap(), 1, "only the channel that nobody serves");
    let standing = queue::standing(&store, building.now - day).await.unwrap();
    assert_eq!((standing.pending, standing.dead), (1, 1));
}
