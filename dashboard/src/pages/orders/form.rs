//! The steps an order may take as forms: one that comes next, the others behind a fold.
//!
//! A form asks for what core's table needs, and for little else.

use super::super::frame::Visit;
use super::super::posts::{LONGEST, Once, written};
use crate::error::ApiError;
use serde::Deserialize;
use zhiban_core::facility::MoveWorkOrder;
use zhiban_core::work_order::{Actor, Field, Move, NotYours, Repair, moves_from};
use zhiban_core::{Command, WorkOrder, WorkOrderNumber, WorkOrderStatus as S};

/// The most minutes of work that are believed.
const MOST_MINUTES: u32 = 100_000;

/// What a step's form sends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::pages) struct MoveInput {
    #[serde(flatten)]
    pub(super) once: Once,
    pub(super) to: String,
    /// The status that the form was drawn for.
    from: String,
    /// Whose order it was then; empty for nobody's.
    of: String,
    assignee: String,
    reason: String,
    problem: String,
    cause: String,
    remedy: String,
    labor_minutes: String,
    note: String,
}

impl MoveInput {
    /// Whether the order still is what the form was drawn for.
    pub(super) fn is_of(&self, order: &WorkOrder) -> bool {
        self.from == order.status.code() && self.of == order.assignee.as_deref().unwrap_or_default()
    }

    /// The command, for this version of the order; refused when a field cannot be read.
    pub(super) fn command(
        &self,
        no: &WorkOrderNumber,
        (by, actor): (&str, Actor),
        order: Option<&WorkOrder>,
    ) -> Result<Command, ApiError> {
        let to = S::from_code(&self.to).ok_or_else(|| ApiError::field("/to", "unknown"))?;
        let minutes = self.labor_minutes.trim();
        let labor_minutes = if minutes.is_empty() {
            None
        } else {
            let read = minutes.parse().ok().filter(|n| *n <= MOST_MINUTES);
            Some(read.ok_or_else(|| ApiError::field("/labor_minutes", "out_of_range"))?)
        };
        let text = |text: &str, field: &str| written(text, field, LONGEST);
        Ok(Command::MoveWorkOrder(Box::new(MoveWorkOrder {
            no: no.clone(),
            to,
            by: by.to_owned(),
            actor,
            version: order.map(|order| order.version),
            note: text(&self.note, "note")?,
            reason: text(&self.reason, "reason")?,
            assignee: text(&self.assignee, "assignee")?,
            repair: Repair {
                problem: text(&self.problem, "problem")?,
                cause: text(&self.cause, "cause")?,
                remedy: text(&self.remedy, "remedy")?,
                labor_minutes,
            },
            recorded_at: None,
        })))
    }
}

/// One field of a step's form.
pub(super) struct FieldView {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) required: bool,
    pub(super) value: String,
    pub(super) error: String,
    /// Attributes of a field that was written in before.
    pub(super) mark: String,
}

/// One step.
pub(super) struct MoveForm {
    pub(super) to: &'static str,
    pub(super) label: String,
    pub(super) fields: Vec<FieldView>,
    pub(super) key: String,
    /// Ends the order or takes it away from somebody.
    pub(super) grave: bool,
    /// It was just sent and not taken.
    pub(super) back: bool,
}

/// The step that comes next, and every other that this person may take.
pub(super) fn moves(
    visit: &Visit,
    order: &WorkOrder,
    actor: Actor,
) -> (Option<MoveForm>, Vec<MoveForm>) {
    let next = next_of(order.status);
    let all = moves_from(order.status)
        .filter(|row| row.check(order, &visit.me.user, actor).is_ok())
        .map(|row| (row.to, MoveForm::new(visit, order, row)));
    let (mut main, mut others) = (None, Vec::new());
    for (to, form) in all {
        if Some(to) == next && main.is_none() {
            main = Some(form);
        } else {
            others.push(form);
        }
    }
    (main, others)
}

/// Why the step that comes next is not this person's; empty when it is.
pub(super) fn not_yours(visit: &Visit, order: &WorkOrder, actor: Actor) -> String {
    let next = next_of(order.status);
    let row = moves_from(order.status).find(|row| Some(row.to) == next);
    match row.map(|row| row.check(order, &visit.me.user, actor)) {
        Some(Err(NotYours::GivenTo(user))) => {
            let name = visit.person(&user);
            visit.words().with("order.not_assignee", &[("name", &name)])
        }
        Some(Err(NotYours::OwnRepair)) => visit.words().t("order.own_repair"),
        Some(Ok(_)) | None => String::new(),
    }
}

