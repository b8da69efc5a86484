//! What the journal knew when the gateway starts: from rows to the records of the facility.
//!
//! Rows whose asset or rule is no longer configured stay where they are and are counted.

use super::read::{Reader, order_row, value_of_text};
use super::start::Start;
use super::store::Lock;
use super::write::order_id;
use super::{InboxKey, Journal, JournalError, Store, stand_in, unread};
use sqlx::any::AnyRow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use zhiban_core::facility::Records;
use zhiban_core::{Duration, Language, Model, Text, Timestamp, WorkOrder, WorkOrderNumber};
use zhiban_dashboard::ports::OrderRow;

/// So many messages are remembered.
pub(super) const INBOX_ROWS: i64 = 200_000;
/// For so long.
pub(super) const INBOX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Open records that the configuration no longer has a place for. They stay in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unconfigured {
    /// Open alarms.
    pub alarms: usize,
    /// Open orders.
    pub work_orders: usize,
    /// What they are about, by code and title; not all of many.
    pub about: Vec<Text>,
}

impl Unconfigured {
    /// So many are named.
    const NAMED: usize = 10;

    fn note(&mut self, row: &AnyRow, table: &'static str) {
        let read = Reader::new(table, row);
        if let (Ok(asset), Ok(zh), Ok(en)) = (
            read.text("asset"),
            read.text("title_zh"),
            read.text("title_en"),
        ) && self.about.len() < Self::NAMED
        {
            let about = Text::new(format!("{asset} {zh}"), format!("{asset} {en}"));
            if !self.about.contains(&about) {
                self.about.push(about);
            }
        }
    }

    /// What is to be said of them; `None` when there are none.
    pub fn told(&self) -> Option<String> {
        let about: Vec<&str> = self.about.iter().map(|one| one.get(Language::En)).collect();
        (*self != Self::default()).then(|| {
            format!(
                "{} open alarms and {} open work orders belong to assets or rules that are no longer configured ({}): \
                 nobody watches them here; put the asset back under its code, or see to them on site",
                self.alarms,
                self.work_orders,
                about.join(", ")
            )
        })
    }
}

/// A damaged number would be given to another order, whose record would then be written over.
fn has_its_own_number(row: &AnyRow, no: &WorkOrderNumber) -> Result<(), JournalError> {
    let read = Reader::new("work_order", row);
    if read.int("id")? == order_id(no) {
        return Ok(());
    }
    Err(read.wrong("no", &format!("{no} is the number of another order")))
}

impl Journal {
    /// Opens the record store and reads what the facility must know. Where nothing can be written for
    /// now, it is a copy in memory that takes nothing.
    ///
    /// # Errors
    /// See [`JournalError`]. A damaged file is kept, and the best that there is used instead.
    pub async fn open(
        file: &Path,
        model: Arc<Model>,
        now: Timestamp,
    ) -> Result<(Self, Records), JournalError> {
        match Self::open_to_write(file, &model, now).await {
            Err(error) if stand_in::helps(&error, file) => {
                stand_in::open(file, error, &model, now).await
            }
            done => done,
        }
    }

    async fn open_to_write(
        file: &Path,
        model: &Arc<Model>,
        now: Timestamp,
    ) -> Result<(Self, Records), JournalError> {
        // Before anything is changed: whoever works on it may be older.
        let lock = Lock::take(file)?;
        let mut start = Start::of(file);
        start.prepare().await?;
        loop {
            let store = Store::open_locked(file, &lock).await;
            let opened = match store {
                Ok(store) => Self::read(store, model, now).await,
                Err(error) => Err(error),
            };
            match opened {
                Err(error) if error.means_damage() => start.fall_back(&error).await?,
                done => return done,
            }
        }
    }

    pub(super) async fn read(
        store: Store,
        model: &Arc<Model>,
        now: Timestamp,
    ) -> Result<(Self, Records), JournalError> {
        let mut journal = Self {
            store,
            model: model.clone(),
            unconfigured: Unconfigured::default(),
            dead_letters: AtomicU64::new(0),
        };
        let read = journal.read_all(now).await;
        if read.is_err() {
            journal.store.close_connections().await;
        }
        Ok((journal, read?))
    }

    async fn read_all(&mut self, now: Timestamp) -> Result<Records, JournalError> {
        let mut records = Records::default();
        self.restore_alarms(&mut records, now).await?;
        self.restore_orders(&mut records, now).await?;
        self.restore_points(&mut records, now).await?;
        self.recent_inbox(now).await?;
        self.rehearse().await?;
        if let Some(told) = self.unconfigured.told() {
            tracing::warn!("{told}; they stay in the archive");
        }
        Ok(records)
    }

    /// What a start had to do with damaged records, until somebody took note of it.
    pub fn notice(&self) -> Option<String> {
        super::notice::newest(self.store.file())
    }

    /// The open file, for accounts and the outbox.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the building is.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Open records that the configuration had no place for at start.
    pub fn unconfigured(&self) -> &Unconfigured {
        &self.unconfigured
    }

