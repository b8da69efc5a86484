//! The rows of parts and photos that belong to orders.
//!
//! They are written with the order in one transaction, and an order is never given out without them
//! where it is shown whole.

use super::cell::{Cell, Table};
use super::read::Reader;
use super::write::order_id;
use super::{Journal, JournalError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use zhiban_core::work_order::{NewPart, NewPhoto, Part, Photo, PhotoFormat, PhotoStage, Quantity};
use zhiban_core::{WorkOrder, WorkOrderNumber};

pub(super) const PART: Table = Table {
    name: "work_order_part",
    columns: "work_order, id, name, sku, quantity, unit, by_whom, at",
    conflict: "",
};

pub(super) const PHOTO: Table = Table {
    name: "work_order_photo",
    columns: "work_order, id, file, stage, format, size, sha256, by_whom, at",
    conflict: "",
};

/// Removes the rows of orders, whose rows as they are now are written next.
pub(super) async fn forget(
    to: &mut AnyConnection,
    orders: &[&WorkOrderNumber],
) -> Result<(), JournalError> {
    for no in orders {
        for sql in [
            "delete from work_order_part where work_order = $1",
            "delete from work_order_photo where work_order = $1",
        ] {
            sqlx::query(sql)
                .bind(order_id(no))
                .execute(&mut *to)
                .await?;
        }
    }
    Ok(())
}

pub(super) fn part_rows(order: &WorkOrder) -> Vec<Vec<Cell>> {
    let key = order_id(&order.no);
    let part = |part: &Part| {
        vec![
            key.into(),
            part.id.into(),
            part.used.name.as_str().into(),
            (&part.used.sku).into(),
            part.used.quantity.thousandths().into(),
            (&part.used.unit).into(),
            part.by.as_str().into(),
            part.at.into(),
        ]
    };
    order.parts.iter().map(part).collect()
}

pub(super) fn photo_rows(order: &WorkOrder) -> Vec<Vec<Cell>> {
    let key = order_id(&order.no);
    let photo = |photo: &Photo| {
        vec![
            key.into(),
            photo.id.into(),
            photo.taken.file.as_str().into(),
            photo.taken.stage.code().into(),
            photo.taken.format.code().into(),
            photo.taken.size.into(),
            photo.taken.sha256.as_str().into(),
            photo.by.as_str().into(),
            photo.at.into(),
        ]
    };
    order.photos.iter().map(photo).collect()
}

impl Journal {
    /// Gives orders their parts and photos.
    pub(super) async fn complete(&self, orders: &mut [WorkOrder]) -> Result<(), JournalError> {
        let keys = || orders.iter().map(|order| order_id(&order.no));
        let (Some(first), Some(last)) = (keys().min(), keys().max()) else {
            return Ok(());
        };
        let rows = async |sql| {
            let query = sqlx::query(sql).bind(first).bind(last);
            query.fetch_all(self.store.readers()).await
        };
        let (mut parts, mut photos) = (BTreeMap::new(), BTreeMap::new());
        let between =
            "select * from work_order_part where work_order between $1 and $2 order by id";
        for row in rows(between).await? {
            let (order, part) = part(&row)?;
            parts.entry(order).or_insert_with(Vec::new).push(part);
        }
        let between =
            "select * from work_order_photo where work_order between $1 and $2 order by id";
        for row in rows(between).await? {
            let (order, photo) = photo(&row)?;
            photos.entry(order).or_insert_with(Vec::new).push(photo);
        }
        for order in orders {
            let key = order_id(&order.no);
            order.parts = parts.remove(&key).unwrap_or_default();
            order.photos = photos.remove(&key).unwrap_or_default();
        }
        Ok(())
    }
}

fn part(row: &AnyRow) -> Result<(i64, Part), JournalError> {
    let read = Reader::new(PART.name, row);
    let quantity = read.small("quantity")?;
    let quantity = Quantity::from_thousandths(quantity)
        .ok_or_else(|| read.wrong("quantity", &format!("{quantity} is no quantity")))?;
    let part = Part {
        id: read.small("id")?,
        used: NewPart {
            name: read.text("name")?,
            sku: read.maybe_text("sku")?,
            quantity,
            unit: read.maybe_text("unit")?,
        },
        by: read.text("by_whom")?,
        at: read.at("at")?,
    };
    Ok((read.int("work_order")?, part))
}

fn photo(row: &AnyRow) -> Result<(i64, Photo), JournalError> {
    let read = Reader::new(PHOTO.name, row);
    let photo = Photo {
        id: read.small("id")?,
        taken: NewPhoto {
            file: read.text("file")?,
            stage: read.parsed("stage", PhotoStage::from_code)?,
            format: read.parsed("format", PhotoFormat::from_code)?,
            size: read.small("size")?,
            sha256: read.text("sha256")?,
        },
        by: read.text("by_whom")?,
        at: read.at("at")?,
    };
    Ok((read.int("work_order")?, photo))
}
