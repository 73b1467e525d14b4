//! Why a login failed, and what follows from it: the one table of exit codes, retries
//! and advice.
//!
//! | cause | exit code | again? |
//! |---|---|---|
//! | host unknown, no route, silence | 68 | later |
//! | interface unknown | 65 | no |
//! | connection refused, or dropped during the login | 69 | later |
//! | not iSCSI, or against its rules, a key's among them | 76 | no |
//! | nothing in common to negotiate | 76 | no |
//! | CHAP: 0201, with a secret or without one, or the target did not prove itself | 77 | no, not even elsewhere |
//! | 0202: not allowed | 77 | no |
//! | 0203, 0204: target not there | 65 | no |
//! | other 02xx, or a Reject | 76 | no |
//! | 03xx | 75 | later |
//! | redirected in a circle, to another name, to nowhere | 76 | no |
//! | settings that cannot be used | 78 | no, not even elsewhere |
//! | the kernel would not take the connection | 69 | later |
//! | cancelled | 75 | no, not even elsewhere |
//!
//! "No" is for the command that waits for an answer; an automatic login and a lost session come back
//! to it at long intervals, because somebody may have set the target right meanwhile.

use std::fmt;
use std::io;
use std::time::Duration;

use iscsi_proto::login::status_text;

use crate::ipc::{ExitCode, Failure};

/// Why a login or a discovery over one portal failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The resolver does not know the host.
    HostUnknown {
        /// What it says.
        why: String,
    },
    /// There is no such interface.
    InterfaceUnknown {
        /// What was asked for.
        interface: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The network says that there is no way.
    Unreachable {
        /// What it says.
        why: String,
    },
    /// Nothing came, neither at connecting nor afterwards.
    Silent {
        /// For so long.
        after: Duration,
    },
    /// The host refuses the connection: no program listens.
    Closed,
    /// The connection was lost during the login.
    Dropped {
        /// How it was lost.
        why: String,
    },
    /// The other side does not speak iSCSI, or breaks its rules.
    NotIscsi {
        /// What shows it.
        why: String,
    },
    /// The other side is an iSCSI target, and says something of a key that cannot be.
    Misspoken {
        /// What.
        why: String,
    },
    /// The two sides have no value of a key in common, although both keep the rules.
    Incompatible {
        /// What they differ in.
        why: String,
    },
    /// The target refused (RFC 7143 §11.13.5).
    Refused {
        /// Status-Class, 2 or 3.
        class: u8,
        /// Status-Detail.
        detail: u8,
    },
    /// The target rejected a request by a Reject PDU (RFC 7143 §11.17).
    Rejected {
        /// Reason.
        reason: u8,
    },
    /// The target refused for want of authentication (RFC 7143 §11.13.5: 0201), and no CHAP is configured.
    ChapMissing,
    /// The target did not authenticate itself, or would not authenticate us as configured.
    Authentication {
        /// What it did.
        why: String,
    },
    /// A redirection that cannot be followed.
    Redirected {
        /// Why not.
        why: String,
    },
    /// What is configured cannot be used.
    Settings {
        /// What.
        why: String,
    },
    /// The kernel would not take the connection.
    Kernel(String),
    /// Somebody wanted the attempt to end.
    Cancelled,
}

/// When it makes sense to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It may pass by itself.
    Later,
    /// Not before somebody changes something; another portal may do.
    Elsewhere,
    /// Not before somebody changes something, and no portal will do.
    Never,
}

impl Cause {
    /// The table of the module's head.
    const fn consequences(&self) -> (ExitCode, Again) {
        match self {
            Cause::HostUnknown { .. } | Cause::Unreachable { .. } | Cause::Silent { .. } => {
                (ExitCode::NoHost, Again::Later)
            }
            Cause::InterfaceUnknown { .. } => (ExitCode::Data, Again::Elsewhere),
            Cause::Closed | Cause::Dropped { .. } => (ExitCode::Unavailable, Again::Later),
            Cause::NotIscsi { .. }
            | Cause::Misspoken { .. }
            | Cause::Incompatible { .. }
            | Cause::Rejected { .. }
            | Cause::Redirected { .. } => (ExitCode::Protocol, Again::Elsewhere),
            Cause::Refused { class: 2, detail: 1 } => (ExitCode::NotPermitted, Again::Never),
            // An access list may belong to a portal.
            Cause::Refused { class: 2, detail: 2 } => (ExitCode::NotPermitted, Again::Elsewhere),
            Cause::Refused { class: 2, detail: 3 | 4 } => (ExitCode::Data, Again::Elsewhere),
            Cause::Refused { class: 3, .. } => (ExitCode::TryAgain, Again::Later),
            Cause::Refused { .. } => (ExitCode::Protocol, Again::Elsewhere),
            Cause::Authentication { .. } | Cause::ChapMissing => (ExitCode::NotPermitted, Again::Never),
            Cause::Settings { .. } => (ExitCode::Configuration, Again::Never),
            Cause::Kernel(_) => (ExitCode::Unavailable, Again::Later),
            Cause::Cancelled => (ExitCode::TryAgain, Again::Never),
        }
    }

    /// How a command that fails for it exits.
    pub(crate) const fn code(&self) -> ExitCode {
        self.consequences().0
    }

    /// When to try again.
    pub(crate) const fn again(&self) -> Again {
        self.consequences().1
    }

