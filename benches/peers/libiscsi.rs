//! libiscsi, by its own iscsi-perf. It knows no data digest, so where ours has both, it has that of headers only.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;

use super::usage::cpu_time;
use super::{Case, Measured, Run, Unit};

/// A read load.
pub(crate) fn run(unit: &Unit, case: &Case, span: Duration) -> Measured {
    let seconds = span.as_secs().max(1);
    let digest = if case.digests { "?header_digest=crc32c" } else { "" };
    let blocks = case.shape.bytes as u32 / unit.block;
    let (cpu, started) = (cpu_time(UsageWho::RUSAGE_CHILDREN), Instant::now());
    let output = Command::new("iscsi-perf")
        .args(["-m", &case.shape.depth.to_string(), "-b", &blocks.to_string(), "-t", &seconds.to_string()])
        .arg(format!("iscsi://{}/{}/{}{digest}", unit.address, unit.target, unit.lun))
        .output()
        .map_err(|error| format!("iscsi-perf does not run ({error}; Debian: libiscsi-bin)"))?;
    let elapsed = started.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    // "iops average 35439 (138 MB/s)", again and again, the last one over all of it.
    let iops = text.rsplit("iops average ").next().and_then(|rest| rest.split(' ').next());
    let iops: f64 = match iops.and_then(|iops| iops.parse().ok()) {
        Some(iops) if output.status.success() => iops,
        _ => panic!("iscsi-perf: {text}{}", String::from_utf8_lossy(&output.stderr)),
    };
    let done = iops * seconds as f64;
    let cpu = cpu_time(UsageWho::RUSAGE_CHILDREN) - cpu;
    Ok(Run { done, seconds: seconds as f64, cpu: cpu * seconds as f64 / elapsed, calls: None })
}
