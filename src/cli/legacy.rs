//! The two grammars of iSCSIInitiator for macOS, written in the canonical one.
//!
//! ```text
//!   2015    -login -target IQN -portal HOST          ─►  login IQN --portal HOST
//!   2016–23 login IQN,HOST                           ─►  login IQN --portal HOST
//!           modify target-config IQN -auto-login enable  ─►  modify target IQN --auto-login enable
//! ```
//! One old line may be several canonical ones: `-add` with `-digest on` adds, then modifies.
//!
//! There, the CHAP settings of a *target* are what it authenticates itself with; ours are the
//! initiator's. So the former become `--chap-mutual-…`.

use super::keys::option_of;
use crate::ipc::{ExitCode, Failure};

/// Where the lines that there are can be read.
const HELP: &str = "`iscsictl --help` lists commands";

/// Canonical lines, and what the user should be told about the translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) lines: Vec<Vec<String>>,
    pub(super) notes: Vec<&'static str>,
}

/// The note on what `modify target-config … -CHAP-name` means: its name misleads.
const MUTUAL: &str = "-CHAP-name and -CHAP-secret of a target-config are what the target authenticates itself with; \
                      ours are set by `modify initiator-config`, or for one target by `modify target IQN --chap-secret`";

/// Writes a line of an older grammar in the canonical one; a canonical line stays as it is.
/// The program's name is not part of it.
pub(super) fn canonical(line: &[String]) -> Result<Lines, Failure> {
    let (ours, line) = line.split_at(leading_options(line));
    let mut translated = translate(line)?;
    for line in &mut translated.lines {
        line.splice(0..0, ours.iter().cloned());
    }
    Ok(translated)
}

/// How many words before the command are options of ours that every command takes.
fn leading_options(line: &[String]) -> usize {
    let mut count = 0;
    while let Some(word) = line.get(count) {
        count += match word.as_str() {
            "--runtime-dir" => 2,
            word if word.starts_with("--runtime-dir=") => 1,
            _ => break,
        };
    }
    count.min(line.len())
}

fn translate(line: &[String]) -> Result<Lines, Failure> {
    if line.iter().any(|word| oldest_verb(word).is_some()) && line.first().is_some_and(|word| word.starts_with('-')) {
        return oldest(line).map(|lines| Lines { lines, notes: Vec::new() });
    }
    verb_noun(line)
}

fn usage(message: String) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

// The grammar of 2015: switches in any order.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Modify,
    Login,
    Logout,
    Targets,
    Luns,
    Discovery,
}

fn oldest_verb(word: &str) -> Option<Verb> {
    Some(match word.to_ascii_lowercase().as_str() {
        "-add" => Verb::Add,
        "-remove" => Verb::Remove,
        "-modify" => Verb::Modify,
        "-login" => Verb::Login,
        "-logout" => Verb::Logout,
        "-targets" => Verb::Targets,
        "-luns" => Verb::Luns,
        "-discovery" => Verb::Discovery,
        _ => return None,
    })
}

/// What the switches of a line said.
#[derive(Debug, Default)]
struct Switches {
    verbs: Vec<Verb>,
    target: Option<String>,
    portal: Option<String>,
    interface: Option<String>,
    /// Options of `modify`, in the canonical grammar.
    settings: Vec<String>,
    /// Options that every command takes, in the canonical grammar.
    common: Vec<String>,
}

