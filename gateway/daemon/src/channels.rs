//! Channels: how people are told. An open set, each behind the trait [`Channel`].
//!
//! A channel sends what the outbox gives it, once a call; retries are the outbox's. No secret
//! and no address with a secret in it ever appears in an error.

pub(crate) mod email;
pub(crate) mod webhook;

pub use email::{Email, EmailOptions};
pub(crate) use webhook::LONGEST_RETRY_AFTER;
pub use webhook::{Webhook, WebhookOptions};

use crate::config::{ChannelConfig, ChannelKind, SecretError};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use zhiban_core::{Language, Notification, NotifyReason, Priority};

/// A notification in the words of one channel. Its JSON is what webhooks receive; fields are
/// only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendered {
    /// The same on every retry and in every channel.
    pub id: String,
    /// Why people are told: `raised`, `joined`, `repeated`, `reopened`, `recovered`, `assigned`,
    /// `escalated`, `located`, `sent_back`.
    pub reason: String,
    /// 1 to 4.
    pub priority: u8,
    /// Fire, gas, flooding, entrapment.
    pub life_safety: bool,
    /// The language of `title`, `text` and the names: `zh-CN` or `en`.
    pub language: &'static str,
    /// One line.
    pub title: String,
    /// Everything a person needs to know at once, in a few lines.
    pub text: String,
    /// The asset.
    pub asset: RenderedAsset,
    /// The order's number.
    pub work_order: Option<String>,
    /// The alarm's number.
    pub alarm: Option<String>,
    /// The user name of who it is for; `None` when it is for the whole crew.
    pub person: Option<String>,
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What the machine said of the fault at that moment: `present`, `clearing`, `gone` or `unknown`;
    /// `None` when no alarm is behind it.
    pub signal: Option<&'static str>,
    /// When the fault began, as far as is still known.
    pub raised_at: Option<String>,
    /// When it was gone.
    pub returned_at: Option<String>,
    /// What it endangers: `people`, `fire`, `gas`, `water`, `power` or `machine`; `None` when no rule
    /// says so.
    pub danger: Option<&'static str>,
    /// Where the fault is, or was last known to be; `None` when nothing says more than the asset.
    pub place: Option<RenderedPlace>,
    /// The site's code.
    pub site: String,
    /// Where to look at it; `None` when the gateway's own address is not configured.
    pub url: Option<String>,
    /// Until when somebody must have accepted the order, RFC 3339 in UTC.
    pub respond_by: Option<String>,
    /// Until when the work must be completed, RFC 3339 in UTC; `None` while that clock stands.
    pub due_at: Option<String>,
    /// What is left of that while the order is on hold, in seconds, negative when it was late.
    pub due_left_seconds: Option<i64>,
    /// When the order last became work again, RFC 3339 in UTC; `None` when it is open for the first time.
    pub reopened_at: Option<String>,
    /// It could not be recorded yet: the record store fails.
    pub unrecorded: bool,
}

/// The asset of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedAsset {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Option<String>,
}

/// Where the fault of a notification is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedPlace {
    /// In words.
    pub text: String,
    /// When the values it was made of were acquired, RFC 3339 in UTC.
    pub known_at: Option<String>,
    /// Whether those values were good then; else it is the last known place.
    pub fresh: bool,
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may work later.
    #[error("{reason}")]
    Transient {
        /// What happened, without secrets.
        reason: String,
        /// How long the other side asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The other side refuses it. That may be a mistake of its own, such as a redeployment: the
    /// outbox decides how long it is tried all the same.
    #[error("{0}")]
    Permanent(String),
}

impl DeliveryError {
    fn transient(reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// One way to tell people.
pub trait Channel: Send + Sync {
    /// Sends a message once, within the channel's own time limit.
    fn deliver<'a>(&'a self, message: &'a Rendered) -> BoxFuture<'a, Result<(), DeliveryError>>;
}

/// A channel with its name and manners.
#[derive(Clone)]
pub struct Configured {
    /// Its name in the configuration.
    pub name: String,
    /// The language it speaks.
    pub language: Language,
    /// How many messages it sends at once, 1 to 4.
    pub concurrency: usize,
    /// How long a message that does not guard life is tried again.
    pub retry_for: Duration,
    /// The channel.
    pub channel: Arc<dyn Channel>,
}

/// Why a channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Its secret cannot be read.
    #[error("channel \"{channel}\": {error}")]
    Secret {
        /// The channel's name.
        channel: String,
        /// Why not.
        error: SecretError,
    },
    /// Something about it is not usable.
    #[error("channel \"{channel}\": {what}")]
    Unusable {
        /// The channel's name.
        channel: String,
        /// What, and what to write instead.
        what: String,
    },
}

/// Which channels take which notifications.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    routes: Vec<Route>,
}

