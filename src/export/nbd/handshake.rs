//! Fixed newstyle handshake: which export, and how replies look.
//!
//! ```text
//!   server                                    client
//!     │ ── NBDMAGIC IHAVEOPT flags ─────────► │
//!     │ ◄── flags ─────────────────────────── │
//!     │ ◄── IHAVEOPT option length data ───── │ ┐ any number: LIST, INFO, STRUCTURED_REPLY …
//!     │ ── reply … ACK or error ────────────► │ ┘
//!     │ ◄── GO | EXPORT_NAME ──────────────── │
//!     │ ── size, flags ─────────────────────► │   transmission begins
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::small_blocks::in_small_blocks;
use super::wire::MAX_PAYLOAD;
use super::wire::{
    INIT_MAGIC, MAX_STRING, OPTION_MAGIC, OPTION_REPLY_MAGIC, handshake_flag, info, option, reply, transmission_flag,
};
use crate::block::{Block, Claim, Geometry, Registry, UnitName, Use};

/// A client that says nothing for that long during the handshake is let go.
pub(super) const OPTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest data of an option that is read.
const MAX_OPTION: u32 = 64 << 10;

/// How many options a client may send; no client needs a tenth of it.
const MAX_OPTIONS: usize = 1000;

const IN_USE: &str = "a benchmark writes to this unit: it has no other users until that is over";

/// What the handshake leads to.
pub(super) struct Agreed {
    /// The unit the client chose.
    pub(super) unit: Arc<dyn Block>,
    /// Its name.
    pub(super) name: String,
    /// Replies are structured.
    pub(super) structured: bool,
    /// The client has asked how large the blocks are.
    pub(super) told: bool,
    /// The unit has a client for as long as this is kept.
    pub(super) claim: Claim,
}

/// Shakes hands. `None` when the client has gone, by ABORT or without a word.
///
/// # Errors
/// When the client breaks the protocol, is silent for [`OPTION_TIMEOUT`], or the socket fails.
pub(super) async fn shake_hands<S>(stream: S, registry: &Registry) -> io::Result<Option<Agreed>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut handshake =
        Handshake { stream, registry, structured: false, no_zeroes: false, told: None, out: Vec::new() };
    match handshake.run().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        result => result,
    }
}

struct Handshake<'a, S> {
    stream: S,
    registry: &'a Registry,
    structured: bool,
    no_zeroes: bool,
    /// The unit of which the client has asked how large the blocks are.
    told: Option<UnitName>,
    /// What is to be said next.
    out: Vec<u8>,
}

/// Where an option leads.
enum Next {
    Option,
    Transmission(Agreed),
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Handshake<'_, S> {
    async fn run(&mut self) -> io::Result<Option<Agreed>> {
        self.out.extend_from_slice(&INIT_MAGIC.to_be_bytes());
        self.out.extend_from_slice(&OPTION_MAGIC.to_be_bytes());
        let ours = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        self.out.extend_from_slice(&ours.to_be_bytes());
        self.say().await?;
        let flags = u32::from_be_bytes(self.hear().await?);
        if flags & !u32::from(ours) != 0 {
            return Err(broken("the client set handshake flags that it was not offered"));
        }
        self.no_zeroes = flags & u32::from(handshake_flag::NO_ZEROES) != 0;

        let mut data = Vec::new();
        for _ in 0..MAX_OPTIONS {
            let (magic, option, length) = self.option_header().await?;
            if magic != OPTION_MAGIC {
                return Err(broken("the client sent something that is not an option"));
            }
            let next = if length > MAX_OPTION {
                self.refuse(option, reply::ERR_TOO_BIG, "the data of this option is longer than 64 KiB");
                Next::Close
            } else {
                data.resize(length as usize, 0);
                patiently(self.stream.read_exact(&mut data)).await?;
                self.answer(option, &data)
            };
            self.say().await?;
            match next {
                Next::Option => {}
                Next::Transmission(agreed) => return Ok(Some(agreed)),
                Next::Close => return Ok(None),
            }
        }
        Err(broken("the client sends options without end"))
    }

    async fn option_header(&mut self) -> io::Result<(u64, u32, u32)> {
        let magic = self.hear().await?;
        let option = self.hear().await?;
        let length = self.hear().await?;
        Ok((u64::from_be_bytes(magic), u32::from_be_bytes(option), u32::from_be_bytes(length)))
    }

