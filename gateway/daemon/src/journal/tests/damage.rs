//! Damaged bits, missing files and refused records: a start always goes on with the best there is
//! and says so, and no record holds up another.

use super::building::{Building, DOOR, SLOW, TRAPPED, building, building_at, minutes, model};
use super::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zhiban_dashboard::ports::{OrderFilter, OrderRow};

/// Bits that are turned over, one a start.
const FLIPS: u64 = 60;

/// A record store with orders, closed: some are in a snapshot, some came later.
struct Kept {
    folder: TempDir,
    orders: Vec<OrderRow>,
    in_snapshot: usize,
}

async fn orders(journal: &Journal) -> Vec<OrderRow> {
    let all = OrderFilter {
        limit: 200,
        ..OrderFilter::default()
    };
    journal.work_orders(all).await.unwrap()
}

async fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let mut building = building_at(folder.path().join("core.db")).await;
    for asset in ["A1", "A2"] {
        building.set(&format!("{asset}/trapped"), true).await;
        building.set(&format!("{asset}/door_fault"), true).await;
    }
    let in_snapshot = orders(&building.journal).await.len();
    building.journal.take_snapshot().await.unwrap();
    for minute in 1..40 {
        building.now = minutes(minute);
        building.set("A3/slow", minute % 2 == 0).await;
        building.set("A3/door_fault", minute % 2 == 1).await;
    }
    let orders = orders(&building.journal).await;
    assert!(orders.len() > in_snapshot);
    building.journal.store.close().await;
    Kept {
        folder,
        orders,
        in_snapshot,
    }
}

/// The files of a record store in a folder of their own.
fn copy(from: &Path) -> (TempDir, PathBuf) {
    let spare = tempfile::tempdir().unwrap();
    std::fs::create_dir(spare.path().join("snapshots")).unwrap();
    for part in ["core.db", "core.db-wal"] {
        if from.join(part).exists() {
            std::fs::copy(from.join(part), spare.path().join(part)).unwrap();
        }
    }
    let snapshots = std::fs::read_dir(from.join("snapshots"));
    for snapshot in snapshots.into_iter().flatten() {
        let snapshot = snapshot.unwrap();
        let to = spare.path().join("snapshots").join(snapshot.file_name());
        std::fs::copy(snapshot.path(), to).unwrap();
    }
    let file = spare.path().join("core.db");
    (spare, file)
}

/// Starts on the file and raises an alarm, as any night would.
async fn starts_and_commits(file: &Path) -> (Building, usize) {
    let mut building = building_at(file.to_owned()).await;
    let before = orders(&building.journal).await.len();
    building.now = minutes(100);
    let point = building.journal.model().point_by_key("A3/trapped").unwrap();
    let batch = zhiban_core::SampleBatch {
        asset: building.journal.model().point(point).asset,
        at: building.now,
        samples: vec![zhiban_core::Sample {
            point,
            value: Some(Value::Flag(true)),
            quality: zhiban_core::Quality::Good,
        }],
        retained: false,
    };
    let mut effects = zhiban_core::Effects::default();
    let input = zhiban_core::Input::Samples(batch);
    building
        .facility
        .handle(input, building.now, &mut effects)
        .unwrap();
    assert!(!effects.records.is_empty(), "an alarm is raised");
    let step = Building::step(effects.records, building.now);
    // As the engine does: a record that is refused holds up no other.
    match building.journal.commit(&step).await {
        Err(error) if error.is_of_a_record() => {
            building.journal.commit_apart(&step).await.unwrap();
        }
        done => done.unwrap(),
    }
    let after = orders(&building.journal).await.len() + aside::count(file);
    assert!(after > before, "{after}, {before}");
    (building, before)
}

