//! An initiator of bare PDUs, without any policy.

use std::time::Duration;

use iscsi_proto::ids::{Cid, Isid, Itt, Lun, Tsih, Ttt};
use iscsi_proto::pdu::*;
use iscsi_proto::sn::{CmdSn, DataSn, StatSn};
use sim_target::SimTarget;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const INITIATOR: &str = "iqn.2026-01.test.sim:client";

/// A connection, in any phase.
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) cmd_sn: CmdSn,
    pub(crate) exp_stat_sn: StatSn,
    pub(crate) isid: Isid,
    next_itt: u32,
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
}

/// A PDU that came.
pub(crate) struct Pdu {
    pub(crate) bhs: Bhs,
    pub(crate) data: Vec<u8>,
    pub(crate) header_digest_good: bool,
    pub(crate) data_digest_good: bool,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: u8,
    pub(crate) data: Vec<u8>,
    pub(crate) flags: u8,
    pub(crate) residual: u32,
    pub(crate) sense: Vec<u8>,
}

impl Ended {
    /// Sense key, ASC, ASCQ.
    pub(crate) fn codes(&self) -> (u8, u8, u8) {
        (self.sense[2] & 0x0f, self.sense[12], self.sense[13])
    }
}

pub(crate) const READ: u8 = FINAL | command_flags::READ | 1;
pub(crate) const WRITE: u8 = FINAL | command_flags::WRITE | 1;
pub(crate) const UNSOLICITED: u8 = command_flags::WRITE | 1;
pub(crate) const NO_DATA: u8 = FINAL | 1;

