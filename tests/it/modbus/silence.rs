//! Units that are silent or out of reach: how soon one that is back is read again, and what it costs
//! the others.

use super::*;
use std::sync::Mutex;

/// The units that a peer was asked for, in order.
type Asks = Arc<Mutex<Vec<u8>>>;

const SILENT: u8 = 5;

fn guarding(units: impl IntoIterator<Item = u8>, period: Duration) -> Vec<Device> {
    let mut units = devices(units, profile(&blocks(), 125, period));
    for unit in &mut units {
        unit.life_safety = true;
    }
    units
}

/// What was asked between two probes of silent units, from the time on at which all of them had been
/// asked `times` times.
fn between_probes(asks: &[u8], silent: &[u8], times: usize) -> Vec<Vec<u8>> {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    let begin = asks.iter().position(|unit| {
        *counts.entry(*unit).or_default() += 1;
        silent.iter().all(|unit| counts.get(unit) >= Some(&times))
    });
    let asks = begin.map_or(&[][..], |begin| &asks[begin + 1..]);
    let parts = asks.split(|unit| silent.contains(unit));
    let mut parts: Vec<_> = parts.map(<[u8]>::to_vec).collect();
    parts.pop();
    parts
}

/// How often a unit was asked.
fn count(asks: &[u8], unit: u8) -> usize {
    asks.iter().filter(|asked| **asked == unit).count()
}

/// Probes a unit that guards life, which is silent for a while among nine others that answer.
async fn silent_elevator(framing: Framing) {
    const PROBES: usize = 5;
    let period = Duration::from_millis(500);
    // Four blocks are four requests a cycle.
    let cycles = |asks: &[u8], unit| count(asks, unit) / 4;
    let asks: Asks = Arc::default();
    let noted = asks.clone();
    let peer = Peer::start(framing, move |asked| {
        noted.lock().unwrap().push(asked.unit);
        match asked.unit {
            SILENT => Reply::Silence,
            _ => Reply::Now(asked.right()),
        }
    });
    let peer = peer.await;
    let mut driver = Driver::start(peer.port(), framing, guarding(1..=10, period));
    let parts = loop {
        driver.batch().await;
        let parts = between_probes(&asks.lock().unwrap(), &[SILENT], 2);
        if parts.len() >= PROBES {
            break parts;
        }
    };
    for part in &parts {
        // Each unit is read twice a second: eleven cycles are more than five seconds.
        assert!(
            cycles(part, 1) <= 11,
            "{framing:?}: too long without a probe"
        );
    }
    let all = parts.concat();
    for unit in (1..=10).filter(|unit| *unit != SILENT) {
        let (one, other) = (cycles(&all, unit), cycles(&all, 1));
        assert!(
            one.abs_diff(other) <= 2,
            "{framing:?}: unit {unit}: {one}, unit 1: {other}"
        );
        // The first interval of a breaker is a second, and each next twice as long up to four.
        assert!(
            one >= 20,
            "{framing:?}: unit {unit}: {one} cycles in {PROBES} probes"
        );
    }
    asks.lock().unwrap().clear();
    let noted = asks.clone();
    peer.follow(move |asked| {
        noted.lock().unwrap().push(asked.unit);
        Reply::Now(asked.right())
    })
    .await;
    while u8::try_from(driver.batch().await.asset.0).unwrap() != SILENT {}
    let asked = asks.lock().unwrap().clone();
    let first = asked.iter().position(|unit| *unit == SILENT);
    assert!(cycles(&asked[..first.unwrap()], 1) <= 11, "{framing:?}");
    driver.end().await;
}

#[tokio::test]
async fn what_guards_life_is_probed_each_five_seconds_while_it_is_silent() {
    let mut lines = JoinSet::new();
    lines.spawn(silent_elevator(Framing::Tcp));
    lines.spawn(silent_elevator(Framing::RtuOverTcp));
    lines.join_all().await;
}

