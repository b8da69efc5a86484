//! Feeds InfluxDB 2 from the journal: rows behind a cursor, sent until the server has them.
//!
//! This is the only file that knows the client crate. Its calls run in a task of their own, so that
//! a panic inside it is an error here; its query functions are never used. A row that was sent twice
//! is the same point twice, so whatever is in doubt is sent again.

mod pace;

use self::pace::{PROBE, Pace};
use super::codec::Row;
use super::dictionary::Dictionary;
use super::health::HistoryHealth;
use super::line_protocol::{Encoder, Lines};
use super::store::{Db, JournalRow, Store};
use super::{HistoryError, INFLUXDB, count_dropped, wall};
use crate::config::read_secret;
use flate2::Compression;
use flate2::write::GzEncoder;
use influxdb2::api::buckets::ListBucketsRequest;
use influxdb2::api::organization::ListOrganizationRequest;
use influxdb2::api::task::{CreateTaskRequest, ListTasksRequest};
use influxdb2::api::write::TimestampPrecision;
use influxdb2::models::{PostBucketRequest, RetentionRule, retention_rule};
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest_for_influxdb2::Url;
use reqwest_for_influxdb2::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bytes of the journal in one batch; about four times as many in line protocol.
const BATCH: usize = 256 << 10;

/// So many rows behind the newest are a backlog.
const BEHIND: i64 = 16;

/// How long a field of another type is left out before it is tried again.
const LEFT_OUT: Duration = Duration::from_secs(3600);

/// Different complaints of the server that are remembered, so that each is logged once.
const COMPLAINTS: usize = 1000;

/// Where InfluxDB is and what goes there.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its address, for example `http://127.0.0.1:8086`.
    pub url: String,
    /// The organisation's name.
    pub org: String,
    /// The bucket; made when it is missing and the token may.
    pub bucket: String,
    /// The token.
    pub token: SecretString,
    /// The file that the token came from: one that is refused may be renewed there.
    pub token_file: Option<PathBuf>,
    /// How long a bucket that is made here keeps its data; zero keeps it for ever.
    pub retention: zhiban_core::Duration,
    /// The most lines in one write.
    pub batch_lines: u32,
    /// How long lines wait for more of them.
    pub batch_wait: zhiban_core::Duration,
    /// How long one request may take.
    pub timeout: zhiban_core::Duration,
}

impl Options {
    /// The usual way to write to a bucket.
    pub fn new(url: &str, org: &str, bucket: &str, token: SecretString) -> Self {
        Self {
            url: url.to_owned(),
            org: org.to_owned(),
            bucket: bucket.to_owned(),
            token,
            token_file: None,
            retention: zhiban_core::Duration::ZERO,
            batch_lines: 5000,
            batch_wait: zhiban_core::Duration::from_secs(1),
            timeout: zhiban_core::Duration::from_secs(10),
        }
    }
}

/// Why a request did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    /// It may pass: no connection, no answer, too much at once, the server's own trouble.
    #[error("{0}")]
    Passing(String),
    /// Somebody must change something: the token, the organisation, the bucket.
    #[error("{0}")]
    Configuration(String),
    /// The server takes less at once.
    #[error("the server takes less at once")]
    TooLarge,
    /// Some line cannot be taken, and nothing of the batch was kept.
    #[error("{0}")]
    BadLine(String),
    /// Some points cannot be taken; everything else was kept.
    #[error("{0}")]
    Partial(String),
    /// Lines with this field cannot be taken, since the server knows it by another type.
    #[error("field {field} of {measurement} is of another type in the bucket")]
    Conflict {
        /// The measurement.
        measurement: String,
        /// The field.
        field: String,
    },
}

impl From<RequestError> for Fault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Http { status, text } => Fault::of_answer(status.as_u16(), text),
            // The source names the address and what failed; it never holds the token.
            RequestError::ReqwestProcessing { source } => Fault::Passing(chain(&source)),
            RequestError::Serializing { .. } | RequestError::Deserializing { .. } => {
                Fault::Passing(error.to_string())
            }
        }
    }
}

