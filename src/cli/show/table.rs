//! Answers for people. `list targets` and `list luns` are printed as iSCSIInitiator for macOS did,
//! because scripts read that.

use std::fmt::Write;

use super::clean;
use crate::doctor::{Finding, Report, Verdict};
use crate::ipc::{
    BenchReport, Chap, Discovered, Discovery, DiscoveryPortal, Initiator, Lun, LunState, Origin, Portal, Reply,
    Session, SessionDetails, SessionState, Stats, Target, TargetDetails,
};

/// A reply as it is printed. Every line ends with a line feed.
pub(super) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done(sentences) => sentences.iter().map(|sentence| format!("{}\n", clean(sentence))).collect(),
        Reply::Targets(list) => targets(list),
        Reply::Luns(list) => luns(list),
        Reply::Sessions(list) => sessions(list),
        Reply::DiscoveryPortals(list) => discovery_portals(list),
        Reply::Target(details) => target_details(details),
        Reply::Initiator(initiator) => self::initiator(initiator),
        Reply::Discovery(discovery) => self::discovery(discovery),
        Reply::Session(details) => session_details(details),
        Reply::Discovered { targets, .. } => discovered(targets),
        Reply::Stats(list) => stats(list),
        Reply::Bench(report) => bench(report),
        Reply::Imported(imported) => imported.taken.iter().map(|sentence| format!("{}\n", clean(sentence))).collect(),
    }
}

/// Collects lines. Writing to a `String` cannot fail.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

/// One line for each finding, and one for what to do about it.
pub(super) fn report(report: &Report) -> String {
    let mut out = Lines::default();
    for Finding { check, verdict, found, advice, .. } in &report.findings {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
            Verdict::Skipped => "-",
        };
        out.line(format_args!("{verdict:<8} {check:<14} {}", clean(found)));
        if !advice.is_empty() {
            out.line(format_args!("{:<23} → {}", "", clean(advice)));
        }
    }
    let count = |wanted| report.findings.iter().filter(|finding| finding.verdict == wanted).count();
    let problems = match (count(Verdict::Problem), count(Verdict::Warning)) {
        (0, 0) => "Nothing is wrong.".to_owned(),
        (0, warnings) => format!("Warnings: {warnings}; nothing else is wrong."),
        (problems, warnings) => format!("Problems: {problems}; warnings: {warnings}."),
    };
    out.line(format_args!("{problems}"));
    out.0
}

fn targets(list: &[Target]) -> String {
    if list.is_empty() {
        return "No persistent targets are defined\n".to_owned();
    }
    let mut out = Lines::default();
    for target in list {
        one_target(&mut out, target);
    }
    out.0
}

fn one_target(out: &mut Lines, target: &Target) {
    let name = clean(&target.name);
    let origin = match target.origin {
        Origin::Static => "static",
        Origin::Dynamic => "dynamic",
    };
    match &target.session {
        None => out.line(format_args!("{name} <inactive, {origin}>")),
        Some(session) => {
            let (Session { id, group_tag, tsih, .. }, state) = (session, state(session.state));
            out.line(format_args!("{name} <{state}, {origin}, sid {id}, tpgt {group_tag}, tsid 0x{tsih:x}>"));
        }
    }
    let state = target.session.as_ref().map_or("active", |session| state(session.state));
    for Portal { address, port, interface, cid, .. } in &target.portals {
        let (address, interface) = (clean(address), clean(interface));
        match cid {
            None => out.line(format_args!("\t{address} <inactive, port {port}, interface {interface}>")),
            Some(cid) => out.line(format_args!("\t{address} <{state}, cid {cid}, port {port}, interface {interface}>")),
        }
    }
}

