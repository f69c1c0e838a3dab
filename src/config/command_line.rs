//! Parses arguments into flags with getopts. Long flags may have one dash, as in old start scripts (`-port=8109`,
//! `-port 8109`). An unexpected argument may be a misplaced secret: a problem states its position and never repeats it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use getopts::{Fail, HasArg, Matches, Occur, Options, ParsingStyle};

use super::settings::{Allowed, RETIRED, SETTINGS, flag_of};

/// Actions other than running the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Help,
    Version,
    CheckConfig,
    PrintConfig,
    HealthCheck,
    TakeOver,
    BackgroundTakeover,
}

/// A flag that is not a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionFlag {
    /// The one-letter flag without its dash, or empty.
    pub short: &'static str,
    /// The long flag without its dashes.
    pub long: &'static str,
    /// Placeholder for its value in documents, if it takes a value.
    pub argument: Option<&'static str>,
    /// Description in one line.
    pub help: &'static str,
    action: Option<Action>,
}

/// Long flag of the environment file. It has no environment variable, so that a file can't name another file.
pub(super) const ENV_FILE_FLAG: &str = "env-file";

/// Every flag that is not a setting, in the order of help and documents. The first of several actions wins.
#[rustfmt::skip] // One row per flag.
pub static ACTIONS: &[ActionFlag] = &[
    action(Action::Help, "h", "help", "Print this text"),
    action(Action::Version, "V", "version", "Print the version"),
    action(Action::CheckConfig, "", "check-config", "Check the configuration as a start would, print all problems and exit"),
    action(Action::PrintConfig, "", "print-config", "Print the effective configuration as an environment file"),
    action(Action::HealthCheck, "", "health-check", "Query the health of the server that runs with this configuration"),
    action(Action::TakeOver, "", "takeover", "Take over the players of the running server, which then exits"),
    action(Action::BackgroundTakeover, "", "background-takeover", "Start a process with --takeover, and exit once it has taken over"),
    ActionFlag {
        short: "", long: ENV_FILE_FLAG, argument: Some("FILE"), action: None,
        help: "Read settings from a file, which overrides the environment; flags override both",
    },
];

const fn action(action: Action, short: &'static str, long: &'static str, help: &'static str) -> ActionFlag {
    ActionFlag { short, long, argument: None, help, action: Some(action) }
}

/// The command line, parsed but not validated.
#[derive(Default)]
pub(super) struct CommandLine {
    pub action: Option<Action>,
    /// Long flag without its dashes -> its last value; a switch without a value counts as `true`.
    pub values: BTreeMap<String, String>,
    /// Unknown flags and unexpected arguments, one line each.
    pub problems: Vec<String>,
}

/// Parses the arguments that follow the program's name.
///
/// # Errors
///
/// One line per problem that makes the other arguments ambiguous: text that is not UTF-8, or a flag without its value.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, Vec<String>> {
    let mut args: Vec<_> = utf8(args)?.into_iter().enumerate().collect();
    let flags = flags();
    let mut options = Options::new();
    options.long_only(true).parsing_style(ParsingStyle::StopAtFirstFree);
    for flag in &flags {
        options.opt(flag.short, &flag.long, "", "", flag.has_arg, Occur::Multi);
    }
    let mut problems = Vec::new();
    // getopts stops at an unexpected argument or an unknown flag. Without it, the next attempt finds the next problem.
    let matches = loop {
        match options.parse(args.iter().map(|(_, arg)| arg)) {
            Ok(matches) if matches.free.is_empty() => break matches,
            Ok(matches) => {
                let at = args.len() - matches.free.len();
                let count = matches.free.iter().take_while(|arg| !arg.starts_with('-')).count().max(1);
                let lines = args.drain(at..at + count);
                problems.extend(
                    lines.map(|(index, _)| format!("argument {}: unexpected; see --help", index + 1)),
                );
            }
            Err(Fail::UnrecognizedOption(name)) => problems.push(remove_unknown(&mut args, &name)),
            Err(fail) => {
                problems.push(describe(&fail));
                return Err(problems);
            }
        }
    };

    let action = ACTIONS.iter().find(|flag| matches.opt_present(flag.long)).and_then(|flag| flag.action);
    let with_value = |flag: Flag| last_value(&matches, &flag.long).map(|value| (flag.long, value));
    let values = flags.into_iter().filter_map(with_value).collect();
    Ok(CommandLine { action, values, problems })
}

