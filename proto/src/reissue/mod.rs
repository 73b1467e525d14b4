//! Commands that are issued again: which may be, in which order, and what waits for them.
//!
//! ```text
//!   arrive ──► under way ── answered, or may not run twice ──► through
//!                 ▲  │                                            │
//!                 │  │ connection lost, taken back, busy          ▼
//!                 │  ▼                            commands behind it may go
//!               again: waits, in the order of arrival
//! ```
//! The target may or may not have executed a command whose answer was lost. So only those may be issued again whose
//! second execution does no harm ([`replay`]), and the second execution of a write must not come after a later write
//! to the same blocks: until the earlier command is through, the later one waits ([`Order`]). Which blocks those are,
//! the CDB says ([`Extent`]).

mod extent;
mod order;

pub use self::extent::{Access, Extent};
pub use self::order::{Arrival, Order, put_back};

/// What to do with a command that was under way when the connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// It may be issued again, in the order of the first submission.
    Again,
    /// It fails: a second execution could mean something else than the first.
    Never,
}

/// The policy, by operation code (SPC-5, SBC-4).
pub const fn replay(opcode: u8) -> Replay {
    match opcode {
        // They only read.
        0x00 | 0x03 | 0x12 | 0x1a | 0x5a | 0xa0 | 0x25 | 0x9e => Replay::Again,
        // READ (6), (10), (12), (16), VERIFY: they only read.
        0x08 | 0x28 | 0xa8 | 0x88 | 0x2f | 0x8f => Replay::Again,
        // WRITE (6), (10), (12), (16), WRITE SAME, UNMAP: addressed by block, the same twice as once,
        // as long as nothing later to the same blocks comes between. `Order` sees to that.
        0x0a | 0x2a | 0xaa | 0x8a | 0x41 | 0x93 | 0x42 => Replay::Again,
        // SYNCHRONIZE CACHE: a flush twice is a flush.
        0x35 | 0x91 => Replay::Again,
        // Reservations, COMPARE AND WRITE, EXTENDED COPY, START STOP UNIT and all others.
        _ => Replay::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: recovery-replay-never
    #[test]
    fn what_is_not_the_same_twice_is_never_issued_again() {
        for opcode in [0x5f, 0x5e, 0x16, 0x17, 0x89, 0x83, 0x1b, 0x04] {
            assert_eq!(replay(opcode), Replay::Never, "{opcode:#04x}");
        }
        for opcode in [0x88, 0x8a, 0x91, 0x42, 0x93, 0x12] {
            assert_eq!(replay(opcode), Replay::Again, "{opcode:#04x}");
        }
    }

    #[test]
    fn what_may_be_issued_again_names_its_blocks_but_for_unmap() {
        let lun = crate::ids::Lun(0);
        let again = (0..=u8::MAX).filter(|&opcode| replay(opcode) == Replay::Again);
        let everything = again.filter(|&opcode| {
            let mut cdb = [0x10; 16];
            cdb[0] = opcode;
            Extent::of(lun, &cdb) == Some(Extent::everything(lun))
        });
        assert_eq!(everything.collect::<alloc::vec::Vec<u8>>(), [0x42]);
    }
}
