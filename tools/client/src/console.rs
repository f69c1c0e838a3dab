//! Terminal output. Standard output and error may be closed, full, or a pipe without a reader. A failed write is
//! ignored, and never ends a tool as `println!` would.

use std::fmt::{Arguments, Display};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::text::printable;

/// Writes a progress line to standard error.
pub fn progress(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line of the result to standard output.
pub fn output(line: Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes the result to standard output. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Returns the name under which the program runs, with its subcommand if `built` has one: an installation renames
/// `monitor` to `pixi-game-monitor`.
pub fn name(built: &str) -> String {
    let (program, subcommand) = built.split_at(built.find(' ').unwrap_or(built.len()));
    let path = std::env::args_os().next();
    let name = path.as_ref().and_then(|path| Path::new(path).file_name()?.to_str());
    let name = name.filter(|name| name.ends_with(&format!("-{program}"))).unwrap_or(program);
    format!("{name}{subcommand}")
}

/// Writes a problem to standard error, with the program's name before each line. The text may be untrusted.
pub fn report_error(program: &str, problem: &dyn Display) {
    let program = name(program);
    for line in problem.to_string().lines() {
        let _ = writeln!(io::stderr(), "{program}: {}", printable(line));
    }
}
