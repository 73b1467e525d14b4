//! What to do instead of a command that the unit refuses for its form: by what it said, never by its name.
//!
//! | the unit refuses | with | instead |
//! |---|---|---|
//! | READ (16), WRITE (16) | 20/00 | READ (10), WRITE (10) |
//! | WRITE with FUA | 24/00 | WRITE, and a flush |
//! | READ, WRITE of more than one block | 24/00, 26/xx, 1a/00, 55/xx | half as many blocks, and so on; the operation in several commands |
//! | the same | 0b/47/xx, 0b/55/xx, again and again | as well |
//! | WRITE SAME with UNMAP | any of these | WRITE SAME without it |
//! | WRITE SAME | any of these | WRITE of zeroes; if that is not wanted, nothing: it fails |
//! | UNMAP, WRITE SAME for a trim | any of these | nothing: a trim is a hint |
//! | SYNCHRONIZE CACHE (16) | 20/00, 24/00 | SYNCHRONIZE CACHE (10) |
//! | and that one, too | 20/00 both | nothing: it has no cache; else the flush fails, since data may be lost |
//!
//! Each step is taken once for each operation, so there is an end to them.

use iscsi_proto::scsi::cdb::opcode;
use iscsi_proto::scsi::{Sense, SenseKey};

use super::habits::{Commands, Flush, Habits, Lesson, Zeroes};
use crate::block::Op;

/// UNMAP, in byte 1 of WRITE SAME, and FUA, in byte 1 of WRITE.
const UNMAP_OR_FUA: u8 = 0x08;

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The operation code (5/20/00).
    Opcode,
    /// A field of the command (5/24/00).
    Field,
    /// Its data (5/26/xx) or their length (5/1a/00).
    Parameters,
    /// It has no room for the command (5/55/xx, SYSTEM RESOURCE FAILURE), or the data do not get through (b/47/xx, a wrong
    /// parity or CRC): of a read or write, that may be for its length. Of the others, it says nothing.
    Resources,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Issue it in that way.
    Try(Lesson),
    /// The operation is done as it is, and the unit is known to be so.
    Done(Lesson),
    /// Nothing that was asked for helps: it fails, and the unit is known to be so.
    FailKnowing(Lesson),
    /// Nothing helps: it fails.
    Fail,
}

impl Refusal {
    /// What sense data refuse, if they are about the form of a command.
    pub(crate) fn of(sense: &Sense) -> Option<Refusal> {
        match (sense.key, sense.asc, sense.ascq) {
            (SenseKey::IllegalRequest, 0x20, 0x00) => Some(Refusal::Opcode),
            (SenseKey::IllegalRequest, 0x24, 0x00) => Some(Refusal::Field),
            (SenseKey::IllegalRequest, 0x26, _) | (SenseKey::IllegalRequest, 0x1a, 0x00) => Some(Refusal::Parameters),
            (SenseKey::IllegalRequest, 0x55, _) => Some(Refusal::Resources),
            _ => None,
        }
    }

    /// What sense data of an aborted command refuse, if it is always aborted with them. It may be a single time, too.
    pub(crate) fn of_aborted(sense: &Sense) -> Option<Refusal> {
        match (sense.key, sense.asc) {
            (SenseKey::AbortedCommand, 0x47 | 0x55) => Some(Refusal::Resources),
            _ => None,
        }
    }

