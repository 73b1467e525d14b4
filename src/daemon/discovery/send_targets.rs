//! SendTargets discovery (RFC 7143 appendix C): a portal is logged in to and asked.

use std::net::SocketAddr;
use std::time::Duration;

use iscsi_proto::login::{DiscoveredTarget, LeftOut, TargetList, parse_send_targets};
use iscsi_proto::names::{PortalAddress, TargetAddress};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::source::{Asking, List, Source};
use crate::config::{Found, Portal};
use crate::daemon::state::Daemon;
use crate::ipc::Failure;
use crate::login::failure::{Cause, Failed};
use crate::login::meant::Asked;
use crate::login::plan::Plan;
use crate::login::send_targets::Exchange;

/// How long a portal may take for its list, once it is logged in to.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to say good-bye.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// The most names that are told to be no iSCSI names; the others are counted.
const MAX_IRREGULAR: usize = 16;

/// A discovery portal.
#[derive(Debug)]
pub(crate) struct SendTargets {
    portal: Portal,
}

impl SendTargets {
    /// What listens at that portal.
    pub(crate) fn at(portal: Portal) -> SendTargets {
        SendTargets { portal }
    }
}

impl Source for SendTargets {
    fn portal(&self) -> &Portal {
        &self.portal
    }

    fn ask<'a>(&'a self, daemon: &'a Daemon) -> Asking<'a> {
        Box::pin(ask(daemon, &self.portal))
    }
}

/// Asks a portal for its targets.
///
/// # Errors
/// Why it did not answer; a sentence for the user.
async fn ask(daemon: &Daemon, portal: &Portal) -> Result<List, Failure> {
    let plan = Plan::discovery(&daemon.settings.current(), &daemon.seed)?;
    let failed = |failed: Failed| failed.failure(&plan.what());
    let opened = daemon.opener.open(&plan, portal).await.map_err(failed)?;
    let failed = |cause: Cause| failed(Failed { portal: opened.portal.clone(), cause });
    let stream = tokio::net::TcpStream::from_std(opened.stream)
        .map_err(|error| failed(Cause::Dropped { why: error.to_string() }))?;
    let peer = stream.peer_addr().map_err(|error| failed(Cause::Dropped { why: error.to_string() }))?;
    let mut exchange = Exchange::new(stream, &opened.handoff).map_err(failed)?;
    let answer = in_time(&mut exchange).await.map_err(failed)?;
    match timeout(LOGOUT_TIMEOUT, exchange.log_out()).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!("the discovery session at {} ended without a logout: {cause}", opened.portal),
        Err(_) => tracing::debug!("{} does not answer a logout", opened.portal),
    }
    let list = parse_send_targets(&answer).map_err(|error| failed(Cause::NotIscsi { why: error.to_string() }))?;
    Ok(read(list, portal, peer))
}

/// The portal's list as it came, unless that takes too long.
async fn in_time<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<S>) -> Result<Vec<u8>, Cause> {
    let answer = timeout(LIST_TIMEOUT, exchange.send_targets()).await;
    answer.unwrap_or(Err(Cause::Silent { after: LIST_TIMEOUT }))
}

