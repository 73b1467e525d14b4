//! The words of the NBD protocol (`doc/proto.md` of the reference implementation): numbers, the
//! request as it arrives, the replies as they leave. Everything is big-endian.

/// The longest payload of a request or a reply: what every client may assume.
pub(crate) const MAX_PAYLOAD: u32 = 32 << 20;

/// Opens the server's greeting: `NBDMAGIC`.
pub(crate) const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Opens each option of a client, and the second half of the greeting: `IHAVEOPT`.
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Opens the server's reply to an option.
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Opens a request.
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Handshake flags, of the server and of the client alike.
pub(crate) mod handshake_flag {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub(crate) const NO_ZEROES: u16 = 1 << 1;
}

/// What the export can do.
pub(crate) mod transmission_flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const ROTATIONAL: u16 = 1 << 4;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(crate) const SEND_FAST_ZERO: u16 = 1 << 11;
}

/// What a client may ask for during the handshake.
pub(crate) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// How an option is answered.
pub(crate) mod reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const ERR_UNSUP: u32 = 0x8000_0001;
    pub(crate) const ERR_POLICY: u32 = 0x8000_0002;
    pub(crate) const ERR_INVALID: u32 = 0x8000_0003;
    pub(crate) const ERR_UNKNOWN: u32 = 0x8000_0006;
    pub(crate) const ERR_TOO_BIG: u32 = 0x8000_0009;
}

/// What an export is like, by [`option::INFO`] and [`option::GO`].
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// What a request asks for.
pub(crate) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
}

/// How it wants it.
pub(crate) mod command_flag {
    pub(crate) const FUA: u16 = 1 << 0;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const FAST_ZERO: u16 = 1 << 4;
}

const CHUNK_DONE: u16 = 1 << 0;
const CHUNK_NONE: u16 = 0;
const CHUNK_OFFSET_DATA: u16 = 1;
const CHUNK_ERROR: u16 = (1 << 15) + 1;
const CHUNK_ERROR_OFFSET: u16 = (1 << 15) + 2;

/// The error values a reply may carry. They look like the errno of most systems, and are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum NbdError {
    Perm = 1,
    Io = 5,
    Invalid = 22,
    NoSpace = 28,
    NotSupported = 95,
}

/// The longest string either side may send, in bytes.
pub(crate) const MAX_STRING: usize = 4096;

/// Length of a request without its payload.
pub(crate) const REQUEST_LEN: usize = 28;

/// A request as it arrives, its payload not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    /// The client's name for it, echoed in the reply.
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl RequestHeader {
    /// Reads one; `None` if it does not open with the magic number, after which nothing the client
    /// sends can be trusted to be where it should.
    pub(crate) fn parse(bytes: &[u8; REQUEST_LEN]) -> Option<RequestHeader> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (command, rest) = rest.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let length = rest.first_chunk()?;
        (u32::from_be_bytes(*magic) == REQUEST_MAGIC).then(|| RequestHeader {
            flags: u16::from_be_bytes(*flags),
            command: u16::from_be_bytes(*command),
            cookie: u64::from_be_bytes(*cookie),
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(*length),
        })
    }
}

/// Appends a simple reply; for a read without an error the data follows.
pub(crate) fn put_simple_reply(out: &mut Vec<u8>, cookie: u64, error: Option<NbdError>) {
    out.extend_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&error.map_or(0, |error| error as u32).to_be_bytes());
    out.extend_from_slice(&cookie.to_be_bytes());
}

/// Appends the head of a chunk of `length` bytes of data at `offset` of the export, which follow.
pub(crate) fn put_data_chunk(out: &mut Vec<u8>, cookie: u64, offset: u64, length: u32, done: bool) {
    let flags = if done { CHUNK_DONE } else { 0 };
    put_chunk(out, cookie, flags, CHUNK_OFFSET_DATA, length + 8);
    out.extend_from_slice(&offset.to_be_bytes());
}

/// Appends the chunk that ends a reply without another word.
pub(crate) fn put_none_chunk(out: &mut Vec<u8>, cookie: u64) {
    put_chunk(out, cookie, CHUNK_DONE, CHUNK_NONE, 0);
}

/// Appends the chunk that ends a reply with an error, at `offset` of the export if that is known.
/// `message` is ASCII and is cut at the [`MAX_STRING`] bytes that the protocol allows.
pub(crate) fn put_error_chunk(out: &mut Vec<u8>, cookie: u64, error: NbdError, message: &str, offset: Option<u64>) {
    let message = message.get(..MAX_STRING).unwrap_or(message).as_bytes();
    let length = message.len() as u16;
    match offset {
        Some(_) => put_chunk(out, cookie, CHUNK_DONE, CHUNK_ERROR_OFFSET, 6 + u32::from(length) + 8),
        None => put_chunk(out, cookie, CHUNK_DONE, CHUNK_ERROR, 6 + u32::from(length)),
    }
    out.extend_from_slice(&(error as u32).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    if let Some(offset) = offset {
        out.extend_from_slice(&offset.to_be_bytes());
    }
}

fn put_chunk(out: &mut Vec<u8>, cookie: u64, flags: u16, kind: u16, length: u32) {
    out.extend_from_slice(&STRUCTURED_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&cookie.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
}
