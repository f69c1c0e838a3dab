//! Processes that never outlive this one: each is killed with its owner, whatever ended that.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pixi_game_server::server::os::StopSignals;

/// How often it is looked whether anybody wants this to stop.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Why there is nothing to judge. Either way the caller ends.
#[derive(Debug)]
pub enum Failure {
    /// Somebody pressed ctrl-C.
    Interrupted,
    /// A program does not run, in words.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Interrupted => out.write_str("interrupted"),
            Failure::Broken(problem) => out.write_str(problem),
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    fn start(command: &mut Command) -> Result<Process, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| Failure::Broken(format!("{name}: {error}")))?;
        Ok(Process { child, name })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn broken(&self, problem: &str) -> Failure {
        Failure::Broken(format!("{}: {problem}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that nobody listens on.
///
/// # Errors
/// None is left.
pub fn free_port() -> Result<u16, Failure> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|error| Failure::Broken(format!("no port is free: {error}")))
}

/// Starts a server that is to listen on this port, and waits until it answers a request for `path`.
///
/// # Errors
/// It ends, or does not answer in time.
pub fn serve(
    command: &mut Command,
    port: u16,
    path: &str,
    signals: &StopSignals,
) -> Result<Process, Failure> {
    let mut server = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let started = Instant::now();
    while !answers(port, path).unwrap_or(false) {
        stop_if_asked(signals)?;
        if let Ok(Some(status)) = server.child.try_wait() {
            return Err(server.broken(&format!("ended at its start with {status}")));
        }
        if started.elapsed() > START_PATIENCE {
            return Err(server.broken(&format!("did not answer on port {port}")));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(server)
}

fn answers(port: u16, path: &str) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

/// Runs a program to its end and returns what it printed, whatever its status.
///
/// # Errors
/// It can't be started.
pub fn output_of(command: &mut Command, signals: &StopSignals) -> Result<String, Failure> {
    let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut stdout = process.child.stdout.take().expect("it was asked for above");
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let result = stdout.read_to_string(&mut text).map(|_| text);
        // Fails when nobody waits any more.
        let _ = sender.send(result);
    });
    loop {
        match output.recv_timeout(LOOK_INTERVAL) {
            Ok(Ok(text)) => return Ok(text),
            Ok(Err(error)) => return Err(process.broken(&error.to_string())),
            Err(RecvTimeoutError::Disconnected) => return Err(process.broken("printed nothing")),
            Err(RecvTimeoutError::Timeout) => stop_if_asked(signals)?,
        }
    }
}

fn stop_if_asked(signals: &StopSignals) -> Result<(), Failure> {
    if signals.next().is_some() { Err(Failure::Interrupted) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill, raise};
    use nix::unistd::Pid;

    fn broken(result: Result<Process, Failure>) -> String {
        result.map(|process| process.id()).unwrap_err().to_string()
    }

    #[test]
    fn a_process_ends_with_its_owner() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let pid = Pid::from_raw(process.id() as i32);
        assert_eq!(kill(pid, None), Ok(()));
        drop(process);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    }

    #[test]
    fn output_is_returned_whole_and_a_signal_ends_the_wait() {
        let signals = StopSignals::new().unwrap();
        let lines = output_of(Command::new("seq").arg("100000"), &signals).unwrap();
        assert_eq!(lines.lines().count(), 100_000, "more than a pipe holds");
        raise(Signal::SIGINT).unwrap();
        let began = Instant::now();
        let result = output_of(Command::new("sleep").arg("60"), &signals);
        assert!(matches!(result, Err(Failure::Interrupted)), "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_server_that_does_not_start_is_named() {
        let signals = StopSignals::new().unwrap();
        let port = free_port().unwrap();
        let ended = serve(&mut Command::new("false"), port, "/", &signals);
        assert_eq!(broken(ended), "false: ended at its start with exit status: 1");
        let missing = serve(&mut Command::new("/no/such/program"), port, "/", &signals);
        assert!(broken(missing).starts_with("/no/such/program: No such file"));
    }
}
