//! What the building is: site, locations, assets, points and the rules bound to them.
//!
//! A model is made once from the configuration and never changes while the gateway runs.
//! It holds no values and no driver addresses.

use crate::alarm::rule::BoundRule;
use crate::profile::{Profile, Trust};
use crate::text::Text;
use crate::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

macro_rules! index_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The place in the model's list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index_id!(
    /// An asset, by its place in [`Model::assets`]. Valid for one run only; people and tables use its code.
    AssetId
);
index_id!(
    /// A point, by its place in [`Model::points`]. Valid for one run only; people and tables use its key.
    PointId
);
index_id!(
    /// A rule bound to one asset, by its place in [`Model::rules`]. Valid for one run only.
    RuleId
);

/// The site that this gateway watches.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Short code, used in topics and tags.
    pub code: String,
    /// The name people read.
    pub name: Text,
    /// The zone whose calendar day numbers the work orders.
    pub time_zone: chrono_tz::Tz,
}

/// A place inside the site: a building, a floor, a room.
#[derive(Debug, Clone, PartialEq)]
pub struct Location {
    /// Short code, unique in the site.
    pub code: String,
    /// The name people read.
    pub name: Text,
}

/// One piece of equipment.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// The short code on the equipment's label, unique in the site, for example `A3`.
    pub code: String,
    /// The class: `elevator`, `fire_panel`, `pump_set`, ….
    pub class: String,
    /// The name people read.
    pub name: Text,
    /// Where it stands, when the configuration says.
    pub location: Option<Location>,
    /// The profile that describes its points.
    pub profile: String,
    /// How far the profile was proved.
    pub trust: Trust,
    /// The link it is reached by.
    pub link: String,
    /// Out of service by configuration: nothing is read, nothing is judged.
    pub disabled: bool,
    /// Its points: a range of [`Model::points`].
    pub points: Range<u32>,
    /// Its rules: a range of [`Model::rules`].
    pub rules: Range<u32>,
    /// Without a usable sample for this long, its points are stale.
    pub stale_after: Duration,
}

/// What kind of value a point has; fixes its field type in every store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// A measured value with a unit; always stored as a float.
    Analog,
    /// True or false.
    Flag,
    /// A whole number that only grows or counts.
    Counter,
    /// One of a fixed set of codes.
    Enum,
    /// Free text.
    Text,
}

/// A meaning of one code of an enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// The stable code stored as the value.
    pub code: Arc<str>,
    /// What people read.
    pub name: Text,
}

/// One point of one asset. What its profile says of it is shared with every asset of that profile:
/// a site may have tens of thousands of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The asset it belongs to.
    pub asset: AssetId,
    /// Its name within the asset, for example `car_position`.
    pub point: Arc<str>,
    /// Its key in the whole site, `{asset}/{point}`.
    pub key: Arc<str>,
    /// The name people read.
    pub name: Arc<Text>,
    /// What kind of value it has.
    pub kind: PointKind,
    /// The unit, empty when it has none.
    pub unit: Arc<str>,
    /// Digits after the decimal point when shown.
    pub decimals: u8,
    /// The meanings of an enumeration's codes.
    pub meanings: Arc<[Meaning]>,
    /// The range shown as normal or possible, in the unit, when the profile gives one.
    pub range: Option<(f64, f64)>,
    /// A change smaller than this is not stored as a change; zero stores every change.
    pub deadband: f64,
    /// How often its profile says that it comes.
    pub period: Duration,
}

/// Everything the building is.
#[derive(Debug, Clone)]
pub struct Model {
    /// The site.
    pub site: Site,
    /// Every asset, in the order of the configuration.
    pub assets: Vec<Asset>,
    /// Every point; those of one asset stand together.
    pub points: Vec<Point>,
    /// Every rule, bound to its asset; those of one asset stand together.
    pub rules: Vec<BoundRule>,
    /// Who is called for which trade.
    pub rota: Vec<RotaEntry>,
    /// Working rules of the site for its orders.
    pub policy: Policy,
    asset_by_code: BTreeMap<String, AssetId>,
}

