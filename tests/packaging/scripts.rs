//! The scripts of Installer.pkg and Uninstall.pkg, out of the packages themselves.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::mac::{LABEL, Mac, OLD_KEXT, OLD_LABEL, Packages, executable};
use crate::process::need;

const SETTINGS: &str = "Library/Application Support/iscsid/iscsid.plist";

const RECEIPT: &str = "Library/Application Support/iscsid-installer/files";

fn tools() -> bool {
    need(&["bsdtar", "cpio", "python3"])
}

fn session(target: &str) -> String {
    format!("[\n  {{\n    \"id\": 0,\n    \"target\": \"{target}\",\n    \"state\": \"active\"\n  }}\n]\n")
}

#[test]
fn a_fresh_installation_puts_the_files_in_place_and_starts_the_daemon() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert!(ended.said.contains("it is installed and runs"), "{}", ended.said);
    assert_eq!(
        mac.calls(),
        [
            format!("launchctl enable system/{LABEL}"),
            format!("launchctl bootstrap system /Library/LaunchDaemons/{LABEL}.plist"),
        ]
    );
    let tree = mac.tree();
    for path in [
        "usr/local/libexec/iscsid",
        "usr/local/share/man/man8/iscsictl.8",
        "usr/local/share/man/man5/iscsid.plist.5",
        "usr/local/share/zsh/site-functions/_iscsictl",
        "Library/LaunchDaemons/org.iscsid.iscsid.plist",
    ] {
        assert!(tree.contains_key(path), "{path}");
    }
    assert_eq!(tree["usr/local/bin/iscsictl"], "→ ../libexec/iscsid");
    assert!(mac.disk("usr/local/bin/iscsictl").exists(), "the link leads somewhere");
    assert!(!tree.contains_key("Library/Application Support/iscsid"), "the configuration is the daemon's to make");
    assert!(!mac.disk("var/run/iscsid").exists(), "the runtime directory is the daemon's to make");
}

#[test]
fn an_upgrade_keeps_the_settings_to_the_byte_and_takes_away_what_is_no_longer_part_of_it() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    assert!(mac.install(&packages).ok);
    mac.calls();
    mac.put(&format!("disk/{SETTINGS}"), "my settings");
    let secrets = SETTINGS.replace("iscsid.plist", "secrets.plist");
    mac.put(&format!("disk/{secrets}"), "my secrets");
    let facts = |path: &str| {
        let facts = fs::metadata(mac.disk(path)).expect("its facts");
        (facts.ino(), facts.mtime_nsec(), facts.mode(), fs::read_to_string(mac.disk(path)).expect("text"))
    };
    let before = (facts(SETTINGS), facts(&secrets));
    // A file of the older version, and one of somebody else beside it.
    let files = fs::read_to_string(mac.disk(RECEIPT)).expect("the receipt");
    mac.put(&format!("disk/{RECEIPT}"), &format!("{files}usr/local/share/iscsid/no longer\n"));
    mac.put("disk/usr/local/share/iscsid/no longer", "");
    mac.put("disk/usr/local/share/iscsid/somebody's", "");

    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert_eq!(
        mac.calls(),
        [
            format!("launchctl bootout system/{LABEL}"),
            format!("launchctl enable system/{LABEL}"),
            format!("launchctl bootstrap system /Library/LaunchDaemons/{LABEL}.plist"),
        ]
    );
    assert_eq!((facts(SETTINGS), facts(&secrets)), before);
    assert!(!mac.disk("usr/local/share/iscsid/no longer").exists());
    assert!(mac.disk("usr/local/share/iscsid/somebody's").exists());
}

#[test]
fn iscsi_osx_is_stopped_unloaded_and_set_aside_and_its_settings_stay() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new().with_iscsi_osx(), Packages::build(false));
    mac.put("old-targets", "iqn.2001-04.com.example:a <inactive, static>\n");
    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert!(ended.said.contains("iscsictl import"), "{}", ended.said);
    assert_eq!(
        mac.calls(),
        [
            format!("launchctl bootout system/{OLD_LABEL}"),
            format!("kmutil unload -b {OLD_KEXT}"),
            format!("launchctl enable system/{LABEL}"),
            format!("launchctl bootstrap system /Library/LaunchDaemons/{LABEL}.plist"),
        ]
    );
    let tree = mac.tree();
    let aside = "Library/Application Support/iscsid-replaced";
    assert!(tree[&format!("{aside}/usr/local/libexec/iscsid")].contains("old daemon"));
    assert!(tree.contains_key(&format!("{aside}/Library/LaunchDaemons/{OLD_LABEL}.plist")));
    assert!(tree.contains_key(&format!("{aside}/Library/Extensions/iSCSIInitiator.kext/Contents/Info.plist")));
    assert!(
        !tree.contains_key(&format!("Library/LaunchDaemons/{OLD_LABEL}.plist")),
        "it does not start at the next boot"
    );
    assert!(!tree.contains_key("Library/Extensions/iSCSIInitiator.kext"));
    assert!(tree["Library/Preferences/com.github.iscsi-osx.iSCSIInitiator.plist"].contains("old settings"));
}

