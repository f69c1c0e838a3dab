//! Options of all tools: a table of flags gives parsing, bounds, environment variables, help and error lines.
//!
//! Long flags may have one dash (`-clients=5000`, `-clients 5000`), as in old scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use getopts::{Fail, HasArg, Matches, Occur, Options as Getopts};

use crate::console;
pub use suite::{Subcommand, Suite, verdict};
pub use value::{Bounds, Value, WholeSeconds};

mod suite;
mod value;

/// A flag of a program.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The long name without dashes.
    pub name: &'static str,
    /// The letter without its dash, or empty.
    pub letter: &'static str,
    /// The placeholder of its value in the help; empty for a switch, which takes no value.
    pub argument: &'static str,
    /// The default as text. Empty if omitting the flag has its own meaning.
    pub default: &'static str,
    /// Bounds of a number or, in seconds, of a duration.
    pub bounds: Bounds,
    /// The environment variable that replaces a missing flag, or empty. `make` passes its variables on.
    pub variable: &'static str,
    /// Description in one line.
    pub help: &'static str,
}

impl Flag {
    /// Returns a flag that takes a value.
    pub const fn new(
        name: &'static str,
        argument: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag { name, letter: "", argument, default, bounds: (0.0, f64::INFINITY), variable: "", help }
    }

    /// Returns a flag that takes no value.
    pub const fn switch(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, "", "", help)
    }

    /// Adds a letter.
    #[must_use]
    pub const fn letter(self, letter: &'static str) -> Flag {
        Flag { letter, ..self }
    }

    /// Bounds a number or, in seconds, a duration.
    #[must_use]
    pub const fn within(self, least: f64, most: f64) -> Flag {
        Flag { bounds: (least, most), ..self }
    }

    /// Adds an environment variable.
    #[must_use]
    pub const fn variable(self, variable: &'static str) -> Flag {
        Flag { variable, ..self }
    }

    fn is_switch(&self) -> bool {
        self.argument.is_empty()
    }

    /// Returns its row of the help: the left column and the right one.
    fn row(&self) -> (String, String) {
        let letter = if self.letter.is_empty() { String::new() } else { format!(", -{}", self.letter) };
        let argument = if self.is_switch() { String::new() } else { format!(" {}", self.argument) };
        (format!("--{}{letter}{argument}", self.name), self.description())
    }

    /// Returns the description with the default and the variable.
    pub fn description(&self) -> String {
        let default = if self.default.is_empty() { String::new() } else { format!(" [{}]", self.default) };
        let variable = if self.variable.is_empty() { String::new() } else { format!(", {}", self.variable) };
        format!("{}{default}{variable}", self.help)
    }
}

/// The flags of every program.
pub const COMMON: [Flag; 2] = [
    Flag::switch("help", "print this text").letter("h"),
    Flag::switch("version", "print the version").letter("V"),
];

/// A program's command line.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The name of the built program, with its subcommand if it has one.
    pub name: &'a str,
    /// The text of `--help` above the flags.
    pub about: &'a str,
    /// Its flags, in the order of the help. `--help` and `--version` are added.
    pub flags: &'a [Flag],
    /// Whether it takes arguments that are no flags.
    pub takes_arguments: bool,
}

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<T> {
    /// Print this text: the help or the version.
    Help(String),
    /// Run with these options.
    Run(T),
}

impl Program<'_> {
    /// Parses the arguments that follow the program's name. `variable` returns environment variables for missing
    /// flags; an empty variable counts as unset. `read` turns the line into options.
    ///
    /// # Errors
    /// All problems, one line each, with the option, the value and the allowed values.
    pub fn parse<T>(
        &self,
        args: impl IntoIterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
        read: impl FnOnce(&mut CommandLine<'_>) -> T,
    ) -> Result<Command<T>, String> {
        let mut problems = Vec::new();
        let matches = self.matches(args.into_iter().collect(), &mut problems);
        let matches = matches.map_err(|problems| problems.join("\n"))?;
        if matches.opt_present("help") {
            return Ok(Command::Help(self.help()));
        }
        if matches.opt_present("version") {
            let version = env!("CARGO_PKG_VERSION");
            return Ok(Command::Help(format!("{} {version}\n", console::name(self.name))));
        }
        if !self.takes_arguments {
            let stray = |argument: &String| format!("{argument}: unexpected argument; see --help");
            problems.extend(matches.free.iter().map(stray));
        }
        let given = self.flags.iter().filter_map(|flag| Some((flag.name, given(flag, &matches, &variable)?)));
        let given = given.collect();
        let mut line = CommandLine { flags: self.flags, given, arguments: matches.free, problems };
        let options = read(&mut line);
        if line.problems.is_empty() { Ok(Command::Run(options)) } else { Err(line.problems.join("\n")) }
    }

    /// Reads the flags. An unknown flag becomes a problem, and the others are read without it.
    ///
    /// # Errors
    /// The problems so far, and one that makes the other arguments ambiguous: a flag without its value, or a value for
    /// a switch.
    fn matches(&self, mut args: Vec<String>, problems: &mut Vec<String>) -> Result<Matches, Vec<String>> {
        let mut getopts = Getopts::new();
        getopts.long_only(true);
        for flag in self.flags.iter().chain(&COMMON) {
            let has_value = if flag.is_switch() { HasArg::No } else { HasArg::Yes };
            getopts.opt(flag.letter, flag.name, "", "", has_value, Occur::Multi);
        }
        loop {
            match getopts.parse(&args) {
                Ok(matches) => return Ok(matches),
                // getopts stops at an unknown flag. Without it, the next attempt finds the next problem.
                Err(Fail::UnrecognizedOption(name)) => problems.push(remove_unknown(&mut args, &name)),
                Err(fail) => {
                    problems.push(describe(&fail));
                    return Err(std::mem::take(problems));
                }
            }
        }
    }

    /// Returns the text of `--help`.
    pub fn help(&self) -> String {
        let rows: Vec<(String, String)> = self.flags.iter().chain(&COMMON).map(Flag::row).collect();
        let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
        let mut text = format!("{}\n\nFlags (a single dash also works):\n", self.about);
        for (left, right) in rows {
            let _ = writeln!(text, "  {left:width$}  {right}");
        }
        text
    }
}

