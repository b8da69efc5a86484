//! The `zhiban` command. Arguments, log, exit codes; nothing else.

use std::io::Write as _;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use zhiban::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::from_shell();
    // The demo's own broker is chatty about every client that leaves.
    let filter = match EnvFilter::try_new(format!("rumqttd=off,{}", cli.log)) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log {}: {error}", cli.log)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if cli.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Err(error) => fail(&format!("no threads can be had: {error}")),
        Ok(runtime) => match runtime.block_on(Box::pin(cli.execute())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{error:#}")),
        },
    }
}

/// One clear sentence on stderr, exit code 1.
fn fail(message: &str) -> ExitCode {
    // Where even stderr is gone, the exit code still says it.
    drop(writeln!(std::io::stderr(), "{message}"));
    ExitCode::from(1)
}
