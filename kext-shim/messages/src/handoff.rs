//! The message of a connection, and the core's value of it: field by field, both ways.

use core::mem::offset_of;

use iscsi_proto::handoff::{HANDOFF_VERSION, Handoff};

use crate::{ISCSI_HANDOFF_VERSION, IscsiHandoff};

impl From<&Handoff> for IscsiHandoff {
    fn from(handoff: &Handoff) -> IscsiHandoff {
        IscsiHandoff {
            version: handoff.version,
            cmd_sn: handoff.cmd_sn,
            exp_stat_sn: handoff.exp_stat_sn,
            max_cmd_sn: handoff.max_cmd_sn,
            first_burst_length: handoff.first_burst_length,
            max_burst_length: handoff.max_burst_length,
            max_recv_data_segment_length: handoff.max_recv_data_segment_length,
            max_send_data_segment_length: handoff.max_send_data_segment_length,
            tsih: handoff.tsih,
            cid: handoff.cid,
            max_outstanding_r2t: handoff.max_outstanding_r2t,
            default_time2wait: handoff.default_time2wait,
            default_time2retain: handoff.default_time2retain,
            target_portal_group_tag: handoff.target_portal_group_tag,
            isid: handoff.isid,
            header_digest: handoff.header_digest,
            data_digest: handoff.data_digest,
            initial_r2t: handoff.initial_r2t,
            immediate_data: handoff.immediate_data,
            error_recovery_level: handoff.error_recovery_level,
            reserved: [0; 5],
        }
    }
}

/// As it came: [`Handoff::params`] checks it.
impl From<&IscsiHandoff> for Handoff {
    fn from(message: &IscsiHandoff) -> Handoff {
        Handoff {
            version: message.version,
            cmd_sn: message.cmd_sn,
            exp_stat_sn: message.exp_stat_sn,
            max_cmd_sn: message.max_cmd_sn,
            first_burst_length: message.first_burst_length,
            max_burst_length: message.max_burst_length,
            max_recv_data_segment_length: message.max_recv_data_segment_length,
            max_send_data_segment_length: message.max_send_data_segment_length,
            tsih: message.tsih,
            cid: message.cid,
            max_outstanding_r2t: message.max_outstanding_r2t,
            default_time2wait: message.default_time2wait,
            default_time2retain: message.default_time2retain,
            target_portal_group_tag: message.target_portal_group_tag,
            isid: message.isid,
            header_digest: message.header_digest,
            data_digest: message.data_digest,
            initial_r2t: message.initial_r2t,
            immediate_data: message.immediate_data,
            error_recovery_level: message.error_recovery_level,
            reserved: [0; 3],
        }
    }
}

const _: () = {
    assert!(size_of::<IscsiHandoff>() == size_of::<Handoff>());
    assert!(offset_of!(IscsiHandoff, tsih) == offset_of!(Handoff, tsih));
    assert!(offset_of!(IscsiHandoff, isid) == offset_of!(Handoff, isid));
    assert!(offset_of!(IscsiHandoff, error_recovery_level) == offset_of!(Handoff, error_recovery_level));
    assert!(ISCSI_HANDOFF_VERSION == HANDOFF_VERSION);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crosses_the_border_comes_back_as_it_was() {
        let handoff = Handoff {
            version: HANDOFF_VERSION,
            cmd_sn: 2,
            exp_stat_sn: 3,
            max_cmd_sn: 4,
            first_burst_length: 5,
            max_burst_length: 6,
            max_recv_data_segment_length: 7,
            max_send_data_segment_length: 8,
            tsih: 9,
            cid: 10,
            max_outstanding_r2t: 11,
            default_time2wait: 12,
            default_time2retain: 13,
            target_portal_group_tag: 14,
            isid: [15, 16, 17, 18, 19, 20],
            header_digest: 21,
            data_digest: 22,
            initial_r2t: 23,
            immediate_data: 24,
            error_recovery_level: 25,
            reserved: [0; 3],
        };
        assert_eq!(Handoff::from(&IscsiHandoff::from(&handoff)), handoff);
    }
}
