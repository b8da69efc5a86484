//! Units of measurement: what each measures, and how a number is converted between two of one kind.
//!
//! It is a table and never guesses: a unit that is not listed is not known, and between units of
//! different kinds nothing is converted.

/// What a unit measures. Only units of one quantity are converted into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Number,
    Temperature,
    Voltage,
    Current,
    Power,
    ReactivePower,
    ApparentPower,
    Energy,
    ReactiveEnergy,
    EnergyPerVolume,
    Frequency,
    Turns,
    Pressure,
    Length,
    Speed,
    Acceleration,
    Volume,
    Flow,
    Time,
    Months,
    Mass,
    Torque,
    Resistance,
    Conductivity,
    Explosive,
    Humidity,
    Share,
    AirContent,
    WaterContent,
    Turbidity,
    Acidity,
    Light,
    Level,
    SignalLevel,
    Angle,
}

/// One unit.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// How it is written in files and on pages.
    pub code: &'static str,
    quantity: Quantity,
    /// A number in the quantity's base unit is `number × factor + offset`.
    factor: f64,
    offset: f64,
    /// Other spellings, separated by spaces, for which this one is suggested.
    spellings: &'static str,
}

const fn unit(
    code: &'static str,
    quantity: Quantity,
    factor: f64,
    spellings: &'static str,
) -> Unit {
    Unit {
        code,
        quantity,
        factor,
        offset: 0.0,
        spellings,
    }
}

const fn degrees(code: &'static str, factor: f64, offset: f64, spellings: &'static str) -> Unit {
    Unit {
        code,
        quantity: Quantity::Temperature,
        factor,
        offset,
        spellings,
    }
}

/// How a rule writes that a number has no unit; a point then has none.
pub const NUMBER: &str = "1";

