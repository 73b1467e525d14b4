//! Machines with something wrong, and what the doctor says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iscsi_proto::keys::Key;

use super::world::{Interface, Os, Reached, Stat, Unreached};
use super::*;
use crate::config::Secrets;
use crate::ipc::{
    self, ChapChanges, FailedIo, Failure, Initiator, LostDisk, Lun, LunState, Origin, Recovery, Session, SessionState,
    Target, TargetChanges,
};

const DISK: &str = "iqn.2026-11.org.example:disk";
const CONFIG: &str = "/etc/iscsid/iscsid.plist";
const RUN: &str = "/run/iscsid";
const PORT: u16 = 20_049;

/// One unit, as macOS has it mounted.
const MOUNTED: &str = "\
/run/iscsid/luns/a from 127.0.0.1:/x
  -- Current mount parameters:
     NFS parameters: vers=3,tcp,port=20049,hard,nointr,locallocks
     Status flags: 0x0
";

/// A machine on which all is well, to be spoilt.
struct Patient {
    os: Os,
    user: u32,
    files: BTreeMap<&'static str, Stat>,
    settings: Result<(Config, Secrets), Failure>,
    nobody_listens: bool,
    tools: BTreeSet<&'static str>,
    printed: BTreeMap<String, &'static str>,
    port: Option<u16>,
    nobody_serves: bool,
    way: Result<(), Failure>,
    interfaces: BTreeMap<&'static str, Interface>,
    portals: BTreeMap<String, Result<Reached, Unreached>>,
    now: SystemTime,
    room: BTreeMap<&'static str, u64>,
    lost: Vec<LostDisk>,
    asked: RefCell<Vec<String>>,
}