#[test]
fn while_a_target_is_connected_nothing_changes_and_it_is_named() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    assert!(mac.install(&packages).ok);
    mac.put("sessions", &session("iqn.2001-04.com.example:disk1"));
    mac.calls();
    let before = mac.tree();
    for refused in [mac.install(&packages), mac.uninstall(&packages)] {
        assert!(!refused.ok);
        assert!(
            refused.said.contains("these targets are connected: iqn.2001-04.com.example:disk1; log"),
            "{}",
            refused.said
        );
        assert!(refused.said.contains("sudo iscsictl logout --all"), "{}", refused.said);
    }
    assert_eq!(mac.calls(), [""; 0]);
    assert_eq!(mac.tree(), before);
}

#[test]
fn while_a_target_is_connected_by_iscsi_osx_nothing_changes_either() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new().with_iscsi_osx(), Packages::build(false));
    mac.put("old-targets", "iqn.2001-04.com.example:a <inactive, static>\niqn.2001-04.com.example:b <active, static, sid 0, tpgt 1, tsid 0x1>\n\t192.0.2.1 <active, cid 0, port 3260, interface default>\n");
    let before = mac.tree();
    let refused = mac.install(&packages);
    assert!(!refused.ok);
    assert!(refused.said.contains("connected: iqn.2001-04.com.example:b; log"), "{}", refused.said);
    assert_eq!(mac.calls(), [""; 0]);
    assert_eq!(mac.tree(), before);
}

#[test]
fn a_daemon_that_does_not_say_what_is_connected_is_left_alone() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    assert!(mac.install(&packages).ok);
    mac.calls();
    mac.put("broken", "");
    let refused = mac.install(&packages);
    assert!(
        !refused.ok && refused.said.contains("a bug") && refused.said.contains("nothing was changed"),
        "{}",
        refused.said
    );
    assert_eq!(mac.calls(), [""; 0]);
}

#[test]
fn homebrews_iscsid_is_not_touched() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    mac.put("loaded/homebrew.mxcl.iscsid", "");
    let refused = mac.install(&packages);
    assert!(!refused.ok && refused.said.contains("brew services stop iscsid"), "{}", refused.said);
    fs::remove_file(mac.stub("loaded/homebrew.mxcl.iscsid")).expect("removed");
    symlink("../Cellar/iscsid/0.1.0/bin/iscsictl", mac.disk("usr/local/bin/iscsictl")).expect("a link");
    let refused = mac.install(&packages);
    assert!(!refused.ok && refused.said.contains("brew uninstall iscsid"), "{}", refused.said);
    assert_eq!(mac.calls(), [""; 0]);
}

#[test]
fn uninstalling_leaves_the_disk_as_it_was_but_for_the_settings() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(true));
    mac.put("disk/usr/local/share/man/man8/other.8", "somebody else's page");
    let mut before = mac.tree();
    assert!(mac.install(&packages).ok);
    assert!(mac.install(&packages).ok, "twice, so that the directories of the first are remembered");
    mac.put(&format!("disk/{SETTINGS}"), "my settings");
    mac.put("disk/usr/local/libexec/other", "somebody else's program");
    mac.put("kexts/org.iscsid.iscsi", "");
    mac.calls();

    let ended = mac.uninstall(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert_eq!(
        mac.calls(),
        [
            format!("launchctl bootout system/{LABEL}"),
            "kmutil unload -b org.iscsid.iscsi".to_owned(),
            "pkgutil --volume ROOT --forget org.iscsid.pkg.iscsid".to_owned(),
        ]
    );
    for (path, what) in [
        ("Library/Application Support/iscsid", None),
        (SETTINGS, Some("my settings")),
        ("usr/local/libexec", None),
        ("usr/local/libexec/other", Some("somebody else's program")),
    ] {
        let what = what.map_or("directory".to_owned(), |text| format!("100644 {text}"));
        before.insert(path.to_owned(), what);
    }
    assert_eq!(mac.tree(), before);
    let again = mac.uninstall(&packages);
    assert!(!again.ok && again.said.contains("nothing was removed"), "{}", again.said);
    assert_eq!(mac.tree(), before);
}

