//! Command lines that cannot be understood, in one sentence: what is wrong, and what would be right.
//!
//! ```text
//!   clap::Error (several lines, for programmers) ── what, advice ──► Failure, exit code 64
//! ```
//! For both faces: `iscsictl` and `iscsid` have options of the same kind.

use std::fmt::Display;
use std::ops::RangeInclusive;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::ipc::{ExitCode, Failure};

/// What is wrong with a line, given without the program's name, that `command` has refused with `error`.
pub(crate) fn refusal(command: &Command, line: &[String], error: &clap::Error) -> Failure {
    let told = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let first = |kind: ContextKind| told(kind).into_iter().next().unwrap_or_default();
    let (argument, value) = (whole(&bare(&first(ContextKind::InvalidArg)), line), first(ContextKind::InvalidValue));
    // What follows a wrong option may be a command, which says nothing of where the option stands.
    let wrong_option = error.kind() == ErrorKind::UnknownArgument && argument.starts_with('-');
    let wrong = line.iter().position(|word| wrong_option && word.starts_with(&argument));
    let (name, here) = named(command, &line[..wrong.unwrap_or(line.len())]);
    // The likeliest is the last one.
    let meant = |kind: ContextKind| told(kind).pop().map(|meant| format!("did you mean `{meant}`?"));
    let explains = Some(format!("`{name} --help` explains"));
    let (what, advice) = match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            (format!("after `{name}` a word is missing: {}", or(&words(here))), explains)
        }
        ErrorKind::InvalidSubcommand => {
            let word = first(ContextKind::InvalidSubcommand);
            let meant = meant(ContextKind::SuggestedSubcommand);
            let follows = format!("after `{name}` comes {}", or(&words(here)));
            (format!("`{word}` is no command of `{name}`"), Some(meant.unwrap_or(follows)))
        }
        ErrorKind::UnknownArgument if wrong_option => {
            let meant = meant(ContextKind::SuggestedArg);
            (format!("`{name}` has no option `{argument}`"), meant.or(explains))
        }
        ErrorKind::UnknownArgument => (format!("`{argument}` is one word too many for `{name}`"), explains),
        ErrorKind::InvalidValue if !argument.starts_with('-') => {
            let values = told(ContextKind::ValidValue);
            if value.is_empty() {
                (format!("after `{name}` a word is missing: {}", or(&values)), explains)
            } else {
                let follows = format!("say {}", or(&values));
                (
                    format!("after `{name}` comes no `{value}`"),
                    Some(meant(ContextKind::SuggestedValue).unwrap_or(follows)),
                )
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            (format!("{argument} lacks its value{}", say(&told(ContextKind::ValidValue))), explains)
        }
        ErrorKind::InvalidValue => {
            let meant = meant(ContextKind::SuggestedValue);
            let values = told(ContextKind::ValidValue);
            let follows = format!("say {}", or(&values));
            (format!("`{value}` is no value of {argument}"), Some(meant.unwrap_or(follows)))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            (format!("`{value}` is no value of {argument}"), why.or(explains))
        }
        ErrorKind::MissingRequiredArgument => {
            let lacking = told(ContextKind::InvalidArg);
            match lacking.as_slice() {
                [only] if !choices(here, only).is_empty() => {
                    (format!("after `{name}` a word is missing: {}", or(&choices(here, only))), explains)
                }
                _ => {
                    let lacking: Vec<String> = lacking.iter().map(|one| with_value(one)).collect();
                    (format!("`{name}` lacks {}", lacking.join(" and ")), explains)
                }
            }
        }
        ErrorKind::ArgumentConflict if argument.is_empty() => (rest(error), None),
        ErrorKind::ArgumentConflict => {
            let others: Vec<String> = told(ContextKind::PriorArg).iter().map(|one| bare(one)).collect();
            match others.is_empty() || others.contains(&argument) {
                true => (format!("{argument} is there twice"), Some("give it once".to_owned())),
                false => {
                    let all = [&[argument][..], &others].concat();
                    (format!("{} exclude each other", all.join(" and ")), Some("leave one of them out".to_owned()))
                }
            }
        }
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            (format!("{argument} takes another number of values"), explains)
        }
        _ => (rest(error), explains),
    };
    let failure = Failure::new(ExitCode::Usage, what);
    match advice {
        Some(advice) => failure.advice(advice),
        None => failure,
    }
}