/// What a list of targets means that was asked for at `asked`, over a connection to `peer`. A target without an address is where
/// we asked (RFC 7143 appendix C).
fn read(mut list: TargetList, asked: &Portal, peer: SocketAddr) -> List {
    let here = TargetAddress {
        portal: PortalAddress { host: asked.address.clone(), port: asked.port },
        group_tag: asked.group_tag,
    };
    let asked = Asked { host: &asked.address, peer };
    let mut found = Vec::new();
    let mut irregular = Vec::new();
    for DiscoveredTarget { name, addresses, mut whole } in std::mem::take(&mut list.targets) {
        let mut portals = Vec::new();
        if addresses.is_empty() {
            portals.push(here.clone());
        }
        for address in addresses {
            match asked.meant(address.clone()) {
                // Two may mean the same.
                Ok(meant) if portals.contains(&meant) => {}
                Ok(meant) => portals.push(meant),
                Err(why) => {
                    whole = false;
                    list.leave_out(LeftOut::Unusable { target: name.clone(), address, why });
                }
            }
        }
        if portals.is_empty() {
            list.leave_out(LeftOut::Nowhere(name));
            continue;
        }
        irregular.extend(name.irregular().map(|why| why.to_string()));
        found.push(Found { name, portals, whole });
    }
    let whole = list.is_whole();
    let mut remarks: Vec<String> = list.left_out.iter().map(ToString::to_string).collect();
    if list.more_left_out > 0 {
        remarks.push(format!("{} more are left out", list.more_left_out));
    }
    if list.unterminated {
        remarks.push(
            "the list lacks the zero byte at its end (RFC 7143 §6.1): it is taken up to where it ends, and nothing that was known is \
             removed"
                .to_owned(),
        );
    }
    let more = irregular.len().saturating_sub(MAX_IRREGULAR);
    remarks.extend(irregular.into_iter().take(MAX_IRREGULAR).map(|why| format!("{why}; it is used as it is")));
    if more > 0 {
        remarks.push(format!("{more} more names are no iSCSI names, and used as they are"));
    }
    List { found, whole, remarks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::send_targets::tests::handoff;

    const NAS: &str = "192.0.2.1:3260";

    fn asked(address: &str) -> Portal {
        Portal { address: address.to_owned(), port: 3260, interface: None, group_tag: None }
    }

    /// What the answer of the portal `nas.example` comes to.
    fn list(text: &str) -> List {
        let list = parse_send_targets(text.as_bytes()).expect("a list");
        read(list, &asked("nas.example"), NAS.parse().expect("an address"))
    }

    fn portals(found: &Found) -> Vec<String> {
        found.portals.iter().map(ToString::to_string).collect()
    }

    // check: address-unspecified
    #[test]
    fn unspecified_addresses_are_the_portal_that_was_asked_once() {
        let list = list(
            "TargetName=iqn.2026-11.org.example:a\0TargetAddress=0.0.0.0:3260,1\0\
            TargetAddress=[::]:3260,1\0TargetAddress=0.0.0.0:3261,2\0",
        );
        assert!(list.whole && list.remarks.is_empty(), "{list:?}");
        assert_eq!(portals(&list.found[0]), ["nas.example:3260,1", "nas.example:3261,2"]);
    }

    // check: address-foreign-loopback
    #[test]
    fn a_foreign_loopback_address_is_left_out_and_its_target_with_it_if_it_has_no_other() {
        let list = list(
            "TargetName=iqn.2026-11.org.example:a\0TargetAddress=127.0.0.1:3260,1\0\
            TargetAddress=192.0.2.1:3260,1\0TargetName=iqn.2026-11.org.example:b\0TargetAddress=[::1],1\0",
        );
        assert!(!list.whole && !list.found[0].whole);
        assert_eq!(list.found.len(), 1);
        assert_eq!(portals(&list.found[0]), ["192.0.2.1:3260,1"]);
        assert!(list.remarks.iter().any(|why| why.contains("127.0.0.1:3260,1 of")), "{:?}", list.remarks);
        assert!(list.remarks.iter().any(|why| why.contains("example:b is left out")), "{:?}", list.remarks);
    }

    // check: address-foreign-loopback
    #[test]
    fn no_form_in_which_an_address_of_this_machine_can_be_written_is_listed() {
        for written in [
            "0x7f000001",
            "0x7f.0.0.1",
            "127.1",
            "2130706433",
            "017700000001",
            "0177.0.0.01",
            "127.0.0.1.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1%25lo]",
            "[::1%lo]",
            "localhost",
            "LOCALHOST.",
        ] {
            let list = list(&format!(
                "TargetName=iqn.2026-11.org.example:a\0TargetAddress={written}:3260,1\0TargetAddress=192.0.2.1,1\0"
            ));
            assert_eq!(portals(&list.found[0]), ["192.0.2.1:3260,1"], "{written}");
            assert!(list.remarks.len() == 1 && list.remarks[0].contains("left out"), "{written}: {:?}", list.remarks);
        }
    }

    // check: discovery-last-zero
    #[test]
    fn that_a_list_lacks_its_last_zero_byte_is_remarked() {
        let list = list("TargetName=iqn.2026-11.org.example:a\0TargetAddress=192.0.2.1,1");
        assert_eq!((portals(&list.found[0]).as_slice(), list.whole), (&["192.0.2.1:3260,1".to_owned()][..], false));
        assert!(list.remarks.len() == 1 && list.remarks[0].contains("zero byte"), "{:?}", list.remarks);
    }

    // check: name-of-a-target
    #[test]
    fn a_name_that_is_no_iscsi_name_is_used_and_told_once() {
        let list = list("TargetName=Target-911data\0TargetName=TARGET-911data\0");
        assert_eq!((list.found.len(), list.whole), (1, true));
        assert_eq!(list.remarks.len(), 1, "{:?}", list.remarks);
        assert!(list.remarks[0].contains("'Target-911data' is not an iSCSI name"), "{:?}", list.remarks);
    }

    // check: discovery-silence
    #[tokio::test(start_paused = true)]
    async fn a_portal_that_does_not_list_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let mut exchange = Exchange::new(ours, &handoff()).expect("an exchange");
        let began = tokio::time::Instant::now();
        assert_eq!(in_time(&mut exchange).await, Err(Cause::Silent { after: LIST_TIMEOUT }));
        assert!(began.elapsed() < LIST_TIMEOUT + Duration::from_secs(1));
        // It had been asked.
        let mut asked = [0; 64];
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut asked).await.expect("a request");
        assert_eq!(&asked[48..], b"SendTargets=All\0");
    }

    // check: discovery-bounded
    #[test]
    fn what_is_remarked_is_bounded() {
        let text: String = (0..500).map(|n| format!("TargetName=t{n}\0TargetAddress=127.0.0.1,1\0")).collect();
        let remarks = list(&text).remarks;
        assert!(remarks.len() <= 40 && remarks.iter().any(|why| why.contains("more are left out")), "{remarks:?}");
    }
}
