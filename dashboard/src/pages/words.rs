//! The words people read on pages, in the language of the request.
//!
//! Never sets a language for the process; every lookup names its language.

use zhiban_core::Language;

/// The tables of `i18n/*.toml`, read when the program is built.
mod table {
    rust_i18n::i18n!("i18n");

    // Makes a change of the tables a reason to build again.
    const _: (&str, &str) = (
        include_str!("../../i18n/zh-CN.toml"),
        include_str!("../../i18n/en.toml"),
    );

    pub(super) fn find(language: &str, key: &str) -> Option<String> {
        _rust_i18n_try_translate(language, key).map(std::borrow::Cow::into_owned)
    }
}

/// The words of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Language);

impl Words {
    /// The text of a key; the key itself when there is none, which a test forbids.
    pub(crate) fn t(&self, key: &str) -> String {
        table::find(self.0.tag(), key).unwrap_or_else(|| key.to_owned())
    }

    /// The text of a key with `%{n}` replaced.
    pub(crate) fn n(&self, key: &str, n: impl std::fmt::Display) -> String {
        self.t(key).replace("%{n}", &n.to_string())
    }

    /// The text of a key with each `%{name}` replaced.
    pub(crate) fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut text = self.t(key);
        for (name, value) in values {
            text = text.replace(&format!("%{{{name}}}"), value);
        }
        text
    }

    /// The text of a stable code in a group, for example `status` and `approved`.
    pub(crate) fn code(&self, group: &str, code: &str) -> String {
        self.t(&format!("{group}.{code}"))
    }

    /// The text of a code in a group, or the code itself when the group does not know it.
    pub(crate) fn code_or_same(&self, group: &str, code: &str) -> String {
        table::find(self.0.tag(), &format!("{group}.{code}")).unwrap_or_else(|| code.to_owned())
    }

    /// The language's tag, for `lang` and the page's own scripts.
    pub(crate) fn tag(&self) -> &'static str {
        self.0.tag()
    }
}

#[cfg(test)]
pub(super) mod tests;
