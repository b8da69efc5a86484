//! The `zhiban` command. Arguments, log, exit codes; nothing else.

use std::io::Write as _;
use std::process::ExitCode;
use zhiban::cli::Cli;

/// Gives memory back that is no longer used; glibc keeps what each of its arenas once had, such as the 19 MiB of every
/// password that was looked at on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Records, photos and tokens are nobody else's, whatever file they come to lie in.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::from_shell();
    // The demo's own broker is chatty about every client that leaves.
    let log = match zhiban::log::begin(&format!("rumqttd=off,{}", cli.log), cli.log_json) {
        Ok(log) => log,
        Err(error) => return fail(&format!("--log {}: {error}", cli.log)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let code = match runtime {
        Err(error) => fail(&format!("no threads can be had: {error}")),
        Ok(runtime) => match runtime.block_on(Box::pin(cli.execute())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{error:#}")),
        },
    };
    log.end();
    code
}

/// One clear sentence on stderr, exit code 1.
fn fail(message: &str) -> ExitCode {
    // Where even stderr is gone, the exit code still says it.
    drop(writeln!(std::io::stderr(), "{message}"));
    ExitCode::from(1)
}
