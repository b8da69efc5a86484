//! The built program itself, started as a user starts it. It must never reach into the program:
//! what a test learns comes from its output, its files and its ports.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use tempfile::TempDir;

use super::PATIENCE;
use super::process::Process;

/// The path of the built program: `$ZHIBAN_BIN`, else it is built now, once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("ZHIBAN_BIN") {
            return PathBuf::from(named);
        }
        // The whole workspace, so that dependencies keep the features they were built with.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "cargo build of the program failed");
        // This test is target/debug/deps/it-…
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("zhiban")
    })
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs it to its end without the right to pass over the permissions of files, which root has.
pub(crate) fn run_without_privilege(arguments: &[&str]) -> Output {
    let me = Command::new("id").arg("-u").output().unwrap().stdout;
    let mut command = if me == b"0\n" {
        let mut setpriv = Command::new("setpriv");
        setpriv.arg("--bounding-set=-dac_override,-dac_read_search");
        setpriv.arg(program());
        setpriv
    } else {
        Command::new(program())
    };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The running program. It is killed with the value.
pub(crate) struct Zhiban {
    process: Process,
    stdout: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Zhiban {
    /// Starts it with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::started(Command::new(program()).args(arguments))
    }

    /// Starts it with these arguments where it may have so many files and connections open.
    pub(crate) fn start_with_descriptors(limit: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\""]);
        Self::started(shell.arg(limit.to_string()).arg(program()).args(arguments))
    }

    /// Starts it with these arguments where no file may become larger than so many KiB.
    pub(crate) fn start_with_file_size(limit: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", "ulimit -f \"$0\" && exec \"$@\""]);
        Self::started(shell.arg(limit.to_string()).arg(program()).args(arguments))
    }

    /// Starts the program as this command says.
    pub(crate) fn started(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start("zhiban", command, &folder.path().join("log"));
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let heard = stdout.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Self {
            process,
            stdout,
            _folder: folder,
        }
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The first line that it prints.
    ///
    /// # Panics
    /// With its log, when it ends before.
    pub(crate) async fn first_line(&mut self) -> String {
        let stdout = self.stdout.clone();
        self.process
            .ready(async || !stdout.lock().unwrap().is_empty())
            .await;
        self.stdout().swap_remove(0)
    }

    /// Waits until this URL answers with success.
    ///
    /// # Panics
    /// With its log, when it ends before.
    pub(crate) async fn answers(&mut self, url: &str) {
        let http = super::http();
        self.process
            .ready(async || {
                let answer = http.get(url).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await;
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.process.stop_within(PATIENCE).await
    }

    /// Kills it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
