//! Checks of what the gateway meets the world by: HTTP, storage, InfluxDB, links, channels.

use super::{Place, host, instead, span_up_to, url};
use crate::channels::email::is_in_the_open;
use crate::channels::webhook;
use crate::config::fault::Severity;
use crate::config::secret::{SecretError, is_exposed};
use crate::config::{
    ChannelKind, Config, EmailConfig, HttpConfig, Library, LinkConfig, MqttConfig, WebhookConfig,
};
use crate::history::influxdb;
use crate::tls::{self, TlsError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use zhiban_core::Duration;

/// What a broker's keep-alive may be; many brokers refuse a longer one.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(600);
/// Two reads of one length would be further apart than any poll period.
const LONGEST_REPEAT_WINDOW: Duration = Duration::from_secs(10);

/// No call of somebody else's server may take longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest that an order nobody accepts may lie before somebody should ask why.
const LONGEST_PATIENCE: Duration = Duration::from_secs(86_400);
/// What a Modbus exchange may take, and the quiet before one.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(30);
/// What a device takes at the least, and what may be waited for one that is silent.
const SHORTEST_EXCHANGE: Duration = Duration::from_millis(20);
const PROBED: Duration = Duration::from_secs(4);
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// Telemetry is kept for no shorter time; InfluxDB knows none either.
const SHORTEST_RETENTION: Duration = Duration::from_secs(3600);

pub(super) fn http(config: &Config, at: &mut Place<'_, '_>) {
    at.within("http", |at| {
        span_up_to(
            "header_timeout",
            config.http.header_timeout,
            LONGEST_WAIT,
            at,
        );
        connections(&config.http, at);
        if let Some(public) = &config.http.public_url {
            url("public_url", public, at);
        }
        if let Some(tls) = &config.http.tls {
            at.within("tls", |at| {
                let chain = usable("cert_file", tls::certificates(&tls.cert_file), at);
                let key = usable("key_file", tls::private_key(&tls.key_file), at);
                if let (Some(chain), Some(key)) = (chain, key) {
                    usable("cert_file", tls::server(chain, key), at);
                }
                exposed("key_file", Some(&tls.key_file), at);
            });
        }
    });
}

fn connections(http: &HttpConfig, at: &mut Place<'_, '_>) {
    let (all, one) = (http.max_connections, http.max_connections_per_address);
    if !(16..=32_768).contains(&all) {
        let what = format!("max_connections is {all}");
        at.error("max_connections", what, "write 16 to 32768");
    }
    if one < 8 || one > all {
        let what = format!("max_connections_per_address is {one}");
        let instead = "write 8, as many as a browser may need, to max_connections";
        at.error("max_connections_per_address", what, instead);
    }
    let everybody = http.trusted_proxies.iter();
    if everybody.clone().any(|network| network.prefix_len() == 0) {
        let what = "every address is a trusted proxy: anybody may claim to be anybody";
        let instead = "name the address of the reverse proxy alone";
        at.error("trusted_proxies", what, instead);
    }
}

pub(super) fn storage(config: &Config, at: &mut Place<'_, '_>) {
    at.within("storage", |at| {
        let kept = config.storage.history_retention;
        if kept < SHORTEST_RETENTION {
            let what = format!("history_retention keeps telemetry for {kept}");
            at.error(
                "history_retention",
                what,
                "write \"1h\" or more, for example \"90d\"",
            );
        }
        if config.storage.data_dir.is_file() {
            let what = format!("{} is a file", config.storage.data_dir.display());
            at.error("data_dir", what, "name a folder");
        }
    });
}

pub(super) fn influx(config: &Config, at: &mut Place<'_, '_>) {
    let Some(influx) = &config.influxdb else {
        return;
    };
    at.within("influxdb", |at| {
        url("url", &influx.url, at);
        if webhook::address(&influx.url).is_some() && influxdb::address(&influx.url).is_none() {
            let what = format!("\"{}\" goes on after the host", influx.url);
            at.error("url", what, "write scheme, host and port alone");
        }
        for (key, text) in [("org", &influx.org), ("bucket", &influx.bucket)] {
            if text.trim().is_empty() {
                at.error(key, format!("{key} is empty"), "write its name");
            }
        }
        if !(1..=50_000).contains(&influx.batch_lines) {
            let what = format!("batch_lines is {}", influx.batch_lines);
            at.error("batch_lines", what, "write 1 to 50000");
        }
        span_up_to("timeout", influx.timeout, LONGEST_WAIT, at);
        if influx.batch_wait > LONGEST_WAIT {
            let what = format!("lines would wait for {}", influx.batch_wait);
            at.error(
                "batch_wait",
                what,
                format!("write \"{LONGEST_WAIT}\" or less"),
            );
        }
        if influx.retention != Duration::ZERO && influx.retention < SHORTEST_RETENTION {
            let what = format!(
                "InfluxDB keeps a bucket for no less than 1h, and this is {}",
                influx.retention
            );
            at.error(
                "retention",
                what,
                "write \"1h\" or more, or \"0s\" for ever",
            );
        }
        secret("token", influx.token(), influx.token_file.as_deref(), at);
    });
}

pub(super) fn links(config: &Config, at: &mut Place<'_, '_>) {
    let used: BTreeSet<&str> = config.assets.iter().map(|one| one.link.as_str()).collect();
    let mut clients = BTreeMap::new();
    let mut endpoints = BTreeMap::new();
    at.within("link", |at| {
        for (name, link) in &config.links {
            if !used.contains(name.as_str()) && !at.document.lost("asset") {
                let what = format!("no asset is on link \"{name}\"");
                at.add(Severity::Warning, name, what, "take it out, or add assets");
            }
            at.within(name, |at| match link {
                LinkConfig::ModbusTcp(one) => at.within("modbus_tcp", |at| {
                    host(&one.host, one.port, at);
                    if [1883, 8883].contains(&one.port) {
                        let what = format!("port {} is that of an MQTT broker", one.port);
                        at.add(Severity::Warning, "port", what, "write mqtt, or port = 502");
                    }
                    waits(one.timeout, one.connect_timeout, one.gap, at);
                    repeats(one.repeat_window, one.accept_any_transaction, at);
                }),
                LinkConfig::ModbusRtuOverTcp(one) => at.within("modbus_rtu_over_tcp", |at| {
                    host(&one.host, one.port, at);
                    waits(one.timeout, one.connect_timeout, one.gap, at);
                    repeats(Some(one.repeat_window), true, at);
                    if one.port == 502 {
                        let what = "port 502 is that of Modbus TCP, which has other frames";
                        let remedy = "write modbus_tcp, or see what the serial server is set to";
                        at.add(Severity::Warning, "port", what, remedy);
                    }
                }),
                LinkConfig::Mqtt(one) => at.within("mqtt", |at| mqtt(one, at)),
            });
            let endpoint = match link {
                LinkConfig::ModbusTcp(one) => Some((one.host.to_ascii_lowercase(), one.port)),
                LinkConfig::ModbusRtuOverTcp(one) => {
                    Some((one.host.to_ascii_lowercase(), one.port))
                }
                LinkConfig::Mqtt(_) => None,
            };
            if let Some(endpoint) = endpoint
                && let Some(other) = endpoints.insert(endpoint, name)
            {
                let what = format!(
                    "links \"{other}\" and \"{name}\" go to the same port of the same device, and their requests meet there"
                );
                let remedy = format!("put the assets of \"{name}\" on \"{other}\"");
                at.add(Severity::Warning, name, what, remedy);
            }
            if let LinkConfig::Mqtt(one) = link {
                let id = one.client_id(&config.site.code);
                let client = (one.host.to_ascii_lowercase(), one.port(), id);
                if let Some(other) = clients.insert(client, name) {
                    let what =
                        format!("links \"{other}\" and \"{name}\" are one client to the broker");
                    let remedy = "give one of them another client_id";
                    at.error(&format!("{name}.mqtt.client_id"), what, remedy);
                }
            }
        }
    });
}

/// How long a line may repeat an answer; without it answers that carry no number are mixed up.
fn repeats(window: Option<Duration>, unnumbered: bool, at: &mut Place<'_, '_>) {
    let Some(window) = window else {
        return;
    };
    if window > LONGEST_REPEAT_WINDOW {
        let what = "repeat_window is so long that hardly anything could be read";
        at.error("repeat_window", what, "write at most \"10s\"");
    }
    if window == Duration::ZERO && unnumbered {
        let what = "without repeat_window an answer that the line repeats becomes the value of other registers";
        at.add(
            Severity::Warning,
            "repeat_window",
            what,
            "write \"250ms\", or take it out",
        );
    }
}

/// How long a link waits; with longer waits one silent device holds up all others on its line.
fn waits(timeout: Duration, connect: Duration, gap: Duration, at: &mut Place<'_, '_>) {
    span_up_to("timeout", timeout, LONGEST_EXCHANGE, at);
    span_up_to("connect_timeout", connect, LONGEST_EXCHANGE, at);
    let waits = [("timeout", timeout), ("connect_timeout", connect)];
    let possible = |wait: Duration| wait > Duration::ZERO && wait <= LONGEST_EXCHANGE;
    for (key, wait) in waits.into_iter().filter(|(_, wait)| possible(*wait)) {
        if wait < SHORTEST_EXCHANGE {
            let what = format!("{wait} is so short that hardly a device answers within it");
            at.add(
                Severity::Warning,
                key,
                what,
                "write \"500ms\", or leave it out",
            );
        } else if wait > PROBED {
            let what = format!(
                "while one device is silent all others of its line wait {wait}, and what guards life is asked less often than each 5 s"
            );
            at.add(
                Severity::Warning,
                key,
                what,
                format!("write at most \"{PROBED}\""),
            );
        }
    }
    if gap > LONGEST_GAP {
        let what = format!("a gap of {gap} before each request would leave no time to read");
        at.error("gap", what, format!("write \"{LONGEST_GAP}\" or less"));
    }
}

fn mqtt(link: &MqttConfig, at: &mut Place<'_, '_>) {
    host(&link.host, link.port(), at);
    let what = match (link.port, &link.tls) {
        (Some(502), _) => Some((
            "port 502 is that of Modbus TCP, no broker listens there",
            "write modbus_tcp, or leave the port out",
        )),
        (Some(8883), None) => Some((
            "8883 is the port of encrypted links, and this one is not",
            "add tls = {}",
        )),
        (Some(1883), Some(_)) => Some((
            "1883 is the port of links that are not encrypted",
            "write port = 8883, or leave it out",
        )),
        _ => None,
    };
    if let Some((what, remedy)) = what {
        at.add(Severity::Warning, "port", what, remedy);
    }
    if !(SHORTEST_KEEP_ALIVE..=LONGEST_KEEP_ALIVE).contains(&link.keep_alive) {
        let what = "keep_alive is too short, or too long to notice a dead broker";
        at.error("keep_alive", what, "write \"1s\" to \"10m\"");
    }
    if link.client_id.as_ref().is_some_and(String::is_empty) {
        at.error(
            "client_id",
            "client_id is empty",
            "write a name, or take it out",
        );
    }
    if link
        .client_id
        .as_ref()
        .is_some_and(|id| id.len() > usize::from(u16::MAX))
    {
        let what = "client_id is longer than the 65535 bytes that MQTT allows";
        at.error("client_id", what, "write a short name");
    }
    if link.username.is_some() {
        secret(
            "password",
            link.password(),
            link.password_file.as_deref(),
            at,
        );
    } else if link.password_file.is_some() || link.password_env.is_some() {
        at.error(
            "password_file",
            "a password stands without a user name",
            "add username",
        );
    }
    if let Some(ca) = link.tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) {
        at.within("tls", |at| {
            drop(usable("ca_file", tls::authorities(ca), at))
        });
    }
}