/// Gives what is there to a user, as Homebrew on Intel does with its directories. Takes root.
fn give_away(path: &std::path::Path) {
    let given = std::process::Command::new("chown").args(["-R", "-h", "65534"]).arg(path).status().expect("chown");
    assert!(given.success());
}

#[test]
fn directories_that_homebrew_has_given_to_a_user_stay_his_and_what_is_ours_in_them_is_root_s() {
    if !tools() || !crate::process::need_root() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    let his = ["usr/local/bin", "usr/local/share/man/man8"];
    mac.put("disk/usr/local/share/man/man8/iscsid.8", "a page of an older version, which he has made");
    for path in his {
        fs::create_dir_all(mac.disk(path)).expect("a directory");
        fs::set_permissions(mac.disk(path), fs::Permissions::from_mode(0o775)).expect("its mode");
        give_away(&mac.disk(path));
    }
    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    for path in his {
        let facts = fs::metadata(mac.disk(path)).expect("its facts");
        assert_eq!((facts.uid(), facts.mode() & 0o777), (65534, 0o775), "{path}");
    }
    for path in ["usr/local/bin/iscsictl", "usr/local/share/man/man8/iscsid.8", "usr/local/libexec/iscsid"] {
        assert_eq!(fs::symlink_metadata(mac.disk(path)).expect("its facts").uid(), 0, "{path}");
    }
    let apart = packages.taken_apart("Installer.pkg");
    assert!(
        fs::read_to_string(apart.path().join("iscsid.pkg/PackageInfo"))
            .expect("text")
            .contains(r#"overwrite-permissions="false""#)
    );
}

// check: install-planted-list
#[test]
fn a_list_that_somebody_has_planted_gets_nothing_removed() {
    if !tools() {
        return;
    }
    let planted = "etc/master.passwd\n../outside\nusr/local/share/iscsid/../../../../etc/hosts\nLibrary/LaunchDaemons/com.apple.x.plist\nusr/local/share/man/man8/iscsid.8\n";
    let victims = ["etc/master.passwd", "etc/hosts", "Library/LaunchDaemons/com.apple.x.plist", "elsewhere/iscsid.8"];
    for uninstall in [false, true] {
        let (mac, packages) = (Mac::new(), Packages::build(false));
        assert!(mac.install(&packages).ok);
        for victim in victims {
            mac.put(&format!("disk/{victim}"), "precious");
        }
        // Where earlier packages had it, and where it is: each line counts for itself.
        mac.put("disk/usr/local/share/iscsid/files", planted);
        mac.put(&format!("disk/{RECEIPT}"), planted);
        // A directory of the user's leads elsewhere.
        fs::remove_dir_all(mac.disk("usr/local/share/man/man8")).expect("removed");
        symlink(mac.disk("elsewhere"), mac.disk("usr/local/share/man/man8")).expect("a link");
        if uninstall {
            mac.uninstall(&packages);
        } else {
            mac.script(&packages.taken_apart("Installer.pkg").path().join("Scripts/preinstall"));
        }
        for victim in victims {
            assert!(mac.disk(victim).exists(), "{victim}, uninstall: {uninstall}");
        }
    }
}

// check: install-untrusted-program
#[test]
fn a_program_that_others_may_change_is_not_run_as_root() {
    if !tools() || !crate::process::need_root() {
        return;
    }
    let evil = "#!/bin/bash\necho evil >> \"$STUBS/calls\"\necho '[]'\n";
    // Homebrew's: the link and its directory are a user's, and lead to a program of his.
    let (mac, packages) = (Mac::new(), Packages::build(false));
    assert!(mac.install(&packages).ok);
    mac.calls();
    fs::remove_file(mac.disk("usr/local/bin/iscsictl")).expect("removed");
    executable(&mac.disk("usr/local/bin/iscsictl"), evil);
    for path in ["usr/local/bin", "usr/local/share"] {
        give_away(&mac.disk(path));
    }
    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert!(!mac.calls().contains(&"evil".to_owned()), "root ran a user's program");

    // All of /usr/local is a user's, as its older advice was.
    for own in ["usr/local", "usr/local/libexec"] {
        let (mac, packages) = (Mac::new(), Packages::build(false));
        assert!(mac.install(&packages).ok);
        mac.calls();
        executable(&mac.disk("usr/local/libexec/iscsid"), evil);
        give_away(&mac.disk(own));
        let before = mac.tree();
        let refused = mac.install(&packages);
        assert!(!refused.ok && refused.said.contains("chown root:wheel"), "{own}: {}", refused.said);
        let refused = mac.uninstall(&packages);
        assert!(!refused.ok && refused.said.contains("others than root"), "{own}: {}", refused.said);
        assert_eq!(mac.calls(), [] as [&str; 0], "{own}");
        assert_eq!(mac.tree(), before, "{own}");
    }
}

// check: install-untrusted-program
#[test]
fn iscsi_osxs_program_is_not_run_where_others_may_change_it_and_the_way_on_is_said() {
    if !tools() || !crate::process::need_root() {
        return;
    }
    let (mac, packages) = (Mac::new().with_iscsi_osx(), Packages::build(false));
    give_away(&mac.disk("usr/local/bin"));
    let before = mac.tree();
    let refused = mac.install(&packages);
    assert!(!refused.ok && refused.said.contains(&format!("launchctl bootout system/{OLD_LABEL}")), "{}", refused.said);
    assert_eq!((mac.calls(), mac.tree()), (Vec::new(), before));
    fs::remove_file(mac.stub("loaded").join(OLD_LABEL)).expect("booted out");
    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    let calls = fs::read_to_string(mac.stub("calls")).expect("calls");
    assert!(!calls.contains("old iscsictl"), "it is not run: {calls}");
}

#[test]
fn a_link_that_homebrew_has_put_in_the_place_of_ours_stays() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    assert!(mac.install(&packages).ok);
    fs::remove_file(mac.disk("usr/local/bin/iscsictl")).expect("removed");
    symlink("../Cellar/iscsid/0.1.0/bin/iscsictl", mac.disk("usr/local/bin/iscsictl")).expect("a link");
    let ended = mac.uninstall(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert!(mac.disk("usr/local/bin/iscsictl").is_symlink());
}

#[test]
fn an_extension_that_does_not_unload_leaves_everything_as_it_was() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new().with_iscsi_osx(), Packages::build(false));
    mac.put("stuck-kext", "");
    let before = mac.tree();
    let failed = mac.install(&packages);
    assert!(!failed.ok);
    assert!(
        failed.said.contains("the kernel extension com.github.iscsi-osx.iSCSIInitiator does not unload"),
        "{}",
        failed.said
    );
    assert_eq!(
        mac.calls(),
        [
            format!("launchctl bootout system/{OLD_LABEL}"),
            format!("kmutil unload -b {OLD_KEXT}"),
            format!("launchctl bootstrap system /Library/LaunchDaemons/{OLD_LABEL}.plist"),
        ],
        "what was stopped runs again"
    );
    assert!(mac.stub("loaded").join(OLD_LABEL).exists());
    assert_eq!(mac.tree(), before);
}

