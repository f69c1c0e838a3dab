//! The load test's program. The implementation is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtest::main(std::env::args().skip(1))
}