pub(super) fn channels(config: &Config, at: &mut Place<'_, '_>) {
    at.within("notify", |at| {
        let patience = config.notify.escalate_after;
        if patience > LONGEST_PATIENCE {
            let what = format!("an order that nobody accepts would be told again after {patience}");
            at.add(
                Severity::Warning,
                "escalate_after",
                what,
                "write minutes, for example \"10m\"",
            );
        }
        at.within("channel", |at| {
            for (name, channel) in &config.notify.channels {
                at.within(name, |at| {
                    if channel.reasons.is_empty() {
                        at.error(
                            "reasons",
                            "the channel carries nothing",
                            "name some reasons",
                        );
                    }
                    if channel.priorities.is_empty() {
                        at.error(
                            "priorities",
                            "the channel carries nothing",
                            "name some priorities",
                        );
                    }
                    at.within("to", |at| match &channel.to {
                        ChannelKind::Webhook(one) => at.within("webhook", |at| hook(one, at)),
                        ChannelKind::Email(one) => at.within("email", |at| email(one, at)),
                    });
                });
            }
        });
    });
}

fn hook(webhook: &WebhookConfig, at: &mut Place<'_, '_>) {
    url("url", &webhook.url, at);
    span_up_to("timeout", webhook.timeout, LONGEST_WAIT, at);
    let file = webhook.secret_file.as_deref();
    secret("secret", webhook.secret(), file, at);
}

