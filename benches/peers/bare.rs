//! The bare client: the limit of what a client can reach over this socket. Its PDUs are computed beforehand, what
//! is due goes out in one gathered write, all that comes goes to one buffer that nobody looks at; it knows no
//! task, no window, no error, no buffer of its own for each command.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::{BHS_LEN, Bhs, FINAL, ScsiCommand, Wire, command_flags, data_segment_len, set_lengths};
use iscsi_proto::scsi::cdb;

use nix::sys::resource::UsageWho;

use super::Run;
use super::shape::Shape;
use super::target::BLOCK;
use super::usage::cpu_time;

/// Bytes taken at once at most.
const BUFFER: usize = 256 << 10;

pub(crate) fn run(handoff: &Handoff, mut stream: TcpStream, load: &Shape, span: Duration) -> io::Result<Run> {
    let (params, connection) = handoff.params().map_err(|error| io::Error::other(error.to_string()))?;
    stream.set_nonblocking(false)?;
    let mut client = Client::new(params.cmd_sn.0, connection.exp_stat_sn.0, load);
    let (mut due, mut completed): (Vec<u32>, u64) = ((0..load.depth as u32).collect(), 0);
    let (mut calls, cpu, started) = (0, cpu_time(UsageWho::RUSAGE_SELF), Instant::now());
    let (mut filled, mut skip) = (0, 0);
    let mut open = 0;
    loop {
        if !due.is_empty() && started.elapsed() < span {
            open += due.len();
            calls += client.send(&mut stream, &mut due)?;
        }
        if open == 0 {
            break;
        }
        let got = stream.read(&mut client.buffer[filled..])?;
        calls += 1;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += got;
        let done = due.len();
        (filled, skip) = client.digest(filled, skip, &mut due);
        open -= due.len() - done;
        completed += (due.len() - done) as u64;
    }
    Ok(Run {
        done: completed as f64,
        seconds: started.elapsed().as_secs_f64(),
        cpu: cpu_time(UsageWho::RUSAGE_SELF) - cpu,
        calls: Some(calls as f64),
    })
}

struct Client {
    heads: Vec<Bhs>,
    data: Vec<u8>,
    buffer: Vec<u8>,
    cmd_sn: u32,
    exp_stat_sn: u32,
}

impl Client {
    fn new(cmd_sn: u32, exp_stat_sn: u32, load: &Shape) -> Client {
        let blocks = load.bytes as u32 / BLOCK;
        let heads = (0..load.depth as u32).map(|itt| {
            let lba = u64::from(itt) * u64::from(blocks);
            let cdb = if load.write { cdb::write_16(lba, blocks, false) } else { cdb::read_16(lba, blocks, false) };
            let mut bhs = ScsiCommand {
                flags: FINAL | if load.write { command_flags::WRITE } else { command_flags::READ } | 1,
                lun: Lun(0),
                itt: Itt(itt),
                expected_data_transfer_length: load.bytes as u32,
                cmd_sn: Default::default(),
                exp_stat_sn: Default::default(),
                cdb: cdb.padded(),
            }
            .encode();
            set_lengths(&mut bhs, 0, if load.write { load.bytes as u32 } else { 0 });
            bhs
        });
        let data = vec![0x5a; if load.write { load.bytes } else { 0 }];
        Client { heads: heads.collect(), data, buffer: vec![0; BUFFER], cmd_sn, exp_stat_sn }
    }

    /// Sends all that is due in one gathered write, or as few as it takes; says how many.
    fn send(&mut self, stream: &mut TcpStream, due: &mut Vec<u32>) -> io::Result<u64> {
        for &itt in &*due {
            let head = &mut self.heads[itt as usize];
            head[24..28].copy_from_slice(&self.cmd_sn.to_be_bytes());
            head[28..32].copy_from_slice(&self.exp_stat_sn.to_be_bytes());
            self.cmd_sn = self.cmd_sn.wrapping_add(1);
        }
        let mut calls = 0;
        for due in due.chunks(256) {
            let mut slices = [IoSlice::new(&[]); 512];
            let parts = due.iter().flat_map(|&itt| [&self.heads[itt as usize][..], &self.data]);
            let mut used = 0;
            for part in parts.filter(|part| !part.is_empty()) {
                slices[used] = IoSlice::new(part);
                used += 1;
            }
            let mut left = &mut slices[..used];
            while !left.is_empty() {
                let wrote = stream.write_vectored(left)?;
                calls += 1;
                IoSlice::advance_slices(&mut left, wrote);
            }
        }
        due.clear();
        Ok(calls)
    }

    /// Walks over what has arrived: `filled` bytes, of which the first `skip` are data of a PDU that has begun.
    /// Says the same of what is left, and pushes the tags of those that have ended.
    fn digest(&mut self, filled: usize, skip: usize, ended: &mut Vec<u32>) -> (usize, usize) {
        let mut at = skip;
        while let Some(bhs) = self.buffer.get(at..filled).and_then(|rest| rest.first_chunk::<BHS_LEN>()) {
            // A SCSI Response, or a Data-In with status.
            if bhs[0] == 0x21 || (bhs[0] == 0x25 && bhs[1] & 1 != 0) {
                self.exp_stat_sn = u32::from_be_bytes([bhs[24], bhs[25], bhs[26], bhs[27]]).wrapping_add(1);
                ended.push(u32::from_be_bytes([bhs[16], bhs[17], bhs[18], bhs[19]]));
            }
            at += BHS_LEN + data_segment_len(bhs) as usize;
        }
        if at >= filled {
            return (0, at - filled);
        }
        self.buffer.copy_within(at..filled, 0);
        (filled - at, 0)
    }
}
