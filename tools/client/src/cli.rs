//! Options from flags, and from environment variables of the same names, since `make` passes its variables on.

use getopts::{Matches, Options as Flags};

use crate::console;
use crate::endpoint::Server;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<T> {
    /// Print this text: the help or the version.
    Help(String),
    /// Run with these options.
    Run(T),
}

/// Parses the arguments that follow a program's name. Accepts the flags that `declare` names, with one dash or two.
/// `--help` prints `brief` and a line for each flag; `--version` prints the version. `read` turns the matches into
/// options.
///
/// # Errors
/// One line with the option, the value and the allowed values.
pub fn parse<T>(
    program: &str,
    args: impl Iterator<Item = String>,
    brief: &str,
    declare: impl FnOnce(&mut Flags),
    read: impl FnOnce(&Matches) -> Result<T, String>,
) -> Result<Command<T>, String> {
    parse_with_arguments(program, args, brief, declare, |matches| match matches.free.first() {
        Some(stray) => Err(format!("{stray}: unexpected argument; see --help")),
        None => read(matches),
    })
}

/// Like [`parse`], for a program that also takes free arguments.
///
/// # Errors
/// See [`parse`].
pub fn parse_with_arguments<T>(
    program: &str,
    args: impl Iterator<Item = String>,
    brief: &str,
    declare: impl FnOnce(&mut Flags),
    read: impl FnOnce(&Matches) -> Result<T, String>,
) -> Result<Command<T>, String> {
    let mut flags = Flags::new();
    flags.long_only(true);
    declare(&mut flags);
    flags.optflag("h", "help", "print this text");
    flags.optflag("V", "version", "print the version");
    let matches = flags.parse(args).map_err(|fail| format!("{fail}; see --help"))?;
    if matches.opt_present("help") {
        return Ok(Command::Help(usage(brief, &mut flags)));
    }
    if matches.opt_present("version") {
        return Ok(Command::Help(version(program)));
    }
    read(&matches).map(Command::Run)
}

/// Returns the output of `--version`.
pub fn version(program: &str) -> String {
    format!("{} {}\n", console::name(program), env!("CARGO_PKG_VERSION"))
}

/// Returns the help with a line for each flag: two dashes, then its letter.
fn usage(brief: &str, flags: &mut Flags) -> String {
    // getopts would print flags with one dash here.
    flags.long_only(false);
    let long_first = |row: String| {
        let letter_and_rest = row.strip_prefix("    -").and_then(|row| row.split_once(", "));
        match letter_and_rest.and_then(|(letter, rest)| Some((letter, rest.split_once(' ')?))) {
            Some((letter, (long, help))) => {
                format!("{:24}{}", format!("        {long}, -{letter}"), help.trim_start())
            }
            None => row,
        }
    };
    let rows = flags.usage_with_format(|rows| rows.map(long_first).collect::<Vec<_>>().join("\n"));
    format!("{brief}\n\nOptions:\n{rows}\n")
}

/// Parses a comma-separated list of at most `most` servers. Each may begin with one of `schemes` and end with one of
/// `paths`.
pub fn servers(text: &str, most: usize, schemes: &[&str], paths: &[&str]) -> Option<Vec<Server>> {
    let text = text.trim_end_matches([',', ' ']);
    let servers =
        text.split(',').map(|text| Server::parse(text, schemes, paths)).collect::<Option<Vec<_>>>()?;
    (servers.len() <= most).then_some(servers)
}

/// The name of an option in its given form, as a prefix for messages, and its text; `None` if it was not given.
pub type Given = Option<(String, String)>;

/// Returns the flag's text, or else that of the environment variable of the same name. An empty variable counts as
/// unset.
pub fn given(name: &str, flag: Option<String>, variable: impl Fn(&str) -> Option<String>) -> Given {
    if let Some(text) = flag {
        return Some((format!("--{name} "), text));
    }
    let name = name.to_uppercase();
    let text = variable(&name).filter(|text| !text.is_empty())?;
    Some((format!("{name}="), text))
}

/// Parses the given text, or the default.
///
/// # Errors
/// One line with the option, the value and the allowed values.
pub fn value<T>(
    given: Given,
    default: &str,
    allowed: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let (name, text) = given.unwrap_or_else(|| (String::new(), default.to_owned()));
    read(text.trim()).ok_or_else(|| format!("{name}{text}: expected {allowed}"))
}

/// Parses whole seconds or minutes, such as `60s` or `2m`, from one second to `most` seconds.
pub fn seconds(text: &str, most: u64) -> Option<u64> {
    let in_minutes = || Some(text.strip_suffix('m')?.parse::<u64>().ok()?.saturating_mul(60));
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).or_else(in_minutes)?;
    (1..=most).contains(&seconds).then_some(seconds)
}

/// Parses a whole number from 1 to `most`.
pub fn whole(text: &str, most: u32) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_variables_and_empty_variables_are_unset() {
        let variable = |name: &str| (name == "RUNS").then(|| "5".to_owned());
        assert_eq!(given("runs", Some("1".to_owned()), variable), Some(("--runs ".into(), "1".into())));
        assert_eq!(given("runs", None, variable), Some(("RUNS=".into(), "5".into())));
        assert_eq!(given("rows", None, variable), None);
        assert_eq!(given("runs", None, |_| Some(String::new())), None);
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_allowed_values() {
        let read = |text: &str| whole(text, 9);
        assert_eq!(value(None, "3", "a digit", read), Ok(3));
        assert_eq!(value(Some(("RUNS=".to_owned(), " 4 ".to_owned())), "3", "a digit", read), Ok(4));
        let given = Some(("RUNS=".to_owned(), "10".to_owned()));
        assert_eq!(value(given, "3", "a digit", read), Err("RUNS=10: expected a digit".to_owned()));
    }

    #[test]
    fn every_program_has_help_and_a_version() {
        let run = |args: &[&str]| {
            let declare = |flags: &mut Flags| {
                flags.optopt("", "runs", "how often", "N");
                flags.optflag("", "json", "print JSON");
            };
            parse("tool", args.iter().map(ToString::to_string), "Does it.", declare, |_| Ok(()))
        };
        for flag in ["--version", "-version", "-V"] {
            let version = format!("tool {}\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(run(&[flag]), Ok(Command::Help(version)), "{flag}");
        }
        for flag in ["--help", "-help", "-h"] {
            let Ok(Command::Help(text)) = run(&[flag, "--version"]) else { panic!("{flag}") };
            let rows: Vec<_> = text.lines().skip(3).collect();
            assert_eq!(
                rows,
                [
                    "        --runs N        how often",
                    "        --json          print JSON",
                    "        --help, -h      print this text",
                    "        --version, -V   print the version"
                ]
            );
        }
        assert_eq!(run(&["x"]), Err("x: unexpected argument; see --help".to_owned()));
    }

    #[test]
    fn durations_need_a_unit_and_are_bounded() {
        assert_eq!((seconds("60s", 3_600), seconds("2m", 3_600)), (Some(60), Some(120)));
        for text in ["60", "0s", "61m", "s", ""] {
            assert_eq!(seconds(text, 3_600), None, "{text}");
        }
    }
}
