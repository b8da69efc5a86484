//! The Modbus driver against peers that lie, lag and die, and against pymodbus. No value may ever
//! reach the engine that the device did not give for exactly that point.

mod hostile;
mod manners;
mod memory;
mod odd;
mod peer;
mod reason;
mod repeat;
mod silence;
mod site;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use peer::{Asked, Peer, Reply};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zhiban::drivers::memory::Memory;
use zhiban::drivers::{Device, DriverContext, Framing, Leniency, ModbusLink, modbus};
use zhiban::engine::{EngineHandle, Message};
use zhiban::health::Board;
use zhiban_core::profile::Profile;
use zhiban_core::{
    AssetId, Input, LinkState, PointId, Quality, QualityReason, Sample, SampleBatch, Value,
};
use zhiban_dashboard::ports::Health;

use crate::support::pymodbus::Pymodbus;
use crate::support::{PATIENCE, free_port, wait_until};

const FRAMINGS: [Framing; 2] = [Framing::Tcp, Framing::RtuOverTcp];
const PERIOD: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_millis(60);

fn span(span: Duration) -> zhiban_core::Duration {
    zhiban_core::Duration::from_millis(i64::try_from(span.as_millis()).unwrap())
}

/// Where a row of a test's profile stands.
struct Row {
    table: &'static str,
    address: u16,
    kind: &'static str,
    data_type: &'static str,
    more: &'static str,
}

fn word(address: u16) -> Row {
    Row {
        table: "holding",
        address,
        kind: "counter",
        data_type: "u16",
        more: "",
    }
}

fn profile(rows: &[Row], max_registers: u16, period: Duration) -> Profile {
    let millis = period.as_millis();
    let mut text = format!(
        "id = 'test'\nclass = 'test'\ntitle = {{ zh = '测', en = 'test' }}\ntrust = 'bench'\n\
         source = 'test'\n[modbus]\nmax_registers = {max_registers}\n\
         poll = {{ fast = '{millis}ms', normal = '{millis}ms', slow = '{millis}ms' }}\n"
    );
    for (place, row) in rows.iter().enumerate() {
        text += &format!(
            "[[point]]\npoint = 'p{place}'\nname = {{ zh = '点', en = 'point' }}\nkind = '{}'\n\
             modbus = {{ table = '{}', address = {}, type = '{}'{} }}\n",
            row.kind, row.table, row.address, row.data_type, row.more
        );
    }
    toml::from_str(&text).unwrap()
}

/// Four blocks of four registers, which look the same from outside.
fn blocks() -> Vec<Row> {
    let starts = [0, 100, 200, 300];
    let rows = starts.into_iter().flat_map(|start| start..start + 4);
    rows.map(word).collect()
}

fn devices(units: impl IntoIterator<Item = u8>, profile: Profile) -> Vec<Device> {
    let profile = Arc::new(profile);
    let units = units.into_iter().map(|unit| Device {
        asset: AssetId(u32::from(unit)),
        code: format!("U{unit}"),
        decoders: profile.decoders(),
        profile: profile.clone(),
        first_point: PointId(u32::from(unit) * 1000),
        unit,
        life_safety: false,
        topic: String::new(),
    });
    units.collect()
}

fn link(port: u16, framing: Framing) -> ModbusLink {
    ModbusLink {
        host: "127.0.0.1".to_owned(),
        port,
        framing,
        timeout: span(TIMEOUT),
        connect_timeout: span(Duration::from_secs(1)),
        gap: zhiban_core::Duration::ZERO,
        repeat_window: zhiban_core::Duration::ZERO,
        leniency: Leniency::default(),
    }
}

