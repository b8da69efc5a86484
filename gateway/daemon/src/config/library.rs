//! The library of device profiles and alarm rules: those that come with the program, and those
//! in the folders `profiles` and `alarms` beside the configuration, which replace them.
//!
//! It only reads and checks files; which of them an asset uses is decided elsewhere.

mod conditions;
mod rules;

pub(crate) use conditions::contradiction;

use super::fault::{Fault, Severity};
use super::source;
use rust_embed::RustEmbed;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zhiban_core::alarm::fit::{Fit, fit};
use zhiban_core::alarm::rule::{AlarmRule, RuleFile};
use zhiban_core::model::PointKind;
use zhiban_core::numbered::is_named;
use zhiban_core::profile::Profile;
use zhiban_core::profile::check::Weight;

/// The profiles that come with the program.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../config/profiles"]
struct BuiltInProfiles;

/// The rules that come with the program.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../config/alarms"]
struct BuiltInRules;

/// The class whose rules are those of every class that has none with the same id.
pub(crate) const ANY: &str = "any";

/// Where what comes with the program is said to stand.
const BUILT_IN: &str = "built-in";

/// Every profile and rule there is.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// The profiles, by id.
    pub profiles: BTreeMap<String, Arc<Profile>>,
    /// Where each profile was read.
    pub places: BTreeMap<String, PathBuf>,
    /// The ids of profiles that say something else than what comes with the program.
    pub own: BTreeSet<String>,
    /// The ids of profiles that were left out for their faults.
    pub faulty: BTreeSet<String>,
    /// The rules, by class; those of `any` are of every class.
    pub rules: BTreeMap<String, Vec<Arc<AlarmRule>>>,
    /// The files of profiles and rules that stand beside the configuration, and their texts.
    sources: BTreeMap<Source, (PathBuf, String)>,
    /// The points of each class by name, as each profile has them; also profiles that an own one
    /// replaced.
    pub points: BTreeMap<String, BTreeMap<String, Vec<KnownPoint>>>,
}

/// What a file is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The profile with this id.
    Profile(String),
    /// The rules of this class.
    Rules(String),
}

/// What a point of some profile can say.
#[derive(Debug, Clone)]
pub struct KnownPoint {
    /// What it is.
    pub kind: PointKind,
    /// The codes of an enumeration.
    pub codes: BTreeSet<String>,
}

impl Library {
    /// Reads what comes with the program and what stands in `profiles` and `alarms` of a folder.
    /// A file with a fault is left out and its faults are added to `faults`.
    pub fn read(folder: &Path, faults: &mut Vec<Fault>) -> Self {
        let mut library = Self::built_in(faults);
        let (profiles, rules) = (folder.join("profiles"), folder.join("alarms"));
        let shipped = library.profiles.clone();
        let mut own = BTreeSet::new();
        for file in files(&profiles, faults) {
            let Some(text) = text(&file, faults) else {
                continue;
            };
            let id = library.add_profile(&file, &text, faults);
            if let Some(id) = &id {
                let source = Source::Profile(id.clone());
                library.sources.insert(source, (file.clone(), text));
            }
            if let Some(id) = id.filter(|id| !own.insert(id.clone())) {
                faults.push(Fault {
                    severity: Severity::Error,
                    file,
                    line: 0,
                    column: 0,
                    what: format!("profile \"{id}\" is in two files"),
                    remedy: "keep one of them".to_owned(),
                });
            }
        }
        own.retain(|id| library.profiles.get(id) != shipped.get(id));
        library.own = own;
        for file in files(&rules, faults) {
            let Some(text) = text(&file, faults) else {
                continue;
            };
            if let Some(class) = library.add_rules(&file, &text, faults) {
                library.sources.insert(Source::Rules(class), (file, text));
            }
        }
        library
    }

    /// Only what comes with the program.
    pub fn built_in(faults: &mut Vec<Fault>) -> Self {
        let mut library = Self::default();
        for (name, text) in embedded::<BuiltInProfiles>() {
            let file = Path::new(BUILT_IN).join("profiles").join(name);
            library.add_profile(&file, &text, faults);
        }
        for (name, text) in embedded::<BuiltInRules>() {
            let file = Path::new(BUILT_IN).join("alarms").join(name);
            library.add_rules(&file, &text, faults);
        }
        library
    }

    /// Every class that has a profile or rules.
    pub fn classes(&self) -> BTreeSet<&str> {
        let profiles = self.profiles.values().map(|one| one.class.as_str());
        profiles
            .chain(self.rules.keys().map(String::as_str))
            .filter(|class| *class != ANY)
            .collect()
    }

    /// The rules of a class as their files have them: its own, then those of every class.
    pub fn rules_of(&self, class: &str) -> Vec<Arc<AlarmRule>> {
        let list = |class: &str| self.rules.get(class).map_or(&[][..], Vec::as_slice);
        let own = list(class);
        let replaced = |rule: &&Arc<AlarmRule>| own.iter().any(|one| one.id == rule.id);
        let of_all = list(ANY).iter().filter(|rule| !replaced(rule));
        own.iter().chain(of_all).cloned().collect()
    }

    /// What a device with this profile makes of the rules of its class.
    pub fn fits(&self, profile: &Profile) -> Vec<Fit> {
        let rules = self.rules_of(&profile.class);
        rules.iter().flat_map(|rule| fit(rule, profile)).collect()
    }

