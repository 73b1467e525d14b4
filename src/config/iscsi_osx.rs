//! The settings of iSCSIInitiator for macOS, read to be taken over.
//!
//! ```text
//!   its property list ──► dictionaries ──► ipc::Import       what iscsid is asked to take
//!   the System keychain ──► secrets ─────────┘ └► notes      what nothing here can be made of
//! ```
//! Its users have two layouts on disk, and mixtures of them from the summer of 2015:
//!
//! ```text
//!   2015 on   Initiator Node {Name, Alias, Authentication, CHAP Name}        secrets in the keychain
//!             Target Nodes   {iqn → {…, Portals {address → {Port, Host Interface}}}}
//!             Discovery      {SendTargets, Interval, Portals {address → …}}
//!   spring    Initiator      {Name, Alias}                                   secrets in clear
//!   of 2015   Targets        {iqn → {Session Configuration {…},
//!                                    Portals {address → {Portal {Address, Port, Host Interface},
//!                                             Connection Configuration {Header Digest, Data Digest},
//!                                             Authentication {Target User, Target Secret, …}}}}}
//! ```
//! There, the CHAP settings of a target *node* are what the target authenticates itself with. In the
//! files of spring 2015 it is the other way round: `Target User` is who we are at the target.
//!
//! Nothing in such a file is trusted: what has the wrong type is left out and named, and whether a name
//! or a portal is one is the daemon's to see.

use iscsi_proto::names::DEFAULT_PORT;
use serde_json::{Map, Value};

use super::endpoint;
use super::schema::ARROW;
use super::tree;
use crate::ipc::{ChapChanges, DiscoveryChanges, Import, ImportedPortal, ImportedTarget, InitiatorChanges, Secret};
use crate::ipc::{ExitCode, Failure, TargetChanges};

/// Where iscsi-osx keeps its settings.
pub const ISCSI_OSX_SETTINGS: &str = "/Library/Preferences/com.github.iscsi-osx.iSCSIInitiator.plist";

/// The name of every initiator whose user never set one.
const DEFAULT_NAME: &str = "iqn.2015-01.com.localhost:initiator";

/// The sections of our own settings, which have a `Version`.
const OURS: [&str; 5] = ["Initiator", "Defaults", "Targets", "DiscoveredTargets", "Discovery"];

/// How many notes there are at most: a file may hold any number of mistakes.
const MOST_NOTES: usize = 200;

/// Where iscsi-osx's CHAP secrets are, by the name of the node: the System keychain, or nowhere.
pub trait IscsiOsxSecrets {
    /// The secret of a node; `None` where there is none.
    ///
    /// # Errors
    /// A clause: why it cannot be had.
    fn secret(&self, node: &str) -> Result<Option<Secret>, String>;
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IscsiOsxFile {
    /// What iscsid can take.
    pub import: Import,
    /// What it cannot, one sentence each.
    pub notes: Vec<String>,
    /// There are secrets in clear in the file.
    pub secrets_in_clear: bool,
}

/// Reads a property list of iscsi-osx, in any of Apple's encodings.
///
/// # Errors
/// [`ExitCode::Data`]: a clause that says why it is none.
pub fn read_iscsi_osx(bytes: &[u8], secrets: &dyn IscsiOsxSecrets) -> Result<IscsiOsxFile, Failure> {
    let data = |what: String| Failure::new(ExitCode::Data, what);
    let Value::Object(root) = tree::read(bytes).map_err(data)?.value else {
        return Err(data("its root is not a dictionary".to_owned()));
    };
    if root.contains_key("Version") && OURS.iter().any(|section| root.contains_key(*section)) {
        return Err(data("these are settings of iscsid itself, and not of iSCSIInitiator".to_owned())
            .advice("they need no import: start iscsid with --config and this file, or put it in the place of its own while it does not run"));
    }
    let mut root = Dictionary { entries: root, path: Vec::new() };
    let mut reader = Reader { secrets, notes: Vec::new(), hidden: 0, secrets_in_clear: false };
    let sections = ["Initiator Node", "Initiator", "Target Nodes", "Targets", "Discovery", "SendTargets Discovery"];
    if !sections.iter().any(|section| root.entries.contains_key(*section)) {
        return Err(data("it has none of the sections of iSCSIInitiator, such as `Target Nodes`".to_owned())
            .advice("name the property list of iSCSIInitiator after `iscsictl import`"));
    }
    let mut import = Import::default();
    for section in ["Discovery", "SendTargets Discovery"] {
        if let Some(discovery) = reader.dictionary(&mut root, section) {
            reader.discovery(discovery, &mut import);
        }
    }
    for section in ["Initiator Node", "Initiator"] {
        if let Some(initiator) = reader.dictionary(&mut root, section) {
            import.initiator = reader.initiator(initiator);
        }
    }
    for section in ["Target Nodes", "Targets"] {
        if let Some(targets) = reader.dictionary(&mut root, section) {
            for (_, target) in reader.dictionaries(targets) {
                let target = reader.target(target, &import.discovery_portals);
                import.targets.push(target);
            }
        }
    }
    reader.rest(root);
    let Reader { mut notes, hidden, secrets_in_clear, .. } = reader;
    if hidden > 0 {
        notes.push(format!("and {hidden} more like these"));
    }
    Ok(IscsiOsxFile { import, notes, secrets_in_clear })
}

/// A dictionary of the file. Known entries are taken out; those that stay are unknown.
struct Dictionary {
    entries: Map<String, Value>,
    path: Vec<String>,
}

impl Dictionary {
    /// The path of a key in it.
    fn at(&self, key: &str) -> String {
        self.path.iter().map(String::as_str).chain([key]).collect::<Vec<_>>().join(ARROW)
    }

