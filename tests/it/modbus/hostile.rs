//! The built program on lines that answer nonsense of every kind: whoever is on another line is read
//! as ever, nothing that nobody said is shown, and no line fills the log.

use super::site::Site;
use super::*;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// So many answers of nonsense are given before the test ends.
const LIES: usize = 2000;
/// Lines that answer nonsense.
const LINES: usize = 24;
/// Units of each line.
const UNITS: u8 = 4;
/// Where the registers stand: two blocks.
const ADDRESSES: [u16; 6] = [0, 1, 2, 100, 101, 102];
/// Of one line of the program so many messages are written a minute, and one sum.
const LINES_A_MINUTE: usize = 61;

/// An answer that is none to what was asked, of a kind that changes each time.
fn nonsense(asked: Asked, number: &mut impl FnMut() -> u64) -> Reply {
    let right = asked.right();
    let length = usize::try_from(number() % 64).unwrap();
    let noise: Vec<u8> = (0..length).map(|_| number().to_le_bytes()[0]).collect();
    let code = u8::try_from(number() % 12 + 1).unwrap();
    let pdu = |function| [&[function, 6][..], &[9; 6]].concat();
    Reply::Now(match number() % 12 {
        0 => asked.words(asked.count - 1),
        1 => asked.words(asked.count + 1),
        2 => asked.frame(asked.unit + 100, &pdu(asked.function)),
        3 => asked.frame(asked.unit, &pdu(4)),
        4 => asked.numbered(asked.number() ^ 1).words(asked.count - 1),
        5 => noise,
        6 => [noise, right].concat(),
        7 => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        8 => asked.frame(asked.unit, &noise),
        9 => return Reply::Close(right[..5].to_vec()),
        _ => asked.refusal(code),
    })
}

/// A line of units that answer nonsense, but for every fourth answer; the nonsense is counted.
async fn liars(framing: Framing, seed: u64, told: Arc<AtomicUsize>) -> Peer {
    let mut number = numbers(seed);
    Peer::start(framing, move |asked| {
        if number().is_multiple_of(4) {
            return Reply::Now(asked.right());
        }
        told.fetch_add(1, Ordering::Relaxed);
        nonsense(asked, &mut number)
    })
    .await
}

/// A host that takes no connection and refuses none.
async fn deaf() -> (u16, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let short = Duration::from_millis(300);
    while let Ok(stream) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        held.push(stream.unwrap());
    }
    (address.port(), listener, held)
}

/// Asserts that so long a run has written no more than its lines of the program may.
fn log_is_short(log: &str, begun: Instant) {
    // Connected, not connected, a read failed, all is well again, another line of each driver; and
    // what is said once.
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60).unwrap() + 1;
    let lines: Vec<&str> = log.lines().collect();
    let most = 5 * LINES_A_MINUTE * minutes + 100;
    let end = lines[lines.len().saturating_sub(40)..].join("\n");
    assert!(lines.len() <= most, "{} lines:\n{end}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 1000), "{end}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lines_neither_fill_the_log_nor_stop_another_line() {
    let mut site = Site::new(&ADDRESSES, "");
    let told = Arc::new(AtomicUsize::new(0));
    let mut hostile = Vec::new();
    for place in 0..LINES {
        let framing = FRAMINGS[place % 2];
        let seed = 7919 * (u64::try_from(place).unwrap() + 1);
        let peer = liars(framing, seed, told.clone()).await;
        site.line(&format!("bad{place}"), framing, peer.port(), UNITS);
        hostile.push(peer);
    }
    let (nobody, _listener, _held) = deaf().await;
    site.line("deaf", Framing::Tcp, nobody, UNITS);
    // The same unit numbers as on all the others.
    let good = Peer::start(Framing::Tcp, |asked| Reply::Now(asked.right())).await;
    site.line("good", Framing::Tcp, good.port(), UNITS);
    let begun = Instant::now();
    let mut running = site.start().await;
    let healthy: Vec<String> = (1..=UNITS).map(|unit| format!("good-{unit}")).collect();
    wait_until(PATIENCE, "the good line to be read", async || {
        let mut good = 0;
        for asset in &healthy {
            good += running.good(asset).await;
        }
        good == healthy.len() * ADDRESSES.len()
    })
    .await;

    let mut seen = 0;
    while told.load(Ordering::Relaxed) < LIES {
        let before = good.asked();
        wait_until(PATIENCE, "the good line to be read on", async || {
            good.asked() >= before + 20
        })
        .await;
        for asset in &healthy {
            assert_eq!(running.good(asset).await, ADDRESSES.len(), "{asset}");
            assert_eq!(running.get(&format!("/assets/{asset}")).await["link"], "up");
        }
        for place in 0..hostile.len() {
            for unit in 1..=UNITS {
                seen += running.good(&format!("bad{place}-{unit}")).await;
            }
        }
    }
    assert!(seen > 0, "what was true among the nonsense was never shown");
    assert_eq!(good.accepted(), 1, "connections of the good line");
    assert!(running.gateway.stop().await.success());
    let log = running.gateway.log();
    log_is_short(&log, begun);
    assert!(log.contains("more times in the last"), "{log}");
}