fn oldest(line: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    let switches = switches(line)?;
    let Switches { verbs, target, portal, interface, settings, common } = switches;
    let discovery = verbs.contains(&Verb::Discovery);
    let mut actions = verbs.into_iter().filter(|verb| *verb != Verb::Discovery);
    let verb = actions.next().unwrap_or(Verb::Discovery);
    if let Some(second) = actions.next() {
        return Err(usage(format!("-{} and -{} are two commands", name(verb), name(second)))
            .advice("give them one after the other"));
    }
    let missing = |option: &str| {
        let verb = name(verb);
        Err(usage(format!("-{verb} lacks {option}")).advice(format!("try: iscsictl -{verb} {option} …")))
    };
    let option = |name: &str, value: Option<String>| value.map_or_else(Vec::new, |value| vec![name.to_owned(), value]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    if !settings.is_empty() && !matches!(verb, Verb::Add | Verb::Modify) {
        let (verb, first) = (name(verb), settings.first().map(String::as_str).unwrap_or_default());
        return Err(usage(format!("-{verb} does not take settings ({first})")).advice("use -modify for them"));
    }

    let mut lines = Vec::new();
    match verb {
        Verb::Targets => lines.push(words(&["list", "targets"])),
        Verb::Luns => lines.push(words(&["list", "luns"])),
        Verb::Discovery | Verb::Add | Verb::Remove if discovery => {
            let Some(portal) = portal else { return missing("-portal HOST") };
            let interface = option("--interface", interface);
            lines.push(match verb {
                Verb::Add => [words(&["add", "discovery-portal", &portal]), interface].concat(),
                Verb::Remove => words(&["remove", "discovery-portal", &portal]),
                _ => [words(&["discover", &portal]), interface].concat(),
            });
        }
        Verb::Add => {
            let Some(target) = target else { return missing("-target IQN") };
            let Some(portal) = portal else { return missing("-portal HOST") };
            let interface = option("--interface", interface);
            lines.push([words(&["add", "target", &target, "--portal", &portal]), interface].concat());
            if !settings.is_empty() {
                lines.push([words(&["modify", "target", &target]), settings].concat());
            }
        }
        Verb::Modify => lines.push(match target {
            _ if discovery => [words(&["modify", "discovery"]), settings].concat(),
            Some(target) => [words(&["modify", "target", &target]), settings].concat(),
            None => [words(&["modify", "initiator"]), settings].concat(),
        }),
        Verb::Remove | Verb::Login | Verb::Logout => {
            let Some(target) = target else { return missing("-target IQN") };
            let command = if verb == Verb::Remove { vec!["remove", "target"] } else { vec![name(verb)] };
            lines.push([words(&command), vec![target], option("--portal", portal)].concat());
        }
        Verb::Discovery => {}
    }
    for line in &mut lines {
        line.extend(common.iter().cloned());
    }
    Ok(lines)
}

const fn name(verb: Verb) -> &'static str {
    match verb {
        Verb::Add => "add",
        Verb::Remove => "remove",
        Verb::Modify => "modify",
        Verb::Login => "login",
        Verb::Logout => "logout",
        Verb::Targets => "targets",
        Verb::Luns => "luns",
        Verb::Discovery => "discovery",
    }
}

fn switches(line: &[String]) -> Result<Switches, Failure> {
    let mut switches = Switches::default();
    let mut words = line.iter().peekable();
    while let Some(word) = words.next() {
        if let Some(verb) = oldest_verb(word) {
            switches.verbs.push(verb);
            continue;
        }
        let mut value = || value_of(&mut words);
        if word.starts_with("--") {
            // Ours, such as --format json.
            switches.common.push(word.clone());
            switches.common.extend(value());
            continue;
        }
        let lower = word.to_ascii_lowercase();
        let required =
            |value: Option<String>| value.ok_or_else(|| usage(format!("{word} lacks its value")).advice(HELP));
        match lower.as_str() {
            "-target" => switches.target = Some(required(value())?),
            "-portal" => switches.portal = Some(required(value())?),
            "-interface" => switches.interface = Some(required(value())?),
            "-digest" => {
                let digest = match required(value())?.to_ascii_lowercase().as_str() {
                    "on" => "CRC32C",
                    "off" => "None",
                    other => return Err(usage(format!("-digest is on or off, not `{}`", other.escape_debug()))),
                };
                for key in ["--header-digest", "--data-digest"] {
                    switches.settings.extend([key.to_owned(), digest.to_owned()]);
                }
            }
            "-user" => switches.settings.extend(["--chap-name".to_owned(), required(value())?]),
            "-mutualuser" => switches.settings.extend(["--chap-mutual-name".to_owned(), required(value())?]),
            "-secret" => switches.settings.push(secret("--chap-secret", value())),
            "-mutualsecret" => switches.settings.push(secret("--chap-mutual-secret", value())),
            _ => match setting(&lower) {
                Some(option) => switches.settings.extend([option, required(value())?]),
                None => {
                    let word = word.escape_debug();
                    return Err(usage(format!("`{word}` is not a switch of iscsictl")).advice(HELP));
                }
            },
        }
    }
    Ok(switches)
}

/// A secret, or the wish to be asked for it. The `=` keeps a value that begins with a dash in its place.
fn secret(option: &str, value: Option<String>) -> String {
    value.map_or_else(|| option.to_owned(), |value| format!("{option}={value}"))
}

