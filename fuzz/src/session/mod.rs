//! A session, its driver and its target, led by the input; what must hold is asserted all the way.
//!
//! ```text
//!   input ──► operations ─┬─► driver: submit, cancel, manage, text, logout, time, loss, new connection
//!                         └─► target: PDUs that answer what is under way, right or wrong; bytes of any kind
//!                                        │
//!        Model ◄── events, transmits, plans ── Session
//! ```
//! The oracle ([`model`]):
//! - a command ends once, also if the session is given up;
//! - data is placed only for a read that is under way, and within its buffer;
//! - what is sent is well-formed, in the order of submission, numbered without a gap, within the target's window, and
//!   data goes only where an R2T or the first burst allows;
//! - a PDU that is in order is taken, one that is not ends the connection;
//! - memory is bounded.
//!
//! After bytes of any kind ("wild") it is not known what the target is entitled to; until the next connection only
//! what holds in any case is asserted.

mod model;
mod peer;
mod sent;

use arbitrary::Unstructured;

use crate::handoff::handoff;
use crate::memory;
use model::Model;

/// More than a session of this size and its model ever need.
const LIMIT: usize = 6 << 20;

/// One session.
pub fn run(data: &[u8]) {
    let before = memory::mark();
    // Input that ends in the middle is one with fewer operations.
    let _ = drive(&mut Unstructured::new(data), &before);
    before.at_most(0, "a session that is over");
}

fn drive(u: &mut Unstructured<'_>, before: &memory::Mark) -> arbitrary::Result<()> {
    let handoff = handoff(u)?;
    let mut model = Model::new(u, &handoff)?;
    let mut result = Ok(());
    while !u.is_empty() && result.is_ok() {
        result = operation(&mut model, u);
        before.at_most(LIMIT, "a session");
    }
    model.end();
    result
}

fn operation(model: &mut Model, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    match u.int_in_range(0..=31)? {
        0..=5 => model.submit(u)?,
        6..=9 => model.transmit_all(),
        10 => {
            model.transmit();
        }
        11..=22 => peer::say(model, u)?,
        23 => model.retire(u)?,
        24 => model.cancel(u)?,
        25 => model.manage(u)?,
        26 => model.text(u)?,
        27 => model.time(u)?,
        28 => peer::flood(model, u)?,
        29 => peer::anything(model, u)?,
        30 => match u.int_in_range(0..=3)? {
            0 => model.logout(u)?,
            1 => model.give_up(),
            _ => model.lose(),
        },
        _ => {
            let handoff = handoff(u)?;
            model.reinstate(&handoff);
        }
    }
    Ok(())
}
