//! Fault injection into one thread of a running server: strace attaches to that thread and fakes or delays
//! its system calls. The program under test is the shipped one; it has no hooks for tests.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::wait::wait_until;
use crate::support::{debian, proc};

/// A thread traced by strace, which detaches on drop.
pub struct Fault(Child);

/// Sends a request, if the server still accepts connections, so that the event loop has input.
pub fn send_request(address: SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
}

impl Fault {
    /// Injects a fault, in the syntax of strace, and waits until it is active.
    pub fn inject(thread: u32, what: &str) -> Fault {
        let system_call = what.split(':').next().expect("a system call");
        let strace = Command::new(debian::program("strace"))
            .args(["-qq", "-p", &thread.to_string(), "-o", "/dev/null"])
            .args(["-e", &format!("trace={system_call}"), "-e", &format!("inject={what}")])
            .stdin(Stdio::null())
            .spawn();
        let mut fault = Fault(strace.expect("strace starts"));
        wait_until("strace to attach to the thread", || {
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
            eprintln!("a fault was active");
        }
    }
}