fn file(mode: u32) -> Stat {
    Stat { owner: 0, mode, is_socket: false }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Patient {
    fn healthy(os: Os) -> Patient {
        let mut config = Config::default();
        config.add_target(DISK, "192.0.2.1", Some("en0")).expect("added");
        let sockets = Stat { is_socket: true, ..file(0o600) };
        let en0 = Interface { running: true, addresses: vec![ip("192.0.2.100")], mtu: Some(1500) };
        let reached = Reached { local: ip("192.0.2.100"), segment: Some(1448) };
        Patient {
            os,
            user: 0,
            files: [
                (CONFIG, file(0o600)),
                (RUN, file(0o755)),
                ("/run/iscsid/nbd.sock", sockets),
                ("/dev/fuse", file(0o666)),
            ]
            .into(),
            settings: Ok((config, Secrets::default())),
            nobody_listens: false,
            tools: ["losetup", "fusermount3", "nbd-client", "mount_nfs", "diskutil", "hdiutil"].into(),
            printed: [
                ("/usr/sbin/sysctl -n kern.willshutdown".to_owned(), "0\n"),
                ("/usr/bin/nfsstat -m".to_owned(), MOUNTED),
            ]
            .into(),
            port: Some(PORT),
            nobody_serves: false,
            way: Ok(()),
            interfaces: [("en0", en0)].into(),
            portals: [("192.0.2.1:3260".to_owned(), Ok(reached))].into(),
            now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            room: [("/etc", 1 << 30), ("/run", 1 << 30)].into(),
            lost: Vec::new(),
            asked: RefCell::default(),
        }
    }

    fn config(&mut self) -> (&mut Config, &mut Secrets) {
        let (config, secrets) = self.settings.as_mut().expect("sound settings");
        (config, secrets)
    }

    fn examine(&self, daemon: Result<Answer, Failure>) -> Report {
        examine(&Subject { config: CONFIG.into(), runtime_dir: RUN.into(), daemon }, self)
    }
}

impl World for Patient {
    fn os(&self) -> Os {
        self.os
    }

    fn user(&self) -> u32 {
        self.user
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        path.to_str().and_then(|path| self.files.get(path)).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn room(&self, path: &Path) -> Option<u64> {
        path.to_str().and_then(|path| self.room.get(path)).copied()
    }

    fn settings(&self, _path: &Path) -> Result<Option<(Config, Secrets)>, Failure> {
        self.settings.clone().map(Some)
    }

    fn knock(&self, _socket: &Path) -> io::Result<()> {
        if self.nobody_listens { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
    }

    fn has_tool(&self, name: &str) -> bool {
        self.tools.contains(name)
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let line = format!("{program} {}", arguments.join(" "));
        let printed = self.printed.get(&line).map(|text| (*text).to_owned());
        self.asked.borrow_mut().push(line);
        printed
    }

    fn nfs_port(&self, settings: &Path) -> Option<u16> {
        assert_eq!(settings, Path::new(CONFIG));
        self.port
    }

    fn listens(&self, port: u16) -> bool {
        assert_eq!(port, PORT);
        !self.nobody_serves
    }

    fn way_to(&self, runtime_dir: &Path) -> Result<(), Failure> {
        assert_eq!(runtime_dir, Path::new(RUN));
        self.way.clone()
    }

    fn interface(&self, name: &str) -> Option<Interface> {
        self.interfaces.get(name).cloned()
    }

    fn interface_with(&self, address: IpAddr) -> Option<String> {
        let mut all = self.interfaces.iter();
        all.find(|(_, interface)| interface.addresses.contains(&address)).map(|(name, _)| (*name).to_owned())
    }

    fn reach(&self, portals: &[Portal]) -> Vec<Result<Reached, Unreached>> {
        let silent = || Err((ExitCode::NoHost, "no answer came within 3 seconds".to_owned()));
        portals.iter().map(|portal| self.portals.get(&portal.endpoint()).cloned().unwrap_or_else(silent)).collect()
    }

    fn now(&self) -> SystemTime {
        self.now
    }

    fn lost(&self, runtime_dir: &Path) -> io::Result<Vec<LostDisk>> {
        assert_eq!(runtime_dir, Path::new(RUN));
        Ok(self.lost.clone())
    }
}

fn answer() -> Answer {
    let portal = |address: &str, interface: &str| ipc::Portal {
        address: address.into(),
        port: 3260,
        interface: interface.into(),
        group_tag: None,
        cid: None,
    };
    Answer {
        initiator: Initiator {
            name: "iqn.2026-11.org.iscsid:mac".into(),
            alias: String::new(),
            chap: ipc::Chap::default(),
            version: env!("CARGO_PKG_VERSION").into(),
            config: CONFIG.into(),
            kernel: "user".into(),
            lost: Vec::new(),
        },
        targets: vec![Target {
            name: DISK.into(),
            alias: None,
            origin: Origin::Static,
            auto_login: false,
            portals: vec![portal("192.0.2.1", "en0")],
            session: None,
        }],
        luns: Vec::new(),
    }
}

fn not_running() -> Failure {
    Failure::new(ExitCode::Unavailable, "iscsid is not running (nobody listens)").advice("start it with `sudo iscsid`")
}

/// The findings of that verdict, as `check: found`.
fn those(report: &Report, verdict: Verdict) -> Vec<String> {
    let those = report.findings.iter().filter(|finding| finding.verdict == verdict);
    those.map(|finding| format!("{}: {}", finding.check, finding.found)).collect()
}

#[track_caller]
fn assert_problem(report: &Report, code: ExitCode, check: &str, found: &str) {
    assert!(!report.healthy);
    assert_eq!((report.code(), report.exit_code), (code, code as u8), "{report:?}");
    let problems = those(report, Verdict::Problem);
    assert!(problems.iter().any(|problem| problem.starts_with(check) && problem.contains(found)), "{problems:?}");
    let told = report.findings.iter().filter(|finding| finding.verdict == Verdict::Problem);
    assert!(told.into_iter().all(|finding| !finding.advice.is_empty()), "what to do is said: {report:?}");
}

#[test]
fn a_machine_on_which_all_is_well_has_nothing_wrong_on_either_system() {
    for os in [Os::Linux, Os::Mac] {
        let report = Patient::healthy(os).examine(Ok(answer()));
        assert!(report.healthy && report.exit_code == 0, "{report:?}");
        assert!(those(&report, Verdict::Warning).is_empty(), "{report:?}");
        let checks: BTreeSet<&str> = report.findings.iter().map(|finding| finding.check).collect();
        for check in ["configuration", "daemon", "sockets", "tools", "extension", "clock", "interface", "target", "mtu"]
        {
            assert!(checks.contains(check), "{check} is looked at: {checks:?}");
        }
    }
}

#[test]
fn without_a_daemon_the_targets_of_the_file_are_tried_and_the_exit_code_says_that_it_is_not_there() {
    let report = Patient::healthy(Os::Linux).examine(Err(not_running()));
    assert_problem(&report, ExitCode::Unavailable, "daemon", "iscsid is not running");
    assert!(
        those(&report, Verdict::Ok).contains(&format!("target: the portal 192.0.2.1:3260 of {DISK} takes connections"))
    );
}

fn session(recovery: Option<Recovery>) -> Session {
    Session {
        id: 0,
        target: DISK.into(),
        state: if recovery.is_some() { SessionState::Recovering } else { SessionState::Active },
        kernel: "user".into(),
        isid: "800000000001".into(),
        tsih: 1,
        group_tag: 1,
        cid: 0,
        portal: "192.0.2.1:3260".into(),
        age_seconds: 60,
        recovery,
    }
}

fn lun(state: LunState) -> Lun {
    let shown = serde_json::json!({
        "target": DISK, "lun": 0, "session": 0, "state": state, "type": 0, "vendor": "", "product": "", "revision": "",
        "serial": null, "block_size": 512, "blocks": 8, "bytes": 4096, "read_only": false, "device": "/dev/loop3",
        "nbd": null, "problem": null,
    });
    serde_json::from_value(shown).expect("a unit")
}

// check: doctor-names-what-fails-now
#[test]
fn a_session_without_a_connection_is_a_problem_and_what_to_do_is_said_once() {
    for (io_fails, code) in [(false, ExitCode::TryAgain), (true, ExitCode::Unavailable)] {
        let mut sick = answer();
        let recovery = Recovery { seconds: 12, why: "connection refused".into(), io_fails };
        sick.targets[0].session = Some(session(Some(recovery)));
        let state = if io_fails { LunState::Failing } else { LunState::Waiting };
        sick.luns = vec![Lun { advice: Some("look".into()), ..lun(state) }];
        let report = Patient::healthy(Os::Linux).examine(Ok(sick));
        assert_problem(&report, code, "session", "no connection for 12 s");
        assert_eq!(those(&report, Verdict::Problem).len(), 1, "{report:?}");
    }
}

// check: doctor-names-what-fails-now
#[test]
fn a_unit_whose_io_fails_is_a_problem_and_one_whose_io_has_failed_a_warning() {
    let mut sick = answer();
    sick.targets[0].session = Some(session(None));
    let failed = FailedIo { count: 3, last: "the unit did not answer in time".into(), seconds_ago: 7 };
    let unit = |state| Lun { failed: Some(failed.clone()), advice: Some("look".into()), ..lun(state) };
    sick.luns = vec![unit(LunState::Failing)];
    let report = Patient::healthy(Os::Linux).examine(Ok(sick.clone()));
    assert_problem(
        &report,
        ExitCode::Unavailable,
        "unit",
        "I/O has failed 3 times since the login, the last time 7 s ago",
    );
    sick.luns = vec![unit(LunState::Ok)];
    let report = Patient::healthy(Os::Linux).examine(Ok(sick.clone()));
    assert!(report.healthy && those(&report, Verdict::Warning)[0].contains("did not answer in time"), "{report:?}");
    sick.luns = vec![Lun {
        problem: Some("it is another disk now".into()),
        advice: Some("look".into()),
        ..lun(LunState::Offline)
    }];
    let report = Patient::healthy(Os::Linux).examine(Ok(sick.clone()));
    assert_problem(&report, ExitCode::Unavailable, "unit", "another disk now");
    sick.luns = vec![lun(LunState::Ok)];
    assert!(Patient::healthy(Os::Linux).examine(Ok(sick)).healthy);
}

#[test]
fn a_mac_needs_a_tool_that_makes_disks_of_files_and_either_of_two_will_do() {
    let mut patient = Patient::healthy(Os::Mac);
    patient.tools.remove("hdiutil");
    let version = "/usr/bin/sw_vers -productVersion".to_owned();
    for (found, sound) in [("13.0\n", true), ("27.1\n", true), ("12.7.6\n", false)] {
        patient.printed.insert(version.clone(), found);
        let report = patient.examine(Ok(answer()));
        assert_eq!(report.healthy, sound, "{found} {report:?}");
        if !sound {
            assert_problem(&report, ExitCode::Unavailable, "tools", "neither hdiutil nor `diskutil image`");
        }
    }
    patient.tools.remove("diskutil");
    patient.printed.insert(version, "26.0\n");
    let report = patient.examine(Ok(answer()));
    assert_problem(&report, ExitCode::Unavailable, "tools", "neither hdiutil nor `diskutil image`");
    assert_problem(&report, ExitCode::Unavailable, "tools", "there is no diskutil, by which disks are ejected");
}

#[test]
fn a_mac_that_does_not_tell_of_its_shutdown_is_warned_of() {
    let mut patient = Patient::healthy(Os::Mac);
    for (said, warned) in [(Some("0\n"), false), (Some("1\n"), true), (Some("?"), true), (None, true)] {
        patient.printed.remove("/usr/sbin/sysctl -n kern.willshutdown");
        if let Some(said) = said {
            patient.printed.insert("/usr/sbin/sysctl -n kern.willshutdown".to_owned(), said);
        }
        let report = patient.examine(Ok(answer()));
        assert!(report.healthy, "{report:?}");
        let warnings = those(&report, Verdict::Warning);
        assert_eq!(warnings.iter().any(|warning| warning.starts_with("shutdown")), warned, "{said:?} {warnings:?}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_problem_for_the_mounts_of_a_mac_and_of_no_matter_without_a_daemon() {
    let mut patient = Patient::healthy(Os::Mac);
    patient.nobody_serves = true;
    assert_problem(&patient.examine(Ok(answer())), ExitCode::Unavailable, "nfs", "nobody listens at port 20049");
    let report = patient.examine(Err(not_running()));
    assert!(those(&report, Verdict::Problem).iter().all(|problem| !problem.starts_with("nfs")), "{report:?}");
    patient.port = None;
    assert!(patient.examine(Ok(answer())).healthy, "a file that is not there yet, or only root's");
}

#[test]
fn a_mount_that_would_give_up_is_a_problem_and_one_that_waits_a_warning() {
    let mut patient = Patient::healthy(Os::Mac);
    let list = "/usr/bin/nfsstat -m".to_owned();
    for (options, status, found) in [
        ("vers=3,tcp,soft", "0x0", Some("not hard, soft")),
        ("vers=3,tcp,hard,deadtimeout=45", "0x0", Some("deadtimeout=45")),
        ("vers=3,tcp,hard", "0x2,not responding", None),
    ] {
        let text = format!(
            "/run/iscsid/luns/a from 127.0.0.1:/x\n  -- Current mount parameters:\n     NFS parameters: {options}\n     \
             Status flags: {status}\n"
        );
        patient.printed.insert(list.clone(), text.leak());
        let report = patient.examine(Ok(answer()));
        match found {
            Some(found) => assert_problem(&report, ExitCode::Configuration, "mounts", found),
            None => {
                assert!(report.healthy, "{report:?}");
                assert!(those(&report, Verdict::Warning)[0].contains("/luns/a waits for an answer"), "{report:?}");
            }
        }
    }
    patient.printed.remove(&list);
    assert!(patient.examine(Ok(answer())).healthy);
}

#[test]
fn a_property_list_in_a_directory_that_is_not_there_is_a_problem() {
    let mut patient = Patient::healthy(Os::Linux);
    let subject =
        || Subject { config: "/else/where.plist".into(), runtime_dir: RUN.into(), daemon: Err(not_running()) };
    assert_problem(&examine(&subject(), &patient), ExitCode::Configuration, "configuration", "no directory /else");
    patient.files.insert("/else", file(0o755));
    let report = examine(&subject(), &patient);
    assert!(those(&report, Verdict::Ok).iter().any(|found| found.contains("there is none yet")), "{report:?}");
}

#[test]
fn a_runtime_directory_that_a_daemon_would_not_take_is_a_problem() {
    let mut patient = Patient::healthy(Os::Linux);
    let why = "the runtime directory /run/iscsid is not used: /run belongs to user 501";
    patient.way = Err(Failure::new(ExitCode::NotPermitted, why).advice("give another one by --runtime-dir"));
    let problems = those(&patient.examine(Err(not_running())), Verdict::Problem);
    assert!(problems.contains(&format!("sockets: {why}")), "{problems:?}");
    assert!(patient.examine(Ok(answer())).healthy, "one that answers has found its way");
}

// check: attach-lost-mount
#[test]
fn a_lost_disk_is_named_also_without_a_daemon_but_not_while_one_may_serve_it() {
    let gone =
        LostDisk { unit: format!("{DISK}/0"), device: "/dev/loop2".into(), uses: vec!["mounted on /mnt".into()] };
    let mut patient = Patient::healthy(Os::Linux);
    patient.lost = vec![gone];
    let named = |report: &Report| those(report, Verdict::Problem).iter().any(|problem| problem.contains("/mnt"));
    assert!(!named(&patient.examine(Err(not_running()))), "somebody listens, and may only be slow");
    patient.nobody_listens = true;
    let report = patient.examine(Err(not_running()));
    assert!(named(&report), "{report:?}");
    assert_problem(&report, ExitCode::Unavailable, "disks", "/dev/loop2");
}

#[test]
fn a_file_that_is_wrong_is_the_cause_and_comes_before_the_daemon_that_did_not_start_for_it() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.settings =
        Err(Failure::new(ExitCode::Configuration, "iscsid.plist: Targets: unknown key").advice("correct it"));
    let report = patient.examine(Err(not_running()));
    assert_problem(&report, ExitCode::Configuration, "configuration", "unknown key");
    assert_eq!(those(&report, Verdict::Problem).len(), 2);
}

#[test]
fn a_file_that_others_may_write_is_a_problem_and_one_that_is_not_there_is_none() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.files.insert(CONFIG, file(0o666));
    assert_problem(&patient.examine(Ok(answer())), ExitCode::Configuration, "configuration", "others may write");
    patient.files.remove(CONFIG);
    assert!(patient.examine(Ok(answer())).healthy);
}

#[test]
fn what_this_user_may_not_read_is_skipped_and_said() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.user = 501;
    let report = patient.examine(Ok(answer()));
    assert!(report.healthy, "{report:?}");
    assert!(those(&report, Verdict::Skipped)[0].contains("may not read /etc/iscsid/iscsid.plist; sudo may"));
}

#[test]
fn chap_that_is_configured_by_halves_is_named_with_its_target() {
    let mut patient = Patient::healthy(Os::Linux);
    let chap = ChapChanges { name: Some("me".into()), ..ChapChanges::default() };
    let changes = TargetChanges { chap, ..TargetChanges::default() };
    let (config, secrets) = patient.config();
    config.modify_target(secrets, DISK, &changes).expect("changed");
    let report = patient.examine(Ok(answer()));
    assert_problem(&report, ExitCode::Configuration, "chap", &format!("for target {DISK}"));
}

#[test]
fn a_value_that_has_no_effect_is_a_warning_with_its_path() {
    let mut patient = Patient::healthy(Os::Linux);
    let (config, _) = patient.config();
    config.defaults.keys.set(Key::MaxConnections, "4").expect("a number");
    let report = patient.examine(Ok(answer()));
    assert!(report.healthy, "{report:?}");
    let warning = &those(&report, Verdict::Warning)[0];
    assert!(warning.contains("Defaults → Session → MaxConnections: 4 has no effect"), "{warning}");
    let advice = |report: &Report| {
        let warning = report.findings.iter().find(|finding| finding.verdict == Verdict::Warning);
        warning.expect("a warning").advice.clone()
    };
    assert!(advice(&report).contains("out of the file and restart iscsid"), "no command changes the defaults");
    let (config, _) = patient.config();
    config.defaults.keys.unset(Key::MaxConnections);
    config.targets.get_mut(DISK).expect("there").settings.keys.set(Key::MaxConnections, "4").expect("a number");
    let report = patient.examine(Ok(answer()));
    let command = format!("`iscsictl modify target {DISK} --max-connections ''`");
    assert!(advice(&report).contains(&command), "{report:?}");
}

#[test]
fn an_older_daemon_is_told_from_the_command_line_that_was_upgraded() {
    let mut older = answer();
    older.initiator.version = "0.0.9".into();
    let report = Patient::healthy(Os::Linux).examine(Ok(older));
    assert!(report.healthy);
    assert!(those(&report, Verdict::Warning)[0].contains("iscsid 0.0.9 runs"));
}

#[test]
fn sockets_that_others_may_use_or_replace_are_problems() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.files.insert("/run/iscsid/nbd.sock", Stat { is_socket: true, ..file(0o666) });
    assert_problem(&patient.examine(Ok(answer())), ExitCode::NotPermitted, "sockets", "others may connect");
    patient.files.insert(RUN, file(0o777));
    assert_problem(&patient.examine(Ok(answer())), ExitCode::NotPermitted, "sockets", "put their own sockets");
    patient.files.insert(RUN, Stat { owner: 666, ..file(0o755) });
    assert_problem(&patient.examine(Ok(answer())), ExitCode::NotPermitted, "sockets", "belongs to user 666");
}

#[test]
fn a_socket_that_nobody_listens_at_is_a_problem() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.nobody_listens = true;
    assert_problem(&patient.examine(Ok(answer())), ExitCode::Unavailable, "sockets", "nobody listens");
}