#[tokio::test]
async fn one_damaged_bit_never_keeps_the_gateway_from_recording() {
    let kept = kept().await;
    let bytes = std::fs::read(kept.folder.path().join("core.db")).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut good, mut older, mut repaired) = (0, 0, 0);
    for _ in 0..FLIPS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let place = usize::try_from(seed % bytes.len() as u64).unwrap();
        let bit = 1 << ((seed >> 40) % 8);
        let (_spare, file) = copy(kept.folder.path());
        let mut damaged = bytes.clone();
        damaged[place] ^= bit;
        std::fs::write(&file, &damaged).unwrap();
        let (building, before) = starts_and_commits(&file).await;
        match building.journal.notice() {
            None => {
                let aside = aside::count(&file);
                assert!(aside < 3, "byte {place}: {aside} set aside");
                assert!(
                    before + aside >= kept.orders.len(),
                    "byte {place}: orders are missing"
                );
                good += 1;
            }
            Some(notice) if notice.contains("no record is lost") => {
                assert_eq!(before, kept.orders.len(), "byte {place}: {notice}");
                repaired += 1;
            }
            Some(notice) => {
                assert!(notice.contains("snapshot core-"), "byte {place}: {notice}");
                let said = ["Work orders that were open", "cannot be read any more"];
                assert!(
                    said.iter().any(|said| notice.contains(said)),
                    "byte {place}: {notice}"
                );
                assert_eq!(before, kept.in_snapshot, "byte {place}: {notice}");
                let aside = files::named(file.parent().unwrap(), "core.db.damaged-", "Z");
                assert_eq!(std::fs::read(&aside[0]).unwrap(), damaged, "it is kept");
                older += 1;
            }
        }
        building.journal.store.close().await;
    }
    assert!(
        good > 0 && older > 0 && repaired > 0,
        "{good} {older} {repaired}"
    );
}

/// One bit in the log took away all that was committed behind it, without a word.
#[tokio::test]
async fn one_damaged_bit_in_the_log_loses_no_record_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut building = building_at(folder.path().join("core.db")).await;
    for minute in 1..12 {
        building.now = minutes(minute);
        building.set("A3/slow", minute % 2 == 0).await;
        building.set("A3/door_fault", minute % 2 == 1).await;
    }
    let steps = "select count(*) from alarm_event";
    let known = count(&building.journal, steps).await;
    assert!(known > 15);
    // As after a kill: nothing is closed.
    let bytes = std::fs::read(folder.path().join("core.db-wal")).unwrap();
    assert_eq!(log::look(&bytes), log::Found::Whole);
    let (mut all, mut less) = (0, 0);
    let places = (0..24)
        .map(|n| n * bytes.len() / 24 + 97 * n % 4000)
        .chain([3, 10, 17, 25, 34, 41, 50]);
    for place in places {
        let (_spare, file) = copy(folder.path());
        let wal = files::with(&file, "-wal");
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        std::fs::write(&wal, &damaged).unwrap();
        let found = building_at(file.clone()).await;
        let now = count(&found.journal, steps).await;
        // The last transaction alone could be one that a power cut tore.
        let last = log::look(&damaged) == log::Found::Torn;
        match found.journal.notice() {
            Some(notice) if notice.contains("All records in it are read") => {
                assert_eq!(now, known, "byte {place}: {notice}");
                all += 1;
            }
            Some(notice) => {
                assert!(notice.contains("is missing"), "byte {place}: {notice}");
                less += 1;
            }
            None => assert!(
                now == known || last,
                "byte {place}: {now} of {known} without a word"
            ),
        }
        found.journal.store.close().await;
    }
    assert!(all > 10, "{all} whole, {less} not");
}

/// As when the log that held all tables is gone.
#[tokio::test]
async fn a_file_without_tables_beside_snapshots_is_no_new_one() {
    let kept = kept().await;
    let (_spare, file) = copy(kept.folder.path());
    for part in ["", "-wal"] {
        drop(std::fs::remove_file(files::with(&file, part)));
    }
    let new = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&new).await.unwrap();
    sqlx::query("pragma user_version = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    assert!(std::fs::metadata(&file).unwrap().len() > 0);
    let found = building_at(file).await;
    assert_eq!(orders(&found.journal).await.len(), kept.in_snapshot);
    let notice = found.journal.notice().unwrap();
    assert!(notice.contains("it holds no tables"), "{notice}");
}

