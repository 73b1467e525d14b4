//! The checks: what a target may do to us and what we must do then, one sentence each.
//!
//! A test says which checks it stands for by a comment `// check: <id>, <id>` in or directly above it.

/// A group of checks.
pub(crate) struct Group {
    /// Its heading.
    pub(crate) title: &'static str,
    /// Identifier (which tests name, so it stays), the check, sections of RFC 7143 unless said otherwise.
    pub(crate) checks: &'static [(&'static str, &'static str, &'static str)],
}

/// Checks without a test, and why; to be empty.
pub(crate) const OPEN: &[(&str, &str)] = &[];

/// All checks.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "Login and negotiation",
        checks: &[
            (
                "login-first-request",
                "The first login request names InitiatorName, SessionType and TargetName, with T, CSG, NSG and the versions right and TSIH 0.",
                "6.3, 11.12, 13.4, 13.5, 13.21",
            ),
            (
                "login-identity-constant",
                "ISID, TSIH, CID, ITT and CmdSN do not change during a login, one request is under way at a time, and each is immediate.",
                "6.3, 11.12",
            ),
            (
                "login-nsg-reserved",
                "Without T, NSG is sent as 0; T and C never stand together.",
                "11.12.1, 11.12.2, 11.12.3",
            ),
            ("login-tsih-zero", "A final response with TSIH 0, or of another session, fails the login.", "11.13.3"),
            ("login-foreign-response", "A response with another ITT, ISID, version or stage fails the login.", "11.13"),
            (
                "login-stage-not-asked",
                "A response that moves to a stage we did not ask for fails the login.",
                "6.3, 11.13",
            ),
            ("login-t0-stays", "T=0 in an answer: the stage goes on and the next request follows.", "6.3"),
            ("login-t0-endless", "A target that never sets T is given up after a bounded number of answers.", "6.3"),
            (
                "login-statsn-anywhere",
                "StatSN of the first response may be any number, 0xffffffff included; ExpStatSN follows modulo 2^32.",
                "4.2.2.2",
            ),
            (
                "login-continuation-in",
                "A text that the target splits with C, anywhere, is answered by empty requests and put together.",
                "6.2, 11.13",
            ),
            (
                "login-continuation-out",
                "A text of ours that does not fit one PDU goes out with C, each piece awaiting an empty answer; a target that answers early is refused.",
                "6.2, 11.12.2",
            ),
            ("login-continuation-endless", "A text without end is given up: bytes and pieces are capped.", "6.2"),
            (
                "login-shown-only",
                "A value that is only shown (TargetAlias) or not understood may be anything: it is left out, and the login goes on.",
                "6.1, 13.6",
            ),
            ("login-rejected", "A Reject PDU ends the login and is told as one.", "11.17"),
            ("login-key-twice", "A key that comes twice drops the connection, in one PDU or in two.", "6.2"),
            (
                "login-key-unknown",
                "An unknown or private key is answered NotUnderstood, in either stage, and the login goes on.",
                "6.2, 13.22",
            ),
            (
                "login-key-wrong-stage",
                "A key of the operational stage in the security stage, or the reverse, drops the connection.",
                "6.3, 12, 13",
            ),
            (
                "login-value-not-offered",
                "A value that we did not offer, or that no rule allows, drops the connection.",
                "6.2",
            ),
            (
                "login-key-left-open",
                "A key that is rejected, irrelevant, not understood or not answered keeps its default, or fails the login where we insist.",
                "6.2",
            ),
            (
                "login-target-proposes",
                "A key that the target proposes of its own accord is answered with the outcome before the login ends.",
                "6.2",
            ),
            (
                "login-first-burst-bounded",
                "FirstBurstLength above MaxBurstLength from the target: neither is ever exceeded.",
                "13.13, 13.14",
            ),
            (
                "login-flags",
                "ImmediateData is the AND; InitialR2T, DataPDUInOrder and DataSequenceInOrder are the OR, for every pair of values.",
                "13.10, 13.11, 13.18, 13.19",
            ),
            (
                "login-mrdsl-range",
                "MaxRecvDataSegmentLength 0, 511 or 2^24 is refused; 512 and 0x1000 are taken.",
                "6.1, 13.12",
            ),
            (
                "login-mrdsl-per-direction",
                "MaxRecvDataSegmentLength is declared per direction; without a declaration of the target 8192 holds.",
                "13.12",
            ),
            (
                "login-wrong-opcode",
                "Any PDU but a login response drops the connection, before its data are read.",
                "6.3, 11.13",
            ),
            (
                "login-segment-bounded",
                "A login response with more than 8192 bytes or with an AHS is refused by its header.",
                "13.12",
            ),
            (
                "login-digests-after",
                "Digests start with the first PDU of the full-feature phase and not before.",
                "13.1",
            ),
            (
                "login-digests-negotiated",
                "A digest that both sides chose is on every PDU from then on; one we insist on and do not get fails the login.",
                "13.1",
            ),
            (
                "login-digests-not-offered",
                "A digest that was not offered is refused in words that say what to do, and not taken for a stranger's answer.",
                "6.2.1, 13.1",
            ),
            ("login-max-connections", "MaxConnections above our offer is refused.", "13.2"),
            ("login-markers", "Marker keys are answered No or Reject.", "13.25"),
            (
                "login-promises",
                "Nothing is offered that we do not do: one connection, ErrorRecoveryLevel 0, data in order, whatever is configured.",
                "13.2, 13.18 to 13.20",
            ),
            (
                "login-numbers",
                "DefaultTime2Wait takes the larger; DefaultTime2Retain, MaxOutstandingR2T, ErrorRecoveryLevel and the burst lengths the smaller.",
                "13.13 to 13.17, 13.20",
            ),
            (
                "login-group-tag",
                "The TargetPortalGroupTag that a target declares replaces the stored one; over another portal, a session goes on only in its own group.",
                "6.3.5, 13.9",
            ),
            ("login-group-tag-none", "A target that declares no TargetPortalGroupTag is logged in to.", "13.9"),
            (
                "redirect-followed",
                "0101 and 0102 are followed to an IPv4 address, a bracketed IPv6 address or a name, with and without a port.",
                "11.13.5, 13.8",
            ),
            (
                "redirect-configuration",
                "A redirection is for this login only: the configuration keeps the portal it has.",
                "11.13.5",
            ),
            ("redirect-loop", "A redirection in a circle ends after a bounded number of hops.", "11.13.5"),
            (
                "redirect-nowhere",
                "A redirection without an address, or with a malformed one, fails the login.",
                "11.13.5",
            ),
            (
                "redirect-same-name",
                "Behind a redirection the same TargetName is asked for with the same credentials; a name in the redirection is not followed.",
                "11.13.5",
            ),
            (
                "redirect-unspecified",
                "An unspecified address in a redirection is the host that sent it, with the port it names.",
                "11.13.5, 13.8",
            ),
            (
                "redirect-loopback",
                "A target on another machine redirects to no service of this one, neither by address nor by name.",
                "11.13.5",
            ),
            ("redirect-not-quoted", "What answers behind a redirection and is no target is not quoted.", "11.13.5"),
            (
                "login-02xx",
                "After 02xx no login is retried blindly; after an authentication failure not even at another portal.",
                "11.13.5",
            ),
            ("login-03xx", "After 03xx the login is retried with back-off.", "11.13.5"),
            ("login-unknown-status", "An unknown status detail counts as its class.", "11.13.5"),
            ("login-silence", "Silence costs the login timeout and no more; then comes the next portal.", "6.3"),
        ],
    },
    Group {
        title: "CHAP",
        checks: &[
            (
                "chap-algorithms",
                "MD5, SHA1, SHA-256 and SHA3-256 prove both sides; they are offered strongest first, as configured.",
                "12.1.3",
            ),
            (
                "chap-algorithm-not-offered",
                "An algorithm that was not offered, or is not a number, ends the login.",
                "12.1.3",
            ),
            (
                "chap-md5-retry",
                "A target that chooses a stronger algorithm and then refuses gets one login with MD5 alone, where MD5 is allowed; the log says so.",
                "12.1.3",
            ),
            (
                "chap-md5-alone",
                "A target that refuses a list of algorithms without choosing one, by a status, a Reject or an end of the connection, gets one login that offers MD5 alone, where MD5 is allowed; it has seen no response before.",
                "12.1.3",
            ),
            (
                "chap-binary-forms",
                "CHAP_I may be hexadecimal and CHAP_C Base64; a CHAP name that looks like a number is text.",
                "6.1, 12.1.3",
            ),
            ("chap-keys-out-of-order", "Missing, early and repeated CHAP keys end the login.", "12.1.3"),
            (
                "chap-challenge",
                "Challenges of 1 to 1024 bytes, hexadecimal or Base64, are answered right; empty, odd, malformed or longer ones end the login.",
                "6.1, 12.1.3",
            ),
            ("chap-identifier", "An identifier above 255 or not a number ends the login.", "12.1.3"),
            ("chap-wrong-name", "The wrong CHAP_N of a target ends the login.", "12.1.3"),
            (
                "chap-wrong-response",
                "A CHAP_R of wrong value or length ends the login; it is compared in constant time.",
                "12.1.3",
            ),
            ("chap-reflection", "A target that sends our own challenge or response back is refused.", "9.2.1, 12.1.3"),
            (
                "chap-target-silent",
                "With mutual CHAP, a target that sets T without its proof never sees the full-feature phase.",
                "12.1.3",
            ),
            (
                "chap-evaded",
                "CHAP is never offered next to None, and a target that picks None or Reject is left.",
                "9.2.1, 12.1",
            ),
            (
                "chap-not-configured",
                "A target that wants CHAP where none is configured is told so, and nothing is sent.",
                "12.1",
            ),
            (
                "chap-random",
                "Our identifier and challenge come from the system's generator, anew in every login.",
                "9.2.1, 12.1.3",
            ),
            (
                "chap-equal-secrets",
                "Equal secrets in both directions are refused when they are configured, and not used in any case.",
                "9.2.1, 12.1.3",
            ),
            ("chap-secret-length", "Secrets have up to 128 bytes; one below 12 is taken with a warning.", "9.2.1"),
            (
                "chap-secret-log",
                "No secret appears in a log, an error, a debug print or an answer, table or JSON.",
                "9.2.1",
            ),
            ("chap-secret-stored", "Secrets are stored in a file of their own that its owner alone may read.", "9.2.1"),
            ("chap-secret-core-dump", "The daemon leaves no core dump with its secrets.", "9.2.1"),
            ("chap-discovery", "Discovery sessions authenticate as well.", "6.3, 9.2.1"),
        ],
    },
    Group {
        title: "Numbers and windows",
        checks: &[
            ("cmdsn-first", "The first command carries the login's CmdSN.", "4.2.2.1"),
            (
                "cmdsn-contiguous",
                "CmdSN is contiguous over commands, wraps, and leaves no gap where one is taken back.",
                "4.2.2.1",
            ),
            ("cmdsn-immediate", "Immediate PDUs carry the current CmdSN and do not advance it.", "4.2.2.1"),
            ("window-closed", "A closed window holds commands, a window of 0 from the login on included.", "4.2.2.1"),
            ("window-opens", "Any PDU with MaxCmdSN opens it.", "4.2.2.1"),
            ("window-stale", "MaxCmdSN and ExpCmdSN that go back or contradict each other are ignored.", "4.2.2.1"),
            ("window-huge", "A window of up to 2^31-1 is capped by our own depth.", "4.2.2.1"),
            ("statsn-acknowledged", "ExpStatSN acknowledges each status in order, over the wrap.", "4.2.2.2"),
            (
                "statsn-not-advanced",
                "Data-In without S, R2T and NOP-In with the reserved ITT do not advance it.",
                "4.2.2.2, 11.7.3, 11.8, 11.19",
            ),
            ("statsn-gap", "A gap in StatSN ends the connection.", "4.2.2.2, 7.9"),
            (
                "itt-unique",
                "No two tasks under way share an ITT, none is 0xffffffff, and a retired one is not used again at once.",
                "11.2.1.8",
            ),
        ],
    },
    Group {
        title: "Data",
        checks: &[
            (
                "datasn-gap",
                "A gap in DataSN, or Data-In that ExpDataSN counts and nobody saw, never ends as GOOD.",
                "4.2.2.3, 11.4.8, 11.7.5",
            ),
            (
                "data-out-first-burst",
                "Unsolicited data never exceed FirstBurstLength, immediate data counted in.",
                "13.14",
            ),
            (
                "data-out-unsolicited",
                "Immediate and unsolicited data go out as InitialR2T and ImmediateData allow, F telling whether more follow.",
                "11.3.1, 11.7.1, 13.10, 13.11",
            ),
            (
                "data-out-segments",
                "Each Data-Out has at most the target's MaxRecvDataSegmentLength, immediate data too.",
                "11.7, 13.12",
            ),
            (
                "data-out-sequence",
                "DataSN restarts at 0 in each sequence, offsets are contiguous, F stands on the last of a sequence only.",
                "11.7.1, 11.7.5, 11.7.6",
            ),
            ("data-out-order", "Unsolicited data go out in the order of their commands.", "4.2.5.2"),
            ("r2t-echo", "Data-Out echoes the R2T's Target Transfer Tag and LUN.", "11.7.4"),
            (
                "r2t-several",
                "Several R2Ts are outstanding up to MaxOutstandingR2T; one more is a protocol error.",
                "11.8, 13.17",
            ),
            (
                "r2t-bounds",
                "An R2T out of order, for no data, beyond MaxBurstLength or past the command's data is a protocol error, and nothing is sent for it.",
                "11.8",
            ),
            (
                "r2t-unknown-task",
                "An R2T for a task that has finished, reads, or never was, has no effect but recovery.",
                "11.8",
            ),
            ("data-in-status", "Status in a Data-In counts, with its residual.", "11.7.3, 11.7.6"),
            ("data-in-pieces", "Data-In in any pieces, with the status apart or not, make the same result.", "11.7"),
            (
                "data-in-bounds",
                "Data-In out of order, overlapping, past the expected length or for a write end the connection, and no byte outside is touched.",
                "11.7, 13.18, 13.19",
            ),
            (
                "data-in-declared",
                "Data-In larger than we declared is refused by its header, before anything is read or allocated.",
                "13.12",
            ),
            (
                "data-in-unknown-task",
                "Data-In for a task that has finished or never was has no effect but recovery.",
                "11.7",
            ),
            ("residual-exact", "Overflow and underflow are reported as counts.", "11.4.5"),
            ("residual-stale", "A short read never delivers stale bytes as data, told or not.", "11.4.5"),
            ("residual-lie", "Residual counts beyond the command's length do no harm.", "11.4.5"),
            ("digest-data", "A wrong data digest is never delivered as data.", "7.8, 13.1"),
            ("digest-header", "A wrong header digest ends the connection.", "7.8, 13.1"),
            ("digest-padding", "Digests cover AHS and padding, in both directions.", "11.1, 13.1"),
        ],
    },
    Group {
        title: "Commands and their ends",
        checks: &[
            (
                "command-fields",
                "LUN, ATTR, R, W, EDTL, CDB and all reserved fields are valid in everything we send.",
                "11",
            ),
            ("status-busy", "BUSY and TASK SET FULL are waited out and the command is issued again.", "SAM-5 5.3.1"),
            ("status-reservation", "RESERVATION CONFLICT is told and not tried again.", "SAM-5 5.3.1"),
            (
                "status-sense",
                "CHECK CONDITION: the sense is decoded, fixed and descriptor format.",
                "11.4.7, SPC-5 4.4",
            ),
            (
                "status-sense-bounds",
                "A sense length beyond what arrived, sense cut anywhere or longer than we keep is read as far as it goes.",
                "11.4.7.2",
            ),
            ("status-unit-attention", "A unit attention is consumed once and is no error of the I/O.", "SAM-5 5.14"),
            (
                "refused-counts",
                "No WRITE SAME is for more than 32768 blocks, whatever the unit reports, or for none: one that keeps 16 bits goes on to the end of the medium.",
                "SBC-4 5.51, 6.6.4",
            ),
            (
                "refused-write-same",
                "Where WRITE SAME is announced and refused, zeroes are written, in order, and the refusal is remembered.",
                "SBC-4 5.51",
            ),
            (
                "refused-write-same-unmap",
                "Where only its UNMAP bit is refused, WRITE SAME goes without it, and that is remembered.",
                "SBC-4 5.51",
            ),
            (
                "refused-unmap",
                "A trim that is announced and refused is done as it is: it is a hint. It is not sent again.",
                "SBC-4 5.35",
            ),
            (
                "refused-transfer",
                "A read or write that is refused for its length goes in parts, never of less than a block, and the length is remembered.",
                "SBC-4 5.18, 5.42",
            ),
            (
                "refused-transfer-otherwise",
                "A length that is refused in other words (parameter list, resources, a CRC that is wrong again and again) goes in parts as well; a single block, noise and other commands do not.",
                "SPC-5 4.4.7",
            ),
            (
                "refused-fua",
                "A write whose FUA is announced and refused goes without it, and a flush follows.",
                "SBC-4 5.42",
            ),
            (
                "refused-flush",
                "A flush that is refused is tried in the shorter form; it is done without one only where neither operation code is known.",
                "SBC-4 5.33, 5.34",
            ),
            ("flush-failure", "A flush that fails is told, each time, until one works.", "SBC-4 5.34"),
            (
                "zeroes-fua",
                "Zeroes that are to be durable are flushed where the unit has no FUA for them.",
                "SBC-4 5.51",
            ),
            (
                "zeroes-granularity",
                "Only whole granules are zeroed by freeing them: a unit may leave what is none as it was.",
                "SBC-4 4.7.3.4, 6.6.4",
            ),
            (
                "nbd-fast-zero",
                "Who wants zeroes only if they are fast is told at once where the unit is known to be sent them.",
                "",
            ),
            (
                "fast-zero-first",
                "Zeroes that are wanted only if they are fast are not sent to a unit that refuses WRITE SAME, the first time either.",
                "",
            ),
            ("status-target-failure", "An iSCSI response other than 0 is no GOOD, whatever the status.", "11.4.3"),
            (
                "response-once",
                "A response to a task that has finished or never was does not complete anything; each command completes once.",
                "11.4",
            ),
            (
                "unknown-opcode",
                "An opcode that is unknown, an initiator's or out of place ends the connection instead of the synchrony.",
                "7.7, 11.2.1.2",
            ),
            ("unknown-ahs", "An AHS that nobody asked for is passed over.", "11.2.2"),
            ("reject-ends", "A rejected command, task management, text or ping ends and does not hang.", "7.3, 11.17"),
            (
                "reject-nothing",
                "A Reject that names no task of ours, or is cut short, is told and ends nothing.",
                "11.17",
            ),
            (
                "reject-data-out",
                "After a rejected Data-Out the rest of the data is sent, and the response that the target owes ends the command.",
                "11.17.1",
            ),
            (
                "reject-data-digest",
                "A command that the target discarded for its data digest leaves a gap in CmdSN: the connection is replaced.",
                "7.8, 11.17.1",
            ),
            ("reject-waiting-for-logout", "Reject reason 0x0c leads to a logout.", "11.17.1"),
            (
                "nop-answered",
                "A NOP-In with a tag is answered with the same tag, LUN and data, at once, cut at the target's MaxRecvDataSegmentLength.",
                "11.18, 11.19",
            ),
            ("nop-ttt", "A NOP-In with Target Transfer Tag 0 is answered, one with 0xffffffff is not.", "11.19"),
            ("nop-flood", "A flood of NOP-Ins does not fill the memory.", "11.19"),
            (
                "nop-own",
                "Our own pings: after the interval of silence, lost after the timeout; anything that arrives is a sign of life.",
                "11.18",
            ),
            ("nop-off", "Interval and timeout are configurable, and 0 switches pings off.", "11.18"),
            (
                "text-continued",
                "A text response over several PDUs is gathered by empty requests with the target's tag, up to a bound.",
                "6.2, 11.10, 11.11",
            ),
            ("text-one", "One text exchange is under way at a time.", "11.10"),
            ("stream-segments", "A byte at a time, in any pieces or all in one segment: the same result.", "4.1"),
            (
                "stream-end",
                "FIN or RST at any byte ends the connection, and no command is lost or completed twice.",
                "7.14",
            ),
        ],
    },
    Group {
        title: "Asynchronous messages, task management, logout",
        checks: &[
            ("async-logout", "Event 1: we log out within Parameter3.", "11.9.1"),
            ("async-drop", "Events 2 and 3: we wait Parameter2 and log in again.", "11.9.1"),
            (
                "async-logout-holds",
                "After events 1 to 4 nothing goes to the target but what is under way, and the logout.",
                "11.9.1",
            ),
            (
                "async-logout-drains",
                "What is under way when the target asks for a logout is waited for, in both kernels, and not done twice.",
                "11.9.1",
            ),
            (
                "async-logout-refused",
                "A command that is refused with 05/25/00 after the target has asked for an end is issued again over the next connection.",
                "11.9.1, SPC-5",
            ),
            (
                "async-flood",
                "How often a target repeats that it wants an end takes no memory; more than 2048 asynchronous messages or rejects in a second end the connection.",
                "11.9, 11.17",
            ),
            (
                "log-flood",
                "What a target makes us say again and again is counted in the log, and not said each time.",
                "11.9, 11.17",
            ),
            ("async-negotiation", "Event 4: we log out, since we do not negotiate in full feature.", "11.9.1"),
            ("async-luns-changed", "Event 0 with 3F/0E: units are looked for again.", "11.9.1, SPC-5"),
            (
                "scan-flood",
                "A target that says without end that its units have changed is looked at less and less often, at most a minute apart.",
                "11.9.1, SPC-5",
            ),
            ("async-capacity", "Event 0 with 2A/09: the capacity is read again.", "11.9.1, SBC-4"),
            ("async-vendor", "Event 255, and events nobody knows, are logged and otherwise ignored.", "11.9.1"),
            ("async-sense-bounds", "A sense length beyond what arrived, or none, does no harm.", "11.9.4"),
            ("tmf-fields", "A task management request is immediate and names the task, its LUN and its CmdSN.", "11.5"),
            (
                "tmf-scope",
                "A function that is complete ends the tasks sent before it, within its scope, and no others.",
                "11.5.1, 11.6.1",
            ),
            (
                "tmf-affected",
                "Until a function is answered, R2Ts of the tasks it will end are answered and their responses count.",
                "4.2.3.3",
            ),
            (
                "tmf-task-not-there",
                "After 'task does not exist' the command goes on; a late response completes it once.",
                "11.5.1, 11.6.1",
            ),
            (
                "tmf-escalation",
                "A target that ignores task management is asked abort task, then LU reset, then target reset, each with its timer; then the session is replaced.",
                "11.5, SAM-5",
            ),
            (
                "logout-nothing-after",
                "Nothing is sent after a logout request; commands that wait end as aborted.",
                "11.14",
            ),
            ("logout-unanswered", "A target that never answers a logout does not hold us.", "11.14"),
            (
                "logout-graceful",
                "A logout flushes, waits for what is under way, and closes after the response.",
                "11.14, 11.15",
            ),
        ],
    },
    Group {
        title: "Discovery",
        checks: &[
            (
                "discovery-several-pdus",
                "SendTargets over several PDUs is put together; an endless list ends.",
                "13.3, Appendix C",
            ),
            ("discovery-no-address", "A target without an address is where we asked.", "Appendix C"),
            ("discovery-ipv6", "IPv6 addresses come in brackets.", "13.8"),
            (
                "discovery-churn",
                "Targets that discovery names once and never again leave no memory behind.",
                "Appendix C",
            ),
            (
                "discovery-malformed",
                "A list that is no text of key=value pairs is told, and nothing of it is used.",
                "Appendix C",
            ),
            (
                "discovery-bad-record",
                "A bad record of a list is left out and named; a bad name takes its addresses with it, a bad address leaves its target the others, and no target is removed for it.",
                "Appendix C",
            ),
            (
                "discovery-last-zero",
                "A list without the zero byte of its last pair is taken with a remark; it removes nothing that is known.",
                "6.1, Appendix C",
            ),
            (
                "discovery-logout-wanted",
                "A list that comes after the target has asked for a logout or announced a drop is taken.",
                "11.9.1",
            ),
            (
                "discovery-bounded",
                "Targets, addresses and remarks of a list have a limit, and so have discovered targets in the settings; what is beyond is said once.",
                "Appendix C",
            ),
            ("discovery-silence", "A portal that does not answer SendTargets is given up after a while.", "Appendix C"),
            (
                "address-unspecified",
                "An unspecified address in a list is the portal that was asked, with the port and tag it names.",
                "13.8",
            ),
            (
                "address-foreign-loopback",
                "A loopback address, in whichever form, is left out unless the portal that names it is on this machine.",
                "13.8",
            ),
            ("address-nobodys", "Multicast and broadcast addresses are left out.", "13.8"),
            (
                "address-link-local",
                "A link-local address is on the link that it was named over, whatever zone it is named with; without one it is tried last.",
                "13.8, RFC 4007 6",
            ),
            (
                "discovery-session",
                "A discovery session names no target, offers no key about data and no digest, and logs out.",
                "4.3, 13.21",
            ),
        ],
    },
    Group {
        title: "Recovery",
        checks: &[
            (
                "recovery-time2wait",
                "After a loss: DefaultTime2Wait, then a login with the same ISID and TSIH 0.",
                "6.3.5, 13.15",
            ),
            (
                "recovery-time2wait-long",
                "A longer Time2Wait than a minute is kept to, at most an hour, and a login by hand cuts it short.",
                "6.3.5, 13.15",
            ),
            (
                "recovery-short-lives",
                "A connection that ends soon after its login counts as a login that failed: attempts back off, and the third time it is said what it looks like.",
                "6.3.5, 10.1.1",
            ),
            (
                "recovery-replay-order",
                "What may be issued again is, in the order of its submission and before anything new.",
                "6.3.5, SBC-4",
            ),
            (
                "recovery-replay-never",
                "What may not be issued again (reservations and the like) fails with a clear error.",
                "6.3.5",
            ),
            ("recovery-back-off", "Attempts back off with jitter, for ever.", "6.3.5"),
            (
                "recovery-replacement-timeout",
                "Down past the replacement timeout, I/O that waits fails; the session goes on trying and revives.",
                "6.3.5",
            ),
            (
                "recovery-portal-group",
                "A portal of another group takes a session up once nothing of the old one is left.",
                "6.3.5",
            ),
            ("recovery-portal-dead", "A dead portal is left for the next one of the same portal group.", "4.1, 13.9"),
            (
                "recovery-isid",
                "Two initiators on a host do not clash, and a daemon that restarts takes its own session over: the ISID is stable per target and unique per installation.",
                "10.1.1, 11.12.5",
            ),
            (
                "recovery-identity",
                "After a loss, no I/O goes to a unit before it shows the names and the size it had; another disk stays offline and says why.",
                "SPC-5 7.7.3, SBC-4",
            ),
            (
                "recovery-units-changed",
                "A unit that reports changed units or inquiry data is looked at before any other command goes there.",
                "SPC-5",
            ),
            (
                "recovery-capacity",
                "A unit that has grown is used to its end, one that has shrunk refuses what is beyond.",
                "SBC-4",
            ),
            (
                "recovery-fatal-command",
                "A command that costs the connection every time is not issued for ever: it fails, and the others go on.",
                "",
            ),
            (
                "scan-incomplete",
                "A target that cannot list its units now is not taken for one that has none: disks stay.",
                "SPC-5 6.34",
            ),
            (
                "attach-cap",
                "How many units are attached without being named is bounded, per target and in all; the others are named in a sentence.",
                "SPC-5",
            ),
            (
                "login-units-unread",
                "A login whose units cannot be looked for, since the target ends each connection or keeps silent, is told soon with exit code 75; the session stays, and they are looked for on.",
                "",
            ),
            (
                "login-logged-out",
                "A login that is logged out of while its units are looked for is no success.",
                "11.14",
            ),
            ("recovery-forced-removal", "A dead target is removed by force in less than a second.", ""),
            ("recovery-restart", "A daemon that is killed and started again logs in again without a command.", "6.3.5"),
            (
                "settings-owner",
                "Settings and secrets that belong to somebody else, or that others could exchange, in a directory above them or by a link, are not read.",
                "",
            ),
            (
                "file-of-another-kind",
                "A pipe, a socket, a device or a directory in the place of a file that is read is named as that, and nobody waits for it.",
                "",
            ),
            (
                "settings-read-back",
                "Settings that could not be read again, for their size or otherwise, are not written, and the old ones stay.",
                "",
            ),
            (
                "install-planted-list",
                "Scripts that run as root remove nothing but files of this package, whatever a list says, and nothing behind a link.",
                "",
            ),
            (
                "install-untrusted-program",
                "Scripts that run as root run no program that, or whose directory, belongs to somebody else or may be written to.",
                "",
            ),
            ("text-pasted", "What documents and manual pages give to type can be pasted into an interactive zsh.", ""),
            ("install-removes-no-package", "No script of ours removes a package for another one.", ""),
            ("end-service-manager", "systemd is told when the daemon answers, and when it begins to end.", ""),
            (
                "detach-refused-changes-nothing",
                "A detach or logout that is refused leaves every disk as it was: a program that has one open, and lets go later, takes nothing with it, also one that shows only when the disk is to go.",
                "",
            ),
            (
                "doctor-names-what-fails-now",
                "A session without a connection, a unit whose I/O fails or has failed, and a disk whose unit is gone are named by doctor and by `list luns`, with what to do.",
                "",
            ),
            (
                "attach-lost-mount",
                "A mount whose disk went with a killed daemon stays and fails, is named by the log, `list luns` and doctor, and nothing written to it lands on the disk below.",
                "",
            ),
            (
                "end-disk-in-use",
                "Ctrl-C waits for disks in use, a second one does not; a daemon that ends under them says so by its exit code, and the next one logs in again.",
                "",
            ),
        ],
    },
    Group {
        title: "Finding units",
        checks: &[
            (
                "scan-no-unit-zero",
                "Without unit 0 the units are found all the same: by the well-known unit, by unit 1, or by trying each number up to 255.",
                "SAM-5 4.7.4, SPC-4 8.2",
            ),
            (
                "scan-refused",
                "A REPORT LUNS that is refused, for any reason, is asked elsewhere; invalid opcode alone means one unit.",
                "SPC-5 6.34",
            ),
            ("scan-known-stay", "A known unit goes by a list that leaves it out, and by no refusal.", "SPC-5 6.34"),
            (
                "scan-list-malformed",
                "A list whose length is wrong, or that has more than is read, hides no unit and takes none away.",
                "SPC-5 6.34",
            ),
            (
                "scan-unit-twice",
                "One unit is one disk, however often it is listed, however it is written, and where a target shows it at every number.",
                "SAM-5 4.7",
            ),
            (
                "scan-no-disk",
                "Administrative and well-known units, vacant addresses and tapes are neither disks nor problems.",
                "SPC-5 6.6.2, SAM-5 4.7.6",
            ),
            (
                "scan-not-ready",
                "A unit without a medium is listed with the reason; login, logout and the units next to it work.",
                "SPC-5 6.47",
            ),
            (
                "scan-slow-look",
                "A session without a disk is looked at now and then: what is mapped later is found though nobody announces it.",
                "SAM-5 5.14",
            ),
            ("unit-same-name", "Units of two targets are two disks, also where both have one name.", "SPC-5 7.7.6"),
            (
                "unit-size-wrong",
                "Blocks that a unit has by its capacity and refuses as beyond its end are an I/O error; the capacity is read again, once, and the unit's listing tells.",
                "SBC-4 4.6",
            ),
        ],
    },
    Group {
        title: "Texts and names",
        checks: &[
            ("text-key-form", "A key has up to 63 bytes of the allowed characters and begins with a letter.", "6.1"),
            (
                "text-value-length",
                "A value has up to 255 bytes, a name 223, a binary value of CHAP 1024 decoded.",
                "6.1, 4.2.7, 12.1.3",
            ),
            ("text-total", "The number of keys and the length of a text are capped.", "6.1"),
            (
                "text-characters",
                "A value that has consequences is UTF-8 without control characters; none of a target's reach a terminal.",
                "6.1",
            ),
            (
                "text-last-zero",
                "The zero byte of a text's last pair may be missing: the length ends it. That is told once.",
                "6.1",
            ),
            ("text-numbers", "Numbers are decimal or hexadecimal and nothing else.", "6.1"),
            ("text-no-smuggling", "No value of ours can carry another key.", "6.1"),
            (
                "name-form",
                "Names are iqn., eui. or naa. in their right form; everything else is told in a sentence.",
                "4.2.7",
            ),
            (
                "name-of-a-target",
                "A target's name is sent back byte for byte; it needs the length and the characters of an iSCSI name and not its form, and one remark tells of it. Our own name is an iSCSI name.",
                "4.2.7",
            ),
            ("name-normalised", "Names are compared in lower case and sent as they were written.", "4.2.7.1, 4.2.7.2"),
            ("name-not-raw", "No character of a name means something to a path, a log format or a shell.", "4.2.7"),
        ],
    },
    Group {
        title: "Words of people",
        checks: &[
            (
                "plist-obvious-meaning",
                "A property list with integers, booleans, arrays and portals in another type is taken for what it obviously means, and written back in the right types.",
                "iscsid.plist(5)",
            ),
            (
                "plist-unreadable-words",
                "A property list that cannot be read is refused in words, with the place where it breaks.",
                "iscsid.plist(5)",
            ),
            (
                "plist-other-version",
                "A property list of another version gets one advice, whatever keys it has.",
                "iscsid.plist(5)",
            ),
            (
                "plist-number",
                "A number that is none, or out of range, is told with the path of its key, what is there and what belongs there; of a file of secrets, without what is there.",
                "iscsid.plist(5)",
            ),
            (
                "plist-binary",
                "A binary property list is taken as one of XML, for settings and for the import.",
                "iscsid.plist(5)",
            ),
            (
                "portal-port-in-address",
                "An address in a portal's dictionary may have the port behind it, IPv6 in brackets; two ports that differ are refused.",
                "iscsid.plist(5)",
            ),
            (
                "import-own-settings",
                "The import of iscsid's own settings says what they are and how they are used.",
                "iscsictl(8)",
            ),
            (
                "number-ranges",
                "The help and the error of each number on a command line tell the range that is taken.",
                "iscsictl(8)",
            ),
            (
                "chap-by-halves",
                "A CHAP name without a secret is stored, and what is missing is said at once.",
                "iscsictl(8)",
            ),
            (
                "wrong-line-sentence",
                "A command line that is wrong is answered by one sentence in the words of the command, with what would be right.",
                "iscsictl(8)",
            ),
            (
                "other-version-which",
                "Of a command and a daemon of two versions, the sentence says which is the older one and what to do with it.",
                "iscsictl(8)",
            ),
            ("long-lists-come", "A list of any length comes, in as many frames as it takes.", "iscsictl(8)"),
            ("doctor-full-disk", "The doctor notices a file system on which no change can be saved.", "iscsictl(8)"),
            (
                "manual-layout",
                "In the manual pages exit codes and files stand in columns, and what is typed is bold.",
                "man(7)",
            ),
            (
                "manual-reproducible",
                "The manual pages have the date that SOURCE_DATE_EPOCH says, or that of the last release.",
                "man(7)",
            ),
            (
                "bench-interrupted",
                "A benchmark that Ctrl-C ends shows what it has measured until then, and exits with 130.",
                "iscsictl(8)",
            ),
            (
                "completions-names",
                "A shell completes the names, portals and numbers of what iscsid has, and offers files only where a file is meant.",
                "iscsictl(8)",
            ),
            ("failures-own-lines", "Several failures of one command are told on lines of their own.", "iscsictl(8)"),
            (
                "nbd-address-told",
                "Where a unit is not made a disk, login and list say where NBD clients find it.",
                "iscsictl(8)",
            ),
            (
                "logout-during-scan",
                "A login that a logout ends while its units are looked for exits with 75, not with 0.",
                "iscsictl(8)",
            ),
            ("secret-no-core", "A command that holds a secret leaves no core.", "iscsictl(8)"),
            (
                "secret-on-command-line",
                "A secret on the command line is taken, with a hint that others can see it there.",
                "iscsictl(8)",
            ),
        ],
    },
    Group {
        title: "Order of trust on receive",
        checks: &[
            (
                "order-opcode",
                "The opcode is looked at as soon as 48 bytes are there, before any of the data they announce.",
                "11.1",
            ),
            (
                "order-length",
                "AHS and data segment are within the limit of that opcode, before they are read.",
                "11.1, 13.12",
            ),
            ("order-header-digest", "The header digest is checked before any field behind it counts.", "13.1"),
            (
                "order-task",
                "The tag has to name a slot, its generation, a state and a direction that fit, before a byte is placed or a field kept.",
                "11.2.1.8",
            ),
            ("order-offset", "Offset and length are compared in 64 bits with what was asked.", "11.7"),
            ("order-data-digest", "The data digest is checked before the command completes.", "13.1"),
            ("order-no-panic", "No bytes that a target can send make us panic, hang or allocate without bound.", "7.7"),
        ],
    },
    Group {
        title: "Users of this machine",
        checks: &[
            (
                "strangers-take-no-descriptors",
                "A user who keeps as many connections as he can keeps neither root's commands nor a session's recovery from their descriptors, and fills no log.",
                "none; setrlimit(2)",
            ),
            (
                "strangers-have-a-share",
                "One user has a quarter of the control socket's places at most, all strangers together three quarters.",
                "none",
            ),
            (
                "strangers-keep-a-pace",
                "Who is neither root nor the daemon's user asks 20 times a second in the long run.",
                "none",
            ),
            (
                "nfs-idle-clients-leave",
                "NFS clients that show nothing leave for the next one, those that know a unit last.",
                "RFC 1813",
            ),
            (
                "nfs-unknown-clients-leave",
                "An NFS client that has shown neither a path that is good nor a handle within half a minute is let go.",
                "RFC 1813",
            ),
            (
                "nfs-tickets-end-with-their-mount",
                "A path that is good for one mount is good once, for a minute, and no longer than whoever mounts by it runs.",
                "RFC 1813",
            ),
            (
                "nfs-handles-end-with-their-attach",
                "File handles that were got by a ticket are good for that attach of the unit, over restarts of the daemon, and no longer.",
                "RFC 1813",
            ),
            (
                "nbd-silent-clients-leave",
                "NBD clients that do not get on with their handshake leave for the next one; those that use a unit stay.",
                "NBD protocol",
            ),
            (
                "strangers-see-no-keys",
                "Paths that stay good, ISID and TSIH of a session and CHAP names are shown to root and the daemon's user alone.",
                "none",
            ),
            (
                "runtime-dir-too-long",
                "A runtime directory whose path is too long for its sockets is refused at the start, before anything is made.",
                "none; unix(7)",
            ),
            ("runtime-dir-of-everybody", "A runtime directory that others may write to is refused.", "none"),
            (
                "runtime-dir-way",
                "A runtime directory that others could exchange, since they may write to a directory above it, is refused, and none is made there.",
                "none",
            ),
            (
                "runtime-dir-stranger-s-link",
                "A link that another user has made is not taken for the runtime directory.",
                "none",
            ),
            (
                "client-directory-of-everybody",
                "The command line tells nothing to a socket in a directory that others may write to.",
                "none",
            ),
            (
                "client-full-backlog",
                "The command line goes on for a moment where xnu refuses it because many others wait, as it does if nobody listens.",
                "none; xnu, uipc_usrreq.c",
            ),
            (
                "client-server-of-a-stranger",
                "The command line tells nothing to a server that runs as another user than root and its own.",
                "none; unix(7)",
            ),
            (
                "tools-by-absolute-path",
                "The programs that root runs are those of the system, whatever PATH says, also where there is none.",
                "none",
            ),
            (
                "losetup-busy",
                "A loop device that the kernel has no time for is asked for again, then without direct I/O; nothing stays behind.",
                "none; loop(4)",
            ),
            (
                "nfs-strangers-are-turned-away",
                "Another user gets nothing from the NFS export, whatever path he has heard of, and does not keep root out by any number of connections.",
                "none",
            ),
            (
                "nfs-owners-by-list",
                "On macOS the owner of an NFS connection is told by the system's list of sockets, of which no bytes can make the daemon read beyond it.",
                "none; xnu, in_pcblist.c",
            ),
            (
                "nfs-owners-unknown",
                "A list of sockets that does not show the daemon's own connection as its own is not believed.",
                "none; xnu, in_pcblist.c",
            ),
            (
                "nfs-bounded-without-a-volume",
                "As long as no volume of a disk is mounted, I/O that its unit does not answer fails after half a minute, and all other I/O at once until the unit answers.",
                "RFC 1813; xnu, IOService.cpp",
            ),
            (
                "nfs-waits-under-a-volume",
                "Under a mounted volume I/O waits for a unit that is away as long as it takes.",
                "RFC 1813",
            ),
            (
                "diskimage-waits-under-a-volume-only",
                "Whether a volume of a disk image is mounted is known a few seconds after it is, and is not believed gone from one list alone.",
                "hdiutil(1)",
            ),
            (
                "nfs-attributes-stay",
                "Size, times and id of an attached unit's file stay as they are until it is attached again, also where the unit grows.",
                "none; Apple's NFS, nfs_bio.c",
            ),
            (
                "nfs-lost-data-is-said",
                "A write that is answered by an I/O error is an error in the log, once for each unit and burst.",
                "RFC 1813",
            ),
            (
                "nfs-ports-of-others",
                "The NFS export has a port of its own and needs no portmapper: ports 2049 and 111 may be anybody's.",
                "RFC 1813",
            ),
            (
                "exports-spoilt-requests",
                "No bytes that a client of an export can send make it panic, hang, or end another client.",
                "RFC 1813, NBD protocol",
            ),
            (
                "nbd-no-name",
                "An NBD client that names no export gets the only unit; among several, the answer is their names.",
                "NBD protocol",
            ),
            (
                "nbd-block-size-not-asked",
                "An NBD client that did not ask for block sizes may use multiples of 512 bytes of a unit of larger blocks; no neighbour's bytes are lost.",
                "NBD protocol",
            ),
            (
                "held-port-is-never-free",
                "The port of the NFS export that launchd or systemd holds cannot be had by another user while no daemon runs, and clients wait there for the next one.",
                "none; launchd.plist(5), systemd.socket(5)",
            ),
            (
                "waiting-disks-keep-their-port",
                "A daemon that cannot have the port where disks of an earlier one wait does not start on another.",
                "none",
            ),
            (
                "held-port-is-loopback-tcp",
                "Of what is handed over, only TCP at 127.0.0.1 becomes the port of the NFS export.",
                "none; launchd.plist(5), sd_listen_fds(3)",
            ),
            ("held-port-wins", "A port that is held wins over the saved one, and what was typed over both.", "none"),
            (
                "mount-of-another-is-lost",
                "A mount of an earlier life that does not show that it leads to this daemon is not taken over.",
                "RFC 1813",
            ),
            (
                "mount-shows-whose-it-is",
                "A mount shows by a question that nobody has asked before whether this life of the daemon serves it.",
                "RFC 1813",
            ),
            (
                "nfs-closed-client-is-nobody-s",
                "A connection that its client has closed is nobody's, whatever user the system shows for its remains.",
                "RFC 1813",
            ),
        ],
    },
];
