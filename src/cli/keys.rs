//! The options for keys of RFC 7143, made from the protocol's own table of them.
//!
//! ```text
//!   keys::TABLE ─► options (name, value, help) ─► as typed ─► Value ─► ipc::TargetChanges
//! ```

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use iscsi_proto::keys::{Choices, Key, KeyRow, Kind, Offer, Offered, Rule, TABLE, Value};

use crate::config;
use crate::ipc::Failure;

/// Above the options in help and manual.
const HEADING: &str = "Offered at login (RFC 7143; an empty value goes back to the default)";

/// What was given, as typed, in the standard's order. Options are called as the keys are, with dashes.
#[derive(Debug)]
pub(super) struct Keys(Vec<(Key, String)>);

impl Keys {
    /// What to change: the standard's names and values; an empty one goes back to the default.
    ///
    /// # Errors
    /// As [`config::choose`].
    pub(super) fn changes(self) -> Result<Vec<(String, String)>, Failure> {
        let mut chosen = Choices::default();
        let change = |(key, typed): (Key, String)| {
            let value = match typed.as_str() {
                "" => String::new(),
                typed => config::choose(&mut chosen, key, typed)?.to_string(),
            };
            Ok((key.name().to_owned(), value))
        };
        self.0.into_iter().map(change).collect()
    }
}

impl FromArgMatches for Keys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Keys, clap::Error> {
        let given = |row: &KeyRow| Some((row.key, matches.get_one::<String>(row.offered?.field)?.clone()));
        Ok(Keys(TABLE.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Keys::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Keys {
    fn augment_args(command: Command) -> Command {
        let defaults = Offer::default();
        command.args(TABLE.iter().filter_map(|row| Some(option(row, row.offered?, defaults.value(row.key)?))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Keys::augment_args(command)
    }
}

fn option(row: &KeyRow, Offered { field, kind, only }: Offered, default: Value) -> Arg {
    let about = row.about.trim_end_matches('.');
    let values = match only {
        None => format!("{}; default {default}", values(row)),
        Some(why) => format!("{default} and nothing else, since {why}"),
    };
    Arg::new(field)
        .long(field.replace('_', "-"))
        .value_name(match kind {
            Kind::Digest => "CRC32C|None",
            Kind::Flag => "Yes|No",
            Kind::Bytes => "BYTES",
            Kind::Seconds => "SECONDS",
            Kind::Count => "NUMBER",
            Kind::Level => "LEVEL",
        })
        .allow_negative_numbers(true)
        .help(format!("{about}: {values}"))
        .help_heading(HEADING)
}

/// The option for a key that is written as the older grammars do, in any case: `-HeaderDigest`.
pub(super) fn option_of(word: &str) -> Option<String> {
    let name = word.strip_prefix('-').filter(|name| !name.starts_with('-'))?;
    let row = TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(name))?;
    Some(format!("--{}", row.offered?.field.replace('_', "-")))
}

fn values(row: &KeyRow) -> String {
    match row.rule {
        Rule::List(_) => "CRC32C, None, or both in the order of preference".to_owned(),
        Rule::DeclareNumber { min, max } | Rule::Minimum { min, max } | Rule::Maximum { min, max } => {
            format!("{min} to {max}")
        }
        _ => "Yes or No".to_owned(),
    }
}
