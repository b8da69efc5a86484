//! The reads of a unit as they are asked: the requests of the plan, or the pieces of those that the
//! device refused in one.
//!
//! A device may refuse registers that nobody wants and that stand between others. What was learned
//! is kept; whether it still holds is tried beside the pieces, never in their place.

use super::breaker::Breaker;
use super::connection::Ask;
use crate::drivers::memory::Pieces;
use std::time::Duration;
use tokio::time::Instant;
use zhiban_core::profile::PollClass;
use zhiban_core::profile::plan::ReadRequest;

/// A request that was parted is tried whole again after the first figure, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// One request of the plan, which may be asked in pieces.
struct Whole {
    request: ReadRequest,
    /// What it is called in the memory.
    name: String,
    /// Since it was parted: when it may be tried whole again.
    again: Option<Instant>,
    pause: Duration,
    /// Parted since it was last kept.
    unkept: bool,
}

/// A read that was asked in vain once more so often, while its unit answered in between, is made smaller.
const IN_VAIN: u32 = 2;

/// One request as it is asked, and how it fares.
pub(super) struct Read {
    /// The request.
    pub(super) request: ReadRequest,
    /// The request of the plan that it is a part of, by its place.
    whole: usize,
    /// How often it failed lately.
    pub(super) breaker: Breaker,
    /// Whether it was answered when it was last asked.
    pub(super) answered: bool,
    /// Since when it waits to be asked.
    pub(super) due: Option<Instant>,
    /// When it was last asked in vain, and how often its unit answered something else in between.
    vain: Option<(Instant, u32)>,
}

impl Read {
    /// What to ask for.
    pub(super) fn ask(&self) -> Ask {
        ask(&self.request)
    }
}

fn ask(request: &ReadRequest) -> Ask {
    Ask {
        table: request.table,
        address: request.address,
        count: request.count,
    }
}

/// All reads of a unit.
pub(super) struct Parts {
    plan: Vec<Whole>,
    reads: Vec<Read>,
    life_safety: bool,
    memory: Pieces,
}

impl Parts {
    /// The reads of a plan, in the pieces that are known of the device and profile `owner` names.
    pub(super) fn new(
        plan: Vec<ReadRequest>,
        owner: &str,
        life_safety: bool,
        memory: Pieces,
    ) -> Self {
        let mut parts = Self {
            plan: Vec::new(),
            reads: Vec::new(),
            life_safety,
            memory,
        };
        for (place, request) in plan.into_iter().enumerate() {
            let (table, address, count) = (request.table.code(), request.address, request.count);
            let name = format!("{owner} {table} {address}+{count}");
            let known = parts.memory.get(&name);
            let pieces = known.and_then(|starts| cut(&request, &starts));
            let again = pieces.is_some().then(|| Instant::now() + PAUSE.1);
            for piece in pieces.unwrap_or_else(|| vec![request.clone()]) {
                let read = parts.read(piece, place, None);
                parts.reads.push(read);
            }
            parts.plan.push(Whole {
                request,
                name,
                pause: if again.is_some() { PAUSE.1 } else { PAUSE.0 },
                again,
                unkept: false,
            });
        }
        parts
    }

    fn read(&self, request: ReadRequest, whole: usize, due: Option<Instant>) -> Read {
        Read {
            request,
            whole,
            breaker: Breaker::new(self.life_safety),
            answered: false,
            due,
            vain: None,
        }
    }

    /// A read was not answered, `heard` is when its unit last answered anything. Whether it is the read that the
    /// device does not answer: some are silent about registers that they do not have.
    pub(super) fn is_in_vain(
        &mut self,
        index: usize,
        heard: Option<Instant>,
        now: Instant,
    ) -> bool {
        let Some(read) = self.reads.get_mut(index) else {
            return false;
        };
        let alive = |at| heard.is_some_and(|heard| heard > at);
        let times = match read.vain.filter(|_| !read.answered) {
            Some((at, times)) if alive(at) => times + 1,
            Some((_, times)) => times,
            None => 0,
        };
        read.vain = Some((now, times));
        times >= IN_VAIN
    }