impl Fault {
    fn of_answer(status: u16, text: String) -> Self {
        let said = format!("InfluxDB says {status}: {}", shortened(&text));
        match status {
            400 if text.contains("unable to parse") => Fault::BadLine(shortened(&text)),
            413 => Fault::TooLarge,
            422 if text.contains("partial write") => {
                conflict(&text).unwrap_or_else(|| Fault::Partial(shortened(&text)))
            }
            422 => Fault::BadLine(shortened(&text)),
            400 | 401 | 403 | 404 => Fault::Configuration(said),
            // What it says to a token that may make no task; asking again changes nothing.
            500 if text.contains("unauthorized") => Fault::Configuration(said),
            _ => Fault::Passing(said),
        }
    }
}

/// The field that an answer names as the one of another type.
fn conflict(text: &str) -> Option<Fault> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let message = json.get("message")?.as_str()?;
    let (_, rest) = message.split_once("field type conflict: input field \"")?;
    let (field, rest) = rest.split_once("\" on measurement \"")?;
    let (measurement, _) = rest.split_once("\" is type")?;
    Some(Fault::Conflict {
        measurement: measurement.to_owned(),
        field: field.to_owned(),
    })
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// What the server wrote, short enough for a log.
fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}

/// What came of lines that the server did not take as they were.
#[derive(Debug, Default)]
struct Leavings {
    /// Lines that cannot be taken, each with the reason.
    refused: Vec<(String, String)>,
    /// Points whose fields are of another type there.
    conflicts: BTreeSet<u32>,
    /// Lines, not points, of which the server says that it did not take them.
    left_out: usize,
}

fn count_lines(outcome: &'static str, lines: usize) {
    let total = metrics::counter!("zhiban_influxdb_lines_total", "outcome" => outcome);
    total.increment(lines as u64);
}

/// How far a batch brought the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing is left to send.
    Done,
    /// There may be more.
    More,
}

/// What is new goes on its own way while there is a backlog: the newest rows are sent first, and the
/// cursor follows through the rows behind it. Where the gateway ends meanwhile, they are sent twice.
struct Live {
    /// The file whose rows these are.
    db: Arc<Db>,
    /// The last row of the backlog.
    backlog: i64,
    /// The last row that was sent.
    sent: i64,
}

/// The task that feeds InfluxDB.
pub(super) struct Sink {
    options: Options,
    store: Store,
    encoder: Encoder,
    health: HistoryHealth,
    /// How far the journal goes.
    grown: watch::Receiver<i64>,
    /// Asks about buckets and tasks.
    client: Client,
    /// Writes; on the way over a network its bodies are compressed.
    writer: Client,
    compress: bool,
    dictionary: Arc<Dictionary>,
    /// Present while there is a backlog.
    live: Option<Live>,
    /// Points left out because the bucket knows their fields by another type, and until when.
    left_out: BTreeSet<u32>,
    left_out_until: Instant,
    /// Why buckets or tasks could not be made.
    unmade: Option<String>,
    complaints: BTreeSet<String>,
}

fn store_fails(error: sqlx::Error) -> Fault {
    Fault::Passing(format!("telemetry.db: {error}"))
}

/// The address of a server, if it is one: the client crate panics on what is none, and forgets a
/// path.
pub(crate) fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = ["http", "https"].contains(&url.scheme()) && ["", "/"].contains(&url.path());
    plain.then_some(url)
}