/// A running driver and what it tells the engine.
struct Driver {
    board: Arc<Board>,
    messages: Receiver<Message>,
    waiting: VecDeque<Input>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Driver {
    fn start(port: u16, framing: Framing, devices: Vec<Device>) -> Self {
        Self::on(link(port, framing), devices)
    }

    fn on(link: ModbusLink, devices: Vec<Device>) -> Self {
        Self::remembering(link, devices, Memory::default())
    }

    fn remembering(link: ModbusLink, devices: Vec<Device>, memory: Memory) -> Self {
        let port = link.port;
        let (engine, messages) = EngineHandle::channel();
        let stop = CancellationToken::new();
        let board = Arc::new(Board::default());
        let context = DriverContext {
            link: format!("test-{port}"),
            engine,
            board: board.clone(),
            memory,
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(modbus::run(context, link, devices));
        Self {
            board,
            messages,
            waiting: VecDeque::new(),
            stop,
            tasks,
        }
    }

    async fn next(&mut self) -> Input {
        while self.waiting.is_empty() {
            let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
            let message = message.expect("the driver says nothing");
            match message.expect("the driver ended") {
                Message::Inputs(inputs) => self.waiting.extend(inputs),
                Message::Delivery(_) | Message::Command(_) => panic!("not of a Modbus driver"),
            }
        }
        self.waiting.pop_front().unwrap()
    }

    /// The next change of a link.
    async fn link(&mut self) -> (u32, LinkState) {
        loop {
            if let Input::Link { asset, state } = self.next().await {
                return (asset.0, state);
            }
        }
    }

    async fn batch(&mut self) -> SampleBatch {
        loop {
            if let Input::Samples(batch) = self.next().await {
                return batch;
            }
        }
    }

    /// Ends the driver, which must not panic.
    async fn end(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_next());
        ended.await.unwrap().unwrap().unwrap();
    }
}

/// A cheap series of numbers that look random, the same in each run.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

/// Checks that every value is the one that the peer has for exactly that point.
fn check(batch: &SampleBatch, addresses: &[u16]) -> usize {
    let unit = u8::try_from(batch.asset.0).unwrap();
    let mut values = 0;
    for Sample {
        point,
        value,
        quality,
    } in &batch.samples
    {
        let row = usize::try_from(point.0 - u32::from(unit) * 1000).unwrap();
        match value {
            None => assert_ne!(*quality, Quality::Good),
            Some(value) => {
                let right = Asked::value(unit, addresses[row]);
                assert_eq!(
                    *value,
                    Value::Integer(i64::from(right)),
                    "unit {unit} row {row}"
                );
                values += 1;
            }
        }
    }
    values
}

/// One line with two units of which every twentieth answer is late, up to four times the limit.
async fn late_answers(framing: Framing, seed: u64, reads: usize) -> usize {
    let mut number = numbers(seed);
    let peer = Peer::start(framing, move |asked| match number() % 20 {
        0 => Reply::Late(Duration::from_millis(30 + number() % 210), asked.right()),
        _ => Reply::Now(asked.right()),
    });
    let peer = peer.await;
    let devices = devices([1, 2], profile(&blocks(), 4, PERIOD));
    let mut driver = Driver::start(peer.port(), framing, devices);
    let addresses: Vec<u16> = blocks().iter().map(|row| row.address).collect();
    let mut values = 0;
    while values < reads * 4 {
        values += check(&driver.batch().await, &addresses);
    }
    driver.end().await;
    peer.accepted()
}

#[tokio::test]
async fn ten_thousand_reads_with_late_answers_give_no_wrong_value() {
    for framing in FRAMINGS {
        let mut lines = JoinSet::new();
        for seed in 1..=50 {
            lines.spawn(late_answers(framing, seed * 7919, 200));
        }
        let connections: usize = lines.join_all().await.into_iter().sum();
        assert!(
            connections > 100,
            "only {connections} connections: nothing was late"
        );
    }
}

/// What a peer answers that lies, and what the driver must call it.
fn lies(framing: Framing, asked: Asked) -> Vec<(&'static str, Vec<u8>)> {
    let other = asked.unit + 1;
    let words = |function| [&[function, 8][..], &[0; 8][..]].concat();
    let mut cut = asked.right();
    let trailing = [asked.right(), vec![0xAA]].concat();
    let mut lies = vec![
        ("short_answer", asked.words(3)),
        ("long_answer", asked.words(5)),
        ("long_answer", trailing),
        ("wrong_unit", asked.frame(other, &words(3))),
        ("wrong_function", asked.frame(asked.unit, &words(4))),
        ("exception", asked.refusal(4)),
        ("unreachable", asked.refusal(0x0B)),
    ];
    match framing {
        Framing::Tcp => {
            cut[1] ^= 1;
            lies.push(("wrong_transaction", cut.clone()));
            cut[3] = 7;
            lies.push(("garbage", cut));
        }
        Framing::RtuOverTcp => {
            lies.push(("long_answer", [vec![0xFF], asked.right()].concat()));
            cut.truncate(9);
            lies.push(("timeout", cut));
            lies.push(("garbage", vec![0x5A; 256]));
        }
    }
    lies
}

#[tokio::test]
async fn a_lie_is_counted_by_its_kind_and_never_a_value() {
    for framing in FRAMINGS {
        let unit = 1;
        let addresses: Vec<u16> = (0..4).collect();
        let rows: Vec<Row> = addresses.iter().copied().map(word).collect();
        for place in 0.. {
            let told = Arc::new(std::sync::Mutex::new(None));
            let kind = told.clone();
            let peer = Peer::start(framing, move |asked| {
                let lies = lies(framing, asked);
                let Some((name, lie)) = lies.into_iter().nth(place) else {
                    return Reply::Silence;
                };
                *kind.lock().unwrap() = Some(name);
                Reply::Now(lie)
            });
            let peer = peer.await;
            let mut driver = Driver::start(
                peer.port(),
                framing,
                devices([unit], profile(&rows, 4, PERIOD)),
            );
            let board = Board::default();
            let mut kind = None;
            wait_until(PATIENCE, "the first lie", async || {
                kind = *told.lock().unwrap();
                kind.is_some() || peer.asked() > 1
            })
            .await;
            let Some(kind) = kind else {
                break;
            };
            let counted = format!(
                "zhiban_modbus_faults_total{{link=\"test-{}\",unit=\"1\",kind=\"{kind}\"}}",
                peer.port()
            );
            wait_until(PATIENCE, &counted, async || {
                board.metrics().contains(&counted)
            })
            .await;
            if !matches!(kind, "timeout" | "unreachable") {
                let reason = match kind {
                    "exception" => QualityReason::Refused,
                    _ => QualityReason::BadAnswer,
                };
                let batch = driver.batch().await;
                assert_eq!(batch.samples.len(), 4, "{kind}");
                for sample in batch.samples {
                    assert_eq!(sample.value, None, "{kind}");
                    assert_eq!(sample.quality, Quality::Bad(reason), "{kind}");
                }
            }
            peer.follow(|asked| Reply::Now(asked.right())).await;
            while check(&driver.batch().await, &addresses) == 0 {}
            driver.end().await;
        }
    }
}

#[tokio::test]
async fn random_bytes_never_panic_and_never_are_a_value() {
    for framing in FRAMINGS {
        let mut number = numbers(4711);
        let peer = Peer::start(framing, move |asked| {
            let length = number() % 40;
            let noise: Vec<u8> = (0..length).map(|_| number().to_le_bytes()[0]).collect();
            let mut frame = asked.right();
            match number() % 4 {
                // The start of a right frame, then noise: the deepest way into the decoder.
                0 => frame.truncate(usize::try_from(number() % 8).unwrap()),
                1 => frame = asked.frame(asked.unit, &noise),
                2 => frame = asked.frame(asked.unit, &[&[asked.function], &noise[..]].concat()),
                _ => frame.clear(),
            }
            frame.extend(noise);
            Reply::Now(frame)
        });
        let peer = peer.await;
        let units = 1..=40;
        let devices = devices(units, profile(&blocks(), 4, PERIOD));
        let mut driver = Driver::start(peer.port(), framing, devices);
        let deadline = Instant::now() + PATIENCE;
        while peer.asked() < 100 {
            assert!(Instant::now() < deadline, "{} requests", peer.asked());
            let input = tokio::time::timeout(Duration::from_millis(100), driver.next()).await;
            if let Ok(Input::Samples(batch)) = input {
                let all_bad = batch.samples.iter().all(|sample| sample.value.is_none());
                assert!(all_bad, "{batch:?}");
            }
        }
        driver.end().await;
    }
}

#[tokio::test]
async fn a_silent_unit_costs_the_others_almost_nothing() {
    for framing in FRAMINGS {
        let start = async |silent: &'static [u8]| {
            let peer = Peer::start(framing, move |asked| match silent.contains(&asked.unit) {
                true => Reply::Silence,
                false => Reply::Now(asked.right()),
            });
            let peer = peer.await;
            let units = devices(1..=10, profile(&blocks(), 125, Duration::from_millis(400)));
            (Driver::start(peer.port(), framing, units), peer)
        };
        // A line on which all is well says what this machine can do.
        let ((mut well, _peer), (mut driver, _other)) = (start(&[]).await, start(&[5]).await);
        let (mut usual, mut read) = (BTreeMap::new(), BTreeMap::new());
        let mut down = false;
        while usual.get(&1) < Some(&25) {
            let (input, counts) = tokio::select! {
                input = well.next() => (input, &mut usual),
                input = driver.next() => (input, &mut read),
            };
            match input {
                Input::Samples(batch) => *counts.entry(batch.asset.0).or_default() += 1,
                Input::Link { asset, state } => {
                    down |= (asset, state) == (AssetId(5), LinkState::Down);
                    assert!(asset == AssetId(5) || state == LinkState::Up, "{asset:?}");
                }
                Input::ClockSet(_) | Input::Command(_) | Input::Tick => {
                    panic!("not of a driver")
                }
            }
        }
        assert!(down, "the silent unit is down");
        assert_eq!(read.len(), 9, "the other nine are read");
        for (unit, cycles) in read {
            let usual: u32 = usual[&unit];
            // A tenth less, and one that was about to begin.
            assert!(
                cycles + 1 + usual / 10 >= usual && cycles <= usual + 2,
                "{framing:?}: unit {unit}: {cycles} cycles where {usual} are usual"
            );
        }
        well.end().await;
        driver.end().await;
    }
}

