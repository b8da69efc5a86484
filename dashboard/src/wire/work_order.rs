//! Work orders as the API shows them.

use crate::ports::{OrderEventRow, OrderRow, ToldRow};
use crate::wire::{Event, Place, Told, time};
use serde::Serialize;
use utoipa::ToSchema;
use zhiban_core::work_order::{self, Move};
use zhiban_core::{Language, WorkOrder as Order, WorkOrderNumber, WorkOrderStatus};

/// One work order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkOrder {
    /// Its number.
    #[schema(example = "WO-20261123-018")]
    pub(crate) no: String,
    /// `corrective`, `preventive`, `inspection` or `request`.
    pub(crate) kind: &'static str,
    /// `requested`, `approved`, `assigned`, `accepted`, `on_site`, `in_progress`, `on_hold`,
    /// `completed`, `verified`, `closed`, `rejected` or `cancelled`.
    pub(crate) status: &'static str,
    /// 1 is the most urgent, 4 the least.
    #[schema(minimum = 1, maximum = 4)]
    pub(crate) priority: u8,
    /// The asset's code.
    pub(crate) asset: String,
    /// What it is about.
    pub(crate) title: String,
    /// The fault family; `null` when a person reported it.
    pub(crate) fault_family: Option<String>,
    /// The numbers of its alarms, oldest first.
    pub(crate) alarms: Vec<String>,
    /// The user name of who does it.
    pub(crate) assignee: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// When the work must be completed; `null` while that clock stands — on hold, and once the work was
    /// completed — and when nothing says.
    #[schema(format = DateTime)]
    pub(crate) due_at: Option<String>,
    /// Which limit `due_at` is: `restore`, until the work is completed; `null` when there is none.
    pub(crate) due_limit: Option<&'static str>,
    /// What was left when the clock of `due_at` stopped, in seconds, negative when it was late; `null`
    /// while it runs.
    pub(crate) due_left_seconds: Option<i64>,
    /// Until when somebody must have accepted it, or it is told again; `null` when it was, or need not be.
    #[schema(format = DateTime)]
    pub(crate) respond_by: Option<String>,
    /// When it last became work again after it was completed or closed.
    #[schema(format = DateTime)]
    pub(crate) reopened_at: Option<String>,
    /// When the machine's own signal became normal.
    #[schema(format = DateTime)]
    pub(crate) recovered_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    pub(crate) closed_at: Option<String>,
    /// Where the fault is, or was last known to be; `null` when nothing says more than the asset.
    pub(crate) place: Option<Place>,
}

impl WorkOrder {
    /// An order and the code of its asset.
    pub(crate) fn of(order: &Order, asset: &str, language: Language) -> Self {
        let family = Some(order.fault_family.clone());
        Self {
            no: order.no.to_string(),
            kind: order.kind.code(),
            status: order.status.code(),
            priority: order.priority.number(),
            asset: asset.to_owned(),
            title: order.title.get(language).to_owned(),
            fault_family: family.filter(|family| !family.is_empty()),
            alarms: order.alarms.iter().map(ToString::to_string).collect(),
            assignee: order.assignee.clone(),
            created_at: time(order.created_at),
            due_at: order.due_at.map(time),
            due_limit: order.limit.map(|_| "restore"),
            due_left_seconds: order.due_left.map(|left| left.millis() / 1000),
            respond_by: order.escalate_at.map(time),
            reopened_at: order.reopened_at.map(time),
            recovered_at: order.recovered_at.map(time),
            closed_at: order.closed_at.map(time),
            place: Place::of(order.place.as_ref(), language),
        }
    }
}

/// What was found and done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Repair {
    /// What was seen.
    pub(crate) problem: Option<String>,
    /// Why it happened.
    pub(crate) cause: Option<String>,
    /// What was done.
    pub(crate) remedy: Option<String>,
    /// Minutes of work.
    pub(crate) labor_minutes: Option<u32>,
}

impl From<&work_order::Repair> for Repair {
    fn from(repair: &work_order::Repair) -> Self {
        Self {
            problem: repair.problem.clone(),
            cause: repair.cause.clone(),
            remedy: repair.remedy.clone(),
            labor_minutes: repair.labor_minutes,
        }
    }
}

/// A part that a repair took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Its number within the order, never given twice.
    pub(crate) id: u32,
    /// What it is called.
    pub(crate) name: String,
    /// The maker's or the store's number of it.
    pub(crate) sku: Option<String>,
    /// How much of it.
    pub(crate) quantity: f64,
    /// Of what; `null` counts pieces.
    pub(crate) unit: Option<String>,
    /// Who wrote it down.
    pub(crate) by: String,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
}

impl From<&work_order::Part> for Part {
    fn from(part: &work_order::Part) -> Self {
        Self {
            id: part.id,
            name: part.used.name.clone(),
            sku: part.used.sku.clone(),
            quantity: f64::from(part.used.quantity.thousandths()) / 1000.0,
            unit: part.used.unit.clone(),
            by: part.by.clone(),
            at: time(part.at),
        }
    }
}

