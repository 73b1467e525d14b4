//! One session three times: what the target sends arrives as it was sent, byte by byte, and glued
//! together as far as nothing of ours comes between. All three must show the same.
//!
//! ```text
//!   feed ─┬─► whole     what tests look at
//!         ├─► bytes     compared after each step
//!         └─► glued     held back until we do something ourselves, then all at once; compared at the end
//! ```

extern crate std;

use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;

use super::super::*;
use crate::pdu::{BHS_LEN, Bhs, data_segment_len};

/// A PDU that the session sent: header, and data without padding.
#[derive(Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) bhs: Bhs,
    pub(super) data: Vec<u8>,
}

/// A session, and what a driver has beside it.
struct Line {
    session: Session,
    /// Buffers by slot.
    buffers: Vec<Vec<u8>>,
    backlog: Vec<u8>,
    /// What was told, and the sense bytes that belonged to it.
    told: Vec<(Event, Vec<u8>)>,
}

impl Line {
    /// Delivers bytes as a driver does.
    fn deliver(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        self.backlog.extend(bytes);
        loop {
            match self.session.rx_plan() {
                RxPlan::Stop => return Ok(()),
                RxPlan::Scratch { .. } => {
                    let used = self.session.rx_scratch(now, &self.backlog)?;
                    self.backlog.drain(..used);
                    if used == 0 {
                        return Ok(());
                    }
                }
                RxPlan::Place { itt, offset, len } => {
                    let take = self.backlog.len().min(len as usize);
                    if take == 0 {
                        return Ok(());
                    }
                    let part: Vec<u8> = self.backlog.drain(..take).collect();
                    self.buffers[itt.slot()][offset as usize..][..take].copy_from_slice(&part);
                    self.session.rx_placed(now, &part)?;
                }
            }
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.session.poll_event()?;
        let sense = match &event {
            Event::TaskDone { itt, .. } => self.session.sense(*itt).to_vec(),
            _ => Vec::new(),
        };
        self.told.push((event.clone(), sense));
        Some(event)
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        let mut head = Head::default();
        while let Some(transmit) = self.session.poll_transmit(&mut head) {
            let mut bhs = [0; BHS_LEN];
            bhs.copy_from_slice(&head.bytes()[..BHS_LEN]);
            let data = match transmit.payload {
                Payload::None => Vec::new(),
                Payload::Task { itt, offset, len } => {
                    self.buffers[itt.slot()][offset as usize..][..len as usize].to_vec()
                }
                Payload::Core(bytes) => bytes[..data_segment_len(&bhs) as usize].to_vec(),
            };
            assert_eq!(data.len(), data_segment_len(&bhs) as usize);
            all.push(Sent { bhs, data });
        }
        all
    }
}

/// The three of them, with the calls of a [`Session`].
pub(super) struct Sessions {
    whole: Line,
    bytes: Line,
    glued: Line,
    /// What the glued one has not been given yet, and when it came.
    held: (Instant, Vec<u8>),
}

impl Sessions {
    pub(super) fn new(handoff: &Handoff, config: SessionConfig) -> Sessions {
        let line = || Line {
            session: Session::from_handoff(handoff, config, Instant::ZERO).expect("a handoff that makes sense"),
            buffers: vec![Vec::new(); usize::from(config.depth) + usize::from(CONTROL_SLOTS)],
            backlog: Vec::new(),
            told: Vec::new(),
        };
        Sessions { whole: line(), bytes: line(), glued: line(), held: (Instant::ZERO, Vec::new()) }
    }

    /// The target has sent these bytes.
    pub(super) fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        let result = self.whole.deliver(now, bytes);
        let one_by_one = bytes.iter().try_for_each(|byte| self.bytes.deliver(now, &[*byte]));
        assert_eq!(one_by_one, result, "byte by byte");
        if self.held.0 != now {
            assert_eq!(self.release(), Ok(()), "glued");
        }
        self.held.0 = now;
        self.held.1.extend(bytes);
        if result.is_err() {
            assert_eq!(self.release(), result, "glued");
        }
        result
    }

    /// Gives the glued session what was held back.
    fn release(&mut self) -> Result<(), Error> {
        let held = core::mem::take(&mut self.held.1);
        let result = self.glued.deliver(self.held.0, &held);
        // Sense is there until its task retires.
        while self.glued.poll_event().is_some() {}
        result
    }