#[tokio::test]
async fn liars_on_one_line_do_not_excuse_each_other() {
    for framing in FRAMINGS {
        let peer = Peer::start(framing, |asked| Reply::Now(asked.right())).await;
        let rows: Vec<Row> = (0..4).map(word).collect();
        let units = devices(1..=6, profile(&rows, 4, PERIOD));
        let mut driver = Driver::start(peer.port(), framing, units);
        let mut up = BTreeSet::new();
        while up.len() < 6 {
            let (asset, state) = driver.link().await;
            assert_eq!(state, LinkState::Up);
            up.insert(asset);
        }
        // The server behind the line now answers everybody with nonsense.
        peer.follow(|asked| Reply::Now(asked.words(2))).await;
        let (mut down, mut bad) = (BTreeSet::new(), BTreeSet::new());
        while down.len() < 6 || bad.len() < 6 {
            match driver.next().await {
                Input::Link {
                    asset,
                    state: LinkState::Down,
                } => {
                    down.insert(asset);
                }
                Input::Samples(batch) => {
                    let reason = Quality::Bad(QualityReason::BadAnswer);
                    if batch.samples.iter().all(|sample| sample.quality == reason) {
                        bad.insert(batch.asset);
                    }
                }
                Input::Link { .. } | Input::ClockSet(_) | Input::Command(_) | Input::Tick => {}
            }
        }
        let made = peer.accepted();
        assert!(made <= 60, "{made} connections");
        driver.end().await;
    }
}

