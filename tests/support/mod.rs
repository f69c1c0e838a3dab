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
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// Ports below those that the kernel gives to connections and to listeners without a port: only `free_port` hands them out.
const FREE_PORTS: Range<u32> = 20_000..32_000;

/// Returns a free port. No other call returns it for a long time, so that it is still free when a program listens there.
pub fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = FREE_PORTS.end - FREE_PORTS.start;
    // Another test process at the same time starts elsewhere.
    let first = std::process::id().wrapping_mul(997);
    let port =
        || (FREE_PORTS.start + first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % count) as u16;
    (0..count)
        .map(|_| port())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
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
