//! The history from outside: what goes in comes out, over stops, damage and restarts.

mod measures;

use super::*;
use zhiban_core::alarm::rule::AlarmRule;
use zhiban_core::model::{AssetSpec, Location, Policy, Site};
use zhiban_core::{PointId, Quality, Text, Timestamp, Value};
use zhiban_dashboard::ports::{Aggregation, History, Number, Series, SeriesQuery};

/// A row of a profile: its name, kind and deadband.
pub(crate) fn row(point: &str, kind: &str, deadband: f64) -> String {
    format!(
        "[[point]]\npoint = \"{point}\"\nname = {{ zh = \"点\", en = \"point\" }}\n\
         kind = \"{kind}\"\ndeadband = {deadband:?}\n"
    )
}

/// A row of a measured value.
pub(crate) fn analog(point: &str, deadband: f64) -> String {
    row(point, "analog", deadband)
}

/// A site `tower` with one pump set `P1` that has these points.
pub(crate) fn model(rows: Vec<String>) -> Model {
    model_with(rows, Vec::new())
}

/// The same, with rules.
pub(crate) fn model_with(rows: Vec<String>, rules: Vec<Arc<AlarmRule>>) -> Model {
    let profile = format!(
        "id = \"p\"\nclass = \"pump_set\"\ntitle = {{ zh = \"泵\", en = \"pump\" }}\n\
         trust = \"bench\"\nsource = \"test\"\n{}",
        rows.concat()
    );
    let site = Site {
        code: "tower".to_owned(),
        name: Text::new("楼", "Tower"),
        time_zone: chrono_tz::UTC,
    };
    let asset = AssetSpec {
        code: "P1".to_owned(),
        name: Text::new("泵", "Pump"),
        location: Some(Location {
            code: "B2".to_owned(),
            name: Text::new("地下二层", "Basement 2"),
        }),
        profile: Arc::new(toml::from_str(&profile).unwrap()),
        link: "l".to_owned(),
        disabled: false,
        stale_after: Duration::from_secs(10),
        rules,
    };
    Model::build(site, vec![asset], Vec::new(), Policy::default()).unwrap()
}

fn update() -> PointUpdate {
    PointUpdate {
        point: PointId(0),
        value: Some(Value::Number(1.0)),
        quality: Quality::Good,
        at: Timestamp::from_millis(1),
        changed: true,
    }
}

#[tokio::test]
async fn a_full_queue_drops_what_nobody_waits_for_and_keeps_the_rest() {
    let (handle, mut queue) = HistoryHandle::channel();
    let tracker = TaskTracker::new();
    for _ in 0..QUEUE + 5 {
        handle.store(vec![update()], Vec::new(), Vec::new(), &tracker);
    }
    let (durable, mut answer) = oneshot::channel();
    handle.store(vec![update()], Vec::new(), vec![durable], &tracker);
    for _ in 0..QUEUE {
        assert!(queue.recv().await.unwrap().durable.is_empty());
    }
    let last = queue.recv().await.unwrap();
    assert_eq!(last.durable.len(), 1);
    assert!(
        answer.try_recv().is_err(),
        "not answered before it is on disk"
    );
    assert!(queue.try_recv().is_err());
}

#[tokio::test]
async fn nothing_to_store_is_durable_at_once() {
    let (handle, _queue) = HistoryHandle::channel();
    let (durable, answer) = oneshot::channel();
    handle.store(Vec::new(), Vec::new(), vec![durable], &TaskTracker::new());
    assert_eq!(answer.await, Ok(()));
}

/// A history over a file of its own.
struct Bench {
    folder: tempfile::TempDir,
    model: Arc<Model>,
    options: Options,
}

