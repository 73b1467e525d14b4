//! The harness itself, seen by initiators nobody here wrote.

use crate::common::{need, run};
use crate::targets::{Istgt, Spec, Tgt};

#[test]
fn tgt_is_found_on_both_addresses() {
    if !need(Tgt::TOOLS) || !need(&["iscsi-ls"]) {
        return;
    }
    let tgt = Tgt::start(&Spec::new().disks(2));
    for portal in [tgt.ipv4(), tgt.ipv6()] {
        let listed = run("iscsi-ls", ["-s", &format!("iscsi://{portal}")]);
        assert!(listed.contains(&tgt.iqn), "{listed}");
        assert_eq!(listed.matches("DIRECT_ACCESS").count(), 2, "{listed}");
    }
    assert_eq!(tgt.sessions(), 0);
}

/// iscsi-ls never ends on istgt, iscsi-inq does.
#[test]
fn istgt_is_found_on_both_addresses() {
    if !need(Istgt::TOOLS) || !need(&["iscsi-inq"]) {
        return;
    }
    let istgt = Istgt::start(&Spec::new().disks(2));
    for portal in [istgt.ipv4(), istgt.ipv6()] {
        let inquiry = run("iscsi-inq", [&format!("iscsi://{portal}/{}/1", istgt.iqn)]);
        assert!(inquiry.contains("DIRECT_ACCESS"), "{inquiry}");
    }
}