fn luns(list: &[Lun]) -> String {
    if list.is_empty() {
        return "No active targets with LUNs exist\n".to_owned();
    }
    let mut out = Lines::default();
    let mut last_target = None;
    let mut last_unit = None;
    for lun in list {
        let session = lun.session;
        if last_target != Some((&lun.target, session)) {
            match session {
                Some(session) => out.line(format_args!("{} <scsi domain 1, target {session}>", clean(&lun.target))),
                None => out.line(format_args!("{} <no session>", clean(&lun.target))),
            }
            last_target = Some((&lun.target, session));
            last_unit = None;
        }
        let unit = (&lun.vendor, &lun.product, &lun.revision, &lun.serial);
        // Of one that is gone nothing is known but its number.
        let is_gone = lun.state == LunState::Lost && lun.blocks == 0;
        if is_gone {
            last_unit = None;
        } else if last_unit != Some(unit) {
            out.line(format_args!("\t{} {} {}", clean(unit.0), clean(unit.1), clean(unit.2)));
            out.line(format_args!("\tSerial Number {}", lun.serial.as_deref().map_or("n/a".to_owned(), clean)));
            last_unit = Some(unit);
        }
        let kind = if lun.administrative { "Administrative unit" } else { device_type(lun.r#type) };
        let state = match lun.state {
            LunState::Ok => "",
            LunState::Waiting => ", waiting",
            LunState::Failing => ", failing",
            LunState::Offline => ", offline",
            LunState::Lost => ", lost",
        };
        if is_gone {
            out.line(format_args!("\tlun {}: lost", lun.lun));
        } else {
            out.line(format_args!("\tlun {}: type 0x{:02x} ({kind}){state}", lun.lun, lun.r#type));
        }
        if lun.bytes > 0 {
            let device = lun.device.as_deref().map_or("not attached".to_owned(), clean);
            let (size, blocks, block_size) = (size(lun.bytes), lun.blocks, lun.block_size);
            let read_only = if lun.read_only { ", read-only" } else { "" };
            out.line(format_args!("\t\t{device}: {size} ({blocks} {block_size} byte blocks{read_only})"));
            if let (None, Some(nbd)) = (&lun.device, &lun.nbd) {
                out.line(format_args!("\t\t{}", clean(nbd)));
            }
        }
        for said in lun.problem.clone().into_iter().chain(lun.failed.as_ref().map(ToString::to_string)) {
            out.line(format_args!("\t\t{}", clean(&said)));
        }
        if let Some(advice) = &lun.advice {
            out.line(format_args!("\t\t→ {}", clean(advice)));
        }
        for workaround in &lun.workarounds {
            out.line(format_args!("\t\tthis unit {}", clean(workaround)));
        }
        for lost in &lun.lost {
            out.line(format_args!("\t\t{}; {}", clean(&lost.to_string()), lost.advice()));
        }
    }
    out.0
}

/// SPC-5 table 150.
fn device_type(code: u8) -> &'static str {
    match code {
        0x00 => "Block device",
        0x01 => "Tape",
        0x02 => "Printer",
        0x03 => "Processor",
        0x04 => "Write-once device",
        0x05 => "CD/DVD",
        0x07 => "Optical memory",
        0x08 => "Media changer",
        0x0c => "Storage array controller",
        0x0d => "Enclosure services",
        0x0e => "Simplified block device",
        0x11 => "Object storage",
        0x12 => "Automation interface",
        0x14 => "Zoned block device",
        0x1e => "Well-known unit",
        0x1f => "No device",
        _ => "Unknown device",
    }
}

/// Decimal, as disks are sold: `1.1 TB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    // Whole tenths, so that no rounding of floats shows.
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "";
    for next in UNITS {
        tenths = (tenths + 500) / 1000;
        unit = next;
        // 999.95 and more is 1.0 of the next one.
        if tenths < 10_000 {
            break;
        }
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Columns as wide as their widest cell, two spaces apart.
fn columns(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.into_iter().map(|row| row.iter().map(|cell| clean(cell)).collect()));
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = Lines::default();
    for row in &all {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.line(format_args!("{}", cells.join("  ").trim_end()));
    }
    out.0
}

/// `name: value`, values below each other.
fn properties(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut out = Lines::default();
    for (name, value) in rows {
        out.line(format_args!("{name:width$}  {}", clean(value)));
    }
    out.0
}

fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Active => "active",
        SessionState::Recovering => "recovering",
        SessionState::Closing => "closing",
    }
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn sessions(list: &[Session]) -> String {
    if list.is_empty() {
        return "No sessions exist\n".to_owned();
    }
    let rows = list.iter().map(|session| {
        vec![
            session.id.to_string(),
            session.target.clone(),
            state(session.state).to_owned(),
            session.portal.clone(),
            session.kernel.clone(),
            duration(session.age_seconds),
        ]
    });
    columns(&["SID", "TARGET", "STATE", "PORTAL", "KERNEL", "AGE"], rows.collect())
}

fn discovery_portals(list: &[DiscoveryPortal]) -> String {
    if list.is_empty() {
        return "No discovery portals are defined\n".to_owned();
    }
    let mut out = Lines::default();
    for DiscoveryPortal { address, port, interface, targets, problem } in list {
        out.line(format_args!("{} <port {port}, interface {}>", clean(address), clean(interface)));
        for target in targets {
            out.line(format_args!("\t{}", clean(target)));
        }
        if let Some(problem) = problem {
            out.line(format_args!("\t{}", clean(problem)));
        }
    }
    out.0
}

fn discovered(list: &[Discovered]) -> String {
    if list.is_empty() {
        return "The portal names no targets\n".to_owned();
    }
    let mut out = Lines::default();
    for Discovered { name, portals } in list {
        out.line(format_args!("{}", clean(name)));
        for portal in portals {
            out.line(format_args!("\t{}", clean(portal)));
        }
    }
    out.0
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn or_none(value: Option<&str>) -> String {
    match value {
        None | Some("") => "none".to_owned(),
        Some(value) => value.to_owned(),
    }
}

fn chap(chap: &Chap) -> Vec<(&'static str, String)> {
    let secret = |set: bool| if set { "stored" } else { "none" }.to_owned();
    let used = chap.secret_set || chap.name.is_some() || chap.mutual_secret_set || chap.mutual_name.is_some();
    if !used {
        return vec![("CHAP", "off".to_owned())];
    }
    let name = |name: &Option<String>, default: &str| name.clone().unwrap_or_else(|| default.to_owned());
    vec![
        ("CHAP name", name(&chap.name, "the initiator's name")),
        ("CHAP secret", secret(chap.secret_set)),
        ("Mutual CHAP name", name(&chap.mutual_name, "any")),
        ("Mutual CHAP secret", secret(chap.mutual_secret_set)),
        ("CHAP algorithms", chap.algorithms.join(", ")),
    ]
}

/// The keys of the RFC, below what was said before.
fn keys(keys: &[(String, String)]) -> String {
    let rows: Vec<(&str, String)> = keys.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    properties(&rows)
}

fn target_details(details: &TargetDetails) -> String {
    let TargetDetails {
        target,
        discovered_from,
        persistent,
        attach,
        flush_policy,
        keys: offered,
        timers,
        chap: chap_settings,
        workarounds,
    } = details;
    let mut out = Lines::default();
    one_target(&mut out, target);
    for workaround in workarounds {
        out.line(format_args!("\tthis target {}", clean(workaround)));
    }
    let mut rows = vec![
        ("Alias", or_none(target.alias.as_deref())),
        ("Automatic login", yes_no(target.auto_login)),
        ("Persistent", yes_no(*persistent)),
        ("Attach", yes_no(*attach)),
        ("Flush policy", flush_policy.name().to_owned()),
    ];
    if let Some(portal) = discovered_from {
        rows.push(("Discovered from", portal.clone()));
    }
    rows.extend(chap(chap_settings));
    let timers: Vec<(&str, String)> =
        timers.iter().map(|(name, seconds)| (name.as_str(), format!("{seconds} s"))).collect();
    [out.0, properties(&rows), "\nTimers\n".to_owned(), properties(&timers), "\nOffered\n".to_owned(), keys(offered)]
        .concat()
}

fn initiator(initiator: &Initiator) -> String {
    let Initiator { name, alias, chap: chap_settings, version, config, kernel, lost } = initiator;
    let mut rows = vec![("Name", name.clone()), ("Alias", or_none(Some(alias)))];
    rows.extend(chap(chap_settings));
    rows.extend([("Version", version.clone()), ("Configuration", config.clone()), ("Kernel", kernel.clone())]);
    rows.extend(lost.iter().map(|lost| ("Lost disk", format!("{lost}; {}", lost.advice()))));
    properties(&rows)
}

fn discovery(discovery: &Discovery) -> String {
    let Discovery { send_targets, interval, portals } = discovery;
    let rows = [("SendTargets", yes_no(*send_targets)), ("Interval", format!("{interval} s"))];
    [properties(&rows), discovery_portals(portals)].concat()
}

fn session_details(details: &SessionDetails) -> String {
    let SessionDetails { session, keys: negotiated, authentication, stats } = details;
    let rows = [
        ("Session", session.id.to_string()),
        ("Target", session.target.clone()),
        ("State", state(session.state).to_owned()),
        ("Portal", session.portal.clone()),
        ("Portal group", session.group_tag.to_string()),
        ("ISID", session.isid.clone()),
        ("TSIH", format!("0x{:x}", session.tsih)),
        ("CID", session.cid.to_string()),
        ("Kernel", session.kernel.clone()),
        ("Age", duration(session.age_seconds)),
        ("Authentication", authentication.clone()),
    ];
    let counters: Vec<(&str, String)> =
        counters(stats).into_iter().map(|(name, value)| (name, value.to_string())).collect();
    [properties(&rows), "\nNegotiated\n".to_owned(), keys(negotiated), "\nCounters\n".to_owned(), properties(&counters)]
        .concat()
}

fn counters(stats: &Stats) -> [(&'static str, u64); 10] {
    let counters = &stats.counters;
    [
        ("Commands", counters.commands),
        ("Errors", counters.errors),
        ("In flight", counters.in_flight),
        ("Bytes read", counters.bytes_read),
        ("Bytes written", counters.bytes_written),
        ("PDUs received", counters.pdus_in),
        ("PDUs sent", counters.pdus_out),
        ("Receive calls", counters.receives),
        ("Send calls", counters.sends),
        ("Reconnects", counters.reconnects),
    ]
}

fn stats(list: &[Stats]) -> String {
    if list.is_empty() {
        return "No sessions exist\n".to_owned();
    }
    let blocks = list.iter().map(|stats| {
        let rows: Vec<(&str, String)> =
            counters(stats).into_iter().map(|(name, value)| (name, value.to_string())).collect();
        format!("{} <sid {}>\n{}", clean(&stats.target), stats.session, properties(&rows))
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn bench(report: &BenchReport) -> String {
    let BenchReport { iops, mb_per_s, latency_us, cpu_us_per_io, syscalls_per_io, seconds, rw, block_size, depth } =
        report;
    let microseconds = |time: f64| format!("{time:.1} us");
    properties(&[
        ("Load", format!("{rw}, {block_size} bytes each, {depth} under way")),
        ("Time", format!("{seconds:.3} s")),
        ("I/Os per second", format!("{iops:.0}")),
        ("Throughput", format!("{mb_per_s:.1} MB/s")),
        ("Latency, 50 %", microseconds(latency_us.p50)),
        ("Latency, 99 %", microseconds(latency_us.p99)),
        ("Latency, 99.9 %", microseconds(latency_us.p999)),
        ("Latency, longest", microseconds(latency_us.max)),
        ("CPU time per I/O", format!("{cpu_us_per_io:.2} us")),
        ("System calls per I/O", format!("{syscalls_per_io:.3}")),
    ])
}