/// A power cut tears the last transaction at most: that is no damage, and nothing that was confirmed.
#[tokio::test]
async fn the_torn_end_of_a_log_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut building = building_at(folder.path().join("core.db")).await;
    building.set(DOOR, true).await;
    building.now = minutes(1);
    building.set(SLOW, true).await;
    let bytes = std::fs::read(folder.path().join("core.db-wal")).unwrap();
    for cut in [bytes.len() - 1, bytes.len() - 4096, bytes.len() - 4121] {
        assert_eq!(log::look(&bytes[..cut]), log::Found::Whole);
    }
    let mut torn = bytes.clone();
    let end = torn.len() - 100;
    torn[end..].fill(0);
    assert_eq!(log::look(&torn), log::Found::Torn);
}

#[tokio::test]
async fn a_missing_or_empty_file_is_noticed_where_there_is_a_snapshot() {
    let kept = kept().await;
    for empty in [false, true] {
        let (_spare, file) = copy(kept.folder.path());
        if empty {
            std::fs::write(&file, "").unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        let (building, before) = starts_and_commits(&file).await;
        assert_eq!(before, kept.in_snapshot);
        let notice = building.journal.notice().unwrap();
        assert!(
            notice.contains(if empty { "empty" } else { "missing" }),
            "{notice}"
        );
        building.journal.store.close().await;
    }
}

#[tokio::test]
async fn without_a_good_snapshot_an_empty_store_is_begun_and_says_so() {
    let kept = kept().await;
    let (_spare, file) = copy(kept.folder.path());
    std::fs::write(&file, "这不是数据库 ".repeat(1000)).unwrap();
    for snapshot in snapshot::all(&file) {
        std::fs::write(snapshot, "neither is this").unwrap();
    }
    let (building, before) = starts_and_commits(&file).await;
    assert_eq!(before, 0);
    let notice = building.journal.notice().unwrap();
    assert!(notice.contains("empty record store"), "{notice}");
    assert!(notice.contains("kept as core.db.damaged-"), "{notice}");
    building.journal.store.close().await;
}

/// Breaks rows by hand, in a store that nobody works on.
async fn break_rows(file: &Path, sql: &'static str) -> u64 {
    let store = Store::open(file).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let done = sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
    done.rows_affected()
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_no_other() {
    let kept = kept().await;
    for (broken, mended) in [
        (
            "update work_order set status = 'apprpved' where id = (select max(id) from work_order)",
            ("apprpved", "approved"),
        ),
        (
            "update work_order set no = 'XO' || substr(no, 3) where id = (select max(id) from work_order)",
            ("XO-", "WO-"),
        ),
        (
            "insert into work_order_part (work_order, id, name, quantity, by_whom, at) \
             select max(id), 1, 'door contact', -7, 'li', 0 from work_order",
            ("-7", "7000"),
        ),
    ] {
        let (_spare, file) = copy(kept.folder.path());
        assert_eq!(break_rows(&file, broken).await, 1);
        let (building, before) = starts_and_commits(&file).await;
        assert_eq!(before, kept.orders.len() - 1, "only that one is missing");
        assert_eq!(building.journal.notice(), None, "nothing was replaced");
        let list = aside::list(&file).unwrap();
        assert_eq!(list.len(), 1, "{list:?}");
        assert!(list[0].contains("cannot be read"), "{list:?}");
        let numbers = orders(&building.journal).await;
        let numbers: Vec<_> = numbers.iter().map(|one| &one.order.no).collect();
        let last = &kept.orders.iter().map(|one| &one.order.no).max().unwrap();
        assert!(
            !numbers.contains(last),
            "its number is its own: {numbers:?}"
        );

        // Mended by hand it is written again.
        let path = aside::file(&file);
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rows) = text.split_once("\"rows\"").unwrap();
        let mended = text.replace(rows, &rows.replacen(mended.0, mended.1, 1));
        std::fs::write(&path, mended).unwrap();
        let store = building.journal.store();
        assert_eq!(aside::replay(store).await.unwrap(), (1, 0));
        assert!(orders(&building.journal).await.len() > kept.orders.len());
        building.journal.store.close().await;
    }
}

#[tokio::test]
async fn an_open_alarm_that_cannot_be_read_is_set_aside_and_can_be_raised_again() {
    let kept = kept().await;
    let (_spare, file) = copy(kept.folder.path());
    let broken = "update alarm set place = '{' where rule = 'entrapment' and asset = 'A1'";
    assert_eq!(break_rows(&file, broken).await, 1);
    let mut building = building_at(file.clone()).await;
    assert_eq!(building.journal.notice(), None);
    assert_eq!(aside::count(&file), 1);
    building.now = minutes(100);
    building.set("A1/trapped", true).await;
    let open =
        "select count(*) from alarm where rule = 'entrapment' and asset = 'A1' and active = 1";
    assert_eq!(count(&building.journal, open).await, 1);
    building.journal.store.close().await;
}

/// Errors that say nothing of the file.
#[test]
fn only_a_damaged_file_means_damage() {
    let row = JournalError::Row {
        table: "alarm",
        key: "1".to_owned(),
        what: String::new(),
    };
    for error in [
        row,
        JournalError::Other(sqlx::Error::PoolClosed),
        JournalError::Io(sqlx::Error::WorkerCrashed),
        JournalError::Full(sqlx::Error::PoolTimedOut),
    ] {
        assert!(!error.means_damage(), "{error}");
    }
    assert!(JournalError::Corrupt(sqlx::Error::PoolClosed).means_damage());
    assert!(check::damaged(Path::new("core.db"), "").means_damage());
}

#[tokio::test]
async fn a_file_that_is_removed_replaced_or_emptied_under_the_gateway_takes_nothing_more() {
    for what in ["removed", "replaced", "emptied"] {
        let mut building = building().await;
        building.set(DOOR, true).await;
        let file = building.file();
        match what {
            "emptied" => std::fs::File::options()
                .write(true)
                .truncate(true)
                .open(&file)
                .map(drop),
            "replaced" => std::fs::copy(&file, file.with_extension("other"))
                .and_then(|_| std::fs::rename(file.with_extension("other"), &file)),
            _ => std::fs::remove_file(&file),
        }
        .unwrap();
        let step = Step {
            inbox: vec![InboxKey {
                hash: [1; 16],
                unique: true,
            }],
            ..Step::default()
        };
        let error = building.journal.commit(&step).await.unwrap_err();
        assert!(error.is_of_the_file(), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        if what == "removed" {
            building.journal.store.rescue().await.unwrap();
            building.journal.store.close().await;
            let found = building_at(file.clone()).await;
            assert_eq!(orders(&found.journal).await.len(), 1);
            let notice = found.journal.notice().unwrap();
            assert!(notice.contains("no record is lost"), "{notice}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_removed_under_the_gateway_is_copied_into_the_file() {
    for replaced in [false, true] {
        let mut building = building().await;
        building.set(DOOR, true).await;
        let file = building.file();
        let log = file.with_extension("db-wal");
        std::fs::remove_file(&log).unwrap();
        if replaced {
            std::fs::write(&log, "").unwrap();
        }
        let step = Step {
            inbox: vec![InboxKey {
                hash: [1; 16],
                unique: true,
            }],
            ..Step::default()
        };
        let error = building.journal.commit(&step);
        let error = error.await.unwrap_err();
        assert!(error.is_of_the_file(), "{error}");
        building.journal.store.rescue().await.unwrap();
        // As after a kill: what is in the file is all there is.
        let copy = file.with_extension("copy");
        std::fs::copy(&file, &copy).unwrap();
        let found = building_at(copy).await;
        assert_eq!(orders(&found.journal).await.len(), 1);
    }
}

/// The store knows an open alarm that memory does not know: the next one of its rule conflicts.
async fn plant_a_conflict(journal: &Journal) {
    let mut transaction = journal.store.begin().await.unwrap();
    let row = "insert into alarm (id, asset, rule, title_zh, title_en, priority, active, latched, \
        raised_at, out_of_service) values (900, 'A1', 'door', '', '', 2, 1, 0, 1000, 0)";
    sqlx::query(row).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_refused_is_set_aside_and_holds_up_no_other() {
    let mut building = building().await;
    plant_a_conflict(&building.journal).await;
    let mut records = Vec::new();
    for (key, at) in [(DOOR, 1), (TRAPPED, 2), (SLOW, 3)] {
        building.now = minutes(at);
        let point = building.journal.model().point_by_key(key).unwrap();
        let mut effects = zhiban_core::Effects::default();
        let input = zhiban_core::Input::Samples(zhiban_core::SampleBatch {
            asset: building.journal.model().point(point).asset,
            at: building.now,
            samples: vec![zhiban_core::Sample {
                point,
                value: Some(Value::Flag(true)),
                quality: zhiban_core::Quality::Good,
            }],
            retained: false,
        });
        let now = building.now;
        building.facility.handle(input, now, &mut effects).unwrap();
        records.append(&mut effects.records);
    }
    let step = Building::step(records, minutes(3));
    let error = building.journal.commit(&step).await.unwrap_err();
    assert!(error.is_of_a_record(), "{}", error.chain());
    assert_eq!(orders(&building.journal).await.len(), 0, "all or nothing");

    assert_eq!(building.journal.commit_apart(&step).await.unwrap(), 1);
    assert_eq!(orders(&building.journal).await.len(), 3);
    let alarms = "select count(*) from alarm where id <> 900";
    assert_eq!(count(&building.journal, alarms).await, 2);
    let told = count(&building.journal, "select count(*) from outbox").await;
    assert_eq!(told, 6, "whoever is to be told is told");
    let list = aside::list(&building.file()).unwrap();
    assert_eq!(list.len(), 1);
    assert!(
        list[0].contains("alarm, alarm_event") && list[0].contains("contradicts"),
        "{list:?}"
    );

    // Nothing helps yet; then what stood in the way is gone.
    let store = building.journal.store();
    assert_eq!(aside::replay(store).await.unwrap(), (0, 1));
    let mut transaction = store.begin().await.unwrap();
    let away = "delete from alarm where id = 900";
    sqlx::query(away).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    // A damaged line beside it, and one that a power cut left half-written, cost it nothing.
    let path = aside::file(&building.file());
    let mut bytes = b"{\"at\": \xff\xfe}\n".to_vec();
    bytes.extend(std::fs::read(&path).unwrap());
    bytes.extend(b"{\"at\"");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(aside::count(&building.file()), 3);
    assert!(aside::list(&building.file()).unwrap()[0].contains("cannot be read"));
    assert_eq!(aside::replay(store).await.unwrap(), (1, 2));
    assert_eq!(
        aside::count(&building.file()),
        2,
        "what cannot be read stays"
    );
    std::fs::remove_file(&path).unwrap();
    building.kill_and_restart().await;
    assert_eq!(building.snapshot().alarms.len(), 3);
}

#[tokio::test]
async fn snapshots_are_kept_by_number_and_the_newest_stays() {
    let building = building().await;
    let file = building.file();
    assert!(snapshot::is_due(&file), "there is none");
    for _ in 0..9 {
        building.journal.take_snapshot().await.unwrap();
    }
    let all = snapshot::all(&file);
    assert_eq!(all.len(), 7);
    assert!(!snapshot::is_due(&file), "one is new");
    let found = check::at_rest(&all[0]).await.unwrap();
    assert!(found.wrong.is_empty(), "{found:?}");
    assert_eq!(model(1, &[]).assets.len(), 1);
}

#[tokio::test]
async fn a_snapshot_of_a_clock_that_was_ahead_is_the_last_one_used_and_the_first_to_go() {
    let mut building = building().await;
    let file = building.file();
    let old = snapshot::take(&file).await.unwrap();
    let folder = old.parent().unwrap().to_owned();
    let ahead = folder.join("core-20361124T000000000Z.db");
    std::fs::rename(&old, &ahead).unwrap();
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 365 * 86_400);
    let open = std::fs::File::options().write(true).open(&ahead).unwrap();
    open.set_modified(then).unwrap();
    assert!(
        snapshot::is_due(&file),
        "what is to come is no snapshot of today"
    );
    building.set(DOOR, true).await;
    let new = snapshot::take(&file).await.unwrap();
    assert!(!snapshot::is_due(&file));
    assert_eq!(
        snapshot::all(&file),
        [new, ahead.clone()],
        "the one of today is the newest"
    );
    for _ in 0..7 {
        snapshot::take(&file).await.unwrap();
    }
    assert!(!ahead.exists(), "and the other one goes first");
    assert_eq!(snapshot::all(&file).len(), 7);
}

/// An order with a photo on disk, as the records name it.
async fn with_photo(building: &mut Building) -> PathBuf {
    building.set(DOOR, true).await;
    let photo = building
        .file()
        .with_file_name("photos")
        .join("0123456789abcdef0123456789abcdef");
    std::fs::create_dir_all(photo.parent().unwrap()).unwrap();
    std::fs::write(&photo, "abc").unwrap();
    let row = "insert into work_order_photo select id, 1, '0123456789abcdef0123456789abcdef', \
        'before', 'image/jpeg', 3, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', \
        'li', 0 from work_order limit 1";
    let mut transaction = building.journal.store.begin().await.unwrap();
    sqlx::query(row).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    photo
}

#[tokio::test]
async fn a_backup_brings_back_records_and_photos_of_one_moment() {
    let mut building = building().await;
    let photo = with_photo(&mut building).await;
    let tar = building.file().with_extension("tar");
    let made = backup::make(&building.file(), &tar).await.unwrap();
    assert_eq!((made.work_orders, made.photos), (1, 1));
    assert!(made.missing.is_empty());

    building.set(TRAPPED, true).await;
    std::fs::remove_file(&photo).unwrap();
    let again = backup::make(&building.file(), &tar.with_extension("2"))
        .await
        .unwrap();
    assert_eq!(again.missing.len(), 1, "a photo that is not there is named");
    assert_eq!(unpack(&tar, &building).await.unwrap(), made);
    assert!(backup::waits(&building.file()));
    assert!(
        !backup::put_in_place_now(&building.file()).await.unwrap(),
        "somebody works on it"
    );
    building.kill_and_restart().await;
    assert!(!backup::waits(&building.file()));
    assert_eq!(orders(&building.journal).await.len(), 1);
    assert_eq!(std::fs::read(&photo).unwrap(), b"abc");
    let kept = files::named(
        building.file().parent().unwrap(),
        "core.db.before-restore-",
        "Z",
    );
    assert_eq!(kept.len(), 1, "what was replaced is kept");
}

#[tokio::test]
async fn what_stands_is_raised_again_after_a_restore_and_what_was_open_is_named() {
    let mut building = building().await;
    building.set("A2/slow", true).await;
    let tar = building.file().with_extension("tar");
    backup::make(&building.file(), &tar).await.unwrap();
    building.now = minutes(1);
    building.set(TRAPPED, true).await;
    building.set(DOOR, true).await;
    let trapped = building.journal.model().point_by_key(TRAPPED).unwrap();
    // As a panel says it once, in a message that the broker will not send again.
    let said = Step {
        at: building.now,
        points: vec![(trapped, Value::Flag(true), building.now)],
        ..Step::default()
    };
    building.journal.commit(&said).await.unwrap();
    unpack(&tar, &building).await.unwrap();
    building.kill_and_restart().await;
    let notice = building.journal.notice().unwrap();
    for named in [
        "A1 Passengers trapped; A1 Door fault",
        "WO-",
        "before-restore",
    ] {
        assert!(notice.contains(named), "{notice}");
    }
    assert!(!notice.contains("A2"), "it is in the backup: {notice}");
    building.now = minutes(2);
    building.handle(zhiban_core::Input::Tick).await.unwrap();
    let model = building.journal.model().clone();
    let raised: Vec<String> = building
        .snapshot()
        .alarms
        .values()
        .map(|alarm| model.rule(alarm.rule).rule.id.clone())
        .collect();
    assert_eq!(raised, ["slow", "entrapment"]);
}

#[tokio::test]
async fn two_do_not_restore_at_once() {
    let building = building().await;
    let held = backup::only_one(&building.file()).unwrap();
    let error = backup::only_one(&building.file()).unwrap_err();
    assert!(error.to_string().contains("Nothing was changed"), "{error}");
    drop(held);
    backup::only_one(&building.file()).unwrap();
}

#[tokio::test]
async fn a_photo_that_no_record_names_is_not_put_in_place() {
    let mut building = building().await;
    let photo = with_photo(&mut building).await;
    let tar = building.file().with_extension("tar");
    backup::make(&building.file(), &tar).await.unwrap();
    let stray = photo.with_file_name("f".repeat(32));
    let whole = std::fs::read(&tar).unwrap();
    let mut longer = tar::Builder::new(Vec::new());
    let mut archive = tar::Archive::new(whole.as_slice());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        longer.append(&entry.header().clone(), entry).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    let name = format!("photos/{}", "f".repeat(32));
    longer.append_data(&mut header, name, &b"abc"[..]).unwrap();
    std::fs::write(&tar, longer.into_inner().unwrap()).unwrap();
    unpack(&tar, &building).await.unwrap();
    building.kill_and_restart().await;
    assert!(photo.exists());
    assert!(!stray.exists());
}

async fn unpack(tar: &Path, building: &Building) -> Result<backup::Contents, backup::BackupError> {
    let input = std::fs::File::open(tar).unwrap();
    backup::unpack(tar, input, &building.file()).await
}

#[tokio::test]
async fn a_backup_replaces_nothing_but_a_file_and_leaves_nothing_behind() {
    let mut building = building().await;
    building.set(DOOR, true).await;
    let folder = building.file().parent().unwrap().to_owned();
    let (own, link) = (folder.join("own.tar"), folder.join("link.tar"));
    backup::make(&building.file(), &own).await.unwrap();
    std::os::unix::fs::symlink(&own, &link).unwrap();
    let error = backup::make(&building.file(), &link).await.unwrap_err();
    assert!(
        error.to_string().contains("write - for standard output"),
        "{error}"
    );
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let killed = folder.join(".zhiban-backup-killed");
    std::fs::create_dir(&killed).unwrap();
    std::fs::write(killed.join("core.db"), "a copy").unwrap();
    building.kill_and_restart().await;
    assert!(!killed.exists());
    assert!(own.exists());
}

#[tokio::test]
async fn what_is_no_whole_backup_changes_nothing() {
    let mut building = building().await;
    with_photo(&mut building).await;
    let tar = building.file().with_extension("tar");
    backup::make(&building.file(), &tar).await.unwrap();
    let bytes = std::fs::read(&tar).unwrap();
    let cut = bytes.len() / 2;
    // Between the records and the photo.
    let border = bytes
        .windows(7)
        .rposition(|some| some == b"photos/")
        .unwrap();
    // One letter of a text, which no check of the structure sees.
    let mut flipped = bytes.clone();
    let place = flipped.windows(8).rposition(|some| some == b"approved");
    flipped[place.unwrap()] ^= 0x01;
    let mut photo = bytes.clone();
    let place = photo.windows(3).rposition(|some| some == b"abc").unwrap();
    photo[place] = b'x';
    for wrong in [
        &b"no archive"[..],
        &bytes[..cut],
        &bytes[..border],
        &flipped,
        &photo,
    ] {
        std::fs::write(&tar, wrong).unwrap();
        let error = unpack(&tar, &building).await.unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert!(!backup::waits(&building.file()));
        assert!(!building.file().with_file_name("restore.new").exists());
    }
}