/// A cable is cut behind the first unit: however many fall silent at once, it waits for one of them at most.
#[tokio::test]
async fn who_answers_does_not_wait_for_all_that_fall_silent_together() {
    const UNITS: u8 = 20;
    let asks: Asks = Arc::default();
    let noted = asks.clone();
    let peer = Peer::start(Framing::Tcp, move |asked| {
        noted.lock().unwrap().push(asked.unit);
        Reply::Now(asked.right())
    });
    let peer = peer.await;
    let link = ModbusLink {
        timeout: span(Duration::from_millis(500)),
        ..link(peer.port(), Framing::Tcp)
    };
    let mut driver = Driver::on(link, guarding(1..=UNITS, Duration::from_millis(200)));
    while (1..=UNITS).any(|unit| count(&asks.lock().unwrap(), unit) < 2) {
        driver.batch().await;
    }
    asks.lock().unwrap().clear();
    let noted = asks.clone();
    peer.follow(move |asked| {
        noted.lock().unwrap().push(asked.unit);
        match asked.unit {
            1 => Reply::Now(asked.right()),
            _ => Reply::Silence,
        }
    })
    .await;
    // Long enough for each to be asked, and found silent.
    let asked = loop {
        driver.batch().await;
        let asked = asks.lock().unwrap().clone();
        if (2..=UNITS).all(|unit| count(&asked, unit) >= 2) {
            break asked;
        }
    };
    let first = asked.iter().position(|unit| *unit == 1).unwrap();
    let gaps = asked[first..].split(|unit| *unit == 1);
    let longest = gaps.map(<[u8]>::len).max().unwrap();
    assert!(longest <= 4, "{longest} others between: {asked:?}");
    driver.end().await;
}

/// Five panels that never answered and are slow, beside two units that answer.
async fn slow_panels_come_back(framing: Framing) {
    const PANELS: [u8; 5] = [3, 4, 5, 6, 7];
    let asks: Asks = Arc::default();
    let noted = asks.clone();
    let peer = Peer::start(framing, move |asked| {
        noted.lock().unwrap().push(asked.unit);
        match PANELS.contains(&asked.unit) {
            true => Reply::Silence,
            false => Reply::Now(asked.right()),
        }
    });
    let peer = peer.await;
    let link = ModbusLink {
        timeout: span(Duration::from_millis(800)),
        ..link(peer.port(), framing)
    };
    let mut driver = Driver::on(link, guarding(1..=7, Duration::from_millis(200)));
    let parts = loop {
        driver.batch().await;
        let parts = between_probes(&asks.lock().unwrap(), &PANELS, 2);
        if parts.len() >= 6 {
            break parts;
        }
    };
    // However many are silent, those who answer wait for one of them at most.
    for part in &parts {
        assert!(
            count(part, 1) > 0 && count(part, 2) > 0,
            "{framing:?}: {parts:?}"
        );
    }
    asks.lock().unwrap().clear();
    let noted = asks.clone();
    peer.follow(move |asked| {
        noted.lock().unwrap().push(asked.unit);
        match PANELS.contains(&asked.unit) {
            true => Reply::Late(Duration::from_millis(120), asked.right()),
            false => Reply::Now(asked.right()),
        }
    })
    .await;
    let mut read = BTreeSet::new();
    while read.len() < PANELS.len() {
        let batch = driver.batch().await;
        let unit = u8::try_from(batch.asset.0).unwrap();
        let is_value = batch.samples.iter().any(|sample| sample.value.is_some());
        if is_value && PANELS.contains(&unit) && read.insert(unit) {
            // One probe and four blocks; a machine that is busy may lose one or the other.
            let asked = count(&asks.lock().unwrap(), unit);
            assert!(
                asked <= 10,
                "{framing:?}: unit {unit} was asked {asked} times"
            );
        }
    }
    driver.end().await;
}

#[tokio::test]
async fn a_slow_panel_is_read_by_the_first_probe_after_it_is_back() {
    let mut lines = JoinSet::new();
    lines.spawn(slow_panels_come_back(Framing::Tcp));
    lines.spawn(slow_panels_come_back(Framing::RtuOverTcp));
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
    let deadline = Instant::now() + PATIENCE;
    while lost.accepted() < 2 {
        assert!(Instant::now() < deadline, "still the same connection");
        other.batch().await;
    }
    assert_eq!(half.accepted(), 1);
    let before = lost.asked();
    while driver
        .batch()
        .await
        .samples
        .iter()
        .all(|sample| sample.value.is_none())
    {}
    // Both units are asked at once over the new connection, not when their turn had come.
    let asked = lost.asked() - before;
    assert!(asked <= 6, "asked {asked} times before a value came");
    driver.end().await;
    other.end().await;
}
