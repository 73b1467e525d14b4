//! The client's side of the protocol, as plain as it can be.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::export::nfs::wire::{mount_procedure, procedure, program};
use crate::export::nfs::xdr::{Reader, Write};

/// Words of a fattr3.
const ATTRIBUTES: usize = 21;

pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) xid: u32,
    /// For whom it asks; AUTH_NONE without.
    pub(super) user: Option<u32>,
}

/// What a WRITE was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) count: u32,
    pub(super) stable: u32,
    pub(super) verifier: u64,
}

pub(super) fn put<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(super) fn handle_and(handle: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut arguments = Vec::new();
    arguments.opaque(handle);
    arguments.extend(rest);
    arguments
}

/// The arguments of a WRITE.
pub(super) fn write_arguments(file: &[u8], offset: u64, stable: u32, data: &[u8]) -> Vec<u8> {
    let mut arguments = handle_and(file, &offset.to_be_bytes());
    arguments.u32(data.len() as u32);
    arguments.u32(stable);
    arguments.opaque(data);
    arguments
}

/// The arguments of a READ.
pub(super) fn read_arguments(file: &[u8], offset: u64, count: u32) -> Vec<u8> {
    let mut arguments = handle_and(file, &offset.to_be_bytes());
    arguments.u32(count);
    arguments
}

fn skip(reader: &mut Reader<'_>, words: usize) {
    for _ in 0..words {
        reader.u32().expect("a word");
    }
}

/// The attributes of a post_op_attr: type, mode and size.
fn post_op(reader: &mut Reader<'_>) -> Option<(u32, u32, u64)> {
    reader.bool().expect("a boolean").then(|| attributes(reader))
}

fn attributes(reader: &mut Reader<'_>) -> (u32, u32, u64) {
    let (kind, mode) = (reader.u32().expect("type"), reader.u32().expect("mode"));
    skip(reader, 3);
    let size = reader.u64().expect("size");
    skip(reader, ATTRIBUTES - 7);
    (kind, mode, size)
}

