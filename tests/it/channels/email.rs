//! Mail against a mail server that nobody here wrote.

use std::process::Command;

use zhiban::channels::{Channel, Email, EmailOptions};
use zhiban::config::EmailTls;

use super::{Bench, LIMIT, SECRET, Verdict, holds_what_every_channel_holds, judge, message};
use crate::support::PATIENCE;
use crate::support::smtp::Smtp;
use crate::tls::pem;

struct Mail;

impl Bench for Mail {
    fn channel(port: u16) -> Box<dyn Channel> {
        Box::new(Email::new(options(port, &["crew@example.com"])).unwrap())
    }
}

fn options(port: u16, to: &[&str]) -> EmailOptions {
    EmailOptions {
        host: "127.0.0.1".to_owned(),
        port,
        tls: EmailTls::None,
        credentials: None,
        from: "值班 <duty@example.com>".to_owned(),
        to: to.iter().map(ToString::to_string).collect(),
        timeout: LIMIT,
    }
}

async fn send(port: u16, to: &[&str]) -> Verdict {
    let mail = Email::new(options(port, to)).unwrap();
    judge(&mail).await.0
}

#[tokio::test]
async fn it_holds_what_every_channel_holds() {
    holds_what_every_channel_holds::<Mail>().await;
}

#[tokio::test]
async fn a_mail_arrives_whole_with_the_same_id_on_every_try() {
    let Some(mut server) = Smtp::start(&[]).await else {
        return;
    };
    let mail = Mail::channel(server.port());
    for _ in 0..2 {
        assert_eq!(judge(&*mail).await.0, Verdict::Taken);
        let mail = server.mail().await;
        assert_eq!(
            mail["message_id"],
            "<home/WO-20261123-001/raised/1@example.com>"
        );
        assert_eq!(mail["subject"], message().title.as_str());
        let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(text.trim_end(), message().text.trim_end());
        assert!(mail["from"].as_str().unwrap().contains("值班"));
    }
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let Some(mut server) = Smtp::start(&[]).await else {
        return;
    };
    let port = server.port();
    for (name, expected) in [
        ("421", Verdict::Again),
        ("450", Verdict::Again),
        ("451", Verdict::Again),
        ("452", Verdict::Again),
        ("550", Verdict::Refused),
        ("551", Verdict::Refused),
        ("553", Verdict::Refused),
        ("000", Verdict::Again),
    ] {
        let verdict = send(port, &[&format!("{name}@example.com")]).await;
        assert_eq!(verdict, expected, "{name}");
    }
    assert!(server.is_quiet());
}

#[tokio::test]
async fn an_address_that_is_gone_does_not_silence_the_others() {
    let Some(mut server) = Smtp::start(&[]).await else {
        return;
    };
    let to = ["550@example.com", "li@example.com", "wang@example.com"];
    let mail = Email::new(options(server.port(), &to)).unwrap();
    let (verdict, error) = judge(&mail).await;
    assert_eq!(verdict, Verdict::Refused, "one did not get it");
    let said = error.unwrap().to_string();
    assert_eq!(said, "1 of 3 receivers: the mail server answered 550");
    let mut heard = [server.mail().await, server.mail().await].map(|mail| mail["to"][0].clone());
    heard.sort_by_key(ToString::to_string);
    assert_eq!(heard, ["li@example.com", "wang@example.com"]);
    assert_eq!(judge(&mail).await.0, Verdict::Refused);
    assert!(server.is_quiet(), "who has a copy gets no second one");
}

#[tokio::test]
async fn a_full_mailbox_neither_silences_the_others_nor_floods_them() {
    let Some(mut server) = Smtp::start(&[]).await else {
        return;
    };
    let to = ["452@example.com", "000@example.com", "li@example.com"];
    let mail = Email::new(options(server.port(), &to)).unwrap();
    for _ in 0..3 {
        assert_eq!(judge(&mail).await.0, Verdict::Again);
    }
    assert_eq!(server.mail().await["to"][0], "li@example.com");
    assert!(server.is_quiet(), "one copy is enough");
}