/// One line of the rota: who takes the orders of a class of asset.
#[derive(Debug, Clone, PartialEq)]
pub struct RotaEntry {
    /// The class of asset; `None` takes every class that no other entry names.
    pub class: Option<String>,
    /// The person's user name.
    pub person: String,
}

/// Working rules of the site for its orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A fault back within this time after closing re-opens its order.
    pub reopen_window: Duration,
    /// An order that nobody accepted within this time is told again, wider; zero never does.
    pub escalate_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reopen_window: Duration::from_secs(72 * 3600),
            escalate_after: Duration::from_secs(600),
        }
    }
}

/// What the configuration says of one asset, before its points are numbered.
#[derive(Debug, Clone)]
pub struct AssetSpec {
    /// See [`Asset::code`].
    pub code: String,
    /// The name people read.
    pub name: Text,
    /// Where it stands.
    pub location: Option<Location>,
    /// The profile that describes it; also gives the class.
    pub profile: Arc<Profile>,
    /// The link it is reached by.
    pub link: String,
    /// Out of service by configuration.
    pub disabled: bool,
    /// See [`Asset::stale_after`].
    pub stale_after: Duration,
    /// The rules for this asset, overrides applied.
    pub rules: Vec<Arc<crate::alarm::rule::AlarmRule>>,
}

/// A fault in the pieces a model is made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Two assets share a code.
    #[error("asset code \"{0}\" is used twice; give each asset its own code")]
    DuplicateAsset(String),
    /// A rule names a point that the asset's profile does not have.
    #[error(
        "rule \"{rule}\" of asset \"{asset}\" names point \"{point}\", which profile \"{profile}\" does not have"
    )]
    UnknownPoint {
        /// The rule's id.
        rule: String,
        /// The asset's code.
        asset: String,
        /// The point named.
        point: String,
        /// The asset's profile.
        profile: String,
    },
}

impl Model {
    /// Numbers assets, points and rules, and binds each rule to its asset's points.
    pub fn build(
        site: Site,
        specs: Vec<AssetSpec>,
        rota: Vec<RotaEntry>,
        policy: Policy,
    ) -> Result<Self, ModelError> {
        let mut model = Model {
            site,
            assets: Vec::with_capacity(specs.len()),
            points: Vec::new(),
            rules: Vec::new(),
            rota,
            policy,
            asset_by_code: BTreeMap::new(),
        };
        let mut rows: BTreeMap<String, (Arc<Profile>, Vec<Point>)> = BTreeMap::new();
        for spec in specs {
            let (profile, rows) = rows.entry(spec.profile.id.clone()).or_insert_with(|| {
                let rows = spec.profile.model_points().collect();
                (spec.profile.clone(), rows)
            });
            if !Arc::ptr_eq(profile, &spec.profile) {
                (*profile, *rows) = (spec.profile.clone(), spec.profile.model_points().collect());
            }
            model.add(spec, rows)?;
        }
        Ok(model)
    }

    /// Adds an asset; `rows` are the points of its profile.
    fn add(&mut self, spec: AssetSpec, rows: &[Point]) -> Result<(), ModelError> {
        let id = AssetId(small(self.assets.len()));
        if self.asset_by_code.insert(spec.code.clone(), id).is_some() {
            return Err(ModelError::DuplicateAsset(spec.code));
        }
        let first_point = small(self.points.len());
        self.points.extend(rows.iter().map(|row| Point {
            asset: id,
            key: format!("{}/{}", spec.code, row.point).into(),
            ..row.clone()
        }));
        let points = first_point..small(self.points.len());
        let first_rule = small(self.rules.len());
        for rule in &spec.rules {
            let bound = BoundRule::bind(rule.clone(), id, |point| self.point_of(&points, point));
            self.rules
                .push(bound.map_err(|point| ModelError::UnknownPoint {
                    rule: rule.id.clone(),
                    asset: spec.code.clone(),
                    point,
                    profile: spec.profile.id.clone(),
                })?);
        }
        self.guard_vital_points(first_rule as usize);
        self.assets.push(Asset {
            code: spec.code,
            class: spec.profile.class.clone(),
            name: spec.name,
            location: spec.location,
            profile: spec.profile.id.clone(),
            trust: spec.profile.trust,
            link: spec.link,
            disabled: spec.disabled,
            points,
            rules: first_rule..small(self.rules.len()),
            stale_after: spec.stale_after,
        });
        Ok(())
    }

