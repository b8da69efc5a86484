//! What can be wrong with the condition of an alarm rule: numbers that nothing or everything is
//! beyond, lists of nothing, numbers of pumps that stand for none.
//!
//! Each of these would be silent, or never be silent again, without anybody being told why.

use zhiban_core::Duration;
use zhiban_core::alarm::rule::Condition;
use zhiban_core::numbered::NUMBER;
use zhiban_core::unit;

/// The longest window of a rate.
const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);

/// Where a condition stands in its file, what is wrong with it and what to write instead.
pub(super) struct Found {
    pub(super) path: Vec<String>,
    pub(super) what: String,
    pub(super) remedy: String,
}

/// Walks a condition.
pub(super) struct Walk {
    /// Whether `{n}` stands for something here.
    numbered: bool,
    path: Vec<String>,
    found: Vec<Found>,
}

/// Everything wrong with the condition of a rule, which is for each number of something or not.
pub(super) fn check(condition: &Condition, numbered: bool) -> Vec<Found> {
    let mut walk = Walk {
        numbered,
        path: vec!["when".to_owned()],
        found: Vec::new(),
    };
    walk.condition(condition, true);
    walk.found
}

/// Whether a text says once where the number stands.
pub(super) fn has_number(text: &str) -> bool {
    text.matches(NUMBER).count() == 1
}

