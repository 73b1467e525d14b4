//! iscsid.plist(5), from the types and tables a configuration is read and checked with.

use roff::{bold, italic, roman};

use super::text::{begin, examples, paragraphs, prose, see_also};
use crate::config::{SECRET_BYTES, dictionaries};

/// iscsid.plist(5).
pub(super) fn page() -> String {
    let mut page = begin("iscsid.plist", "5", "the settings of iscsid");
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut page,
        "iscsid.plist is a property list in XML. iscsid reads it when it starts and writes it whenever iscsictl(8) changes \
         something; it is written whole or not at all. Whoever edits it stops iscsid first. A number, a boolean or a list that is \
         written in another type, as defaults(1) may do it, is taken for what it obviously means. A key that is not named here, another wrong type and a \
         value out of range are errors that name the key, and iscsid does not start; the file stays as it is. \
         A value that has no effect is warned of and kept.",
    );
    for dictionary in dictionaries() {
        let heading = if dictionary.path.is_empty() { "The root".to_owned() } else { dictionary.path.join(" > ") };
        if dictionary.path.is_empty() {
            page.control("SH", ["KEYS"]);
        }
        page.control("SS", [heading.as_str()]);
        if !dictionary.about.is_empty() {
            prose(&mut page, dictionary.about);
        }
        for key in dictionary.keys {
            page.control("TP", []);
            page.text([bold(key.name), roman(" ("), italic(key.kind), roman(")")]);
            let default = key.default.map(|default| format!(" Default: {default}.")).unwrap_or_default();
            prose(&mut page, &format!("{}{default}", key.about));
        }
    }
    page.control("SH", ["SECRETS"]);
    let secrets = format!(
        "CHAP secrets are not in this file but in secrets.plist beside it, which only its owner may read; those of an iscsid that is \
         signed with a Developer ID are in the System keychain of the Mac. Set them with \
         `iscsictl modify target IQN --chap-secret`, which asks for them. They have {} to {} bytes; shorter ones are taken with a warning, for targets that \
         allow no longer ones.",
        SECRET_BYTES.start(),
        SECRET_BYTES.end()
    );
    paragraphs(&mut page, &secrets);
    examples(&mut page, &[("A target that is logged in to at every start, with checksums of headers:", EXAMPLE)]);
    page.control("SH", ["FILES"]);
    for (file, whose) in [
        ("/Library/Application Support/iscsid/iscsid.plist", "root on macOS"),
        ("/etc/iscsid/iscsid.plist", "root on Linux"),
        ("~/Library/Application Support/iscsid/iscsid.plist", "anybody else on macOS"),
        ("$XDG_CONFIG_HOME/iscsid/iscsid.plist", "anybody else on Linux"),
    ] {
        page.control("TP", []);
        page.text([italic(file)]);
        prose(&mut page, &format!("{whose}."));
    }
    see_also(&mut page, &[("iscsictl", "8"), ("iscsid", "8"), ("plutil", "1")]);
    page.render()
}

/// A whole file.
pub(super) const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Version</key>
    <integer>1</integer>
    <key>Targets</key>
    <dict>
        <key>iqn.2001-04.com.example:disk1</key>
        <dict>
            <key>Portals</key>
            <array>
                <dict>
                    <key>Address</key>
                    <string>nas.example</string>
                </dict>
            </array>
            <key>AutoLogin</key>
            <true/>
            <key>Connection</key>
            <dict>
                <key>HeaderDigest</key>
                <string>CRC32C,None</string>
            </dict>
        </dict>
    </dict>
</dict>
</plist>"#;
