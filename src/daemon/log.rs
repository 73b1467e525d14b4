//! The log: lines on standard error, one for each event; with the feature `oslog`, also macOS's own.
//!
//! ```text
//!   event ── fields, each cleaned ──► "2026-11-21T06:00:00Z  WARN iscsid::daemon: …"
//! ```
//! Many events quote text of a target. Such text must not end the event's line, nor rewrite the reader's
//! terminal; and no target may fill a disk with them (`limit`).

pub(super) mod file;
mod limit;

use std::io::IsTerminal;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::limit::Limit;
use crate::ipc::{ExitCode, Failure};
use crate::printable::{clean, complain};

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
    let log = tracing_subscriber::registry().with(env_filter).with(lines).with(Limit::default());
    // No text can end a record of os_log.
    #[cfg(all(target_os = "macos", feature = "oslog"))]
    let log = log.with(tracing_oslog::OsLogger::new("org.iscsid.iscsid", "daemon"));
    if let Err(error) = log.try_init() {
        complain(format_args!("iscsid: something else in this process logs already: {error}"));
    }
    Ok(())
}

/// Writes the message, how many like it were left out before, and other fields as `name=value`.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let one = |writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug| {
        let value = clean(&format!("{value:?}"));
        match field.name() {
            "message" => match limit::left_out() {
                0 => write!(writer, "{value}"),
                times => write!(writer, "{value} (and {times} times more since this was last said)"),
            },
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

    // check: log-flood
    #[test]
    fn what_a_target_makes_us_say_again_and_again_is_counted_instead() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(fields());
        let log = tracing_subscriber::registry().with(lines).with(Limit::default());
        tracing::subscriber::with_default(log, || {
            for vendor_code in 0..100_000 {
                tracing::warn!(target = "iqn.a:1", vendor_code, "an event");
                tracing::debug!(target = "iqn.a:1", vendor_code, "for whoever asks for it");
            }
            tracing::warn!(target = "iqn.a:1", "another event");
        });
        let written = String::from_utf8_lossy(&written.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        let of = |text: &str| written.lines().filter(|line| line.contains(text)).count();
        assert!((20..25).contains(&of("an event target")), "{}", of("an event target"));
        assert_eq!((of("another event"), of("for whoever asks")), (1, 100_000), "nothing else is hidden by it");
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
