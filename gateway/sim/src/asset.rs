//! The assets of the building: their codes, their Modbus units, and what they are called.

use crate::error::SimError;

/// One asset of the building.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asset {
    /// Index from 0: `A1` is 0.
    Elevator(usize),
    FirePanel,
    FirePump,
    Booster,
    /// Index from 0: `SP1` is 0.
    Sump(usize),
    Tank,
}

/// Every asset with its code.
pub(crate) const ASSETS: [(&str, Asset); 12] = [
    ("A1", Asset::Elevator(0)),
    ("A2", Asset::Elevator(1)),
    ("A3", Asset::Elevator(2)),
    ("A4", Asset::Elevator(3)),
    ("A5", Asset::Elevator(4)),
    ("A6", Asset::Elevator(5)),
    ("FP1", Asset::FirePanel),
    ("FPU1", Asset::FirePump),
    ("BW1", Asset::Booster),
    ("SP1", Asset::Sump(0)),
    ("SP2", Asset::Sump(1)),
    ("TK1", Asset::Tank),
];

impl Asset {
    /// Finds an asset by its code.
    pub(crate) fn find(code: &str) -> Result<Self, SimError> {
        ASSETS
            .iter()
            .find(|(name, _)| *name == code)
            .map(|(_, asset)| *asset)
            .ok_or_else(|| SimError::UnknownAsset(code.to_owned()))
    }

    /// Finds the asset behind a Modbus unit id.
    pub(crate) fn by_unit(unit: u8) -> Option<Self> {
        ASSETS
            .iter()
            .map(|(_, asset)| *asset)
            .find(|asset| asset.unit() == Some(unit))
    }

    /// Returns the asset's code.
    pub(crate) fn code(self) -> &'static str {
        ASSETS
            .iter()
            .find(|(_, asset)| *asset == self)
            .map_or("?", |(code, _)| code)
    }

    /// Returns its Modbus unit id; `None` for assets on MQTT.
    pub(crate) fn unit(self) -> Option<u8> {
        match self {
            Self::Elevator(index) => u8::try_from(index + 1).ok(),
            Self::FirePanel => Some(10),
            Self::FirePump => Some(20),
            Self::Booster | Self::Sump(_) | Self::Tank => None,
        }
    }
}