#[tokio::test]
async fn it_signs_in_and_waits_where_it_may_not() {
    let Some(mut server) = Smtp::start(&["--auth", &format!("duty:{SECRET}")]).await else {
        return;
    };
    let port = server.port();
    let with = |password: &str| {
        let mut options = options(port, &["li@example.com"]);
        options.credentials = Some(("duty".to_owned(), password.to_owned().into()));
        Email::new(options).unwrap()
    };
    assert_eq!(judge(&with(SECRET)).await.0, Verdict::Taken);
    assert_eq!(server.mail().await["signed_in"], true);
    // A wrong password is put right by somebody; until then the message waits.
    assert_eq!(judge(&with("wrong")).await.0, Verdict::Again);
    assert_eq!(send(port, &["li@example.com"]).await, Verdict::Again);
    assert!(server.is_quiet());
}

#[tokio::test]
async fn nothing_is_sent_in_plain_text_where_encryption_is_asked_for() {
    let Some(mut server) = Smtp::start(&[]).await else {
        return;
    };
    for tls in [EmailTls::Starttls, EmailTls::Implicit] {
        let mut options = options(server.port(), &["li@example.com"]);
        options.tls = tls;
        options.credentials = Some(("duty".to_owned(), SECRET.into()));
        let mail = Email::new(options).unwrap();
        assert_eq!(judge(&mail).await.0, Verdict::Again, "{tls:?}");
    }
    assert!(server.is_quiet());
}

/// Runs a test of this file once more, in a process whose system trusts this authority alone;
/// `true` in that process. The system's authorities are chosen by a variable of the environment.
fn trusting(authority: &str, test: &str) -> bool {
    let authority = pem(authority);
    if std::env::var_os("SSL_CERT_FILE").is_some_and(|chosen| chosen == *authority) {
        return true;
    }
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("channels::email::{test}"))
        .env("SSL_CERT_FILE", &authority)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}{errors}");
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Both ways to encrypt, each with a server that takes nothing else, and a channel to it.
async fn encrypted() -> Option<Vec<(Smtp, Email)>> {
    let (cert, key, auth) = (pem("cert.pem"), pem("key.pem"), format!("duty:{SECRET}"));
    let files = ["--cert", cert.to_str().unwrap(), key.to_str().unwrap()];
    let mut all = Vec::new();
    for (way, tls) in [
        ("--starttls", EmailTls::Starttls),
        ("--implicit", EmailTls::Implicit),
    ] {
        let arguments = [&files[..], &[way, "--auth", &auth]].concat();
        let server = Smtp::start(&arguments).await?;
        let mut options = options(server.port(), &["li@example.com"]);
        options.tls = tls;
        options.credentials = Some(("duty".to_owned(), SECRET.into()));
        options.timeout = PATIENCE;
        all.push((server, Email::new(options).unwrap()));
    }
    Some(all)
}

#[tokio::test]
async fn a_mail_goes_encrypted_to_a_server_whose_authority_is_known() {
    if !trusting(
        "ca.pem",
        "a_mail_goes_encrypted_to_a_server_whose_authority_is_known",
    ) {
        return;
    }
    let Some(servers) = encrypted().await else {
        return;
    };
    for (mut server, mail) in servers {
        assert_eq!(judge(&mail).await, (Verdict::Taken, None));
        let mail = server.mail().await;
        assert_eq!(mail["encrypted"], true);
        assert_eq!(mail["signed_in"], true);
    }
}

#[tokio::test]
async fn a_server_of_another_authority_gets_nothing_and_is_named_as_such() {
    if !trusting(
        "stranger.pem",
        "a_server_of_another_authority_gets_nothing_and_is_named_as_such",
    ) {
        return;
    }
    let Some(servers) = encrypted().await else {
        return;
    };
    for (mut server, mail) in servers {
        let (verdict, error) = judge(&mail).await;
        assert_eq!(verdict, Verdict::Again);
        let said = error.unwrap().to_string();
        assert_eq!(
            said,
            "the mail server's certificate is refused: its authority is not known here"
        );
        assert!(server.is_quiet());
    }
}