#[test]
fn a_missing_tool_is_a_problem_where_nothing_is_attached_without_it_and_else_a_warning() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.user = 1000;
    patient.tools.remove("nbd-client");
    let report = patient.examine(Ok(answer()));
    assert!(report.healthy && those(&report, Verdict::Warning)[0].contains("no nbd-client or nbdcopy or qemu-nbd"));
    patient.tools.remove("losetup");
    assert_problem(&patient.examine(Ok(answer())), ExitCode::Unavailable, "tools", "losetup");
    let mut mac = Patient::healthy(Os::Mac);
    mac.tools = ["mount_nfs"].into();
    assert_problem(&mac.examine(Ok(answer())), ExitCode::Unavailable, "tools", "there is no diskutil");
}

const SHOWLOADED: &str = "/usr/bin/kmutil showloaded --list-only --bundle-identifier org.iscsid.iscsi";
const LOADED: &str = "No variant specified, falling back to release\n  170    0 0xfffffe0008000000 0x8000 0x8000 \
                      org.iscsid.iscsi (0.0.9) 2B1C <9 8 7 1>\n";

#[test]
fn an_extension_of_another_version_is_a_warning_and_one_that_is_gone_under_the_daemon_a_problem() {
    let mut mac = Patient::healthy(Os::Mac);
    mac.printed.insert(SHOWLOADED.into(), LOADED);
    let mut kext = answer();
    kext.initiator.kernel = "kext".into();
    let report = mac.examine(Ok(kext.clone()));
    assert!(those(&report, Verdict::Warning)[0].contains("the kernel extension is version 0.0.9"), "{report:?}");
    mac.printed.clear();
    assert_problem(&mac.examine(Ok(kext)), ExitCode::Unavailable, "extension", "not loaded any more");
    assert!(Patient::healthy(Os::Linux).examine(Ok(answer())).healthy, "and on Linux nobody asks");
}