    async fn hear<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        patiently(self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    async fn say(&mut self) -> io::Result<()> {
        patiently(self.stream.write_all(&self.out)).await?;
        self.out.clear();
        Ok(())
    }

    fn answer(&mut self, option: u32, data: &[u8]) -> Next {
        match option {
            option::EXPORT_NAME => return self.export_name(data),
            option::ABORT => {
                self.reply(option, reply::ACK, &[]);
                return Next::Close;
            }
            option::LIST => self.list(data),
            option::INFO | option::GO => return self.describe(option, data),
            option::STRUCTURED_REPLY => {
                if data.is_empty() {
                    self.structured = true;
                    self.reply(option, reply::ACK, &[]);
                } else {
                    self.refuse(option, reply::ERR_INVALID, "this option takes no data");
                }
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.meta_contexts(option, data),
            _ => self.refuse(option, reply::ERR_UNSUP, "this server does not know that option"),
        }
        Next::Option
    }

    /// The old way in, which has no way to say no but to hang up.
    fn export_name(&mut self, data: &[u8]) -> Next {
        let found = std::str::from_utf8(data).ok().and_then(|name| self.find(name).ok());
        let Some((name, unit)) = found else { return Next::Close };
        let Ok(claim) = self.registry.claim(&name, Use::Client) else { return Next::Close };
        let (told, geometry) = self.seen_by_the_client(&name, &*unit);
        self.out.extend_from_slice(&geometry.bytes().to_be_bytes());
        self.out.extend_from_slice(&transmission_flags(&geometry, self.structured).to_be_bytes());
        if !self.no_zeroes {
            self.out.extend_from_slice(&[0; 124]);
        }
        Next::Transmission(Agreed { name, unit, structured: self.structured, told, claim })
    }

    /// The unit of that name. No name means the only one there is.
    ///
    /// # Errors
    /// A sentence for people, with the names that there are.
    fn find(&self, name: &str) -> Result<(UnitName, Arc<dyn Block>), String> {
        if let Some(unit) = self.registry.get(name) {
            return Ok((name.to_owned(), unit));
        }
        let mut all = self.registry.list();
        match all.pop() {
            Some(only) if name.is_empty() && all.is_empty() => Ok(only),
            Some(last) => {
                all.push(last);
                Err(no_such_unit(name, all.iter().map(|(name, _)| name.as_str())))
            }
            None => Err("no unit is logged in".to_owned()),
        }
    }

    /// Whether the client knows how large the unit's blocks are, and what the unit is like for it.
    fn seen_by_the_client(&self, name: &str, unit: &dyn Block) -> (bool, Geometry) {
        let (told, geometry) = (self.told.as_deref() == Some(name), unit.geometry());
        (told, if told { geometry } else { in_small_blocks(&geometry) })
    }

    fn list(&mut self, data: &[u8]) {
        if !data.is_empty() {
            return self.refuse(option::LIST, reply::ERR_INVALID, "this option takes no data");
        }
        for (name, unit) in self.registry.list() {
            let length = (name.len() as u32).to_be_bytes();
            self.reply(option::LIST, reply::SERVER, &[&length, name.as_bytes(), describe(&unit.geometry()).as_bytes()]);
        }
        self.reply(option::LIST, reply::ACK, &[]);
    }

    fn describe(&mut self, option: u32, data: &[u8]) -> Next {
        let mut fields = Fields(data);
        let request = (|| {
            let name = fields.string()?;
            let count = fields.u16()?;
            let wanted = (0..count).map(|_| fields.u16()).collect::<Option<Vec<u16>>>()?;
            fields.0.is_empty().then_some((name, wanted))
        })();
        let Some((name, wanted)) = request else {
            self.refuse(
                option,
                reply::ERR_INVALID,
                "the export name or the information requests do not fit the option",
            );
            return Next::Option;
        };
        let (name, unit) = match self.find(name) {
            Ok(found) => found,
            Err(why) => {
                self.refuse(option, reply::ERR_UNKNOWN, &why);
                return Next::Option;
            }
        };
        let Ok(claim) = self.registry.claim(&name, Use::Client) else {
            self.refuse(option, reply::ERR_POLICY, IN_USE);
            return Next::Option;
        };
        if wanted.contains(&info::BLOCK_SIZE) {
            self.told = Some(name.clone());
        }
        let (told, geometry) = self.seen_by_the_client(&name, &*unit);
        let flags = transmission_flags(&geometry, self.structured);
        self.info(option, info::EXPORT, &[&geometry.bytes().to_be_bytes(), &flags.to_be_bytes()]);
        // It is sent unasked as well: a client that heeds it is spared the patching of blocks.
        let sizes = block_sizes(&unit.geometry()).map(u32::to_be_bytes);
        self.info(option, info::BLOCK_SIZE, &[sizes.as_flattened()]);
        if wanted.contains(&info::NAME) {
            self.info(option, info::NAME, &[name.as_bytes()]);
        }
        if wanted.contains(&info::DESCRIPTION) {
            self.info(option, info::DESCRIPTION, &[describe(&geometry).as_bytes()]);
        }
        self.reply(option, reply::ACK, &[]);
        if option == option::GO {
            return Next::Transmission(Agreed { name, unit, structured: self.structured, told, claim });
        }
        Next::Option
    }

    /// There are none: which blocks of a unit are allocated is not known here, and to say "all" would
    /// cost a client a round trip for each extent and tell it nothing.
    fn meta_contexts(&mut self, option: u32, data: &[u8]) {
        let mut fields = Fields(data);
        let name = (|| {
            let name = fields.string()?;
            let count = fields.u32()?;
            for _ in 0..count {
                fields.string()?;
            }
            fields.0.is_empty().then_some(name)
        })();
        match name {
            _ if !self.structured => {
                self.refuse(option, reply::ERR_INVALID, "metadata contexts need structured replies first");
            }
            None => self.refuse(option, reply::ERR_INVALID, "the export name or the queries do not fit the option"),
            Some(name) => match self.find(name) {
                Ok(_) => self.reply(option, reply::ACK, &[]),
                Err(why) => self.refuse(option, reply::ERR_UNKNOWN, &why),
            },
        }
    }

    fn info(&mut self, option: u32, kind: u16, data: &[&[u8]]) {
        self.reply(option, reply::INFO, &[&kind.to_be_bytes(), &data.concat()]);
    }

    fn refuse(&mut self, option: u32, error: u32, why: &str) {
        self.reply(option, error, &[why.as_bytes()]);
    }

    fn reply(&mut self, option: u32, kind: u32, data: &[&[u8]]) {
        let length: usize = data.iter().map(|part| part.len()).sum();
        self.out.extend_from_slice(&OPTION_REPLY_MAGIC.to_be_bytes());
        self.out.extend_from_slice(&option.to_be_bytes());
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&(length as u32).to_be_bytes());
        data.iter().for_each(|part| self.out.extend_from_slice(part));
    }
}

/// Why there is no unit of that name, with as many names as fit a string of the protocol.
fn no_such_unit<'a>(name: &str, there: impl Iterator<Item = &'a str>) -> String {
    let mut why = match name {
        "" => "there is more than one unit, choose one by its name: ".to_owned(),
        _ => "no unit of that name is logged in; there are: ".to_owned(),
    };
    let rest = " …";
    for (number, name) in there.enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        if why.len() + comma.len() + name.len() + rest.len() > MAX_STRING {
            why.push_str(rest);
            break;
        }
        why.push_str(comma);
        why.push_str(name);
    }
    why
}

