//! Units as NBD clients see them that nobody here wrote.

use std::process::Command;

use crate::common::daemon::uri;
use crate::common::{Daemon, RandomFile, need, process, run, scratch_dir};
use crate::targets::{Spec, Tgt};

#[test]
fn nbdinfo_lists_all_units_and_describes_one() {
    if !need(Tgt::TOOLS) || !need(&["nbdinfo"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(2).block_size(4096)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let socket = daemon.home().runtime_dir().join("nbd.sock");
    let listed = run("nbdinfo", ["--list", "--json", &format!("nbd+unix:///?socket={}", socket.display())]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let mut names: Vec<_> =
        listed["exports"].as_array().expect("exports").iter().map(|export| &export["export-name"]).collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, [&format!("{}/1", tgt.iqn), &format!("{}/2", tgt.iqn)]);

    let info: serde_json::Value = serde_json::from_str(&run("nbdinfo", ["--json", uri(&disks[0])])).expect("JSON");
    assert_eq!(info["protocol"], "newstyle-fixed");
    assert_eq!(info["structured"], true);
    let export = &info["exports"][0];
    assert_eq!(export["export-size"], disks[0].bytes);
    for (field, value) in [("can_flush", true), ("can_fua", true), ("is_read_only", false)] {
        assert_eq!(export[field], value, "{field} in {export}");
    }
    assert_eq!(export["block_size_preferred"], 4096, "{export}");
}

#[test]
fn qemu_img_reads_and_writes_a_unit() {
    if !need(Tgt::TOOLS) || !need(&["qemu-img"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let (random, dir) = (RandomFile::of_bytes(disks[0].bytes), scratch_dir());
    run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", random.name(), uri(&disks[0])]);
    random.assert_same_as(&tgt.disks[0].file, "what the target has");
    let copy = dir.path().join("copy");
    run("qemu-img", ["convert", "-f", "raw", "-O", "raw", uri(&disks[0]), copy.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&copy, "what was read back");
}

#[test]
fn a_read_only_unit_is_exported_as_such() {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy", "nbdinfo"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    tgt.set_read_only(1);
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    assert!(disks[0].read_only);
    run("nbdinfo", ["--is", "readonly", uri(&disks[0])]);
    run("nbdcopy", [uri(&disks[0]), "null:"]);
    let random = RandomFile::of_bytes(disks[0].bytes);
    let refused = process::output(Command::new("nbdcopy").args([random.name(), uri(&disks[0])]));
    assert_ne!(refused.code, 0);
    assert!(std::fs::read(&tgt.disks[0].file).expect("the backing file").iter().all(|byte| *byte == 0));
}

#[test]
fn an_export_is_gone_after_logout() {
    if !need(Tgt::TOOLS) || !need(&["nbdinfo"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    run("nbdinfo", ["--size", uri(&disks[0])]);
    daemon.ctl_ok(["logout", &tgt.iqn]);
    let gone = process::output(Command::new("nbdinfo").args(["--size", uri(&disks[0])]));
    assert_ne!(gone.code, 0, "{}", gone.stdout);
}
