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
    /// SYNCHRONIZE CACHE (16) is optional (SBC-4 §5.34).
    RefusesSynchronizeCache16: Normal, "refuses SYNCHRONIZE CACHE (16)" => "SYNCHRONIZE CACHE (10) is used";
    /// READ (16) and WRITE (16) are optional on small units (SBC-4 §5.2).
    RefusesReadWrite16: Normal, "refuses READ (16) and WRITE (16)" => "READ (10) and WRITE (10) are used";
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
