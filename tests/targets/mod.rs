//! Targets nobody here wrote, each in a process of its own on a free loopback port:
//!
//! ```text
//!   Spec (units, size, authentication, keys) ──► Tgt::start | Istgt::start ──► Target { iqn, portals, units }
//! ```

mod istgt;
mod tgt;

use std::path::PathBuf;

pub(crate) use istgt::Istgt;
pub(crate) use tgt::Tgt;

use crate::common::port::Port;

pub(crate) const CHAP_NAME: &str = "inuser";
pub(crate) const CHAP_SECRET: &str = "initiatorsecret";
pub(crate) const MUTUAL_NAME: &str = "outuser";
pub(crate) const MUTUAL_SECRET: &str = "targetsecret12";

/// How a target wants the login authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Chap,
    Mutual,
}

/// What a target shall be.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Last part of its name.
    pub(crate) name: &'static str,
    /// How many disks.
    pub(crate) disks: u32,
    /// Size of each, in bytes.
    pub(crate) bytes: u64,
    pub(crate) block_size: u32,
    pub(crate) auth: Auth,
    /// Keys of RFC 7143 and what the target offers for them.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
}

impl Spec {
    /// One disk of 4 MiB, open to anyone.
    pub(crate) fn new() -> Spec {
        Spec { name: "disk", disks: 1, bytes: 4 << 20, block_size: 512, auth: Auth::None, keys: Vec::new() }
    }

    pub(crate) fn name(self, name: &'static str) -> Spec {
        Spec { name, ..self }
    }

    pub(crate) fn disks(self, disks: u32) -> Spec {
        Spec { disks, ..self }
    }

    pub(crate) fn bytes(self, bytes: u64) -> Spec {
        Spec { bytes, ..self }
    }

    pub(crate) fn block_size(self, block_size: u32) -> Spec {
        Spec { block_size, ..self }
    }

    pub(crate) fn auth(self, auth: Auth) -> Spec {
        Spec { auth, ..self }
    }

    pub(crate) fn key(mut self, key: &'static str, value: &'static str) -> Spec {
        self.keys.push((key, value));
        self
    }

    pub(crate) fn iqn(&self) -> String {
        format!("iqn.2026-11.org.example:{}", self.name)
    }
}

/// A target as an initiator sees it, and where its data really is.
pub(crate) struct Target {
    pub(crate) iqn: String,
    /// Its disks, by number.
    pub(crate) disks: Vec<Disk>,
    port: Port,
}

/// A disk.
pub(crate) struct Disk {
    pub(crate) lun: u64,
    /// The file behind it.
    pub(crate) file: PathBuf,
}

impl Target {
    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// Its portal.
    pub(crate) fn ipv4(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// Its other portal.
    pub(crate) fn ipv6(&self) -> String {
        format!("[::1]:{}", self.port.number)
    }
}

/// How often a target is started on another port before the test gives up.
const ATTEMPTS: u32 = 3;
