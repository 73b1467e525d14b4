//! The command window: which CmdSN is next and how far the target lets us go (RFC 7143 §4.2.2.1).
//!
//! ```text
//!        ExpCmdSN              next               MaxCmdSN
//!  ─────────┼────────────────────┼────────────────────┼─────────►
//!   executed │ sent, not yet seen │ may be sent now     │ closed
//! ```

use crate::sn::CmdSn;

/// The session's command numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    next: CmdSn,
    exp: CmdSn,
    max: CmdSn,
}

impl Window {
    /// The window after a login: `first` is the first command's number, `max` the last one allowed.
    pub(crate) fn new(first: CmdSn, max: CmdSn) -> Window {
        Window { next: first, exp: first, max }
    }

    /// The number an immediate command carries, without taking it (§4.2.2.1).
    pub(crate) fn current(&self) -> CmdSn {
        self.next
    }

    /// Whether a command may be sent now.
    pub(crate) fn is_open(&self) -> bool {
        !self.max.is_before(self.next)
    }

    /// Takes the next number, if the window is open.
    pub(crate) fn take(&mut self) -> Option<CmdSn> {
        let taken = self.next;
        self.is_open().then(|| {
            self.next = taken.next();
            taken
        })
    }

    /// Takes in what a PDU of the target says. Both are ignored if MaxCmdSN + 1 is before ExpCmdSN,
    /// and neither ever goes back (§4.2.2.1).
    pub(crate) fn update(&mut self, exp: CmdSn, max: CmdSn) {
        if max.next().is_before(exp) {
            return;
        }
        if self.exp.is_before(exp) {
            self.exp = exp;
        }
        if self.max.is_before(max) {
            self.max = max;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: window-closed, cmdsn-contiguous
    #[test]
    fn a_closed_window_holds_until_any_pdu_opens_it() {
        let mut window = Window::new(CmdSn(u32::MAX), CmdSn(0));
        assert_eq!(window.take(), Some(CmdSn(u32::MAX)));
        assert_eq!(window.take(), Some(CmdSn(0)));
        assert_eq!(window.take(), None);
        window.update(CmdSn(1), CmdSn(1));
        assert_eq!(window.take(), Some(CmdSn(1)));
        assert_eq!(window.take(), None);
    }

    // check: window-stale
    #[test]
    fn a_window_that_shrinks_or_contradicts_itself_is_ignored() {
        let mut window = Window::new(CmdSn(10), CmdSn(20));
        window.update(CmdSn(10), CmdSn(15));
        window.update(CmdSn(40), CmdSn(30));
        // Far ahead, and behind it a MaxCmdSN that serial arithmetic takes for a later number than ours.
        window.update(CmdSn(0x7fff_ffea), CmdSn(0));
        window.update(CmdSn(0x7fff_ffea), CmdSn(0x7fff_ffe8));
        assert_eq!(window, Window { next: CmdSn(10), exp: CmdSn(10), max: CmdSn(20) });
        for n in 10..=20 {
            assert_eq!(window.take(), Some(CmdSn(n)));
        }
        assert_eq!(window.take(), None);
    }

    // check: window-closed
    #[test]
    fn a_target_may_close_the_window_wholly() {
        let window = Window::new(CmdSn(10), CmdSn(9));
        assert!(!window.is_open());
    }
}