struct Flag {
    short: &'static str,
    long: String,
    has_arg: HasArg,
}

fn flags() -> Vec<Flag> {
    let settings = SETTINGS.iter().map(|setting| Flag {
        short: setting.short,
        long: setting.flag(),
        has_arg: if setting.allowed == Allowed::Switch { HasArg::Maybe } else { HasArg::Yes },
    });
    let retired = RETIRED.iter().map(|retired| Flag {
        short: "",
        long: flag_of(retired.variable),
        has_arg: HasArg::Yes,
    });
    let actions = ACTIONS.iter().map(|flag| Flag {
        short: flag.short,
        long: flag.long.to_owned(),
        has_arg: if flag.argument.is_some() { HasArg::Yes } else { HasArg::No },
    });
    settings.chain(retired).chain(actions).collect()
}

fn utf8(args: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Vec<String>> {
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    for (index, arg) in args.into_iter().enumerate() {
        match arg.into_string() {
            Ok(text) => texts.push(text),
            Err(_) => problems.push(format!("argument {}: not valid UTF-8", index + 1)),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

/// Removes the first flag of this name, and returns its problem.
fn remove_unknown(args: &mut Vec<(usize, String)>, name: &str) -> String {
    let at =
        args.iter().position(|(_, arg)| flag_name(arg) == Some(name)).expect("getopts read the name here");
    let (index, arg) = args.remove(at);
    // The next argument is most likely its value, so it is not reported separately.
    if !arg.contains('=') && args.get(at).is_some_and(|(_, next)| !next.starts_with('-')) {
        args.remove(at);
    }
    // Most secrets have other characters than lower-case letters.
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_flag_like = name.split('-').all(is_word);
    let position = format!("argument {}", index + 1);
    let shown = arg.split('=').next().filter(|_| is_flag_like).unwrap_or(&position);
    format!("{shown}: unknown flag; see --help")
}

/// Returns the name of a flag, without its dashes and its value.
fn flag_name(arg: &str) -> Option<&str> {
    arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?.split('=').next()
}

/// Returns the last value of a flag: scripts append their overrides.
fn last_value(matches: &Matches, long: &str) -> Option<String> {
    let position = matches.opt_positions(long).pop()?;
    match matches.opt_strs_pos(long).pop() {
        Some((last, value)) if last == position => Some(value),
        _ => Some("true".to_owned()),
    }
}

fn describe(fail: &Fail) -> String {
    let dashed =
        |name: &str| if name.chars().count() == 1 { format!("-{name}") } else { format!("--{name}") };
    match fail {
        Fail::ArgumentMissing(name) => format!("{}: expected a value after it; see --help", dashed(name)),
        Fail::UnexpectedArgument(name) => format!("{}: takes no value; see --help", dashed(name)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<CommandLine, Vec<String>> {
        super::read(args.iter().map(OsString::from))
    }

    fn value(args: &[&str], flag: &str) -> Option<String> {
        let line = read(args).unwrap();
        assert_eq!(line.problems, [""; 0], "{args:?}");
        line.values.get(flag).cloned()
    }

    fn problems(args: &[&str]) -> Vec<String> {
        read(args).map_or_else(|problems| problems, |line| line.problems)
    }

    #[test]
    fn every_form_of_a_flag_is_parsed() {
        let forms: [&[&str]; 7] = [
            &["--port", "8109"],
            &["--port=8109"],
            &["-port", "8109"],
            &["-port=8109"],
            &["-p", "8109"],
            &["-p=8109"],
            &["--p=8109"],
        ];
        for args in forms {
            assert_eq!(value(args, "port").as_deref(), Some("8109"), "{args:?}");
        }
        assert_eq!(value(&["-max-connections=5000"], "max-connections").as_deref(), Some("5000"));
    }

    #[test]
    fn every_long_flag_works_with_one_dash() {
        for flag in flags().iter().filter(|flag| flag.has_arg != HasArg::No) {
            assert_eq!(value(&[&format!("-{}=x", flag.long)], &flag.long).as_deref(), Some("x"));
        }
        for flag in ACTIONS.iter().filter(|flag| flag.argument.is_none()) {
            assert_eq!(read(&[&format!("-{}", flag.long)]).unwrap().action, flag.action);
        }
    }

    #[test]
    fn names_and_letters_are_unique() {
        let mut names: Vec<_> =
            flags().iter().flat_map(|flag| [flag.long.clone(), flag.short.to_owned()]).collect();
        names.retain(|name| !name.is_empty());
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_value_in_the_form_of_a_flag_stays_a_value() {
        for flag in ["--static-dir", "-static-dir", "-s"] {
            assert_eq!(value(&[flag, "-port"], "static-dir").as_deref(), Some("-port"));
            assert_eq!(value(&[flag, "-port=1", "-p=2"], "port").as_deref(), Some("2"));
            assert_eq!(value(&[flag, "--", "-p=2"], "port").as_deref(), Some("2"));
        }
        assert_eq!(value(&["--static-dir=-port=1"], "static-dir").as_deref(), Some("-port=1"));
        assert_eq!(value(&["--port", "-1"], "port").as_deref(), Some("-1"));
    }

    #[test]
    fn a_switch_needs_no_value() {
        for args in [["--debug"], ["-debug"], ["-d"], ["--debug=true"], ["-debug=true"], ["-d=true"]] {
            assert_eq!(value(&args, "debug").as_deref(), Some("true"), "{args:?}");
        }
        assert_eq!(value(&["-debug=false"], "debug").as_deref(), Some("false"));
        assert_eq!(
            value(&["-d", "-port", "1"], "port").as_deref(),
            Some("1"),
            "a switch takes no flag as its value"
        );
    }

    #[test]
    fn the_last_of_repeated_flags_wins() {
        assert_eq!(value(&["--port=1", "-p=2", "-port=3"], "port").as_deref(), Some("3"));
        assert_eq!(value(&["--debug=false", "--debug"], "debug").as_deref(), Some("true"));
        assert_eq!(value(&["--debug", "--debug=false"], "debug").as_deref(), Some("false"));
    }

    #[test]
    fn all_unknown_flags_and_unexpected_arguments_are_reported() {
        assert_eq!(
            problems(&["--prot=1", "first", "-xyz", "5", "start", "-port=1", "--", "-p"]),
            [
                "--prot: unknown flag; see --help",
                "argument 2: unexpected; see --help",
                "-xyz: unknown flag; see --help",
                "argument 5: unexpected; see --help",
                "argument 8: unexpected; see --help",
            ]
        );
        assert_eq!(problems(&["--=1"]), ["argument 1: unknown flag; see --help"]);
        assert_eq!(problems(&["-=1"]), ["argument 1: unknown flag; see --help"]);
        assert_eq!(problems(&["-"]), ["argument 1: unexpected; see --help"]);
        assert_eq!(problems(&["--x", "-Zunter2"]).len(), 2);
        assert!(
            problems(&["--x", "--hunter2=1", "-azur3", "--http://:a@b"]).iter().all(|line| [
                "hunter", "azur", ":a@"
            ]
            .iter()
            .all(|secret| !line.contains(secret)))
        );
        assert_eq!(problems(&["-hd"]), ["-hd: unknown flag; see --help"]);
        assert_eq!(problems(&["-p8109"]), ["argument 1: unknown flag; see --help"]);
        assert_eq!(problems(&["-d", "false"]), ["argument 2: unexpected; see --help"]);
        assert_eq!(problems(&["--port", "1", "1"]), ["argument 3: unexpected; see --help"]);
    }

    #[test]
    fn a_flag_without_its_value_and_an_action_with_a_value_are_reported() {
        assert_eq!(
            problems(&["--bogus", "--port"]),
            ["--bogus: unknown flag; see --help", "--port: expected a value after it; see --help"]
        );
        assert_eq!(problems(&["--port"]), ["--port: expected a value after it; see --help"]);
        assert_eq!(problems(&["-p"]), ["-p: expected a value after it; see --help"]);
        assert_eq!(problems(&["--help=me"]), ["--help: takes no value; see --help"]);
    }
}
