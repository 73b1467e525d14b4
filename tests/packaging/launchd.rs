//! The job of launchd agrees with the program and the packages.

use std::path::Path;

use iscsid::config;
use plist::{Dictionary, Value};

/// Where launchd and systemd hold the port of the NFS export.
pub(crate) const HELD: &str = "127.0.0.1:23260";

const JOB: &str = "packaging/launchd/org.iscsid.iscsid.plist";

fn job() -> Dictionary {
    Value::from_file(JOB).expect("a property list").into_dictionary().expect("a dictionary")
}

fn text<'a>(job: &'a Dictionary, key: &str) -> &'a str {
    job.get(key).and_then(Value::as_string).unwrap_or_else(|| panic!("{key} is a string"))
}

#[test]
fn the_job_is_named_as_its_file_and_has_keys_of_launchd_only() {
    let job = job();
    assert_eq!(text(&job, "Label"), Path::new(JOB).file_stem().expect("a name"));
    // launchd.plist(5); it takes a misspelt key in silence.
    let known = [
        "Label",
        "ProgramArguments",
        "RunAtLoad",
        "KeepAlive",
        "ThrottleInterval",
        "ExitTimeOut",
        "AbandonProcessGroup",
        "Sockets",
        "ProcessType",
        "StandardErrorPath",
        "Umask",
        "SoftResourceLimits",
    ];
    for key in job.keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn the_daemon_runs_from_boot_on_and_is_started_again() {
    let job = job();
    // The last: macOS' server of a disk image is a child of the daemon's tools, and outlives it.
    for key in ["RunAtLoad", "KeepAlive", "AbandonProcessGroup"] {
        assert_eq!(job.get(key).and_then(Value::as_boolean), Some(true), "{key}");
    }
    assert!(!job.contains_key("Disabled") && !job.contains_key("UserName"), "as root, and enabled");
}

#[test]
fn launchd_holds_the_port_of_the_nfs_export_and_nothing_that_a_boot_takes_away() {
    let job = job();
    let sockets = job.get("Sockets").and_then(Value::as_dictionary).expect("sockets");
    assert_eq!(sockets.keys().collect::<Vec<_>>(), ["NFS"], "the name the daemon asks launchd for");
    let nfs = sockets.get("NFS").and_then(Value::as_dictionary).expect("the socket");
    // launchd.plist(5): without a node it would listen for the whole network.
    assert_eq!(format!("{}:{}", text(nfs, "SockNodeName"), text(nfs, "SockServiceName")), HELD);
    assert_eq!((text(nfs, "SockFamily"), text(nfs, "SockType")), ("IPv4", "stream"));
    let source = std::fs::read_to_string("src/daemon/activation.rs").expect("the source");
    assert!(source.contains(r#"sockets("NFS")"#), "it asks for that name");
}

#[test]
fn the_held_port_is_given_to_no_outgoing_connection() {
    let (_, port) = HELD.rsplit_once(':').expect("a port");
    let port: u16 = port.parse().expect("a number");
    // Linux: net.ipv4.ip_local_port_range begins at 32768; macOS: net.inet.ip.portrange.first is 49152.
    assert!((1024..32_768).contains(&port));
}

#[test]
fn the_log_does_not_grow_without_end() {
    let rule = std::fs::read_to_string("packaging/newsyslog/org.iscsid.iscsid.conf").expect("the rule");
    let lines: Vec<&str> = rule.lines().filter(|line| !line.starts_with('#')).collect();
    let [line] = lines.as_slice() else { panic!("one rule: {rule}") };
    let fields: Vec<&str> = line.split_whitespace().collect();
    let job = job();
    assert_eq!(fields[0], text(&job, "StandardErrorPath"));
    // newsyslog.conf(5): the size in KB, the file that names the process, and the signal at which it opens its log again.
    assert!(fields[3].parse::<u32>().is_ok_and(|size| size > 0), "{line}");
    // On a Mac: /var/run/iscsid. Here the directory has another parent.
    assert!(config::system_runtime_dir().ends_with("run/iscsid"));
    assert_eq!((fields[6], fields[7]), ("/var/run/iscsid/iscsid.lock", "1"));
    let build = std::fs::read_to_string("packaging/installer/build").expect("the build");
    assert!(build.contains("packaging/newsyslog/org.iscsid.iscsid.conf"), "it is in the package");
}

#[test]
fn nothing_of_it_is_where_the_configuration_is() {
    let job = job();
    let arguments = job.get("ProgramArguments").and_then(Value::as_array).expect("arguments");
    let words: Vec<_> = arguments.iter().filter_map(Value::as_string).collect();
    assert_eq!(words, ["/usr/local/libexec/iscsid"], "no option: the configuration is where the program looks for it");
}
