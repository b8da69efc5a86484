//! A line that repeats answers: radio bridges and serial servers send a frame again when they are
//! not sure that it arrived. RTU frames say neither which request nor which address they answer, so
//! a repeated answer must never be what the next read of the same shape is taken to have brought.

use super::*;
use zhiban::config::ModbusRtuOverTcpConfig;

/// How a line repeats.
#[derive(Debug, Clone, Copy)]
struct Habit {
    /// The longest that the peer takes to repeat something,
    latest: Duration,
    /// and how long the driver allows for it.
    window: Duration,
}

/// A short window, so that many reads are made in little time.
const BRISK: Habit = Habit {
    latest: Duration::from_millis(25),
    window: Duration::from_millis(100),
};

/// A register whose number modulo four is one counts the requests of the line, the others stand
/// still: a copy of an old answer is seen by either.
fn word_of(asked: &Asked, place: u16, request: u64) -> u16 {
    let address = asked.address + place;
    match address % 4 {
        1 => u16::try_from(request % 60_000).unwrap(),
        _ => Asked::value(asked.unit, address),
    }
}

/// What was read over one line.
#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    repeated: usize,
    values: usize,
    connections: usize,
    /// By point: the number of the last request whose answer was its value.
    last: BTreeMap<u32, i64>,
}

impl Tally {
    /// Holds that each value is the right register's, and younger than all known before it.
    fn take(&mut self, batch: &SampleBatch, addresses: &[u16]) {
        let unit = u8::try_from(batch.asset.0).unwrap();
        for sample in &batch.samples {
            let Some(value) = &sample.value else {
                assert_ne!(sample.quality, Quality::Good);
                continue;
            };
            let row = usize::try_from(sample.point.0 - u32::from(unit) * 1000).unwrap();
            let address = addresses[row];
            let Value::Integer(value) = *value else {
                panic!("{value:?} is no number");
            };
            self.values += 1;
            if address % 4 == 1 {
                let before = self.last.insert(sample.point.0, value);
                assert!(
                    before.is_none_or(|before| before < value),
                    "unit {unit} address {address}: request {value} after {before:?}"
                );
            } else {
                let right = i64::from(Asked::value(unit, address));
                assert_eq!(value, right, "unit {unit} address {address}");
            }
        }
    }
}

/// Reads over one line until so many requests were made, of which 30 % are answered twice or
/// three times.
async fn repeating_line(habit: Habit, rows: Vec<Row>, seed: u64, requests: usize) -> Tally {
    let Habit { latest, window } = habit;
    let mut number = numbers(seed);
    let mut request = 0;
    let repeated = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = repeated.clone();
    let peer = Peer::start(Framing::RtuOverTcp, move |asked| {
        request += 1;
        let answer = asked.holding((0..asked.count).map(|place| word_of(&asked, place, request)));
        if number() % 10 >= 3 {
            return Reply::Now(answer);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        // Mostly at once, when the next request is on its way; some nearly at the last moment.
        let span = match number() % 3 {
            0 => latest.as_micros(),
            _ => 3000,
        };
        let mut late = || Duration::from_micros(number() % u64::try_from(span).unwrap());
        let mut times = vec![late()];
        if request % 3 == 0 {
            times.push(late());
        }
        times.sort_unstable();
        Reply::Repeated(times, answer, latest)
    });
    let peer = peer.await;
    let addresses: Vec<u16> = rows.iter().map(|row| row.address).collect();
    let line = ModbusLink {
        repeat_window: span(window),
        ..link(peer.port(), Framing::RtuOverTcp)
    };
    let mut driver = Driver::on(line, devices([1, 2], profile(&rows, 4, PERIOD)));
    let mut tally = Tally::default();
    while peer.asked() < requests {
        let batch = driver.batch().await;
        // A peer that the machine kept from its own promise proves nothing any more.
        if peer.overdue() > 0 {
            break;
        }
        tally.take(&batch, &addresses);
    }
    driver.end().await;
    tally.requests = peer.asked();
    tally.connections = peer.accepted();
    tally.repeated = repeated.load(Ordering::Relaxed);
    tally
}

/// Two blocks that look the same, and can be made to differ.
fn equal_blocks() -> Vec<Row> {
    let rows = [0, 100].into_iter().flat_map(|start| start..start + 4);
    rows.map(word).collect()
}

/// Registers that stand alone: their answers always look the same.
fn single_registers() -> Vec<Row> {
    [1, 101, 202].map(word).into()
}

async fn read_over_repeating_lines(habit: Habit, lines: usize, requests: usize) {
    let start = Instant::now();
    let mut all = JoinSet::new();
    for seed in (1_u64..).take(lines) {
        let rows = match seed % 4 {
            0 => single_registers(),
            _ => equal_blocks(),
        };
        all.spawn(repeating_line(habit, rows, seed * 7919, requests));
    }
    let tallies = all.join_all().await;
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (asked, repeated) = (sum(|one| one.requests), sum(|one| one.repeated));
    let (values, connections) = (sum(|one| one.values), sum(|one| one.connections));
    eprintln!(
        "{asked} requests, {repeated} answers repeated, {values} values, none wrong, \
         {connections} connections, {:?}",
        start.elapsed()
    );
    assert!(
        repeated * 10 > asked * 2,
        "only {repeated} of {asked} repeated"
    );
    let wanted = lines * requests;
    assert!(
        asked * 10 > wanted * 9,
        "the machine let only {asked} of {wanted} be made"
    );
    assert!(values > asked / 2, "{values} values of {asked} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_thousand_reads_with_repeated_answers_give_no_wrong_value() {
    read_over_repeating_lines(BRISK, 60, 500).await;
}

/// What a link has that says nothing of repetition.
fn shipped() -> Habit {
    let link: ModbusRtuOverTcpConfig = toml::from_str("host = 'h'\nport = 1").unwrap();
    Habit {
        latest: Duration::from_millis(80),
        window: link.repeat_window.to_std(),
    }
}

/// Fewer reads than in the brisk run, as what looks the same waits for longer.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_window_holds_against_answers_repeated_eighty_milliseconds_late() {
    read_over_repeating_lines(shipped(), 60, 100).await;
}

/// The same at length: `cargo test --test it -- --ignored a_million_reads`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes"]
async fn a_million_reads_with_repeated_answers_give_no_wrong_value() {
    read_over_repeating_lines(BRISK, 300, 3400).await;
}
