//! Remote procedure calls (RFC 5531) over a stream: records, calls, and the heads of replies.
//!
//! ```text
//!   record mark │ xid CALL  2 program version procedure  credential verifier │ arguments
//!   record mark │ xid REPLY 0 verifier status                                │ results
//! ```

use super::xdr::{Garbage, Reader, Write};

/// Of a record mark: this is the last fragment of the record.
pub(super) const LAST_FRAGMENT: u32 = 1 << 31;

/// The longest body of a credential or verifier (§8.2).
const MAX_AUTH: usize = 400;

const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;

/// Why a call is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no RPC of version 2.
    RpcVersion,
    /// Neither AUTH_NONE nor AUTH_SYS.
    Credential,
    /// There is no such program here.
    Program,
    /// It is another version.
    Version,
    /// There is no such procedure.
    Procedure,
    /// The arguments are not what they should be.
    Arguments,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) xid: u32,
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    /// Who the client says it asks for.
    pub(super) user: Option<u32>,
    /// Where the arguments begin in the record.
    pub(super) arguments: usize,
}

/// Understands the head of a call.
///
/// # Errors
/// [`Garbage`] if it is none. Inside, why it is refused, and by what name.
pub(super) fn parse(record: &[u8]) -> Result<Result<Call, (u32, Refusal)>, Garbage> {
    let mut reader = Reader(record);
    let xid = reader.u32()?;
    if reader.u32()? != 0 {
        return Err(Garbage);
    }
    if reader.u32()? != 2 {
        return Ok(Err((xid, Refusal::RpcVersion)));
    }
    let (program, version, procedure) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let flavor = reader.u32()?;
    let credential = reader.opaque(MAX_AUTH)?;
    let _verifier = (reader.u32()?, reader.opaque(MAX_AUTH)?);
    let user = match flavor {
        AUTH_NONE => None,
        AUTH_SYS => match user(credential) {
            Ok(user) => Some(user),
            Err(Garbage) => return Ok(Err((xid, Refusal::Credential))),
        },
        _ => return Ok(Err((xid, Refusal::Credential))),
    };
    let arguments = record.len() - reader.0.len();
    Ok(Ok(Call { xid, program, version, procedure, user, arguments }))
}

/// The user of an authsys_parms (RFC 5531 appendix A).
fn user(credential: &[u8]) -> Result<u32, Garbage> {
    let mut reader = Reader(credential);
    let _stamp = reader.u32()?;
    let _machine = reader.opaque(255)?;
    reader.u32()
}

/// Appends a reply to a call that was carried out, whose results `results` appends; `more` bytes follow
/// elsewhere.
pub(super) fn put_reply(out: &mut Vec<u8>, xid: u32, more: usize, results: impl FnOnce(&mut Vec<u8>)) {
    put_record(out, more, |out| {
        put_accepted(out, xid, 0);
        results(out);
    });
}

/// Appends the reply to a call that was not carried out. `version` is the only one there is.
pub(super) fn put_refusal(out: &mut Vec<u8>, xid: u32, refusal: Refusal, version: u32) {
    put_record(out, 0, |out| match refusal {
        Refusal::RpcVersion => [xid, 1, 1, 0, 2, 2].into_iter().for_each(|word| out.u32(word)),
        // AUTH_ERROR, AUTH_TOOWEAK
        Refusal::Credential => [xid, 1, 1, 1, 5].into_iter().for_each(|word| out.u32(word)),
        Refusal::Program => put_accepted(out, xid, 1),
        Refusal::Version => {
            put_accepted(out, xid, 2);
            out.u32(version);
            out.u32(version);
        }
        Refusal::Procedure => put_accepted(out, xid, 3),
        Refusal::Arguments => put_accepted(out, xid, 4),
    });
}

fn put_accepted(out: &mut Vec<u8>, xid: u32, status: u32) {
    // REPLY, MSG_ACCEPTED, a verifier without a body
    [xid, 1, 0, AUTH_NONE, 0, status].into_iter().for_each(|word| out.u32(word));
}

fn put_record(out: &mut Vec<u8>, more: usize, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u32(0);
    put(out);
    let length = (out.len() - start - 4 + more) as u32;
    if let Some(mark) = out.get_mut(start..start + 4) {
        mark.copy_from_slice(&(length | LAST_FRAGMENT).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn the_user_of_a_call_is_in_its_credential() {
        let machine = u32::from_be_bytes(*b"mac\0");
        let credential = [1, 3, machine, 501, 20, 0];
        let head = [&[9, 0, 2, 100_003, 3, 6, 1, 24][..], &credential, &[0, 0, 77]].concat();
        let parsed = parse(&call(&head)).expect("a call").expect("good");
        let expected = Call { xid: 9, program: 100_003, version: 3, procedure: 6, user: Some(501), arguments: 64 };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn what_is_no_call_is_garbage_and_what_is_another_version_is_told_which_there_is() {
        assert_eq!(parse(&call(&[9, 1, 2, 0, 0, 0, 0, 0, 0, 0])), Err(Garbage), "a reply");
        assert_eq!(parse(&call(&[9, 0, 2, 100_003, 3, 6, 1, 500])), Err(Garbage), "a credential that is too long");
        assert_eq!(parse(&call(&[9, 0, 3])), Ok(Err((9, Refusal::RpcVersion))));
        assert_eq!(parse(&call(&[9, 0, 2, 1, 1, 1, 6, 0, 0, 0])), Ok(Err((9, Refusal::Credential))), "Kerberos");
        let mut out = Vec::new();
        put_refusal(&mut out, 9, Refusal::Version, 3);
        assert_eq!(out, call(&[LAST_FRAGMENT | 32, 9, 1, 0, 0, 0, 2, 3, 3]));
    }
}
