//! Passwords that are guessed: the guesser is slowed, and nobody else.

use super::{PASSWORD, Page, account};
use crate::support::http;

const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]";

#[tokio::test]
async fn one_guesser_locks_out_neither_others_nor_who_was_signed_in() {
    let page = Page::start("", &["wang", "li"]).await;
    let (status, known) = page.sign_in("wang", PASSWORD, &[]).await;
    assert_eq!(status, 204);
    let mut refused = 0;
    for n in 0..36 {
        // Of one account and of many; the header is a claim of a stranger and changes nothing.
        let user = if n % 2 == 0 {
            "wang".to_owned()
        } else {
            format!("user{n}")
        };
        let claim = format!("198.51.100.{n}");
        let headers = [("x-forwarded-for", claim.as_str())];
        let (status, _) = page.sign_in(&user, "wrong", &headers).await;
        assert!(status == 401 || status == 429, "{status}");
        refused += u32::from(status == 429);
    }
    assert!(refused >= 8, "wang was guessed at 18 times: {refused}");
    while page.sign_in("wang", "wrong", &[]).await.0 != 429 {}
    assert_eq!(page.sign_in("wang", PASSWORD, &[]).await.0, 429);
    assert_eq!(
        page.sign_in("li", PASSWORD, &[]).await.0,
        204,
        "nobody guessed at li"
    );
    let headers = [
        ("cookie", known.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let signed_in = http()
        .get(page.url("/api/v1/session"))
        .header("cookie", &known);
    assert_eq!(signed_in.send().await.unwrap().status().as_u16(), 200);
    let again = page.sign_in("wang", PASSWORD, &headers).await;
    assert_eq!(again.0, 204, "a browser that was signed in before");
}

#[tokio::test]
async fn many_addresses_do_not_guess_at_one_account_without_limit() {
    let page = Page::start(PROXY, &["wang", "li"]).await;
    let mut looked_at = 0;
    for n in 0..40 {
        let from = format!("203.0.113.1, 198.51.100.{n}");
        let (status, _) = page
            .sign_in("wang", "wrong", &[("x-forwarded-for", &from)])
            .await;
        looked_at += u32::from(status == 401);
    }
    assert!((20..=22).contains(&looked_at), "{looked_at}");
    let other = [("x-forwarded-for", "198.51.100.200")];
    assert_eq!(page.sign_in("wang", PASSWORD, &other).await.0, 429);
    assert_eq!(page.sign_in("li", PASSWORD, &other).await.0, 204);
}

#[tokio::test]
async fn a_common_password_is_taken_nowhere() {
    let page = Page::start("", &[]).await;
    for (user, password, said) in [
        ("wang", "password1234", "easy to guess"),
        ("wang", "Qwertyuiop123", "easy to guess"),
        ("wangwei", "wangwei-duty-room", "easy to guess"),
        ("wang", "harbour tower 2026", "easy to guess"),
        ("wang", "short", "at least 12"),
    ] {
        let refused = account(&page.file, &["user", "add", user], password);
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{password}");
        assert!(stderr.contains(said), "{password}: {stderr}");
    }
    let token = page.gateway.stdout().pop().unwrap();
    let set_up = async |token: &str, password: &str| {
        let body = format!(
            "token={token}&username=wang&password={}",
            password.replace(' ', "+")
        );
        let form = http()
            .post(page.url("/setup"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept-language", "en")
            .body(body);
        let answer = form.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = set_up(&token, "password1234").await;
    assert!(status == 422 && said.contains("easy to guess"), "{said}");
    for _ in 0..5 {
        assert_eq!(set_up("wrong", PASSWORD).await.0, 422);
    }
    let (status, said) = set_up(&token, PASSWORD).await;
    assert!(
        status == 422 && said.contains("Restart the gateway"),
        "{said}"
    );
    let log = page.gateway.log();
    assert!(
        log.contains("void after 5 wrong ones; restart the gateway"),
        "{log}"
    );
    let added = account(&page.file, &["user", "add", "wang"], PASSWORD);
    assert!(added.status.success(), "{added:?}");
    let changed = account(&page.file, &["user", "passwd", "wang"], "password1234");
    assert!(!changed.status.success());
    assert_eq!(
        page.sign_in("wang", PASSWORD, &[]).await.0,
        204,
        "it has its old one"
    );
}
