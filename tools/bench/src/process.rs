//! A child process that never outlives its handle.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use game_client::console::progress;
use game_client::{Failure, Interrupt};
use serde_json::Value as Json;

/// Grace period between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(8);

/// Number of output lines shown for a failed child.
const TAIL_LINES: usize = 5;

/// A running child. Dropping it sends SIGTERM, and SIGKILL after the grace period.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    /// Its standard output, if it is captured.
    output: Option<File>,
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
        Ok(Self { name, child, output: None })
    }

    /// Starts a program whose standard output is kept for [`Process::results`].
    ///
    /// # Errors
    /// As [`Process::start`], or no temporary file can be created.
    pub fn capture(name: &'static str, command: &mut Command) -> Result<Self, Failure> {
        // The file has no name once it is open, so it needs no removal.
        let folder = Scratch::new()?;
        let file = File::options().read(true).write(true).create_new(true).open(folder.0.join("output"))?;
        drop(folder);
        let mut process = Self::start(name, command.stdout(file.try_clone()?))?;
        process.output = Some(file);
        Ok(process)
    }

    /// Returns the JSON that a captured program has printed.
    ///
    /// # Errors
    /// It is incomplete, or not JSON.
    pub fn results(&mut self) -> Result<Json, Failure> {
        let mut text = String::new();
        if let Some(output) = &mut self.output {
            output.rewind()?;
            output.read_to_string(&mut text)?;
        }
        serde_json::from_str(&text)
            .map_err(|error| Failure::Failed(format!("{}: no results: {error}", self.name)))
    }

    /// Waits for its end. Returns `None` after the timeout.
    ///
    /// # Errors
    /// The wait is interrupted.
    pub fn wait(&mut self, interrupt: &Interrupt, timeout: Duration) -> Result<Option<ExitStatus>, Failure> {
        interrupt.wait_for(timeout, || Ok(self.status()?))
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

/// A temporary folder, which is removed on drop.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Creates it.
    ///
    /// # Errors
    /// It can't be created.
    pub fn new() -> io::Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("pixi-bench-{process}-{number}"));
        fs::create_dir_all(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            progress(format_args!("{}: can't be removed: {error}", self.0.display()));
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
    let text = fs::read_to_string(path).unwrap_or_default();
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
    fn results_are_read_whole_and_an_interrupt_ends_the_wait() {
        let interrupt = Interrupt::unwatched();
        let json = || Process::capture("echo", Command::new("echo").arg("{\"ok\": [1, 2]}")).unwrap();
        let mut echo = json();
        assert!(echo.wait(&interrupt, GRACE).unwrap().is_some_and(|status| status.success()));
        assert_eq!(echo.results().unwrap()["ok"][1], 2);
        let mut empty = Process::capture("true", &mut Command::new("true")).unwrap();
        empty.wait(&interrupt, GRACE).unwrap();
        assert!(empty.results().unwrap_err().to_string().starts_with("true: no results: "));
        interrupt.request();
        assert_eq!(json().wait(&interrupt, GRACE), Err(Failure::Interrupted));
    }
}