fn status(reader: &mut Reader<'_>) -> Result<(), u32> {
    match reader.u32().expect("a status") {
        0 => Ok(()),
        status => Err(status),
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("a server");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, xid: 1, user: Some(nix::unistd::geteuid().as_raw()) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("send");
    }

    /// A call as it goes over the wire, with its record mark.
    pub(super) fn call(&mut self, program: u32, number: u32, arguments: &[u8]) -> Vec<u8> {
        self.xid += 1;
        let mut call = put([0, self.xid, 0, 2, program, 3, number]);
        match self.user {
            Some(user) => call.extend(put([1, 24, 0, 3, u32::from_be_bytes(*b"mac\0"), user, 0, 0])),
            None => call.extend(put([0, 0])),
        }
        call.extend(put([0, 0]));
        call.extend(arguments);
        let mark = (call.len() as u32 - 4) | 1 << 31;
        call[..4].copy_from_slice(&mark.to_be_bytes());
        call
    }

    pub(super) async fn start(&mut self, number: u32, arguments: &[u8]) -> u32 {
        let call = self.call(program::NFS, number, arguments);
        self.send(&call).await;
        self.xid
    }

    /// The next record, without its mark.
    pub(super) async fn record(&mut self) -> Vec<u8> {
        self.try_record().await.expect("the server is there")
    }

    /// The same; none if the server has closed.
    pub(super) async fn try_record(&mut self) -> Option<Vec<u8>> {
        let mark = self.stream.read_u32().await.ok()?;
        assert_ne!(mark & 1 << 31, 0, "a fragment");
        let mut record = vec![0; (mark & !(1 << 31)) as usize];
        self.stream.read_exact(&mut record).await.ok()?;
        Some(record)
    }

    /// The next reply: its xid, and the results of a call that was accepted or the code of one that was not.
    pub(super) async fn reply(&mut self) -> (u32, Result<Vec<u8>, u32>) {
        let record = self.record().await;
        let mut reader = Reader(&record);
        let xid = reader.u32().expect("xid");
        assert_eq!(reader.u32(), Ok(1), "a reply");
        assert_eq!(reader.u32(), Ok(0), "accepted");
        skip(&mut reader, 2);
        match reader.u32().expect("a status") {
            0 => (xid, Ok(reader.0.to_vec())),
            code => (xid, Err(code)),
        }
    }

    /// Calls and hears the results.
    pub(super) async fn ask(&mut self, program: u32, number: u32, arguments: &[u8]) -> Result<Vec<u8>, u32> {
        let call = self.call(program, number, arguments);
        self.send(&call).await;
        let (xid, results) = self.reply().await;
        assert_eq!(xid, self.xid);
        results
    }

    async fn nfs(&mut self, number: u32, arguments: &[u8]) -> Vec<u8> {
        self.ask(program::NFS, number, arguments).await.expect("a good call")
    }

    pub(super) async fn mount(&mut self, path: &str) -> Result<Vec<u8>, u32> {
        let mut arguments = Vec::new();
        arguments.opaque(path.as_bytes());
        let results = self.ask(program::MOUNT, mount_procedure::MNT, &arguments).await.expect("a good call");
        let mut reader = Reader(&results);
        status(&mut reader)?;
        Ok(reader.opaque(64).expect("a handle").to_vec())
    }

    pub(super) async fn look_up(&mut self, directory: &[u8], name: &str) -> Result<Vec<u8>, u32> {
        let mut arguments = handle_and(directory, &[]);
        arguments.opaque(name.as_bytes());
        let results = self.nfs(procedure::LOOKUP, &arguments).await;
        let mut reader = Reader(&results);
        status(&mut reader)?;
        Ok(reader.opaque(64).expect("a handle").to_vec())
    }

    /// Type, mode and size.
    pub(super) async fn attributes(&mut self, handle: &[u8]) -> Result<(u32, u32, u64), u32> {
        let results = self.nfs(procedure::GETATTR, &handle_and(handle, &[])).await;
        let mut reader = Reader(&results);
        status(&mut reader)?;
        Ok(attributes(&mut reader))
    }

    /// What of `wanted` is granted.
    pub(super) async fn access(&mut self, handle: &[u8], wanted: u32) -> u32 {
        let results = self.nfs(procedure::ACCESS, &handle_and(handle, &wanted.to_be_bytes())).await;
        let mut reader = Reader(&results);
        status(&mut reader).expect("ACCESS does not fail");
        post_op(&mut reader);
        reader.u32().expect("bits")
    }

    /// The names in a directory, with at most `count` bytes per reply.
    pub(super) async fn list(&mut self, directory: &[u8], count: u32) -> Result<Vec<String>, u32> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let mut arguments = handle_and(directory, &[]);
            arguments.u64(cookie);
            arguments.u64(0);
            arguments.u32(count);
            let results = self.nfs(procedure::READDIR, &arguments).await;
            assert!(results.len() <= count as usize);
            let mut reader = Reader(&results);
            status(&mut reader)?;
            post_op(&mut reader);
            reader.u64().expect("a verifier");
            while reader.bool().expect("an entry or none") {
                reader.u64().expect("a file id");
                names.push(String::from_utf8(reader.opaque(255).expect("a name").to_vec()).expect("UTF-8"));
                cookie = reader.u64().expect("a cookie");
            }
            if reader.bool().expect("whether this is all") {
                return Ok(names);
            }
        }
    }

    pub(super) async fn write(&mut self, file: &[u8], offset: u64, stable: u32, data: &[u8]) -> Result<Written, u32> {
        let results = self.nfs(procedure::WRITE, &write_arguments(file, offset, stable, data)).await;
        written(&results)
    }

    /// The bytes, and whether they end with the file.
    pub(super) async fn read(&mut self, file: &[u8], offset: u64, count: u32) -> Result<(Vec<u8>, bool), u32> {
        let results = self.nfs(procedure::READ, &read_arguments(file, offset, count)).await;
        read(&results)
    }

    /// The verifier.
    pub(super) async fn commit(&mut self, file: &[u8]) -> Result<u64, u32> {
        let results = self.nfs(procedure::COMMIT, &handle_and(file, &[0; 12])).await;
        let mut reader = Reader(&results);
        let ended = status(&mut reader);
        wcc(&mut reader);
        ended?;
        Ok(reader.u64().expect("a verifier"))
    }

    /// Sets nothing but the size.
    pub(super) async fn truncate(&mut self, file: &[u8], size: u64) -> Result<(), u32> {
        let mut arguments = handle_and(file, &put([0, 0, 0, 1]));
        arguments.u64(size);
        arguments.extend(put([0, 0, 0]));
        let results = self.nfs(procedure::SETATTR, &arguments).await;
        let mut reader = Reader(&results);
        let ended = status(&mut reader);
        wcc(&mut reader);
        ended
    }

    /// CREATE, unchecked (0), guarded (1) or exclusive (2).
    pub(super) async fn create(&mut self, directory: &[u8], name: &str, how: u32) -> Result<Vec<u8>, u32> {
        let mut arguments = handle_and(directory, &[]);
        arguments.opaque(name.as_bytes());
        arguments.extend(put([how, 1, 0o644, 0, 0, 1, 0, 0, 0, 0]));
        let results = self.nfs(procedure::CREATE, &arguments).await;
        let mut reader = Reader(&results);
        status(&mut reader)?;
        assert_eq!(reader.bool(), Ok(true));
        Ok(reader.opaque(64).expect("a handle").to_vec())
    }

    /// Everything until the server closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        bytes
    }
}

fn wcc(reader: &mut Reader<'_>) {
    assert_eq!(reader.bool(), Ok(false), "what it was before is not told");
    post_op(reader);
}

/// The results of a WRITE.
pub(super) fn written(results: &[u8]) -> Result<Written, u32> {
    let mut reader = Reader(results);
    let ended = status(&mut reader);
    wcc(&mut reader);
    ended?;
    let [count, stable] = [reader.u32().expect("a count"), reader.u32().expect("stable_how")];
    let verifier = reader.u64().expect("a verifier");
    assert!(reader.0.is_empty(), "nothing follows");
    Ok(Written { count, stable, verifier })
}

/// The results of a READ.
pub(super) fn read(results: &[u8]) -> Result<(Vec<u8>, bool), u32> {
    let mut reader = Reader(results);
    let ended = status(&mut reader);
    post_op(&mut reader);
    ended?;
    let count = reader.u32().expect("a count");
    let end = reader.bool().expect("whether the file ends");
    let data = reader.opaque(count as usize).expect("data").to_vec();
    assert_eq!((data.len(), reader.0), (count as usize, &[][..]));
    Ok((data, end))
}
