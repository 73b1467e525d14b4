//! A session over a stream that is cut into bytes or glued together is the same session.

use sim_target::SimTarget;
use sim_target::proxy::{Proxy, Segmentation};
use tokio::runtime::Runtime;

use crate::common::daemon::{key, uri};
use crate::common::{Daemon, RandomFile, need, run, scratch_dir};
use crate::targets::{Auth, Istgt, Spec, Target, Tgt};

/// Discovery, login with mutual CHAP and both digests, the whole disk both ways, logout.
fn use_it(target: &Target) {
    let mut seen = Vec::new();
    for how in Segmentation::ALL {
        let address = target.ipv4().parse().expect("an address");
        let proxy = Proxy::start(address, how).expect("a free port");
        let (daemon, iqn, portal) = (Daemon::start(), target.iqn.as_str(), proxy.address().to_string());
        daemon.add(iqn, &portal);
        daemon.set_chap(iqn, Auth::Mutual);
        daemon.ctl_ok(["modify", "target", iqn, "--header-digest", "CRC32C", "--data-digest", "CRC32C"]);
        daemon.ctl_ok(["login", iqn]);
        let negotiated = daemon.negotiated(iqn);
        assert_eq!(negotiated.session.portal, portal);
        assert_eq!((key(&negotiated, "HeaderDigest"), key(&negotiated, "DataDigest")), ("CRC32C", "CRC32C"));
        let disks = daemon.disks(iqn);
        let random = RandomFile::of_bytes(disks[0].bytes);
        run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
        random.assert_same_as(&target.disks[0].file, &format!("what the target has, {how:?}"));
        let back = scratch_dir();
        let read = back.path().join("read");
        run("nbdcopy", [uri(&disks[0]), read.to_str().expect("a path in UTF-8")]);
        random.assert_same_as(&read, &format!("what was read back, {how:?}"));
        assert!(!daemon.log().contains("the connection was lost"), "{how:?}");
        daemon.ctl_ok(["logout", iqn]);
        let mut disk = disks[0].clone();
        (disk.nbd, disk.nfs) = (None, None);
        seen.push((negotiated.keys, negotiated.authentication, disk));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

// check: stream-segments, discovery-several-pdus, discovery-ipv6
#[test]
fn a_discovery() {
    let runtime = Runtime::new().expect("a runtime");
    let mut builder = SimTarget::builder("iqn.2026-11.test.sim:one").own_thread().text_chunk(100);
    for n in 0..50 {
        builder = builder
            .also_list(&format!("iqn.2026-11.test.sim:number-{n}"), &["192.0.2.1:3260,1", "[2001:db8::1]:3260,2"]);
    }
    let target = runtime.block_on(builder.advertise(&["[::1]:3260,1"]).start()).expect("a free port");
    let daemon = Daemon::start();
    let lists = Segmentation::ALL.map(|how| {
        let proxy = Proxy::start(target.address(), how).expect("a free port");
        daemon.ctl_ok(["discover", &proxy.address().to_string(), "--format", "json"])
    });
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
    assert!(lists[0].contains("iqn.2026-11.test.sim:number-49") && lists[0].contains("2001:db8::1"), "{}", lists[0]);
    assert_eq!(target.violations(), Vec::<String>::new());
}

/// As small as these targets make them: each byte is a segment.
fn spec() -> Spec {
    Spec::new().bytes(1 << 20).auth(Auth::Mutual)
}

// check: stream-segments
#[test]
fn with_tgt() {
    if need(Tgt::TOOLS) && need(&["nbdcopy"]) {
        use_it(&Tgt::start(&spec()));
    }
}

// check: stream-segments
#[test]
fn with_istgt() {
    if need(Istgt::TOOLS) && need(&["nbdcopy"]) {
        use_it(&Istgt::start(&spec()));
    }
}
