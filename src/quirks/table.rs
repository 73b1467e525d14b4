//! The table: each quirk, how it is treated, and what that means.

/// How a quirk is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// What has it is left out or turned away, and the log says so.
    Refused,
    /// It is lived with, and the log says so.
    Warned,
    /// Standards leave it open: it is lived with, and only who asks is told.
    Normal,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How it is treated.
    pub treatment: Treatment,
    /// What the target or unit does; a sentence without its subject, such as `refuses UNMAP`.
    pub does: &'static str,
    /// What is done about it; a sentence without its subject, such as `TRIM is answered without it`.
    pub we: &'static str,
}

macro_rules! quirks {
    ($($(#[doc = $doc:literal])+ $name:ident: $treatment:ident, $does:literal => $we:literal;)+) => {
        /// What a target or a unit does otherwise than the standards say, or than others do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Quirk {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Quirk {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Quirk] = &[$(Quirk::$name,)+];

            /// Its row.
            #[must_use]
            pub const fn policy(self) -> Policy {
                match self {
                    $(Quirk::$name => Policy { treatment: Treatment::$treatment, does: $does, we: $we },)+
                }
            }
        }
    };
}

// Rows go by where they are met: discovery, login, the scan of units, commands, the session.
quirks! {
    /// A target's name is an iSCSI name (RFC 7143 §4.2.7).
    IrregularName: Warned, "has a name that is no iSCSI name" => "it is used byte for byte";
    /// CHAP_A is a list, of which the target chooses (RFC 7143 §12.1.3).
    RefusesAlgorithmList: Warned, "fails over the choice of a CHAP algorithm" => "MD5 alone is offered";
    /// Each pair of a text ends with a zero byte, the last one too (RFC 7143 §6.1).
    LeavesOutLastZero: Warned, "sends texts without the zero byte at their end" => "their length ends them";
    /// A value is UTF-8, of 255 bytes at most, and without control characters (RFC 7143 §6.1).
    GarblesAlias: Warned, "has an alias that is no text" => "it is left out";
    /// SendTargets tells the portal group that the login declares (RFC 7143 §13.9).
    OtherPortalGroup: Warned, "declares another portal group than was recorded" => "the declared one is recorded";
    /// A target without unit 0 has REPORT LUNS at the well-known unit (SAM-5 §4.7.4).
    ListsUnitsElsewhere: Normal, "does not list its units at unit 0" => "its well-known unit is asked, then unit 1";
    /// REPORT LUNS is not in SCSI-2.
    KnowsNoList: Normal, "does not know REPORT LUNS" => "it has unit 0 and no other";
    /// A target has REPORT LUNS at unit 0 or at the well-known unit (SAM-5 §4.7.4).
    ListsNoUnits: Warned, "lists its units nowhere" => "each number up to 255 is tried";
    /// LUN LIST LENGTH counts bytes, eight for each unit (SPC-5 §6.34).
    MiscountsUnits: Warned, "sends a list of units that is not as long as it says" => "the units in it are taken, and those that are known stay";
    /// Each unit has one place in the list (SPC-5 §6.34).
    ListsUnitTwice: Warned, "lists a unit more than once" => "it is one disk";
    /// A unit has one number in a target (SAM-5 §4.7).
    EchoesUnit: Refused, "shows one unit at several of the numbers that were tried" => "it is one disk, at the first of them";
    /// SYNCHRONIZE CACHE (16) is optional (SBC-4 §5.34).
    RefusesSynchronizeCache16: Normal, "refuses SYNCHRONIZE CACHE (16)" => "SYNCHRONIZE CACHE (10) is used";
    /// READ (16) and WRITE (16) are optional on small units (SBC-4 §5.2).
    RefusesReadWrite16: Normal, "refuses READ (16) and WRITE (16)" => "READ (10) and WRITE (10) are used";
    /// Both forms of it are optional; a unit without a cache needs neither.
    KnowsNoSynchronizeCache: Warned, "knows no SYNCHRONIZE CACHE" => "it has no cache, and a flush of it is done";
    /// A target that takes no data beyond a burst, or has small buffers, and tells no limit (VPD B0h).
    RefusesLongTransfers: Warned, "refuses long reads and writes" => "they go to it in parts";
    /// DPOFUA of its mode parameters (SBC-4 §6.5.1).
    RefusesFua: Warned, "announces FUA and refuses it" => "a flush follows such writes";
    /// LBPWS of its provisioning (SBC-4 §6.6.6).
    RefusesWriteSameUnmap: Warned, "announces WRITE SAME with UNMAP and refuses it" => "WRITE SAME goes without it";
    /// LBPWS, or a limit of WRITE SAME (SBC-4 §6.6.4).
    RefusesWriteSame: Warned, "announces WRITE SAME and refuses it" => "zeroes are written";
    /// LBPU or LBPWS (SBC-4 §6.6.6).
    RefusesUnmap: Warned, "announces that it frees blocks and refuses to" => "a trim, which is a hint, is done as it is";
    /// READ CAPACITY tells the last block that can be read (SBC-4 §5.20).
    RefusesOwnBlocks: Warned, "refuses blocks that it has by its capacity" => "the capacity is read again, and such I/O fails";
    /// Two machines with the same InitiatorName and ISID are one initiator port: the login of each ends the session of the
    /// other (RFC 7143 §6.3.5).
    EndsConnectionsEarly: Warned, "ends connections soon after their login, as if another machine logged in with the same InitiatorName" => "logins are further and further apart; if there is such a machine, such as a copy of this one, give one of them another name by `iscsictl modify initiator --name`";
    /// DefaultTime2Wait goes up to an hour (RFC 7143 §13.15), and an announcement has room for eighteen.
    AsksForALongWait: Warned, "asks for a wait of more than a minute before the next login (Time2Wait)" => "it gets it, but an hour at most; `iscsictl login` does not wait";
    /// Each look at the units brings the same news again.
    ChangesWithoutEnd: Warned, "says without end that its units have changed" => "they are looked for once a minute at most";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that people read, in docs/architecture.md.
    #[test]
    fn the_page_has_the_table() {
        let page = include_str!("../../docs/architecture.md");
        let row = |quirk: &Quirk| {
            let Policy { treatment, does, we } = quirk.policy();
            let treatment = match treatment {
                Treatment::Refused => "refused, with a warning",
                Treatment::Warned => "taken, with a warning",
                Treatment::Normal => "normal",
            };
            format!("| {does} | {treatment} | {we} |\n")
        };
        let table: String = Quirk::ALL.iter().map(row).collect();
        assert!(page.contains(&table), "the table of docs/architecture.md is to be:\n{table}");
    }
}
