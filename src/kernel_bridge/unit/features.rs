//! What a unit can do, as its scan found it and as its answers taught us.

/// How commands for a unit are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// It has FUA (DPOFUA of its mode parameters).
    pub(crate) fua: bool,
    /// Freed blocks read as zero (LBPRZ).
    pub(crate) unmapped_reads_zero: bool,
    /// WRITE SAME may free blocks (LBPWS).
    pub(crate) write_same_frees: bool,
    /// How to free blocks.
    pub(crate) unmap: Unmap,
    /// Which reads and writes it takes.
    pub(crate) commands: Commands,
}

/// How a unit frees blocks (SBC-4 §4.7.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmap {
    /// It does not.
    None,
    /// UNMAP (LBPU).
    Command,
    /// WRITE SAME (16) with the UNMAP bit (LBPWS).
    WriteSame,
}

/// Which form of READ and WRITE a unit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commands {
    /// READ (16), WRITE (16).
    Sixteen,
    /// READ (10), WRITE (10): it refused the longer ones.
    Ten,
}
