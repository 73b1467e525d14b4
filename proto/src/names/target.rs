//! What targets call themselves: more than RFC 7143 allows.
//!
//! ```text
//!   iqn.2001-04.com.example:disk1             an iSCSI name
//!   iqn.2015-1.workgroup:RAID.iscsi0          not one, and yet what a target listens to
//!   Target-911data                            as well
//!   ../etc   -x   a b                         neither: it would mean something to a path, a command line or a log
//! ```
//! The name of a target is its own to choose: it is sent back to it byte for byte, and a target whose name breaks the form of
//! §4.2.7 harms nobody. What a name is here, a key and part of a path, it must be fit for.

use alloc::borrow::ToOwned;
use core::fmt;
use core::str::FromStr;

use super::{IscsiName, NameError, NameProblem, Spelled, normalised, printable};

/// The name of a target, as the target has it: an [`IscsiName`], or a name that is none and can be used like one.
///
/// As of iSCSI names, two are equal if their normalised forms are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Spelled);

impl TargetName {
    /// Checks and normalises a name. It needs the length and the characters of an iSCSI name; of its form, it needs only to
    /// begin with a letter or a digit and, unless it is an iSCSI name, to be without `..`.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<TargetName, NameError> {
        match IscsiName::parse(text) {
            Ok(name) => return Ok(name.into()),
            Err(error) if text.is_empty() => return Err(error),
            Err(_) => {}
        }
        let fail = |problem| NameError { name: printable(text), problem };
        let normal = normalised(text).map_err(fail)?;
        if !normal.starts_with(char::is_alphanumeric) {
            return Err(fail(NameProblem::Beginning));
        }
        if normal.contains("..") {
            return Err(fail(NameProblem::Dots));
        }
        Ok(TargetName(Spelled { normal, written: text.to_owned() }))
    }

    /// The normalised name: what to compare, store under and show.
    pub fn as_str(&self) -> &str {
        &self.0.normal
    }

    /// The name in the spelling it came in: what to call the target by.
    pub fn as_written(&self) -> &str {
        &self.0.written
    }

    /// Why it is no iSCSI name; `None` for one that is.
    pub fn irregular(&self) -> Option<NameError> {
        IscsiName::parse(&self.0.written).err()
    }
}

impl From<IscsiName> for TargetName {
    fn from(IscsiName(name): IscsiName) -> TargetName {
        TargetName(name)
    }
}

impl FromStr for TargetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<TargetName, NameError> {
        TargetName::parse(text)
    }
}

impl fmt::Display for TargetName {
    /// The normalised name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::MAX_NAME;
    use alloc::format;
    use alloc::string::ToString;

    // check: name-of-a-target
    #[test]
    fn names_that_targets_have_are_taken_as_they_are_and_told_to_be_none() {
        for name in [
            "iqn.2015-1.workgroup:RAID.iscsi0.vg0.data1",
            "iqn.com.example-10",
            "iqn.2001-04.com.example:",
            "iqn.2001-13.com.example:disk",
            "Target-911data",
            "disk1",
            "naa.123",
            "eui.02004567A425678",
            "0x5000c500",
        ] {
            let target = TargetName::parse(name).expect(name);
            assert_eq!(target.as_written(), name);
            assert_eq!(target.as_str(), name.to_lowercase());
            let irregular = target.irregular().unwrap_or_else(|| panic!("{name} is an iSCSI name")).to_string();
            assert!(irregular.contains("is not an iSCSI name"), "{irregular}");
            assert!(IscsiName::parse(name).is_err(), "ours stays strict: {name}");
        }
        for name in ["iqn.2001-04.com.example", "iqn.2001-04.com.example:Disk1", "naa.52004567ba64678d"] {
            assert_eq!(TargetName::parse(name).expect(name).irregular(), None);
        }
    }

    // check: name-of-a-target, name-not-raw
    #[test]
    fn what_would_mean_something_to_a_path_a_command_line_or_a_log_is_no_name() {
        let long = "x".repeat(MAX_NAME + 1);
        for (text, says) in [
            ("", "it is empty"),
            (".", "begins with neither"),
            ("..", "begins with neither"),
            (".hidden", "begins with neither"),
            ("-x", "begins with neither"),
            ("--all", "begins with neither"),
            (":3260", "begins with neither"),
            ("a..b", "contains '..'"),
            ("iqn.2001-04.com..example", "contains '..'"),
            ("../etc", "contains '/'"),
            ("iqn.2001-04.com.example:../../x", "contains '/'"),
            ("a/b", "contains '/'"),
            ("a\\b", "contains '\\\\'"),
            ("a b", "contains ' '"),
            (" a", "contains ' '"),
            ("a\tb", "contains '\\t'"),
            ("a\0", "contains '\\0'"),
            ("a\u{1b}[2J", "contains '\\u{1b}'"),
            ("a\u{202e}", "contains '\\u{202e}'"),
            ("a,1", "contains ','"),
            ("a=b", "contains '='"),
            ("a%n", "contains '%'"),
            ("$(x)", "contains '$'"),
            ("~root", "contains '~'"),
            (long.as_str(), "longer than 223 bytes"),
        ] {
            let error = TargetName::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
        assert!(TargetName::parse(&"x".repeat(MAX_NAME)).is_ok());
    }

    // check: name-normalised
    #[test]
    fn case_makes_no_difference_and_is_kept() {
        let (one, other) = (TargetName::parse("Target-911data"), TargetName::parse("TARGET-911DATA"));
        assert_eq!(one, other);
        assert_eq!(format!("{}", one.expect("a name")), "target-911data");
        let strict = IscsiName::parse("iqn.2001-04.com.example:Disk").expect("a name");
        assert_eq!(TargetName::from(strict).as_written(), "iqn.2001-04.com.example:Disk");
    }
}