impl Walk {
    fn add(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        self.found.push(Found {
            path,
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn within(&mut self, steps: &[&str], walk: impl FnOnce(&mut Self)) {
        let depth = self.path.len();
        self.path.extend(steps.iter().map(|&step| step.to_owned()));
        walk(self);
        self.path.truncate(depth);
    }

    fn condition(&mut self, condition: &Condition, outermost: bool) {
        match condition {
            Condition::Flag { point, .. } => self.within(&["flag"], |at| at.point(point)),
            Condition::State { point, is } => self.within(&["state"], |at| {
                at.point(point);
                if is.is_empty() {
                    at.add(
                        "is",
                        "no value is wrong: this is never so",
                        "name the values that are",
                    );
                }
            }),
            Condition::Bit { point, bit, .. } => self.within(&["bit"], |at| {
                at.point(point);
                if *bit > 63 {
                    at.add(
                        "bit",
                        format!("there is no bit {bit}"),
                        "write 0, the lowest, to 63",
                    );
                }
            }),
            Condition::Limit { .. } => self.within(&["limit"], |at| at.limit(condition)),
            Condition::Rate { .. } => self.within(&["rate"], |at| at.rate(condition)),
            Condition::NoData {} => self.alone("no_data", outermost),
            Condition::Unreadable {} => self.alone("unreadable", outermost),
            Condition::All(list) => self.list("all", list),
            Condition::Any(list) => self.list("any", list),
            Condition::AtLeast { count, of } => self.within(&["at_least"], |at| {
                at.list("of", of);
                if *count == 0 || usize::from(*count) > of.len() {
                    let what = format!("{count} of {} conditions", of.len());
                    at.add("count", what, format!("write 1 to {}", of.len()));
                }
            }),
            Condition::ForSome {
                each,
                at_least,
                when,
            } => self.within(&["for_some"], |at| {
                if *at_least == 0 {
                    at.add(
                        "at_least",
                        "for none of them it is always so",
                        "write 1 or more",
                    );
                }
                at.each(each, when);
            }),
            Condition::ForAll { each, when } => {
                self.within(&["for_all"], |at| at.each(each, when));
            }
        }
    }

    /// A condition of the whole device.
    fn alone(&mut self, key: &str, outermost: bool) {
        if !outermost {
            let what = format!("{key} is judged by itself, never with other conditions");
            self.add(
                key,
                what,
                format!("make a rule of it: when = {{ {key} = {{}} }}"),
            );
        }
    }

    fn list(&mut self, key: &str, list: &[Condition]) {
        if list.is_empty() {
            self.add(key, "the list is empty", "name conditions, or take it out");
        }
        for (index, one) in list.iter().enumerate() {
            self.within(&[key, &index.to_string()], |at| at.condition(one, false));
        }
    }

    fn each(&mut self, each: &str, when: &Condition) {
        if !has_number(each) {
            let what = format!("\"{each}\" does not say where the number stands");
            self.add(
                "each",
                what,
                "write it once as {n}, for example \"pump{n}\"",
            );
        }
        if self.numbered {
            let what = "one number stands inside another";
            self.add(
                "each",
                what,
                "take for_each out of the rule, or this out of the other",
            );
        }
        if !when.points().iter().all(|point| has_number(point)) {
            let what = "a point here is the same for every number";
            self.add("when", what, "write {n} for the number in its name");
        }
        let outside = std::mem::replace(&mut self.numbered, true);
        self.within(&["when"], |at| at.condition(when, false));
        self.numbered = outside;
    }

    fn point(&mut self, point: &str) {
        if point.contains(NUMBER) && !self.numbered {
            let what = format!("{NUMBER} in \"{point}\" stands for nothing");
            let remedy = "add for_each = \"pump{n}\" to the rule, or use for_some or for_all";
            self.add("point", what, remedy);
        }
    }

    fn unit(&mut self, unit: &str) {
        if unit.is_empty() || unit == unit::NUMBER || unit::find(unit).is_some() {
            return;
        }
        let meant: Vec<_> = unit::meant(unit)
            .iter()
            .map(|one| format!("\"{one}\""))
            .collect();
        let remedy = if meant.is_empty() {
            let known: Vec<_> = unit::UNITS.iter().map(|one| one.code).collect();
            format!(
                "write \"1\" for a mere number, or one of: {}",
                known.join(" ")
            )
        } else {
            format!("write {}", meant.join(" or "))
        };
        self.add("unit", format!("unit \"{unit}\" is not known"), remedy);
    }

    fn limit(&mut self, condition: &Condition) {
        let Condition::Limit {
            point,
            above,
            below,
            deadband,
            unit,
        } = condition
        else {
            return;
        };
        self.point(point);
        self.unit(unit);
        if above.is_none() && below.is_none() {
            let what = "a limit without above or below is never passed";
            self.add("point", what, "add above = … or below = …");
        }
        for (key, limit) in [("above", above), ("below", below)] {
            if limit.is_some_and(|limit| !limit.is_finite()) {
                self.add(
                    key,
                    format!("{key} is not a number"),
                    "write a finite number",
                );
            }
        }
        if *deadband < 0.0 || !deadband.is_finite() {
            self.add("deadband", "the deadband is negative", "write 0 or more");
        }
        for (key, what, remedy) in contradiction(*above, *below, *deadband) {
            self.add(key, what, remedy);
        }
    }

    fn rate(&mut self, condition: &Condition) {
        let Condition::Rate {
            point,
            change,
            window,
            unit,
        } = condition
        else {
            return;
        };
        self.point(point);
        self.unit(unit);
        if *change <= 0.0 || !change.is_finite() {
            let what =
                format!("a change of {change} is passed by a value that stands still, or never");
            let remedy = "write the largest change allowed, up or down, as a number above 0";
            self.add("change", what, remedy);
        }
        if *window == Duration::ZERO || *window > LONGEST_WINDOW {
            let what = format!("a window of {window} holds no two values, or too many to keep");
            self.add(
                "window",
                what,
                "write \"1s\" to \"24h\", and more than two poll periods",
            );
        }
    }
}

/// What two limits and a deadband say that can't be so together: the key, what, and the remedy.
pub(crate) fn contradiction(
    above: Option<f64>,
    below: Option<f64>,
    deadband: f64,
) -> Vec<(&'static str, String, String)> {
    let (Some(above), Some(below)) = (above, below) else {
        return Vec::new();
    };
    if above <= below {
        let what = format!("every value is above {above} or below {below}: this is always wrong");
        let remedy = "write the upper limit into above and the lower one into below";
        return vec![("above", what, remedy.to_owned())];
    }
    if below + deadband > above - deadband {
        let what = format!(
            "the deadband of {deadband} leaves nothing between {below} and {above}: once wrong it would never be right again"
        );
        let remedy = format!("write less than {}", (above - below) / 2.0);
        return vec![("deadband", what, remedy)];
    }
    Vec::new()
}