/// Nothing on a loopback connection takes this long: then it will never come.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    pub(crate) async fn connect(target: &SimTarget) -> Client {
        let stream = TcpStream::connect(target.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            cmd_sn: CmdSn(0xffff_fffe),
            exp_stat_sn: StatSn(0),
            isid: Isid::random(7, 0),
            next_itt: 1,
            header_digest: false,
            data_digest: false,
        }
    }

    /// Logs in without security, with these operational keys besides the names.
    pub(crate) async fn log_in(target: &SimTarget, keys: &[(&str, &str)]) -> Client {
        let mut client = Client::connect(target).await;
        let mut all = vec![("InitiatorName", INITIATOR), ("SessionType", "Normal"), ("TargetName", target.name())];
        all.extend(keys);
        let (response, text) = client.login(0x87, &all).await;
        assert_eq!((response.status_class, response.status_detail), (0, 0), "{text}");
        assert_eq!(response.flags, 0x87, "the login has not ended: {text}");
        client.header_digest = text.contains("HeaderDigest=CRC32C");
        client.data_digest = text.contains("DataDigest=CRC32C");
        client
    }

    /// One login request and its response: header and text with `;` for NUL.
    pub(crate) async fn login(&mut self, flags: u8, keys: &[(&str, &str)]) -> (LoginResponse, String) {
        let text: String = keys.iter().map(|(key, value)| format!("{key}={value}\0")).collect();
        self.login_text(flags, text.as_bytes()).await
    }

    pub(crate) async fn login_text(&mut self, flags: u8, text: &[u8]) -> (LoginResponse, String) {
        let request = LoginRequest {
            flags,
            version_max: 0,
            version_min: 0,
            isid: self.isid,
            tsih: Tsih(0),
            itt: Itt(0),
            cid: Cid(0),
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        };
        self.send(request.encode(), text).await;
        let pdu = self.receive().await;
        assert_eq!(opcode(&pdu.bhs), LoginResponse::OPCODE);
        let response = LoginResponse::decode(&pdu.bhs);
        self.exp_stat_sn = response.stat_sn.next();
        (response, String::from_utf8_lossy(&pdu.data).replace('\0', ";"))
    }

    pub(crate) async fn send(&mut self, mut bhs: Bhs, data: &[u8]) {
        set_lengths(&mut bhs, 0, data.len() as u32);
        let mut bytes = bhs.to_vec();
        if self.header_digest {
            bytes.extend(crc32c::crc32c(&bhs).to_le_bytes());
        }
        let start = bytes.len();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len() + padding(data.len()), 0);
        if self.data_digest && !data.is_empty() {
            bytes.extend(crc32c::crc32c(&bytes[start..]).to_le_bytes());
        }
        self.send_raw(&bytes).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next PDU.
    pub(crate) async fn receive(&mut self) -> Pdu {
        self.try_receive().await.expect("the target closed the connection")
    }

    /// The next PDU, or nothing if the connection ends before it does.
    pub(crate) async fn try_receive(&mut self) -> Option<Pdu> {
        tokio::time::timeout(PATIENCE, self.read_pdu()).await.expect("the target does not answer").ok()
    }

    async fn read_pdu(&mut self) -> std::io::Result<Pdu> {
        let mut bhs = [0; BHS_LEN];
        self.stream.read_exact(&mut bhs).await?;
        let header_digest_good = !self.header_digest || self.stream.read_u32_le().await? == crc32c::crc32c(&bhs);
        let len = data_segment_len(&bhs) as usize;
        let mut data = vec![0; len + padding(len)];
        self.stream.read_exact(&mut data).await?;
        let data_digest_good =
            !self.data_digest || len == 0 || self.stream.read_u32_le().await? == crc32c::crc32c(&data);
        data.truncate(len);
        Ok(Pdu { bhs, data, header_digest_good, data_digest_good })
    }

    /// Sends a command with immediate data; its tag.
    pub(crate) async fn command(&mut self, lun: u32, cdb: &[u8], flags: u8, length: u32, immediate: &[u8]) -> u32 {
        let mut padded = [0; 16];
        padded[..cdb.len()].copy_from_slice(cdb);
        let itt = self.next_itt;
        self.next_itt += 1;
        let request = ScsiCommand {
            flags,
            lun: Lun::from_number(lun).unwrap(),
            itt: Itt(itt),
            expected_data_transfer_length: length,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            cdb: padded,
        };
        self.cmd_sn = self.cmd_sn.next();
        self.send(request.encode(), immediate).await;
        itt
    }

    /// Sends a Data-Out for `itt`.
    pub(crate) async fn data_out(&mut self, itt: u32, ttt: Ttt, sn: u32, offset: u32, last: bool, data: &[u8]) {
        let lun = Lun(0);
        let header = DataOut {
            flags: if last { FINAL } else { 0 },
            lun,
            itt: Itt(itt),
            ttt,
            exp_stat_sn: self.exp_stat_sn,
            data_sn: DataSn(sn),
            buffer_offset: offset,
        };
        self.send(header.encode(), data).await;
    }

    /// Takes Data-In and the response of the only command under way.
    pub(crate) async fn end(&mut self) -> Ended {
        let mut data = Vec::new();
        loop {
            let pdu = self.receive().await;
            match opcode(&pdu.bhs) {
                DataIn::OPCODE => {
                    let header = DataIn::decode(&pdu.bhs);
                    assert_eq!(header.buffer_offset as usize, data.len());
                    data.extend(pdu.data);
                    if header.flags & data_in_flags::STATUS != 0 {
                        assert_eq!(header.stat_sn, self.exp_stat_sn);
                        self.exp_stat_sn = header.stat_sn.next();
                        let flags = header.flags & 0x06;
                        return Ended { status: 0, data, flags, residual: header.residual_count, sense: Vec::new() };
                    }
                }
                ScsiResponse::OPCODE => {
                    let header = ScsiResponse::decode(&pdu.bhs);
                    assert_eq!(header.stat_sn, self.exp_stat_sn);
                    self.exp_stat_sn = header.stat_sn.next();
                    let sense = pdu.data.get(2..).unwrap_or_default().to_vec();
                    let flags = header.flags & 0x06;
                    return Ended { status: header.status, data, flags, residual: header.residual_count, sense };
                }
                other => panic!("opcode {other:#x} where data or a response were due"),
            }
        }
    }

    /// Reads blocks of 512 bytes.
    pub(crate) async fn read(&mut self, lun: u32, lba: u64, blocks: u32) -> Ended {
        let cdb = iscsi_proto::scsi::cdb::read_16(lba, blocks, false);
        self.command(lun, &cdb, READ, blocks * 512, &[]).await;
        self.end().await
    }

    /// Writes blocks of 512 bytes, all of them as immediate data.
    pub(crate) async fn write(&mut self, lun: u32, lba: u64, fua: bool, data: &[u8]) -> Ended {
        let cdb = iscsi_proto::scsi::cdb::write_16(lba, data.len() as u32 / 512, fua);
        self.command(lun, &cdb, WRITE, data.len() as u32, data).await;
        self.end().await
    }

    /// A command that moves no data.
    pub(crate) async fn plain(&mut self, lun: u32, cdb: &[u8]) -> Ended {
        self.command(lun, cdb, NO_DATA, 0, &[]).await;
        self.end().await
    }
}
