//! The client's side of the protocol, as plain as it can be.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::export::nbd::wire::{OPTION_MAGIC, OPTION_REPLY_MAGIC, REQUEST_MAGIC, command, info, option, reply};

/// One message of the server during transmission.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Simple { cookie: u64, error: u32 },
    Chunk { cookie: u64, done: bool, kind: u16, payload: Vec<u8> },
}

/// What an export said of itself.
#[derive(Debug, Default)]
pub(super) struct Export {
    pub(super) size: u64,
    pub(super) flags: u16,
    pub(super) block_sizes: Option<[u32; 3]>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

pub(super) struct Client {
    pub(super) stream: UnixStream,
}

impl Client {
    pub(super) fn new(stream: UnixStream) -> Client {
        Client { stream }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("send");
    }

    pub(super) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.expect("receive");
        bytes
    }

    /// Everything until the server closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.expect("receive");
        bytes
    }

    async fn u16(&mut self) -> u16 {
        self.stream.read_u16().await.expect("receive")
    }

    async fn u32(&mut self) -> u32 {
        self.stream.read_u32().await.expect("receive")
    }

    async fn u64(&mut self) -> u64 {
        self.stream.read_u64().await.expect("receive")
    }

    /// Hears the greeting, answers with both flags.
    pub(super) async fn greet(&mut self) {
        let greeting = self.bytes(18).await;
        assert_eq!(greeting, b"NBDMAGICIHAVEOPT\0\x03");
        self.send(&3u32.to_be_bytes()).await;
    }

    pub(super) async fn send_option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = OPTION_MAGIC.to_be_bytes().to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        self.send(&bytes).await;
    }

    /// Sends an option and hears the replies, the last of which is an ACK or an error.
    pub(super) async fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data).await;
        let mut replies = Vec::new();
        loop {
            assert_eq!((self.u64().await, self.u32().await), (OPTION_REPLY_MAGIC, option));
            let kind = self.u32().await;
            let length = self.u32().await as usize;
            replies.push((kind, self.bytes(length).await));
            if kind == reply::ACK || kind & (1 << 31) != 0 {
                return replies;
            }
        }
    }

    pub(super) async fn structured_replies(&mut self) {
        assert_eq!(self.option(option::STRUCTURED_REPLY, &[]).await, [(reply::ACK, vec![])]);
    }

    pub(super) async fn go(&mut self, name: &str) -> Export {
        self.describe(option::GO, name).await.expect("the export is there")
    }

    /// Asks for everything there is to know. The error is the reply's kind and message.
    pub(super) async fn describe(&mut self, option: u32, name: &str) -> Result<Export, (u32, String)> {
        let mut data = string(name);
        data.extend(3u16.to_be_bytes());
        for wanted in [info::NAME, info::DESCRIPTION, info::BLOCK_SIZE] {
            data.extend(wanted.to_be_bytes());
        }
        let mut export = Export::default();
        for (kind, data) in self.option(option, &data).await {
            if kind & (1 << 31) != 0 {
                return Err((kind, String::from_utf8(data).expect("a message")));
            }
            if kind != reply::INFO {
                continue;
            }
            let (kind, data) = data.split_at(2);
            let text = || Some(String::from_utf8(data.to_vec()).expect("UTF-8"));
            match u16::from_be_bytes(kind.try_into().expect("two bytes")) {
                info::EXPORT => {
                    export.size = u64::from_be_bytes(data[..8].try_into().expect("eight bytes"));
                    export.flags = u16::from_be_bytes(data[8..].try_into().expect("two bytes"));
                }
                info::NAME => export.name = text(),
                info::DESCRIPTION => export.description = text(),
                info::BLOCK_SIZE => {
                    let (sizes, _) = data.as_chunks::<4>();
                    export.block_sizes = Some(std::array::from_fn(|at| u32::from_be_bytes(sizes[at])));
                }
                unknown => panic!("information {unknown}"),
            }
        }
        Ok(export)
    }

    /// Chooses a unit without a question about it.
    pub(super) async fn go_blindly(&mut self, name: &str) {
        let replies = self.option(option::GO, &[string(name), vec![0, 0]].concat()).await;
        assert_eq!(replies.last().map(|(kind, _)| *kind), Some(reply::ACK));
    }

    pub(super) async fn request(&mut self, command: u16, flags: u16, cookie: u64, offset: u64, length: u32) {
        self.send(&request(command, flags, cookie, offset, length)).await;
    }

    pub(super) async fn reply(&mut self) -> Reply {
        match self.u32().await {
            0x6744_6698 => {
                let error = self.u32().await;
                Reply::Simple { cookie: self.u64().await, error }
            }
            0x668e_33ef => {
                let done = self.u16().await == 1;
                let kind = self.u16().await;
                let cookie = self.u64().await;
                let length = self.u32().await as usize;
                Reply::Chunk { cookie, done, kind, payload: self.bytes(length).await }
            }
            magic => panic!("a reply does not begin with {magic:08x}"),
        }
    }

    /// The error of the next reply, 0 for success, and its message.
    pub(super) async fn status(&mut self) -> (u32, String) {
        match self.reply().await {
            Reply::Simple { error, .. } => (error, String::new()),
            Reply::Chunk { done: true, kind: 0, .. } => (0, String::new()),
            Reply::Chunk { done: true, kind, payload, .. } if kind & 0x8000 != 0 => error_of(&payload),
            chunk => panic!("{chunk:?}"),
        }
    }

    /// Sends a request without payload and hears how it went.
    pub(super) async fn ask(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> (u32, String) {
        self.request(command, flags, 1, offset, length).await;
        self.status().await
    }

    pub(super) async fn write(&mut self, flags: u16, offset: u64, bytes: &[u8]) -> (u32, String) {
        self.request(command::WRITE, flags, 1, offset, bytes.len() as u32).await;
        self.send(bytes).await;
        self.status().await
    }

    /// Reads by structured replies: the bytes and how many chunks they came in.
    pub(super) async fn read(
        &mut self,
        flags: u16,
        offset: u64,
        length: u32,
    ) -> Result<(Vec<u8>, usize), (u32, String)> {
        self.request(command::READ, flags, 2, offset, length).await;
        let mut bytes = vec![0; length as usize];
        let (mut chunks, mut missing, mut failure) = (0, length as usize, None);
        loop {
            let Reply::Chunk { cookie: 2, done, kind, payload } = self.reply().await else { panic!("not a chunk") };
            match kind {
                1 => {
                    let (at, data) = payload.split_at(8);
                    let at = (u64::from_be_bytes(at.try_into().expect("eight bytes")) - offset) as usize;
                    bytes[at..at + data.len()].copy_from_slice(data);
                    missing -= data.len();
                    chunks += 1;
                }
                0 => assert!(done),
                _ => failure = Some(error_of(&payload)),
            }
            if done {
                return match failure {
                    Some(failure) => Err(failure),
                    None => {
                        assert_eq!(missing, 0, "success without all bytes");
                        Ok((bytes, chunks))
                    }
                };
            }
        }
    }

    /// Reads by a simple reply.
    pub(super) async fn read_simply(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, u32> {
        self.request(command::READ, 0, 3, offset, length).await;
        match self.reply().await {
            Reply::Simple { cookie: 3, error: 0 } => Ok(self.bytes(length as usize).await),
            Reply::Simple { cookie: 3, error } => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

/// A request's header.
pub(super) fn request(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A length and that many bytes.
pub(super) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

fn error_of(payload: &[u8]) -> (u32, String) {
    let (error, rest) = payload.split_first_chunk().expect("an error");
    let (length, rest) = rest.split_first_chunk().expect("a message");
    let message = &rest[..u16::from_be_bytes(*length).into()];
    (u32::from_be_bytes(*error), String::from_utf8(message.to_vec()).expect("UTF-8"))
}
