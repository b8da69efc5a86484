//! The keys of what people asked for last: a request whose answer went astray may come again before
//! the journal can be asked about it. A key is never kept for good: the journal forgets it too.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// So many keys are remembered at most.
const MOST: usize = 256;
/// So long after what it asked for was written: by then the journal knows it.
const KEPT: Duration = Duration::from_secs(60);

/// The keys, each with when it came or, at the latest, what it asked for was written.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<(String, Instant)>);

impl Asked {
    pub(super) fn add(&mut self, key: String, now: Instant) {
        self.0.push_back((key, now));
        let over = self.0.len().saturating_sub(MOST);
        self.0.drain(..over);
    }

    /// Whether the key came lately. To be asked while nothing waits to be written.
    pub(super) fn has(&mut self, key: &str, now: Instant) -> bool {
        self.0.retain(|(_, at)| now.duration_since(*at) < KEPT);
        self.0.iter().any(|(known, _)| known == key)
    }

    /// What waited is written now.
    pub(super) fn written(&mut self, now: Instant) {
        for (_, at) in &mut self.0 {
            *at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_until_the_journal_surely_knows_it() {
        let mut asked = Asked::default();
        let start = Instant::now();
        asked.add("k".to_owned(), start);
        asked.written(start + KEPT * 10);
        assert!(asked.has("k", start + KEPT * 10));
        assert!(!asked.has("k", start + KEPT * 11));
        for key in 0..=MOST {
            asked.add(key.to_string(), start);
        }
        assert!(!asked.has("0", start) && asked.has("1", start));
    }
}