fn email(email: &EmailConfig, at: &mut Place<'_, '_>) {
    host(&email.host, email.port(), at);
    span_up_to("timeout", email.timeout, LONGEST_WAIT, at);
    if email.to.is_empty() {
        at.error("to", "nobody gets this mail", "add an address");
    }
    address("from", &email.from, at);
    at.within("to", |at| {
        for (index, to) in email.to.iter().enumerate() {
            address(&index.to_string(), to, at);
        }
    });
    if email.username.is_some() && is_in_the_open(&email.host, email.tls) {
        let what = "the password would travel unencrypted";
        at.error("tls", what, "set tls to \"implicit\" or \"starttls\"");
    }
    let file = email.password_file.as_deref();
    secret("password", email.credentials(), file, at);
}

fn address(key: &str, text: &str, at: &mut Place<'_, '_>) {
    if text.parse::<lettre::message::Mailbox>().is_err() {
        let what = format!("\"{text}\" is not a mail address");
        at.error(key, what, "write one, for example \"duty@example.com\"");
    }
}

pub(super) fn rota(config: &Config, library: &Library, at: &mut Place<'_, '_>) {
    let classes = library.classes();
    let mut seen = BTreeSet::new();
    at.within("notify", |at| {
        at.within("rota", |at| {
            for (index, line) in config.notify.rota.iter().enumerate() {
                at.within(index, |at| {
                    if line.person.trim().is_empty() {
                        at.error("person", "the rota names nobody", "write a user name");
                    }
                    let unknown = line.class.as_deref().filter(|one| !classes.contains(one));
                    if let Some(class) = unknown {
                        let what = format!("class \"{class}\" does not exist");
                        at.error("class", what, instead(class, classes.iter().copied()));
                    }
                    if !seen.insert(&line.class) {
                        let what = "two lines of the rota are for the same class";
                        at.error("class", what, "keep one of them");
                    }
                });
            }
        });
    });
}

/// A secret that can't be had is a fault; one that everybody can read deserves a word.
fn secret<T>(
    name: &str,
    found: Result<T, SecretError>,
    file: Option<&Path>,
    at: &mut Place<'_, '_>,
) {
    if let Err(error) = found {
        let text = error.to_string();
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        let place = if file.is_some() { "file" } else { "env" };
        at.error(&format!("{name}_{place}"), what, remedy);
    }
    exposed(&format!("{name}_file"), file, at);
}

fn exposed(key: &str, file: Option<&Path>, at: &mut Place<'_, '_>) {
    if let Some(file) = file.filter(|file| is_exposed(file)) {
        let what = format!("everybody on this machine can read {}", file.display());
        let remedy = format!("run: chmod 600 {}", file.display());
        at.add(Severity::Warning, key, what, remedy);
    }
}

/// What a file of certificates or keys gives; what it does not is a fault.
fn usable<T>(key: &str, found: Result<T, TlsError>, at: &mut Place<'_, '_>) -> Option<T> {
    if let Err(error) = &found {
        let text = error.to_string();
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        at.error(key, what, remedy);
    }
    found.ok()
}
