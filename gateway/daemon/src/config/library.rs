//! The library of device profiles and alarm rules: those that come with the program, and those
//! in the folders `profiles` and `alarms` beside the configuration, which replace them.
//!
//! It only reads and checks files; which of them an asset uses is decided elsewhere.

use super::fault::{Fault, Severity};
use super::source::{self, Document};
use rust_embed::RustEmbed;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zhiban_core::Duration;
use zhiban_core::alarm::rule::{AlarmRule, ClosePolicy, RuleFile};
use zhiban_core::model::PointKind;
use zhiban_core::profile::Profile;

/// The profiles that come with the program.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../config/profiles"]
struct BuiltInProfiles;

/// The rules that come with the program.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../config/alarms"]
struct BuiltInRules;

/// The longest on-delay of a rule that guards life: what an entrapment needs to be told from a stop.
const LONGEST_LIFE_SAFETY_DELAY: Duration = Duration::from_secs(90);

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
    /// The rules, by class.
    pub rules: BTreeMap<String, Vec<Arc<AlarmRule>>>,
    /// The points of each class by name, as each profile has them; also profiles that an own one
    /// replaced.
    pub points: BTreeMap<String, BTreeMap<String, Vec<KnownPoint>>>,
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
            if let Some(text) = text(&file, faults) {
                library.add_rules(&file, &text, faults);
            }
        }
        library
    }

    /// Only what comes with the program.
    pub fn built_in(faults: &mut Vec<Fault>) -> Self {
        let mut library = Self::default();
        for (name, text) in embedded::<BuiltInProfiles>() {
            library.add_profile(&Path::new("built-in/profiles").join(name), &text, faults);
        }
        for (name, text) in embedded::<BuiltInRules>() {
            library.add_rules(&Path::new("built-in/alarms").join(name), &text, faults);
        }
        library
    }

    /// Every class that has a profile or rules.
    pub fn classes(&self) -> BTreeSet<&str> {
        let profiles = self.profiles.values().map(|one| one.class.as_str());
        profiles
            .chain(self.rules.keys().map(String::as_str))
            .collect()
    }

    /// The rules of a class.
    pub fn rules_of(&self, class: &str) -> &[Arc<AlarmRule>] {
        self.rules.get(class).map_or(&[], Vec::as_slice)
    }

    fn add_profile(&mut self, file: &Path, text: &str, faults: &mut Vec<Fault>) -> Option<String> {
        let before = faults.len();
        let profile = read_profile(file, text, faults);
        if faults.len() > before {
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            self.faulty.extend(stem.map(str::to_owned));
            return None;
        }
        let profile = profile?;
        let id = profile.id.clone();
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

    fn add_rules(&mut self, file: &Path, text: &str, faults: &mut Vec<Fault>) {
        let before = faults.len();
        let Some((rules, document)) = source::read::<RuleFile>(file, text, faults) else {
            return;
        };
        check_rules(&rules, file, &document, faults);
        super::places::check(&rules, &document, faults);
        keeps_life_safety(self.rules_of(&rules.class), &rules, &document, faults);
        if faults.len() == before {
            let class = rules.class.clone();
            let list = rules.into_rules().into_iter().map(Arc::new).collect();
            self.rules.insert(class, list);
        }
    }
}

/// Reads and checks one profile file, wherever it stands.
///
/// # Errors
/// Every fault of the file.
pub fn check_profile(path: &Path) -> Result<Profile, Vec<Fault>> {
    match std::fs::read_to_string(path) {
        Ok(text) => check_profile_text(path, &text),
        Err(error) => Err(vec![Fault::unreadable(path, &error)]),
    }
}

/// Reads and checks a text as if it stood in the profile file `path`.
///
/// # Errors
/// Every fault of the text.
pub fn check_profile_text(path: &Path, text: &str) -> Result<Profile, Vec<Fault>> {
    let mut faults = Vec::new();
    let profile = read_profile(path, text, &mut faults);
    faults.sort_by(Fault::place_order);
    match profile {
        Some(profile) if faults.is_empty() => Ok(profile),
        Some(_) | None => Err(faults),
    }
}

fn read_profile(file: &Path, text: &str, faults: &mut Vec<Fault>) -> Option<Profile> {
    let (mut profile, document) = source::read::<Profile>(file, text, faults)?;
    profile.share_meanings();
    if document.is_distorted() {
        return Some(profile);
    }
    for fault in zhiban_core::profile::check::check(&profile) {
        faults.push(document.fault(&fault.path, fault.what, fault.remedy));
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| stem != profile.id) {
        let what = format!("the id \"{}\" is not the file's name", profile.id);
        let remedy = format!("write id = \"{}\"", stem.unwrap_or_default());
        faults.push(document.fault(&["id".to_owned()], what, remedy));
    }
    Some(profile)
}

