//! `iscsictl selftest`: the whole main job on any machine, leaving nothing behind.
//!
//! ```text
//!   target on loopback, in memory ◄── login (mutual CHAP, digests) ◄── user kernel ◄── writes, flush
//!          power cut              ◄── login again                  ◄──             ◄── reads
//! ```
//! Each step is printed with its time. What is read back after the power cut must have the SHA-256 of what
//! was written and flushed, and the target, which looks at every PDU as
//! strictly as the standard allows, must have found no violation.

pub mod lab;
pub mod practice_target;

use std::time::{Duration, Instant};

use iscsi_proto::keys::{DigestOffer, Offer};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sim_target::{Chap, SimDisk, SimTarget};

use self::lab::Lab;
use crate::block::{Block, Completions, Done, Io, Op, run as run_one};
use crate::config::{Credentials, Mutual, SecretBytes};
use crate::ipc::{ExitCode, Failure};

const TARGET: &str = "iqn.2026-11.org.iscsid.selftest:disk";
const BYTES: u64 = 64 << 20;
const PIECE: usize = 256 << 10;
const DEPTH: usize = 32;

/// A step and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What was done.
    pub step: &'static str,
    /// What it came to.
    pub result: String,
    /// How long it took.
    pub milliseconds: f64,
}

/// Runs the self-test and hands each step to `tell` as it is done.
///
/// # Errors
/// The first step that fails, in a sentence.
pub fn run(mut tell: impl FnMut(&Step)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed("start", error))?;
    runtime.block_on(steps(&mut tell))
}

fn failed(step: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("the self-test failed at `{step}`: {why}"))
}

struct Clock<'a> {
    tell: &'a mut dyn FnMut(&Step),
    started: Instant,
}

impl Clock<'_> {
    fn done(&mut self, step: &'static str, result: String) {
        // Microseconds are the last that mean something.
        let milliseconds = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        (self.tell)(&Step { step, result, milliseconds });
        self.started = Instant::now();
    }
}

async fn steps(tell: &mut dyn FnMut(&Step)) -> Result<(), Failure> {
    let mut clock = Clock { tell, started: Instant::now() };
    let secret = |text: &str| SecretBytes::from(text.to_owned());
    let (ours, theirs) = (random_text("our secret")?, random_text("its secret")?);
    let target = SimTarget::builder(TARGET)
        .lun(0, SimDisk::new(BYTES / 512, 512))
        .chap(Chap::new("initiator", &ours).mutual("target", &theirs))
        .start()
        .await
        .map_err(|error| failed("target", error))?;
    clock.done("target", format!("{TARGET} at {}, {} MiB in memory", target.address(), BYTES >> 20));

    let chap = Credentials {
        name: "initiator".to_owned(),
        secret: secret(&ours),
        mutual: Some(Mutual { name: Some("target".to_owned()), secret: secret(&theirs) }),
        algorithms: ["SHA3-256", "SHA-256", "SHA1", "MD5"].map(str::to_owned).to_vec(),
    };
    let digests = Offer { header_digest: DigestOffer::Crc32c, data_digest: DigestOffer::Crc32c, ..Offer::default() };
    let lab = Lab::log_in(TARGET, target.address(), &digests, Some(chap.clone())).await?;
    clock.done("login", format!("{}, header and data digests", lab.authentication));

    let disk = lab.disk().ok_or_else(|| failed("unit", "the target's disk was not found"))?;
    let geometry = disk.geometry();
    clock.done("unit", format!("{} blocks of {} bytes", geometry.blocks, geometry.block_size));

    let written = transfer(&*disk, Direction::Write).await.map_err(|why| failed("write", why))?;
    clock.done("write", format!("{} MiB, {DEPTH} commands at a time", BYTES >> 20));

    run_one(&*disk, Op::Flush, 0, 0, None).await.map_err(|error| failed("flush", error))?;
    if target.volatile_bytes() != 0 {
        return Err(failed("flush", format!("{} bytes would not survive a power cut", target.volatile_bytes())));
    }
    clock.done("flush", "the target's write cache is empty".to_owned());

    drop(disk);
    lab.abandon();
    target.power_cut();
    let lab = Lab::log_in(TARGET, target.address(), &digests, Some(chap)).await?;
    let disk = lab.disk().ok_or_else(|| failed("power", "the disk did not come back"))?;
    clock.done("power", "cut, back again, and logged in anew".to_owned());

    let read = transfer(&*disk, Direction::Read).await.map_err(|why| failed("read", why))?;
    if read != written {
        return Err(failed("read", "what came back is not what was written"));
    }
    let digest: String = read.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    clock.done("read", format!("{} MiB, SHA-256 {digest}… as written", BYTES >> 20));

    drop(disk);
    lab.log_out().await.map_err(|error| failed("logout", error))?;
    let complaints = target.violations();
    if !complaints.is_empty() {
        return Err(failed("logout", format!("the target complains: {}", complaints.join("; "))));
    }
    let closed =
        tokio::time::timeout(Duration::from_secs(5), target.wait_until(|target| target.open_connections() == 0));
    closed.await.map_err(|_| failed("logout", "the connection stayed open"))?;
    clock.done("logout", "the target has nothing to complain about".to_owned());
    target.shutdown().await;
    Ok(())
}

fn random_text(what: &str) -> Result<String, Failure> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| failed(what, error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Moves all of the disk, [`DEPTH`] pieces at a time, and says the SHA-256 of it.
async fn transfer(disk: &dyn Block, direction: Direction) -> Result<[u8; 32], String> {
    let geometry = disk.geometry();
    let pieces = geometry.bytes() / PIECE as u64;
    let blocks = PIECE as u32 / geometry.block_size;
    let completions = Completions::new();
    let (mut batch, mut done) = (Vec::with_capacity(DEPTH), Vec::with_capacity(DEPTH));
    let mut digests = vec![[0; 32]; pieces as usize];
    let (mut next, mut open) = (0, 0);
    let mut pattern = Pattern(0x9e37_79b9_7f4a_7c15);
    while next < pieces || open > 0 {
        while next < pieces && open < DEPTH {
            let mut buffer = disk.pool().get(PIECE).await;
            let op = match direction {
                Direction::Read => Op::Read,
                Direction::Write => {
                    pattern.fill(&mut buffer);
                    digests[next as usize] = Sha256::digest(&*buffer).into();
                    Op::Write { fua: false }
                }
            };
            let completion = completions.completion(next);
            batch.push(Io { op, lba: next * u64::from(blocks), blocks, buffer: Some(buffer), completion });
            (next, open) = (next + 1, open + 1);
        }
        disk.submit(&mut batch);
        completions.wait(&mut done).await;
        for Done { token, result, buffer } in done.drain(..) {
            open -= 1;
            result.map_err(|error| error.to_string())?;
            if direction == Direction::Read {
                let buffer = buffer.ok_or("a read came back without its buffer")?;
                digests[token as usize] = Sha256::digest(&*buffer).into();
            }
        }
    }
    Ok(Sha256::digest(digests.concat()).into())
}

/// Numbers that do not repeat within the disk (xorshift64): a block in the wrong place shows.
struct Pattern(u64);

impl Pattern {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}
