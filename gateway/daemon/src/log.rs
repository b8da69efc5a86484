//! The log: how it is written, and that nothing fills it. A message that was said already is counted
//! and summed up: its first time is written, and so is one about something else.
//!
//! What a line of ours says may come from outside, so that no two are equal: of one line of the program
//! only so many are written in a span, and the rest is summed up with the last of it. It must never
//! hold more than a bounded number of messages.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// For how long a message that is said again is counted before it is summed up;
const SPAN: Duration = Duration::from_secs(60);
/// an error is heard of sooner.
const SPAN_OF_ERRORS: Duration = Duration::from_secs(10);
/// How often it is looked for sums that are due.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that are remembered.
const MOST: usize = 1024;
/// So many different messages of one line of the program are written before they are summed up: as
/// many as there are devices in a building that fail together, or nearly.
const EACH: u32 = 60;
/// The longest text of a message that a sum repeats, in characters.
const TEXT: usize = 300;
/// Where sums come from.
const SUMS: &str = "zhiban::log";
/// Fields that say how much and not where: a message is the same whatever they are.
const HOW_MUCH: [&str; 6] = ["size", "lost", "messages", "records", "skew_ms", "photo"];

/// Begins to log to stderr. What is returned writes the sums; keep it until the end.
///
/// # Errors
/// `filter` is none.
pub fn begin(filter: &str, json: bool) -> Result<Sums, ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let sums = Sums::default();
    // Who reads the log may be gone; that must end no part of the gateway.
    let written = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let written = if json {
        written.json().with_filter(sums.clone()).boxed()
    } else {
        let colours = std::io::stderr().is_terminal();
        written.with_ansi(colours).with_filter(sums.clone()).boxed()
    };
    tracing_subscriber::registry()
        .with(written)
        .with(filter)
        .init();
    let due = sums.clone();
    let ticks = std::thread::Builder::new().name("log".to_owned());
    let ticking = ticks.spawn(move || {
        loop {
            std::thread::park_timeout(LOOK);
            due.write(|sum, now| sum.until <= now);
        }
    });
    if let Err(error) = ticking {
        tracing::warn!(%error, "messages that are said again are summed up at the end only");
    }
    Ok(sums)
}

/// What was said lately, and how often again.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By what they say.
    messages: HashMap<u64, Sum>,
    /// By the line of the program that says them: how many different ones were written, and what
    /// was not.
    lines: HashMap<u64, (u32, Sum)>,
}

/// One message.
#[derive(Debug, Clone)]
struct Sum {
    level: Level,
    from: String,
    text: String,
    /// How often it was said again since it was written.
    more: u64,
    since: Instant,
    until: Instant,
}

impl Sums {
    /// Writes what is not summed up yet; to be called when nothing more is said.
    pub fn end(&self) {
        self.write(|_, _| true);
    }

    /// Counts a message. Says whether it is to be written.
    fn take(&self, said: &Said, now: Instant) -> bool {
        let span = match said.level {
            Level::ERROR => SPAN_OF_ERRORS,
            _ => SPAN,
        };
        let text = || said.text.chars().take(TEXT).collect();
        let sum = || Sum {
            level: said.level,
            from: said.from.clone(),
            text: text(),
            more: 0,
            since: now,
            until: now + span,
        };
        let key = said.key();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = known.messages.get_mut(&key) {
            sum.more += 1;
            return false;
        }
        let (written, rest) = known.lines.entry(said.line).or_insert_with(|| (0, sum()));
        if *written >= EACH {
            rest.more += 1;
            rest.text = text();
            return false;
        }
        *written += 1;
        if known.messages.len() < MOST {
            known.messages.insert(key, sum());
        }
        true
    }

