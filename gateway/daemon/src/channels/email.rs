//! Mail by SMTP.
//!
//! A password never travels unencrypted over a network. The mail's id is made from the
//! notification's, so that a second copy is known as one.

use super::{Channel, DeliveryError, Rendered};
use crate::config::EmailTls;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::CertificateError;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A refused sign-in is a matter of configuration: the message waits for it to be put right.
const SIGN_IN_REFUSED: [u16; 4] = [530, 534, 535, 538];

/// Of so many messages it is remembered who has their copy.
const SETTLED: usize = 1024;

/// How mail is sent, and to whom.
#[derive(Debug)]
pub struct EmailOptions {
    /// The mail server's host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: EmailTls,
    /// User name and password, when the server asks.
    pub credentials: Option<(String, SecretString)>,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses; each gets their own copy.
    pub to: Vec<String>,
    /// How long one exchange with the server may take.
    pub timeout: Duration,
}

/// A mail channel.
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// How long a whole mail may take.
    limit: Duration,
    /// Of messages that are tried again, which receivers have their copy.
    settled: Mutex<BTreeMap<String, Vec<bool>>>,
}

/// Whether what is said to this server can be heard on a network.
pub(crate) fn is_in_the_open(host: &str, tls: EmailTls) -> bool {
    tls == EmailTls::None && !["localhost", "127.0.0.1", "::1"].contains(&host)
}

impl Email {
    /// A channel that has sent nothing yet.
    ///
    /// # Errors
    /// In words: an address is none, nobody receives, or a password would travel unencrypted.
    pub fn new(options: EmailOptions) -> Result<Self, String> {
        let to: Result<Vec<_>, _> = options.to.iter().map(|text| mailbox(text)).collect();
        let to = to?;
        if to.is_empty() {
            return Err("to is empty; name who receives the mail".to_owned());
        }
        if options.credentials.is_some() && is_in_the_open(&options.host, options.tls) {
            let what = "the password would travel unencrypted; set tls to implicit or starttls";
            return Err(what.to_owned());
        }
        Ok(Self {
            from: mailbox(&options.from)?,
            limit: options.timeout * 3,
            settled: Mutex::default(),
            transport: transport(options)?,
            to,
        })
    }

    /// One copy for each receiver: who is gone, full or slow keeps nobody else from hearing, and
    /// who has their copy gets no second one when another receiver is tried again.
    async fn send(&self, message: &Rendered) -> Result<(), DeliveryError> {
        let settled = self.settled().get(&message.id).cloned();
        let mut settled = settled.unwrap_or_else(|| vec![false; self.to.len()]);
        let open = settled.iter_mut().zip(&self.to);
        let sending = open.filter(|(taken, _)| !**taken).map(|(taken, to)| async {
            self.send_one(message, to).await?;
            *taken = true;
            Ok(())
        });
        let tried: Vec<Result<(), DeliveryError>> = join_all(sending).await;
        let missing = tried.iter().filter(|result| result.is_err()).count();
        let mut errors: Vec<DeliveryError> = tried.into_iter().filter_map(Result::err).collect();
        // What may work later is said first: then the message is tried again in any case.
        errors.sort_by_key(|error| matches!(error, DeliveryError::Permanent(_)));
        let Some(error) = errors.into_iter().next() else {
            self.settled().remove(&message.id);
            return Ok(());
        };
        self.remember(&message.id, settled);
        if self.to.len() < 2 {
            return Err(error);
        }
        let with_count = |reason| format!("{missing} of {} receivers: {reason}", self.to.len());
        Err(match error {
            DeliveryError::Transient {
                reason,
                retry_after,
            } => DeliveryError::Transient {
                reason: with_count(reason),
                retry_after,
            },
            DeliveryError::Permanent(reason) => DeliveryError::Permanent(with_count(reason)),
        })
    }

    /// Sends one copy.
    async fn send_one(&self, message: &Rendered, to: &Mailbox) -> Result<(), DeliveryError> {
        let mail = self.mail(message, to)?;
        let sending = tokio::time::timeout(self.limit, self.transport.send(mail));
        let error = match sending.await {
            Err(_) => DeliveryError::transient("no answer in time"),
            Ok(Err(error)) => judge(&error),
            Ok(Ok(_)) => return Ok(()),
        };
        if matches!(error, DeliveryError::Permanent(_)) {
            tracing::warn!(notification.id = message.id, %error, "a receiver of mail is refused");
        }
        Err(error)
    }

    fn settled(&self) -> MutexGuard<'_, BTreeMap<String, Vec<bool>>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps who has their copy until the message is tried again. Of too many messages one is
    /// forgotten: then somebody gets a second copy with the same id, which is no loss.
    fn remember(&self, id: &str, taken: Vec<bool>) {
        let mut settled = self.settled();
        if settled.len() >= SETTLED && !settled.contains_key(id) {
            settled.pop_first();
        }
        settled.insert(id.to_owned(), taken);
    }

