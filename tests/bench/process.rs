//! Programs that are measured: started with their log in a file, watched through /proc, and
//! always ended. It must never measure less than the whole tree of a program's processes.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a program may take to end when it is asked.
const TIME_TO_END: Duration = Duration::from_secs(10);
/// A thread that ends between two looks takes its last share of CPU time with it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A running program.
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Program {
    /// Starts a program; what it says goes to `log`, unless its output was piped before.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        command.stdin(Stdio::null()).stderr(file.try_clone()?);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            started,
        })
    }

    /// The process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// The program ended, or the time is over; with the end of its log.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut holds: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let mut beat = tokio::time::interval(Duration::from_millis(1));
        let deadline = Instant::now() + within;
        while !holds().await {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended ({status}) before {what}\n{}",
                    self.name,
                    self.log_end()
                );
            }
            if Instant::now() > deadline {
                bail!("{}: {what} took too long\n{}", self.name, self.log_end());
            }
            beat.tick().await;
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(20);
        lines.get(skipped..).unwrap_or_default().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let deadline = Instant::now() + TIME_TO_END;
        while asked.is_ok() && Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::park_timeout(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a program used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time, in milliseconds.
    pub(crate) cpu_ms: f64,
    /// The time it was watched, in seconds.
    pub(crate) seconds: f64,
    /// Resident memory at the end, in MiB.
    pub(crate) rss: f64,
}

impl Usage {
    /// CPU time, in percent of one core.
    pub(crate) fn percent(&self) -> f64 {
        self.cpu_ms / self.seconds / 10.0
    }
}

/// Watches a program from now on until `stop`.
pub(crate) struct Watch {
    root: u32,
    began: Instant,
    first: BTreeMap<u64, u64>,
    last: Arc<Mutex<BTreeMap<u64, u64>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn start(program: &Program) -> Self {
        let root = program.id();
        let first = threads(root);
        let last = Arc::new(Mutex::new(first.clone()));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (last.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::park_timeout(BETWEEN_LOOKS);
                let now = threads(root);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(now);
            }
        });
        Self {
            root,
            began: Instant::now(),
            first,
            last,
            over,
            thread: Some(thread),
        }
    }

    /// Ends and says what was used in between.
    pub(crate) fn stop(mut self) -> Usage {
        let seconds = self.began.elapsed().as_secs_f64();
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let used = last
            .iter()
            .map(|(thread, now)| now.saturating_sub(*self.first.get(thread).unwrap_or(&0)));
        Usage {
            cpu_ms: used.sum::<u64>() as f64 / 1e6,
            seconds,
            rss: tree(self.root).into_iter().map(resident).sum(),
        }
    }
}

/// The nanoseconds on a CPU of every thread of a program and of the programs it started.
fn threads(root: u32) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for process in tree(root) {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else {
            continue;
        };
        for task in tasks.filter_map(Result::ok) {
            let id = task.file_name().to_string_lossy().parse();
            let spent = std::fs::read_to_string(task.path().join("schedstat"));
            let spent = spent.unwrap_or_default();
            let spent = spent.split(' ').next().and_then(|text| text.parse().ok());
            if let (Ok(id), Some(spent)) = (id, spent) {
                all.insert(id, spent);
            }
        }
    }
    all
}

/// A process and everything it started.
fn tree(root: u32) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let parents: Vec<(u32, u32)> = processes
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let id = entry.file_name().to_string_lossy().parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in brackets and may hold anything; state and parent follow it.
            let (_, after) = stat.rsplit_once(") ")?;
            Some((id, after.split(' ').nth(1)?.parse().ok()?))
        })
        .collect();
    let mut tree = BTreeSet::from([root]);
    loop {
        let before = tree.len();
        let children = parents.iter().filter(|(_, parent)| tree.contains(parent));
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        tree.extend(children);
        if tree.len() == before {
            return tree;
        }
    }
}

/// The resident memory of a process, in MiB.
fn resident(process: u32) -> f64 {
    Resident::of(process).map_or(0.0, |resident| resident.all)
}

/// The resident memory of one process, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    /// All of it.
    pub(crate) all: f64,
    /// What is no page of a file: the heap, the stacks.
    pub(crate) anonymous: f64,
    /// The most that ever was.
    pub(crate) highest: f64,
}

impl Resident {
    /// Now; `None` when the process is over.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Self {
            all: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            highest: field("VmHWM:")?,
        })
    }
}
