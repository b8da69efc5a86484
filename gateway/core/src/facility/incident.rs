//! How the fault behind a message is at the moment it is told: the machine's signal, and the times.
//!
//! A message that is told late, or for another reason than the fault itself, must not say that the
//! fault is there when it is gone, nor that it is gone when nobody knows.

use super::Facility;
use crate::alarm::{Alarm, Signal};
use crate::notification::Incident;
use crate::work_order::WorkOrder;

impl Facility {
    /// Of an alarm that is told of, else of an order; of one without alarms nothing is known.
    pub(super) fn incident(&self, alarm: Option<&Alarm>, order: Option<&WorkOrder>) -> Incident {
        if let Some(alarm) = alarm {
            return Incident {
                danger: Some(self.model.rule(alarm.rule).rule.danger()),
                place: alarm
                    .place
                    .clone()
                    .or(order.and_then(|order| order.place.clone())),
                signal: Some(self.signal(alarm)),
                raised_at: Some(alarm.raised_at),
                returned_at: alarm.returned_at,
            };
        }
        let Some(order) = order.filter(|order| !order.alarms.is_empty()) else {
            return Incident::default();
        };
        let open = order.alarms.iter().filter_map(|id| self.alarms.get(id));
        let standing = open.clone().filter(|alarm| alarm.active);
        let signal = standing.map(|alarm| self.signal(alarm)).min();
        Incident {
            danger: order.rule.map(|rule| self.model.rule(rule).rule.danger()),
            place: order.place.clone(),
            signal: Some(signal.unwrap_or(Signal::Gone)),
            raised_at: open.map(|alarm| alarm.raised_at).min(),
            returned_at: order.recovered_at,
        }
    }
}
