//! The scenarios: their names, their titles, and the assets to which they can happen.

use crate::asset::{ASSETS, Asset};
use crate::error::SimError;

/// A title in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Title {
    /// Chinese.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
}

/// Something that can be made to happen.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Name by which it is asked for.
    pub name: &'static str,
    /// What people read.
    pub title: Title,
    pub(crate) kind: Kind,
    default: Option<&'static str>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Entrapment,
    DoorFault,
    Smoke,
    DetectorDirty,
    FireMainsLoss,
    PumpOverload,
    DryRun,
    SumpHigh,
    MainsLoss,
    UnitSilent,
    UnitSlow,
    UnitLate,
    Garbage,
    BrokerDown,
    AllClear,
}

const fn scenario(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    zh: &'static str,
    en: &'static str,
) -> Scenario {
    Scenario {
        name,
        title: Title { zh, en },
        kind,
        default,
    }
}

/// Every scenario.
pub(crate) const SCENARIOS: [Scenario; 15] = [
    scenario(
        "entrapment",
        Kind::Entrapment,
        Some("A3"),
        "电梯困人",
        "Passengers trapped in an elevator",
    ),
    scenario(
        "door-fault",
        Kind::DoorFault,
        Some("A2"),
        "电梯关门故障",
        "Elevator door fails to close",
    ),
    scenario(
        "smoke",
        Kind::Smoke,
        Some("FP1"),
        "感烟探测器火警",
        "Smoke detector in alarm",
    ),
    scenario(
        "detector-dirty",
        Kind::DetectorDirty,
        Some("FP1"),
        "探测器积尘",
        "Smoke detector dirty",
    ),
    scenario(
        "fire-mains-loss",
        Kind::FireMainsLoss,
        Some("FP1"),
        "火灾报警控制器主电故障",
        "Fire panel without mains",
    ),
    scenario(
        "pump-overload",
        Kind::PumpOverload,
        Some("BW1"),
        "水泵过载",
        "Pump overloaded",
    ),
    scenario(
        "dry-run",
        Kind::DryRun,
        Some("BW1"),
        "水泵缺水",
        "Pumps without water",
    ),
    scenario(
        "sump-high",
        Kind::SumpHigh,
        Some("SP1"),
        "集水坑高水位",
        "Sump pit high",
    ),
    scenario(
        "mains-loss",
        Kind::MainsLoss,
        Some("A1"),
        "主电源断电",
        "Mains lost",
    ),
    scenario(
        "unit-silent",
        Kind::UnitSilent,
        Some("A6"),
        "设备无应答",
        "Unit doesn't answer",
    ),
    scenario(
        "unit-slow",
        Kind::UnitSlow,
        Some("A5"),
        "设备应答缓慢",
        "Unit answers slowly",
    ),
    scenario(
        "unit-late",
        Kind::UnitLate,
        Some("A5"),
        "设备应答迟到",
        "Unit answers too late",
    ),
    scenario(
        "garbage",
        Kind::Garbage,
        Some("A4"),
        "设备应答错乱",
        "Unit answers garbage",
    ),
    scenario(
        "broker-down",
        Kind::BrokerDown,
        None,
        "MQTT 服务中断",
        "MQTT broker down",
    ),
    scenario("all-clear", Kind::AllClear, None, "全部恢复", "All clear"),
];

impl Scenario {
    /// Finds a scenario by its name.
    pub(crate) fn find(name: &str) -> Result<&'static Self, SimError> {
        SCENARIOS
            .iter()
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| SimError::UnknownScenario(name.to_owned()))
    }

    /// Returns the asset to which it happens when `asked` was asked for; `None` means the whole building.
    pub(crate) fn asset(&self, asked: Option<&str>) -> Result<Option<Asset>, SimError> {
        let Some(code) = asked.or(self.default) else {
            return Ok(None);
        };
        let asset = Asset::find(code)?;
        if self.kind.suits(asset) {
            return Ok(Some(asset));
        }
        let suited: Vec<&str> = ASSETS
            .iter()
            .filter(|(_, asset)| self.kind.suits(*asset))
            .map(|(code, _)| *code)
            .collect();
        Err(SimError::UnsuitedAsset {
            scenario: self.name,
            asset: code.to_owned(),
            suited: if suited.is_empty() {
                "no asset".to_owned()
            } else {
                suited.join(", ")
            },
        })
    }
}

impl Kind {
    fn suits(self, asset: Asset) -> bool {
        let elevator = matches!(asset, Asset::Elevator(_));
        match self {
            Self::Entrapment | Self::DoorFault => elevator,
            Self::Smoke | Self::DetectorDirty | Self::FireMainsLoss => asset == Asset::FirePanel,
            Self::PumpOverload => {
                matches!(asset, Asset::Booster | Asset::FirePump | Asset::Sump(_))
            }
            Self::DryRun => asset == Asset::Booster,
            Self::SumpHigh => matches!(asset, Asset::Sump(_)),
            Self::MainsLoss => {
                elevator || matches!(asset, Asset::Booster | Asset::FirePump | Asset::Sump(_))
            }
            Self::UnitSilent | Self::UnitSlow | Self::UnitLate | Self::Garbage => {
                asset.unit().is_some()
            }
            Self::BrokerDown => false,
            Self::AllClear => true,
        }
    }
}

/// Returns the names of all scenarios, for a message.
pub(crate) fn names() -> String {
    SCENARIOS.map(|scenario| scenario.name).join(", ")
}

/// Returns the codes of all assets, for a message.
pub(crate) fn asset_codes() -> String {
    ASSETS.map(|(code, _)| code).join(", ")
}