impl Sink {
    /// Prepares the clients; nothing is sent yet.
    pub(super) fn new(
        options: Options,
        store: Store,
        (site, dictionary): (&str, Arc<Dictionary>),
        health: HistoryHealth,
        grown: watch::Receiver<i64>,
    ) -> Result<Self, HistoryError> {
        let wrong = || HistoryError::Url {
            url: options.url.clone(),
        };
        let url = address(&options.url).ok_or_else(wrong)?;
        let compress = !matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut gzip = HeaderMap::new();
        if compress {
            gzip.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // From now on it is asked for, even before anything was tried.
        health.influxdb(|_| {});
        Ok(Self {
            client: client(&options, HeaderMap::new())?,
            writer: client(&options, gzip)?,
            options,
            store,
            encoder: Encoder::new(site, &dictionary),
            dictionary,
            health,
            grown,
            compress,
            live: None,
            left_out: BTreeSet::new(),
            left_out_until: Instant::now(),
            unmade: None,
            complaints: BTreeSet::new(),
        })
    }

    /// Works until stopped. What is under way then is sent again at the next start.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.feed() => {}
        }
    }

    async fn feed(&mut self) {
        let mut ready = false;
        let mut pace = Pace::default();
        let mut held = false;
        self.report(None).await;
        loop {
            let begun = Instant::now();
            let fault = match self.attempt(&mut ready).await {
                Ok(progress) => {
                    pace.succeeded();
                    held = false;
                    self.report(None).await;
                    if progress == Progress::Done {
                        self.wait_for_more().await;
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            self.report(Some(&fault)).await;
            ready = false;
            // The first time at once: a bucket that was deleted may be made again.
            let at_once = matches!(fault, Fault::Configuration(_)) && !held;
            held = matches!(fault, Fault::Configuration(_));
            if !at_once && !self.renew_token() {
                tokio::time::sleep(pace.failed(begun.elapsed())).await;
            }
        }
    }

    /// Makes sure that the server is there, when that is not known, and sends some.
    async fn attempt(&mut self, ready: &mut bool) -> Result<Progress, Fault> {
        if !*ready {
            self.prepare().await?;
            *ready = true;
        }
        self.send_batch().await
    }

    /// Reads the token again where it came from; whether there is another one now.
    fn renew_token(&mut self) -> bool {
        let Some(file) = &self.options.token_file else {
            return false;
        };
        let Ok(token) = read_secret("token", Some(file), None) else {
            return false;
        };
        if token.expose_secret() == self.options.token.expose_secret() {
            return false;
        }
        self.options.token = token;
        let mut gzip = HeaderMap::new();
        if self.compress {
            gzip.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let made = client(&self.options, HeaderMap::new())
            .and_then(|asks| Ok((asks, client(&self.options, gzip)?)));
        match made {
            Ok((asks, writes)) => (self.client, self.writer) = (asks, writes),
            Err(error) => tracing::error!(%error, "the new token of InfluxDB is of no use"),
        }
        tracing::info!("the token of InfluxDB was read again");
        true
    }

    /// Waits until the journal has grown, and then for some company.
    async fn wait_for_more(&mut self) {
        if self.grown.changed().await.is_err() {
            // The journal is closed; the stop is near.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.options.batch_wait.to_std()).await;
        self.grown.mark_unchanged();
    }

    /// Says how it is, and in the log when that changed.
    async fn report(&self, fault: Option<&Fault>) {
        let behind = self.store.db().behind(INFLUXDB).await;
        if let Ok((sent, _)) = behind {
            let rows = *self.grown.borrow() - sent;
            metrics::gauge!("zhiban_influxdb_rows_behind").set(rows as f64);
        }
        let fault = fault.map(|fault| match &self.unmade {
            Some(unmade) => format!("{fault} ({unmade})"),
            None => fault.to_string(),
        });
        self.health.influxdb(|state| {
            match (&state.fault, &fault) {
                (None, Some(fault)) => tracing::warn!(fault, "InfluxDB does not get telemetry"),
                (Some(_), None) => tracing::info!("InfluxDB gets telemetry again"),
                (Some(_), Some(_)) | (None, None) => {}
            }
            state.fault = fault;
            if let Ok(behind) = behind {
                (state.sent, state.oldest) = behind;
            }
        });
    }

    /// Makes the buckets and the task where they are missing and the token may.
    async fn prepare(&mut self) -> Result<(), Fault> {
        let client = self.client.clone();
        let health = call(async move { client.health().await });
        tokio::time::timeout(PROBE, health)
            .await
            .map_err(|_| Fault::Passing("InfluxDB does not answer".to_owned()))??;
        let bucket = self.options.bucket.clone();
        let made = async {
            self.make_bucket(&bucket).await?;
            let fine = format!("{bucket}_5m");
            self.make_bucket(&fine).await?;
            self.make_task(&bucket, &fine).await
        };
        match made.await {
            Ok(()) => self.unmade = None,
            Err(passing @ Fault::Passing(_)) => return Err(passing),
            // A token that only writes is a good token; the write itself says what is wrong.
            Err(refused) => {
                let said = format!("buckets and tasks are left as they are: {refused}");
                self.complain(said.clone());
                self.unmade = Some(said);
            }
        }
        Ok(())
    }

    async fn make_bucket(&self, name: &str) -> Result<(), Fault> {
        let request = ListBucketsRequest {
            name: Some(name.to_owned()),
            org: Some(self.options.org.clone()),
            ..ListBucketsRequest::default()
        };
        let client = self.client.clone();
        let found = call(async move { client.list_buckets(Some(request)).await }).await;
        match found {
            Ok(found) if !found.buckets.is_empty() => return Ok(()),
            // The server says 404 when it knows no bucket of the name.
            Ok(_) | Err(Fault::Configuration(_)) => {}
            Err(fault) => return Err(fault),
        }
        let seconds = self.options.retention.millis() / 1000;
        let mut request = PostBucketRequest::new(self.org_id().await?, name.to_owned());
        if let Ok(seconds @ 1..) = i32::try_from(seconds) {
            let rule = RetentionRule::new(retention_rule::Type::Expire, seconds);
            request.retention_rules.push(rule);
        }
        let client = self.client.clone();
        call(async move { client.create_bucket(Some(request)).await }).await?;
        tracing::info!(bucket = name, "a bucket is made in InfluxDB");
        Ok(())
    }

    async fn org_id(&self) -> Result<String, Fault> {
        let request = ListOrganizationRequest {
            org: Some(self.options.org.clone()),
            ..ListOrganizationRequest::default()
        };
        let client = self.client.clone();
        let found = call(async move { client.list_organizations(request).await }).await?;
        let id = found.orgs.into_iter().find_map(|org| org.id);
        let org = &self.options.org;
        id.ok_or_else(|| Fault::Configuration(format!("the token sees no organisation \"{org}\"")))
    }

    /// Mean, lowest and highest of each five minutes, for charts over years.
    async fn make_task(&self, from: &str, to: &str) -> Result<(), Fault> {
        let name = format!("zhiban {from} 5m");
        let request = ListTasksRequest {
            name: Some(name.clone()),
            ..ListTasksRequest::default()
        };
        let client = self.client.clone();
        let found = call(async move { client.list_tasks(request).await }).await?;
        if !found.tasks.is_empty() {
            return Ok(());
        }
        let request = CreateTaskRequest {
            org: Some(self.options.org.clone()),
            ..CreateTaskRequest::new(down_sampling(&name, from, to))
        };
        let client = self.client.clone();
        call(async move { client.create_task(request).await }).await?;
        tracing::info!(task = name, "a down-sampling task is made in InfluxDB");
        Ok(())
    }

    /// Sends what is new and what is behind the cursor, a bounded amount of each, and moves the
    /// cursor on.
    async fn send_batch(&mut self) -> Result<Progress, Fault> {
        let db = self.store.db();
        // A file that was begun anew has other rows under the same numbers.
        self.live.take_if(|live| !Arc::ptr_eq(&live.db, &db));
        if let Some(sent) = self.live.as_ref().map(|live| live.sent) {
            let rows = db.rows_after(sent, BATCH).await.map_err(store_fails)?;
            let newest = self.send_kept(&db, &rows).await?;
            if let (Some(live), Some(newest)) = (&mut self.live, newest) {
                live.sent = newest;
            }
        }
        let cursor = db.cursor(INFLUXDB).await.map_err(store_fails)?;
        let mut rows = db.rows_after(cursor, BATCH).await.map_err(store_fails)?;
        let backlog = self.live.as_ref().map_or(i64::MAX, |live| live.backlog);
        rows.retain(|row| row.seq <= backlog);
        let Some(mut last) = self.send_kept(&db, &rows).await? else {
            // What was between has been given up for its age.
            return match self.live.take() {
                Some(live) => self.move_on(&db, live.sent.max(cursor)).await,
                None => Ok(Progress::Done),
            };
        };
        match &self.live {
            Some(live) if last >= live.backlog => {
                last = live.sent;
                self.live = None;
            }
            Some(_) => {}
            None => self.part(&db, last),
        }
        // Rows and cursor are of the same file: a file begun meanwhile is not touched.
        self.move_on(&db, last).await
    }

    async fn move_on(&self, db: &Arc<Db>, to: i64) -> Result<Progress, Fault> {
        db.set_cursor(INFLUXDB, to).await.map_err(store_fails)?;
        Ok(Progress::More)
    }

    /// Parts what is new from the backlog, when there is one behind the row that was sent last.
    fn part(&mut self, db: &Arc<Db>, sent: i64) {
        let newest = *self.grown.borrow();
        if newest > sent + BEHIND {
            self.live = Some(Live {
                db: db.clone(),
                backlog: newest,
                sent: newest,
            });
        }
    }

    /// Sends rows and keeps the lines that the server takes in no way. Says which row was the last.
    async fn send_kept(&mut self, db: &Arc<Db>, rows: &[JournalRow]) -> Result<Option<i64>, Fault> {
        let Some(last) = rows.last().map(|row| row.seq) else {
            return Ok(None);
        };
        let refused = self.send_rows(rows).await?;
        if !refused.is_empty() {
            let kept = db.quarantine(wall(), &refused).await;
            kept.map_err(store_fails)?;
        }
        Ok(Some(last))
    }

    /// Sends rows; again without the fields that the server knows by another type, since it keeps
    /// nothing of a line that has one. Gives back the lines that it takes in no way.
    async fn send_rows(&mut self, rows: &[JournalRow]) -> Result<Vec<(String, String)>, Fault> {
        if self.left_out_until < Instant::now() {
            self.left_out.clear();
        }
        loop {
            let mut lines = Lines::default();
            for row in rows {
                // A damaged row was counted when it was read for the history.
                if let Ok(row) = Row::from_bytes(&row.body) {
                    self.encoder.add(&row, &self.left_out, &mut lines);
                }
            }
            let mut leavings = self.send(&lines).await?;
            let known = self.left_out.len();
            self.left_out.append(&mut leavings.conflicts);
            if self.left_out.len() > known {
                self.left_out_until = Instant::now() + LEFT_OUT;
                continue;
            }
            let refused = leavings.refused.len() + leavings.left_out;
            let written = lines.len().saturating_sub(refused);
            count_lines("written", written);
            count_lines("refused", refused);
            count_dropped(lines.left_out, "influxdb_type_conflict");
            count_dropped(lines.misfits, "influxdb_misfit");
            if lines.misfits > 0 {
                self.complain("values that do not fit their point's kind are left out".to_owned());
            }
            return Ok(leavings.refused);
        }
    }

    /// Sends lines, in smaller and smaller parts where the server refuses some.
    async fn send(&mut self, lines: &Lines) -> Result<Leavings, Fault> {
        let most = (self.options.batch_lines.max(1)) as usize;
        let starts = (0..lines.len()).step_by(most);
        let mut parts: Vec<Range<usize>> = starts
            .map(|start| start..(start + most).min(lines.len()))
            .rev()
            .collect();
        let mut leavings = Leavings::default();
        while let Some(part) = parts.pop() {
            let fault = match self.post(lines.bytes(part.clone())).await {
                Ok(()) => continue,
                Err(fault) => fault,
            };
            match fault {
                Fault::TooLarge | Fault::BadLine(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
                Fault::TooLarge | Fault::BadLine(_) => {
                    let line = String::from_utf8_lossy(lines.bytes(part)).into_owned();
                    count_dropped(1, "influxdb_refused_line");
                    self.complain(format!("a line is refused: {fault}"));
                    leavings.refused.push((line, fault.to_string()));
                }
                Fault::Partial(said) => {
                    let dropped = number_after(&said, "dropped").unwrap_or(1);
                    count_dropped(dropped, "influxdb_refused_point");
                    leavings.left_out += dropped.min(part.len());
                    let said = said.split("dropped=").next().unwrap_or_default();
                    self.complain(format!("points are refused: {said}"));
                }
                Fault::Conflict {
                    ref measurement,
                    ref field,
                } => {
                    self.complain(fault.to_string());
                    let known = leavings.conflicts.len();
                    let points = self.dictionary.named(measurement, field);
                    leavings.conflicts.extend(points);
                    if leavings.conflicts.len() == known {
                        // Of an alarm's or an order's line: the record itself is in core.db.
                        count_dropped(1, "influxdb_type_conflict");
                        leavings.left_out += 1;
                    }
                }
                Fault::Passing(_) | Fault::Configuration(_) => return Err(fault),
            }
        }
        Ok(leavings)
    }

    async fn post(&self, bytes: &[u8]) -> Result<(), Fault> {
        let body = if self.compress {
            compressed(bytes)
        } else {
            bytes.to_vec()
        };
        let client = self.writer.clone();
        let (org, bucket) = (self.options.org.clone(), self.options.bucket.clone());
        call(async move {
            let precision = TimestampPrecision::Milliseconds;
            // Only 204 is success: a page of a proxy that answers 200 has written nothing.
            let write = client.write_line_protocol_with_precision(&org, &bucket, body, precision);
            write.await
        })
        .await
    }

    /// Logs a complaint of the server, once.
    fn complain(&mut self, what: String) {
        if self.complaints.len() < COMPLAINTS && self.complaints.insert(what.clone()) {
            tracing::warn!(what, "InfluxDB takes less than it is sent");
        }
    }
}

fn client(options: &Options, headers: HeaderMap) -> Result<Client, HistoryError> {
    let builder = reqwest_for_influxdb2::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(options.timeout.to_std())
        .redirect(reqwest_for_influxdb2::redirect::Policy::none())
        .default_headers(headers);
    let token = options.token.expose_secret();
    let builder = ClientBuilder::with_builder(builder, &options.url, &options.org, token);
    let built = builder.build();
    built.map_err(|error| HistoryError::Client {
        why: error.to_string(),
    })
}

/// Runs a request in a task of its own. Dropping the caller ends it.
async fn call<T: Send + 'static>(
    request: impl Future<Output = Result<T, RequestError>> + Send + 'static,
) -> Result<T, Fault> {
    let mut task = JoinSet::new();
    task.spawn(request);
    match task.join_next().await {
        Some(Ok(answer)) => answer.map_err(Fault::from),
        Some(Err(error)) => Err(Fault::Passing(format!("the client failed: {error}"))),
        None => Err(Fault::Passing("the client did not run".to_owned())),
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::fast());
    // Writing to memory does not fail; a body cut short would be refused by the server.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// The first whole number after a word.
fn number_after(text: &str, word: &str) -> Option<usize> {
    let (_, rest) = text.split_once(word)?;
    let digits = rest.trim_start_matches(|mark: char| !mark.is_ascii_digit());
    let end = digits.find(|mark: char| !mark.is_ascii_digit());
    digits.get(..end.unwrap_or(digits.len()))?.parse().ok()
}

/// The task looks back an hour each time, so that what came late is in; writing twice is harmless.
/// The task that fills the bucket of five-minute values of this bucket.
pub fn task_of(bucket: &str) -> String {
    down_sampling(
        &format!("zhiban {bucket} 5m"),
        bucket,
        &format!("{bucket}_5m"),
    )
}

fn down_sampling(name: &str, from: &str, to: &str) -> String {
    let text = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (name, from, to) = (text(name), text(from), text(to));
    let of = |aggregate: &str| {
        format!(
            "data |> aggregateWindow(every: 5m, fn: {aggregate}, createEmpty: false) \
             |> set(key: \"agg\", value: \"{aggregate}\") |> to(bucket: \"{to}\")\n"
        )
    };
    format!(
        "import \"types\"\n\
         option task = {{name: \"{name}\", every: 5m, offset: 1m}}\n\
         data = from(bucket: \"{from}\") |> range(start: -1h) \
         |> filter(fn: (r) => r._measurement != \"alarm\" and r._measurement != \"work_order\") \
         |> filter(fn: (r) => types.isNumeric(v: r._value)) |> toFloat()\n{}{}{}",
        of("mean"),
        of("min"),
        of("max")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_helps() {
        let of = |status, text: &str| Fault::of_answer(status, text.to_owned());
        let parse = of(400, "{\"message\":\"unable to parse 'x'\"}");
        assert!(matches!(parse, Fault::BadLine(_)));
        assert!(matches!(of(400, "no precision"), Fault::Configuration(_)));
        for status in [401, 403, 404] {
            assert!(
                matches!(of(status, ""), Fault::Configuration(_)),
                "{status}"
            );
        }
        let task = "{\"message\":\"failed to create task: unauthorized\"}";
        assert!(matches!(of(500, task), Fault::Configuration(_)));
        assert_eq!(of(413, ""), Fault::TooLarge);
        assert!(matches!(
            of(422, "partial write: dropped=1"),
            Fault::Partial(_)
        ));
        for status in [408, 429, 500, 502, 503] {
            assert!(matches!(of(status, ""), Fault::Passing(_)), "{status}");
        }
    }

    #[test]
    fn the_number_of_refused_points_is_read() {
        assert_eq!(
            number_after("conflict: … dropped=17\"}", "dropped"),
            Some(17)
        );
        let retention = "partial write: dropped 2 points outside retention policy";
        assert_eq!(number_after(retention, "dropped"), Some(2));
        assert_eq!(number_after("partial write", "dropped"), None);
        assert_eq!(number_after("dropped", "dropped"), None);
    }
}