fn check_rules(rules: &RuleFile, file: &Path, document: &Document<'_>, faults: &mut Vec<Fault>) {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| stem != rules.class) {
        let what = format!("the class \"{}\" is not the file's name", rules.class);
        let remedy = format!("write class = \"{}\"", stem.unwrap_or_default());
        faults.push(document.fault(&["class".to_owned()], what, remedy));
    }
    let mut ids = BTreeSet::new();
    for (index, rule) in rules.rules.iter().enumerate() {
        let mut fault = |key: &str, what: String, remedy: &str| {
            let path = ["rule".to_owned(), index.to_string(), key.to_owned()];
            faults.push(document.fault(&path, what, remedy));
        };
        if !ids.insert(rule.id.as_str()) {
            let what = format!("rule \"{}\" is there twice", rule.id);
            fault("id", what, "give each rule its own id");
        }
        for (key, text) in [
            ("title", &rule.title),
            ("cause", &rule.cause),
            ("consequence", &rule.consequence),
            ("action", &rule.action),
        ] {
            if text.is_incomplete() {
                let what = format!("{key} of rule \"{}\" lacks a language", rule.id);
                fault(key, what, "write both zh and en");
            }
        }
        if rule.due == Duration::ZERO {
            let what = format!("rule \"{}\" gives no time to deal with it", rule.id);
            fault("due", what, "write a duration, for example \"4h\"");
        }
        if rule.life_safety && rule.close == ClosePolicy::Auto {
            let what = format!("rule \"{}\" guards life and closes by itself", rule.id);
            fault("close", what, "write close = \"never\" or \"verify\"");
        }
        if rule.life_safety && !rule.work_order {
            let what = format!("rule \"{}\" guards life and makes no order", rule.id);
            fault(
                "work_order",
                what,
                "write work_order = true, or leave it out",
            );
        }
        if rule.life_safety && rule.on_delay > LONGEST_LIFE_SAFETY_DELAY {
            let what = format!("rule \"{}\" guards life and waits too long", rule.id);
            fault("on_delay", what, "write \"90s\" or less");
        }
    }
}

/// Every rule that guards life and is about to be replaced must be there again, as strong as it was.
fn keeps_life_safety(
    replaced: &[Arc<AlarmRule>],
    rules: &RuleFile,
    document: &Document<'_>,
    faults: &mut Vec<Fault>,
) {
    for old in replaced.iter().filter(|rule| rule.life_safety) {
        let mut fault = |path: &[&str], what: &str, remedy: String| {
            let path: Vec<_> = path.iter().map(|&step| step.to_owned()).collect();
            let what = format!("rule \"{}\" guards life and {what}", old.id);
            faults.push(document.fault(&path, what, remedy));
        };
        let Some(index) = rules.rules.iter().position(|rule| rule.id == old.id) else {
            let remedy = "copy it from the rules that come with the program".to_owned();
            fault(&["class"], "is missing", remedy);
            continue;
        };
        let (new, index) = (&rules.rules[index], index.to_string());
        if !new.life_safety {
            let remedy = "write life_safety = true".to_owned();
            fault(&["rule", &index, "life_safety"], "must say so", remedy);
        }
        if new.on_delay > old.on_delay {
            let remedy = format!("write \"{}\" or less", old.on_delay);
            fault(&["rule", &index, "on_delay"], "can't wait longer", remedy);
        }
        if new.off_delay > old.off_delay {
            // It would still be active, and so silent, when the fault is long gone and comes again.
            let remedy = format!("write \"{}\" or less", old.off_delay);
            fault(&["rule", &index, "off_delay"], "can't stay longer", remedy);
        }
        let danger = new.danger.or(rules.danger);
        if danger.is_some_and(|danger| danger.rank() > old.danger().rank()) {
            let remedy = format!("write \"{}\"", old.danger().code());
            fault(&["rule", &index, "danger"], "can't count for less", remedy);
        }
        if new.priority > old.priority {
            let remedy = format!("write {}", old.priority.number());
            fault(
                &["rule", &index, "priority"],
                "can't be less urgent",
                remedy,
            );
        }
    }
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
    std::fs::read_to_string(file)
        .map_err(|error| faults.push(Fault::unreadable(file, &error)))
        .ok()
}
