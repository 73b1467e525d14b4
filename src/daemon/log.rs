//! The log: lines on standard error, one for each event; with the feature `oslog`, also macOS's own.
//!
//! ```text
//!   event ── fields, each cleaned ──► "2026-11-21T06:00:00Z  WARN iscsid::daemon: …"
//! ```
//! Many events quote text of a target. Such text must not end the event's line, nor rewrite the reader's
//! terminal.

use std::io::IsTerminal;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::ipc::{ExitCode, Failure};
use crate::printable::clean;

/// Logs from now on what `filter` lets through.
///
/// # Errors
/// [`ExitCode::Usage`]: that is no filter.
pub(super) fn start(filter: &str) -> Result<(), Failure> {
    let env_filter = EnvFilter::try_new(filter).map_err(|error| {
        let message = format!("`{filter}` is not a log filter ({error})");
        Failure::new(ExitCode::Usage, message).advice("try info, debug, or iscsid=debug")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .fmt_fields(fields());
    let log = tracing_subscriber::registry().with(env_filter).with(lines);
    // No text can end a record of os_log.
    #[cfg(all(target_os = "macos", feature = "oslog"))]
    let log = log.with(tracing_oslog::OsLogger::new("org.iscsid.iscsid", "daemon"));
    if let Err(error) = log.try_init() {
        eprintln!("iscsid: something else in this process logs already: {error}");
    }
    Ok(())
}

/// Writes the message, and other fields as `name=value`.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let one = |writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug| {
        let value = clean(&format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    };
    debug_fn(one).delimited(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_a_target_said() {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(fields())
            .finish();
        let said = "x\u{1b}[2J\nWARN forged\u{9b}\u{202e}";
        tracing::subscriber::with_default(log, || tracing::warn!(target_says = %said, lun = 3, "it said {said}"));
        let written = written.0.lock().unwrap_or_else(PoisonError::into_inner);
        let escaped = r"x\u{1b}[2J\u{a}WARN forged\u{9b}\u{202e}";
        assert_eq!(String::from_utf8_lossy(&written), format!(" WARN it said {escaped} target_says={escaped} lun=3\n"));
    }
}
