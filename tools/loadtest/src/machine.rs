//! Resource usage of processes and the machine, from `/proc`.

use std::fs;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::os::kernel_units;

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time since its start, in seconds.
    pub cpu_s: f64,
    /// Time for which its main thread was runnable but not running, in seconds.
    pub waited_s: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

impl Usage {
    /// Returns the CPU and waiting time since an earlier moment, and the memory at the later one.
    #[must_use]
    pub fn since(&self, earlier: &Usage) -> Usage {
        let (cpu_s, waited_s) = (self.cpu_s - earlier.cpu_s, self.waited_s - earlier.waited_s);
        Usage { cpu_s, waited_s, ..*self }
    }

    /// Returns the usage of a process, or `None` if it does not exist or is not accessible.
    pub fn of(pid: u32) -> Option<Usage> {
        let (ticks_per_s, page_bytes) = kernel_units();
        let usage =
            parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, ticks_per_s, page_bytes)?;
        // Kernels without schedstats: the waiting time counts as 0.
        let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        Some(Usage { waited_s: parse_waited(&schedstat).unwrap_or(0) as f64 / 1e9, ..usage })
    }
}

/// Parses `/proc/PID/stat` of proc(5): fields 14 and 15 are CPU times, 24 is resident pages. The name before them may
/// contain anything.
fn parse_stat(stat: &str, ticks_per_s: f64, page_bytes: u64) -> Option<Usage> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Field 3, the state, is the first after the name.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let cpu_s = (number(14)? + number(15)?) as f64 / ticks_per_s;
    Some(Usage { cpu_s, waited_s: 0.0, resident_bytes: number(24)? * page_bytes })
}

/// Returns the second number: nanoseconds spent runnable but not running.
fn parse_waited(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the number of open descriptors of a process, or `None` if it is not accessible.
pub fn descriptors(pid: u32) -> Option<u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as u64)
}

/// Returns the steal time since boot over all cores, in seconds.
pub fn stolen_s() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_stolen(&stat).unwrap_or(0) as f64 / kernel_units().0
}

/// Returns the eighth number of the first line.
fn parse_stolen(stat: &str) -> Option<u64> {
    stat.lines().next()?.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// Returns the machine in one line: cores, processor, kernel.
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} x {model}, Linux {}", kernel.trim())
}

/// Returns the UTC time of `ago_ns` nanoseconds ago in RFC 3339 format, in whole seconds.
pub fn utc_before(ago_ns: u64) -> String {
    let then = OffsetDateTime::now_utc() - Duration::from_nanos(ago_ns);
    then.truncate_to_second().format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_stat_with_parentheses_in_the_process_name() {
        let stat =
            "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 3 0 99 12345678 1000 18446744";
        let usage = parse_stat(stat, 100.0, 4_096);
        assert_eq!(usage, Some(Usage { cpu_s: 4.0, waited_s: 0.0, resident_bytes: 4_096_000 }));
        assert_eq!(parse_stat("42 (a", 100.0, 4_096), None);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Usage::of(std::process::id()).unwrap().resident_bytes > 100_000);
        assert_eq!(Usage::of(u32::MAX), None);
        assert!(descriptors(std::process::id()) > Some(2));
    }

    #[test]
    fn parses_waiting_and_steal_time() {
        assert_eq!(parse_waited("216105 2143048 2\n"), Some(2_143_048));
        assert_eq!(parse_stolen("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 0"), Some(8));
    }
}
