//! What a login leaves, made up: where the session, the PDUs and the texts begin.

use arbitrary::Unstructured;
use iscsi_proto::handoff::{HANDOFF_VERSION, Handoff};

/// A connection that has logged in.
pub fn handoff(u: &mut Unstructured<'_>) -> arbitrary::Result<Handoff> {
    let cmd_sn = *u.choose(&[1, 0, u32::MAX, u32::MAX - 2, 0x7fff_ffff])?;
    let [first_burst_length, max_burst_length, max_recv_data_segment_length, max_send_data_segment_length] = {
        let mut lengths = [0; 4];
        for length in &mut lengths {
            *length = *u.choose(&[512, 513, 1024, 2048, 4096, 8192])?;
        }
        lengths
    };
    let flags: u8 = u.arbitrary()?;
    let flag = |bit: u8| flags >> bit & 1;
    Ok(Handoff {
        version: HANDOFF_VERSION,
        cmd_sn,
        exp_stat_sn: *u.choose(&[1, 0, u32::MAX, 0x7fff_ffff])?,
        // From a closed window to one of 15.
        max_cmd_sn: cmd_sn.wrapping_sub(1).wrapping_add(u.int_in_range(0..=15)?),
        first_burst_length,
        max_burst_length,
        max_recv_data_segment_length,
        max_send_data_segment_length,
        tsih: 1,
        cid: 0,
        max_outstanding_r2t: u.int_in_range(1..=3)?,
        default_time2wait: 0,
        default_time2retain: 0,
        target_portal_group_tag: 1,
        isid: [0x80, 0, 0, 0, 0, 1],
        header_digest: flag(0),
        data_digest: flag(1),
        initial_r2t: flag(2),
        immediate_data: flag(3),
        error_recovery_level: 0,
        reserved: [0; 3],
    })
}
