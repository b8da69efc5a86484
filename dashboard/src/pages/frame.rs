//! What every page has around it: who looks, in which language, the alarm bar, the way around.
//!
//! Reads the snapshot once per request, so that everything on one page belongs to one moment.

use super::given_back::{Drawn, GivenBack};
use super::items::{AlarmItem, OrderItem};
use super::show::{Symbol, Times, When};
use super::words::Words;
use crate::Shared;
use crate::auth::{Caller, Lang, Signed};
use crate::error::ApiError;
use crate::once::Running;
use crate::ports::{App, Identity};
use axum::extract::FromRequestParts;
use axum::http::{Uri, request::Parts};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use zhiban_core::{Alarm, AlarmState, Asset, AssetId, Place, Priority, Snapshot, WorkOrder};

/// Light, dark or as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the system says.
    #[default]
    Auto,
    /// Dark ink on light ground.
    Light,
    /// Light ink on dark ground.
    Dark,
}

impl Theme {
    /// Reads the name used in `?theme=` and the cookie.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Theme::Auto),
            "light" => Some(Theme::Light),
            "dark" => Some(Theme::Dark),
            _ => None,
        }
    }

    /// The name used in `?theme=`, the cookie and the page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// What a press on the theme switch brings.
    fn next(self) -> Self {
        match self {
            Theme::Auto => Theme::Dark,
            Theme::Dark => Theme::Light,
            Theme::Light => Theme::Auto,
        }
    }
}

/// Language, theme and place of a request, signed in or not.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) words: Words,
    pub(crate) theme: Theme,
    /// Path and query without `lang` and `theme`.
    pub(crate) here: String,
}

impl Look {
    pub(crate) fn new(words: Words, theme: Theme, uri: &Uri) -> Self {
        let kept: Vec<&str> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| {
                !pair.is_empty() && !pair.starts_with("lang=") && !pair.starts_with("theme=")
            })
            .collect();
        let here = if kept.is_empty() {
            uri.path().to_owned()
        } else {
            format!("{}?{}", uri.path(), kept.join("&"))
        };
        Self { words, theme, here }
    }

    /// The same page with one more parameter.
    pub(crate) fn with(&self, pair: &str) -> String {
        let join = if self.here.contains('?') { '&' } else { '?' };
        format!("{}{join}{pair}", self.here)
    }

    /// The theme switch's address.
    pub(crate) fn next_theme(&self) -> String {
        self.with(&format!("theme={}", self.theme.next().name()))
    }

    pub(crate) fn t(&self, key: &str) -> String {
        self.words.t(key)
    }

    /// The address of a script or style; changes with its content.
    pub(crate) fn file(&self, name: &str) -> String {
        crate::assets::url(name)
    }
}

/// The theme of a request: `?theme=`, else the cookie, else the system's.
pub(crate) fn theme_of(parts: &Parts) -> Theme {
    let query = parts.uri.query().unwrap_or_default();
    let asked = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("theme="));
    let kept = || {
        crate::auth::cookie(&parts.headers, super::THEME_COOKIE)
            .and_then(|name| Theme::from_name(&name))
    };
    asked
        .and_then(Theme::from_name)
        .or_else(kept)
        .unwrap_or_default()
}

/// A signed-in person looking at a page.
pub(crate) struct Visit {
    pub(crate) app: App,
    /// The keys of the forms that are being carried out.
    pub(crate) running: Running,
    pub(crate) me: Identity,
    pub(crate) look: Look,
    pub(crate) times: Times,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Whether others can read on the way what is shown and typed.
    pub(crate) open: bool,
    /// A form that was sent from this page and not carried out.
    pub(crate) given: Option<Arc<GivenBack>>,
    /// Display names by user name; empty when they cannot be read.
    pub(crate) people: BTreeMap<String, String>,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Signed(me) = Signed::from_request_parts(parts, state).await?;
        let Ok(Lang(language)) = Lang::from_request_parts(parts, state).await;
        let app = state.app.clone();
        let words = Words(language);
        let snapshot = app.snapshot.borrow().clone();
        let times = Times {
            words,
            zone: snapshot.model.site.time_zone,
            now: (app.now)(),
        };
        let people = app.accounts.people().await.unwrap_or_default();
        Ok(Self {
            look: Look::new(words, theme_of(parts), &parts.uri),
            given: parts.extensions.get::<Arc<GivenBack>>().cloned(),
            open: Caller::of(&state.app, &parts.extensions, &parts.headers).in_the_open(),
            people: people
                .into_iter()
                .map(|one| (one.user, one.display_name))
                .collect(),
            app,
            running: state.running.clone(),
            me,
            times,
            snapshot,
        })
    }
}

impl Visit {
    pub(crate) fn words(&self) -> Words {
        self.look.words
    }

