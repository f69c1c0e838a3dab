//! Faults put into one thread of a running server: strace, attached to that thread alone, answers its system calls in the
//! kernel's place or holds them up. The program under test is the one that is shipped; it has no door for tests.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use crate::support::pump::wait_until;
use crate::support::{Server, debian};

/// A thread under strace. Dropped, it is let go.
pub struct Fault(Child);

/// The id of the server's thread of this name; its main thread has the program's.
pub fn thread_id(server: &Server, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).expect("the server's threads");
    let task = tasks
        .flatten()
        .find(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let task = task.unwrap_or_else(|| panic!("no thread is named {name}"));
    task.file_name().to_string_lossy().parse().expect("threads have numbers")
}

/// Sends a request, if the server still takes any: something for its loop to read.
pub fn knock(address: SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
}

impl Fault {
    /// Injects into a thread, by strace's expression, and waits until it is in force.
    pub fn inject(thread: u32, what: &str) -> Fault {
        let system_call = what.split(':').next().expect("a system call");
        let strace = Command::new(debian::program("strace"))
            .args(["-qq", "-p", &thread.to_string(), "-o", "/dev/null"])
            .args(["-e", &format!("trace={system_call}"), "-e", &format!("inject={what}")])
            .stdin(Stdio::null())
            .spawn();
        let mut fault = Fault(strace.expect("strace starts"));
        wait_until("strace's grip on the thread", || {
            let ended = fault.0.try_wait().expect("strace's status");
            assert!(
                ended.is_none(),
                "strace may not attach: run as root, or set kernel.yama.ptrace_scope to 0"
            );
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        });
        fault
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if thread::panicking() {
            eprintln!("a fault was in force");
        }
    }
}
