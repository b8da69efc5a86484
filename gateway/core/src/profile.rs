//! Profiles: what a make and model of device says on the wire, as data.
//!
//! A profile can only read. There is no section for writing, and unknown keys are refused,
//! so that no profile of a fire panel or an elevator can ever command one.

pub mod check;
pub mod decode;
pub mod plan;

use crate::model::{AssetId, Meaning, Point, PointKind};
use crate::text::Text;
use crate::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One profile file, `config/profiles/<class>/<maker-model>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, the same as the file's.
    pub id: String,
    /// The class of asset it describes.
    pub class: String,
    /// What it is, as people say it.
    pub title: Text,
    /// How far the map was proved.
    pub trust: Trust,
    /// Where the map comes from.
    pub source: String,
    /// How Modbus is read; absent for a device that only speaks MQTT.
    #[serde(default)]
    pub modbus: Option<ModbusSettings>,
    /// How MQTT is read; absent for a device that only speaks Modbus.
    #[serde(default)]
    pub mqtt: Option<MqttSettings>,
    /// Meanings that several enumerations share, by a name that rows give in `meanings_of`.
    #[serde(default)]
    pub meanings: BTreeMap<String, BTreeMap<String, MeaningRow>>,
    /// Points that tell of a fault and that no alarm rule looks at, and why none does; `{n}` in a name
    /// is any number.
    #[serde(default)]
    pub unwatched: BTreeMap<String, String>,
    /// The points.
    #[serde(rename = "point")]
    pub points: Vec<PointRow>,
}

/// How far a map was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Copied from a manual.
    Transcribed,
    /// Tried against a device or simulator on a bench.
    Bench,
    /// Proved on a site.
    Field,
}

impl Trust {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Trust::Transcribed => "transcribed",
            Trust::Bench => "bench",
            Trust::Field => "field",
        }
    }
}

/// How a device's registers are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModbusSettings {
    /// The most registers in one request, 1 to 125.
    #[serde(default = "most_registers")]
    pub max_registers: u16,
    /// Unused registers read through rather than asked around.
    #[serde(default = "usual_gap")]
    pub max_gap: u16,
    /// How often each poll class is read.
    #[serde(default)]
    pub poll: PollPeriods,
    /// The only unit id that the points are true of; absent when they are the same for every one.
    #[serde(default)]
    pub unit: Option<u8>,
}

impl Default for ModbusSettings {
    fn default() -> Self {
        Self {
            max_registers: most_registers(),
            max_gap: usual_gap(),
            poll: PollPeriods::default(),
            unit: None,
        }
    }
}

fn most_registers() -> u16 {
    125
}

fn usual_gap() -> u16 {
    16
}

/// How often each poll class is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PollPeriods {
    /// States and faults.
    pub fast: Duration,
    /// Measured values.
    pub normal: Duration,
    /// Counters and temperatures.
    pub slow: Duration,
}

impl PollPeriods {
    /// The period of one class.
    pub fn of(&self, class: PollClass) -> Duration {
        match class {
            PollClass::Fast => self.fast,
            PollClass::Normal => self.normal,
            PollClass::Slow => self.slow,
        }
    }
}

impl Default for PollPeriods {
    fn default() -> Self {
        Self {
            fast: Duration::from_millis(500),
            normal: Duration::from_secs(1),
            slow: Duration::from_secs(10),
        }
    }
}

/// How often a point is read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PollClass {
    /// States and faults.
    Fast,
    /// Measured values.
    #[default]
    Normal,
    /// Counters and temperatures.
    Slow,
}

/// How a device's messages are read. `{topic}` in a filter stands for the asset's own topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// The retained topic that says whether the device is there.
    #[serde(default)]
    pub availability: Option<Availability>,
    /// Where a JSON message carries its own time, as a JSON pointer.
    #[serde(default)]
    pub time: Option<TimeField>,
    /// How often the device sends; three missed ones make it stale.
    pub period: Duration,
    /// A whole message from the manual, which examples without a payload of their own decode.
    #[serde(default)]
    pub sample: String,
}

/// The topic that says whether a device is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// The topic.
    pub topic: String,
    /// The payload that means it is there.
    pub online: String,
    /// The payload that means it is gone.
    pub offline: String,
}

/// Where a message carries its own time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TimeField {
    /// The JSON pointer, for example `/ts`.
    pub pointer: String,
    /// How the time is written.
    pub format: TimeFormat,
    /// The device's time zone, for example `Asia/Shanghai`, for texts that do not name one.
    #[serde(default)]
    pub zone: Option<String>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// Milliseconds since 1970.
    UnixMs,
    /// Seconds since 1970, with or without a fraction.
    UnixS,
    /// Microseconds since 1970.
    UnixUs,
    /// Text as RFC 3339 has it, and its common variants: a space for the `T`, `+0100`, no zone.
    Rfc3339,
}

/// One point of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PointRow {
    /// Its name within the asset, `snake_case`.
    pub point: String,
    /// The name people read.
    pub name: Text,
    /// What kind of value it has.
    pub kind: PointKind,
    /// The unit, empty when it has none.
    #[serde(default)]
    pub unit: String,
    /// Digits after the decimal point when shown.
    #[serde(default)]
    pub decimals: u8,
    /// Where it stands in the device's registers.
    #[serde(default)]
    pub modbus: Option<RegisterRow>,
    /// Where it stands in the device's messages.
    #[serde(default)]
    pub mqtt: Option<MessageRow>,
    /// The value shown is `raw × scale + offset`.
    #[serde(default = "one")]
    pub scale: f64,
    /// See `scale`.
    #[serde(default)]
    pub offset: f64,
    /// For an enumeration: the raw value (as a key) and what it means.
    #[serde(default)]
    pub meanings: BTreeMap<String, MeaningRow>,
    /// The name of shared meanings, instead of `meanings`.
    #[serde(default)]
    pub meanings_of: Option<String>,
    /// Raw values by which the device says "not available".
    #[serde(default)]
    pub invalid: Vec<i64>,
    /// What is physically possible, in the unit; a value outside is bad.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// How often it is read.
    #[serde(default)]
    pub poll: PollClass,
    /// A change smaller than this is not stored as a change.
    #[serde(default)]
    pub deadband: f64,
    /// A worked example from the manual, which the test suite decodes.
    #[serde(default)]
    pub example: Option<Example>,
}

fn one() -> f64 {
    1.0
}

/// What one raw value of an enumeration means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MeaningRow {
    /// The stable code stored as the value, `snake_case`.
    pub code: String,
    /// What people read.
    pub zh: String,
    /// What people read.
    pub en: String,
}

/// Where a point stands in the device's registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRow {
    /// The table.
    pub table: Table,
    /// The address on the wire, from 0.
    pub address: u16,
    /// The number the manual prints, as a label only.
    #[serde(default)]
    pub printed: String,
    /// How the bytes are read.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// For 32 and 64 bits: the order of the bytes, first on the wire first. `abcd` is plain big-endian.
    #[serde(default)]
    pub order: ByteOrder,
    /// For `string`: how many registers.
    #[serde(default)]
    pub length: u16,
    /// For a flag or a small number inside a register: the lowest bit, 0 to 15.
    #[serde(default)]
    pub bit: Option<u8>,
    /// With `bit`: how many bits, 1 by default.
    #[serde(default)]
    pub bits: Option<u8>,
    /// For a flag: set means false.
    #[serde(default)]
    pub inverted: bool,
}

impl RegisterRow {
    /// How many registers the value takes; for a coil or discrete input 1 bit.
    pub fn words(&self) -> u16 {
        if matches!(self.table, Table::Coil | Table::Discrete) {
            return 1;
        }
        match self.data_type {
            DataType::Bool | DataType::I16 | DataType::U16 | DataType::Bcd16 => 1,
            DataType::I32 | DataType::U32 | DataType::F32 | DataType::Bcd32 => 2,
            DataType::I64 | DataType::U64 | DataType::F64 => 4,
            DataType::String => self.length,
        }
    }
}

/// A table of a Modbus device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Function 1.
    Coil,
    /// Function 2.
    Discrete,
    /// Function 3.
    Holding,
    /// Function 4.
    Input,
}

impl Table {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Table::Coil => "coil",
            Table::Discrete => "discrete",
            Table::Holding => "holding",
            Table::Input => "input",
        }
    }
}

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// One bit: a coil, a discrete input, or with `bit` one of a register.
    Bool,
    /// Signed 16 bits.
    I16,
    /// Unsigned 16 bits.
    U16,
    /// Signed 32 bits, two registers.
    I32,
    /// Unsigned 32 bits, two registers.
    U32,
    /// Signed 64 bits, four registers.
    I64,
    /// Unsigned 64 bits, four registers.
    U64,
    /// IEEE 754, two registers.
    F32,
    /// IEEE 754, four registers.
    F64,
    /// Four decimal digits in one register.
    Bcd16,
    /// Eight decimal digits in two registers.
    Bcd32,
    /// ASCII or UTF-8, two bytes a register, ended by a zero byte or the length.
    String,
}

/// The order of bytes of a value of 32 or 64 bits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ByteOrder {
    /// High word first, high byte first.
    #[default]
    Abcd,
    /// Low word first, high byte first.
    Cdab,
    /// High word first, low byte first.
    Badc,
    /// Low word first, low byte first.
    Dcba,
}

/// Where a point stands in the device's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageRow {
    /// The topic filter; `{topic}` stands for the asset's own topic.
    pub topic: String,
    /// How the payload is read.
    pub read: MessageFormat,
    /// For a flag inside a whole number: its bit, 0 is the lowest.
    #[serde(default)]
    pub bit: Option<u8>,
}

/// How a payload is read, for example `{ json = "/pump/1/running" }` or `"raw"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MessageFormat {
    /// JSON: the pointer to the value.
    Json(String),
    /// The whole payload is the value, as text.
    Raw,
    /// Comma-separated text.
    Csv {
        /// The column, from 0.
        column: u16,
    },
    /// Hexadecimal text holding a big-endian unsigned number.
    Hex {
        /// Its first byte, from 0.
        first: u16,
        /// How many bytes, 1 to 8.
        length: u16,
    },
}

