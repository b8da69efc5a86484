//! The signals of the system: which end the gateway, which make it read its configuration again.
//!
//! No signal that people send by habit may end it without a word.

use anyhow::Result;
use rustix::process::Signal as Sys;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, listened to from the start of the process on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    user: [Signal; 2],
    /// A write above a limit on the size of files fails, as on a full disk; it does not end the process.
    _file_size: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end.
    End,
    /// To read the configuration again.
    Reload,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// Signals cannot be had.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
            _file_size: signal(SignalKind::from_raw(Sys::XFSZ.as_raw()))?,
        })
    }

    /// The next one that asks for something.
    pub(crate) async fn next(&mut self) -> Asked {
        let [first, second] = &mut self.user;
        loop {
            let unused = tokio::select! {
                _ = self.interrupt.recv() => return Asked::End,
                _ = self.terminate.recv() => return Asked::End,
                _ = self.hang_up.recv() => return Asked::Reload,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::warn!(
                signal = unused,
                "this signal asks for nothing here; it is ignored"
            );
        }
    }
}
