//! Everything that can be wrong with a file that is complete TOML of the right shape.
//!
//! It finds all faults, not the first; it opens secret files to see that they can be read, and
//! no connection.

mod alarms;
mod assets;
mod blind;
pub(super) mod devices;
mod edges;

use super::Config;
use super::fault::{Fault, Severity};
use super::library::Library;
use super::source::Document;
use crate::channels::webhook;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use zhiban_core::Duration;

pub(super) fn check(
    config: &Config,
    library: &Library,
    document: &Document<'_>,
    faults: &mut Vec<Fault>,
) {
    let mut at = Place {
        document,
        faults,
        path: Vec::new(),
    };
    site(config, &mut at);
    edges::http(config, &mut at);
    edges::storage(config, &mut at);
    edges::influx(config, &mut at);
    edges::links(config, &mut at);
    assets::locations(config, &mut at);
    assets::assets(config, library, &mut at);
    alarms::overrides(config, library, &mut at);
    edges::channels(config, &mut at);
    edges::rota(config, library, &mut at);
}

/// Where a check stands in the file, and where its faults go.
struct Place<'c, 't> {
    document: &'c Document<'t>,
    faults: &'c mut Vec<Fault>,
    path: Vec<String>,
}

impl Place<'_, '_> {
    /// Runs checks one step further in: a key, or a position in a list.
    fn within(&mut self, step: impl ToString, checks: impl FnOnce(&mut Place<'_, '_>)) {
        let mut path = self.path.clone();
        path.push(step.to_string());
        checks(&mut Place {
            document: self.document,
            faults: self.faults,
            path,
        });
    }

    /// Whether a key of this table was left out for a fault that is told already.
    fn was_left_out(&self, key: &str) -> bool {
        self.document.was_left_out(&self.path, key)
    }

    fn error(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, key, what, remedy);
    }

    fn add(
        &mut self,
        severity: Severity,
        key: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let mut path = self.path.clone();
        path.extend(
            key.split('.')
                .filter(|step| !step.is_empty())
                .map(str::to_owned),
        );
        let fault = self.document.fault(&path, what, remedy);
        self.faults.push(Fault { severity, ..fault });
    }
}

fn site(config: &Config, at: &mut Place<'_, '_>) {
    at.within("site", |at| {
        let code = &config.site.code;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if code.is_empty() || !code.chars().all(plain) {
            let what = format!("the site's code \"{code}\" is not plain");
            at.error("code", what, "write lower-case letters, digits and hyphens");
        }
        if config.site.name.is_incomplete() {
            at.error(
                "name",
                "the site's name lacks a language",
                "write both zh and en",
            );
        }
    });
}

fn span_above_zero(key: &str, span: Duration, at: &mut Place<'_, '_>) {
    if span == Duration::ZERO {
        let what = format!("{key} gives no time at all");
        at.error(key, what, "write a duration, for example \"1s\"");
    }
}

/// A span within which the gateway still does what it is for.
fn span_up_to(key: &str, span: Duration, most: Duration, at: &mut Place<'_, '_>) {
    span_above_zero(key, span, at);
    if span > most {
        let what = format!("{key} = \"{span}\" would hold everything up for so long");
        at.error(key, what, format!("write \"{most}\" or less"));
    }
}

fn host(host: &str, port: u16, at: &mut Place<'_, '_>) {
    if let Some((what, remedy)) = wrong_host(host) {
        at.error("host", what, remedy);
    }
    if port == 0 {
        at.error("port", "port 0 can't be reached", "write 1 to 65535");
    }
}

/// What is wrong with a host, and what to write instead.
fn wrong_host(host: &str) -> Option<(String, String)> {
    let example = "write one without port or scheme, for example \"10.0.0.7\"".to_owned();
    if let Ok(address) = host.parse::<IpAddr>() {
        let nobody = address.is_unspecified() || address.is_multicast();
        let all = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        return (nobody || all).then(|| {
            let what = format!("\"{host}\" is the address of no single device");
            (what, "write the address of the device itself".to_owned())
        });
    }
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    if !host.is_empty() && host.chars().all(digits) {
        let wrong = host.split('.').find(|part| part.parse::<u8>().is_err());
        let what = match wrong {
            Some("") => format!("\"{host}\" is no address: a number is missing"),
            Some(part) => format!("\"{host}\" is no address: {part} is more than 255"),
            None => format!("\"{host}\" is no address: it has not four numbers"),
        };
        let remedy = "write four numbers from 0 to 255, for example \"192.168.1.30\"";
        return Some((what, remedy.to_owned()));
    }
    if let Some((name, port)) = host.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !name.contains(':')
    {
        let what = format!("\"{host}\" has a port in it");
        return Some((what, format!("write host = \"{name}\", port = {port}")));
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let edges = ['-', '.'];
    let sound = !host.is_empty()
        && host.chars().all(letter)
        && !host.starts_with(edges)
        && !host.ends_with('-')
        && !host.contains("..");
    (!sound).then(|| {
        (
            format!("\"{host}\" is no host name and no address"),
            example,
        )
    })
}

fn url(key: &str, url: &str, at: &mut Place<'_, '_>) {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        let what = format!("\"{url}\" is not an address of the web");
        at.error(key, what, "begin with http:// or https:// and a host");
    } else if url.contains(char::is_whitespace) || webhook::address(url).is_none() {
        let what =
            format!("\"{url}\" can't be opened: a host, a port up to 65535 or the like is wrong");
        at.error(key, what, "write http://HOST:PORT/PATH without spaces");
    }
}

/// The name of those there are that comes nearest to a wrong one, as a remedy.
fn instead<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let near = super::source::nearest(wrong, names.iter().copied());
    match near {
        Some(name) => format!("write \"{name}\""),
        None if names.is_empty() => "there is none yet; add it".to_owned(),
        None => {
            let names: Vec<_> = names.into_iter().collect();
            format!("write one of: {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_can_be_no_device_is_refused_with_the_cause() {
        for (host, said) in [
            ("10.0.0.7", None),
            ("plc-1.example.com", None),
            ("localhost", None),
            ("fe80::1", None),
            ("192.168.1.300", Some("300 is more than 255")),
            ("192.168.1", Some("it has not four numbers")),
            ("192.168..1", Some("a number is missing")),
            ("10.0.0.7:502", Some("has a port in it")),
            ("plc:502", Some("has a port in it")),
            ("0.0.0.0", Some("of no single device")),
            ("255.255.255.255", Some("of no single device")),
            ("239.1.1.1", Some("of no single device")),
            ("http://10.0.0.7", Some("no host name and no address")),
            ("", Some("no host name and no address")),
            ("10.0.0.7 ", Some("no host name and no address")),
            ("-plc", Some("no host name and no address")),
        ] {
            let found = wrong_host(host).map(|(what, _)| what);
            match (said, &found) {
                (None, None) => {}
                (Some(said), Some(found)) if found.contains(said) => {}
                _ => panic!("{host}: {found:?}"),
            }
        }
    }
}