/// What one channel takes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// Only these reasons.
    pub reasons: Vec<NotifyReason>,
    /// Only these priorities.
    pub priorities: Vec<Priority>,
}

impl Routes {
    /// Routes in the order of the configuration.
    pub fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// The channels that take a notification. Life safety goes to every one, whatever the filters say.
    pub fn route(&self, about: &Notification) -> Vec<String> {
        self.takers(about.reason, about.priority, about.life_safety)
    }

    /// The same for what is known of a notification in the records.
    pub(crate) fn takers(
        &self,
        reason: NotifyReason,
        priority: Priority,
        life_safety: bool,
    ) -> Vec<String> {
        let takes = |route: &&Route| {
            life_safety || (route.reasons.contains(&reason) && route.priorities.contains(&priority))
        };
        let taking = self.routes.iter().filter(takes);
        taking.map(|route| route.channel.clone()).collect()
    }
}

/// Sets up every configured channel, and the routes to them.
///
/// # Errors
/// The first channel whose secret cannot be read or whose settings are not usable.
pub fn set_up(
    configs: &BTreeMap<String, ChannelConfig>,
) -> Result<(Vec<Configured>, Routes), ChannelError> {
    let mut channels = Vec::new();
    let mut routes = Vec::new();
    for (name, config) in configs {
        let unusable = |what: String| ChannelError::Unusable {
            channel: name.clone(),
            what,
        };
        let secret = |error| ChannelError::Secret {
            channel: name.clone(),
            error,
        };
        let (channel, concurrency): (Arc<dyn Channel>, usize) = match &config.to {
            ChannelKind::Webhook(webhook) => {
                let options = WebhookOptions {
                    url: webhook.url.clone(),
                    secret: webhook.secret().map_err(secret)?,
                    timeout: webhook.timeout.to_std(),
                };
                (Arc::new(Webhook::new(options).map_err(unusable)?), 4)
            }
            ChannelKind::Email(email) => {
                let options = EmailOptions {
                    host: email.host.clone(),
                    port: email.port(),
                    tls: email.tls,
                    credentials: email.credentials().map_err(secret)?,
                    from: email.from.clone(),
                    to: email.to.clone(),
                    timeout: email.timeout.to_std(),
                };
                (Arc::new(Email::new(options).map_err(unusable)?), 2)
            }
        };
        channels.push(Configured {
            name: name.clone(),
            language: config.language,
            concurrency,
            retry_for: config.retry_for.to_std(),
            channel,
        });
        routes.push(Route {
            channel: name.clone(),
            reasons: config.reasons.clone(),
            priorities: config.priorities.clone(),
        });
    }
    Ok((channels, Routes::new(routes)))
}

/// Chooses how TLS is computed, for the whole process; who comes first is as good.
fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::notification::Audience;
    use zhiban_core::{AssetId, Text, Timestamp};

    fn about(reason: NotifyReason, priority: Priority, life_safety: bool) -> Notification {
        Notification {
            id: "home/WO-20261123-001/raised/1".to_owned(),
            reason,
            audience: Audience::Crew,
            priority,
            life_safety,
            asset: AssetId(0),
            rule: None,
            alarm: None,
            work_order: None,
            title: Text::new("困人", "Trapped"),
            note: None,
            respond_by: None,
            due_at: None,
            due_left: None,
            reopened_at: None,
            at: Timestamp::default(),
            incident: Default::default(),
        }
    }

    #[test]
    fn filters_hold_back_what_is_not_life_safety() {
        let routes = Routes::new(vec![
            Route {
                channel: "all".to_owned(),
                reasons: NotifyReason::ALL.to_vec(),
                priorities: Priority::ALL.to_vec(),
            },
            Route {
                channel: "urgent".to_owned(),
                reasons: vec![NotifyReason::Raised],
                priorities: vec![Priority::Urgent],
            },
        ]);
        let low = about(NotifyReason::Raised, Priority::Low, false);
        assert_eq!(routes.route(&low), ["all"]);
        let over = about(NotifyReason::Recovered, Priority::Urgent, false);
        assert_eq!(routes.route(&over), ["all"]);
        let urgent = about(NotifyReason::Raised, Priority::Urgent, false);
        assert_eq!(routes.route(&urgent), ["all", "urgent"]);
        let fire = about(NotifyReason::Recovered, Priority::Low, true);
        assert_eq!(routes.route(&fire), ["all", "urgent"]);
    }
}
