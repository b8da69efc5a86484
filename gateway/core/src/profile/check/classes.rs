//! What classes of equipment must have, and which points tell of a fault.
//!
//! A class that is not listed may be used: it has no point it must have.

use crate::model::PointKind;
use crate::profile::PointRow;

/// A class of asset that the project knows.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// What else people call it.
    pub also: &'static [&'static str],
    /// The points it must have: of each list one.
    pub required: &'static [&'static [&'static str]],
    /// The fault family that such a device is watched for above all, where it guards life.
    pub guards: Option<&'static str>,
}

/// The classes that must have certain points.
pub const CLASSES: &[Class] = &[
    Class {
        name: "elevator",
        also: &["lift", "elevators", "lifts", "passenger_lift", "dianti"],
        required: &[&["floor"], &["door_zone"], &["door_closed", "door_open"]],
        guards: Some("entrapment"),
    },
    Class {
        name: "fire_panel",
        also: &[
            "fire_alarm",
            "fire_alarm_panel",
            "facp",
            "fire",
            "fire_alarm_control_panel",
        ],
        required: &[
            &["fire", "loop1_detector_alarms"],
            &["fault", "fault_count"],
        ],
        guards: Some("fire"),
    },
    Class {
        name: "fire_pump",
        also: &["fire_pumps", "fire_water", "sprinkler_pump", "hydrant_pump"],
        required: &[&["selector_auto"], &["running"], &["fault"]],
        guards: None,
    },
    Class {
        name: "pump_set",
        also: &[
            "booster",
            "booster_set",
            "booster_pump",
            "pumpset",
            "water_supply",
            "pump_station",
        ],
        required: &[&["outlet_pressure"]],
        guards: None,
    },
    Class {
        name: "pump",
        also: &["pumps", "water_pump"],
        required: &[&["running", "speed"]],
        guards: None,
    },
    Class {
        name: "sump",
        also: &[
            "pit",
            "sump_pit",
            "sump_pump",
            "drainage",
            "sewage",
            "sewage_pump",
        ],
        required: &[&["level", "high_level"]],
        guards: Some("flooding"),
    },
    Class {
        name: "tank",
        also: &["water_tank", "tanks", "cistern"],
        required: &[&["level"]],
        guards: None,
    },
    Class {
        name: "drive",
        also: &[
            "vfd",
            "vsd",
            "inverter",
            "frequency_converter",
            "variable_speed_drive",
        ],
        required: &[&["output_frequency"], &["fault", "fault_code"]],
        guards: None,
    },
    Class {
        name: "meter",
        also: &[
            "metre",
            "power_meter",
            "energy_meter",
            "electricity_meter",
            "electric_meter",
        ],
        required: &[&["active_power"], &["energy"]],
        guards: None,
    },
];

/// Words in the name of a point, or in a code of an enumeration, that tell of a fault.
const FAULT_WORDS: &[&str] = &[
    "alarm",
    "alarms",
    "bad",
    "blocked",
    "broken",
    "detected",
    "dry",
    "emergency",
    "entrapment",
    "error",
    "errors",
    "fail",
    "failed",
    "failure",
    "fault",
    "faults",
    "faulty",
    "fire",
    "fires",
    "flood",
    "flooded",
    "flooding",
    "gas",
    "highlevel",
    "jam",
    "jammed",
    "leak",
    "leakage",
    "lost",
    "overcurrent",
    "overflow",
    "overheat",
    "overheated",
    "overload",
    "overpressure",
    "overspeed",
    "overtemp",
    "overtemperature",
    "overtravel",
    "overvoltage",
    "prealarm",
    "prealarms",
    "smoke",
    "supervisory",
    "trapped",
    "trip",
    "tripped",
    "trouble",
    "troubles",
    "undervoltage",
    "warning",
    "warnings",
];

/// Parts of a Chinese name that tell of a fault.
const FAULT_PARTS: &[&str] = &[
    "故障",
    "报警",
    "告警",
    "火警",
    "预警",
    "警告",
    "跳闸",
    "泄漏",
    "漏水",
    "漏电",
    "漏气",
    "溢流",
    "溢水",
    "困人",
    "过载",
    "过流",
    "过压",
    "欠压",
    "过热",
    "超温",
    "超速",
    "缺相",
    "断相",
    "错相",
    "缺水",
    "高液位",
    "高水位",
    "超高",
    "超压",
    "失压",
    "短路",
    "失败",
    "异常",
    "堵转",
    "堵塞",
    "急停",
    "停电",
    "烟感",
    "淹水",
    "水浸",
];

/// Names of two words that tell of a fault only together.
const FAULT_PAIRS: &[&str] = &[
    "high_high",
    "low_low",
    "high_level",
    "high_water",
    "water_high",
    "phase_loss",
    "no_water",
];

/// Whether a point is of a kind that alarm rules should look at: a flag, an enumeration or a count
/// whose name or codes tell of a fault.
pub fn tells_of_a_fault(row: &PointRow) -> bool {
    match row.kind {
        PointKind::Flag | PointKind::Counter => names_a_fault(row),
        PointKind::Enum => {
            let mut codes = row.meanings.values();
            names_a_fault(row) || codes.any(|one| has_fault_word(&one.code))
        }
        PointKind::Analog | PointKind::Text => false,
    }
}

fn names_a_fault(row: &PointRow) -> bool {
    let of = |text: &str| FAULT_PARTS.iter().any(|part| text.contains(part));
    has_fault_word(&row.point) || of(&row.name.zh)
}

fn has_fault_word(name: &str) -> bool {
    let mut words = name.split('_');
    let plain = |word: &str| word.trim_matches(|c: char| c.is_ascii_digit()).to_owned();
    words.any(|word| FAULT_WORDS.contains(&plain(word).as_str()))
        || FAULT_PAIRS.iter().any(|pair| name.contains(pair))
}
