//! The registers of an elevator, in the order of the manual (docs/reference/virtual-building.md §1.1).

use super::ElevatorReadings;
use crate::registers::{Image, Table, Words, bits};

/// Returns the register image of these readings.
pub(crate) fn image(r: &ElevatorReadings) -> Image {
    let mut live = Words::default();
    live.u16(r.service_mode)
        .u16(status(r))
        .i16(Some(r.floor))
        .u16(r.door_state)
        .u16(r.fault_code)
        .scaled_i16(Some(r.speed), 0.001)
        .u32_low_first(r.car_position as u32)
        .scaled(r.load, 0.1)
        .scaled_i16(r.machine_room_temperature, 0.1)
        .u32_high_first(r.run_count)
        .u32_low_first(r.door_cycles)
        .u32_high_first((r.run_hours as f32).to_bits())
        .scaled(r.motor_current, 0.1)
        .scaled(r.supply_voltage, 0.1)
        .bcd4(r.trips_today)
        .i16(r.target_floor);
    let mut plate = Words::default();
    plate
        .text(r.model, 8, b' ')
        .bcd8(r.serial_number)
        .u16(r.rated_load)
        .scaled(Some(r.rated_speed), 0.01)
        .i16(Some(r.lowest_floor))
        .i16(Some(r.highest_floor));
    Image(vec![
        live.block(Table::Input, 0),
        plate.block(Table::Holding, 100),
    ])
}

fn status(r: &ElevatorReadings) -> u16 {
    bits(&[
        r.car_moving,
        r.door_zone,
        r.door_closed,
        r.passenger_present,
        r.alarm_button,
        r.trapped,
        r.mains,
        r.safety_circuit,
        r.overload,
        r.overspeed,
    ]) | (r.direction << 12)
}
