//! The load test as a program; all of it is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtest::main(std::env::args().skip(1))
}
