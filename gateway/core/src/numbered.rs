//! Names with a number in them: `pump{n}_fault` is `pump1_fault`, `pump2_fault` and so on.
//!
//! `{n}` stands for digits and nothing else, and at most once in a name.

/// What stands for the number.
pub const NUMBER: &str = "{n}";

/// The number that a name has in place of `{n}`; the name may go on behind with `_`.
pub fn number_in<'n>(name: &'n str, written: &str) -> Option<&'n str> {
    let (before, after) = written.split_once(NUMBER)?;
    let rest = name.strip_prefix(before)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let rest = rest.strip_prefix(after)?;
    let whole = rest.is_empty() || rest.starts_with('_') || after.ends_with('_');
    (whole && !number.is_empty()).then_some(number)
}

/// Whether a name is what is written, `{n}` standing for any number.
pub fn is_named(name: &str, written: &str) -> bool {
    let Some((before, after)) = written.split_once(NUMBER) else {
        return name == written;
    };
    let middle = name
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|one| !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_between_what_is_written() {
        for (name, written, number) in [
            ("pump12_fault", "pump{n}", Some("12")),
            ("pump1", "pump{n}", Some("1")),
            ("pump1_fault", "pump{n}_fault", Some("1")),
            ("pump_fault", "pump{n}", None),
            ("pump1fault", "pump{n}", None),
            ("pumps1_fault", "pump{n}", None),
            ("loop01_fires", "loop{n}", Some("01")),
        ] {
            assert_eq!(number_in(name, written), number, "{name} {written}");
        }
        assert!(is_named("pump12_fault", "pump{n}_fault"));
        assert!(is_named("fault", "fault"));
        for name in ["pump_fault", "pumpx_fault", "pump1_faults", "pump1_auto"] {
            assert!(!is_named(name, "pump{n}_fault"), "{name}");
        }
    }
}
