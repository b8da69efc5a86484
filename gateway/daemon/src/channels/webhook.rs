//! JSON by HTTP POST, signed when a secret is given.
//!
//! It follows no redirect, so that a message and its signature never go where nobody configured.

use super::{Channel, DeliveryError, Rendered};
use crate::accounts::hex;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
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
        judge(answer.status(), answer.headers())
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

fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), DeliveryError> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("answered {}", status.as_u16());
    let again = matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error();
    if !again {
        return Err(DeliveryError::Permanent(reason));
    }
    let asked = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = asked.and_then(|text| text.trim().parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    Err(DeliveryError::Transient {
        reason,
        retry_after: retry_after.map(|span| span.min(LONGEST_RETRY_AFTER)),
    })
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
