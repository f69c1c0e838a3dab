//! Reasons for an early end of a run, and their exit statuses.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The reason why a run has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line is invalid. The text names the option, the value and the allowed values.
    Usage(String),
    /// The run failed. The text gives the cause, and a remedy where one is known.
    Failed(String),
    /// The user pressed Ctrl-C, or the process received SIGTERM.
    Interrupted,
}

impl Failure {
    /// Returns 2 for invalid usage, 130 after Ctrl-C (like a shell), otherwise 1.
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
