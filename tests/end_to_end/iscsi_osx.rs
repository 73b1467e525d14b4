//! What the users of iscsi-osx type, and what their scripts parse.

use iscsid::ipc;

use crate::common::{Daemon, need, process, program};
use crate::targets::{Istgt, Spec, Tgt};

/// The five lines, to the letter.
#[test]
fn the_five_lines_of_2015_work_to_the_letter() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let (iqn, portal) = (tgt.iqn.as_str(), tgt.ipv4());
    daemon.ctl_ok(["-add", "-target", iqn, "-portal", &portal, "-interface", program::loopback()]);
    daemon.ctl_ok(["-login", "-target", iqn, "-portal", &portal]);
    assert_eq!(tgt.sessions(), 1);
    assert!(daemon.ctl_ok(["-targets"]).starts_with(&format!("{iqn} <active, static, sid 0, tpgt 1, tsid 0x")));
    assert!(daemon.ctl_ok(["-luns"]).contains("\tlun 1: type 0x00 (Block device)\n"));
    daemon.ctl_ok(["-logout", "-target", iqn]);
    assert_eq!(tgt.sessions(), 0);
}

#[test]
fn the_grammar_of_2016_works() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let (iqn, both) = (tgt.iqn.as_str(), format!("{},{}", tgt.iqn, tgt.ipv4()));
    daemon.ctl_ok(["add", "target", &both, "-interface", program::loopback()]);
    daemon.ctl_ok(["modify", "target-config", iqn, "-HeaderDigest", "CRC32C", "-DataDigest", "CRC32C"]);
    daemon.ctl_ok(["modify", "target-config", iqn, "-auto-login", "enable", "-persistent", "enable"]);
    daemon.ctl_ok(["login", &both]);
    assert_eq!(process_key(&daemon, iqn, "HeaderDigest"), "CRC32C");
    assert!(daemon.ctl_ok(["list", "target-config", iqn]).contains("CRC32C"));
    daemon.ctl_ok(["logout", &both]);
    daemon.ctl_ok(["remove", "target", &both]);
    assert_eq!(daemon.ctl_ok(["list", "targets"]).trim_end(), "No persistent targets are defined");
}

fn process_key(daemon: &Daemon, iqn: &str, name: &str) -> String {
    crate::common::daemon::key(&daemon.negotiated(iqn), name).to_owned()
}

#[test]
fn iscsid_ctl_is_the_same_command_line() {
    let daemon = Daemon::start();
    let mut command = daemon.home().command(crate::common::program::under_test());
    let output = process::output(command.args(["ctl", "-targets"]));
    assert_eq!((output.code, output.stdout.trim_end()), (0, "No persistent targets are defined"));
}

#[test]
fn lists_of_nothing_say_so() {
    let daemon = Daemon::start();
    assert_eq!(daemon.ctl_ok(["list", "targets"]), "No persistent targets are defined\n");
    assert_eq!(daemon.ctl_ok(["list", "luns"]), "No active targets with LUNs exist\n");
}

#[test]
fn targets_are_listed_as_scripts_expect_them() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let (iqn, port) = (tgt.iqn.as_str(), tgt.port());
    daemon.add(iqn, &tgt.ipv4());
    let inactive = format!("{iqn} <inactive, static>\n\t127.0.0.1 <inactive, port {port}, interface default>\n");
    assert_eq!(daemon.ctl_ok(["list", "targets"]), inactive);
    daemon.ctl_ok(["login", iqn]);
    let session = daemon.session(iqn).expect("a session");
    let (cid, tsih) = (session.cid, session.tsih);
    assert_ne!(tsih, 0);
    let active = format!(
        "{iqn} <active, static, sid 0, tpgt 1, tsid {tsih:#x}>\n\t127.0.0.1 <active, cid {cid}, port {port}, interface default>\n"
    );
    assert_eq!(daemon.ctl_ok(["list", "targets"]), active);
    daemon.ctl_ok(["logout", iqn]);
    assert_eq!(daemon.ctl_ok(["list", "targets"]), inactive);
}

