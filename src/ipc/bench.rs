//! The words of `iscsictl bench`.
//!
//! ```text
//!   Request::Bench(Workload) ──►  ◄── Frame::Bench(BenchProgress)*  ◄── Reply::Bench(BenchReport)
//! ```
//! Only a client that knows these words gets them, so that [`VERSION`](super::VERSION) stays.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::{ExitCode, Failure};

/// How many operations may be under way at a time.
pub const MAX_BENCH_DEPTH: u16 = 1024;

/// How long a run may take, in seconds.
pub const MAX_BENCH_SECONDS: u32 = 86_400;

/// What is done to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rw {
    /// Reads, one after the other from the unit's beginning.
    Read,
    /// Reads anywhere.
    RandRead,
    /// Writes, one after the other from the unit's beginning.
    Write,
    /// Writes anywhere.
    RandWrite,
    /// Half reads, half writes, anywhere.
    RandRw,
}

impl Rw {
    /// Whether data on the unit is lost.
    pub const fn writes(self) -> bool {
        matches!(self, Rw::Write | Rw::RandWrite | Rw::RandRw)
    }
}

impl fmt::Display for Rw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rw::Read => "read",
            Rw::RandRead => "randread",
            Rw::Write => "write",
            Rw::RandWrite => "randwrite",
            Rw::RandRw => "randrw",
        })
    }
}

/// A load on a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The target's name.
    pub target: String,
    /// The unit's number; without, the only disk or number 0.
    pub lun: Option<u32>,
    /// What is done.
    pub rw: Rw,
    /// Length of an operation, in bytes: a multiple of the unit's block.
    pub block_size: u32,
    /// Operations under way at a time, 1 to [`MAX_BENCH_DEPTH`].
    pub depth: u16,
    /// For so many seconds, 1 to [`MAX_BENCH_SECONDS`].
    pub seconds: u32,
    /// What is written is read back and compared.
    pub verify: bool,
    /// What is on the unit may be lost.
    pub destroy_data: bool,
}

impl Workload {
    /// Refuses what makes no sense on any unit.
    ///
    /// # Errors
    /// [`ExitCode::Usage`], and what to give instead.
    pub fn check(&self) -> Result<(), Failure> {
        let Workload { rw, block_size, depth, seconds, verify, destroy_data, .. } = self;
        let wrong = |message: String| Err(Failure::new(ExitCode::Usage, message));
        if *block_size == 0 {
            return wrong("--bs must be at least one block of the unit, such as 512 or 4k".to_owned());
        }
        if !(1..=MAX_BENCH_DEPTH).contains(depth) {
            return wrong(format!("--depth must be 1 to {MAX_BENCH_DEPTH}, not {depth}"));
        }
        if !(1..=MAX_BENCH_SECONDS).contains(seconds) {
            return wrong(format!("--seconds must be 1 to {MAX_BENCH_SECONDS}, not {seconds}"));
        }
        if *verify && !rw.writes() {
            return wrong(format!(
                "--verify compares what the run itself has written, and `--rw {rw}` writes nothing: take \
                 `--rw write`, `randwrite` or `randrw`, or the target's digests to have reads checked on the wire"
            ));
        }
        if rw.writes() && !destroy_data {
            let what = format!("`--rw {rw}` overwrites what is on the unit");
            let advice = "if nothing on it is needed any more, say so with --destroy-data";
            return Err(Failure::new(ExitCode::Usage, what).advice(advice));
        }
        Ok(())
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchPhase {
    /// It waits for buffers.
    Preparing,
    /// It measures.
    Measuring,
    /// It reads back what it has written.
    Comparing,
}

/// How far a run is, a few times a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BenchProgress {
    /// What it is doing.
    pub phase: BenchPhase,
    /// How much of that is done, 0 to 1.
    pub done: f64,
    /// Operations per second since the last time.
    pub iops: f64,
    /// Megabytes (10^6 bytes) per second since the last time.
    pub mb_per_s: f64,
}

/// Times from submission to completion, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the operations were not slower.
    pub p50: f64,
    /// Of 100, 99 were not slower.
    pub p99: f64,
    /// Of 1000, 999 were not slower.
    pub p999: f64,
    /// The slowest one.
    pub max: f64,
}

/// What a run has measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Operations per second.
    pub iops: f64,
    /// Megabytes (10^6 bytes) per second.
    pub mb_per_s: f64,
    /// How long operations took.
    pub latency_us: Latency,
    /// Processor time of the daemon's process, user and system, per operation, in microseconds. Other
    /// work of the daemon in that time counts as well.
    pub cpu_us_per_io: f64,
    /// System calls of the session's connection, sends and receives, per operation.
    pub syscalls_per_io: f64,
    /// How long it took, from the first submission to the last completion.
    pub seconds: f64,
    /// What was done.
    pub rw: Rw,
    /// Length of an operation, in bytes.
    pub block_size: u32,
    /// Operations under way at a time.
    pub depth: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(rw: Rw) -> Workload {
        Workload {
            target: "iqn.2026-11.org.example:a".into(),
            lun: None,
            rw,
            block_size: 4096,
            depth: 32,
            seconds: 5,
            verify: false,
            destroy_data: false,
        }
    }

    #[track_caller]
    fn assert_wrong(workload: &Workload, saying: &str) {
        let failure = workload.check().expect_err("it makes no sense");
        assert_eq!(failure.code, ExitCode::Usage);
        assert!(failure.to_string().contains(saying), "{failure}");
    }

    #[test]
    fn reads_need_no_consent_and_writes_do() {
        for rw in [Rw::Read, Rw::RandRead] {
            assert_eq!(workload(rw).check(), Ok(()));
        }
        for rw in [Rw::Write, Rw::RandWrite, Rw::RandRw] {
            assert_wrong(&workload(rw), "--destroy-data");
            assert_eq!(Workload { destroy_data: true, ..workload(rw) }.check(), Ok(()));
        }
    }

    #[test]
    fn reads_alone_cannot_be_verified() {
        assert_wrong(&Workload { verify: true, destroy_data: true, ..workload(Rw::Read) }, "writes nothing");
    }

    #[test]
    fn depth_length_and_time_have_bounds() {
        assert_wrong(&Workload { depth: 0, ..workload(Rw::Read) }, "1 to 1024, not 0");
        assert_wrong(&Workload { depth: 1025, ..workload(Rw::Read) }, "1 to 1024, not 1025");
        assert_wrong(&Workload { seconds: 0, ..workload(Rw::Read) }, "1 to 86400, not 0");
        assert_wrong(&Workload { block_size: 0, ..workload(Rw::Read) }, "at least one block");
    }

    #[test]
    fn the_words_in_json_are_those_of_the_command_line() {
        for rw in [Rw::Read, Rw::RandRead, Rw::Write, Rw::RandWrite, Rw::RandRw] {
            assert_eq!(serde_json::to_string(&rw).expect("JSON"), format!("\"{rw}\""));
        }
    }
}
