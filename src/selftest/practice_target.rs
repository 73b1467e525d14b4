//! A target to practise on, in a process of its own: what the acceptance script for Macs logs in to where there is
//! no NAS.
//!
//! ```text
//!   iscsid ── iSCSI on loopback ──► one disk in memory ── counts commands ──► "counts", "holds" on standard input
//! ```
//! It listens on loopback only, and ends with its standard input. Each line there is answered by one line of JSON.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;
use sim_target::{Action, SimDisk, SimTarget};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::ipc::{ExitCode, Failure};

/// Its iSCSI name.
pub const TARGET: &str = "iqn.2026-11.org.iscsid.practice:disk";

/// What it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Practice {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Size of the disk, in MiB, at least 1.
    pub mebibytes: u32,
    /// Its block, in bytes: 512 or 4096.
    pub block_size: u32,
}

/// The first line: where it is.
#[derive(Debug, Serialize)]
struct Start<'a> {
    target: &'a str,
    portal: String,
}

/// What it has seen since it started.
#[derive(Debug, Default)]
struct Seen {
    commands: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    write_bytes: AtomicU64,
    fua_writes: AtomicU64,
    synchronize_cache: AtomicU64,
}

/// The answer to `counts`.
#[derive(Debug, Serialize)]
struct Counts {
    commands: u64,
    reads: u64,
    read_bytes: u64,
    writes: u64,
    write_bytes: u64,
    fua_writes: u64,
    synchronize_cache: u64,
    /// Bytes that a power cut would lose now.
    volatile_bytes: u64,
    connections: usize,
    /// What the initiator did that RFC 7143 does not allow.
    violations: Vec<String>,
}

/// The answer to `holds HEX`: whether a sector of the disk begins with these bytes.
#[derive(Debug, Serialize)]
struct Holds {
    /// As it reads now.
    holds: bool,
    /// After a power cut, too.
    stable: bool,
}

/// The answer to `power-cut`, and to unknown words.
#[derive(Debug, Serialize)]
struct Said<'a> {
    said: &'a str,
}

/// Serves until standard input ends.
///
/// # Errors
/// The port is taken, or standard input or output broke.
pub fn run(practice: Practice) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(broken)?;
    let served = runtime.block_on(serve(practice));
    // A read of standard input cannot be taken back.
    runtime.shutdown_background();
    served
}

fn broken(error: std::io::Error) -> Failure {
    Failure::new(ExitCode::Internal, format!("the practice target: {error}"))
}

async fn serve(practice: Practice) -> Result<(), Failure> {
    let Practice { port, mebibytes, block_size } = practice;
    let seen = Arc::new(Seen::default());
    let counter = seen.clone();
    let portal = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let blocks = (u64::from(mebibytes) << 20) / u64::from(block_size);
    let target = SimTarget::builder(TARGET)
        .portal(&portal.to_string())
        .lun(0, SimDisk::new(blocks, block_size).names("iscsid", "PRACTICE", "1"))
        .record_commands(false)
        .on_command(move |command| {
            counter.count(&command.cdb, command.fua, command.expected_length);
            Action::Proceed
        })
        .start()
        .await
        .map_err(|error| {
            let message = format!("cannot listen on {portal}: {error}; give another --port");
            Failure::new(ExitCode::Unavailable, message)
        })?;
    say(&Start { target: TARGET, portal: target.address().to_string() }).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(broken)? {
        let line = line.trim();
        match line {
            "counts" => say(&seen.counts(&target)).await?,
            "power-cut" => {
                target.power_cut();
                say(&Said { said: "the power was cut" }).await?;
            }
            _ => match line.strip_prefix("holds ").and_then(bytes) {
                Some(beginning) => {
                    let (holds, stable) = target.has_sector(0, &beginning);
                    say(&Holds { holds, stable }).await?;
                }
                None => {
                    say(&Said { said: "say counts, power-cut, or holds and up to 512 bytes in hexadecimal" }).await?
                }
            },
        }
    }
    target.shutdown().await;
    Ok(())
}

/// Two digits a byte, 1 to 512 bytes.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !(2..=1024).contains(&digits.len())
        || !digits.len().is_multiple_of(2)
        || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    {
        return None;
    }
    digits.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

async fn say(what: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(what).map_err(|error| broken(error.into()))?;
    line.push('\n');
    let mut out = tokio::io::stdout();
    out.write_all(line.as_bytes()).await.map_err(broken)?;
    out.flush().await.map_err(broken)
}

impl Seen {
    fn count(&self, cdb: &[u8; 16], fua: bool, bytes: u32) {
        self.commands.fetch_add(1, Relaxed);
        match cdb[0] {
            // READ (6), (10), (12), (16): SBC-4 §5.
            0x08 | 0x28 | 0xa8 | 0x88 => {
                self.read_bytes.fetch_add(bytes.into(), Relaxed);
                self.reads.fetch_add(1, Relaxed)
            }
            0x0a | 0x2a | 0xaa | 0x8a => {
                self.write_bytes.fetch_add(bytes.into(), Relaxed);
                self.fua_writes.fetch_add(u64::from(fua), Relaxed);
                self.writes.fetch_add(1, Relaxed)
            }
            // SYNCHRONIZE CACHE (10) and (16).
            0x35 | 0x91 => self.synchronize_cache.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    fn counts(&self, target: &SimTarget) -> Counts {
        Counts {
            commands: self.commands.load(Relaxed),
            reads: self.reads.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            writes: self.writes.load(Relaxed),
            write_bytes: self.write_bytes.load(Relaxed),
            fua_writes: self.fua_writes.load(Relaxed),
            synchronize_cache: self.synchronize_cache.load(Relaxed),
            volatile_bytes: target.volatile_bytes(),
            connections: target.open_connections(),
            violations: target.violations(),
        }
    }
}
