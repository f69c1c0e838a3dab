//! Where the server's CPU time, or its memory, goes under load: starts it, loads it, measures, and says so.
//!
//! `make profile-cpu` and `make profile-mem` build what this needs; it finds the server and the load test beside itself.
//!
//! ```text
//! main ──> options         the command line
//!      ├─> cpu             perf, while the load lasts ──> perf, stacks, summary, draw
//!      ├─> mem             a server that counts allocations ──> dhat, summary
//!      └─> rig             the server and its load, all connected
//! text                     how things read; everybody may look
//! ```

mod cpu;
mod mem;
mod options;
mod rig;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use options::{Command, Options, What};
use stage::console::report_error;
use stage::{Failure, Interrupt};

fn main() -> ExitCode {
    let result = folder_of_this_program().and_then(|binaries| {
        let output = binaries.with_file_name("profile");
        match options::parse(std::env::args().skip(1), output)? {
            Command::Help(text) => Ok(text),
            Command::Run(options) => run(&options, &binaries),
        }
    });
    match result {
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report_error("profile", &failure);
            failure.exit_code()
        }
    }
}

/// The text to print at the end.
fn run(options: &Options, binaries: &Path) -> Result<String, Failure> {
    std::fs::create_dir_all(&options.output).map_err(|error| {
        let folder = options.output.display();
        Failure::Usage(format!("--output {folder}: expected a folder that can be made: {error}"))
    })?;
    // The server works there, so that a relative path would not survive.
    let output = options.output.canonicalize()?;
    let interrupt = Interrupt::watch()?;
    let options = Options { output, ..options.clone() };
    match options.what {
        What::Cpu { frequency_hz } => cpu::run(&options, frequency_hz, binaries, &interrupt),
        What::Mem => mem::run(&options, binaries, &interrupt),
    }
}

fn folder_of_this_program() -> Result<PathBuf, Failure> {
    let mut path = std::env::current_exe()?;
    path.pop();
    Ok(path)
}
