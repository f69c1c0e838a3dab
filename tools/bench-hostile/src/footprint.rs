//! Memory and descriptors of a server, and the kernel's memory for TCP, which belongs to no process.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use pixi_game_server::server::driver::os::page_bytes;
use serde::{Deserialize, Serialize};

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
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        Footprint {
            resident_bytes: resident_kib(&status).unwrap_or_default() * 1_024,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |all| all.count() as u64),
            kernel_tcp_bytes: tcp_pages(&sockets).unwrap_or_default() * page_bytes(),
        }
    }

    /// Returns the maximum of each value.
    #[must_use]
    pub fn max(self, other: Footprint) -> Footprint {
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

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Parses the number after `mem` in the `TCP:` line, in pages.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_are_parsed() {
        assert_eq!(resident_kib("VmPeak:\t 9 kB\nVmRSS:\t    6780 kB\n"), Some(6_780));
        let sockstat = "sockets: used 9\nTCP: inuse 3 orphan 1 tw 7 alloc 5 mem 42\nUDP: inuse 0 mem 1\n";
        assert_eq!(tcp_pages(sockstat), Some(42));
        assert_eq!((resident_kib(""), tcp_pages("")), (None, None));
    }

    #[test]
    fn maxima_of_the_test_process_are_positive() {
        let own = std::process::id();
        let (answer, most) = most_while(own, || 42);
        assert_eq!(answer, 42);
        assert!(most.resident_bytes > 0 && most.descriptors > 0, "{most:?}");
    }
}
