//! What needs no session: figures.

use super::*;

#[test]
fn figures_are_per_operation_and_in_the_units_that_are_promised() {
    let workload = Workload {
        target: "iqn.2026-11.org.example:a".into(),
        lun: None,
        rw: Rw::RandRead,
        block_size: 4096,
        depth: 32,
        seconds: 2,
        verify: false,
        destroy_data: false,
    };
    let measured = Measured {
        operations: 1000,
        elapsed: Duration::from_secs(2),
        p50: Duration::from_nanos(1_234_567),
        p99: Duration::from_millis(2),
        p999: Duration::from_millis(3),
        max: Duration::from_millis(4),
    };
    let costs = Costs { cpu: 2500, calls: 125 };
    let latency_us = Latency { p50: 1234.6, p99: 2000.0, p999: 3000.0, max: 4000.0 };
    assert_eq!(
        report(&workload, &measured, &costs),
        BenchReport {
            iops: 500.0,
            mb_per_s: 2.048,
            latency_us,
            cpu_us_per_io: 2.5,
            syscalls_per_io: 0.125,
            seconds: 2.0,
            rw: Rw::RandRead,
            block_size: 4096,
            depth: 32,
        }
    );
}

#[test]
fn how_a_run_ended_decides_its_exit_code() {
    let io = |error| Ended::Fault(Fault::Io { write: true, lba: 9, error });
    let mismatch = Fault::Mismatch { lba: 9, found: crate::load::Found::Strange };
    let offline = Ended::Because("the connection was lost".into());
    for (ended, code, says) in [
        (Ended::Fault(mismatch), ExitCode::Data, "block 9 "),
        (io(IoError::Offline), ExitCode::Unavailable, "a write to block 9 failed"),
        (io(IoError::Target { key: 3, asc: 3, ascq: 0 }), ExitCode::Unavailable, "sense 3/03/00"),
        (io(IoError::ReservationConflict), ExitCode::TryAgain, "reserved"),
        (io(IoError::ReadOnly), ExitCode::NotPermitted, "read-only"),
        (offline, ExitCode::Unavailable, "the connection was lost"),
    ] {
        let failure = ended.failure("a/0");
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.to_string().contains(says) && failure.to_string().contains("a/0"), "{failure}");
    }
}
