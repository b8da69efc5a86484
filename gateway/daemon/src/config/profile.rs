//! One profile file, checked by itself and with the rules that its devices would get.

use super::check::devices;
use super::library::{ANY, Library, read_profile};
use super::{Fault, source};
use std::path::Path;
use zhiban_core::profile::Profile;

/// A profile that may be used, and what deserves a word.
#[derive(Debug)]
pub struct Checked {
    /// The profile.
    pub profile: Profile,
    /// Warnings and notes, in the order of their places.
    pub remarks: Vec<Fault>,
}

/// Reads and checks one profile file, wherever it stands; with the rules in the folder `alarms`
/// beside the folder `profiles` that it is in, and those that come with the program.
///
/// # Errors
/// Every fault of the file, and every rule of its class that could not judge such a device.
pub fn check_profile(path: &Path) -> Result<Checked, Vec<Fault>> {
    let text = source::text_of(path).map_err(|fault| vec![fault])?;
    let mut checked = check_profile_text(path, &text)?;
    let folders = path.ancestors().skip(1);
    let profiles = folders.into_iter().find(|one| one.ends_with("profiles"));
    let site = profiles.and_then(Path::parent);
    // What is wrong with other profiles is not asked here; by rules it is judged.
    let mut others = Vec::new();
    let mut library = match site {
        Some(site) => Library::read(site, &mut others),
        None => Library::built_in(&mut others),
    };
    let rules = site.map(|site| site.join("alarms")).unwrap_or_default();
    let classes = [checked.profile.class.as_str(), ANY];
    let judging = classes.map(|class| rules.join(format!("{class}.toml")));
    let broken = others
        .into_iter()
        .filter(|fault| fault.is_error() && judging.contains(&fault.file));
    let broken: Vec<Fault> = broken.collect();
    if !broken.is_empty() {
        checked.remarks.extend(broken);
        return Err(checked.remarks);
    }
    library.name(&checked.profile.id, path, &text);
    let found = devices::faults(&library, &checked.profile);
    let whole = |said: devices::Said| said.at(&library).unwrap_or_else(|said| said.of(path));
    checked.remarks.extend(found.into_iter().map(whole));
    checked.remarks.sort_by(Fault::place_order);
    if checked.remarks.iter().any(Fault::is_error) {
        return Err(checked.remarks);
    }
    Ok(checked)
}

/// Reads and checks a text by itself, as if it stood in the profile file `path`.
///
/// # Errors
/// Every fault of the text.
pub fn check_profile_text(path: &Path, text: &str) -> Result<Checked, Vec<Fault>> {
    let mut remarks = Vec::new();
    let profile = read_profile(path, text, &mut remarks);
    remarks.sort_by(Fault::place_order);
    match profile {
        Some(profile) if !remarks.iter().any(Fault::is_error) => Ok(Checked { profile, remarks }),
        Some(_) | None => Err(remarks),
    }
}
