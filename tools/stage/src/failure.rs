//! What ends a run before its time, and with which exit status.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line makes no sense; the text names the option, the value and what is allowed.
    Usage(String),
    /// Something did not work; the text says what, and the remedy where one is known.
    Failed(String),
    /// Somebody pressed Ctrl-C, or sent SIGTERM.
    Interrupted,
}

impl Failure {
    /// 2 for wrong usage, 130 as a shell has it for Ctrl-C, otherwise 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => out.write_str(text),
            Self::Interrupted => out.write_str("interrupted"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
