//! Figures of a process, and of the machine, from `/proc`.

use std::fs;
use std::path::Path;

/// Unit of times in `/proc`: `USER_HZ`, 100 on every Linux architecture in use.
const TICKS_PER_S: f64 = 100.0;

const KIB: u64 = 1_024;

/// Returns the CPU time of a process since its start, in seconds; `None` if it has ended.
pub fn cpu_s(pid: u32) -> Option<f64> {
    cpu_ticks(&of(pid, "stat")?).map(|ticks| ticks as f64 / TICKS_PER_S)
}

/// Returns user and system time: fields 14 and 15 of `/proc/PID/stat`.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field, the name in parentheses, may contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(fields.next()? + fields.next()?)
}

/// Returns the time in which the main thread of a process was runnable without a CPU, in seconds.
pub fn waited_s(pid: u32) -> f64 {
    let text = of(pid, "schedstat").unwrap_or_default();
    let waited_ns = text.split_ascii_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    waited_ns.unwrap_or(0) as f64 / 1e9
}

/// Returns the resident memory of a process, in bytes; `None` if it has ended.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    number_in(&of(pid, "status")?, "VmRSS").map(|kib| kib * KIB)
}

/// Returns the number of threads of a process; `None` if it has ended.
pub fn threads(pid: u32) -> Option<u64> {
    number_in(&of(pid, "status")?, "Threads")
}

/// Returns the number of open descriptors of a process; `None` if it has ended.
pub fn descriptors(pid: u32) -> Option<u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as u64)
}

/// Returns the steal time of all cores, in seconds.
pub fn stolen_s() -> f64 {
    let text = read("/proc/stat");
    let stolen = text.split_ascii_whitespace().nth(8).and_then(|number| number.parse::<u64>().ok());
    stolen.unwrap_or(0) as f64 / TICKS_PER_S
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

fn of(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_are_parsed() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 0 0 120 34 0 0 20 0 3 0";
        assert_eq!((cpu_ticks(stat), cpu_ticks("7 (a) S 1")), (Some(154), None));
        let sockstat = "sockets: used 9\nTCP: inuse 3 orphan 1 tw 7 alloc 5 mem 42\nUDP: inuse 0 mem 1\n";
        assert_eq!((tcp_pages_in(sockstat), tcp_pages_in("")), (Some(42), None));
        let cpuinfo = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nmodel name\t: other\n";
        assert_eq!(
            (value_in(cpuinfo, "model name"), value_in(cpuinfo, "model")),
            (Some("AMD EPYC"), Some("1"))
        );
        assert_eq!(number_in("VmPeak:\t 9 kB\nVmRSS:\t    6780 kB\n", "VmRSS"), Some(6_780));
    }

    #[test]
    fn the_test_process_is_measured() {
        let pid = std::process::id();
        let figures = [resident_bytes(pid), threads(pid), descriptors(pid)];
        assert!(figures.iter().all(|figure| *figure > Some(0)) && cpu_s(pid).is_some(), "{figures:?}");
        assert_eq!((cpu_s(u32::MAX), resident_bytes(u32::MAX), descriptors(u32::MAX)), (None, None, None));
    }
}