/// Every unit that points and rules may have. A point without a unit has the empty text.
pub const UNITS: &[Unit] = &[
    unit("%", Quantity::Number, 0.01, "percent pct 百分比"),
    degrees("°C", 1.0, 273.15, "c degc celsius 摄氏度 度c"),
    degrees(
        "°F",
        5.0 / 9.0,
        459.67 * 5.0 / 9.0,
        "f degf fahrenheit 华氏度",
    ),
    degrees("K", 1.0, 0.0, "kelvin 开"),
    unit("V", Quantity::Voltage, 1.0, "volt volts 伏 伏特"),
    unit("mV", Quantity::Voltage, 1e-3, "毫伏"),
    unit("kV", Quantity::Voltage, 1e3, "千伏"),
    unit("A", Quantity::Current, 1.0, "amp amps ampere 安 安培"),
    unit("mA", Quantity::Current, 1e-3, "毫安"),
    unit("W", Quantity::Power, 1.0, "watt watts 瓦"),
    unit("mW", Quantity::Power, 1e-3, "毫瓦"),
    unit("kW", Quantity::Power, 1e3, "千瓦"),
    unit("MW", Quantity::Power, 1e6, "兆瓦"),
    unit("var", Quantity::ReactivePower, 1.0, "乏"),
    unit("kvar", Quantity::ReactivePower, 1e3, "千乏"),
    unit("VA", Quantity::ApparentPower, 1.0, "伏安"),
    unit("kVA", Quantity::ApparentPower, 1e3, "千伏安"),
    unit("Wh", Quantity::Energy, 3.6e3, "瓦时"),
    unit("kWh", Quantity::Energy, 3.6e6, "kw*h 千瓦时 度"),
    unit("MWh", Quantity::Energy, 3.6e9, "兆瓦时"),
    unit("kJ", Quantity::Energy, 1e3, "千焦"),
    unit("MJ", Quantity::Energy, 1e6, "兆焦"),
    unit("GJ", Quantity::Energy, 1e9, "吉焦"),
    unit("varh", Quantity::ReactiveEnergy, 1.0, "乏时"),
    unit("kvarh", Quantity::ReactiveEnergy, 1e3, "千乏时"),
    unit("Hz", Quantity::Frequency, 1.0, "hertz 赫兹 赫"),
    unit("Pa", Quantity::Pressure, 1.0, "pascal 帕"),
    unit("kPa", Quantity::Pressure, 1e3, "千帕"),
    unit("MPa", Quantity::Pressure, 1e6, "兆帕"),
    unit("mbar", Quantity::Pressure, 1e2, "hpa 毫巴"),
    unit("bar", Quantity::Pressure, 1e5, "bars 巴"),
    unit("psi", Quantity::Pressure, 6_894.757_293_168, "psig"),
    unit("mH2O", Quantity::Pressure, 9_806.65, "mwc mh20 米水柱"),
    unit(
        "kgf/cm²",
        Quantity::Pressure,
        98_066.5,
        "kg/cm2 公斤 公斤力",
    ),
    unit("mm", Quantity::Length, 1e-3, "毫米"),
    unit("cm", Quantity::Length, 1e-2, "厘米"),
    unit("m", Quantity::Length, 1.0, "meter metre 米"),
    unit("km", Quantity::Length, 1e3, "千米 公里"),
    unit("ft", Quantity::Length, 0.3048, "feet foot 英尺"),
    unit("mm/s", Quantity::Speed, 1e-3, "毫米/秒"),
    unit("m/s", Quantity::Speed, 1.0, "mps 米/秒"),
    unit("m/s²", Quantity::Acceleration, 1.0, "m/s^2 m/ss"),
    unit("l", Quantity::Volume, 1e-3, "liter litre 升"),
    unit("m³", Quantity::Volume, 1.0, "m^3 cbm 立方米 方 吨水"),
    unit("l/s", Quantity::Flow, 1e-3, "lps 升/秒"),
    unit("l/min", Quantity::Flow, 1e-3 / 60.0, "lpm 升/分"),
    unit("l/h", Quantity::Flow, 1e-3 / 3600.0, "lph 升/时"),
    unit(
        "m³/h",
        Quantity::Flow,
        1.0 / 3600.0,
        "m^3/h cmh m3/hr 方/时 立方米/时 吨/时",
    ),
    unit("m³/min", Quantity::Flow, 1.0 / 60.0, "m^3/min cmm"),
    unit("gpm", Quantity::Flow, 0.003_785_411_784 / 60.0, "gal/min"),
    unit("Wh/m³", Quantity::EnergyPerVolume, 1.0, "wh/m^3"),
    unit("kWh/m³", Quantity::EnergyPerVolume, 1e3, "kwh/m^3"),
    unit("ms", Quantity::Time, 1e-3, "msec 毫秒"),
    unit("s", Quantity::Time, 1.0, "sec second seconds 秒"),
    unit("min", Quantity::Time, 60.0, "minute minutes 分 分钟"),
    unit("h", Quantity::Time, 3600.0, "hr hour hours 时 小时"),
    unit("d", Quantity::Time, 86_400.0, "day days 天 日"),
    unit("month", Quantity::Months, 1.0, "months 月 个月"),
    unit("rpm", Quantity::Turns, 1.0, "r/min 1/min min-1 转/分 转"),
    unit("g", Quantity::Mass, 1e-3, "gram 克"),
    unit("kg", Quantity::Mass, 1.0, "千克"),
    unit("t", Quantity::Mass, 1e3, "ton tonne 吨"),
    unit("N·m", Quantity::Torque, 1.0, "n-m 牛米 牛·米"),
    unit("Ω", Quantity::Resistance, 1.0, "ohms 欧 欧姆"),
    unit("mΩ", Quantity::Resistance, 1e-3, "毫欧"),
    unit("kΩ", Quantity::Resistance, 1e3, "千欧"),
    unit("MΩ", Quantity::Resistance, 1e6, "兆欧"),
    unit("µS/cm", Quantity::Conductivity, 1.0, "微西门子/厘米"),
    unit("%LEL", Quantity::Explosive, 1.0, "lel"),
    unit("%RH", Quantity::Humidity, 1.0, "rh 湿度"),
    unit("ppm", Quantity::Share, 1.0, ""),
    unit("mg/m³", Quantity::AirContent, 1.0, "mg/m^3"),
    unit("µg/m³", Quantity::AirContent, 1e-3, "ug/m^3"),
    unit("NTU", Quantity::Turbidity, 1.0, ""),
    unit("mg/l", Quantity::WaterContent, 1.0, ""),
    unit("pH", Quantity::Acidity, 1.0, ""),
    unit("lx", Quantity::Light, 1.0, "lux 勒克斯"),
    unit("dB", Quantity::Level, 1.0, "分贝"),
    unit("dBm", Quantity::SignalLevel, 1.0, ""),
    unit("°", Quantity::Angle, 1.0, "deg degree degrees"),
];

