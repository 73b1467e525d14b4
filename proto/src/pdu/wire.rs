//! The 48 bytes of a Basic Header Segment and how a wire struct names its fields.
//!
//! ```text
//! Byte/     0       |       1       |       2       |       3       |
//!     +---------------+---------------+---------------+---------------+
//!    0|.|I| Opcode    |F|  Opcode-specific fields                     |
//!     +---------------+---------------+---------------+---------------+
//!    4|TotalAHSLength | DataSegmentLength                             |
//!     +---------------+---------------+---------------+---------------+
//!    8| LUN or Opcode-specific fields                                 |
//!     +                                                               +
//!   12|                                                               |
//!     +---------------+---------------+---------------+---------------+
//!   16| Initiator Task Tag                                            |
//!     +---------------+---------------+---------------+---------------+
//!   20/ Opcode-specific fields                                        /
//!     +---------------+---------------+---------------+---------------+
//!   48
//! ```
//! (RFC 7143 §11.2.1)

use crate::ids::{Cid, Isid, Itt, Lun, Tsih, Ttt};
use crate::sn::{CmdSn, DataSn, StatSn};

/// Length of a Basic Header Segment, in bytes.
pub const BHS_LEN: usize = 48;

/// A Basic Header Segment as it stands on the wire.
pub type Bhs = [u8; BHS_LEN];

/// Something that stands at a fixed offset of a header, big-endian.
pub trait Field: Copy {
    /// How many bytes it takes.
    const LEN: usize;
    /// Reads it at `at`; the macro below has checked at compile time that it lies within the header.
    fn get(bhs: &Bhs, at: usize) -> Self;
    /// Writes it at `at`.
    fn put(self, bhs: &mut Bhs, at: usize);
}

impl<const N: usize> Field for [u8; N] {
    const LEN: usize = N;

    #[inline(always)]
    fn get(bhs: &Bhs, at: usize) -> Self {
        match bhs.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(field) => *field,
            None => [0; N],
        }
    }

    #[inline(always)]
    fn put(self, bhs: &mut Bhs, at: usize) {
        if let Some(field) = bhs.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *field = self;
        }
    }
}

macro_rules! integer_field {
    ($($int:ty),*) => {$(
        impl Field for $int {
            const LEN: usize = size_of::<$int>();

            #[inline(always)]
            fn get(bhs: &Bhs, at: usize) -> Self {
                <$int>::from_be_bytes(<[u8; size_of::<$int>()]>::get(bhs, at))
            }

            #[inline(always)]
            fn put(self, bhs: &mut Bhs, at: usize) {
                self.to_be_bytes().put(bhs, at);
            }
        }
    )*};
}

macro_rules! newtype_field {
    ($($name:ident($inner:ty)),*) => {$(
        impl Field for $name {
            const LEN: usize = <$inner as Field>::LEN;

            #[inline(always)]
            fn get(bhs: &Bhs, at: usize) -> Self {
                $name(<$inner>::get(bhs, at))
            }

            #[inline(always)]
            fn put(self, bhs: &mut Bhs, at: usize) {
                self.0.put(bhs, at);
            }
        }
    )*};
}

integer_field!(u8, u16, u32, u64);
newtype_field!(CmdSn(u32), StatSn(u32), DataSn(u32), Itt(u32), Ttt(u32), Lun(u64), Isid([u8; 6]), Tsih(u16), Cid(u16));

/// A PDU's header: what byte 0 says it is, and the fields it has.
pub trait Wire: Sized {
    /// The opcode, without the immediate bit.
    const OPCODE: u8;
    /// Takes the fields from a header whose opcode has been looked at already.
    fn decode(bhs: &Bhs) -> Self;
    /// Writes the header: TotalAHSLength and DataSegmentLength stay 0, see [`set_lengths`].
    fn encode(&self) -> Bhs;
}

/// Declares wire structs: `byte offset => field: type`, as the figure in the RFC has them.
/// The struct gets [`Wire`]; bytes that no field names are reserved, sent as zero, ignored when
/// received (RFC 7143 §11.1).
macro_rules! wire {
    ($(
        $(#[$doc:meta])*
        $opcode:literal $name:ident { $( $(#[$field_doc:meta])* $at:literal => $field:ident: $type:ty ),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_doc])* pub $field: $type ),* }

        impl Wire for $name {
            const OPCODE: u8 = $opcode & 0x3f;

            #[inline(always)]
            fn decode(bhs: &Bhs) -> Self {
                $( const { assert!($at <= BHS_LEN - <$type as Field>::LEN) } )*
                $name { $( $field: <$type as Field>::get(bhs, $at) ),* }
            }

            #[inline(always)]
            fn encode(&self) -> Bhs {
                let mut bhs = [0; BHS_LEN];
                bhs[0] = $opcode;
                $( Field::put(self.$field, &mut bhs, $at); )*
                bhs
            }
        }
    )*};
}
pub(crate) use wire;

/// The immediate-delivery bit of byte 0 (RFC 7143 §11.2.1.1).
pub const IMMEDIATE: u8 = 0x40;

/// The final bit of byte 1, where the opcode has one (RFC 7143 §11.2.1.3).
pub const FINAL: u8 = 0x80;

/// Opcode of a header, without the immediate bit and the reserved bit 7.
pub const fn opcode(bhs: &Bhs) -> u8 {
    bhs[0] & 0x3f
}

/// Whether a header asks for immediate delivery.
pub const fn is_immediate(bhs: &Bhs) -> bool {
    bhs[0] & IMMEDIATE != 0
}

/// TotalAHSLength in bytes: 0 to 1020, a multiple of 4 (RFC 7143 §11.2.1.5 counts words).
pub const fn ahs_len(bhs: &Bhs) -> usize {
    bhs[4] as usize * 4
}

/// DataSegmentLength in bytes without padding: 0 to 2^24 - 1 (RFC 7143 §11.2.1.6).
pub const fn data_segment_len(bhs: &Bhs) -> u32 {
    u32::from_be_bytes([0, bhs[5], bhs[6], bhs[7]])
}

/// Sets TotalAHSLength (bytes, a multiple of 4 up to 1020) and DataSegmentLength (below 2^24).
pub const fn set_lengths(bhs: &mut Bhs, ahs: usize, data: u32) {
    bhs[4] = (ahs / 4) as u8;
    let [_, high, middle, low] = data.to_be_bytes();
    bhs[5] = high;
    bhs[6] = middle;
    bhs[7] = low;
}

/// How many zero bytes fill a segment up to a multiple of four (RFC 7143 §11.1).
pub const fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}
