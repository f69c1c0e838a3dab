//! Memory and descriptors of a server, and the kernel's memory for TCP, which belongs to no process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use pixi_game_server::server::driver::os::page_bytes;
use serde::{Deserialize, Serialize};

use crate::kernel::{descriptors, resident_bytes, tcp_pages};

/// Time between two samples.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Resources of a server at one time, or their maxima over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Resident memory of the process, in bytes.
    pub resident_bytes: u64,
    /// Descriptors of the process.
    pub descriptors: u64,
    /// The kernel's memory for TCP sockets of the whole machine, in bytes; includes both ends of each connection.
    pub kernel_tcp_bytes: u64,
}

impl Footprint {
    /// Measures a process; zeros for values that the kernel does not provide.
    pub fn of(pid: u32) -> Footprint {
        Footprint {
            resident_bytes: resident_bytes(pid).unwrap_or_default(),
            descriptors: descriptors(pid).unwrap_or_default(),
            kernel_tcp_bytes: tcp_pages() * page_bytes(),
        }
    }

    fn max(self, other: Footprint) -> Footprint {
        Footprint {
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            descriptors: self.descriptors.max(other.descriptors),
            kernel_tcp_bytes: self.kernel_tcp_bytes.max(other.kernel_tcp_bytes),
        }
    }
}

/// Runs `work`. Returns its result, and the maximum of each value of the process during it.
pub fn most_while<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Footprint) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = Footprint::of(pid);
            while !is_over.load(Ordering::Relaxed) {
                sleep(POLL_INTERVAL);
                most = most.max(Footprint::of(pid));
            }
            most
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        (done, watch.join().unwrap_or_default())
    })
}
