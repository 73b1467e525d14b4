//! Sequence numbers: serial arithmetic modulo 2^32 (RFC 7143 §4.2.2.1, RFC 1982).
//!
//! None of them implements `Ord`: an order that is not transitive across the wrap must not be
//! sorted by. Compare with [`is_before`](CmdSn::is_before).

macro_rules! serial {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.wrapping_add(1))
            }

            /// The number `n` after this one.
            #[must_use]
            pub const fn plus(self, n: u32) -> Self {
                Self(self.0.wrapping_add(n))
            }

            /// Whether this number comes before `other`: RFC 1982's "less than". Numbers 2^31 apart
            /// are not comparable; neither comes before the other.
            pub const fn is_before(self, other: Self) -> bool {
                let ahead = other.0.wrapping_sub(self.0);
                ahead != 0 && ahead < 0x8000_0000
            }

            /// How many steps `other` is ahead of this number, modulo 2^32.
            pub const fn distance_to(self, other: Self) -> u32 {
                other.0.wrapping_sub(self.0)
            }
        }
    };
}

serial!(
    /// Command sequence number, session-wide: the order of commands to the target's SCSI layer
    /// (RFC 7143 §4.2.2.1). Also ExpCmdSN and MaxCmdSN.
    CmdSn
);
serial!(
    /// Status sequence number, per connection: the order of the target's responses
    /// (RFC 7143 §4.2.2.2). Also ExpStatSN.
    StatSn
);
serial!(
    /// Data sequence number within a task or an R2T's sequence (RFC 7143 §4.2.2.3). Also R2TSN.
    DataSn
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrap_keeps_the_order() {
        let last = CmdSn(u32::MAX);
        assert_eq!(last.next(), CmdSn(0));
        assert!(last.is_before(CmdSn(0)));
        assert!(!CmdSn(0).is_before(last));
        assert_eq!(last.distance_to(CmdSn(4)), 5);
    }

    #[test]
    fn numbers_half_the_circle_apart_have_no_order() {
        let a = StatSn(7);
        let b = a.plus(0x8000_0000);
        assert!(!a.is_before(b) && !b.is_before(a));
        assert!(!a.is_before(a));
    }
}
