//! JSON Schemas of the configuration, of a profile and of a rule file, for editors.

use super::Config;
use zhiban_core::alarm::rule::RuleFile;
use zhiban_core::profile::Profile;

/// The schemas by the name of their file under `config/schema`, as pretty-printed JSON.
pub fn all() -> [(&'static str, String); 3] {
    [
        ("gateway.schema.json", print(schemars::schema_for!(Config))),
        ("profile.schema.json", print(schemars::schema_for!(Profile))),
        ("alarms.schema.json", print(schemars::schema_for!(RuleFile))),
    ]
}

fn print(schema: schemars::Schema) -> String {
    format!("{:#}\n", schema.to_value())
}