#[test]
fn the_extension_of_iscsi_osx_is_said_how_to_get_rid_of() {
    let mut mac = Patient::healthy(Os::Mac);
    let line = SHOWLOADED.replace("org.iscsid.iscsi", "com.github.iscsi-osx.iSCSIInitiator");
    mac.printed.insert(line, "  99 0 0x0 0x1 0x1 com.github.iscsi-osx.iSCSIInitiator (1.0.0) A <1>\n");
    let report = mac.examine(Ok(answer()));
    assert!(those(&report, Verdict::Warning)[0].contains("holds its own sessions"), "{report:?}");
}

#[test]
fn an_interface_that_is_gone_or_down_or_without_an_address_is_named() {
    let mut patient = Patient::healthy(Os::Linux);
    let en0 = |change: fn(&mut Interface)| {
        let mut en0 = Interface { running: true, addresses: vec![ip("192.0.2.100")], mtu: None };
        change(&mut en0);
        en0
    };
    patient.interfaces.insert("en0", en0(|en0| en0.addresses.clear()));
    assert_problem(&patient.examine(Ok(answer())), ExitCode::NoHost, "interface", "en0 has no address");
    patient.interfaces.insert("en0", en0(|en0| en0.running = false));
    assert_problem(&patient.examine(Ok(answer())), ExitCode::NoHost, "interface", "no link");
    patient.interfaces.remove("en0");
    assert_problem(&patient.examine(Ok(answer())), ExitCode::Configuration, "interface", "there is no interface en0");
}