/// What is known of a photo.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Photo {
    /// Its number within the order, never given twice.
    pub(crate) id: u32,
    /// `before` the repair, or `after` it.
    pub(crate) stage: &'static str,
    /// Where its bytes are.
    #[schema(example = "/api/v1/work-orders/WO-20261123-018/photos/7")]
    pub(crate) url: String,
    /// `image/jpeg`, `image/png` or `image/webp`.
    pub(crate) media_type: &'static str,
    /// Its size in bytes.
    pub(crate) size: u32,
    /// SHA-256 of its bytes in hexadecimal.
    pub(crate) sha256: String,
    /// Who sent it.
    pub(crate) by: String,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
}

/// The photos of an order.
pub(crate) fn photos(order: &Order) -> Vec<Photo> {
    let of = |photo: &work_order::Photo| Photo {
        id: photo.id,
        stage: photo.taken.stage.code(),
        url: photo_url(&order.no, photo.id),
        media_type: photo.taken.format.code(),
        size: photo.taken.size,
        sha256: photo.taken.sha256.clone(),
        by: photo.by.clone(),
        at: time(photo.at),
    };
    order.photos.iter().map(of).collect()
}

/// Where the bytes of a photo are.
pub(crate) fn photo_url(no: &WorkOrderNumber, id: u32) -> String {
    format!("/api/v1/work-orders/{no}/photos/{id}")
}

/// One work order with its life and its repair record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkOrderDetail {
    /// The order.
    #[serde(flatten)]
    pub(crate) order: WorkOrder,
    /// How often the fault came, each time after the machine had been normal; 1 is the first time.
    pub(crate) occurrences: u32,
    /// Who reported it; `null` when the gateway did.
    pub(crate) reported_by: Option<String>,
    /// Who said last that the work is done; `null` when nobody did.
    pub(crate) completed_by: Option<String>,
    /// What was found and done.
    pub(crate) repair: Repair,
    /// The parts it took.
    pub(crate) parts: Vec<Part>,
    /// Photos of the work.
    pub(crate) photos: Vec<Photo>,
    /// Its life, oldest entry first; `null` when it cannot be read now.
    pub(crate) events: Option<Vec<Event>>,
    /// Who was told of it, the latest first; `null` when it cannot be read now.
    pub(crate) told: Option<Vec<Told>>,
}

impl WorkOrderDetail {
    /// An order and its life.
    pub(crate) fn of(
        row: &OrderRow,
        events: Option<Vec<OrderEventRow>>,
        told: Option<Vec<ToldRow>>,
        language: Language,
    ) -> Self {
        let status = row.order.status;
        let done = status.is_over()
            || matches!(
                status,
                WorkOrderStatus::Completed | WorkOrderStatus::Verified
            );
        Self {
            order: WorkOrder::of(&row.order, &row.asset, language),
            occurrences: row.order.occurrences,
            reported_by: row.order.reported_by.clone(),
            // Of one that is work again it would be who completed it before.
            completed_by: done.then(|| row.order.completed_by.clone()).flatten(),
            repair: Repair::from(&row.order.repair),
            parts: row.order.parts.iter().map(Part::from).collect(),
            photos: photos(&row.order),
            events: events.map(|events| {
                let events = events.into_iter();
                events.map(|row| Event::order(row, language)).collect()
            }),
            told: told.map(|told| told.into_iter().map(Told::from).collect()),
        }
    }
}

impl Event {
    /// One entry of an order's life.
    fn order(row: OrderEventRow, language: Language) -> Self {
        Self {
            at: time(row.at),
            by: row.by,
            change: row.change,
            from: row.from,
            to: row.to,
            only_account: row.only_account,
            note: row.note,
            place: Place::of(row.place.as_ref(), language),
        }
    }
}

/// A move that is allowed now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transition {
    /// Where to.
    pub(crate) to: &'static str,
    /// The fields that must be sent with it.
    pub(crate) needs: Vec<&'static str>,
}

impl Transition {
    /// A move of an order.
    pub(crate) fn of(order: &Order, row: &Move) -> Self {
        let needs = row.needs_of(order).into_iter();
        Self {
            to: row.to.code(),
            needs: needs.map(work_order::Field::code).collect(),
        }
    }
}

/// Something written on an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Comment {
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Who.
    pub(crate) by: Option<String>,
    /// What.
    pub(crate) comment: String,
}

/// Something written, out of the life of an order; `None` when the entry is another.
pub(crate) fn comment(row: OrderEventRow) -> Option<Comment> {
    let written = row.change == work_order::WorkOrderChange::Commented.code();
    let comment = row.note.filter(|_| written)?;
    Some(Comment {
        at: time(row.at),
        by: row.by,
        comment,
    })
}
