//! Whether the log beside the database, `core.db-wal`, is whole. SQLite reads it up to the first frame whose checksum is
//! wrong and says nothing of what stands behind: one bit there takes every later record away.
//!
//! Nothing here takes the end of a log that a power cut tore for damage. The format: <https://sqlite.org/fileformat2.html#walformat>.

/// The header of a log, and of each frame in it.
const HEADER: usize = 32;
const FRAME: usize = 24;
/// Its first number says how checksums are made, in its last bit.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
/// The smallest and the largest page.
const PAGES: [usize; 2] = [512, 65_536];

/// What a look through a log found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All that was committed can be read.
    Whole,
    /// The last transaction is not whole, as after a power cut.
    Torn,
    /// Something before the last transaction is damaged. The log with its checksums made anew, so that all of it is read.
    Damaged(Vec<u8>),
}

/// Looks through a log.
pub(super) fn look(log: &[u8]) -> Found {
    let Some(header) = log
        .get(..HEADER)
        .filter(|header| header.iter().any(|byte| *byte != 0))
    else {
        return Found::Whole;
    };
    let big = number(header, 0) & 1 == 1;
    let page = number(header, 8) as usize;
    let page = if (PAGES[0]..=PAGES[1]).contains(&page) && page.is_power_of_two() {
        page
    } else {
        4096
    };
    let frames: Vec<&[u8]> = log
        .get(HEADER..)
        .unwrap_or_default()
        .chunks_exact(FRAME + page)
        .collect();
    // What an earlier round of the log left behind has other salts.
    let salts = |bytes: &[u8], at: usize| (number(bytes, at), number(bytes, at + 4));
    let own = salts(header, 16);
    let near = |(a, b): (u32, u32)| (a ^ own.0).count_ones() + (b ^ own.1).count_ones() <= 1;
    let frames: Vec<&[u8]> = frames
        .into_iter()
        .take_while(|frame| near(salts(frame, 8)))
        .collect();
    let good = good_frames(header, &frames, big);
    let is_commit = |frame: &&&[u8]| number(frame, 4) != 0;
    let behind = frames.get(good..).unwrap_or_default();
    match behind.iter().filter(is_commit).count() {
        0 => Found::Whole,
        // A transaction begins when the one before is on the disk; so only the last can be torn.
        1 if good > 0 || is_good_header(header, big) => Found::Torn,
        _ => Found::Damaged(made_anew(&frames, page)),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default())
}

fn is_good_header(header: &[u8], big: bool) -> bool {
    let sum = sum((0, 0), header.get(..24).unwrap_or_default(), big);
    number(header, 0) & !1 == MAGIC && sum == (number(header, 24), number(header, 28))
}

/// How many frames SQLite reads.
fn good_frames(header: &[u8], frames: &[&[u8]], big: bool) -> usize {
    if !is_good_header(header, big) {
        return 0;
    }
    let mut running = (number(header, 24), number(header, 28));
    let good = |frame: &&&[u8]| {
        running = sum_of_frame(running, frame, big);
        running == (number(frame, 16), number(frame, 20)) && frame.get(8..16) == header.get(16..24)
    };
    frames.iter().take_while(good).count()
}

/// The same frames with one header and checksums that fit.
fn made_anew(frames: &[&[u8]], page: usize) -> Vec<u8> {
    let salts = frames
        .last()
        .and_then(|frame| frame.get(8..16))
        .unwrap_or_default();
    let mut log = Vec::with_capacity(HEADER + frames.len() * (FRAME + page));
    for part in [MAGIC, VERSION, u32::try_from(page).unwrap_or(0), 0] {
        log.extend(part.to_be_bytes());
    }
    log.extend(salts);
    let mut running = sum((0, 0), &log, false);
    let put = |log: &mut Vec<u8>, (a, b): (u32, u32)| {
        log.extend(a.to_be_bytes());
        log.extend(b.to_be_bytes());
    };
    put(&mut log, running);
    for frame in frames {
        running = sum_of_frame(running, frame, false);
        log.extend(frame.get(..8).unwrap_or_default());
        log.extend(salts);
        put(&mut log, running);
        log.extend(frame.get(FRAME..).unwrap_or_default());
    }
    log
}

fn sum_of_frame(running: (u32, u32), frame: &[u8], big: bool) -> (u32, u32) {
    let running = sum(running, frame.get(..8).unwrap_or_default(), big);
    sum(running, frame.get(FRAME..).unwrap_or_default(), big)
}

fn sum(running: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let word = |four: &[u8]| {
        let four: [u8; 4] = four.try_into().unwrap_or_default();
        if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    bytes.chunks_exact(8).fold(running, |(a, b), pair| {
        let (first, second) = pair.split_at(4);
        let a = a.wrapping_add(word(first)).wrapping_add(b);
        (a, b.wrapping_add(word(second)).wrapping_add(a))
    })
}