    /// The reads as they are asked now.
    pub(super) fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// One of them.
    pub(super) fn get(&mut self, index: usize) -> Option<&mut Read> {
        self.reads.get_mut(index)
    }

    /// Makes the reads of some poll classes due; gives how many of them were due still.
    pub(super) fn make_due(&mut self, classes: &[PollClass], now: Instant) -> u64 {
        let mut missed = 0;
        for read in &mut self.reads {
            if classes.contains(&read.request.poll) {
                missed += u64::from(read.due.is_some());
                read.due.get_or_insert(now);
            }
        }
        missed
    }

    /// Makes all reads due that are not, and forgets their failures: the unit is back.
    pub(super) fn restart(&mut self, now: Instant) {
        for read in &mut self.reads {
            read.breaker.close();
            read.due.get_or_insert(now);
        }
    }

    /// Nothing waits to be asked.
    pub(super) fn forget_due(&mut self) {
        self.reads.iter_mut().for_each(|read| read.due = None);
    }

    /// One refused register must not lose its neighbours: asks a read without what stands between
    /// its rows, or else in two halves. `false` when it cannot be made smaller.
    pub(super) fn part(&mut self, index: usize, now: Instant) -> bool {
        let Some(read) = self.reads.get(index) else {
            return false;
        };
        let (place, due) = (read.whole, read.due.or(Some(now)));
        let Some(pieces) = smaller(&read.request) else {
            return false;
        };
        let pieces: Vec<Read> = pieces
            .into_iter()
            .map(|piece| self.read(piece, place, due))
            .collect();
        self.reads.splice(index..=index, pieces);
        if let Some(whole) = self.plan.get_mut(place) {
            whole.unkept = true;
            whole.again.get_or_insert(now + whole.pause);
        }
        true
    }

    /// Keeps what was learned, once a piece was answered: what refuses everything for a while says
    /// nothing of its registers.
    pub(super) fn keep(&mut self) {
        for (place, whole) in self.plan.iter_mut().enumerate() {
            let mut pieces = self.reads.iter().filter(|read| read.whole == place);
            if whole.unkept && pieces.any(|read| read.answered) {
                whole.unkept = false;
                let pieces = self.reads.iter().filter(|read| read.whole == place);
                let starts = pieces.map(|read| read.request.address).collect();
                self.memory.keep(&whole.name, Some(starts));
            }
        }
    }

    /// A request of the plan that may be tried whole again: all its pieces are answered.
    pub(super) fn trial(&self, now: Instant) -> Option<(usize, Ask)> {
        let due = |whole: &Whole| whole.again.is_some_and(|again| again <= now);
        let answered = |place| {
            let mut pieces = self.reads.iter().filter(|read| read.whole == place);
            pieces.all(|read| read.answered)
        };
        let mut plan = self.plan.iter().enumerate();
        let found = plan.find(|(place, whole)| due(whole) && answered(*place));
        found.map(|(place, whole)| (place, ask(&whole.request)))
    }

    /// A trial was answered: it is asked in one piece from now on, which is given.
    pub(super) fn join(&mut self, place: usize) -> Option<&ReadRequest> {
        let whole = self.plan.get_mut(place)?;
        (whole.again, whole.pause, whole.unkept) = (None, PAUSE.0, false);
        let request = whole.request.clone();
        self.memory.keep(&whole.name, None);
        let first = self.reads.iter().position(|read| read.whole == place);
        let first = first.unwrap_or(self.reads.len());
        self.reads.retain(|read| read.whole != place);
        let mut read = self.read(request, place, None);
        read.answered = true;
        self.reads.insert(first.min(self.reads.len()), read);
        self.plan.get(place).map(|whole| &whole.request)
    }

    /// A trial failed: the pieces stay, and the next trial is later.
    pub(super) fn stay_parted(&mut self, place: usize, now: Instant) {
        if let Some(whole) = self.plan.get_mut(place) {
            whole.pause = (whole.pause * 2).min(PAUSE.1);
            whole.again = Some(now + whole.pause);
        }
    }
}

