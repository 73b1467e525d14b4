//! What the negotiation of a login led to.

/// What both sides agreed on. Lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// CRC32C over headers.
    pub header_digest: bool,
    /// CRC32C over data.
    pub data_digest: bool,
    /// InitialR2T.
    pub initial_r2t: bool,
    /// ImmediateData.
    pub immediate_data: bool,
    /// FirstBurstLength.
    pub first_burst_length: u32,
    /// MaxBurstLength.
    pub max_burst_length: u32,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u32,
    /// MaxRecvDataSegmentLength of the initiator.
    pub initiator_segment: u32,
    /// MaxRecvDataSegmentLength of the target.
    pub target_segment: u32,
}

impl Default for Agreed {
    /// What holds without a word (§13).
    fn default() -> Self {
        Agreed {
            header_digest: false,
            data_digest: false,
            initial_r2t: true,
            immediate_data: true,
            first_burst_length: 65_536,
            max_burst_length: 262_144,
            max_outstanding_r2t: 1,
            initiator_segment: 8192,
            target_segment: 8192,
        }
    }
}