/// A history at work.
struct Running {
    handle: Option<HistoryHandle>,
    embedded: Embedded,
    health: HistoryHealth,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = vec![
            analog("level", 0.0),
            row("running", "flag", 0.0),
            row("mode", "enum", 0.0),
        ];
        let options = Options::new(folder.path().join("telemetry.db"));
        let model = Arc::new(model(rows));
        Self {
            folder,
            model,
            options,
        }
    }

    async fn start(&self) -> Running {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let started = start(
            self.options.clone(),
            self.model.clone(),
            stop.clone(),
            &tracker,
        );
        let (handle, embedded, health) = started.await.unwrap();
        Running {
            handle: Some(handle),
            embedded,
            health,
            stop,
            tracker,
        }
    }

    async fn refused(&self) -> HistoryError {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let started = start(self.options.clone(), self.model.clone(), stop, &tracker);
        started.await.err().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

fn real(value: f64) -> Option<Number> {
    Some(Number::Real(value))
}

impl Running {
    /// Stores updates; returns when they are on disk.
    async fn store(&self, updates: Vec<PointUpdate>) -> bool {
        let (durable, answer) = oneshot::channel();
        let handle = self.handle.as_ref().unwrap();
        handle.store(updates, Vec::new(), vec![durable], &self.tracker);
        answer.await.is_ok()
    }

    async fn stop(mut self) {
        self.handle = None;
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    async fn series(&self, point: &str, from: i64, to: i64, agg: Aggregation) -> Series {
        let query = SeriesQuery {
            key: format!("P1/{point}"),
            from: Timestamp::from_millis(from),
            to: Timestamp::from_millis(to),
            px: 1000,
            agg,
        };
        self.embedded.series(query).await.unwrap()
    }

    async fn values(&self, from: i64, to: i64) -> Vec<(i64, Option<f64>)> {
        let series = self.series("level", from, to, Aggregation::Raw).await;
        let times = series.t.iter().map(|t| t.millis());
        let values = series.last.into_iter();
        times
            .zip(values.map(|one| one.map(Number::as_f64)))
            .collect()
    }
}

fn level(at: i64, value: f64) -> PointUpdate {
    PointUpdate {
        value: Some(Value::Number(value)),
        at: Timestamp::from_millis(at),
        ..update()
    }
}

/// Each second another value.
fn ramp(from: i64, seconds: std::ops::Range<i64>) -> Vec<PointUpdate> {
    let one = |second: i64| level(from + second * 1000, second as f64 / 10.0);
    seconds.map(one).collect()
}

fn expected(from: i64, seconds: std::ops::Range<i64>) -> Vec<(i64, Option<f64>)> {
    let one = |second: i64| (from + second * 1000, Some(second as f64 / 10.0));
    seconds.map(one).collect()
}

#[tokio::test]
async fn what_is_answered_is_there_after_a_start_without_a_stop() {
    let bench = Bench::new();
    let from = wall() - 600_000;
    let first = bench.start().await;
    assert!(first.store(ramp(from, 0..100)).await);
    assert_eq!(
        first.values(from, wall()).await.len(),
        101,
        "and the gap at the end"
    );
    // As a kill leaves it: the file and its log, copied while they are in use.
    let copy = Bench::new();
    for name in bench.names() {
        std::fs::copy(
            bench.folder.path().join(&name),
            copy.folder.path().join(&name),
        )
        .unwrap();
    }
    let second = copy.start().await;
    assert!(second.store(ramp(from, 100..200)).await);
    let values = second.values(from, from + 200_000).await;
    assert_eq!(values, expected(from, 0..200));
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn segments_and_memory_are_one_series() {
    let mut bench = Bench::new();
    // So little that every flush begins a segment, while the next samples already come.
    bench.options.memory = 100;
    let from = wall() - 1_000_000;
    let running = bench.start().await;
    for part in 0..20 {
        let seconds = part * 50..(part + 1) * 50;
        assert!(running.store(ramp(from, seconds)).await);
        let all = part * 50 + 50;
        let values = running.values(from, from + all * 1000).await;
        assert!(values == expected(from, 0..all), "after part {part}");
    }
    let db = running.embedded.store.db();
    running.stop().await;
    drop(db);
    let again = bench.start().await;
    // Answered when what was in the journal is in memory again.
    assert!(again.store(ramp(from, 1000..1001)).await);
    let values = again.values(from, from + 1_000_000).await;
    assert!(values == expected(from, 0..1000));
    let db = again.embedded.store.db();
    assert!(db.cursor(CHUNKS).await.unwrap() > 10, "segments were made");
    assert!(db.newest_segment().await.unwrap() > 0);
    again.stop().await;
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_read_back_from_the_journal() {
    let mut bench = Bench::new();
    // Nothing fits while a segment is written.
    (bench.options.memory, bench.options.ahead) = (0, 0);
    let from = wall() - 1_000_000;
    let running = bench.start().await;
    for part in 0..200 {
        let seconds = part * 5..(part + 1) * 5;
        assert!(running.store(ramp(from, seconds)).await);
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while running.values(from, from + 1_000_000).await != expected(from, 0..1000) {
        assert!(tokio::time::Instant::now() < deadline, "not all came back");
        tokio::task::yield_now().await;
    }
    let resident = running.embedded.recent.lock().unwrap().resident();
    assert!(
        resident < 1 << 20,
        "{resident} bytes for a thousand samples"
    );
    running.stop().await;
    let again = bench.start().await;
    let all = expected(from, 0..1000);
    while again.values(from, from + 1_000_000).await != all {
        assert!(tokio::time::Instant::now() < deadline, "not all came back");
        tokio::task::yield_now().await;
    }
    again.stop().await;
}

#[tokio::test]
async fn a_series_is_bucketed_when_it_does_not_fit() {
    let bench = Bench::new();
    let from = wall() - 20_000_000;
    let running = bench.start().await;
    assert!(running.store(ramp(from, 0..10_000)).await);
    let fits = running
        .series("level", from, from + 1_500_000, Aggregation::Auto)
        .await;
    assert_eq!((fits.step_ms, fits.t.len()), (0, 1500));
    let series = running
        .series("level", from, from + 10_000_000, Aggregation::Auto)
        .await;
    assert_eq!(series.step_ms, 10_001);
    assert_eq!(
        (series.min[0], series.max[0], series.last[0]),
        (real(0.0), real(1.0), real(1.0))
    );
    // Over months, the heads of chunks are enough.
    let months = running
        .series("level", from - 90 * 86_400_000, wall(), Aggregation::Auto)
        .await;
    assert!(months.step_ms > 3_600_000);
    let highest = months.max.iter().flatten().map(|one| one.as_f64());
    let highest = highest.fold(0.0, f64::max);
    assert_eq!(highest, 999.9);
    // What has no series, or no point, is empty.
    for (point, from, to) in [("mode", 0, 9), ("nothing", 0, 9), ("level", 9, 9)] {
        let none = running.series(point, from, to, Aggregation::Auto).await;
        assert_eq!(none, Series::default());
    }
    running.stop().await;
}

#[tokio::test]
async fn an_idle_hour_takes_few_samples_and_no_gap() {
    let bench = Bench::new();
    let from = wall() - 3_600_000;
    let running = bench.start().await;
    let still = (0..3600).map(|second| level(from + second * 1000, 5.0));
    assert!(running.store(still.collect()).await);
    let raw = running
        .series("level", from, from + 3_600_000, Aggregation::Raw)
        .await;
    assert_eq!(raw.t.len(), 60);
    let series = running
        .series("level", from, from + 3_599_000, Aggregation::MinMax)
        .await;
    assert!(series.last.iter().all(|value| *value == real(5.0)));
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_at_the_start() {
    let bench = Bench::new();
    std::fs::write(
        &bench.options.path,
        "not a database at all, and long enough to tell".repeat(99),
    )
    .unwrap();
    let running = bench.start().await;
    assert!(running.store(ramp(wall(), 0..3)).await);
    let checks = running.health.checks();
    assert!(!checks[0].ok && checks[0].detail.contains("telemetry.db.corrupt-"));
    assert!(!checks[0].critical);
    assert!(bench.names().iter().any(|name| name.contains(".corrupt-")));
    running.stop().await;
}

#[tokio::test]
async fn a_file_damaged_while_in_use_is_set_aside_and_nothing_stops() {
    let bench = Bench::new();
    let from = wall() - 600_000;
    let first = bench.start().await;
    assert!(first.store(ramp(from, 0..300)).await);
    first.stop().await;
    let running = bench.start().await;
    assert!(running.store(ramp(from, 300..301)).await);
    let db = running.embedded.store.db();
    let mut next = 301;
    loop {
        db.checkpoint().await;
        let mut bytes = std::fs::read(&bench.options.path).unwrap();
        let (_, pages) = bytes.split_at_mut(4096);
        pages.fill(0xa5);
        std::fs::write(&bench.options.path, &bytes).unwrap();
        next += 1;
        // Whoever meets the damage first is not answered: this batch, or work of the task's own.
        let answered = running.store(ramp(from, next - 1..next)).await;
        if !answered || !running.health.checks()[0].ok {
            break;
        }
        // The task had read pages again before they were damaged, and wrote on from memory.
        assert!(next < 400, "the damage is never met");
    }
    // Into the new file goes what was in memory, too.
    assert!(running.store(ramp(from, next..500)).await);
    let check = &running.health.checks()[0];
    assert!(!check.ok && check.detail.contains(".corrupt-"), "{check:?}");
    let values = running.values(from, from + 500_000).await;
    assert!(values == expected(from, 0..500));
    running.stop().await;
}

#[tokio::test]
async fn a_newer_file_is_refused_and_not_touched() {
    let bench = Bench::new();
    bench.start().await.stop().await;
    let path = bench.options.path.display();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{path}"))
        .await
        .unwrap();
    sqlx::raw_sql("pragma user_version = 99")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let before = std::fs::read(&bench.options.path).unwrap();
    let error = bench.refused().await;
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(std::fs::read(&bench.options.path).unwrap(), before);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let mut bench = Bench::new();
    bench.options.path = bench.folder.path().join("missing/telemetry.db");
    let error = bench.refused().await.to_string();
    assert!(
        error.contains("missing/telemetry.db") && error.contains("folder"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_disk_holds_up_nobody_and_loses_nothing_that_fits_in_memory() {
    let bench = Bench::new();
    let from = wall() - 6_000_000;
    let running = bench.start().await;
    assert!(running.store(ramp(from, 0..10)).await);
    let db = running.embedded.store.db();
    db.limit_pages(1).await;
    // What the samples decided is in core.db: a broker that were not answered would bring no more.
    assert!(running.store(ramp(from, 10..5000)).await);
    assert!(!running.health.checks()[0].ok);
    db.limit_pages(1_000_000).await;
    assert!(running.store(ramp(from, 5000..5500)).await);
    assert!(running.health.checks()[0].ok);
    let values = running.values(from, from + 5_500_000).await;
    assert!(values == expected(from, 0..5500));
    running.stop().await;
}

#[tokio::test]
async fn a_full_file_stops_no_start_and_no_number_comes_to_mean_another_point() {
    let mut bench = Bench::new();
    let from = wall() - 6_000_000;
    let running = bench.start().await;
    assert!(running.store(ramp(from, 0..10)).await);
    running.stop().await;

    // The disk takes no row of a new point, and a kill left chunks of a segment that never counted.
    let url = format!("sqlite://{}", bench.options.path.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let run = async |sql: &'static str| sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    run("insert into chunk (t0, point, n, first, last, body) values (9000000000000, 1, 1, 1, 1, x'00'); \
         create trigger full before insert on point begin select raise(abort, 'full'); end")
    .await;
    bench.model = Arc::new(model(vec![analog("flow", 0.0), analog("level", 0.0)]));
    let running = bench.start().await;
    assert!(
        running.store(ramp(from, 20..30)).await,
        "it holds up nobody"
    );
    assert!(!running.health.checks()[0].ok);
    let db = running.embedded.store.db();
    let (points, seq) = (db.points().await.unwrap(), db.last_seq().await.unwrap());
    assert_eq!(
        (points.len(), seq),
        (3, 1),
        "nothing is written under a number nobody knows"
    );

    run("drop trigger full").await;
    assert!(running.store(ramp(from, 30..40)).await);
    assert!(running.health.checks()[0].ok);
    assert_eq!(db.points().await.unwrap().len(), 4);
    let rest = "select count(*) from chunk where t0 = 9000000000000";
    let orphans: i64 = sqlx::query_scalar(rest).fetch_one(&pool).await.unwrap();
    assert_eq!(orphans, 0);
    pool.close().await;
    running.stop().await;
}

#[tokio::test]
async fn a_new_file_that_takes_no_points_takes_no_rows_under_their_numbers() {
    let mut bench = Bench::new();
    // More points than the first page of their table holds; a small row of the journal fits.
    let more = (0..300).map(|n| analog(&format!("p{n}"), 0.0));
    let rows = std::iter::once(analog("level", 0.0)).chain(more);
    bench.model = Arc::new(model(rows.collect()));
    let from = wall() - 600_000;
    let running = bench.start().await;
    assert!(running.store(ramp(from, 0..3)).await);
    let store = &running.embedded.store;
    store.full.store(true, std::sync::atomic::Ordering::Relaxed);
    // As for a damaged file, a new one is begun in its place.
    store.db().close().await;
    assert!(running.store(ramp(from, 3..4)).await);
    assert!(running.store(ramp(from, 4..5)).await);
    let db = store.db();
    assert_eq!(db.points().await.unwrap().len(), 0);
    assert_eq!(db.rows_after(0, 1).await.unwrap(), []);
    db.limit_pages(1_000_000).await;
    assert!(running.store(ramp(from, 5..6)).await);
    assert!(running.health.checks()[0].detail.contains(".corrupt-"));
    assert_eq!(db.points().await.unwrap().len(), 301);
    assert_eq!(db.rows_after(0, 1).await.unwrap().len(), 1);
    running.stop().await;
}

#[test]
fn a_clock_that_was_set_deletes_nothing() {
    let mut running = tokio::time::Instant::now();
    let hour = std::time::Duration::from_secs(3601);
    let year = 365 * 86_400_000;
    let mut clock = writer::Steady::new(0, running);
    assert!(
        !clock.may_forget(0, running),
        "nobody knows yet whether it is right"
    );
    running += hour;
    assert!(clock.may_forget(3_601_000, running));
    assert!(!clock.may_forget(year, running), "it jumped");
    running += hour;
    assert!(
        clock.may_forget(year + 3_601_000, running),
        "it went on from there"
    );
    assert!(!clock.may_forget(3_601_000, running), "it was set back");
}

#[tokio::test]
async fn rows_go_when_every_sink_has_passed_and_segments_when_they_are_old() {
    let bench = Bench::new();
    let running = bench.start().await;
    let db = running.embedded.store.db();
    db.set_sinks(&[CHUNKS, INFLUXDB]).await.unwrap();
    for part in 0..3 {
        assert!(running.store(ramp(wall(), part * 9..part * 9 + 9)).await);
    }
    db.set_cursor(CHUNKS, 3).await.unwrap();
    assert_eq!(db.trim().await.unwrap(), 0);
    db.set_cursor(INFLUXDB, 2).await.unwrap();
    assert_eq!(db.trim().await.unwrap(), 2);
    let (sent, oldest) = db.behind(INFLUXDB).await.unwrap();
    assert!(sent == 2 && oldest.is_some());
    let now = wall() + 1;
    assert_eq!(db.give_up_before(INFLUXDB, now, now).await.unwrap(), 9);
    assert_eq!(db.trim().await.unwrap(), 1);
    assert_eq!(db.last_seq().await.unwrap(), 3, "no number is given twice");

    db.put_segment(1000, 1, 2, CHUNKS, 3).await.unwrap();
    assert!(!db.expire(1000).await.unwrap());
    assert!(db.expire(1001).await.unwrap());
    assert!(!db.expire(i64::MAX).await.unwrap());
    running.stop().await;
}

#[tokio::test]
async fn a_row_of_a_clock_that_was_ahead_switches_no_limit_off() {
    let bench = Bench::new();
    let running = bench.start().await;
    let db = running.embedded.store.db();
    db.set_sinks(&[CHUNKS, INFLUXDB]).await.unwrap();
    let now = 1_000_000;
    let row = |seq, t| store::JournalRow {
        seq,
        t,
        count: 10,
        body: Vec::new(),
    };
    // Written while the clock was ahead, and after it was set right.
    let rows = [row(1, 9_000_000), row(2, 100_000), row(3, 900_000)];
    db.append(&rows).await.unwrap();
    let lost = db.give_up_before(INFLUXDB, 500_000, now).await.unwrap();
    assert_eq!(lost, 20, "what lies before an old row is as old");
    let next = db.behind(INFLUXDB).await.unwrap();
    assert_eq!(next, (2, Some(900_000)));
    let lost = db.give_up_before(INFLUXDB, 500_000, now).await.unwrap();
    assert_eq!(lost, 0);
    running.stop().await;
}

#[tokio::test]
async fn only_so_many_refused_lines_are_kept() {
    let bench = Bench::new();
    let running = bench.start().await;
    let db = running.embedded.store.db();
    let lines: Vec<(String, String)> = (0..700)
        .map(|n| (format!("line {n}"), "why".to_owned()))
        .collect();
    db.quarantine(1, &lines).await.unwrap();
    db.quarantine(2, &lines).await.unwrap();
    assert_eq!(db.quarantined().await, 1000);
    running.stop().await;
}