/// The word on the line: of `-target`, clap names the first letter alone.
fn whole(argument: &str, line: &[String]) -> String {
    let short = argument.starts_with('-') && !argument.starts_with("--");
    let word = line.iter().find(|word| short && word.starts_with(argument) && !word.starts_with("--"));
    word.cloned().unwrap_or_else(|| argument.to_owned())
}

/// What clap itself says, as one line.
fn rest(error: &clap::Error) -> String {
    let text = error.to_string();
    let body = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command that a line has come to, as it is typed, and what it takes.
pub(crate) fn named<'a>(command: &'a Command, line: &[String]) -> (String, &'a Command) {
    let (mut name, mut here) = (command.get_name().to_owned(), command);
    let mut words = line.iter();
    while let Some(word) = words.next() {
        if let Some(option) = word.strip_prefix("--") {
            let takes = |command: &Command| command.get_arguments().any(|argument| takes_value(argument, option));
            if takes(here) || takes(command) {
                words.next();
            }
        } else if !word.starts_with('-') {
            match here.find_subcommand(word) {
                Some(next) => {
                    name = format!("{name} {}", next.get_name());
                    here = next;
                }
                None => break,
            }
        }
    }
    (name, here)
}

fn takes_value(argument: &Arg, option: &str) -> bool {
    let takes = argument.get_num_args().map_or(argument.get_action().takes_values(), |range| range.takes_values());
    argument.get_long() == Some(option) && takes
}

/// The commands that may follow.
fn words(command: &Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|next| !next.is_hide_set());
    shown.map(|next| next.get_name().to_owned()).collect()
}

/// The words that may stand for `<WORD>`, where there are only some.
fn choices(command: &Command, argument: &str) -> Vec<String> {
    let named = |known: &&Arg| known.to_string() == argument;
    let possible = command.get_positionals().find(named).map(Arg::get_possible_values).unwrap_or_default();
    possible.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name().to_owned()).collect()
}

/// `a, b or c`.
pub(crate) fn or(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn say(values: &[String]) -> String {
    if values.is_empty() { String::new() } else { format!(": {}", or(values)) }
}

/// `--portal` of `--portal <PORTAL>`, `IQN` of `<IQN>`.
fn bare(argument: &str) -> String {
    let word = argument.split_whitespace().next().unwrap_or(argument);
    word.trim_matches(['<', '>', '[', ']', '.', '…']).to_owned()
}

/// `--portal PORTAL` of `--portal <PORTAL>`.
fn with_value(argument: &str) -> String {
    argument.replace(['<', '>'], "")
}

/// Reads a whole number in that range, decimal or hexadecimal after 0x; else it says which range that is.
pub(crate) fn within<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: Copy + PartialOrd + Display + TryFrom<u64> + Send + Sync + 'static,
{
    move |text| {
        let number =
            whole_number(text).and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        number.ok_or_else(|| format!("say a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A whole number from 0 on, decimal or hexadecimal after 0x.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let plain = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    plain.and_then(|digits| u64::from_str_radix(digits, radix).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal_and_nothing_else() {
        let number = within(0..=u32::MAX);
        for (text, meant) in [("0", 0), ("5", 5), (" 7 ", 7), ("0x10", 16), ("4294967295", u32::MAX)] {
            assert_eq!(number(text), Ok(meant), "{text}");
        }
        for no in ["", "-1", "+1", "1.5", "one", "0x", "0x+1", "4294967296", "99999999999999999999", "5s"] {
            assert_eq!(number(no), Err("say a whole number from 0 to 4294967295".to_owned()), "{no}");
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_told_the_range() {
        let port = within(1..=65535_u16);
        assert_eq!((port("1"), port("0xffff")), (Ok(1), Ok(65535)));
        for no in ["0", "65536", "4294967297"] {
            assert_eq!(port(no), Err("say a whole number from 1 to 65535".to_owned()), "{no}");
        }
    }

    #[test]
    fn several_words_are_named_as_people_do() {
        let words = |words: &[&str]| or(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["a"]), "a");
        assert_eq!(words(&["a", "b", "c"]), "a, b or c");
    }

    #[test]
    fn arguments_are_named_as_they_are_typed() {
        assert_eq!(bare("--portal <PORTAL>"), "--portal");
        assert_eq!(bare("[IQN]"), "IQN");
        assert_eq!(with_value("--portal <PORTAL>"), "--portal PORTAL");
        assert_eq!(with_value("<IQN>"), "IQN");
    }
}
