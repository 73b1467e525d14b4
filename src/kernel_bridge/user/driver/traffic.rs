//! What goes over the socket: one gathered write for many PDUs, and reads that put bytes where they
//! belong.
//!
//! ```text
//!   small PDUs          ──► ring ──► core, and a copy into the task's buffer
//!   a large Data-In     ──► the task's buffer, and the next header into the ring
//! ```

use std::io::{self, IoSlice, IoSliceMut, Read};

use iscsi_proto::session::{Head, Payload, RxPlan};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::state::Link;
use super::{Driver, Hardware, Lost};
use crate::kernel_bridge::counters::add;
use crate::kernel_bridge::user::outbox::MAX_SLICES;
use crate::kernel_bridge::user::ring::Ring;

/// A Data-In of at least this many bytes is read straight into its buffer. Below, one copy out of a cache is cheaper
/// than system calls for each PDU (docs/performance.md has the measurement).
const DIRECT: usize = 128 << 10;

/// How much is read beyond a large Data-In: the header that follows, not its payload.
const PEEK: usize = 256;

/// Bytes of one round, a ring's worth: what they complete is handed on while the target sends more, and the others
/// on this thread have their turn.
const BYTES_PER_ROUND: usize = 256 << 10;

impl Driver {
    pub(super) fn transmit(&mut self) -> Result<(), Lost> {
        let Link::Up(stream) = &self.link else { return Ok(()) };
        let mut head = Head::default();
        let mut pdus = 0;
        loop {
            while self.outbox.has_room() {
                let Some(transmit) = self.session.poll_transmit(&mut head) else { break };
                pdus += 1;
                let mut buffer: &[u8] = &[];
                if let Payload::Task { itt, .. } = transmit.payload
                    && let Some(slot) = self.slots.get_mut(itt.slot())
                    && let Some(request) = &slot.request
                {
                    slot.sending += 1;
                    buffer = request.bytes();
                }
                self.outbox.push::<Hardware>(&head, &transmit, buffer);
            }
            if self.outbox.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let slots = &self.slots;
            let used = self.outbox.slices(&mut slices, |itt| {
                slots.get(itt.slot()).and_then(|slot| slot.request.as_ref()).map_or(&[], |request| request.bytes())
            });
            let written = stream.try_write_vectored(&slices[..used]);
            add(&self.counters.sends, 1);
            match written {
                Ok(0) => return Err(Lost("the socket takes nothing more".into())),
                Ok(n) => self.outbox.advance(n, |itt| {
                    if let Some(slot) = self.slots.get_mut(itt.slot()) {
                        slot.sending = slot.sending.saturating_sub(1);
                        if slot.sending == 0 {
                            self.sent.extend(slot.ended.take());
                        }
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Lost(error.to_string())),
            }
        }
        add(&self.counters.pdus_out, pdus);
        Ok(())
    }

    pub(super) fn receive(&mut self) -> Result<(), Lost> {
        let now = self.now();
        let mut left = BYTES_PER_ROUND;
        self.unread = false;
        loop {
            let Link::Up(stream) = &self.link else { return Ok(()) };
            match self.session.rx_plan() {
                RxPlan::Stop => return Ok(()),
                RxPlan::Scratch { need } if self.ring.filled().len() >= need => {
                    let used = self.session.rx_scratch(now, self.ring.filled()).map_err(broken)?;
                    self.ring.consume(used);
                }
                RxPlan::Scratch { .. } if left == 0 => return Ok(()),
                RxPlan::Scratch { .. } => {
                    add(&self.counters.receives, 1);
                    let Some(got) = read(stream, &mut [], &mut self.ring, self.large)? else { return Ok(()) };
                    left = self.after(&got, left);
                }
                RxPlan::Place { itt, offset, len } => {
                    let (offset, len) = (offset as usize, len as usize);
                    // The rest of a large one is no small one.
                    let placing = (itt, offset + len);
                    if self.placing != placing {
                        (self.placing, self.large) = (placing, len >= DIRECT);
                    }
                    let Some(request) = self.slots.get_mut(itt.slot()).and_then(|slot| slot.request.as_mut()) else {
                        return Err(Lost("data for a task that has no buffer".into()));
                    };
                    let Some(place) = request.bytes_mut().get_mut(offset..offset + len) else {
                        return Err(Lost("data past the end of its buffer".into()));
                    };
                    if !self.ring.filled().is_empty() {
                        let ready = self.ring.filled();
                        let n = ready.len().min(len);
                        place[..n].copy_from_slice(&ready[..n]);
                        self.session.rx_placed(now, &place[..n]).map_err(broken)?;
                        self.ring.consume(n);
                        continue;
                    }
                    if left == 0 {
                        return Ok(());
                    }
                    add(&self.counters.receives, 1);
                    let Some(got) = read(stream, place, &mut self.ring, self.large)? else { return Ok(()) };
                    self.session.rx_placed(now, &place[..got.placed]).map_err(broken)?;
                    left = self.after(&got, left);
                }
            }
        }
    }
}

impl Driver {
    /// How much more is read in this round.
    fn after(&mut self, got: &Got, left: usize) -> usize {
        let left = if got.emptied { 0 } else { left.saturating_sub(got.bytes) };
        self.unread = left == 0 && !got.emptied;
        left
    }
}

/// What a read brought.
struct Got {
    /// Bytes in all.
    bytes: usize,
    /// Those of them in the task's buffer; the others are in the ring.
    placed: usize,
    /// The socket has no more.
    emptied: bool,
}

/// One read, into `place` first and then into the ring: all of its room, or, after `large` data, no
/// more than the header that follows. `None` where nothing is there yet.
fn read(stream: &TcpStream, place: &mut [u8], ring: &mut Ring, large: bool) -> Result<Option<Got>, Lost> {
    let spare = ring.spare();
    let room = if large { PEEK.min(spare.len()) } else { spare.len() };
    let (wanted, asked) = (place.len(), place.len() + room);
    let mut got = None;
    let read = stream.try_io(Interest::READABLE, || {
        let slices = &mut [IoSliceMut::new(place), IoSliceMut::new(&mut spare[..room])];
        let read = (&*SockRef::from(stream)).read_vectored(slices)?;
        got = Some(read);
        // Less than was asked for has emptied the socket: the next bytes raise a new edge, and the read
        // that would say "nothing" can be spared. Only here: an edge that comes after this read counts.
        if read < asked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    let got = match (got, read) {
        (Some(0), _) => return Err(Lost("the target closed the connection".into())),
        (Some(got), _) => got,
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        (None, Err(error)) => return Err(Lost(error.to_string())),
        (None, Ok(())) => return Ok(None),
    };
    let placed = got.min(wanted);
    ring.arrived(got - placed);
    Ok(Some(Got { bytes: got, placed, emptied: got < asked }))
}

/// The core's word on a connection is final.
fn broken(error: iscsi_proto::error::Error) -> Lost {
    Lost(error.to_string())
}