/// The text of an option, and its name in the given form, as a prefix for messages.
type Given = (String, String);

/// Returns the last text given for a flag, or else that of its environment variable. A switch has the text of its
/// name.
fn given(flag: &Flag, matches: &Matches, variable: impl Fn(&str) -> Option<String>) -> Option<Given> {
    let name = format!("--{} ", flag.name);
    if flag.is_switch() {
        return matches.opt_present(flag.name).then(|| (name, flag.name.to_owned()));
    }
    if let Some(text) = matches.opt_strs(flag.name).pop() {
        return Some((name, text));
    }
    let text = Some(flag.variable).filter(|name| !name.is_empty()).and_then(variable);
    let text = text.filter(|text| !text.is_empty())?;
    Some((format!("{}=", flag.variable), text))
}

/// Removes the first flag of this name, and returns its problem.
fn remove_unknown(args: &mut Vec<String>, name: &str) -> String {
    let is_named = |arg: &String| {
        let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
        flag.is_some_and(|flag| flag.split('=').next() == Some(name))
    };
    let at = args.iter().position(is_named).expect("getopts read the name here");
    let arg = args.remove(at);
    // The next argument is most likely its value, not another problem.
    if !arg.contains('=') && args.get(at).is_some_and(|next| !next.starts_with('-')) {
        args.remove(at);
    }
    format!("{}: unknown flag; see --help", arg.split('=').next().unwrap_or_default())
}

fn describe(fail: &Fail) -> String {
    match fail {
        Fail::ArgumentMissing(name) => format!("--{name}: expected a value after it; see --help"),
        Fail::UnexpectedArgument(name) => format!("--{name}: takes no value; see --help"),
        other => format!("{other}; see --help"),
    }
}

/// A command line whose flags are known and whose values are not parsed yet. An invalid value becomes a problem, and
/// the next one is parsed.
#[derive(Debug)]
pub struct CommandLine<'a> {
    flags: &'a [Flag],
    given: BTreeMap<&'static str, Given>,
    /// The arguments that are no flags.
    pub arguments: Vec<String>,
    /// The problems so far, one line each.
    pub problems: Vec<String>,
}