    /// The sums that are due. One of a message that goes on stays, so that the next time is counted
    /// and not written.
    fn due(&self, is_due: impl Fn(&Sum, Instant) -> bool, now: Instant) -> Vec<(Sum, Duration)> {
        let mut due = Vec::new();
        let mut stays = |sum: &mut Sum| {
            if !is_due(sum, now) {
                return true;
            }
            if sum.more == 0 {
                return false;
            }
            due.push((sum.clone(), now.saturating_duration_since(sum.since)));
            let span = sum.until.saturating_duration_since(sum.since);
            (sum.more, sum.since, sum.until) = (0, now, now + span);
            true
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.messages.retain(|_, sum| stays(sum));
        known.lines.retain(|_, (_, sum)| stays(sum));
        due
    }

    fn write(&self, is_due: impl Fn(&Sum, Instant) -> bool) {
        for (sum, span) in self.due(is_due, Instant::now()) {
            let Sum {
                level,
                from,
                text,
                more,
                ..
            } = sum;
            let span = span.as_secs().max(1);
            macro_rules! say {
                ($level:ident) => {
                    tracing::$level!(
                        target: "zhiban::log", from, more,
                        "said {more} more times in the last {span} s: {text}"
                    )
                };
            }
            match level {
                Level::ERROR => say!(error),
                Level::WARN => say!(warn),
                _ => say!(info),
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Sums {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let level = *metadata.level();
        // Who wants every detail gets it.
        if level > Level::INFO || metadata.target() == SUMS {
            return true;
        }
        let mut line = DefaultHasher::new();
        metadata.callsite().hash(&mut line);
        let mut said = Said {
            line: line.finish(),
            level,
            from: metadata.target().to_owned(),
            text: String::new(),
            fields: String::new(),
        };
        event.record(&mut said);
        self.take(&said, Instant::now())
    }
}

/// A message with where it comes from and what it is about.
#[derive(Debug)]
struct Said {
    /// The line of the program that says it.
    line: u64,
    level: Level,
    from: String,
    text: String,
    fields: String,
}

impl Said {
    /// What is the same for equal messages. A library does not say what its message is about; the
    /// numbers and bytes in its text are what a hostile line may change.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.from, self.level).hash(&mut hasher);
        if self.from.starts_with("zhiban") {
            (&self.text, &self.fields).hash(&mut hasher);
        } else {
            without_numbers(&self.text).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to memory does not fail.
        match field.name() {
            "message" => drop(write!(self.text, "{value:?}")),
            name if HOW_MUCH.contains(&name) => {}
            name if name.starts_with("log.") => {}
            name => drop(write!(self.fields, "{name}={value:?} ")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            // Of a library that logs in another way.
            "log.target" => value.clone_into(&mut self.from),
            _ => self.record_debug(field, &value),
        }
    }
}

/// A text with words that hold a digit, and lists in brackets, left out.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_u32;
    for part in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        if depth == 0 && !word.contains(|c: char| c.is_ascii_digit()) {
            out.push_str(word);
        }
        for mark in part.chars().filter(|c| !c.is_alphanumeric()) {
            match mark {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => out.push(if depth == 0 { mark } else { '#' }),
            }
        }
    }
    // However long a list is.
    let mut kept = String::with_capacity(out.len());
    for c in out.chars() {
        if !(c == '#' && kept.ends_with('#')) {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tracing_subscriber::fmt::MakeWriter;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The lines that are written when this is said, and then it ends.
    fn lines(say: impl FnOnce(&Sums)) -> Vec<String> {
        let (sums, kept) = (Sums::default(), Kept::default());
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(kept.clone())
            .with_ansi(false)
            .without_time()
            .with_filter(sums.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            say(&sums);
            sums.end();
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn equal_messages_are_counted_and_summed_up_at_the_end() {
        let lines = lines(|_| {
            for _ in 0..4313 {
                tracing::warn!(target: "zhiban::test", link = "l", size = 5, "a read failed");
            }
        });
        assert_eq!(
            lines,
            [
                "WARN zhiban::test: a read failed link=\"l\" size=5",
                "WARN zhiban::log: said 4312 more times in the last 1 s: a read failed \
                 from=\"zhiban::test\" more=4312",
            ]
        );
    }

    #[test]
    fn what_differs_in_text_level_or_place_is_written() {
        let lines = lines(|_| {
            for n in 0..3 {
                tracing::warn!(target: "zhiban::test", link = "l", unit = n, "a read failed");
                tracing::warn!(target: "zhiban::test", link = "l", "a read failed: {n}");
                tracing::debug!(target: "zhiban::test", "detail");
            }
            tracing::error!(target: "zhiban::test", link = "l", unit = 1, "a read failed");
        });
        assert_eq!(lines.len(), 10, "{lines:#?}");
    }

    #[test]
    fn a_librarys_message_is_the_same_whatever_bytes_it_names() {
        let lines = lines(|_| {
            for n in 0..50_u8 {
                tracing::error!(
                    target: "tokio_modbus::codec::rtu",
                    "Giving up to decode frame after dropping {n} byte(s): {:X?}", vec![n; 9]
                );
                tracing::warn!(target: "tokio_modbus::codec::rtu", "Invalid CRC: expected = 0x{n:X}");
            }
        });
        assert_eq!(lines.len(), 4, "{lines:#?}");
    }

    fn said(level: Level, text: &str) -> Said {
        Said {
            line: 0,
            level,
            from: "zhiban::test".to_owned(),
            text: text.to_owned(),
            fields: String::new(),
        }
    }

    #[test]
    fn a_storm_is_one_line_a_minute_and_an_error_is_heard_of_sooner() {
        let sums = Sums::default();
        let start = Instant::now();
        let is_due = |sum: &Sum, now| sum.until <= now;
        let (mut written, mut summed) = (0, Vec::new());
        for second in 0..=300 {
            let now = start + Duration::from_secs(second);
            for _ in 0..75 {
                written += usize::from(sums.take(&said(Level::WARN, "storm"), now));
            }
            for (sum, span) in sums.due(is_due, now) {
                summed.push((sum.more, span.as_secs()));
            }
        }
        assert_eq!(written, 1);
        assert_eq!(summed.len(), 5, "{summed:?}");
        assert_eq!(
            summed.iter().map(|(more, _)| more).sum::<u64>(),
            301 * 75 - 1
        );
        assert!(summed.iter().all(|(_, span)| *span == 60));

        assert!(sums.take(&said(Level::ERROR, "once"), start));
        assert!(!sums.take(&said(Level::ERROR, "once"), start));
        let soon = sums.due(is_due, start + SPAN_OF_ERRORS);
        assert_eq!(soon.len(), 1);
        // Quiet for a while, it is written at once again.
        assert!(sums.due(is_due, start + SPAN_OF_ERRORS * 2).is_empty());
        assert!(sums.take(&said(Level::ERROR, "once"), start + SPAN_OF_ERRORS * 2));
    }

    #[test]
    fn what_differs_each_time_fills_no_log() {
        let is_due = |sum: &Sum, now| sum.until <= now;
        let (sums, start) = (Sums::default(), Instant::now());
        let (mut written, mut summed) = (0, Vec::new());
        for second in 0..=300_u64 {
            let now = start + Duration::from_secs(second);
            for n in 0..75 {
                let text = format!("an answer of bytes {second} {n}");
                written += usize::from(sums.take(&said(Level::WARN, &text), now));
            }
            let other = Said {
                line: second + 1,
                ..said(Level::WARN, &format!("of another line {second}"))
            };
            assert!(sums.take(&other, now), "what else is said is written");
            summed.extend(sums.due(is_due, now).into_iter().map(|(sum, _)| sum));
        }
        assert!(written <= 6 * EACH as usize, "{written}");
        let more: u64 = summed.iter().map(|sum| sum.more).sum();
        assert_eq!(more, 301 * 75 - written as u64 - last(&sums));
        assert!(
            summed
                .iter()
                .all(|sum| sum.text.starts_with("an answer of bytes"))
        );
    }

    /// What is not summed up yet.
    fn last(sums: &Sums) -> u64 {
        let known = sums.known.lock().unwrap();
        known.lines.values().map(|(_, sum)| sum.more).sum()
    }

    #[test]
    fn what_is_remembered_is_bounded_and_written_all_the_same() {
        let sums = Sums::default();
        let now = Instant::now();
        for n in 0..2 * MOST as u64 {
            let said = Said {
                line: n / 20,
                ..said(Level::WARN, &n.to_string())
            };
            assert!(sums.take(&said, now));
        }
        assert_eq!(sums.known.lock().unwrap().messages.len(), MOST);
    }
}
