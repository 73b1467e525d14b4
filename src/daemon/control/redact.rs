//! What is shown to root and the daemon's own user alone.

use crate::ipc::{Chap, Reply, Session, Target};

/// What stands in the place of a word that is not for everybody.
const HIDDEN: &str = "hidden";

/// Takes out of an answer what helps a stranger to a unit or into a session: paths that stay good, the names that a
/// target authenticates by, what reinstates a session.
pub(super) fn redacted(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Luns(luns) => luns.iter_mut().for_each(|lun| lun.nfs = None),
        Reply::Targets(targets) => targets.iter_mut().for_each(target),
        Reply::Sessions(sessions) => sessions.iter_mut().for_each(session),
        Reply::Target(details) => {
            target(&mut details.target);
            chap(&mut details.chap);
        }
        Reply::Session(details) => session(&mut details.session),
        Reply::Initiator(initiator) => chap(&mut initiator.chap),
        _ => {}
    }
    reply
}

fn target(target: &mut Target) {
    if let Some(shown) = &mut target.session {
        session(shown);
    }
}

fn session(session: &mut Session) {
    session.isid = HIDDEN.to_owned();
    session.tsih = 0;
}

fn chap(chap: &mut Chap) {
    for name in [&mut chap.name, &mut chap.mutual_name].into_iter().flatten() {
        *name = HIDDEN.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ipc::{Lun, SessionState};

    // check: strangers-see-no-keys
    #[test]
    fn what_helps_a_stranger_to_a_unit_or_into_a_session_is_hidden() {
        let lun: Lun = serde_json::from_value(json!({
            "target": "iqn.2026-11.org.example:a", "lun": 0, "session": 0, "type": 0, "vendor": "", "product": "",
            "revision": "", "serial": null, "block_size": 512, "blocks": 1, "bytes": 512, "read_only": false,
            "device": null, "nbd": "nbd+unix:///a/0?socket=/run/iscsid/nbd.sock",
            "nfs": "nfs://127.0.0.1/00112233/a,0?nfsport=2049", "problem": null,
        }))
        .expect("a unit");
        let shown = Reply::Luns(vec![Lun { nfs: None, ..lun.clone() }]);
        assert_eq!(redacted(Reply::Luns(vec![lun])), shown);

        let session = Session {
            id: 1,
            target: "iqn.2026-11.org.example:a".to_owned(),
            state: SessionState::Active,
            kernel: "user".to_owned(),
            isid: "800000000001".to_owned(),
            tsih: 7,
            group_tag: 1,
            cid: 0,
            portal: "192.0.2.1:3260".to_owned(),
            age_seconds: 5,
            recovery: None,
        };
        let hidden = Session { isid: HIDDEN.to_owned(), tsih: 0, ..session.clone() };
        assert_eq!(redacted(Reply::Sessions(vec![session])), Reply::Sessions(vec![hidden]));

        let chap = Chap { name: Some("jo".to_owned()), mutual_name: None, secret_set: true, ..Chap::default() };
        let initiator = |chap: Chap| {
            let shown = json!({
                "name": "iqn.2026-11.org.example:me", "alias": "", "chap": chap, "version": "", "config": "",
                "kernel": "user",
            });
            Reply::Initiator(serde_json::from_value(shown).expect("an initiator"))
        };
        let hidden = Chap { name: Some(HIDDEN.to_owned()), ..chap.clone() };
        assert_eq!(redacted(initiator(chap)), initiator(hidden));
    }
}
