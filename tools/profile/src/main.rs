//! Profiles the server's CPU time or heap: starts the server and the load test, measures, and prints a summary.
//!
//! `make profile-cpu` and `make profile-mem` build all three programs. The server and the load test must be in this
//! program's directory.
//!
//! ```text
//! main ──> options         the command line
//!      ├─> cpu             sampling with perf ──> perf, stacks, summary, draw
//!      ├─> mem             counting allocations in the server ──> dhat, summary
//!      └─> rig             the server and the load test with all clients connected
//! text                     formatting of numbers and function names, used by all modules
//! ```

mod cpu;
mod mem;
mod options;
mod rig;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::console::report_error;
use game_client::{Failure, Interrupt};
use options::{Command, Measurement, Options};

fn main() -> ExitCode {
    let result = program_directory().and_then(|binaries| {
        let output = binaries.with_file_name("profile");
        match options::parse(std::env::args().skip(1), output)? {
            Command::Help(text) => Ok(text),
            Command::Run(options) => run(&options, &binaries),
        }
    });
    match result {
        Ok(text) => {
            // A closed pipe is not an error.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report_error("profile", &failure);
            failure.exit_code()
        }
    }
}

/// Measures and returns the text to print.
fn run(options: &Options, binaries: &Path) -> Result<String, Failure> {
    std::fs::create_dir_all(&options.output).map_err(|error| {
        let directory = options.output.display();
        Failure::Usage(format!("--output {directory}: can't create the directory: {error}"))
    })?;
    // The output directory is the server's working directory, where a relative path would not resolve.
    let output = options.output.canonicalize()?;
    let interrupt = Interrupt::watch()?;
    let options = Options { output, ..options.clone() };
    match options.measurement {
        Measurement::Cpu { frequency_hz } => cpu::run(&options, frequency_hz, binaries, &interrupt),
        Measurement::Mem => mem::run(&options, binaries, &interrupt),
    }
}

fn program_directory() -> Result<PathBuf, Failure> {
    let mut path = std::env::current_exe()?;
    path.pop();
    Ok(path)
}
