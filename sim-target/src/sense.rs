//! Sense data as they are sent (SPC-5 §4.4).

use iscsi_proto::scsi::Sense;

/// Sense data in fixed format.
pub(crate) fn fixed_sense(sense: &Sense) -> Vec<u8> {
    let mut data = vec![0; 18];
    data[0] = if sense.deferred { 0x71 } else { 0x70 };
    data[2] = sense.key as u8;
    data[7] = 10;
    data[12] = sense.asc;
    data[13] = sense.ascq;
    if let Some(information) = sense.information.and_then(|information| u32::try_from(information).ok()) {
        data[0] |= 0x80;
        data[3..7].copy_from_slice(&information.to_be_bytes());
    }
    if let Some(specific) = sense.key_specific {
        data[15..18].copy_from_slice(&specific);
    }
    data
}

/// Sense data in descriptor format.
pub(crate) fn descriptor_sense(sense: &Sense) -> Vec<u8> {
    let code = if sense.deferred { 0x73 } else { 0x72 };
    let mut data = vec![code, sense.key as u8, sense.asc, sense.ascq, 0, 0, 0, 0];
    if let Some(information) = sense.information {
        data.extend([0, 10, 0x80, 0]);
        data.extend(information.to_be_bytes());
    }
    if let Some([a, b, c]) = sense.key_specific {
        data.extend([2, 6, 0, 0, a, b, c, 0]);
    }
    data[7] = (data.len() - 8) as u8;
    data
}
