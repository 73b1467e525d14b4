//! A hold on the machine: the system waits for it before it sleeps or ends.

use std::fmt;

/// The system waits as long as this lives, up to a bound of its own.
pub(crate) struct Hold(Option<Box<dyn FnOnce() + Send>>);

impl Hold {
    #[cfg_attr(not(any(test, target_os = "macos")), allow(dead_code, reason = "only macOS waits for us"))]
    /// `release` is called when the hold is let go of.
    pub(crate) fn new(release: impl FnOnce() + Send + 'static) -> Hold {
        Hold(Some(Box::new(release)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold(…)")
    }
}
