//! Reads series from the chunks on disk and the samples in memory.
//!
//! The work of one question is bounded, and never runs where the engine does.

use super::chunk::{Chunk, decompress};
use super::dictionary::Dictionary;
use super::recent::{Reading, Recent, in_order};
use super::series::{Buckets, Window, count, raw};
use super::store::{Bodies, Store};
use super::wall;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use zhiban_core::model::PointKind;
use zhiban_core::{Duration, Model};
use zhiban_dashboard::ports::{
    Aggregation, History, Series, SeriesError, SeriesQuery, Unavailable,
};

/// Chunks that one question may touch.
const CHUNKS: usize = 20_000;

/// Readings that are decoded into memory to see whether they fit; more than that never fit.
const DECODED: i64 = 200_000;

/// Samples in one answer that asks for all.
const RAW: usize = 20_000;

/// From this width of a bucket on, the heads of chunks say enough.
const COARSE: i64 = 3_600_000;

/// The history that needs nothing but the gateway itself.
#[derive(Clone)]
pub struct Embedded {
    pub(super) store: Store,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) recent: Arc<Mutex<Recent>>,
    pub(super) model: Arc<Model>,
    pub(super) heartbeat: Duration,
}

impl History for Embedded {
    fn series(&self, query: SeriesQuery) -> BoxFuture<'_, Result<Series, SeriesError>> {
        Box::pin(self.read(query))
    }
}

fn unavailable(why: impl ToString) -> Unavailable {
    Unavailable {
        what: "series",
        why: why.to_string(),
    }
}

/// How the answer is put together.
#[derive(Debug, Clone, Copy)]
struct Plan {
    window: Window,
    agg: Aggregation,
    /// Samples up to this many are given as they are.
    most_raw: usize,
    step: i64,
}

impl Embedded {
    async fn read(&self, query: SeriesQuery) -> Result<Series, SeriesError> {
        let Some(number) = self.dictionary.number(&query.key) else {
            return Ok(Series::default());
        };
        let kind = self.dictionary.entry(number).map(|entry| entry.kind);
        let drawn = [PointKind::Analog, PointKind::Flag, PointKind::Counter];
        if query.from >= query.to || !kind.is_some_and(|kind| drawn.contains(&kind)) {
            return Ok(Series::default());
        }
        let plan = self.plan(&query);
        let window = plan.window;
        // Memory first: what becomes a chunk meanwhile is then seen twice, never not at all.
        let recent = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.readings(number)
        };
        let span = window.from.saturating_sub(window.lapse)..window.to;
        let db = self.store.db();
        let limit = i64::try_from(CHUNKS).unwrap_or(i64::MAX);
        let coarse = plan.step >= COARSE && plan.agg != Aggregation::Raw;
        let bodies = if coarse { Bodies::Leave } else { Bodies::Read };
        let chunks = db.chunks(number, span, bodies, limit).await;
        let chunks = chunks.map_err(unavailable)?;
        if chunks.len() >= CHUNKS {
            return Err(SeriesError::TooLarge);
        }
        let work = move || build(plan, &chunks, recent, coarse);
        let built = tokio::task::spawn_blocking(work).await;
        built.map_err(unavailable)?
    }

    fn plan(&self, query: &SeriesQuery) -> Plan {
        let asset = self.model.point_by_key(&query.key);
        let asset = asset.map(|point| self.model.asset(self.model.point(point).asset));
        let stale_after = asset.map_or(0, |asset| asset.stale_after.millis());
        let px = query.px.clamp(16, 4000);
        let window = Window {
            from: query.from.millis(),
            to: query.to.millis(),
            // Twice what is due at the latest: one heartbeat may come late.
            lapse: stale_after.max(self.heartbeat.millis()).saturating_mul(2),
            now: wall(),
        };
        Plan {
            window,
            agg: query.agg,
            most_raw: 2 * px as usize,
            step: window.step(px),
        }
    }
}

fn build(
    plan: Plan,
    chunks: &[Chunk],
    recent: Vec<Reading>,
    coarse: bool,
) -> Result<Series, SeriesError> {
    let mut buckets = Buckets::new(plan.window, plan.step);
    let decoded: i64 = chunks.iter().map(|chunk| chunk.count).sum();
    if coarse || decoded > DECODED {
        if plan.agg == Aggregation::Raw {
            return Err(SeriesError::TooLarge);
        }
        for chunk in chunks {
            if coarse {
                buckets.push_head(chunk);
            } else {
                buckets.push_chunk(chunk);
            }
        }
        in_order(recent)
            .into_iter()
            .for_each(|one| buckets.push(one));
        return Ok(buckets.finish());
    }
    let old = chunks
        .iter()
        .filter_map(|chunk| decompress(&chunk.body).ok());
    let readings = in_order(old.flatten().chain(recent).collect());
    let samples = count(&readings, plan.window);
    match plan.agg {
        Aggregation::Raw if samples > RAW => Err(SeriesError::TooLarge),
        Aggregation::Raw => Ok(raw(&readings, plan.window)),
        Aggregation::Auto if samples <= plan.most_raw => Ok(raw(&readings, plan.window)),
        Aggregation::Auto | Aggregation::MinMax => {
            readings.into_iter().for_each(|one| buckets.push(one));
            Ok(buckets.finish())
        }
    }
}
