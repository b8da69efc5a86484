//! Devices that keep to the protocol but for one thing: holes that they refuse to read through, answers
//! as unit 0, answers without the number of the request.

use super::*;
use std::sync::Mutex;

/// Twelve registers in three groups; what lies between is refused.
fn islands() -> (Vec<u16>, Vec<Row>) {
    let addresses: Vec<u16> = [0..4, 10..14, 20..24].into_iter().flatten().collect();
    let rows = addresses.iter().copied().map(word).collect();
    (addresses, rows)
}

fn refuses_holes(asked: Asked) -> Reply {
    let (known, _) = islands();
    let all = (asked.address..asked.address + asked.count).all(|at| known.contains(&at));
    Reply::Now(if all { asked.right() } else { asked.refusal(2) })
}

#[tokio::test]
async fn a_hole_is_learned_once_and_trials_take_no_point() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modbus-reads.json");
    let refused = Arc::new(Mutex::new(Vec::new()));
    let counted = refused.clone();
    let peer = Peer::start(Framing::Tcp, move |asked| {
        let reply = refuses_holes(asked);
        if matches!(&reply, Reply::Now(bytes) if bytes.len() < 10) {
            counted.lock().unwrap().push((asked.address, asked.count));
        }
        reply
    });
    let peer = peer.await;
    let (addresses, rows) = islands();
    let period = Duration::from_millis(100);
    let units = || devices([1], profile(&rows, 125, period));
    // It always answers: whatever the machine does meanwhile, nothing is lost.
    let line = ModbusLink {
        timeout: span(PATIENCE),
        ..link(peer.port(), Framing::Tcp)
    };
    let memory = Memory::open(folder.path());
    let mut driver = Driver::remembering(line.clone(), units(), memory);
    let mut last: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut batches, mut after) = (0, 0);
    // At first, and two trials: after 5 s and after 10 s more.
    while refused.lock().unwrap().len() < 3 || after < 30 {
        after += usize::from(refused.lock().unwrap().len() >= 3);
        let batch = driver.batch().await;
        check(&batch, &addresses);
        batches += 1;
        for sample in batch.samples {
            assert_eq!(sample.quality, Quality::Good, "{:?}", sample.point);
            let before = last.insert(sample.point.0, batches).unwrap_or(0);
            // Three pieces are three batches a cycle at most.
            assert!(
                batches - before <= 9,
                "{:?} was left out while {} batches came",
                sample.point,
                batches - before
            );
        }
    }
    assert_eq!(last.len(), addresses.len());
    assert!(last.values().all(|at| batches - at <= 9), "{last:?}");
    assert_eq!(*refused.lock().unwrap(), [(0, 24); 3]);
    driver.end().await;
    wait_until(PATIENCE, "what was learned is kept", async || path.exists()).await;
    // After a restart nothing is asked that is known to be refused, for longer than the first
    // trial took.
    refused.lock().unwrap().clear();
    let memory = Memory::open(folder.path());
    let mut driver = Driver::remembering(line, units(), memory);
    let before = peer.asked();
    while peer.asked() < before + 3 * 70 {
        let batch = driver.batch().await;
        assert_eq!(check(&batch, &addresses), batch.samples.len());
    }
    assert_eq!(*refused.lock().unwrap(), []);
    driver.end().await;
}

/// However a device says that it has not a register, by an exception of its taste or by silence: its others are read.
#[tokio::test]
async fn holes_cost_no_register_however_a_device_says_that_it_has_none() {
    let (known, rows) = islands();
    let manners: [Option<u8>; 4] = [Some(1), Some(3), Some(4), None];
    for manner in manners {
        let known = known.clone();
        let peer = Peer::start(Framing::Tcp, move |asked| {
            let all = (asked.address..asked.address + asked.count).all(|at| known.contains(&at));
            match manner {
                _ if all => Reply::Now(asked.right()),
                Some(code) => Reply::Now(asked.refusal(code)),
                None => Reply::Silence,
            }
        });
        let peer = peer.await;
        let device = devices([1], profile(&rows, 125, Duration::from_millis(100)));
        let mut driver = Driver::start(peer.port(), Framing::Tcp, device);
        let mut good = BTreeSet::new();
        let all = tokio::time::timeout(PATIENCE, async {
            while good.len() < rows.len() {
                let samples = driver.batch().await.samples.into_iter();
                let read = samples.filter(|sample| sample.quality == Quality::Good);
                good.extend(read.map(|sample| sample.point.0));
            }
        });
        assert!(all.await.is_ok(), "{manner:?}: only {good:?} are read");
        driver.end().await;
    }
}

/// What a device makes of the header of its answer.
type Header = fn(Asked) -> Vec<u8>;

fn as_unit_0(asked: Asked) -> Vec<u8> {
    let right = asked.right();
    asked.frame(0, &right[7..])
}

fn without_number(asked: Asked) -> Vec<u8> {
    asked.numbered(asked.number() ^ 0x5555).right()
}

/// What comes of a device over a link with these switches: whether its values are taken.
async fn is_taken(leniency: Leniency, header: Header) -> bool {
    let peer = Peer::start(Framing::Tcp, move |asked| Reply::Now(header(asked))).await;
    let addresses: Vec<u16> = (0..4).collect();
    let rows: Vec<Row> = addresses.iter().copied().map(word).collect();
    let line = ModbusLink {
        leniency,
        repeat_window: span(if leniency.any_transaction {
            PERIOD / 2
        } else {
            Duration::ZERO
        }),
        ..link(peer.port(), Framing::Tcp)
    };
    let mut driver = Driver::on(line, devices([1], profile(&rows, 125, PERIOD)));
    let taken = loop {
        match driver.next().await {
            Input::Samples(batch) if check(&batch, &addresses) > 0 => break true,
            Input::Link {
                state: LinkState::Down,
                ..
            } => break false,
            Input::Samples(_)
            | Input::Link { .. }
            | Input::ClockSet(_)
            | Input::Command(_)
            | Input::Tick => {}
        }
    };
    driver.end().await;
    taken
}

#[tokio::test]
async fn a_switch_excuses_one_thing_and_nothing_else() {
    let no = Leniency::default();
    let zero = Leniency { unit_0: true, ..no };
    let any = Leniency {
        any_transaction: true,
        ..no
    };
    let both = Leniency {
        any_transaction: true,
        unit_0: true,
    };
    let other_unit: Header = |asked| {
        asked
            .numbered(asked.number() ^ 1)
            .frame(2, &asked.right()[7..])
    };
    let short: Header = |asked| asked.numbered(asked.number() ^ 1).words(3);
    let long: Header = |asked| [without_number(asked), vec![0]].concat();
    let function: Header = |asked| {
        let mut pdu = asked.right()[7..].to_vec();
        pdu[0] = 4;
        asked.numbered(asked.number() ^ 1).frame(0, &pdu)
    };
    let neither: Header = |asked| {
        asked
            .numbered(asked.number() ^ 1)
            .frame(0, &asked.right()[7..])
    };
    let cases: [(Header, Vec<Leniency>); 7] = [
        (as_unit_0, vec![zero, both]),
        (without_number, vec![any, both]),
        (neither, vec![both]),
        (other_unit, vec![]),
        (short, vec![]),
        (long, vec![]),
        (function, vec![]),
    ];
    for (place, (header, takers)) in cases.into_iter().enumerate() {
        for leniency in [no, zero, any, both] {
            let taken = is_taken(leniency, header).await;
            assert_eq!(
                taken,
                takers.contains(&leniency),
                "case {place}, {leniency:?}"
            );
        }
    }
}
