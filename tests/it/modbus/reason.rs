//! Why a device is not read is said with endpoint, unit, what was asked and what came.

use super::*;
use zhiban_dashboard::ports::DeviceFault;

/// What a peer answers, and what the board must say of it: kind, exception, the first bytes.
type Case = (fn(Asked) -> Reply, &'static str, Option<u8>, &'static str);

const CASES: [Case; 8] = [
    (
        |asked| Reply::Now(asked.framed(Framing::RtuOverTcp).right()),
        "other_framing",
        None,
        "01 03 ",
    ),
    (|_| Reply::Now(vec![b'S'; 40]), "garbage", None, "53 53"),
    (
        |asked| Reply::Now(asked.right()[..8].to_vec()),
        "incomplete",
        None,
        "",
    ),
    (
        |asked| Reply::Now(asked.frame(9, &asked.right()[7..])),
        "wrong_unit",
        None,
        "",
    ),
    (
        |asked| Reply::Now(asked.refusal(1)),
        "exception",
        Some(1),
        "",
    ),
    (
        |asked| Reply::Now(asked.refusal(0x0B)),
        "unreachable",
        Some(0x0B),
        "",
    ),
    (|_| Reply::Silence, "timeout", None, ""),
    (|_| Reply::Close(vec![0, 1]), "closed", None, "00 01"),
];

async fn said(driver: &Driver, kind: &str) -> DeviceFault {
    let mut found = None;
    wait_until(PATIENCE, kind, async || {
        found = driver.board.device_fault("U1");
        found.as_ref().is_some_and(|fault| fault.kind == kind)
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn the_board_says_why_a_device_is_not_read() {
    let rows: Vec<Row> = (0..4).map(word).collect();
    for (reply, kind, exception, answer) in CASES {
        let peer = Peer::start(Framing::Tcp, reply).await;
        let units = devices([1], profile(&rows, 125, PERIOD));
        let driver = Driver::start(peer.port(), Framing::Tcp, units);
        let fault = said(&driver, kind).await;
        assert_eq!(fault.endpoint, format!("127.0.0.1:{}", peer.port()));
        assert_eq!(
            (fault.unit, fault.exception),
            (Some(1), exception),
            "{kind}"
        );
        // What is refused is asked in smaller pieces, of which any may be the last.
        let first = if exception.is_some() {
            "holding "
        } else {
            "holding 0, "
        };
        assert!(fault.asked.starts_with(first), "{}", fault.asked);
        assert!(fault.answer.starts_with(answer), "{kind}: {}", fault.answer);
        assert_eq!(fault.answer.is_empty(), kind == "timeout", "{kind}");
        peer.follow(|asked| Reply::Now(asked.right())).await;
        wait_until(PATIENCE, "all is well again", async || {
            driver.board.device_fault("U1").is_none()
        })
        .await;
        driver.end().await;
    }
    let nobody = free_port();
    let units = devices([1], profile(&rows, 125, PERIOD));
    let driver = Driver::start(nobody, Framing::Tcp, units);
    let fault = said(&driver, "connection_refused").await;
    assert_eq!(fault.endpoint, format!("127.0.0.1:{nobody}"));
    assert!(!fault.detail.is_empty());
    driver.end().await;
}
