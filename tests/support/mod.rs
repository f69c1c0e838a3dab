//! Support for all tests: the server, clients with a replica, raw sockets, `/proc`, and bounded waiting.

pub mod client;
pub mod cookie_jar;
pub mod debian;
pub mod ground_truth;
pub mod http;
pub mod proc;
pub mod process;
pub mod raw;
pub mod recording;
pub mod server;
pub mod wait;
pub mod walker;

pub use client::Client;
pub use server::{Server, Settings};
pub use wait::{observe, poll_until, wait_for, wait_for_acks};
pub use walker::Walker;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

pub fn fifo_in(folder: &Path) -> PathBuf {
    let fifo = folder.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    fifo
}

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Longest time to wait for a condition. No test asserts a shorter time; it only ends tests that hang.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Milliseconds since the first call in this process; the clock of all replicas.
pub fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}
