//! Units that are silent or out of reach: how soon one that is back is read again, and what it costs
//! the others.

use super::*;
use std::sync::Mutex;

/// When a peer was asked for a unit.
type Asks = Arc<Mutex<Vec<Instant>>>;

const SILENT: u8 = 5;

/// Probes a unit that guards life, which is silent for a while among nine others that answer.
async fn silent_elevator(framing: Framing) {
    let period = Duration::from_millis(500);
    let asks: Asks = Arc::default();
    let noted = asks.clone();
    let peer = Peer::start(framing, move |asked| match asked.unit {
        SILENT => {
            noted.lock().unwrap().push(Instant::now());
            Reply::Silence
        }
        _ => Reply::Now(asked.right()),
    });
    let peer = peer.await;
    let mut units = devices(1..=10, profile(&blocks(), 125, period));
    for unit in &mut units {
        unit.life_safety = true;
    }
    let mut driver = Driver::start(peer.port(), framing, units);
    let mut read: BTreeMap<u32, Vec<Instant>> = BTreeMap::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(24) {
        if let Input::Samples(batch) = driver.next().await {
            read.entry(batch.asset.0).or_default().push(Instant::now());
        }
    }
    let probes = asks.lock().unwrap().clone();
    let longest = probes.windows(2).map(|pair| pair[1] - pair[0]).max();
    let longest = longest.expect("it is asked");
    assert!(
        longest < Duration::from_millis(5500),
        "{framing:?}: {longest:?} between two probes"
    );
    // Each probe takes its time from the line; all that is left of it is the others'.
    for (unit, times) in read {
        assert_ne!(unit, u32::from(SILENT));
        let cycles = u32::try_from(times.len() - 1).unwrap();
        let mean = (times[times.len() - 1] - times[0]) / cycles;
        let ratio = mean.as_secs_f64() / period.as_secs_f64();
        assert!(
            (0.9..=1.1).contains(&ratio),
            "{framing:?}: unit {unit} each {mean:?}"
        );
    }
    peer.follow(|asked| Reply::Now(asked.right())).await;
    let back = Instant::now();
    while u8::try_from(driver.batch().await.asset.0).unwrap() != SILENT {}
    let took = back.elapsed();
    assert!(
        took < Duration::from_secs(6),
        "{framing:?}: read again after {took:?}"
    );
    driver.end().await;
}

#[tokio::test]
async fn what_guards_life_is_probed_each_five_seconds_while_it_is_silent() {
    let mut lines = JoinSet::new();
    lines.spawn(silent_elevator(Framing::Tcp));
    lines.spawn(silent_elevator(Framing::RtuOverTcp));
    lines.join_all().await;
}

#[tokio::test]
async fn a_gateway_behind_which_nobody_is_reached_is_connected_anew() {
    let rows: Vec<Row> = (0..4).map(word).collect();
    let lost = Peer::start(Framing::Tcp, |asked| Reply::Now(asked.refusal(0x0B))).await;
    // Its serial side was replugged: over a new connection all is well.
    let accepted = lost.acceptances();
    lost.follow(move |asked| {
        Reply::Now(match accepted.load(Ordering::Relaxed) {
            0 | 1 => asked.refusal(0x0B),
            _ => asked.right(),
        })
    })
    .await;
    let units = || devices([1, 2], profile(&rows, 125, PERIOD));
    let mut driver = Driver::start(lost.port(), Framing::Tcp, units());
    // Where one unit answers, the connection is good, whatever is said of the other.
    let half = Peer::start(Framing::Tcp, |asked| {
        Reply::Now(match asked.unit {
            1 => asked.refusal(0x0A),
            _ => asked.right(),
        })
    });
    let half = half.await;
    let mut other = Driver::start(half.port(), Framing::Tcp, units());
    let start = Instant::now();
    while lost.accepted() < 2 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "still the same connection"
        );
        other.batch().await;
    }
    assert_eq!(half.accepted(), 1);
    let back = Instant::now();
    while driver
        .batch()
        .await
        .samples
        .iter()
        .all(|sample| sample.value.is_none())
    {}
    let took = back.elapsed();
    assert!(
        took < Duration::from_secs(3),
        "connected anew, and read {took:?} later"
    );
    driver.end().await;
    other.end().await;
}