    /// What to do, where `cdb` for `blocks` blocks of `op` was built for a unit of these habits.
    pub(crate) fn instead(self, op: Op, cdb: &[u8; 16], blocks: u32, habits: &Habits) -> Instead {
        const TRANSFER: [u8; 4] = [opcode::READ_16, opcode::WRITE_16, opcode::READ_10, opcode::WRITE_10];
        let has_bit = cdb[1] & UNMAP_OR_FUA != 0;
        // The next power of two below.
        let shorter = blocks.checked_sub(1).and_then(u32::checked_ilog2).map(|exponent| Lesson::Shorter(1 << exponent));
        match (cdb[0], self) {
            (opcode, Refusal::Resources | Refusal::Parameters) if TRANSFER.contains(&opcode) => {
                shorter.map_or(Instead::Fail, Instead::Try)
            }
            (_, Refusal::Resources) => Instead::Fail,
            (opcode::UNMAP, _) => Instead::Done(Lesson::NoUnmap),
            (opcode::WRITE_SAME_16, _) if op == Op::Unmap => Instead::Done(Lesson::NoUnmap),
            (opcode::WRITE_SAME_16, _) if has_bit => Instead::Try(Lesson::Zeroes(Zeroes::Kept)),
            (opcode::WRITE_SAME_16, _) if matches!(op, Op::WriteZeroes { fast: true, .. }) => {
                Instead::FailKnowing(Lesson::Zeroes(Zeroes::Written))
            }
            (opcode::WRITE_SAME_16, _) => Instead::Try(Lesson::Zeroes(Zeroes::Written)),
            (_, Refusal::Parameters) => Instead::Fail,
            (opcode::SYNCHRONIZE_CACHE_16, _) => {
                Instead::Try(Lesson::Flush(Flush::Ten { unknown: self == Refusal::Opcode }))
            }
            (opcode::SYNCHRONIZE_CACHE_10, Refusal::Opcode) => match habits.flush {
                Flush::Ten { unknown: true } | Flush::Nothing => Instead::Done(Lesson::Flush(Flush::Nothing)),
                Flush::Ten { unknown: false } | Flush::Sixteen => Instead::Fail,
            },
            (opcode::READ_16 | opcode::WRITE_16, Refusal::Opcode) => Instead::Try(Lesson::Ten),
            (opcode, Refusal::Field) if TRANSFER.contains(&opcode) => match shorter {
                _ if has_bit => Instead::Try(Lesson::WithoutFua),
                Some(shorter) => Instead::Try(shorter),
                None if habits.commands == Commands::Sixteen => Instead::Try(Lesson::Ten),
                None => Instead::Fail,
            },
            _ => Instead::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use iscsi_proto::scsi::cdb;

    use super::*;

    #[test]
    fn a_transfer_that_is_always_refused_is_tried_in_every_way_and_then_fails() {
        let mut habits = Habits::default();
        let mut blocks = 1000;
        let mut tried = Vec::new();
        let failed = loop {
            let fua = !habits.refuses_fua;
            let cdb = match habits.commands {
                Commands::Sixteen => cdb::write_16(0, blocks, fua),
                Commands::Ten => cdb::write_10(0, blocks, fua).expect("it fits"),
            };
            match Refusal::Field.instead(Op::Write { fua: true }, &cdb.padded(), blocks, &habits) {
                Instead::Try(lesson) => {
                    tried.push(lesson);
                    habits = habits.with(lesson);
                    blocks = blocks.min(habits.longest);
                }
                other => break other,
            }
        };
        let shorter = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1].map(Lesson::Shorter);
        assert_eq!(tried, [&[Lesson::WithoutFua], &shorter[..], &[Lesson::Ten]].concat());
        assert_eq!(failed, Instead::Fail);
    }

    #[test]
    fn a_flush_is_done_only_where_neither_command_is_known() {
        let ten = cdb::synchronize_cache_10(0, 0).expect("it fits").padded();
        let of = |refusal: Refusal, flush| refusal.instead(Op::Flush, &ten, 0, &Habits { flush, ..Habits::default() });
        let nothing = Instead::Done(Lesson::Flush(Flush::Nothing));
        assert_eq!(of(Refusal::Opcode, Flush::Ten { unknown: true }), nothing);
        assert_eq!(of(Refusal::Opcode, Flush::Nothing), nothing);
        assert_eq!(of(Refusal::Opcode, Flush::Ten { unknown: false }), Instead::Fail);
        for flush in [Flush::Ten { unknown: true }, Flush::Ten { unknown: false }, Flush::Nothing] {
            assert_eq!(of(Refusal::Field, flush), Instead::Fail);
        }
    }
}
