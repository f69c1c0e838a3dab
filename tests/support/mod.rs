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

/// Ports below those that the kernel gives to connections and to listeners without a port: only `free_ports` hands them out.
const FREE_PORTS: Range<u32> = 20_000..32_000;

/// Returns a free port, as [`free_ports`] does.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// Returns the first of several free ports in a row. No other call returns one of them for a long time, so that all are still
/// free when programs listen there.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another test process at the same time starts elsewhere.
    let own = std::process::id().wrapping_mul(997);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut candidates = std::iter::repeat_with(|| {
        let next = own.wrapping_add(NEXT.fetch_add(count.into(), Ordering::Relaxed));
        (FREE_PORTS.start + next % (FREE_PORTS.end - FREE_PORTS.start)) as u16
    });
    candidates.find(|&first| (first..first + count).all(is_free)).expect("a free port")
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