/// What is left of an option's data.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// A length and that many bytes of UTF-8, at most as long as a string may be.
    fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        if length > MAX_STRING { None } else { std::str::from_utf8(bytes).ok() }
    }
}

async fn patiently<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(OPTION_TIMEOUT, io).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client was silent during the handshake")),
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn transmission_flags(geometry: &Geometry, structured: bool) -> u16 {
    use transmission_flag::*;
    // CAN_MULTI_CONN demands that a flush on one connection covers the writes that were answered on
    // all others. It does: nothing is cached here, a write is answered when the unit has answered it,
    // and a flush is the unit's own SYNCHRONIZE CACHE over all its blocks.
    let mut flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN;
    if structured {
        flags |= SEND_DF;
    }
    if geometry.rotational {
        flags |= ROTATIONAL;
    }
    if geometry.read_only {
        return flags | READ_ONLY;
    }
    // FAST_ZERO does not promise speed, it promises an answer: ENOTSUP where zeroes have to be sent.
    flags |= SEND_WRITE_ZEROES | SEND_FAST_ZERO;
    if geometry.max_unmap_blocks > 0 {
        flags |= SEND_TRIM;
    }
    flags
}

/// Minimum, preferred and maximum, in bytes. The preferred size is a power of two from which on
/// requests are efficient: the physical block, or what the unit says it likes best.
fn block_sizes(geometry: &Geometry) -> [u32; 3] {
    let least = geometry.block_size.max(geometry.physical_block_size).max(4096).next_power_of_two();
    let liked = match geometry.optimal_transfer {
        // It does not say.
        optimal if optimal == geometry.max_transfer => 0,
        optimal => optimal.checked_ilog2().map_or(0, |log| 1 << log),
    };
    [geometry.block_size, liked.max(least).min(MAX_PAYLOAD), MAX_PAYLOAD]
}

fn describe(geometry: &Geometry) -> String {
    let mib = geometry.bytes() >> 20;
    let size = if mib >= 10 << 10 { format!("{} GiB", mib >> 10) } else { format!("{mib} MiB") };
    let read_only = if geometry.read_only { ", read-only" } else { "" };
    format!("iSCSI unit of {size} in {}-byte blocks{read_only}", geometry.block_size)
}