    /// The form of the page with this address and about this.
    pub(crate) fn form(&self, action: &str, about: &str) -> Drawn<'_> {
        Drawn::new(self.given.as_deref(), action, about)
    }

    /// The name people read for a user name.
    pub(crate) fn person(&self, user: &str) -> String {
        self.people
            .get(user)
            .filter(|name| !name.is_empty())
            .map_or_else(|| user.to_owned(), Clone::clone)
    }

    pub(crate) fn asset(&self, id: AssetId) -> &Asset {
        self.snapshot.model.asset(id)
    }

    /// An asset's code, name and place: `A3 客梯`, `A 座 1 层`.
    pub(crate) fn asset_line(&self, id: AssetId) -> (String, String, String) {
        let asset = self.asset(id);
        let place = asset.location.as_ref();
        (
            asset.code.clone(),
            asset.name.get(self.words().0).to_owned(),
            place.map_or_else(String::new, |one| one.name.get(self.words().0).to_owned()),
        )
    }

    /// Open alarms, the one that must be looked at first at the top; what is put aside last.
    pub(crate) fn open_alarms(&self) -> Vec<&Alarm> {
        self.snapshot.by_urgency()
    }

    /// Open orders, what people report as urgent first, then by time left to take them or to complete the work; those
    /// without a limit last.
    pub(crate) fn open_orders(&self) -> Vec<&WorkOrder> {
        let mut orders: Vec<&WorkOrder> = self.snapshot.work_orders.values().collect();
        orders.sort_by_key(|order| {
            let limit = order.due_at.into_iter().chain(order.escalate_at).min();
            (
                !order.reported_urgent(),
                limit.is_none(),
                limit,
                order.priority,
                order.no.clone(),
            )
        });
        orders
    }

    /// Where a fault is, in words: one that is not sure is the last known place, with its time.
    pub(crate) fn spot(&self, place: Option<&Place>) -> String {
        let Some(place) = place else {
            return String::new();
        };
        let text = place.text.get(self.words().0);
        match (place.fresh, place.known_at) {
            (true, _) => text.to_owned(),
            (false, known) => {
                let at = known.map(|at| self.times.when(at).clock);
                let at = at.unwrap_or_else(|| self.words().t("value.none"));
                let values = [("place", text), ("time", at.as_str())];
                self.words().with("place.last_known", &values)
            }
        }
    }

    /// What guards life and stands though somebody has acknowledged it, one for each order: what else belongs to that
    /// says the same, or less. And how many more there are.
    fn standing_danger(&self, alarms: &[&Alarm], top: Option<&Alarm>) -> (Vec<AlarmItem>, usize) {
        let mut told = top.map_or_else(BTreeSet::new, |top| top.work_order.iter().collect());
        let danger: Vec<&Alarm> = alarms
            .iter()
            .copied()
            .filter(|one| self.snapshot.is_standing_danger(one))
            .filter(|one| one.work_order.as_ref().is_none_or(|no| told.insert(no)))
            .collect();
        let more = danger.len().saturating_sub(NAMED);
        let named = danger.into_iter().take(NAMED);
        (
            named.map(|alarm| AlarmItem::live(self, alarm)).collect(),
            more,
        )
    }

    /// The frame around a page of one part of the site.
    pub(crate) fn frame(&self, part: &'static str) -> Frame {
        let alarms = self.open_alarms();
        let counted = |alarm: &&&Alarm| {
            matches!(
                alarm.state(),
                AlarmState::Unacknowledged
                    | AlarmState::Acknowledged
                    | AlarmState::ReturnedUnacknowledged
            )
        };
        let waiting = |state: AlarmState| {
            matches!(
                state,
                AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
            )
        };
        let counts = Priority::ALL
            .into_iter()
            .map(|priority| {
                let of_it = alarms.iter().filter(|alarm| alarm.priority == priority);
                let of_it = of_it.filter(counted);
                let over = of_it.clone().all(|alarm| !alarm.active);
                Count {
                    symbol: Symbol::new(self.words(), priority, false).hollow(over),
                    n: of_it.count(),
                }
            })
            .collect();
        let unacknowledged = alarms.iter().filter(|one| waiting(one.state())).count();
        let acknowledged = alarms
            .iter()
            .filter(|one| one.state() == AlarmState::Acknowledged)
            .count();
        let top = alarms.iter().find(|one| waiting(one.state()));
        let (danger, more) = self.standing_danger(&alarms, top.copied());
        Frame {
            part,
            site: self.snapshot.model.site.name.get(self.words().0).to_owned(),
            zone: self.times.zone.name(),
            now: self.times.now.millis(),
            clock: self
                .times
                .local(self.times.now)
                .format("%H:%M:%S")
                .to_string(),
            account: self.me.user.clone(),
            user: if self.me.display_name.is_empty() {
                self.me.user.clone()
            } else {
                self.me.display_name.clone()
            },
            counts,
            top: top.map(|alarm| AlarmItem::live(self, alarm)),
            danger,
            more,
            unacknowledged,
            acknowledged,
            open_orders: self.snapshot.work_orders.len(),
            open: self.open,
            recorded: self.app.records_are_written(),
            older: self.app.records_are_older(),
            unwatched: self.app.unwatched(self.words().0),
            key: uuid::Uuid::new_v4().to_string(),
            given: self.given.clone(),
            script_words: script_words(self.words()),
            look: self.look.clone(),
        }
    }

    /// The rows of a list of open orders.
    pub(crate) fn order_items<'a>(
        &self,
        orders: impl IntoIterator<Item = &'a WorkOrder>,
    ) -> Vec<OrderItem> {
        orders
            .into_iter()
            .map(|order| OrderItem::live(self, order))
            .collect()
    }
}