    fn mail(&self, message: &Rendered, to: &Mailbox) -> Result<Message, DeliveryError> {
        Message::builder()
            .from(self.from.clone())
            .to(to.clone())
            .subject(message.title.clone())
            .message_id(Some(message_id(&message.id, &self.from.email)))
            .header(ContentType::TEXT_PLAIN)
            .body(message.text.clone())
            .map_err(|error| DeliveryError::Permanent(format!("no mail can be made ({error})")))
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let parsed = text.parse();
    parsed.map_err(|_| format!("\"{text}\" is no mail address; write name@host"))
}

fn transport(options: EmailOptions) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    type Transport = AsyncSmtpTransport<Tokio1Executor>;
    super::install_tls();
    let host = options.host.as_str();
    let builder = match options.tls {
        EmailTls::Implicit => Transport::relay(host),
        EmailTls::Starttls => Transport::starttls_relay(host),
        EmailTls::None => Ok(Transport::builder_dangerous(host)),
    };
    let builder = builder.map_err(|error| format!("host is not usable ({error})"))?;
    let mut builder = builder
        .port(options.port)
        .timeout(Some(options.timeout))
        .pool_config(PoolConfig::new().max_size(4));
    if let Some((user, password)) = options.credentials {
        let password = password.expose_secret().to_owned();
        builder = builder.credentials(Credentials::new(user, password));
    }
    Ok(builder.build())
}

/// `<home/WO-20261123-001/raised/1@host>`: what mail does not allow becomes a dash.
fn message_id(id: &str, from: &Address) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
    let id = id.chars().map(|c| if allowed(c) { c } else { '-' });
    format!("<{}@{}>", id.collect::<String>(), from.domain())
}

/// What a failure means. The server's own words are left out: they may repeat what was sent.
fn judge(error: &lettre::transport::smtp::Error) -> DeliveryError {
    if let Some(why) = refused_certificate(error) {
        let reason = format!("the mail server's certificate is refused: {why}");
        return DeliveryError::transient(reason);
    }
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && !SIGN_IN_REFUSED.contains(&code) => {
            DeliveryError::Permanent(format!("the mail server answered {code}"))
        }
        Some(code) => DeliveryError::transient(format!("the mail server answered {code}")),
        None if error.is_timeout() => DeliveryError::transient("no answer in time"),
        None if error.is_tls() => DeliveryError::transient("no encrypted connection"),
        None if error.is_response() => DeliveryError::transient("no sense in the answer"),
        None => DeliveryError::transient("no connection"),
    }
}

/// Why a certificate was not accepted, when that was it; without names, as they may be addresses.
fn refused_certificate(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(cause) = next {
        // What an I/O error wraps is not among its sources.
        let inner = cause.downcast_ref().and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(why)) = inner.or(cause.downcast_ref()) {
            return Some(in_words(why));
        }
        next = cause.source();
    }
    None
}

fn in_words(why: &CertificateError) -> &'static str {
    if matches!(why, CertificateError::UnknownIssuer) {
        "its authority is not known here"
    } else if matches!(
        why,
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    ) {
        "it has expired"
    } else if matches!(
        why,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "it is made out to another name"
    } else {
        "it is not valid"
    }
}

impl Channel for Email {
    fn deliver<'a>(&'a self, message: &'a Rendered) -> BoxFuture<'a, Result<(), DeliveryError>> {
        self.send(message).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> EmailOptions {
        EmailOptions {
            host: "mail.example".to_owned(),
            port: 25,
            tls: EmailTls::None,
            credentials: None,
            from: "值班 <duty@example.com>".to_owned(),
            to: vec!["crew@example.com".to_owned()],
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn what_is_not_usable_is_refused_in_words() {
        let refusal = |change: fn(&mut EmailOptions)| {
            let mut options = options();
            change(&mut options);
            Email::new(options).err().unwrap_or_default()
        };
        assert_eq!(refusal(|_| {}), "");
        assert!(refusal(|options| options.to.clear()).contains("who receives"));
        assert!(refusal(|options| options.from = "nobody".to_owned()).contains("name@host"));
        let plain = refusal(|options| {
            options.credentials = Some(("duty".to_owned(), "geheim".into()));
        });
        assert!(plain.contains("starttls") && !plain.contains("geheim"));
    }

    #[test]
    fn a_message_id_is_made_of_what_mail_allows() {
        let from = "duty@example.com".parse().unwrap();
        assert_eq!(
            message_id("幸福里 1/WO-20261123-001/raised/1", &from),
            "<----1/WO-20261123-001/raised/1@example.com>"
        );
    }
}
