//! Figures of a process, and of the machine, from `/proc`.

use std::fs;
use std::path::Path;

pub use loadtest::machine::{Usage, descriptors, stolen_s};

/// Returns the number of threads of a process; `None` if it has ended.
pub fn threads(pid: u32) -> Option<u64> {
    number_in(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "Threads")
}

/// Returns how often the first thread of a process has slept since its start; `None` if it has ended.
pub fn sleeps(pid: u32) -> Option<u64> {
    number_in(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "voluntary_ctxt_switches")
}

/// Returns the kernel's memory for TCP sockets of the machine, in pages. It belongs to no process.
pub fn tcp_pages() -> u64 {
    tcp_pages_in(&read("/proc/net/sockstat")).unwrap_or(0)
}

/// Parses the number after `mem` in the `TCP:` line.
fn tcp_pages_in(sockstat: &str) -> Option<u64> {
    let mut words = value_in(sockstat, "TCP")?.split_ascii_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

/// Returns the value of the first line `name : value`.
pub fn value_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim())
}

/// Like [`value_in`], for a number with or without a unit.
pub fn number_in(text: &str, name: &str) -> Option<u64> {
    value_in(text, name)?.split(' ').next()?.parse().ok()
}

/// Reads a file of the kernel; empty if it does not exist.
pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_are_parsed() {
        let sockstat = "sockets: used 9\nTCP: inuse 3 orphan 1 tw 7 alloc 5 mem 42\nUDP: inuse 0 mem 1\n";
        assert_eq!((tcp_pages_in(sockstat), tcp_pages_in("")), (Some(42), None));
        let cpuinfo = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nmodel name\t: other\n";
        assert_eq!(
            (value_in(cpuinfo, "model name"), value_in(cpuinfo, "model")),
            (Some("AMD EPYC"), Some("1"))
        );
        assert_eq!(number_in("VmPeak:\t 9 kB\nVmRSS:\t    6780 kB\n", "VmRSS"), Some(6_780));
    }
}