/// Why a limit can't be compared with a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The first unit is not known.
    Unknown,
    /// They measure different things.
    Different,
}

/// How numbers of one unit become numbers of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    factor: f64,
    offset: f64,
}

impl Conversion {
    const NONE: Conversion = Conversion {
        factor: 1.0,
        offset: 0.0,
    };

    /// From one unit into another; the empty text and `1` are a number without a unit, which is
    /// also that of a share that counts to 1.
    ///
    /// # Errors
    /// A unit that is not known, or units of different quantities.
    pub fn between(from: &str, to: &str) -> Result<Self, Mismatch> {
        let bare = |unit: &str| unit.is_empty() || unit == NUMBER;
        if from == to || (bare(from) && bare(to)) {
            return Ok(Self::NONE);
        }
        // Whoever writes "1" means a share; a text that is missing may be an oversight.
        if from == NUMBER && to == "%" {
            return Ok(Self {
                factor: 100.0,
                offset: 0.0,
            });
        }
        if bare(from) || bare(to) {
            return match find(if bare(from) { to } else { from }) {
                Some(_) => Err(Mismatch::Different),
                None => Err(Mismatch::Unknown),
            };
        }
        let (Some(one), Some(other)) = (find(from), find(to)) else {
            return Err(Mismatch::Unknown);
        };
        if one.quantity != other.quantity {
            return Err(Mismatch::Different);
        }
        Ok(Self {
            factor: one.factor / other.factor,
            offset: (one.offset - other.offset) / other.factor,
        })
    }

    /// Whether it changes nothing.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// A number.
    pub fn number(self, number: f64) -> f64 {
        if self.is_none() {
            return number;
        }
        short(number * self.factor + self.offset)
    }

    /// How far two numbers are apart.
    pub fn difference(self, difference: f64) -> f64 {
        if self.is_none() {
            return difference;
        }
        short(difference * self.factor)
    }
}

/// The number that people would have written: 12 digits, so that 0.38 MPa is 3.8 bar.
fn short(number: f64) -> f64 {
    format!("{number:.11e}").parse().unwrap_or(number)
}

/// A unit by its code.
pub fn find(code: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.code == code)
}

/// The units that a unit can be converted from, itself among them.
pub fn same_kind(code: &str) -> Vec<&'static str> {
    let quantity = find(code).map(|unit| unit.quantity);
    let same = |unit: &&Unit| Some(unit.quantity) == quantity;
    UNITS.iter().filter(same).map(|unit| unit.code).collect()
}

/// What a unit that is not known was probably meant to be: `°C` for `℃`, `kWh` for `KWH`. Several
/// where case alone would tell them apart.
pub fn meant(wrong: &str) -> Vec<&'static str> {
    let folded = fold(wrong);
    let is = |unit: &&Unit| fold(unit.code) == folded;
    let spelt = |unit: &&Unit| unit.spellings.split(' ').any(|one| fold(one) == folded);
    let mut found: Vec<_> = UNITS.iter().filter(is).collect();
    if found.is_empty() {
        found = UNITS.iter().filter(spelt).collect();
    }
    found.into_iter().map(|unit| unit.code).collect()
}

