//! What the dashboard asks of the records: pages newest first, single records, stored answers.
//!
//! It reads on connections of its own and never waits for the engine's writes.

use super::cell::{Cell, Table, bind, query};
use super::read::{Reader, alarm_event_row, alarm_row, order_event_row, order_row, told_row};
use super::write::order_id;
use super::{Journal, JournalError};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::any::AnyRow;
use zhiban_core::{AlarmId, Duration, Timestamp, WorkOrderNumber};
use zhiban_dashboard::ports::{
    About, AlarmEventRow, AlarmFilter, AlarmRow, Archive, OrderEventRow, OrderFilter, OrderRow,
    StoredAnswer, ToldRow, Unavailable,
};

/// The longest page, and the one entry more by which its reader sees that there is a next page.
const PAGE: u32 = 201;
/// So many messages of an alarm or an order are shown, the latest.
const TOLD: i64 = 200;
/// The length of the statistics of alarms.
const HOURS: usize = 24;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The first answer stays, in place of one that only says that it was done.
pub(super) const ANSWER: Table = Table {
    name: "answer",
    columns: "key, at, request, status, body",
    conflict: "on conflict (key) do update set request = excluded.request, \
        status = excluded.status, body = excluded.body where answer.status = 0",
};

pub(super) fn answer_row(key: &str, answer: &StoredAnswer, at: Timestamp) -> Vec<Cell> {
    vec![
        key.into(),
        at.into(),
        answer.request.as_str().into(),
        u32::from(answer.status).into(),
        Cell::Bytes(answer.body.to_vec()),
    ]
}

/// A `select` that grows by conditions.
struct Select {
    sql: String,
    cells: Vec<Cell>,
}

impl Select {
    fn from(table: &str) -> Self {
        Self {
            sql: format!("select * from {table} where 1 = 1"),
            cells: Vec::new(),
        }
    }

    /// Adds `and COLUMN OPERATOR value` when there is a value.
    fn and(mut self, condition: &str, value: Option<Cell>) -> Self {
        if let Some(value) = value {
            self.cells.push(value);
            self.sql += &format!(" and {condition} ${}", self.cells.len());
        }
        self
    }

    /// Adds `and COLUMN in (…)` when there is any value.
    fn any_of(mut self, column: &str, values: impl Iterator<Item = &'static str>) -> Self {
        let mut places = Vec::new();
        for value in values {
            self.cells.push(value.into());
            places.push(format!("${}", self.cells.len()));
        }
        if !places.is_empty() {
            self.sql += &format!(" and {column} in ({})", places.join(", "));
        }
        self
    }

    /// A page of rows, the highest id first.
    async fn page(self, journal: &Journal, limit: u32) -> Result<Vec<AnyRow>, JournalError> {
        let limit = limit.clamp(1, PAGE);
        let mut query = query(format!("{} order by id desc limit {limit}", self.sql));
        for cell in self.cells {
            query = bind(query, cell);
        }
        Ok(query.fetch_all(journal.store.readers()).await?)
    }
}

impl Journal {
    async fn alarm_page(&self, filter: AlarmFilter) -> Result<Vec<AlarmRow>, JournalError> {
        let before = filter.before.map(|id| alarm_key(id).into());
        let select = Select::from("alarm")
            .any_of("state", filter.states.iter().map(|state| state.code()))
            .and("asset =", filter.asset.map(Cell::from))
            .and("id <", before);
        let rows = select.page(self, filter.limit).await?;
        rows.iter().map(alarm_row).collect()
    }

    async fn one_alarm(
        &self,
        id: AlarmId,
    ) -> Result<Option<(AlarmRow, Vec<AlarmEventRow>)>, JournalError> {
        let one = sqlx::query("select * from alarm where id = $1").bind(alarm_key(id));
        let Some(row) = one.fetch_optional(self.store.readers()).await? else {
            return Ok(None);
        };
        let life = sqlx::query("select * from alarm_event where alarm = $1 order by id");
        let life = life
            .bind(alarm_key(id))
            .fetch_all(self.store.readers())
            .await?;
        let events: Result<Vec<_>, _> = life.iter().map(alarm_event_row).collect();
        Ok(Some((alarm_row(&row)?, events?)))
    }

    async fn order_page(&self, filter: OrderFilter) -> Result<Vec<OrderRow>, JournalError> {
        let before = filter.before.map(|no| order_id(&no).into());
        let select = Select::from("work_order")
            .any_of("status", filter.statuses.iter().map(|status| status.code()))
            .and("asset =", filter.asset.map(Cell::from))
            .and("assignee =", filter.assignee.map(Cell::from))
            .and("id <", before);
        let rows = select.page(self, filter.limit).await?;
        rows.iter().map(|row| order_row(&self.model, row)).collect()
    }

    async fn one_order(
        &self,
        no: WorkOrderNumber,
    ) -> Result<Option<(OrderRow, Vec<OrderEventRow>)>, JournalError> {
        let id = order_id(&no);
        let one = sqlx::query("select * from work_order where id = $1").bind(id);
        let Some(row) = one.fetch_optional(self.store.readers()).await? else {
            return Ok(None);
        };
        let life = sqlx::query("select * from work_order_event where work_order = $1 order by id");
        let life = life.bind(id).fetch_all(self.store.readers()).await?;
        let events: Result<Vec<_>, _> = life.iter().map(order_event_row).collect();
        let mut found = order_row(&self.model, &row)?;
        self.complete(std::slice::from_mut(&mut found.order))
            .await?;
        Ok(Some((found, events?)))
    }