    /// The same call for all three, with the same result.
    fn all<R: PartialEq + Debug>(&mut self, mut call: impl FnMut(&mut Line) -> R) -> R {
        assert_eq!(self.release(), Ok(()), "glued");
        let result = call(&mut self.whole);
        assert_eq!(call(&mut self.bytes), result, "byte by byte");
        assert_eq!(call(&mut self.glued), result, "glued");
        result
    }

    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let sent = self.whole.sent();
        assert_eq!(self.bytes.sent(), sent, "byte by byte");
        if !sent.is_empty() {
            assert_eq!(self.release(), Ok(()), "glued");
            assert_eq!(self.glued.sent(), sent, "glued");
        }
        sent
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let event = self.whole.poll_event();
        assert_eq!(self.bytes.poll_event(), event, "byte by byte");
        event
    }

    pub(super) fn submit(&mut self, command: Command, buffer: &[u8]) -> Itt {
        self.all(|line| {
            let itt = line.session.submit(command).expect("room");
            line.buffers[itt.slot()] = buffer.to_vec();
            itt
        })
    }

    /// A command without data, if there is room.
    pub(super) fn try_submit(&mut self, command: Command) -> Result<Itt, Error> {
        self.all(|line| line.session.submit(command))
    }

    /// What lies in a task's buffer.
    pub(super) fn buffer(&self, itt: Itt) -> &[u8] {
        &self.whole.buffers[itt.slot()]
    }

    pub(super) fn manage(&mut self, what: Manage) -> Result<Itt, Error> {
        self.all(|line| line.session.manage(what))
    }

    pub(super) fn text(&mut self, data: Vec<u8>, limit: usize) -> Result<Itt, Error> {
        self.all(|line| line.session.text(data.clone(), limit))
    }

    pub(super) fn logout(&mut self, reason: LogoutReason) -> Result<Itt, Error> {
        self.all(|line| line.session.logout(reason))
    }

    pub(super) fn cancel(&mut self, itt: Itt) -> bool {
        self.all(|line| line.session.cancel(itt))
    }

    pub(super) fn retire(&mut self, itt: Itt) -> Result<(), Error> {
        self.all(|line| line.session.retire(itt))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.all(|line| line.session.handle_timeout(now))
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.all(|line| line.session.poll_timeout())
    }

    pub(super) fn connection_lost(&mut self) {
        self.all(|line| {
            line.backlog.clear();
            line.session.connection_lost();
        });
    }

    pub(super) fn give_up(&mut self) {
        self.all(|line| line.session.give_up());
    }

    pub(super) fn reinstate(&mut self, handoff: &Handoff, now: Instant) -> Result<(), Error> {
        self.all(|line| line.session.reinstate(handoff, now))
    }

    pub(super) fn room(&mut self) -> usize {
        self.all(|line| line.session.room())
    }

    pub(super) fn in_flight(&mut self) -> usize {
        self.all(|line| line.session.in_flight())
    }

    pub(super) fn gone_out(&mut self) -> usize {
        self.all(|line| line.session.gone_out())
    }

    pub(super) fn is_held(&mut self) -> bool {
        self.all(|line| line.session.is_held())
    }

    pub(super) fn wants_to_transmit(&mut self) -> bool {
        self.all(|line| line.session.wants_to_transmit())
    }

    pub(super) fn connection_params(&self) -> &ConnectionParams {
        self.whole.session.connection_params()
    }

    pub(super) fn rx_plan(&self) -> RxPlan {
        self.whole.session.rx_plan()
    }

    pub(super) fn sense(&self, itt: Itt) -> &[u8] {
        self.whole.session.sense(itt)
    }
}

impl Drop for Sessions {
    /// The end of a scenario: all three have told the same and hold the same data.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.release(), Ok(()), "glued");
        for line in [&mut self.whole, &mut self.bytes, &mut self.glued] {
            while line.poll_event().is_some() {}
        }
        assert_eq!(self.glued.told, self.whole.told, "glued");
        assert_eq!(self.bytes.told, self.whole.told, "byte by byte");
        assert!(self.glued.buffers == self.whole.buffers && self.bytes.buffers == self.whole.buffers);
    }
}