#[test]
fn a_target_that_keeps_silent_is_a_problem_but_not_if_another_portal_of_it_answers() {
    let mut patient = Patient::healthy(Os::Linux);
    let mut two = answer();
    let mut second = two.targets[0].portals[0].clone();
    second.address = "192.0.2.2".into();
    two.targets[0].portals.push(second);
    let report = patient.examine(Ok(two.clone()));
    assert!(report.healthy);
    assert!(those(&report, Verdict::Warning)[0].contains("192.0.2.2:3260: no answer came within 3 seconds; another"));
    patient.portals.clear();
    let report = patient.examine(Ok(two));
    assert_problem(&report, ExitCode::NoHost, "target", "no answer came");
    assert_eq!(those(&report, Verdict::Problem).len(), 2);
}

#[test]
fn long_packets_on_a_way_that_does_not_take_them_are_a_warning() {
    let mut patient = Patient::healthy(Os::Linux);
    if let Some(en0) = patient.interfaces.get_mut("en0") {
        en0.mtu = Some(9000);
    }
    let report = patient.examine(Ok(answer()));
    assert!(report.healthy);
    let warnings = those(&report, Verdict::Warning);
    assert_eq!(warnings, ["mtu: en0 takes 9000 bytes, the way to a target only segments of 1448"]);
}

