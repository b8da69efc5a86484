//! JSON by HTTP POST, signed when a secret is given.
//!
//! It follows no redirect, so that a message and its signature never go where nobody configured.

use super::{Channel, DeliveryError, Rendered};
use crate::accounts::hex;
use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::time::Duration;

/// A `Retry-After` longer than this is not waited for.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// How a webhook is reached.
#[derive(Debug)]
pub struct WebhookOptions {
    /// Where to, `http` or `https`.
    pub url: String,
    /// The key of the signature; `None` sends unsigned.
    pub secret: Option<SecretString>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A webhook.
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    secret: Option<SecretString>,
}

/// The address, if it is one of the web.
pub(crate) fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl Webhook {
    /// A webhook that has sent nothing yet.
    ///
    /// # Errors
    /// In words: the address is no HTTP address, or there is no TLS on this system.
    pub fn new(options: WebhookOptions) -> Result<Self, String> {
        let url = address(&options.url);
        let url = url.ok_or("url is not an HTTP address; write https://host/path")?;
        super::install_tls();
        let client = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("zhiban/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client can be made ({error})"))?;
        Ok(Self {
            client,
            url,
            secret: options.secret,
        })
    }

    async fn send(&self, message: &Rendered) -> Result<(), DeliveryError> {
        let body = serde_json::to_vec(message);
        let body = body.map_err(|error| DeliveryError::Permanent(error.to_string()))?;
        let headers = self.headers(&message.id, &body)?;
        let request = self.client.post(self.url.clone());
        let request = request.headers(headers).body(body);
        let answer = request.send().await.map_err(|error| {
            // The error's own words hold the address, which may hold a token.
            DeliveryError::transient(if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection"
            } else {
                "the connection broke"
            })
        })?;
        judge(answer.status(), answer.headers(), Utc::now())
    }

    fn headers(&self, id: &str, body: &[u8]) -> Result<HeaderMap, DeliveryError> {
        let timestamp = chrono::Utc::now().timestamp().to_string();
        let mut all = vec![
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", id.to_owned()),
            ("x-zhiban-timestamp", timestamp.clone()),
        ];
        if let Some(secret) = &self.secret {
            let signature = sign(secret.expose_secret(), &timestamp, body);
            all.push(("x-zhiban-signature", format!("sha256={signature}")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            // Bytes, because a site's code may be Chinese.
            let value = HeaderValue::from_bytes(value.as_bytes());
            let value = value.map_err(|error| DeliveryError::Permanent(error.to_string()))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// HMAC-SHA256 of the timestamp, a dot and the body, in hex.
fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    let mac = mac.chain_update(timestamp).chain_update(b".");
    hex(&mac.chain_update(body).finalize().into_bytes())
}

fn judge(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Result<(), DeliveryError> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("answered {}", status.as_u16());
    let asked = retry_after(headers, now);
    let again = matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error();
    if !again && asked.is_none() {
        return Err(DeliveryError::Permanent(reason));
    }
    Err(DeliveryError::Transient {
        reason,
        retry_after: asked.map(|span| span.min(LONGEST_RETRY_AFTER)),
    })
}

/// How long the other side asks to be left alone: in seconds, or until a date of its own clock.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let asked = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(asked)?;
    let now = text(DATE).and_then(http_date).unwrap_or(now);
    Some((until - now).to_std().unwrap_or_default())
}

/// A date of HTTP in any of its three spellings.
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(text) {
        return Some(date.to_utc());
    }
    let spellings = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let read = |spelling| NaiveDateTime::parse_from_str(text, spelling).ok();
    spellings
        .into_iter()
        .find_map(read)
        .map(|date| date.and_utc())
}

impl Channel for Webhook {
    fn deliver<'a>(&'a self, message: &'a Rendered) -> BoxFuture<'a, Result<(), DeliveryError>> {
        self.send(message).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_in_hex() {
        assert_eq!(
            sign("key", "1795392000", b"{\"id\":\"home/1\"}"),
            "94237ac9a244342bd466a3b45cea1335ff19e17b263007e3a95678cd5ad906ad",
            "as another implementation computes it"
        );
    }

    #[test]
    fn a_time_to_wait_is_read_in_seconds_and_as_a_date() {
        let now = http_date("Thu, 26 Nov 2026 01:00:00 GMT").unwrap();
        let wait = |asked: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(asked));
            date.map(|date| headers.insert(DATE, HeaderValue::from_static(date)));
            retry_after(&headers, now).map(|span| span.as_secs())
        };
        assert_eq!(wait("120", None), Some(120));
        for date in [
            "Thu, 26 Nov 2026 01:00:30 GMT",
            "Thursday, 26-Nov-26 01:00:30 GMT",
            "Thu Nov 26 01:00:30 2026",
        ] {
            assert_eq!(wait(date, None), Some(30), "{date}");
        }
        let ahead = Some("Thu, 26 Nov 2026 01:00:20 GMT");
        assert_eq!(
            wait("Thu, 26 Nov 2026 01:00:30 GMT", ahead),
            Some(10),
            "by its clock"
        );
        assert_eq!(
            wait("Thu, 26 Nov 2026 00:00:00 GMT", None),
            Some(0),
            "it is over"
        );
        assert_eq!(wait("soon", None), None);
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "host/path", "ftp://host", "http://"] {
            let options = WebhookOptions {
                url: url.to_owned(),
                secret: None,
                timeout: Duration::from_secs(1),
            };
            assert!(Webhook::new(options).is_err(), "{url}");
        }
    }
}