/// So much of what guards life and stands is named in the bar.
const NAMED: usize = 4;

/// How many alarms of a priority are open and not put aside.
pub(crate) struct Count {
    pub(crate) symbol: Symbol,
    pub(crate) n: usize,
}

/// Everything around a page.
pub(crate) struct Frame {
    pub(crate) look: Look,
    pub(crate) part: &'static str,
    pub(crate) site: String,
    pub(crate) zone: &'static str,
    pub(crate) now: i64,
    pub(crate) clock: String,
    pub(crate) user: String,
    /// The user name: whose drafts the page may show.
    pub(crate) account: String,
    pub(crate) counts: Vec<Count>,
    /// The alarm in the bar; `None` when the bar is calm.
    pub(crate) top: Option<AlarmItem>,
    /// What guards life and stands, though somebody has acknowledged it.
    pub(crate) danger: Vec<AlarmItem>,
    /// How many more there are than are named.
    pub(crate) more: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) acknowledged: usize,
    pub(crate) open_orders: usize,
    /// Whether others can read on the way what is shown and typed.
    pub(crate) open: bool,
    /// Whether records are written; when they are not, every page says so.
    pub(crate) recorded: bool,
    /// Whether the records may be those of an older copy.
    pub(crate) older: bool,
    /// What is open and not in the configuration any more; empty when nothing is.
    pub(crate) unwatched: String,
    /// For the form in the bar.
    pub(crate) key: String,
    /// A form that was sent from this page and not carried out.
    pub(crate) given: Option<Arc<GivenBack>>,
    /// The words the scripts use, as JSON.
    pub(crate) script_words: String,
}

impl Frame {
    pub(crate) fn t(&self, key: &str) -> String {
        self.look.t(key)
    }

    pub(crate) fn n(&self, key: &str, n: impl std::fmt::Display) -> String {
        self.look.words.n(key, n)
    }

    /// A form of this page: what it does to what of which kind, and what it is about.
    pub(crate) fn form(&self, kind: &str, of: impl Display, what: &str, about: &str) -> Drawn<'_> {
        Drawn::new(
            self.given.as_deref(),
            &format!("/{kind}/{of}/{what}"),
            about,
        )
    }

    /// The version the page was drawn by; the stream names the one that runs.
    pub(crate) fn version(&self) -> &'static str {
        crate::live::VERSION
    }

    pub(crate) fn time(&self, key: &str, at: &When) -> String {
        self.look.words.with(key, &[("time", &at.clock)])
    }

    /// A text about the moment of this page.
    pub(crate) fn at(&self, key: &str) -> String {
        self.look.words.with(key, &[("time", &self.clock)])
    }

    pub(crate) fn named(&self, key: &str, name: &str) -> String {
        self.look.words.with(key, &[("name", name)])
    }

    pub(crate) fn ago(&self, at: &When) -> String {
        self.look.words.with("span.ago", &[("age", &at.age)])
    }
}

/// The words the scripts put into the page, under the same keys.
fn script_words(words: Words) -> String {
    const KEYS: [&str; 42] = [
        "frame.live",
        "frame.connecting",
        "frame.lost",
        "frame.no_link",
        "bar.unknown",
        "form.not_sent",
        "form.refused",
        "form.failed_status",
        "form.draft",
        "form.kept",
        "form.and",
        "form.discard",
        "form.close",
        "form.too_long",
        "span.second",
        "span.minute",
        "span.hour",
        "span.day",
        "span.ago",
        "span.left",
        "span.over",
        "order.photo_send",
        "order.photo_remove",
        "order.photo_unsent",
        "order.photos_unsent",
        "order.photos_beside",
        "order.photos_full",
        "order.photos_missing",
        "order.photo_unread",
        "lift.up",
        "lift.down",
        "lift.idle",
        "lift.off_level",
        "pump.running",
        "pump.stopped",
        "pump.fault",
        "asset.trend_empty",
        "asset.trend_failed",
        "asset.trend_loading",
        "asset.trend_summary",
        "overview.cars_moving",
        "value.none",
    ];
    let table: BTreeMap<&str, String> = KEYS.into_iter().map(|key| (key, words.t(key))).collect();
    serde_json::to_string(&table).unwrap_or_default()
}