    /// What connecting failed for.
    pub(crate) fn of_connect(error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::Closed,
            io::ErrorKind::ConnectionReset => Cause::Dropped { why: error.to_string() },
            _ => Cause::Unreachable { why: error.to_string() },
        }
    }

    /// What to do about it.
    const fn advice(&self) -> &'static str {
        match self {
            Cause::HostUnknown { .. } => "check the spelling of the portal and the name server",
            Cause::InterfaceUnknown { .. } => "set another interface, or `default` for any",
            Cause::Unreachable { .. } => "check the network and the address",
            Cause::Silent { .. } => "check the address, the network and the target's firewall",
            Cause::Closed => "check the port, and that the target's service runs",
            Cause::Dropped { .. } => {
                "some targets do that to an initiator that they do not accept or that brings no CHAP secret: look into the target's log"
            }
            Cause::NotIscsi { .. } => "check that an iSCSI target listens at this port",
            Cause::Misspoken { .. } => "look at this key in the target's settings, and into its log",
            Cause::Incompatible { .. } => "change the target's settings with `iscsictl modify target`",
            Cause::Refused { class: 2, detail: 1 } => {
                "check CHAP names and secrets here (`iscsictl modify target`) and at the target"
            }
            Cause::ChapMissing => {
                "set them by `iscsictl modify target IQN --chap-name NAME --chap-secret`, for discovery by `iscsictl modify initiator`"
            }
            Cause::Authentication { .. } => {
                "`iscsictl modify target` sets CHAP for a target, `iscsictl modify initiator` for discovery and all the others"
            }
            Cause::Refused { class: 2, detail: 2 } => {
                "allow this initiator's name (`iscsictl show initiator`) at the target"
            }
            Cause::Refused { class: 2, detail: 3 | 4 } => "ask the portal for its targets with `iscsictl discover`",
            Cause::Refused { class: 2, .. } | Cause::Rejected { .. } => "look into the target's log",
            Cause::Refused { .. } => "try again later",
            Cause::Redirected { .. } => "look at the target's redirection settings",
            Cause::Settings { .. } => "change it with `iscsictl modify`",
            Cause::Kernel(_) => "look into the log of iscsid",
            Cause::Cancelled => "log in again if that was not intended",
        }
    }
}

impl fmt::Display for Cause {
    /// A clause without the portal and without advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::HostUnknown { why } => write!(f, "the host is not known ({why})"),
            Cause::InterfaceUnknown { interface, known } => {
                write!(f, "there is no network interface `{interface}`, only {}", known.join(", "))
            }
            Cause::Unreachable { why } => write!(f, "the host cannot be reached ({why})"),
            Cause::Silent { after } => write!(f, "no answer came within {} seconds", after.as_secs()),
            Cause::Closed => f.write_str("nothing listens at that port (connection refused)"),
            Cause::Dropped { why } => write!(f, "the target closed the connection during the login ({why})"),
            Cause::NotIscsi { why } => write!(f, "what answers there does not speak iSCSI properly: {why}"),
            Cause::Misspoken { why } => write!(f, "the target does not log in properly: {why}"),
            Cause::Incompatible { why } | Cause::Settings { why } | Cause::Authentication { why } => f.write_str(why),
            Cause::Refused { class, detail } => {
                write!(f, "the target refused: {} (status {class:02x}{detail:02x})", status_text(*class, *detail))
            }
            Cause::Rejected { reason } => {
                write!(f, "the target rejected a request of the login (Reject PDU, reason {reason:#04x})")
            }
            Cause::ChapMissing => f.write_str(
                "the target refused: authentication failure (status 0201), and no CHAP name and secret are set here",
            ),
            Cause::Redirected { why } => write!(f, "the target redirects the login, and {why}"),
            Cause::Kernel(why) => f.write_str(why),
            Cause::Cancelled => f.write_str("the attempt was cancelled"),
        }
    }
}

/// A cause, and the portal where it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// `address:port`, as configured; of a redirection, where it led.
    pub(crate) portal: String,
    /// Why.
    pub(crate) cause: Cause,
}

impl Failed {
    /// The sentence for the user. `what` did not work, such as "login to iqn.…".
    pub(crate) fn failure(&self, what: &str) -> Failure {
        Failure::new(self.cause.code(), format!("{what} failed: {self}")).advice(self.cause.advice())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}, {}", self.portal, self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: login-unknown-status
    #[test]
    fn an_unknown_detail_counts_as_its_class() {
        let refused = |class, detail| Cause::Refused { class, detail };
        assert_eq!((refused(2, 0x7f).code(), refused(2, 0x7f).again()), (ExitCode::Protocol, Again::Elsewhere));
        assert_eq!((refused(3, 0x7f).code(), refused(3, 0x7f).again()), (ExitCode::TryAgain, Again::Later));
    }

    #[test]
    fn a_sentence_says_what_where_why_and_what_to_do() {
        let failed = Failed { portal: "nas:3260".into(), cause: Cause::Refused { class: 2, detail: 3 } };
        let failure = failed.failure("login to iqn.2026-11.org.example:a");
        assert_eq!(failure.code, ExitCode::Data);
        assert_eq!(
            failure.to_string(),
            "login to iqn.2026-11.org.example:a failed: at nas:3260, the target refused: target not found (status 0203); \
             ask the portal for its targets with `iscsictl discover`"
        );
    }
}
