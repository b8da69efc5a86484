//! The registers of the fire pump set, in the order of the manual (docs/reference/virtual-building.md §1.3).

use super::FirePumpReadings;
use crate::registers::{Image, Table, Words};

/// Returns the register image of these readings.
pub(crate) fn image(r: &FirePumpReadings) -> Image {
    let contacts = [
        r.selector_auto,
        r.power_ok,
        r.running,
        r.fault,
        r.pump1_running,
        r.pump1_fault,
        r.pump2_running,
        r.pump2_fault,
        r.jockey_running,
        r.jockey_fault,
        r.low_pressure,
        r.flow_switch,
        r.phase_fault,
    ];
    let mut discrete = Words::default();
    for contact in contacts {
        discrete.u16(u16::from(contact));
    }
    let mut live = Words::default();
    live.scaled(Some(r.outlet_pressure), 0.001)
        .scaled_i16(Some(r.inlet_pressure), 0.001)
        .scaled(Some(r.voltage_l1), 0.1)
        .scaled(Some(r.voltage_l2), 0.1)
        .scaled(Some(r.voltage_l3), 0.1)
        .scaled(Some(r.pump1_current), 0.1)
        .scaled(Some(r.pump2_current), 0.1)
        .scaled(Some(r.jockey_current), 0.1)
        .u16(r.start_count_day)
        .u16(r.jockey_starts_day)
        .u32_low_first((r.pump1_run_hours * 10.0).round() as u32)
        .u32_low_first((r.pump2_run_hours * 10.0).round() as u32)
        .u32_low_first((r.jockey_run_hours as f32).to_bits())
        .u64_high_first((r.energy * 1000.0).round() as u64)
        .u16(r.patrol_result)
        .u16(r.pump_fault_code);
    let mut plate = Words::default();
    plate
        .text(r.model, 8, b' ')
        .scaled(Some(r.design_pressure), 0.01);
    Image(vec![
        discrete.block(Table::Discrete, 0),
        live.block(Table::Input, 0),
        plate.block(Table::Holding, 0),
    ])
}
