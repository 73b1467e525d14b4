//! Ctrl-C in the middle of a measurement: the figures so far are worth having.
//!
//! ```text
//!   first SIGINT  ── our side of the control socket is shut ──► iscsid ends the run, and answers
//!   second SIGINT ── exit code 130 at once
//! ```

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::ipc::{ExitCode, Failure};

/// Whether there was a Ctrl-C.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on, a Ctrl-C shuts our side of `connection`, and the next one ends this process.
    ///
    /// # Errors
    /// [`ExitCode::Internal`]: the system gives no threads or signals.
    pub(super) fn ends(connection: UnixStream) -> Result<Interrupt, Failure> {
        let broken = |error: std::io::Error| {
            Failure::new(ExitCode::Internal, format!("the system does not tell of Ctrl-C: {error}"))
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let mut signals = {
            let _here = runtime.enter();
            signal(SignalKind::interrupt()).map_err(broken)?
        };
        let interrupt = Interrupt::default();
        let noted = interrupt.clone();
        let wait = move || {
            runtime.block_on(async move {
                signals.recv().await;
                noted.0.store(true, Relaxed);
                // A daemon that has gone needs not be told.
                let _ = connection.shutdown(Shutdown::Write);
                signals.recv().await;
                std::process::exit(ExitCode::Interrupted as i32);
            });
        };
        std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(wait).map_err(broken)?;
        Ok(interrupt)
    }

    /// How a command ends that was interrupted.
    ///
    /// # Errors
    /// [`ExitCode::Interrupted`], if there was a Ctrl-C.
    pub(super) fn outcome(&self) -> Result<(), Failure> {
        match self.0.load(Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(
                ExitCode::Interrupted,
                "Ctrl-C ended the benchmark early: the figures are of what was measured until then",
            )),
        }
    }
}
