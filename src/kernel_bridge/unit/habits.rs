//! What a unit's answers have taught us of it, beyond what it says of itself.
//!
//! ```text
//!   refused ──► Lesson: what to try instead ── it works ──► Habits: all that follow go that way
//! ```
//! A refusal alone proves nothing: it may be about the one command. What was tried instead and worked does. Where nothing
//! is tried instead, since nothing is lost by that (a trim, the flush of a unit without a cache), the refusal has to do.

/// How commands for a unit must be, as far as its answers have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Which reads and writes it takes.
    pub(crate) commands: Commands,
    /// It refuses the FUA bit, which its mode parameters announce.
    pub(crate) refuses_fua: bool,
    /// The most blocks of a read or write that it takes.
    pub(crate) longest: u32,
    /// How its blocks become zero.
    pub(crate) zeroes: Zeroes,
    /// It refuses to free blocks, which it says that it does.
    pub(crate) refuses_unmap: bool,
    /// How it is flushed.
    pub(crate) flush: Flush,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            commands: Commands::Sixteen,
            refuses_fua: false,
            longest: u32::MAX,
            zeroes: Zeroes::Freed,
            refuses_unmap: false,
            flush: Flush::Sixteen,
        }
    }
}

/// Which form of READ and WRITE a unit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commands {
    /// READ (16), WRITE (16).
    Sixteen,
    /// READ (10), WRITE (10): it refused the longer ones.
    Ten,
}

/// How blocks become zero, from what is best to what always works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Zeroes {
    /// WRITE SAME, which may free them.
    Freed,
    /// WRITE SAME without the UNMAP bit.
    Kept,
    /// WRITE, of zeroes.
    Written,
}

/// Which SYNCHRONIZE CACHE a unit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// SYNCHRONIZE CACHE (16).
    Sixteen,
    /// SYNCHRONIZE CACHE (10): it refused the longer one.
    Ten {
        /// As an operation code that it does not know.
        unknown: bool,
    },
    /// It knows neither operation code: there is nothing to synchronize. It is asked each time all the same.
    Nothing,
}

/// One habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// See [`Habits::commands`].
    Ten,
    /// See [`Habits::refuses_fua`].
    WithoutFua,
    /// See [`Habits::longest`].
    Shorter(u32),
    /// See [`Habits::zeroes`].
    Zeroes(Zeroes),
    /// See [`Habits::refuses_unmap`].
    NoUnmap,
    /// See [`Habits::flush`].
    Flush(Flush),
}

impl Habits {
    /// These and that one.
    #[must_use]
    pub(crate) fn with(self, lesson: Lesson) -> Habits {
        match lesson {
            Lesson::Ten => Habits { commands: Commands::Ten, ..self },
            Lesson::WithoutFua => Habits { refuses_fua: true, ..self },
            // At least one block: what is less is no command.
            Lesson::Shorter(blocks) => Habits { longest: self.longest.min(blocks.max(1)), ..self },
            Lesson::Zeroes(zeroes) => Habits { zeroes: self.zeroes.max(zeroes), ..self },
            Lesson::NoUnmap => Habits { refuses_unmap: true, ..self },
            Lesson::Flush(flush) => Habits { flush, ..self },
        }
    }
}