/// Without case, spaces, and the signs that are one for people and several for computers.
fn fold(text: &str) -> String {
    let mut folded = String::new();
    for c in text.chars() {
        match c {
            '℃' => folded.push_str("°c"),
            '℉' => folded.push_str("°f"),
            'º' | '˚' => folded.push('°'),
            '²' => folded.push('2'),
            '³' => folded.push('3'),
            '\u{B5}' | '\u{3BC}' => folded.push('u'),
            '\u{2126}' | '\u{3A9}' => folded.push_str("ohm"),
            '㎡' => folded.push_str("m2"),
            '㎥' => folded.push_str("m3"),
            '㎏' => folded.push_str("kg"),
            '㎜' => folded.push_str("mm"),
            '·' | '.' | '•' | '⋅' => {}
            c if c.is_whitespace() => {}
            c => folded.extend(crate::text::narrow(c).unwrap_or(c).to_lowercase()),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn convert(number: f64, from: &str, to: &str) -> Result<f64, Mismatch> {
        Conversion::between(from, to).map(|one| one.number(number))
    }

    #[test]
    fn numbers_are_converted_as_people_would() {
        for (number, from, to, expected) in [
            (0.15, "MPa", "bar", 1.5),
            (0.38, "MPa", "bar", 3.8),
            (0.6, "MPa", "kPa", 600.0),
            (0.6, "MPa", "mH2O", 61.182_972_779_3),
            (0.6, "MPa", "psi", 87.022_642_638_1),
            (0.6, "MPa", "kgf/cm²", 6.118_297_277_93),
            (5.0, "kW", "W", 5000.0),
            (40.0, "°C", "°F", 104.0),
            (5.0, "°C", "K", 278.15),
            (0.85, "1", "%", 85.0),
            (242.0, "V", "mV", 242_000.0),
            (10.0, "A", "mA", 10_000.0),
            (3.6, "m³/h", "l/s", 1.0),
            (36.0, "m³/h", "l/min", 600.0),
            (90.0, "s", "min", 1.5),
            (1.4, "m", "mm", 1400.0),
            (7.0, "bar", "bar", 7.0),
            (3.0, "1", "", 3.0),
        ] {
            let found = convert(number, from, to).unwrap();
            let near = (found - expected).abs() <= 1e-9 * expected.abs();
            assert!(near, "{number} {from} is {found} {to}");
        }
        let kelvin = Conversion::between("°C", "°F").unwrap();
        assert!((kelvin.difference(2.0) - 3.6).abs() < 1e-12);
    }

    #[test]
    fn what_measures_something_else_is_never_converted() {
        for (from, to) in [
            ("MPa", "m"),
            ("%", ""),
            ("%", "%LEL"),
            ("", "%"),
            ("", "bar"),
            ("bar", ""),
            ("W", "VA"),
            ("month", "d"),
        ] {
            let found = Conversion::between(from, to);
            assert_eq!(found, Err(Mismatch::Different), "{from} {to}");
        }
        assert_eq!(Conversion::between("bars", "bar"), Err(Mismatch::Unknown));
        assert_eq!(Conversion::between("bars", ""), Err(Mismatch::Unknown));
    }

    #[test]
    fn every_unit_goes_there_and_back() {
        let mut codes = BTreeSet::new();
        for one in UNITS {
            assert!(codes.insert(one.code), "{} twice", one.code);
            for other in UNITS {
                let Ok(there) = Conversion::between(one.code, other.code) else {
                    continue;
                };
                let back = Conversion::between(other.code, one.code).unwrap();
                let found = back.number(there.number(20.0));
                assert!((found - 20.0).abs() < 1e-6, "{} {}", one.code, other.code);
            }
        }
    }

    #[test]
    fn a_wrong_spelling_finds_its_unit() {
        for (wrong, right) in [
            ("℃", "°C"),
            ("C", "°C"),
            ("℉", "°F"),
            ("KWH", "kWh"),
            ("Kw", "kW"),
            ("mpa", "MPa"),
            ("Bar", "bar"),
            ("bars", "bar"),
            ("％", "%"),
            ("m3/h", "m³/h"),
            ("M3/H", "m³/h"),
            ("㎥", "m³"),
            ("L/s", "l/s"),
            ("HZ", "Hz"),
            ("ｋＷ", "kW"),
            ("公斤", "kgf/cm²"),
            ("r/min", "rpm"),
            ("ohm", "Ω"),
            ("ug/m3", "µg/m³"),
            ("小时", "h"),
        ] {
            assert_eq!(meant(wrong), [right], "{wrong}");
        }
        assert_eq!(meant("Mw"), ["mW", "MW"], "case alone tells them apart");
        assert_eq!(meant("furlong"), [""; 0]);
    }
}