impl CommandLine<'_> {
    /// Whether a flag or its variable was given. For a switch: whether it is on.
    ///
    /// # Panics
    /// If the table has no such flag, as the other methods do.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(self.flag(name).name)
    }

    /// Returns the text of a flag: given, or the default.
    pub fn text(&self, name: &str) -> &str {
        let flag = self.flag(name);
        self.given.get(flag.name).map_or(flag.default, |(_, text)| text.as_str())
    }

    /// Returns the value of a flag with a default.
    ///
    /// # Panics
    /// If the default is invalid.
    pub fn value<T: Value>(&mut self, name: &str) -> T {
        self.value_with(name, T::parse)
    }

    /// Returns the value of a flag without a default, if it was given.
    pub fn optional<T: Value>(&mut self, name: &str) -> Option<T> {
        self.optional_with(name, T::parse)
    }

    /// Like [`CommandLine::value`]. `read` parses the text, or describes the allowed values, to follow the word
    /// "expected".
    ///
    /// # Panics
    /// If the default is invalid.
    pub fn value_with<T>(&mut self, name: &str, read: impl Fn(&str, Bounds) -> Result<T, String>) -> T {
        let flag = *self.flag(name);
        self.optional_with(name, &read).unwrap_or_else(|| {
            read(flag.default, flag.bounds).unwrap_or_else(|_| panic!("--{name}: the default"))
        })
    }

    /// Like [`CommandLine::optional`], with `read` as in [`CommandLine::value_with`].
    pub fn optional_with<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str, Bounds) -> Result<T, String>,
    ) -> Option<T> {
        let flag = *self.flag(name);
        let (given, text) = self.given.get(flag.name)?;
        match read(text.trim(), flag.bounds) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problems.push(format!("{given}{text}: expected {expected}"));
                None
            }
        }
    }

    /// Records a problem of a given flag: `--name text: problem`.
    pub fn reject(&mut self, name: &str, problem: &str) {
        if let Some((given, text)) = self.given.get(name) {
            self.problems.push(format!("{given}{text}: {problem}"));
        }
    }

    fn flag(&self, name: &str) -> &Flag {
        let flag = self.flags.iter().find(|flag| flag.name == name);
        flag.unwrap_or_else(|| panic!("--{name} is not in the table"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::new("clients", "N", "1000", "players").letter("c").within(1.0, 1e6),
        Flag::new("runs", "N", "", "how often [3]").within(1.0, 99.0).variable("RUNS"),
        Flag::new("duration", "TIME", "60s", "measured time").within(0.1, 3_600.0).variable("DURATION"),
        Flag::switch("json", "print JSON"),
    ];
    const TOOL: Program<'_> =
        Program { name: "tool", about: "Does it.", flags: FLAGS, takes_arguments: false };

    type Values = (u32, Option<u32>, Duration, bool);

    fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<Command<Values>, String> {
        let variable = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, text)| (*text).to_owned())
        };
        TOOL.parse(args.iter().map(ToString::to_string), variable, |line| {
            (line.value("clients"), line.optional("runs"), line.value("duration"), line.is_given("json"))
        })
    }

    #[test]
    fn flags_override_variables_which_override_defaults() {
        let minute = Duration::from_mins(1);
        let second = Duration::from_secs(1);
        for (args, variables, expected) in [
            (&[][..], &[][..], (1_000, None, minute, false)),
            (&["-clients=5", "-json"], &[("CLIENTS", "7"), ("RUNS", "")], (5, None, minute, true)),
            (
                &["-c", "5", "--runs", "3"],
                &[("RUNS", "2"), ("DURATION", " 1s ")],
                (5, Some(3), second, false),
            ),
            (&["--clients", "5", "--clients=6"], &[("RUNS", "2")], (6, Some(2), minute, false)),
        ] {
            assert_eq!(run(args, variables), Ok(Command::Run(expected)), "{args:?}");
        }
    }

    #[test]
    fn all_problems_are_named_with_the_allowed_values() {
        for (args, variables, problems) in [
            (
                &["--client=x", "--nothing", "x", "--clients=0", "y"][..],
                &[("RUNS", "100")][..],
                &[
                    "--client: unknown flag; see --help",
                    "--nothing: unknown flag; see --help",
                    "y: unexpected argument; see --help",
                    "--clients 0: expected a whole number from 1 to 1000000",
                    "RUNS=100: expected a whole number from 1 to 99",
                ][..],
            ),
            (&["--runs"], &[], &["--runs: expected a value after it; see --help"]),
            (
                &["--no", "--json=1"],
                &[],
                &["--no: unknown flag; see --help", "--json: takes no value; see --help"],
            ),
        ] {
            assert_eq!(run(args, variables), Err(problems.join("\n")), "{args:?}");
        }
    }

    #[test]
    fn every_program_has_help_and_a_version() {
        for flag in ["--version", "-version", "-V"] {
            let version = format!("tool {}\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(run(&[flag], &[]), Ok(Command::Help(version)), "{flag}");
        }
        for flag in ["--help", "-help", "-h"] {
            let Ok(Command::Help(text)) = run(&[flag, "stray", "--clients=0"], &[]) else { panic!("{flag}") };
            let rows: Vec<_> = text.lines().skip(3).collect();
            assert_eq!(
                rows,
                [
                    "  --clients, -c N  players [1000]",
                    "  --runs N         how often [3], RUNS",
                    "  --duration TIME  measured time [60s], DURATION",
                    "  --json           print JSON",
                    "  --help, -h       print this text",
                    "  --version, -V    print the version",
                ]
            );
        }
    }

    #[test]
    fn a_program_may_take_arguments_and_reject_combinations() {
        let tool = Program { takes_arguments: true, ..TOOL };
        let args = ["cpu", "--json"].map(str::to_owned);
        let parsed = tool.parse(args.clone(), |_| None, |line| line.arguments.clone());
        assert_eq!(parsed, Ok(Command::Run(vec!["cpu".to_owned()])));
        let args = ["--runs=2".to_owned()].into_iter().chain(args);
        let rejected = tool.parse(args, |_| None, |line| line.reject("runs", "only without cpu"));
        assert_eq!(rejected, Err("--runs 2: only without cpu".to_owned()));
    }
}
