//! The registers of the fire panel, in the order of the manual (docs/reference/virtual-building.md §1.2).

use super::FirePanelReadings;
use crate::registers::{Image, Table, Words, bits};

/// Returns the register image of these readings.
pub(crate) fn image(r: &FirePanelReadings) -> Image {
    let mut system = Words::default();
    system
        .u16(state(r))
        .u16(r.loop1_fires)
        .u16(r.loop1_faults)
        .u16(r.loop1_disabled)
        .u16(r.loop2_fires)
        .u16(r.loop2_faults)
        .u16(r.loop2_disabled)
        .scaled(Some(r.battery_voltage), 0.01)
        .scaled(Some(r.mains_voltage), 0.1)
        .u16(u16::from_be_bytes([
            r.first_alarm_loop,
            r.first_alarm_address,
        ]))
        .text(&r.first_alarm_text, 12, 0)
        .u16(r.detector_dirt_max)
        .u16(u16::from_be_bytes([r.dirtiest_loop, r.dirtiest_address]))
        .u32_high_first(r.event_count)
        .bcd4((r.firmware * 100.0).round() as u32)
        .u16(r.sounders_on);
    system.0.resize(32, 0);
    let mut blocks = vec![system.block(Table::Holding, 0)];
    for (start, (points, dirt)) in [1000, 2000].into_iter().zip(r.points.iter().zip(&r.dirt)) {
        let mut states = Words::default();
        let mut chambers = Words::default();
        for point in points {
            states.u16(*point);
        }
        for dirt in dirt {
            chambers.u16(dirt.unwrap_or(u16::MAX));
        }
        blocks.push(states.block(Table::Holding, start));
        blocks.push(chambers.block(Table::Input, start));
    }
    Image(blocks)
}

/// The system word of GB/T 26875.3; bit 14 is this maker's own.
fn state(r: &FirePanelReadings) -> u16 {
    bits(&[
        r.normal,
        r.fire,
        r.fault,
        r.disabled,
        r.supervisory,
        r.started,
        r.feedback,
        r.delayed,
        r.mains_fault,
        r.battery_fault,
        r.bus_fault,
        r.manual_mode,
        r.config_changed,
        r.reset,
        r.prealarm,
    ])
}
