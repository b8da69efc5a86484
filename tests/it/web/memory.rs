//! Memory: what a password needs while it is looked at is given back.

use super::Page;

/// What the process has in memory now, in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn wrong_passwords_leave_no_memory_behind() {
    let page = Page::start("trusted_proxies = [\"127.0.0.1\"]", &[]).await;
    let before = resident(page.gateway.id());
    let mut after = Vec::new();
    for n in 0..24 {
        let from = format!("198.51.100.{n}");
        let user = format!("user{n}");
        let (status, _) = page
            .sign_in(&user, "wrong", &[("x-forwarded-for", &from)])
            .await;
        assert_eq!(status, 401);
        after.push(resident(page.gateway.id()));
    }
    let last = after[after.len() - 1];
    // One block of 19 MiB may still be there; two may not.
    assert!(
        last < before + 32 * 1024,
        "{before} KiB before, then {after:?}"
    );
}
