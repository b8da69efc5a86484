//! What people put into an order's record: parts used, photos taken; and what they take out again.
//!
//! The record of an order that is over is never changed, and every change stands in its life.

use super::{Effects, Facility, Outcome, Refusal};
use crate::time::Timestamp;
use crate::work_order::{
    MOST, NewPart, Part, Photo, RecordEdit, WorkOrder, WorkOrderChange, WorkOrderNumber,
};

impl Facility {
    pub(super) fn edit_record(
        &mut self,
        no: &WorkOrderNumber,
        by: String,
        edit: RecordEdit,
        recorded_at: Option<Timestamp>,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Outcome, Refusal> {
        let mut order = self.order(no)?.clone();
        let status = order.status;
        if status.is_over() {
            return Err(Refusal::NoWorkOrder(no.clone()));
        }
        let (change, note) = apply(&mut order, &by, edit, recorded_at.unwrap_or(now))?;
        self.record_order(order, change, status, now, Some(by), Some(note), effects);
        effects.recorded(recorded_at);
        self.outcome(no)
    }
}

/// Changes the record, and says what changed in a word for its life.
fn apply(
    order: &mut WorkOrder,
    by: &str,
    edit: RecordEdit,
    at: Timestamp,
) -> Result<(WorkOrderChange, String), Refusal> {
    let (id, by) = (order.version + 1, by.to_owned());
    match edit {
        RecordEdit::AddPart(used) => {
            room(&order.parts)?;
            let note = told(&used);
            order.parts.push(Part { id, used, by, at });
            Ok((WorkOrderChange::PartAdded, note))
        }
        RecordEdit::RemovePart(id) => {
            let part = take(&mut order.parts, id, |part| part.id)?;
            Ok((WorkOrderChange::PartRemoved, told(&part.used)))
        }
        RecordEdit::AddPhoto(taken) => {
            room(&order.photos)?;
            let note = hash(&taken.sha256);
            order.photos.push(Photo { id, taken, by, at });
            Ok((WorkOrderChange::PhotoAdded, note))
        }
        RecordEdit::RemovePhoto(id) => {
            let photo = take(&mut order.photos, id, |photo| photo.id)?;
            let note = hash(&photo.taken.sha256);
            Ok((WorkOrderChange::PhotoRemoved, note))
        }
    }
}

fn room<T>(entries: &[T]) -> Result<(), Refusal> {
    if entries.len() >= MOST {
        return Err(Refusal::RecordFull);
    }
    Ok(())
}

fn take<T>(entries: &mut Vec<T>, id: u32, id_of: impl Fn(&T) -> u32) -> Result<T, Refusal> {
    let place = entries.iter().position(|entry| id_of(entry) == id);
    place
        .map(|place| entries.remove(place))
        .ok_or(Refusal::NoEntry(id))
}

/// By what a photo is known even when it is gone.
fn hash(sha256: &str) -> String {
    format!("sha256:{sha256}")
}

/// `2 × Door roller (K-771)`, `0.5 L × Gear oil`.
fn told(part: &NewPart) -> String {
    let unit = part
        .unit
        .as_ref()
        .map_or_else(String::new, |unit| format!(" {unit}"));
    let sku = part
        .sku
        .as_ref()
        .map_or_else(String::new, |sku| format!(" ({sku})"));
    format!("{}{unit} × {}{sku}", part.quantity, part.name)
}
