//! What a start does with a file that is not of its version or not its own: one clear sentence, and
//! the file as it was.

use super::building::{DOOR, SLOW, TRAPPED, building, minutes, model};
use super::*;
use std::path::Path;
use zhiban_dashboard::ports::OrderFilter;

async fn refusal(file: &Path) -> JournalError {
    let opened = Journal::open(file, model(1, &[]), minutes(0)).await;
    opened.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let building = building().await;
    let mut transaction = building.journal.store.begin().await.unwrap();
    let newer = sqlx::query("insert into schema_version (version) values (99)");
    newer.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let file = building.file();
    drop(building.journal);
    let error = refusal(&file).await;
    assert!(
        matches!(error, JournalError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("newer version"), "{error}");
}

/// Every byte that a start could change.
fn bytes_of(file: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let folder = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_none_or(|end| end != "lock"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_newer_file_is_refused_as_it_is_in_whatever_mode() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let mut newer = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let tables = "pragma journal_mode = delete; create table schema_version (version integer); \
                  insert into schema_version values (99)";
    sqlx::raw_sql(tables).execute(&mut newer).await.unwrap();
    sqlx::Connection::close(newer).await.unwrap();
    let before = bytes_of(&file);
    let error = refusal(&file).await;
    assert!(
        matches!(error, JournalError::Newer { found: 99, .. }),
        "{error}"
    );
    assert_eq!(bytes_of(&file), before);
}

/// Limit, due time and what was left of each order, -1 for none.
async fn limits(store: &Store) -> Vec<String> {
    let limits = "select coalesce(limit_ms, -1) || ' ' || coalesce(due_at, -1) || ' ' || \
        coalesce(due_left, -1) from work_order order by id";
    let rows = sqlx::query(limits).fetch_all(store.readers()).await;
    let rows = rows.unwrap();
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

#[tokio::test]
async fn the_tables_of_an_older_program_are_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let mut older = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let first = include_str!("../../../migrations/core/0001_records.sql");
    sqlx::raw_sql(first).execute(&mut older).await.unwrap();
    let mark = "create table schema_version (version integer primary key); \
                insert into schema_version values (1)";
    sqlx::raw_sql(mark).execute(&mut older).await.unwrap();
    // One that waits, one of which people were told that nobody took it, one in work.
    for (id, status) in [
        (1, "approved"),
        (2, "assigned"),
        (3, "in_progress"),
        (4, "on_hold"),
    ] {
        let order = "insert into work_order (id, no, kind, status, priority, asset, title_zh, \
            title_en, fault_family, alarms, occurrences, close_policy, created_at, due_at, version) \
            values ($1, $1, 'corrective', $2, 2, 'A1', '', '', $1, '', 1, 'verify', 1000, 10000, 1)";
        let order = sqlx::query(order).bind(id).bind(status);
        order.execute(&mut older).await.unwrap();
    }
    let told = "insert into work_order_event \
        (work_order, version, at, change, from_status, to_status) \
        values (2, 1, 1000, 'escalated', 'assigned', 'assigned'), \
        (4, 1, 3000, 'moved', 'in_progress', 'on_hold')";
    sqlx::query(told).execute(&mut older).await.unwrap();
    sqlx::Connection::close(older).await.unwrap();
    // While another gateway works on it nobody changes it, and its own program does.
    let lock = file.with_extension("db.lock");
    let held = std::fs::File::create(lock).unwrap();
    held.try_lock().unwrap();
    let beside = Store::open_beside(&file).await.map(drop).unwrap_err();
    assert!(matches!(beside, JournalError::Older(_)), "{beside}");
    assert!(matches!(refusal(&file).await, JournalError::InUse(_)));
    drop(held);
    let store = Store::open(&file).await.unwrap();
    let before = snapshot::all(&file);
    assert_eq!(before.len(), 1, "{before:?}");
    let found = check::at_rest(&before[0]).await.unwrap();
    assert_eq!(found.version, 1, "the snapshot is of before");
    let parts = sqlx::query("select * from work_order_part");
    let parts = parts.fetch_all(store.readers()).await.unwrap();
    assert!(parts.is_empty());
    let patience = "select escalate_at from work_order order by id";
    let patience: Vec<Option<i64>> = sqlx::query(patience)
        .fetch_all(store.readers())
        .await
        .unwrap()
        .iter()
        .map(|row| sqlx::Row::get(row, 0))
        .collect();
    assert_eq!(patience, [Some(601_000), None, None, None]);
    let limits = limits(&store).await;
    // The last is on hold since 3000: its clock stands.
    assert_eq!(
        limits,
        [
            "9000 10000 -1",
            "9000 10000 -1",
            "9000 10000 -1",
            "9000 -1 7000"
        ]
    );
}

#[tokio::test]
async fn a_person_at_the_prompt_keeps_no_gateway_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.db");
    let prompt = Store::open_beside(&file).await.unwrap();
    let gateway = Store::open(&file).await.unwrap();
    prompt.close().await;
    gateway.close().await;
}

#[tokio::test]
async fn two_gateways_do_not_share_a_file() {
    let building = building().await;
    let error = refusal(&building.file()).await;
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("data");
    std::fs::write(&in_the_way, "a file").unwrap();
    let error = refusal(&in_the_way.join("core.db")).await;
    assert!(matches!(error, JournalError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("data"), "{error}");
}

#[tokio::test]
async fn a_lock_that_is_removed_is_taken_anew_before_somebody_else_takes_it() {
    let building = building().await;
    let store = building.journal.store();
    let lock = building.file().with_file_name("core.db.lock");
    std::fs::remove_file(&lock).unwrap();
    store.refuse_if_gone().unwrap();
    assert!(matches!(
        Store::open(&building.file()).await,
        Err(JournalError::InUse(_))
    ));
    // Somebody was sooner.
    std::fs::remove_file(&lock).unwrap();
    let other = std::fs::File::create(&lock).unwrap();
    other.try_lock().unwrap();
    let error = store.refuse_if_gone().unwrap_err();
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
    drop(other);
    store.refuse_if_gone().unwrap();
}

#[tokio::test]
async fn what_is_no_longer_configured_is_counted_listed_and_comes_back() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    building.set(TRAPPED, true).await;
    building.set("A3/door_fault", true).await;
    building.set(SLOW, true).await;
    let before = building.snapshot();

    // Without A3, and without the rule "slow".
    building.restart_with(model(2, &["slow"])).await;
    let gone = building.journal.unconfigured();
    assert_eq!((gone.alarms, gone.work_orders), (2, 1));
    let told = gone.told().unwrap();
    assert!(told.contains("A3 "), "{told}");
    assert_eq!(building.snapshot().alarms.len(), 2);
    assert_eq!(building.snapshot().work_orders.len(), 3);
    let alarms = building.journal.alarms(AlarmFilter {
        limit: 200,
        ..AlarmFilter::default()
    });
    let titles: Vec<_> = alarms
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.title.zh)
        .collect();
    assert_eq!(titles, ["运行缓慢", "门系统故障", "电梯困人", "门系统故障"]);
    let orders = building.journal.work_orders(OrderFilter {
        asset: Some("A3".to_owned()),
        limit: 200,
        ..OrderFilter::default()
    });
    assert_eq!(orders.await.unwrap()[0].asset, "A3");

    // An order whose rule is not known changes, and keeps its rule.
    let no = before.work_orders.values().last().unwrap().no.clone();
    building
        .command(Command::CommentWorkOrder {
            no: no.clone(),
            by: "li".to_owned(),
            comment: "on it".to_owned(),
        })
        .await;
    building.restart_with(model(3, &[])).await;
    assert_eq!(*building.journal.unconfigured(), Unconfigured::default());
    assert_eq!(building.snapshot().alarms, before.alarms);
    let order = &building.snapshot().work_orders[&no];
    assert_eq!(order.rule, before.work_orders[&no].rule);
    assert!(order.version > before.work_orders[&no].version);
}
