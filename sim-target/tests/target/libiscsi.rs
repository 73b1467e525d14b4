//! The target, as libiscsi sees it: a client that shares no code with it.

use std::process::Output;

use sim_target::{Chap, SimDisk, SimTarget};

use crate::testing::need;

const NAME: &str = "iqn.2026-01.test.sim:disk";

/// What has to be installed: Debian's libiscsi-bin.
const TOOLS: &[&str] = &["iscsi-inq", "iscsi-ls", "iscsi-readcapacity16", "iscsi-test-cu"];

/// Runs a tool of libiscsi without blocking the target's runtime; `timeout` ends one that hangs.
async fn run(tool: &str, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new("timeout");
    command.args(["-k", "5", "60", tool]).args(args).kill_on_drop(true);
    command.output().await.unwrap()
}

async fn succeed(tool: &str, args: &[&str]) -> String {
    let output = run(tool, args).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool} {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn url(target: &SimTarget) -> String {
    format!("iscsi://{}/{NAME}/0", target.address())
}

#[tokio::test]
async fn it_is_found_and_described() {
    if !need(TOOLS) {
        return;
    }
    let target = SimTarget::builder(NAME)
        .lun(0, SimDisk::new(1 << 21, 512))
        .lun(1, SimDisk::new(1 << 31, 4096))
        .start()
        .await
        .unwrap();
    let portal = format!("iscsi://{}", target.address());
    let listed = succeed("iscsi-ls", &["-s", &portal]).await;
    assert!(listed.contains(&format!("Target:{NAME} Portal:{},1", target.address())), "{listed}");
    assert!(listed.contains("Lun:0") && listed.contains("Lun:1"), "{listed}");
    let url = url(&target);
    let inquiry = succeed("iscsi-inq", &[&url]).await;
    assert!(inquiry.contains("DIRECT_ACCESS") && inquiry.contains("Product:SIM DISK"), "{inquiry}");
    let page = succeed("iscsi-inq", &["-e", "1", "-c", "131", &url]).await;
    assert!(page.contains("NAA") && page.contains(NAME), "{page}");
    let capacity = succeed("iscsi-readcapacity16", &[&url]).await;
    assert!(capacity.contains("Total size:1073741824"), "{capacity}");
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn it_asks_for_a_name_and_a_secret() {
    if !need(TOOLS) {
        return;
    }
    let chap = Chap::new("user", "a secret of ours");
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(1024, 512)).chap(chap).start().await.unwrap();
    let address = target.address();
    succeed("iscsi-inq", &[&format!("iscsi://user%a secret of ours@{address}/{NAME}/0")]).await;
    let refused = run("iscsi-inq", &[&format!("iscsi://user%another one of ours@{address}/{NAME}/0")]).await;
    assert!(!refused.status.success());
    let refused = run("iscsi-inq", &[&url(&target)]).await;
    assert!(!refused.status.success());
}

/// Suites of libiscsi's conformance test. They break rules on purpose, so violations are not asked.
#[tokio::test]
async fn it_passes_the_conformance_test() {
    if !need(TOOLS) {
        return;
    }
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(1 << 20, 512).thin()).start().await.unwrap();
    for suite in [
        "iSCSI.iSCSIdatasn",
        "iSCSI.iSCSIResiduals",
        "iSCSI.iSCSITMF",
        "SCSI.TestUnitReady",
        "SCSI.ReadCapacity10",
        "SCSI.ReadCapacity16",
        "SCSI.Read6",
        "SCSI.Read10",
        "SCSI.Read12",
        "SCSI.Read16",
        "SCSI.Write10",
        "SCSI.Write12",
        "SCSI.Write16",
        "SCSI.Unmap",
        "SCSI.WriteSame16",
        "SCSI.ModeSense6",
    ] {
        let text = succeed("iscsi-test-cu", &["--fail", "-d", "-n", "-t", suite, &url(&target)]).await;
        // suites/tests/asserts: Total Ran Passed Failed Inactive
        let tests = text.lines().find(|line| line.trim_start().starts_with("tests")).unwrap_or_default();
        let columns: Vec<&str> = tests.split_whitespace().collect();
        let &[_, _, ran, _, failed, _] = columns.as_slice() else { panic!("{suite}: {text}") };
        assert!(ran != "0" && failed == "0", "{suite}: {text}");
    }
}