#[test]
fn a_clock_of_1970_is_a_warning() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.now = UNIX_EPOCH;
    assert!(those(&patient.examine(Ok(answer())), Verdict::Warning)[0].starts_with("clock: "));
}

// check: doctor-full-disk
#[test]
fn a_full_disk_is_a_problem_for_settings_and_for_sockets() {
    for place in ["/etc", "/run"] {
        let mut patient = Patient::healthy(Os::Linux);
        patient.room.insert(place, 4096);
        let report = patient.examine(Ok(answer()));
        assert_eq!(report.code(), ExitCode::Configuration);
        let problems = those(&report, Verdict::Problem);
        assert!(matches!(problems.as_slice(), [only] if only.contains("only 4096 bytes left for")), "{problems:?}");
    }
    let report = Patient::healthy(Os::Linux).examine(Ok(answer()));
    assert!(those(&report, Verdict::Ok).iter().any(|found| found.contains("there is room")), "{report:?}");
}

#[test]
fn root_is_not_told_of_tools_for_others() {
    let mut patient = Patient::healthy(Os::Linux);
    patient.tools.retain(|tool| *tool == "losetup");
    assert!(those(&patient.examine(Ok(answer())), Verdict::Warning).is_empty());
    patient.user = 1000;
    assert_eq!(those(&patient.examine(Ok(answer())), Verdict::Warning).len(), 2);
}

#[test]
fn one_target_is_one_target() {
    let report = Patient::healthy(Os::Linux).examine(Ok(answer()));
    assert!(those(&report, Verdict::Ok).iter().any(|found| found.ends_with("names 1 target")), "{report:?}");
}
