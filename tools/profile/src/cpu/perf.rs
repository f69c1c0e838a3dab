//! perf, the only program that sees the stacks of another process: whether it may, recording, and its script.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stage::process::{Process, log_file, tail};
use stage::{Failure, Interrupt};

/// Time perf gets beyond the time it records, to start and to write.
const PATIENCE: Duration = Duration::from_secs(30);

/// How stacks are found. The server has no frame pointers, in order to be the same code as the one in use; its unwind
/// tables say as much, given a copy of the top of the stack. This much reaches `main` from the deepest function.
const CALL_GRAPH: &str = "--call-graph=dwarf,8192";

/// Where the kernel says whom it lets look.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// perf, and where it puts things.
#[derive(Debug)]
pub struct Perf {
    data: PathBuf,
    log: PathBuf,
    frequency_hz: u32,
}

impl Perf {
    /// Samples so many times a second of CPU time, into this folder.
    pub fn new(output: &Path, frequency_hz: u32) -> Self {
        Self { data: output.join("perf.data"), log: output.join("perf.log"), frequency_hz }
    }

    /// Finds out whether perf is there and permitted, by recording a program that does nothing.
    ///
    /// # Errors
    /// It is not; the message says what to do.
    pub fn check(&self) -> Result<(), Failure> {
        let mut command = self.record_command(Path::new("/dev/null"))?;
        match command.args(["--", "true"]).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::Failed(self.refusal(&status.to_string()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Failed(
                "perf is not installed. On Debian: apt-get install linux-perf; on Ubuntu: apt-get install \
                 linux-tools-generic"
                    .to_owned(),
            )),
            Err(error) => Err(Failure::Failed(format!("perf can't be run: {error}"))),
        }
    }

    /// Records a process for so long.
    ///
    /// # Errors
    /// perf fails, or somebody interrupts.
    pub fn record(&self, pid: u32, duration: Duration, interrupt: &Interrupt) -> Result<(), Failure> {
        // perf would keep an earlier run's under another name.
        if self.data.exists() {
            fs::remove_file(&self.data)?;
        }
        let mut command = self.record_command(&self.data)?;
        // perf records as long as its own child lives, and ends it when it is ended itself.
        command.arg(format!("--pid={pid}")).args(["--", "sleep"]).arg(duration.as_secs().to_string());
        let mut perf = Process::start("perf", &mut command)?;
        match interrupt.wait_for(duration + PATIENCE, || Ok(perf.status()?))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure::Failed(self.refusal(&status.to_string()))),
            None => Err(Failure::Failed(format!("perf does not come to an end:\n{}", tail(&self.log)))),
        }
    }

    /// What was recorded, as text: a line for each sample and one for each frame of its stack, inlined ones as well.
    ///
    /// # Errors
    /// perf can't read it.
    pub fn script(&self) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new("perf");
        command.args(["script", "--inline", "--fields=comm,pid,tid,time,event,ip,sym,dso", "--input"]);
        let output = command.arg(&self.data).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::Failed(format!("perf script failed, {}:\n{problem}", output.status)))
    }

    /// Leaves the choice of the event to perf: cycles where the processor counts them, otherwise the clock.
    fn record_command(&self, data: &Path) -> io::Result<Command> {
        let log = log_file(&self.log)?;
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", CALL_GRAPH]).arg(format!("--freq={}", self.frequency_hz));
        command.args([OsStr::new("--output"), data.as_os_str()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn refusal(&self, status: &str) -> String {
        let paranoid = fs::read_to_string(PARANOID).unwrap_or_default();
        let paranoid = paranoid.trim();
        format!(
            "perf record failed, {status}:\n{}\nkernel.perf_event_paranoid is {paranoid}. Where that is the reason: \
             sudo sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0, or run as root; in a container, \
             perf needs CAP_PERFMON as well",
            tail(&self.log)
        )
    }
}