    async fn restore_alarms(
        &mut self,
        records: &mut Records,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        // Before one is set aside: its number stays its own.
        let last = "select coalesce(max(id), 0) as id from alarm";
        let row = sqlx::query(last).fetch_one(self.store.readers()).await?;
        records.last_alarm = Reader::new("alarm", &row).alarm_id("id")?.0;
        let open = "select * from alarm where state <> 'normal' order by id";
        for row in sqlx::query(open).fetch_all(self.store.readers()).await? {
            match self.configured_alarm(&row) {
                Ok(Some(alarm)) => records.alarms.push(alarm),
                Ok(None) => {
                    self.unconfigured.alarms += 1;
                    self.unconfigured.note(&row, "alarm");
                }
                Err(error) => unread::alarm(&self.store, &row, &error, now).await?,
            }
        }
        Ok(())
    }

    async fn restore_orders(
        &mut self,
        records: &mut Records,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let known = sqlx::query(
            "select * from work_order where status not in ('closed', 'rejected', 'cancelled') \
             or closed_at > $1 order by id",
        );
        let window = now - self.model.policy.reopen_window;
        let rows = known
            .bind(window.millis())
            .fetch_all(self.store.readers())
            .await?;
        let mut taken = None;
        for row in rows {
            match self.order_of(&row) {
                Ok(found) if self.model.asset_by_code(&found.asset).is_some() => {
                    records.work_orders.push(found.order);
                }
                Ok(found) if found.order.status.is_over() => {}
                Ok(_) => {
                    self.unconfigured.work_orders += 1;
                    self.unconfigured.note(&row, "work_order");
                }
                Err(error) => taken = taken.max(self.set_order_aside(&row, &error, now).await?),
            }
        }
        match self.complete(&mut records.work_orders).await {
            Err(error) if error.is_of_a_row() => {
                let apart = self.complete_apart(&mut records.work_orders, now);
                taken = taken.max(apart.await?);
            }
            done => done?,
        }
        records.last_work_order = self.last_order(now).await?.max(taken);
        Ok(())
    }

    fn order_of(&self, row: &AnyRow) -> Result<OrderRow, JournalError> {
        let found = order_row(&self.model, row)?;
        has_its_own_number(row, &found.order.no)?;
        Ok(found)
    }

    /// Completes one order after the other, and sets those aside of which a part or a photo cannot be
    /// read. Returns the newest number of these.
    async fn complete_apart(
        &self,
        orders: &mut Vec<WorkOrder>,
        now: Timestamp,
    ) -> Result<Option<WorkOrderNumber>, JournalError> {
        let mut taken = None;
        for mut order in std::mem::take(orders) {
            match self.complete(std::slice::from_mut(&mut order)).await {
                Err(error) if error.is_of_a_row() => {
                    let (id, no) = (order_id(&order.no), order.no.to_string());
                    let aside = unread::order(&self.store, id, Some(&no), &error, now);
                    taken = taken.max(aside.await?);
                }
                done => {
                    done?;
                    orders.push(order);
                }
            }
        }
        Ok(taken)
    }

    async fn set_order_aside(
        &self,
        row: &AnyRow,
        error: &JournalError,
        now: Timestamp,
    ) -> Result<Option<WorkOrderNumber>, JournalError> {
        let read = Reader::new("work_order", row);
        let no = read.maybe_text("no").unwrap_or_default();
        unread::order(&self.store, read.int("id")?, no.as_deref(), error, now).await
    }

    /// The newest number that an order has.
    async fn last_order(&self, now: Timestamp) -> Result<Option<WorkOrderNumber>, JournalError> {
        let mut taken = None;
        loop {
            let last = "select id, no from work_order order by id desc limit 1";
            let row = sqlx::query(last)
                .fetch_optional(self.store.readers())
                .await?;
            let Some(row) = row else { return Ok(taken) };
            let no = Reader::new("work_order", &row).parsed("no", |text| text.parse().ok());
            let own = no.and_then(|no| has_its_own_number(&row, &no).map(|()| no));
            match own {
                Ok(no) => return Ok(taken.max(Some(no))),
                Err(error) => taken = taken.max(self.set_order_aside(&row, &error, now).await?),
            }
        }
    }

    async fn restore_points(
        &self,
        records: &mut Records,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let all = "select key, value, at from point order by key";
        for row in sqlx::query(all).fetch_all(self.store.readers()).await? {
            let read = Reader::new("point", &row);
            let key = read.text("key")?;
            let Some(point) = self.model.point_by_key(&key) else {
                continue;
            };
            let value = read.parsed("value", value_of_text);
            match value.and_then(|value| Ok((value, read.at("at")?))) {
                Ok((value, at)) => records.points.push((point, value, at)),
                Err(error) => unread::point(&self.store, key, &error, now).await?,
            }
        }
        Ok(())
    }

    /// The messages received lately, oldest first, so that a second copy is known.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn recent_inbox(&self, now: Timestamp) -> Result<Vec<InboxKey>, JournalError> {
        let query = sqlx::query(
            "select id, hash from inbox where at >= $1 \
             and id > (select coalesce(max(id), 0) from inbox) - $2 order by id",
        );
        let query = query.bind((now - INBOX_AGE).millis()).bind(INBOX_ROWS);
        let rows = query.fetch_all(self.store.readers()).await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let bytes = Reader::new("inbox", &row).bytes("hash")?;
            // A key that is none knows no second copy, and costs nothing else.
            match <[u8; 16]>::try_from(bytes) {
                Ok(hash) => keys.push(InboxKey { hash, unique: true }),
                Err(bytes) => tracing::warn!(
                    bytes = bytes.len(),
                    "what is known of a received message has not 16 bytes"
                ),
            }
        }
        Ok(keys)
    }
}