/// The value of a switch, if the next word is one: a word with a dash in front is a switch, unless it is a number.
fn value_of(words: &mut std::iter::Peekable<std::slice::Iter<'_, String>>) -> Option<String> {
    words
        .next_if(|next| match next.strip_prefix('-') {
            None | Some("") => true,
            Some(rest) => rest.starts_with(|c: char| c.is_ascii_digit()),
        })
        .cloned()
}

/// Settings with a value that are called the same in all grammars, but for their dashes; the keys of RFC 7143 by their
/// own names.
fn setting(lower: &str) -> Option<String> {
    let ours = match lower {
        "-auto-login" => "--auto-login",
        "-persistent" => "--persistent",
        "-node-name" => "--name",
        "-node-alias" => "--alias",
        "-sendtargets" => "--send-targets",
        "-interval" => "--interval",
        key => return option_of(key),
    };
    Some(ours.to_owned())
}

// The grammar of 2016 to 2023: verb, noun, options with one dash.

fn verb_noun(line: &[String]) -> Result<Lines, Failure> {
    let word = |index: usize| line.get(index).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let (verb, noun) = (word(0), word(1));
    let (mut start, rest): (Vec<&str>, usize) = match (verb.as_str(), noun.as_str()) {
        ("list", "initiator-config") => (vec!["show", "initiator"], 2),
        ("list", "discovery-config") => (vec!["show", "discovery"], 2),
        ("list", "target-config") => (vec!["show", "target"], 2),
        ("modify", "initiator-config") => (vec!["modify", "initiator"], 2),
        ("modify", "discovery-config") => (vec!["modify", "discovery"], 2),
        ("modify", "target-config") => (vec!["modify", "target"], 2),
        ("add" | "remove", "target" | "discovery-portal") => (vec![&verb, &noun], 2),
        ("login" | "logout", _) => (vec![&verb], 1),
        _ => return Ok(Lines { lines: vec![line.to_vec()], notes: Vec::new() }),
    };
    let old_config = noun.ends_with("-config");
    let target_config = noun == "target-config";
    let takes_target = matches!(
        (verb.as_str(), noun.as_str()),
        ("add" | "remove", "target") | ("list" | "modify", "target-config") | ("login" | "logout", _)
    );
    let mut out: Vec<String> = start.drain(..).map(str::to_owned).collect();
    let mut notes = Vec::new();
    let line = line.get(rest..).unwrap_or_default();
    let mut words = line.iter().peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        // Only then is it a target and its portal.
        let is_value = before.starts_with('-') && !before.ends_with("-force") && !before.ends_with("-all");
        before = word;
        let mut value = || value_of(&mut words);
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "-interface" => out.push("--interface".to_owned()),
            "-portal" => out.push("--portal".to_owned()),
            "-force" => out.push("--force".to_owned()),
            "-authentication" if old_config => match value().unwrap_or_default().to_ascii_lowercase().as_str() {
                // CHAP is on where there are a name and a secret.
                "chap" => {}
                "none" if target_config => {
                    out.extend(["--chap-mutual-name=".to_owned(), "--chap-mutual-secret=".to_owned()]);
                }
                "none" => out.push("--no-chap".to_owned()),
                other => {
                    let other = other.escape_debug();
                    return Err(usage(format!("-authentication is None or CHAP, not `{other}`")));
                }
            },
            "-chap-name" if old_config => {
                let option = if target_config { "--chap-mutual-name" } else { "--chap-name" };
                out.push(value().map_or_else(|| option.to_owned(), |name| format!("{option}={name}")));
                note(&mut notes, target_config);
            }
            "-chap-secret" if old_config => {
                let option = if target_config { "--chap-mutual-secret" } else { "--chap-secret" };
                out.push(secret(option, value()));
                note(&mut notes, target_config);
            }
            _ if !word.starts_with("--") && setting(&lower).is_some() => {
                out.extend(setting(&lower));
            }
            _ if takes_target && !word.starts_with('-') && word.contains(',') && !is_value => {
                // A name has no comma in it: what follows is the portal. Settings are the target's, not
                // the portal's, with us.
                let (target, portal) = word.split_once(',').unwrap_or((word, ""));
                out.push(target.to_owned());
                if !target_config {
                    out.extend(["--portal".to_owned(), portal.to_owned()]);
                }
            }
            _ => out.push(word.clone()),
        }
    }
    Ok(Lines { lines: vec![out], notes })
}

fn note(notes: &mut Vec<&'static str>, target_config: bool) {
    if target_config && notes.is_empty() {
        notes.push(MUTUAL);
    }
}