#[test]
fn units_are_listed_as_scripts_expect_them() {
    if !need(Istgt::TOOLS) {
        return;
    }
    let (istgt, daemon) = (Istgt::start(&Spec::new().disks(2)), Daemon::start());
    daemon.log_in(&istgt.iqn, &istgt.ipv4());
    let text = daemon.ctl_ok(["list", "luns"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("{} <scsi domain 1, target 0>", istgt.iqn), "{text}");
    assert!(lines[1].starts_with("\tFreeBSD iSCSI DISK"), "vendor, product and revision: {text}");
    assert_eq!(lines[2], "\tSerial Number 10000001", "{text}");
    for lun in [0, 1] {
        let at = lines.iter().position(|line| *line == format!("\tlun {lun}: type 0x00 (Block device)"));
        let at = at.unwrap_or_else(|| panic!("no lun {lun}: {text}"));
        let disk = lines[at + 1];
        assert!(disk.starts_with("\t\t") && disk.ends_with(": 4.2 MB (8192 512 byte blocks)"), "{text}");
    }
}

#[test]
fn units_in_json_and_plist_have_the_promised_fields() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let units: Vec<serde_json::Map<String, serde_json::Value>> = daemon.ctl_json(&["list", "luns"]);
    let text = daemon.ctl_ok(["list", "luns", "--format", "plist"]);
    let plist = plist::Value::from_reader_xml(text.as_bytes()).expect("a property list");
    let plist = plist.into_array().expect("an array");
    assert_eq!((units.len(), plist.len()), (2, 2), "the controller and the disk");
    let disk = units.iter().find(|unit| unit["lun"] == 1).expect("unit 1");
    let socket = daemon.home().runtime_dir().join("nbd.sock");
    let expected = serde_json::json!({
        "target": tgt.iqn, "lun": 1, "type": 0, "vendor": "IET", "product": "VIRTUAL-DISK", "block_size": 512,
        "blocks": 8192, "bytes": 4 << 20, "read_only": false, "device": null,
        "nbd": format!("nbd+unix:///{}/1?socket={}", tgt.iqn, socket.display()),
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&disk[field], value, "{field}");
    }
    for field in ["revision", "serial"] {
        assert!(disk[field].is_string(), "{field}: {}", disk[field]);
    }
    let disk = plist
        .iter()
        .filter_map(|unit| unit.as_dictionary())
        .find(|unit| unit.get("lun").and_then(plist::Value::as_unsigned_integer) == Some(1));
    let disk = disk.expect("unit 1 in the property list");
    assert_eq!(disk.get("bytes").and_then(plist::Value::as_unsigned_integer), Some(4 << 20));
    assert_eq!(disk.get("read_only").and_then(plist::Value::as_boolean), Some(false));
}

#[test]
fn a_login_through_an_interface_is_bound_to_it() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.ctl_ok(["add", "target", &tgt.iqn, "--portal", &tgt.ipv6(), "--interface", program::loopback()]);
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--attach", "no"]);
    daemon.ctl_ok(["login", &tgt.iqn]);
    let targets: Vec<ipc::Target> = daemon.ctl_json(&["list", "targets"]);
    assert_eq!(targets[0].portals[0].interface, program::loopback());
    assert!(targets[0].portals[0].cid.is_some());
}

#[test]
fn its_settings_are_imported_and_its_targets_logged_in_to() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let (iqn, portal) = (tgt.iqn.as_str(), tgt.ipv4());
    let (host, port) = portal.rsplit_once(':').expect("a port");
    let file = daemon.home().dir().join("iscsi-osx.plist");
    let written = format!(
        "<plist version=\"1.0\"><dict><key>Initiator Node</key><dict><key>Name</key>\
         <string>iqn.2015-01.com.example:mac</string></dict><key>Target Nodes</key><dict><key>{iqn}</key><dict>\
         <key>Data Digest</key><string>CRC32C</string><key>Colour</key><true/>\
         <key>Portals</key><dict><key>{host}</key><dict><key>Port</key><string>{port}</string>\
         <key>Host Interface</key><string>default</string></dict></dict></dict></dict></dict></plist>"
    );
    std::fs::write(&file, written).expect("written");
    let output = daemon.home().ctl(["import".as_ref(), file.as_os_str()]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains(&format!("target {iqn} at {portal}, DataDigest CRC32C\n")), "{}", output.stdout);
    assert!(output.stderr.contains("Colour: nothing here corresponds to it"), "{}", output.stderr);
    daemon.ctl_ok(["login", iqn]);
    assert_eq!(process_key(&daemon, iqn, "DataDigest"), "CRC32C");
    assert!(daemon.ctl_ok(["show", "initiator"]).contains("iqn.2015-01.com.example:mac"));

    let again = daemon.home().ctl(["import".as_ref(), file.as_os_str()]);
    assert_eq!(again.code, 65, "nothing is taken twice: {}", again.stdout);
    assert!(again.stderr.contains("stays as it is; --replace"), "{}", again.stderr);
}
