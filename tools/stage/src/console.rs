//! Words for the terminal. Standard output and error may be closed, full, or a pipe that nothing reads any more: that is the
//! reader's choice and never ends a tool, as `println!` would.

use std::fmt::{Arguments, Display};
use std::io::{self, Write as _};
use std::path::Path;

use crate::text::printable;

/// A line for people on standard error: progress.
pub fn progress(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line of the result on standard output.
pub fn output(line: Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The name under which a program runs: an installation makes `pixi-game-monitor` of `monitor`.
pub fn name(built: &str) -> String {
    let path = std::env::args_os().next();
    let name = path.as_ref().and_then(|path| Path::new(path).file_name()?.to_str());
    name.filter(|name| name.ends_with(&format!("-{built}"))).unwrap_or(built).to_owned()
}

/// A problem on standard error, the program's name before each of its lines. It may repeat foreign text.
pub fn report_error(program: &str, problem: &dyn Display) {
    let program = name(program);
    for line in problem.to_string().lines() {
        let _ = writeln!(io::stderr(), "{program}: {}", printable(line));
    }
}