/// The step that usually comes next.
fn next_of(status: S) -> Option<S> {
    Some(match status {
        S::Requested => S::Approved,
        S::Approved => S::Assigned,
        S::Assigned => S::Accepted,
        S::Accepted => S::OnSite,
        S::OnSite | S::OnHold => S::InProgress,
        S::InProgress => S::Completed,
        S::Completed => S::Verified,
        S::Verified => S::Closed,
        S::Closed | S::Rejected | S::Cancelled => return None,
    })
}

impl MoveForm {
    fn new(visit: &Visit, order: &WorkOrder, row: &Move) -> Self {
        let words = visit.words();
        let form = visit.form(&format!("/work-orders/{}/move", order.no), row.to.code());
        let mut fields: Vec<FieldView> = Vec::new();
        let mut ask = |name: &'static str, required: bool| {
            fields.push(FieldView {
                name,
                label: words.t(&format!("order.{name}")),
                required,
                value: form.text(name, &kept(order, name)),
                error: form.fault(name),
                mark: form.mark(name),
            });
        };
        if row.to == S::Completed {
            ask("problem", false);
        }
        for field in row.needs_of(order) {
            ask(name_of(field), true);
        }
        if row.to == S::Completed {
            ask("labor_minutes", false);
        }
        if !row.needs.contains(&Field::Reason) {
            ask("note", false);
        }
        Self {
            to: row.to.code(),
            label: words.t(&format!("move.{}", label(row))),
            fields,
            key: form.key(&uuid::Uuid::new_v4().to_string()),
            grave: matches!(row.to, S::Rejected | S::Cancelled),
            back: form.back(),
        }
    }
}

impl MoveForm {
    /// Whether something must be written before it can be sent.
    pub(super) fn asks(&self) -> bool {
        self.fields.iter().any(|field| field.required)
    }
}

fn name_of(field: Field) -> &'static str {
    match field {
        Field::Assignee => "assignee",
        Field::Reason => "reason",
        Field::Cause => "cause",
        Field::Remedy => "remedy",
    }
}

/// What the repair record already says.
fn kept(order: &WorkOrder, name: &str) -> String {
    let repair = &order.repair;
    let text = match name {
        "problem" => repair.problem.clone(),
        "cause" => repair.cause.clone(),
        "remedy" => repair.remedy.clone(),
        "labor_minutes" => repair.labor_minutes.map(|n| n.to_string()),
        _ => None,
    };
    text.unwrap_or_default()
}

/// The name of a step in `move.*`.
fn label(row: &Move) -> &'static str {
    match (row.from, row.to) {
        (S::OnHold, S::InProgress) => "resumed",
        (S::Completed | S::Verified, S::InProgress) => "rework",
        (S::Approved, S::Assigned) => "assigned",
        (_, S::Assigned) => "reassigned",
        (S::Requested, S::Approved) => "approved",
        (_, S::Approved) => "returned",
        (_, to) => to.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Words;
    use zhiban_core::work_order::MOVES;

    #[test]
    fn every_step_of_the_table_has_a_word_in_both_languages() {
        for row in MOVES {
            for language in [zhiban_core::Language::ZhCn, zhiban_core::Language::En] {
                let key = format!("move.{}", label(row));
                assert_ne!(Words(language).t(&key), key);
            }
        }
    }

    #[test]
    fn the_next_step_is_always_in_the_table() {
        for status in S::ALL {
            if let Some(next) = next_of(*status) {
                assert!(moves_from(*status).any(|row| row.to == next), "{status:?}");
            }
        }
    }

    #[test]
    fn minutes_that_are_no_minutes_point_at_their_field() {
        let input = MoveInput {
            to: "completed".into(),
            labor_minutes: "-3".into(),
            ..MoveInput::default()
        };
        let no = "WO-20261123-018".parse().unwrap();
        let error = input.command(&no, ("li", Actor::Person), None).unwrap_err();
        assert_eq!(error.errors()[0].pointer, "/labor_minutes");
    }
}