/// The same rows in smaller requests.
fn smaller(request: &ReadRequest) -> Option<Vec<ReadRequest>> {
    let runs = request.runs();
    if runs.len() > 1 || runs.first().is_some_and(|run| run.count < request.count) {
        return Some(runs);
    }
    let middle = request.rows.len() / 2;
    let mut places = (middle..request.rows.len()).chain((1..middle).rev());
    let halves = places.find_map(|place| request.parted(place));
    halves.map(Vec::from)
}

/// A request in pieces that begin at these addresses; `None` when they are not of its rows.
fn cut(request: &ReadRequest, starts: &[u16]) -> Option<Vec<ReadRequest>> {
    let mut pieces = Vec::new();
    let mut rest = request.clone();
    for start in starts.iter().skip(1) {
        let mut rows = rest.rows.iter();
        let place = rows.position(|at| rest.address + at.offset == *start)?;
        let [low, high] = rest.parted(place)?;
        pieces.push(low);
        rest = high;
    }
    if pieces.is_empty() {
        return (starts.len() == 1)
            .then(|| rest.runs())
            .filter(|runs| runs.len() == 1);
    }
    pieces.push(rest);
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiban_core::profile::Table;
    use zhiban_core::profile::plan::RowAt;

    /// Registers 100 and 101, 104 to 106, and 109.
    fn request() -> ReadRequest {
        let rows = [(0, 2), (4, 1), (5, 1), (6, 1), (9, 1)];
        let rows = rows
            .into_iter()
            .enumerate()
            .map(|(row, (offset, words))| RowAt { row, offset, words });
        ReadRequest {
            poll: PollClass::Fast,
            table: Table::Holding,
            address: 100,
            count: 10,
            rows: rows.collect(),
        }
    }

    fn asked(parts: &Parts) -> Vec<(u16, u16)> {
        let asks = parts.reads.iter().map(Read::ask);
        asks.map(|ask| (ask.address, ask.count)).collect()
    }

    fn parts(memory: &Pieces) -> Parts {
        Parts::new(vec![request()], "A1 test", false, memory.clone())
    }

    #[tokio::test]
    async fn holes_go_first_and_what_was_learned_is_kept() {
        let memory = Pieces::default();
        let now = Instant::now();
        let mut first = parts(&memory);
        assert!(first.part(0, now));
        assert_eq!(asked(&first), [(100, 2), (104, 3), (109, 1)]);
        assert!(first.part(1, now));
        let all = [(100, 2), (104, 1), (105, 2), (109, 1)];
        assert_eq!(asked(&first), all);
        assert!(!first.part(0, now) && !first.part(3, now));
        // Nothing is kept of what only refuses.
        first.keep();
        assert_eq!(asked(&parts(&memory)), [(100, 10)]);
        first.reads[0].answered = true;
        first.keep();
        let mut second = parts(&memory);
        assert_eq!(asked(&second), all);
        // It may be tried in one piece after a while, when all is answered.
        let later = Instant::now() + PAUSE.1;
        assert_eq!(second.trial(later), None);
        second
            .reads
            .iter_mut()
            .for_each(|read| read.answered = true);
        let (place, ask) = second.trial(later).unwrap();
        assert_eq!((ask.address, ask.count), (100, 10));
        second.stay_parted(place, later);
        assert_eq!(second.trial(later), None);
        assert_eq!(asked(&second), all);
        second.join(place);
        assert_eq!(asked(&second), [(100, 10)]);
        assert_eq!(asked(&parts(&memory)), [(100, 10)]);
    }

    #[test]
    fn what_is_kept_of_another_profile_is_not_used() {
        let other = [vec![100, 103], vec![100, 500], vec![]];
        for starts in other {
            assert_eq!(cut(&request(), &starts), None, "{starts:?}");
        }
        assert_eq!(cut(&request(), &[100, 104]).unwrap().len(), 2);
    }
}
