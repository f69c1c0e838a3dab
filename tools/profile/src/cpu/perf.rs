//! Runs perf: checks its permission, records samples of a process, and exports them as text.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::{Failure, Interrupt};
use stage::process::{Process, log_file, tail};

/// Time for perf to start and to write its file, in addition to the recording.
const RECORD_OVERHEAD_MAX: Duration = Duration::from_secs(30);

/// Unwinding method. The server is compiled without frame pointers, like the production build, so perf unwinds with
/// DWARF tables from a copy of the top of the stack. 8192 bytes reach `main` from the deepest function.
const CALL_GRAPH: &str = "--call-graph=dwarf,8192";

/// The kernel's restriction on unprivileged use of perf.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Files and sampling rate of one perf run.
#[derive(Debug)]
pub struct Perf {
    data: PathBuf,
    log: PathBuf,
    frequency_hz: u32,
}

impl Perf {
    /// Creates a run that takes `frequency_hz` samples per second of CPU time and writes to `output`.
    pub fn new(output: &Path, frequency_hz: u32) -> Self {
        Self { data: output.join("perf.data"), log: output.join("perf.log"), frequency_hz }
    }

    /// Checks that perf is installed and permitted, by recording `true`.
    ///
    /// # Errors
    /// perf is not installed or not permitted. The message gives the remedy.
    pub fn check(&self) -> Result<(), Failure> {
        let mut command = self.record_command(Path::new("/dev/null"))?;
        match command.args(["--", "true"]).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::Failed(self.record_error(&status.to_string()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Failed(
                "perf is not installed. On Debian: apt-get install linux-perf; on Ubuntu: apt-get install \
                 linux-tools-generic"
                    .to_owned(),
            )),
            Err(error) => Err(Failure::Failed(format!("perf can't be run: {error}"))),
        }
    }

    /// Records a process for `duration`.
    ///
    /// # Errors
    /// perf fails or does not end in time, or the run is interrupted.
    pub fn record(&self, pid: u32, duration: Duration, interrupt: &Interrupt) -> Result<(), Failure> {
        // Otherwise perf keeps an earlier recording as `perf.data.old`.
        if self.data.exists() {
            fs::remove_file(&self.data)?;
        }
        let mut command = self.record_command(&self.data)?;
        // perf records until its child, `sleep`, exits. When perf is terminated, it ends the child.
        command.arg(format!("--pid={pid}")).args(["--", "sleep"]).arg(duration.as_secs().to_string());
        let mut perf = Process::start("perf", &mut command)?;
        match interrupt.wait_for(duration + RECORD_OVERHEAD_MAX, || Ok(perf.status()?))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure::Failed(self.record_error(&status.to_string()))),
            None => Err(Failure::Failed(format!("perf did not end in time:\n{}", tail(&self.log)))),
        }
    }

    /// Returns the recording as text: a line per sample, followed by a line per stack frame, including inlined frames.
    ///
    /// # Errors
    /// perf can't be started or can't read the recording.
    pub fn script(&self) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new("perf");
        command.args(["script", "--inline", "--fields=comm,pid,tid,time,event,ip,sym,dso", "--input"]);
        let output = command.arg(&self.data).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::Failed(format!("perf script failed, {}:\n{stderr}", output.status)))
    }

    /// Names no event: perf samples by CPU cycles where the processor counts them, otherwise by the CPU clock.
    fn record_command(&self, data: &Path) -> io::Result<Command> {
        let log = log_file(&self.log)?;
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", CALL_GRAPH]).arg(format!("--freq={}", self.frequency_hz));
        command.args([OsStr::new("--output"), data.as_os_str()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn record_error(&self, status: &str) -> String {
        let paranoid = fs::read_to_string(PARANOID).unwrap_or_default();
        let paranoid = paranoid.trim();
        format!(
            "perf record failed, {status}:\n{}\nkernel.perf_event_paranoid is {paranoid}. If it is above 1, run \
             `sudo sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0`, or run as root. In a container, perf \
             also needs CAP_PERFMON",
            tail(&self.log)
        )
    }
}