    /// Gives the rules of an asset that watch over its readability the points to watch: those of its
    /// rules that guard life or are urgent.
    fn guard_vital_points(&mut self, first_rule: usize) {
        let rules = self.rules.get_mut(first_rule..).unwrap_or_default();
        let vital = rules.iter().filter(|rule| rule.is_vital());
        let points: BTreeSet<_> = vital.flat_map(|rule| rule.points.iter().copied()).collect();
        for rule in rules.iter_mut().filter(|rule| rule.is_of_blindness()) {
            rule.blind_without = points.iter().copied().collect();
        }
    }

    fn point_of(&self, points: &Range<u32>, name: &str) -> Option<PointId> {
        points
            .clone()
            .map(PointId)
            .find(|id| &*self.points[id.index()].point == name)
    }

    /// An asset by its id.
    pub fn asset(&self, id: AssetId) -> &Asset {
        &self.assets[id.index()]
    }

    /// A point by its id.
    pub fn point(&self, id: PointId) -> &Point {
        &self.points[id.index()]
    }

    /// A rule by its id.
    pub fn rule(&self, id: RuleId) -> &BoundRule {
        &self.rules[id.index()]
    }

    /// An asset by its code.
    pub fn asset_by_code(&self, code: &str) -> Option<AssetId> {
        self.asset_by_code.get(code).copied()
    }

    /// A point by its key, for example `A3/car_position`.
    pub fn point_by_key(&self, key: &str) -> Option<PointId> {
        let (asset, name) = key.rsplit_once('/')?;
        let asset = self.asset_by_code(asset)?;
        self.point_of(&self.asset(asset).points, name)
    }

    /// A rule by its id and its asset's code.
    pub fn rule_by_name(&self, asset: AssetId, rule: &str) -> Option<RuleId> {
        self.asset(asset)
            .rules
            .clone()
            .map(RuleId)
            .find(|id| self.rule(*id).rule.id == rule)
    }

    /// Who the rota names for a class of asset.
    pub fn on_call(&self, class: &str) -> Option<&str> {
        let named = self
            .rota
            .iter()
            .find(|entry| entry.class.as_deref() == Some(class));
        let entry = named.or_else(|| self.rota.iter().find(|entry| entry.class.is_none()));
        entry.map(|entry| entry.person.as_str())
    }
}

/// A model has far fewer than 2^32 parts; one that had more would be refused long before.
fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// How the link to an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum LinkState {
    /// Nothing was tried yet.
    #[default]
    Unknown,
    /// Answers come.
    Up,
    /// Answers come, and some fail.
    Degraded,
    /// Data come, but somebody else takes the connection again and again: some of them are missed,
    /// and nobody knows which.
    Contested,
    /// No answers.
    Down,
    /// Not read, by configuration.
    Disabled,
}

impl LinkState {
    /// The stable name. Before the first answer a link counts as down: it is not shown as working.
    pub fn code(self) -> &'static str {
        match self {
            LinkState::Up => "up",
            LinkState::Degraded | LinkState::Contested => "degraded",
            LinkState::Unknown | LinkState::Down => "down",
            LinkState::Disabled => "disabled",
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