#[tokio::test]
async fn one_refused_register_does_not_lose_its_neighbours() {
    let peer = Peer::start(Framing::Tcp, |asked| {
        match (asked.address..asked.address + asked.count).contains(&5) {
            true => Reply::Now(asked.refusal(2)),
            false => Reply::Now(asked.right()),
        }
    });
    let peer = peer.await;
    let addresses: Vec<u16> = (0..8).collect();
    let rows: Vec<Row> = addresses.iter().copied().map(word).collect();
    let devices = devices([1], profile(&rows, 125, PERIOD));
    let mut driver = Driver::start(peer.port(), Framing::Tcp, devices);
    let mut seen = BTreeMap::new();
    while seen.len() < 8 {
        let batch = driver.batch().await;
        check(&batch, &addresses);
        for sample in batch.samples {
            seen.insert(sample.point.0 - 1000, sample.quality);
        }
    }
    for (row, quality) in seen {
        let refused = Quality::Bad(QualityReason::Refused);
        assert_eq!(
            quality,
            if row == 5 { refused } else { Quality::Good },
            "{row}"
        );
    }
    assert_eq!(peer.accepted(), 1);
    driver.end().await;
}

#[tokio::test]
async fn what_was_refused_for_a_while_is_read_in_one_piece_again() {
    let peer = Peer::start(Framing::Tcp, |asked| Reply::Now(asked.refusal(2))).await;
    let addresses: Vec<u16> = (0..8).collect();
    let rows: Vec<Row> = addresses.iter().copied().map(word).collect();
    let devices = devices([1], profile(&rows, 125, PERIOD));
    let mut driver = Driver::start(peer.port(), Framing::Tcp, devices);
    // All eight are refused one by one.
    let mut refused = BTreeSet::new();
    while refused.len() < 8 {
        let samples = driver.batch().await.samples;
        refused.extend(samples.into_iter().map(|sample| sample.point));
    }
    let whole = Arc::new(AtomicBool::new(false));
    let seen = whole.clone();
    peer.follow(move |asked| {
        seen.fetch_or(asked.count == 8, Ordering::Relaxed);
        Reply::Now(asked.right())
    })
    .await;
    let deadline = Instant::now() + PATIENCE;
    while !whole.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "it is still read in parts");
        check(&driver.batch().await, &addresses);
    }
    driver.end().await;
}