#[test]
fn a_power_cut_between_the_scripts_is_mended_by_installing_again() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new().with_iscsi_osx(), Packages::build(false));
    let apart = packages.taken_apart("Installer.pkg");
    assert!(mac.script(&apart.path().join("Scripts/preinstall")).ok);
    let aside = mac.disk("Library/Application Support/iscsid-replaced/usr/local/libexec/iscsid");
    assert!(aside.exists());

    let ended = mac.install(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert_eq!(fs::read_to_string(aside).expect("it is there still"), "old daemon");
    assert!(mac.uninstall(&packages).ok);
    let tree = mac.tree();
    assert!(!tree.contains_key("usr/local/share"), "the first run's list of directories was kept: {tree:?}");
}

#[test]
fn a_daemon_that_launchd_refuses_is_said_and_can_be_removed() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(false));
    let before = mac.tree();
    mac.put("refuse-bootstrap", "");
    let failed = mac.install(&packages);
    assert!(!failed.ok && failed.said.contains("Uninstall.pkg"), "{}", failed.said);
    let ended = mac.uninstall(&packages);
    assert!(ended.ok, "{}", ended.said);
    assert_eq!(mac.tree(), before);
}

#[test]
fn an_extension_that_macos_does_not_load_yet_does_not_stop_the_installation() {
    if !tools() {
        return;
    }
    let (mac, packages) = (Mac::new(), Packages::build(true));
    mac.put("refuse-kext", "");
    let ended = mac.install(&packages);
    assert!(ended.ok && ended.said.contains("Privacy & Security"), "{}", ended.said);
    assert!(mac.calls().contains(&"kmutil load -p /Library/Extensions/iscsi.kext".to_owned()));
    assert!(mac.disk("Library/Extensions/iscsi.kext/Contents/MacOS/iscsi").exists());
}
