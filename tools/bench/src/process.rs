//! A child process that never outlives its handle.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use game_client::console::progress;
use game_client::interrupt::POLL_INTERVAL;
use game_client::{Failure, Interrupt};

/// Grace period between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(8);

/// Number of output lines shown for a failed child.
const TAIL_LINES: usize = 5;

/// A running child. Dropping it sends SIGTERM, and SIGKILL after the grace period.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// The program does not exist or cannot be run. The message names it.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self, Failure> {
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().display();
            Failure::Failed(format!("{name}: {program} can't be run: {error}"))
        })?;
        Ok(Self { name, child })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes its standard input, if it is piped and not taken yet.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// Does not fail for a child of this process.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends SIGTERM, and SIGKILL after the grace period.
    ///
    /// # Errors
    /// Does not fail for a child of this process.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status()? {
            return Ok(status);
        }
        // The child has not been reaped, so its process id cannot be reused yet.
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(10));
        }
        self.kill()
    }

    /// Kills it.
    ///
    /// # Errors
    /// Does not fail for a child of this process.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            progress(format_args!("{} (process {}) can't be ended: {error}", self.name, self.id()));
        }
    }
}

/// Runs a program to its end and returns its output, regardless of its status.
///
/// # Errors
/// The program cannot be started, or the wait is interrupted, which kills the program.
pub fn output_of(
    name: &'static str,
    command: &mut Command,
    interrupt: &Interrupt,
) -> Result<String, Failure> {
    let mut process = Process::start(name, command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let Some(mut stdout) = process.child.stdout.take() else {
        return Err(Failure::Failed(format!("{name}: no standard output")));
    };
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let result = stdout.read_to_string(&mut text).map(|_| text);
        // Fails if the wait has ended.
        let _ = sender.send(result);
    });
    loop {
        match output.recv_timeout(POLL_INTERVAL) {
            Ok(Ok(text)) => return Ok(text),
            Ok(Err(error)) => return Err(Failure::Failed(format!("{name}: {error}"))),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Failed(format!("{name}: printed nothing")));
            }
            Err(RecvTimeoutError::Timeout) if interrupt.is_requested() => {
                process.kill()?;
                return Err(Failure::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Creates an empty file that children may append to.
///
/// # Errors
/// The file cannot be written.
pub fn log_file(path: &Path) -> io::Result<File> {
    File::create(path)?;
    OpenOptions::new().append(true).open(path)
}

/// Returns the last lines of a child's output.
pub fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_running(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn dropping_the_handle_ends_the_child() {
        let mut child = Process::start("sleep", Command::new("sleep").arg("60")).unwrap();
        let pid = child.id();
        assert!(is_running(pid) && child.status().unwrap().is_none());
        drop(child);
        assert!(!is_running(pid));
    }

    #[test]
    fn ending_a_finished_child_returns_its_status() {
        let mut child = Process::start("true", &mut Command::new("true")).unwrap();
        while child.status().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        assert!(child.end().unwrap().success());
        assert!(child.kill().unwrap().success());
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = Process::start("loadtest", &mut Command::new("/nowhere/loadtest")).unwrap_err();
        assert!(failure.to_string().starts_with("loadtest: /nowhere/loadtest can't be run: "), "{failure}");
    }

    #[test]
    fn output_is_returned_whole_and_an_interrupt_ends_the_wait() {
        let interrupt = Interrupt::unwatched();
        let lines = output_of("seq", Command::new("seq").arg("100000"), &interrupt).unwrap();
        assert_eq!(lines.lines().count(), 100_000, "more than a pipe holds");
        interrupt.request();
        let result = output_of("sleep", Command::new("sleep").arg("60"), &interrupt);
        assert_eq!(result, Err(Failure::Interrupted));
    }
}
