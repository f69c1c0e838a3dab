//! Programs with subcommands, and the exit statuses of all programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::{Command, CommandLine, Program};
use crate::Failure;
use crate::console::{print, report_error};

/// A subcommand: its name, its purpose in half a line, and its program, which gets the arguments after the name.
#[derive(Clone, Copy, Debug)]
pub struct Subcommand(pub &'static str, pub &'static str, pub fn(Vec<String>) -> ExitCode);

/// A program with subcommands.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// The text of `--help` above the list.
    pub about: &'static str,
    /// Its subcommands.
    pub subcommands: &'static [Subcommand],
}

impl Suite {
    /// Runs the subcommand that the first argument names. Without one, prints the list and returns 2.
    pub fn main(&self, mut args: impl Iterator<Item = String>) -> ExitCode {
        let Some(first) = args.next() else {
            let _ = io::stderr().write_all(self.help().as_bytes());
            return Failure::Usage(String::new()).exit_code();
        };
        if let Some(Subcommand(.., run)) = self.subcommands.iter().find(|Subcommand(name, ..)| *name == first)
        {
            return run(args.collect());
        }
        match first.trim_start_matches('-') {
            "help" | "h" => print(&self.help()),
            "version" | "V" => print(&format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))),
            _ => {
                let problem = format!("{first}: expected a subcommand; see --help");
                report_error(self.name, &problem);
                Failure::Usage(problem).exit_code()
            }
        }
    }

    fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage: {} SUBCOMMAND [FLAGS]\n\nSubcommands:\n", self.about, self.name);
        for Subcommand(name, purpose, _) in self.subcommands {
            let _ = writeln!(text, "  {name:<15}{purpose}");
        }
        text + "\nFlags:\n  --help, -h     print this text; after a subcommand, its flags\n  \
                --version, -V  print the version\n"
    }
}

impl Program<'_> {
    /// Runs the program: prints the help, the version or the problems, or does the work with the options that `read`
    /// returns. Returns the exit status: 2 for invalid usage, and that of [`Failure`] for a failure.
    pub fn main<T>(
        &self,
        args: Vec<String>,
        read: impl FnOnce(&mut CommandLine<'_>) -> T,
        work: impl FnOnce(T) -> Result<ExitCode, Failure>,
    ) -> ExitCode {
        let result = match self.parse(args, |name| std::env::var(name).ok(), read) {
            Ok(Command::Help(text)) => return print(&text),
            Ok(Command::Run(options)) => work(options),
            Err(problems) => Err(Failure::Usage(problems)),
        };
        result.unwrap_or_else(|failure| {
            report_error(self.name, &failure);
            failure.exit_code()
        })
    }
}

/// Converts whether every limit was met to the exit status 0 or 1.
///
/// # Errors
/// That of the work.
pub fn verdict(is_met: Result<bool, Failure>) -> Result<ExitCode, Failure> {
    is_met.map(|is_met| if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