#[tokio::test]
async fn a_link_goes_down_and_comes_back_by_itself() {
    for framing in FRAMINGS {
        let rows: Vec<Row> = (0..4).map(word).collect();
        // Refused: nobody listens.
        let nobody = free_port();
        let mut driver = Driver::start(
            nobody,
            framing,
            devices([1, 2], profile(&rows, 125, PERIOD)),
        );
        assert_eq!(driver.link().await, (1, LinkState::Down));
        assert_eq!(driver.link().await, (2, LinkState::Down));
        driver.end().await;
        // Accepts and is silent, then dies in the middle of each answer, then is well.
        let peer = Peer::start(framing, |_| Reply::Silence).await;
        let mut driver = Driver::start(
            peer.port(),
            framing,
            devices([1], profile(&rows, 125, PERIOD)),
        );
        assert_eq!(driver.link().await, (1, LinkState::Down));
        peer.follow(|asked| Reply::Close(asked.right()[..7].to_vec()))
            .await;
        let dying = peer.accepted();
        wait_until(PATIENCE, "a few deaths", async || {
            peer.accepted() > dying + 2
        })
        .await;
        peer.follow(|asked| Reply::Now(asked.right())).await;
        assert_eq!(driver.link().await, (1, LinkState::Up));
        driver.end().await;
    }
}

#[tokio::test]
async fn connections_that_die_young_are_not_made_in_a_storm() {
    let peer = Peer::start(Framing::Tcp, |_| Reply::Close(Vec::new())).await;
    let rows: Vec<Row> = (0..4).map(word).collect();
    let units = devices(1..=20, profile(&rows, 125, PERIOD));
    let mut driver = Driver::start(peer.port(), Framing::Tcp, units);
    let window = Duration::from_secs(3);
    drop(
        tokio::time::timeout(window, async {
            loop {
                driver.next().await;
            }
        })
        .await,
    );
    let made = peer.accepted();
    assert!((1..=30).contains(&made), "{made} connections in {window:?}");
    driver.end().await;
}

#[tokio::test]
async fn values_of_a_server_that_nobody_here_wrote() {
    for (framing, framer) in [(Framing::Tcp, "socket"), (Framing::RtuOverTcp, "rtu")] {
        let arguments = ["--units", "1,2", "--silent", "3", "--framer", framer];
        let Some(server) = Pymodbus::start(&arguments).await else {
            return;
        };
        let row = |table, address, kind, data_type, more| Row {
            table,
            address,
            kind,
            data_type,
            more,
        };
        let rows = [
            row("coil", 2, "flag", "bool", ""),
            row("coil", 3, "flag", "bool", ""),
            row("discrete", 14, "flag", "bool", ""),
            row("input", 7, "counter", "u16", ""),
            row("holding", 999, "counter", "u16", ""),
            row("holding", 1000, "counter", "i16", ""),
            row("holding", 1002, "counter", "i32", ", order = 'abcd'"),
            row("holding", 1006, "counter", "i64", ", order = 'abcd'"),
            row("holding", 1014, "analog", "f32", ", order = 'abcd'"),
            row("holding", 1016, "analog", "f64", ", order = 'abcd'"),
            row("holding", 1020, "text", "string", ", length = 5"),
            row("holding", 5000, "counter", "u16", ""),
        ];
        let devices = devices([1, 3], profile(&rows, 125, PERIOD));
        let mut driver = Driver::start(server.port(), framing, devices);
        let mut seen: BTreeMap<u32, (Option<Value>, Quality)> = BTreeMap::new();
        while seen.len() < rows.len() {
            let batch = driver.batch().await;
            assert_eq!(batch.asset, AssetId(1));
            for sample in batch.samples {
                seen.insert(sample.point.0 - 1000, (sample.value, sample.quality));
            }
        }
        let expected = [
            Value::Flag(true),
            Value::Flag(false),
            Value::Flag(true),
            Value::Integer(1007 + 32768),
            Value::Integer(1999),
            Value::Integer(-1234),
            Value::Integer(-12_345_678),
            Value::Integer(-(2_i64.pow(62) + 7)),
            Value::Number(24.5),
            Value::Number(-0.1),
            Value::Text("值班-07".into()),
        ];
        for (row, value) in (0_u32..).zip(expected) {
            assert_eq!(
                seen[&row],
                (Some(value), Quality::Good),
                "row {row}, {framer}"
            );
        }
        let refused = Quality::Bad(QualityReason::Refused);
        assert_eq!(
            seen[&11],
            (None, refused),
            "an address that is not there, {framer}"
        );
        driver.end().await;
    }
}
