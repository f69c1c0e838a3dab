//! Faults put into one thread of a running server: strace, attached to that thread alone, answers its system calls in the
//! kernel's place or holds them up. The program under test is the one that is shipped; it has no door for tests.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::wait::wait_until;
use crate::support::{debian, proc};

/// A thread under strace. Dropped, it is let go.
pub struct Fault(Child);

/// Sends a request, if the server still takes any: something for its loop to read.
pub fn send_request(address: SocketAddr) {
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
            proc::status_field(thread, "TracerPid").as_deref() != Some("0")
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