    /// What it is called.
    fn name(&self) -> String {
        self.path.last().cloned().unwrap_or_default()
    }

    /// Takes the entries of a dictionary in it among its own; those that are there stay.
    fn flatten(&mut self, inner: Option<Dictionary>) {
        for (key, value) in inner.into_iter().flat_map(|inner| inner.entries) {
            self.entries.entry(key).or_insert(value);
        }
    }
}

struct Reader<'a> {
    secrets: &'a dyn IscsiOsxSecrets,
    notes: Vec<String>,
    hidden: usize,
    secrets_in_clear: bool,
}

impl Reader<'_> {
    fn note(&mut self, sentence: String) {
        if self.notes.len() < MOST_NOTES { self.notes.push(sentence) } else { self.hidden += 1 }
    }

    fn wrong_type(&mut self, from: &Dictionary, key: &str, wanted: &str) {
        self.note(format!("{}: it is not {wanted}, and is left out", from.at(key)));
    }

    /// Empty texts are how iscsi-osx writes that there is nothing.
    fn dictionary(&mut self, from: &mut Dictionary, key: &str) -> Option<Dictionary> {
        match from.entries.remove(key)? {
            Value::Object(entries) => Some(Dictionary { entries, path: [&from.path[..], &[key.to_owned()]].concat() }),
            Value::String(text) if text.is_empty() => None,
            _ => {
                self.wrong_type(from, key, "a dictionary");
                None
            }
        }
    }

    /// All dictionaries in one whose keys are not known beforehand.
    fn dictionaries(&mut self, mut from: Dictionary) -> Vec<(String, Dictionary)> {
        let keys: Vec<String> = from.entries.keys().cloned().collect();
        keys.into_iter().filter_map(|key| Some((key.clone(), self.dictionary(&mut from, &key)?))).collect()
    }

    fn text(&mut self, from: &mut Dictionary, key: &str) -> Option<String> {
        match from.entries.remove(key)? {
            Value::String(text) if !tree::is_no_number(&text) => Some(text).filter(|text| !text.is_empty()),
            _ => {
                self.wrong_type(from, key, "a string");
                None
            }
        }
    }

    fn flag(&mut self, from: &mut Dictionary, key: &str) -> Option<bool> {
        match from.entries.remove(key)? {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.wrong_type(from, key, "a boolean");
                None
            }
        }
    }

    fn number(&mut self, from: &mut Dictionary, key: &str) -> Option<u32> {
        let value = from.entries.remove(key)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.wrong_type(from, key, "an integer from 0 to 4294967295");
        }
        number
    }

    /// A digest: `None` or `CRC32C`, in spring 2015 a boolean. `None` is iscsi-osx's default.
    fn digest(&mut self, from: &mut Dictionary, key: &str, ours: &str, keys: &mut Vec<(String, String)>) {
        let on = match from.entries.remove(key) {
            None => false,
            Some(Value::Bool(on)) => on,
            Some(Value::String(text)) if text == "CRC32C" => true,
            Some(Value::String(text)) if text == "None" || text.is_empty() => false,
            Some(_) => {
                self.wrong_type(from, key, "None or CRC32C");
                false
            }
        };
        // A target that has several portals has one setting with us.
        if on && !keys.iter().any(|(there, _)| there == ours) {
            keys.push((ours.to_owned(), "CRC32C".to_owned()));
        }
    }

    /// What is left in a dictionary when all that is known was taken out.
    fn rest(&mut self, from: Dictionary) {
        let unknown: Vec<String> = from.entries.keys().map(|key| from.at(key)).collect();
        for path in unknown {
            self.note(format!("{path}: nothing here corresponds to it, and it is left out"));
        }
    }

    /// Name and secret of a node that authenticates itself by CHAP.
    fn chap(&mut self, node: &str, from: &mut Dictionary, store_with: &str) -> (Option<String>, Option<Secret>) {
        let name = self.text(from, "CHAP Name");
        match self.text(from, "Authentication").as_deref() {
            Some("CHAP") => {}
            None | Some("None") => return (None, None),
            Some(other) => {
                let path = from.at("Authentication");
                self.note(format!("{path}: `{other}` is neither None nor CHAP, and is left out"));
                return (None, None);
            }
        }
        let secret = match self.secrets.secret(node) {
            Ok(Some(secret)) => Some(secret),
            Ok(None) => {
                self.note(format!("the CHAP secret of {node} is not there; store it with `{store_with}`"));
                None
            }
            Err(why) => {
                self.note(format!("the CHAP secret of {node} cannot be had ({why}); store it with `{store_with}`"));
                None
            }
        };
        (name, secret)
    }

    fn initiator(&mut self, mut from: Dictionary) -> InitiatorChanges {
        let name = self.text(&mut from, "Name");
        let alias = self.text(&mut from, "Alias").filter(|alias| alias != "localhost");
        let node = name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let (chap_name, secret) = self.chap(&node, &mut from, "iscsictl modify initiator --chap-secret");
        self.rest(from);
        if name.as_deref() == Some(DEFAULT_NAME) {
            self.note(format!(
                "the initiator's name {DEFAULT_NAME} is that of every Mac and is not taken; \
                 tell targets that let only that one in the name of `iscsictl show initiator`"
            ));
        }
        let chap = ChapChanges { name: chap_name, secret, ..ChapChanges::default() };
        InitiatorChanges { name: name.filter(|name| name != DEFAULT_NAME), alias, chap }
    }

    fn target(&mut self, mut from: Dictionary, discovery: &[ImportedPortal]) -> ImportedTarget {
        let name = from.name();
        for inner in ["Session Configuration", "Target Data", "Target"] {
            let inner = self.dictionary(&mut from, inner);
            from.flatten(inner);
        }
        // Said by the target itself at every login, by the portal, and by the key.
        for known in ["Alias", "Target Portal Group Tag", "Target Name"] {
            from.entries.remove(known);
        }
        let mut changes = TargetChanges {
            auto_login: self.flag(&mut from, "Automatic Login").filter(|auto_login| *auto_login),
            persistent: self.flag(&mut from, "Persistent").filter(|persistent| !*persistent),
            ..TargetChanges::default()
        };
        for (key, ours, default) in
            [("Maximum Connections", "MaxConnections", 1), ("Error Recovery Level", "ErrorRecoveryLevel", 0)]
        {
            if let Some(number) = self.number(&mut from, key).filter(|number| *number != default) {
                changes.keys.push((ours.to_owned(), number.to_string()));
            }
        }
        self.digests(&mut from, &mut changes);
        let managed_by = self.text(&mut from, "Managing Portal");
        let discovered_from = match self.text(&mut from, "Configuration Type").as_deref() {
            Some("SendTargets") => managed_by.map(|host| {
                let known = discovery.iter().find(|portal| host_of(&portal.at) == host_of(&host));
                known.map_or(host, |portal| portal.at.clone())
            }),
            _ => None,
        };
        // In the files of spring 2015 each portal has its own; of the summer, the target.
        if from.entries.get("Authentication").is_some_and(Value::is_object) {
            self.clear_chap(&mut from, &mut changes.chap);
        } else {
            let store_with = format!("iscsictl modify target {name} --chap-mutual-secret");
            (changes.chap.mutual_name, changes.chap.mutual_secret) = self.chap(&name, &mut from, &store_with);
        }
        let mut portals = Vec::new();
        if let Some(there) = self.dictionary(&mut from, "Portals") {
            for (key, mut portal) in self.dictionaries(there) {
                for inner in ["Portal", "Portal Data"] {
                    let inner = self.dictionary(&mut portal, inner);
                    portal.flatten(inner);
                }
                let connection = self.dictionary(&mut portal, "Connection Configuration");
                portal.flatten(connection);
                self.digests(&mut portal, &mut changes);
                self.clear_chap(&mut portal, &mut changes.chap);
                portals.extend(self.portal(&key, &mut portal));
                self.rest(portal);
            }
        }
        self.rest(from);
        ImportedTarget { name, portals, discovered_from, changes }
    }

    fn digests(&mut self, from: &mut Dictionary, changes: &mut TargetChanges) {
        self.digest(from, "Header Digest", "HeaderDigest", &mut changes.keys);
        self.digest(from, "Data Digest", "DataDigest", &mut changes.keys);
    }

    /// CHAP of spring 2015: names and secrets in clear, ours called the target's.
    fn clear_chap(&mut self, from: &mut Dictionary, chap: &mut ChapChanges) {
        let Some(mut there) = self.dictionary(from, "Authentication") else { return };
        let method = self.text(&mut there, "Authentication Method");
        let found = ChapChanges {
            name: self.text(&mut there, "Target User"),
            secret: self.text(&mut there, "Target Secret").map(Secret),
            mutual_name: self.text(&mut there, "Initiator User"),
            mutual_secret: self.text(&mut there, "Initiator Secret").map(Secret),
            ..ChapChanges::default()
        };
        self.rest(there);
        self.secrets_in_clear |= found.secret.is_some() || found.mutual_secret.is_some();
        if method.as_deref() != Some("CHAP") || found == ChapChanges::default() || found == *chap {
            return;
        }
        if *chap == ChapChanges::default() {
            *chap = found;
        } else {
            let path = from.at("Authentication");
            self.note(format!("{path}: it differs from that of another portal, and a target has one; it is left out"));
        }
    }

    /// A portal; `key` is what it goes by.
    fn portal(&mut self, key: &str, from: &mut Dictionary) -> Option<ImportedPortal> {
        let host = self.text(from, "Address").unwrap_or_else(|| key.to_owned());
        let interface = self.text(from, "Host Interface").filter(|name| name != "default");
        let port = match from.entries.remove("Port") {
            None => Some(DEFAULT_PORT),
            Some(Value::String(text)) if text.is_empty() => Some(DEFAULT_PORT),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        let Some(port) = port.filter(|port| *port != 0) else {
            let path = from.at("Port");
            self.note(format!("{path}: it is not a port, which is 1 to 65535; the portal is left out"));
            return None;
        };
        Some(ImportedPortal { at: endpoint(host_of(&host), port), interface })
    }

    fn discovery(&mut self, mut from: Dictionary, import: &mut Import) {
        let changes = DiscoveryChanges {
            send_targets: self.flag(&mut from, "SendTargets").filter(|asked| *asked),
            interval: self
                .number(&mut from, "Interval")
                .filter(|seconds| *seconds != super::DEFAULT_DISCOVERY_INTERVAL),
        };
        import.discovery = changes;
        if let Some(there) = self.dictionary(&mut from, "Portals") {
            for (key, mut portal) in self.dictionaries(there) {
                // They are under `Target Nodes` as well.
                portal.entries.remove("Targets");
                import.discovery_portals.extend(self.portal(&key, &mut portal));
                self.rest(portal);
            }
        }
        self.rest(from);
    }
}

/// The host of `host`, `[v6]` or `host:port`.
fn host_of(text: &str) -> &str {
    match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':')).map_or(text, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests;
