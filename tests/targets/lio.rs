//! LIO, the target in the Linux kernel, in a QEMU guest: on 127.x.y.5:3260 of this machine. The words of the scripts are
//! in `lio/lio.sh`.

use std::fmt::Write as _;

use crate::guest::Guest;
use crate::targets::{Auth, CHAP_NAME, CHAP_SECRET, MUTUAL_NAME, MUTUAL_SECRET, Spec};

/// A target of the guest.
pub(crate) struct Lio<'guest> {
    pub(crate) guest: &'guest Guest,
    pub(crate) iqn: String,
}

impl<'guest> Lio<'guest> {
    /// One on port 3260 with units 0, 1, … named disk0, disk1, … in the guest's memory.
    pub(crate) fn start(guest: &'guest Guest, spec: &Spec) -> Lio<'guest> {
        Lio::start_with(guest, spec, "")
    }

    /// The same, and a script before it is enabled.
    pub(crate) fn start_with(guest: &'guest Guest, spec: &Spec, script: &str) -> Lio<'guest> {
        let iqn = spec.iqn();
        let mut set_up = format!("target {iqn}\n");
        let Spec { disks, bytes, block_size, .. } = spec;
        if *disks > 0 {
            let last = disks - 1;
            writeln!(set_up, "for n in $(seq 0 {last}); do disk disk$n {bytes} {block_size}; unit $n disk$n; done")
                .expect("text");
        }
        match spec.auth {
            Auth::None => Ok(()),
            Auth::Chap => writeln!(set_up, "chap {CHAP_NAME} {CHAP_SECRET}"),
            Auth::Mutual => writeln!(set_up, "chap {CHAP_NAME} {CHAP_SECRET} {MUTUAL_NAME} {MUTUAL_SECRET}"),
        }
        .expect("text");
        for (key, value) in &spec.keys {
            writeln!(set_up, "key {key}={value}").expect("text");
        }
        writeln!(set_up, "{script}\nportal 3260\nenable").expect("text");
        guest.script(&set_up);
        Lio { guest, iqn }
    }

    /// Its portal.
    pub(crate) fn portal(&self) -> String {
        self.guest.portal(3260)
    }

    /// A script about this target.
    pub(crate) fn script(&self, script: &str) -> String {
        self.guest.script(&format!("of {}\n{script}", self.iqn))
    }

    /// How many sessions it has.
    pub(crate) fn sessions(&self) -> usize {
        self.script("sessions").lines().count()
    }
}
