//! The measured machine and code.

use std::fmt;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use crate::kernel::{number_in, read, value_in};

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of its processor.
    pub cpu: String,
    /// Cores.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
    /// TCP congestion control.
    pub congestion_control: String,
    /// Hard limit of open files per process.
    pub open_files_max: u64,
}

/// The code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Abbreviated hash; empty outside a repository.
    pub hash: String,
    /// Whether tracked files were modified.
    pub is_dirty: bool,
}

/// The circumstances of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Occasion {
    /// The machine.
    pub machine: Machine,
    /// The code.
    pub commit: Commit,
    /// Start time, in RFC 3339 format.
    pub started: String,
}

impl Machine {
    /// Returns this machine, as far as `/proc` describes it.
    pub fn current() -> Machine {
        Machine {
            cpu: value_in(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: number_in(&read("/proc/meminfo"), "MemTotal").unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            open_files_max: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard),
        }
    }

    /// Name of the folder for today's results of this machine.
    pub fn folder(&self) -> String {
        format!("{}-{}core", output_of("date", &["-u", "+%F"]).unwrap_or_default(), self.cores)
    }

    /// Returns the machine as a Markdown table.
    pub fn table(&self) -> String {
        format!(
            "| machine | |\n|---|---|\n| processor | {} cores of {} |\n| memory | {} MiB |\n| kernel | {} |\n\
             | congestion control | {} |\n| open files | {} a process |\n",
            self.cores, self.cpu, self.memory_mib, self.kernel, self.congestion_control, self.open_files_max
        )
    }
}

impl Commit {
    /// Returns the commit checked out in the working directory.
    pub fn current() -> Commit {
        let changes = output_of("git", &["status", "--porcelain", "--untracked-files=no"]);
        Commit {
            hash: output_of("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default(),
            is_dirty: changes.is_some_and(|changes| !changes.is_empty()),
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hash, changes) = (&self.hash, if self.is_dirty { " with changes" } else { "" });
        if hash.is_empty() { out.write_str("commit unknown") } else { write!(out, "commit {hash}{changes}") }
    }
}

impl Occasion {
    /// Returns the present circumstances. The time is in RFC 3339 format.
    pub fn current() -> Occasion {
        let started = output_of("date", &["-u", "+%FT%TZ"]).unwrap_or_default();
        Occasion { machine: Machine::current(), commit: Commit::current(), started }
    }

    /// Returns the head of a report in Markdown: its title, and the command and the machine that gave it.
    pub fn head(&self, title: &str, command: &str) -> String {
        let Occasion { machine, commit, started } = self;
        format!("# {title}\n\n{}\n`{command}`, {commit}, {started}.\n\n", machine.table())
    }
}

/// Returns the output of a command that succeeds.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
