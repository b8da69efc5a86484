//! What classes of equipment must have, and the units that points may have.
//!
//! A class that is not listed may be used: it has no point it must have.

/// A class of asset that the project knows.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// The points it must have: of each list one.
    pub required: &'static [&'static [&'static str]],
}

/// The classes that must have certain points.
pub const CLASSES: &[Class] = &[
    Class {
        name: "elevator",
        required: &[&["floor"], &["door_zone"], &["door_closed", "door_open"]],
    },
    Class {
        name: "fire_panel",
        required: &[
            &["fire", "loop1_detector_alarms"],
            &["fault", "fault_count"],
        ],
    },
    Class {
        name: "fire_pump",
        required: &[&["selector_auto"], &["running"], &["fault"]],
    },
    Class {
        name: "pump_set",
        required: &[&["outlet_pressure"]],
    },
    Class {
        name: "pump",
        required: &[&["running", "speed"]],
    },
    Class {
        name: "sump",
        required: &[&["level", "high_level"]],
    },
    Class {
        name: "tank",
        required: &[&["level"]],
    },
    Class {
        name: "drive",
        required: &[&["output_frequency"], &["fault", "fault_code"]],
    },
    Class {
        name: "meter",
        required: &[&["active_power"], &["energy"]],
    },
];

/// The units that points may have; the empty one is for points that have none.
pub const UNITS: &[&str] = &[
    "", "%", "°C", "K", "V", "mV", "A", "mA", "W", "kW", "MW", "var", "kvar", "VA", "kVA", "Wh",
    "kWh", "MWh", "varh", "kvarh", "Hz", "Pa", "kPa", "MPa", "mbar", "bar", "mm", "cm", "m", "km",
    "mm/s", "m/s", "m/s²", "l", "m³", "l/s", "l/min", "m³/h", "Wh/m³", "ms", "s", "min", "h", "d",
    "month", "rpm", "g", "kg", "t", "N·m", "Ω", "mΩ", "kΩ", "MΩ", "%LEL", "%RH", "ppm", "mg/m³",
    "µg/m³", "NTU", "mg/l", "pH", "lx", "dB", "dBm", "°",
];