    /// The points of a class that a rule means; `{n}` in the name is any number.
    pub(crate) fn known(&self, class: &str, written: &str) -> Vec<&KnownPoint> {
        let points = self.points.get(class).into_iter().flatten();
        let named = points.filter(|(name, _)| is_named(name, written));
        named.flat_map(|(_, known)| known).collect()
    }

    /// Takes a profile for one that stands beside the configuration.
    pub(super) fn name(&mut self, id: &str, file: &Path, text: &str) {
        let source = Source::Profile(id.to_owned());
        self.sources
            .insert(source, (file.to_owned(), text.to_owned()));
        self.own.insert(id.to_owned());
    }

    /// A fault at a place in a file that stands beside the configuration; `None` when there is none.
    pub(crate) fn fault_in(
        &self,
        source: &Source,
        path: &[&str],
        what: &str,
        remedy: &str,
    ) -> Option<Fault> {
        let (file, text) = self.sources.get(source)?;
        let path: Vec<_> = path.iter().map(|&step| step.to_owned()).collect();
        Some(source::open(file, text).fault(&path, what, remedy))
    }

    fn add_profile(&mut self, file: &Path, text: &str, faults: &mut Vec<Fault>) -> Option<String> {
        let before = faults.len();
        let profile = read_profile(file, text, faults);
        if faults.iter().skip(before).any(Fault::is_error) {
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            self.faulty.extend(stem.map(str::to_owned));
            return None;
        }
        let profile = profile?;
        let id = profile.id.clone();
        // What comes with the program was looked at when it was written.
        let ours = file.starts_with(BUILT_IN);
        if ours
            || self
                .profiles
                .get(&id)
                .is_some_and(|known| **known == profile)
        {
            faults.truncate(before);
        }
        let points = self.points.entry(profile.class.clone()).or_default();
        for row in &profile.points {
            let codes = row.meanings.values().map(|one| one.code.clone());
            points
                .entry(row.point.clone())
                .or_default()
                .push(KnownPoint {
                    kind: row.kind,
                    codes: codes.collect(),
                });
        }
        self.places.insert(id.clone(), file.to_owned());
        self.profiles.insert(id.clone(), Arc::new(profile));
        Some(id)
    }

    fn add_rules(&mut self, file: &Path, text: &str, faults: &mut Vec<Fault>) -> Option<String> {
        let before = faults.len();
        let (rules, document) = source::read::<RuleFile>(file, text, faults)?;
        rules::check(&rules, file, &document, faults);
        super::places::check(&rules, &document, faults);
        let replaced = self.rules.get(&rules.class).map_or(&[][..], Vec::as_slice);
        rules::keeps_life_safety(replaced, &rules, &document, faults);
        rules::names_what_is_lost(replaced, &rules, &document, faults);
        if faults.iter().skip(before).any(Fault::is_error) {
            return None;
        }
        let class = rules.class.clone();
        let list = rules.into_rules().into_iter().map(Arc::new).collect();
        self.rules.insert(class.clone(), list);
        Some(class)
    }
}

/// Reads and checks a text as if it stood in a profile file; what it finds goes to `faults`.
pub(super) fn read_profile(file: &Path, text: &str, faults: &mut Vec<Fault>) -> Option<Profile> {
    let (mut profile, document) = source::read::<Profile>(file, text, faults)?;
    profile.share_meanings();
    if document.is_distorted() {
        return Some(profile);
    }
    for fault in zhiban_core::profile::check::check(&profile) {
        let severity = match fault.weight {
            Weight::Error => Severity::Error,
            Weight::Warning => Severity::Warning,
            Weight::Note => Severity::Info,
        };
        let found = document.fault(&fault.path, fault.what, fault.remedy);
        faults.push(Fault { severity, ..found });
    }
    if let Some(folder) = class_folder(file).filter(|folder| *folder != profile.class) {
        let what = format!(
            "the class is \"{}\", and the file stands in profiles/{folder}",
            profile.class
        );
        let remedy = format!(
            "move the file to profiles/{}, or write class = \"{folder}\"",
            profile.class
        );
        let found = document.fault(&["class".to_owned()], what, remedy);
        faults.push(Fault {
            severity: Severity::Warning,
            ..found
        });
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| stem != profile.id) {
        let what = format!("the id \"{}\" is not the file's name", profile.id);
        let remedy = format!("write id = \"{}\"", stem.unwrap_or_default());
        faults.push(document.fault(&["id".to_owned()], what, remedy));
    }
    Some(profile)
}

/// The folder of a class in which a profile stands: `profiles/CLASS/NAME.toml`.
fn class_folder(file: &Path) -> Option<&str> {
    let folder = file.parent()?;
    let within = folder.parent()?.ends_with("profiles");
    folder.file_name()?.to_str().filter(|_| within)
}

fn embedded<E: RustEmbed>() -> Vec<(String, String)> {
    let mut found: Vec<_> = E::iter()
        .filter(|name| is_data(Path::new(&**name)))
        .filter_map(|name| {
            let text = String::from_utf8(E::get(&name)?.data.into_owned()).ok()?;
            Some((name.into_owned(), text))
        })
        .collect();
    found.sort();
    found
}

/// A TOML file that is not a template; those begin with an underscore.
fn is_data(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".toml") && !name.starts_with('_'))
}

/// The data files of a folder and of its folders, sorted; none when it does not exist.
fn files(folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                faults.push(Fault::unreadable(&folder, &error));
                continue;
            }
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if is_data(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn text(file: &Path, faults: &mut Vec<Fault>) -> Option<String> {
    source::text_of(file)
        .map_err(|fault| faults.push(fault))
        .ok()
}