/// A worked example from the manual. `raw` for registers; for messages `payload`, or the sample
/// of the whole profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The registers (or bits as 0 and 1) of this point alone.
    #[serde(default)]
    pub raw: Vec<u16>,
    /// The whole payload of a message.
    #[serde(default)]
    pub payload: String,
    /// The value it must decode to.
    pub value: ExampleValue,
}

/// The value of an example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ExampleValue {
    /// A flag.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text or an enumeration's code.
    Text(String),
}

impl Profile {
    /// Gives each row that names shared meanings its own copy. Done once, right after reading.
    pub fn share_meanings(&mut self) {
        for row in &mut self.points {
            let shared = row.meanings_of.as_ref();
            if let Some(shared) = shared.and_then(|name| self.meanings.get(name)) {
                row.meanings.clone_from(shared);
            }
        }
    }

    /// How often a point comes: its poll class, or the period of the device's messages.
    fn period(&self, row: &PointRow) -> Duration {
        let polled = self.modbus.as_ref().filter(|_| row.modbus.is_some());
        let polled = polled.map(|modbus| modbus.poll.of(row.poll));
        let sent = self.mqtt.as_ref().filter(|_| row.mqtt.is_some());
        polled.max(sent.map(|mqtt| mqtt.period)).unwrap_or_default()
    }

    /// The points as the model holds them; their asset and key are filled in by the model.
    pub fn model_points(&self) -> impl Iterator<Item = Point> + '_ {
        self.points.iter().map(|row| Point {
            asset: AssetId(0),
            point: row.point.as_str().into(),
            key: "".into(),
            name: Arc::new(row.name.clone()),
            kind: row.kind,
            unit: row.unit.as_str().into(),
            decimals: row.decimals,
            meanings: known_meanings(row).into(),
            range: row.range,
            deadband: row.deadband,
            period: self.period(row),
        })
    }
}

/// Each code once: several raw values may mean the same.
fn known_meanings(row: &PointRow) -> Vec<Meaning> {
    let mut known: Vec<Meaning> = Vec::new();
    for one in row.meanings.values() {
        if !known.iter().any(|meaning| *meaning.code == *one.code) {
            known.push(Meaning {
                code: one.code.as_str().into(),
                name: Text::new(&one.zh, &one.en),
            });
        }
    }
    known
}

#[cfg(test)]
pub(crate) mod tests;