    async fn told_of(&self, about: About) -> Result<Vec<ToldRow>, JournalError> {
        let (column, cell) = match about {
            About::Alarm(id) => ("alarm", Cell::from(alarm_key(id))),
            About::Order(no) => ("work_order", Cell::from(no.to_string())),
        };
        let told = query(format!(
            "select n.id as id, n.at as at, n.reason as reason, n.person as person, \
             o.channel as channel, o.status as status, o.attempts as attempts, \
             d.at as last_at, d.error as error from notification n \
             left join outbox o on o.notification = n.id \
             left join delivery d on d.id = \
             (select max(last.id) from delivery last where last.outbox = o.id) \
             where n.{column} = $1 order by n.at desc, n.id, o.id limit {TOLD}"
        ));
        let rows = bind(told, cell).fetch_all(self.store.readers()).await?;
        rows.iter().map(told_row).collect()
    }

    async fn count_per_hour(&self, now: Timestamp) -> Result<Vec<u32>, JournalError> {
        let oldest = now - DAY;
        let raised = sqlx::query(
            "select ($1 - at) / 3600000 as back, count(*) as count from alarm_event \
             where change = 'raised' and at > $2 and at <= $1 group by 1",
        );
        let raised = raised.bind(now.millis()).bind(oldest.millis());
        let mut hours = vec![0_u32; HOURS];
        for row in raised.fetch_all(self.store.readers()).await? {
            let read = Reader::new("alarm_event", &row);
            let back = usize::try_from(read.int("back")?).unwrap_or(usize::MAX);
            if let Some(hour) = hours.iter_mut().nth_back(back) {
                *hour = read.small("count")?;
            }
        }
        Ok(hours)
    }

    async fn stored_answer(&self, key: String) -> Result<Option<StoredAnswer>, JournalError> {
        let one = sqlx::query("select request, status, body from answer where key = $1").bind(key);
        let Some(row) = one.fetch_optional(self.store.readers()).await? else {
            return Ok(None);
        };
        let read = Reader::new("answer", &row);
        Ok(Some(StoredAnswer {
            request: read.text("request")?,
            status: u16::try_from(read.int("status")?).unwrap_or(500),
            body: Bytes::from(read.bytes("body")?),
        }))
    }

    async fn store_answer(&self, key: String, answer: StoredAnswer) -> Result<(), JournalError> {
        let rows = [answer_row(&key, &answer, super::now())];
        self.store.in_room(|| self.insert_answer(&rows)).await
    }

    async fn insert_answer(&self, rows: &[Vec<Cell>]) -> Result<(), JournalError> {
        let mut transaction = self.store.begin().await?;
        ANSWER.insert(&mut transaction, rows).await?;
        Ok(transaction.commit().await?)
    }
}

fn alarm_key(id: AlarmId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// The same failure in the words of the dashboard.
pub(crate) fn unavailable(what: &'static str) -> impl Fn(JournalError) -> Unavailable {
    move |error| Unavailable {
        what,
        why: error.chain(),
    }
}

impl Archive for Journal {
    fn alarms(&self, filter: AlarmFilter) -> BoxFuture<'_, Result<Vec<AlarmRow>, Unavailable>> {
        async { self.alarm_page(filter).await.map_err(unavailable("alarms")) }.boxed()
    }

    fn alarm(
        &self,
        id: AlarmId,
    ) -> BoxFuture<'_, Result<Option<(AlarmRow, Vec<AlarmEventRow>)>, Unavailable>> {
        async move { self.one_alarm(id).await.map_err(unavailable("alarm")) }.boxed()
    }

    fn work_orders(
        &self,
        filter: OrderFilter,
    ) -> BoxFuture<'_, Result<Vec<OrderRow>, Unavailable>> {
        async {
            self.order_page(filter)
                .await
                .map_err(unavailable("work orders"))
        }
        .boxed()
    }

    fn work_order(
        &self,
        no: WorkOrderNumber,
    ) -> BoxFuture<'_, Result<Option<(OrderRow, Vec<OrderEventRow>)>, Unavailable>> {
        async { self.one_order(no).await.map_err(unavailable("work order")) }.boxed()
    }

    fn told(&self, about: About) -> BoxFuture<'_, Result<Vec<ToldRow>, Unavailable>> {
        async { self.told_of(about).await.map_err(unavailable("messages")) }.boxed()
    }

    fn alarms_per_hour(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<u32>, Unavailable>> {
        async move {
            self.count_per_hour(now)
                .await
                .map_err(unavailable("alarms per hour"))
        }
        .boxed()
    }

    fn replay(&self, key: String) -> BoxFuture<'_, Result<Option<StoredAnswer>, Unavailable>> {
        async {
            self.stored_answer(key)
                .await
                .map_err(unavailable("stored answer"))
        }
        .boxed()
    }

    fn keep_answer(
        &self,
        key: String,
        answer: StoredAnswer,
    ) -> BoxFuture<'_, Result<(), Unavailable>> {
        async {
            self.store_answer(key, answer)
                .await
                .map_err(unavailable("stored answer"))
        }
        .boxed()
    }
}
