//! Accounts on a real store: sign-in, sessions, tokens and the one-time set-up.

use super::*;
use zhiban_dashboard::ports::Accounts as Port;

const PASSWORD: &str = "正确的马 battery staple";

async fn accounts() -> (Accounts, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("core.db")).await.unwrap();
    (Accounts::new(store), folder)
}

fn at(minutes: i64) -> DateTime<Utc> {
    (Timestamp::from_millis(1_795_000_000_000) + Duration::from_secs(minutes * 60)).to_utc()
}

async fn sign_in(accounts: &Accounts, password: &str, minutes: i64) -> Option<String> {
    let signed = accounts.sign_in("wang".to_owned(), password.to_owned(), at(minutes));
    signed.await.unwrap().map(|opened| opened.session)
}

async fn who(accounts: &Accounts, secret: &str, minutes: i64) -> Option<Identity> {
    accounts
        .session(secret.to_owned(), at(minutes))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_session_ends_when_idle_or_after_a_shift() {
    let (accounts, _folder) = accounts().await;
    let added = accounts.add_user("wang", "王工", PASSWORD.to_owned());
    added.await.unwrap();
    assert_eq!(sign_in(&accounts, "not the password", 0).await, None);
    let secret = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    assert_eq!(secret.len(), 64, "256 bits in hex");
    let identity = who(&accounts, &secret, 29).await.unwrap();
    assert_eq!(
        (identity.user.as_str(), identity.display_name.as_str()),
        ("wang", "王工")
    );
    assert!(identity.session);
    for minutes in (58..12 * 60).step_by(29) {
        assert!(
            who(&accounts, &secret, minutes).await.is_some(),
            "{minutes}"
        );
    }
    assert_eq!(
        who(&accounts, &secret, 12 * 60 + 1).await,
        None,
        "the shift is over"
    );

    let idle = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    assert_eq!(who(&accounts, &idle, 31).await, None);
    assert_eq!(who(&accounts, "guess", 0).await, None);
}

#[tokio::test]
async fn a_clock_that_is_set_signs_nobody_out() {
    let building = crate::journal::tests::building::building().await;
    let store = building.journal.store().clone();
    let accounts = Accounts::new(store.clone());
    let added = accounts.add_user("wang", "王工", PASSWORD.to_owned());
    added.await.unwrap();
    let secret = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    // The wall clock was set forward by a day. The sessions see it before the engine has looked.
    let day = 24 * 60;
    let (wall, running) = (crate::clock::wall(), std::time::Instant::now());
    let before = wall - Duration::from_secs(day * 60);
    let steps = Arc::new(Steps::at(before, running));
    let accounts = Accounts::with_steps(store, steps.clone());
    assert!(who(&accounts, &secret, day + 1).await.is_some());
    assert_eq!(
        who(&accounts, &secret, day + 40).await,
        None,
        "idle is idle"
    );
    // The engine takes it and moves what is stored: over a restart they stay signed in too.
    let by = steps.take(wall, running).unwrap();
    assert!(who(&accounts, &secret, day + 2).await.is_some());
    let step = crate::journal::Step {
        at: wall,
        clock_set: Some(by),
        ..crate::journal::Step::default()
    };
    building.journal.commit(&step).await.unwrap();
    steps.written(by);
    assert!(who(&accounts, &secret, day + 3).await.is_some());
    let restarted = Accounts::new(building.journal.store().clone());
    assert!(who(&restarted, &secret, day + 4).await.is_some());
}

#[tokio::test]
async fn signing_out_disabling_and_a_new_password_end_sessions() {
    let (accounts, _folder) = accounts().await;
    let added = accounts.add_user("wang", "王工", PASSWORD.to_owned());
    added.await.unwrap();
    let secret = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    accounts.sign_out(secret.clone()).await.unwrap();
    assert_eq!(who(&accounts, &secret, 0).await, None);

    let secret = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    let changed = accounts.set_password("wang", "lamps over the river".to_owned());
    changed.await.unwrap();
    assert_eq!(who(&accounts, &secret, 0).await, None);
    assert_eq!(sign_in(&accounts, PASSWORD, 0).await, None);

    let secret = sign_in(&accounts, "lamps over the river", 0).await.unwrap();
    assert_eq!(accounts.people().await.unwrap().len(), 1);
    accounts.disable_user("wang").await.unwrap();
    assert_eq!(who(&accounts, &secret, 0).await, None);
    assert_eq!(sign_in(&accounts, "lamps over the river", 0).await, None);
    assert!(accounts.people().await.unwrap().is_empty());
    assert!(accounts.users().await.unwrap()[0].disabled_at.is_some());
}

#[tokio::test]
async fn what_is_not_usable_is_refused_in_words() {
    let (accounts, _folder) = accounts().await;
    let add = async |name: &str, password: &str| {
        let added = accounts.add_user(name, name, password.to_owned()).await;
        added.map_err(|error| error.to_string())
    };
    for name in ["x", "Wang", "王工", "a b", &"a".repeat(33)] {
        assert!(
            add(name, PASSWORD).await.unwrap_err().contains("a-z"),
            "{name}"
        );
    }
    for password in ["short", "十一个字不够长的密码呀", &"x".repeat(1025)] {
        assert!(
            add("wang", password).await.unwrap_err().contains("12"),
            "{password}"
        );
    }
    add("wang", PASSWORD).await.unwrap();
    assert!(
        add("wang", PASSWORD)
            .await
            .unwrap_err()
            .contains("there already")
    );
    let unknown = accounts.disable_user("li").await.unwrap_err();
    assert!(matches!(unknown, AccountError::Unknown(_)));
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_is_kept_as_a_hash() {
    let (accounts, folder) = accounts().await;
    let secret = accounts.add_token("scada").await.unwrap();
    assert!(secret.starts_with("zb_") && secret.len() == 67);
    let identity = accounts
        .token(secret.clone(), at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((identity.user.as_str(), identity.session), ("scada", false));
    assert!(accounts.tokens().await.unwrap()[0].last_used_at.is_some());
    assert!(
        accounts.add_token("scada").await.is_err(),
        "names are unique"
    );
    let wrong = accounts.token("zb_0000".to_owned(), at(0));
    assert_eq!(wrong.await.unwrap(), None);
    accounts.store.close().await;
    let bytes = std::fs::read(folder.path().join("core.db")).unwrap();
    let found = bytes
        .windows(secret.len())
        .any(|part| part == secret.as_bytes());
    assert!(!found, "the file holds the hash only");

    let store = Store::open_beside(&folder.path().join("core.db"))
        .await
        .unwrap();
    let accounts = Accounts::new(store);
    accounts.revoke_token("scada").await.unwrap();
    assert_eq!(accounts.token(secret, at(0)).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_account_is_made_once_with_the_printed_token() {
    let (accounts, _folder) = accounts().await;
    assert!(accounts.needs_setup().await.unwrap());
    let void = accounts.setup_token().await.unwrap().unwrap();
    let token = accounts.setup_token().await.unwrap().unwrap();
    assert_eq!(token.len(), 32, "128 bits in hex");
    let set_up = async |token: &str, user: &str, password: &str| {
        let made = accounts.set_up(token.to_owned(), user.to_owned(), password.to_owned());
        made.await.unwrap()
    };
    assert_eq!(
        set_up(&void, "wang", PASSWORD).await,
        Err(SetupRefused::Token)
    );
    assert_eq!(
        set_up(&token, "王", PASSWORD).await,
        Err(SetupRefused::User)
    );
    assert_eq!(
        set_up(&token, "wang", "short").await,
        Err(SetupRefused::Password)
    );
    assert_eq!(
        set_up(&token, "wang", "password1234").await,
        Err(SetupRefused::Guessable)
    );
    assert_eq!(set_up(&token, "wang", PASSWORD).await, Ok(()));
    assert_eq!(
        set_up(&token, "li", PASSWORD).await,
        Err(SetupRefused::Done)
    );
    assert!(!accounts.needs_setup().await.unwrap());
    assert_eq!(accounts.setup_token().await.unwrap(), None);
}

#[tokio::test]
async fn five_wrong_tries_void_the_set_up_token() {
    let (accounts, _folder) = accounts().await;
    let token = accounts.setup_token().await.unwrap().unwrap();
    let set_up = async |token: &str| {
        let made = accounts.set_up(token.to_owned(), "wang".to_owned(), PASSWORD.to_owned());
        made.await.unwrap()
    };
    for _ in 0..4 {
        assert_eq!(set_up("wrong").await, Err(SetupRefused::Token));
    }
    assert_eq!(set_up("wrong").await, Err(SetupRefused::Void));
    assert_eq!(set_up(&token).await, Err(SetupRefused::Void));
    let again = accounts.setup_token().await.unwrap().unwrap();
    assert_eq!(set_up(&again).await, Ok(()));
}

#[tokio::test]
async fn a_store_that_takes_nothing_shuts_nobody_out() {
    let (accounts, _folder) = accounts().await;
    let added = accounts.add_user("wang", "王工", PASSWORD.to_owned());
    added.await.unwrap();
    let token = accounts.add_token("monitor").await.unwrap();
    let secret = sign_in(&accounts, PASSWORD, 0).await.unwrap();
    let full = sqlx::query("pragma query_only = on");
    let mut writer = accounts.store.writer().await.unwrap();
    full.execute(&mut *writer).await.unwrap();
    drop(writer);
    for minutes in (2..300).step_by(20) {
        assert!(
            who(&accounts, &secret, minutes).await.is_some(),
            "{minutes}"
        );
        let machine = accounts.token(token.clone(), at(minutes)).await.unwrap();
        assert!(machine.is_some(), "{minutes}");
    }
    assert_eq!(who(&accounts, &secret, 350).await, None, "idle is idle");
}

#[tokio::test]
async fn a_browser_is_known_by_its_proof_until_the_password_changes() {
    let (accounts, _folder) = accounts().await;
    for name in ["wang", "li"] {
        let added = accounts.add_user(name, name, PASSWORD.to_owned());
        added.await.unwrap();
    }
    let signed = Port::sign_in(&accounts, "wang".to_owned(), PASSWORD.to_owned(), at(0));
    let proof = signed.await.unwrap().unwrap().device;
    let known = async |user: &str, proof: &str, days: i64| {
        let proofs = vec!["1.2.3".to_owned(), String::new(), proof.to_owned()];
        let found = accounts.known_device(user.to_owned(), proofs, at(days * 24 * 60));
        found.await.unwrap()
    };
    assert_eq!(known("wang", &proof, 0).await.as_ref(), Some(&proof));
    assert_eq!(known("wang", &proof, 170).await.as_ref(), Some(&proof));
    assert_eq!(known("wang", &proof, 190).await, None, "too old");
    assert_eq!(known("li", &proof, 0).await, None, "another account's");
    let (day, rest) = proof.split_once('.').unwrap();
    let later = format!("{}.{rest}", day.parse::<i64>().unwrap() + 1);
    assert_eq!(known("wang", &later, 0).await, None, "not ours");
    let changed = accounts.set_password("wang", "lamps over the river".to_owned());
    changed.await.unwrap();
    assert_eq!(known("wang", &proof, 0).await, None);
}

#[tokio::test]
async fn more_than_wait_their_turn_are_refused_at_once() {
    let (accounts, _folder) = accounts().await;
    let guess = || Port::sign_in(&accounts, "wang".to_owned(), PASSWORD.to_owned(), at(0));
    let all = futures_util::future::join_all((0..40).map(|_| guess())).await;
    let busy = |one: &&Result<_, SignInError>| matches!(one, Err(SignInError::Busy));
    let refused = all.iter().filter(busy).count();
    assert!((1..=24).contains(&refused), "{refused}");
    assert!(
        all.iter()
            .all(|one| matches!(one, Ok(None) | Err(SignInError::Busy)))
    );
}
