//! Terminal output. Standard output and error may be closed, full, or a pipe without a reader. A failed write is
//! ignored, and never ends a tool as `println!` would.

use std::fmt::{Arguments, Display};
use std::io::{self, Write as _};
use std::path::Path;

use crate::text::printable;

/// Writes a progress line to standard error.
pub fn progress(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line of the result to standard output.
pub fn output(line: Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Returns the name under which the program runs: an installation renames `monitor` to `pixi-game-monitor`.
pub fn name(built: &str) -> String {
    let path = std::env::args_os().next();
    let name = path.as_ref().and_then(|path| Path::new(path).file_name()?.to_str());
    name.filter(|name| name.ends_with(&format!("-{built}"))).unwrap_or(built).to_owned()
}

/// Writes a problem to standard error, with the program's name before each line. The text may be untrusted.
pub fn report_error(program: &str, problem: &dyn Display) {
    let program = name(program);
    for line in problem.to_string().lines() {
        let _ = writeln!(io::stderr(), "{program}: {}", printable(line));
    }
}
