//! Who is told, and how: channels, rota, escalation.
//!
//! People are accounts of the gateway, not entries of this file.

use super::secret::{SecretError, read_secret};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use zhiban_core::{Duration, Language, NotifyReason, Priority};

/// Who is told, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// An order that nobody accepted within this time is told again; `"0s"` never does.
    pub escalate_after: Duration,
    /// A fault back within this time after closing re-opens its order.
    pub reopen_window: Duration,
    /// The channels, by name.
    #[serde(rename = "channel")]
    pub channels: BTreeMap<String, ChannelConfig>,
    /// Who takes the orders of which class.
    pub rota: Vec<RotaConfig>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            escalate_after: Duration::from_secs(600),
            reopen_window: Duration::from_secs(72 * 3600),
            channels: BTreeMap::new(),
            rota: Vec::new(),
        }
    }
}

/// One line of the rota.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotaConfig {
    /// The class of asset; absent takes every class that no other line names.
    #[serde(default)]
    pub class: Option<String>,
    /// The person's user name.
    pub person: String,
}

/// One channel, and what it carries.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Where it leads, for example `to = { webhook = { url = "https://…" } }`.
    pub to: ChannelKind,
    /// Only these reasons; all when absent.
    #[serde(default = "all_reasons", deserialize_with = "reasons")]
    #[schemars(with = "Vec<String>")]
    pub reasons: Vec<NotifyReason>,
    /// Only these priorities; all when absent. Life-safety notifications always pass.
    #[serde(default = "all_priorities")]
    pub priorities: Vec<Priority>,
    /// How long a message is tried again, whatever is answered; what guards life at least 24 h.
    #[serde(default = "retry_for")]
    pub retry_for: Duration,
    /// The language of its texts, `zh-CN` or `en`.
    #[serde(default, deserialize_with = "language")]
    #[schemars(with = "String")]
    pub language: Language,
}

/// Where a channel leads, written as one of the keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelKind {
    /// JSON by HTTP POST, signed when a secret is given.
    Webhook(WebhookConfig),
    /// Mail by SMTP.
    Email(EmailConfig),
}

/// JSON by HTTP POST.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to.
    pub url: String,
    /// The file that holds the secret of the signature.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The environment variable that holds the secret of the signature.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// How long one request may take.
    #[serde(default = "send_timeout")]
    pub timeout: Duration,
}

/// Mail by SMTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The mail server's host name or address.
    pub host: String,
    /// Its port; 465 for `implicit`, 587 for `starttls`, 25 for `none` when absent.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: EmailTls,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
    /// The user name, when the server asks.
    #[serde(default)]
    pub username: Option<String>,
    /// The file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// How long sending may take.
    #[serde(default = "send_timeout")]
    pub timeout: Duration,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmailTls {
    /// From the first byte.
    #[default]
    Implicit,
    /// After a greeting in plain text.
    Starttls,
    /// Not at all: inside a machine or a protected network only.
    None,
}

fn send_timeout() -> Duration {
    Duration::from_secs(10)
}

fn retry_for() -> Duration {
    Duration::from_secs(24 * 3600)
}

fn all_reasons() -> Vec<NotifyReason> {
    NotifyReason::ALL.to_vec()
}

fn all_priorities() -> Vec<Priority> {
    Priority::ALL.to_vec()
}

fn reasons<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NotifyReason>, D::Error> {
    let codes = Vec::<String>::deserialize(deserializer)?;
    let find = |code: String| {
        let found = NotifyReason::ALL.into_iter().find(|one| one.code() == code);
        found.ok_or_else(|| {
            let known: Vec<_> = NotifyReason::ALL.iter().map(|one| one.code()).collect();
            serde::de::Error::custom(format!(
                "reason \"{code}\" does not exist; write some of {}",
                known.join(", ")
            ))
        })
    };
    codes.into_iter().map(find).collect()
}

fn language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Language, D::Error> {
    let tag = String::deserialize(deserializer)?;
    Language::from_tag(&tag).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "language \"{tag}\" is not known; write \"zh-CN\" or \"en\""
        ))
    })
}

impl ChannelKind {
    pub(crate) fn secret_file(&mut self) -> &mut Option<PathBuf> {
        match self {
            ChannelKind::Webhook(webhook) => &mut webhook.secret_file,
            ChannelKind::Email(email) => &mut email.password_file,
        }
    }
}

impl WebhookConfig {
    /// The secret of the signature; `None` when requests are not signed.
    ///
    /// # Errors
    /// Both places named, or nothing usable there.
    pub fn secret(&self) -> Result<Option<SecretString>, SecretError> {
        if self.secret_file.is_none() && self.secret_env.is_none() {
            return Ok(None);
        }
        let file = self.secret_file.as_deref();
        read_secret("secret", file, self.secret_env.as_deref()).map(Some)
    }
}

impl EmailConfig {
    /// User name and password; `None` when the server asks for none.
    ///
    /// # Errors
    /// The password cannot be read.
    pub fn credentials(&self) -> Result<Option<(String, SecretString)>, SecretError> {
        let Some(name) = &self.username else {
            return Ok(None);
        };
        let file = self.password_file.as_deref();
        let password = read_secret("password", file, self.password_env.as_deref())?;
        Ok(Some((name.clone(), password)))
    }

    /// The port to use.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailTls::Implicit => 465,
            EmailTls::Starttls => 587,
            EmailTls::None => 25,
        })
    }
}
