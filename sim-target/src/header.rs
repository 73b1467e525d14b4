//! What RFC 7143 §11 demands of every header an initiator sends, beyond the fields' values: bits and
//! bytes that must be zero or one.

use iscsi_proto::pdu::{
    Bhs, DataOut, LoginRequest, LogoutRequest, NopOut, Opcode, ScsiCommand, TaskManagementRequest, TextRequest, Wire,
    opcode,
};

/// Of one opcode: bits of byte 1 that must be one and zero, and bytes (from, to) that must be zero.
struct Reserved {
    ones: u8,
    zeroes: u8,
    bytes: &'static [(usize, usize)],
}

fn reserved(opcode: u8) -> Option<Reserved> {
    Some(match opcode {
        NopOut::OPCODE => Reserved { ones: 0x80, zeroes: 0x7f, bytes: &[(2, 4), (32, 48)] },
        ScsiCommand::OPCODE => Reserved { ones: 0, zeroes: 0x18, bytes: &[(2, 4)] },
        TaskManagementRequest::OPCODE => Reserved { ones: 0x80, zeroes: 0, bytes: &[(2, 4), (40, 48)] },
        LoginRequest::OPCODE => Reserved { ones: 0, zeroes: 0x30, bytes: &[(22, 24), (32, 48)] },
        TextRequest::OPCODE => Reserved { ones: 0, zeroes: 0x3f, bytes: &[(2, 4), (32, 48)] },
        DataOut::OPCODE => Reserved { ones: 0, zeroes: 0x7f, bytes: &[(2, 4), (24, 28), (32, 36), (44, 48)] },
        LogoutRequest::OPCODE => Reserved { ones: 0x80, zeroes: 0, bytes: &[(2, 4), (8, 16), (22, 24), (32, 48)] },
        _ => return None,
    })
}

/// A sentence for each rule that the header breaks.
pub(crate) fn broken_rules(bhs: &Bhs) -> Vec<String> {
    // Without a broken rule nothing is allocated.
    let mut broken = Vec::new();
    let kind = Opcode::from(opcode(bhs));
    if bhs[0] & 0x80 != 0 {
        broken.push(format!("{kind:?} with the reserved bit of byte 0"));
    }
    if opcode(bhs) == LoginRequest::OPCODE && bhs[0] & 0x40 == 0 {
        broken.push("a login request that is not immediate (RFC 7143 §11.12)".into());
    }
    if opcode(bhs) == DataOut::OPCODE && bhs[0] & 0x40 != 0 {
        broken.push("an immediate Data-Out (RFC 7143 §11.7)".into());
    }
    if opcode(bhs) != ScsiCommand::OPCODE && bhs[4] != 0 {
        broken.push(format!("{kind:?} with an AHS"));
    }
    let Some(reserved) = reserved(opcode(bhs)) else { return broken };
    if bhs[1] & reserved.ones != reserved.ones || bhs[1] & reserved.zeroes != 0 {
        broken.push(format!("{kind:?} with {:#04x} in byte 1", bhs[1]));
    }
    for &(from, to) in reserved.bytes {
        if bhs[from..to].iter().any(|&byte| byte != 0) {
            broken.push(format!("{kind:?} with reserved bytes {from}..{to} that are not zero"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_header_breaks_no_rule_and_a_dirty_one_each_of_its_own() {
        let mut bhs = [0; 48];
        bhs[0] = 0x05;
        assert_eq!(broken_rules(&bhs), Vec::<String>::new());
        bhs[0] = 0xc5;
        bhs[1] = 0x81;
        bhs[4] = 1;
        bhs[47] = 1;
        assert_eq!(broken_rules(&bhs).len(), 5);
    }
}
