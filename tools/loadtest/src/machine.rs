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

/// Times of the machine since boot, over all cores, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MachineTimes {
    /// Time of processes. Interrupts are left out: some kernels count them as time of the interrupted process as well.
    pub busy_s: f64,
    /// Steal time.
    pub stolen_s: f64,
}

impl MachineTimes {
    /// Returns the times until now; 0 without `/proc/stat`.
    pub fn now() -> MachineTimes {
        parse_times(&fs::read_to_string("/proc/stat").unwrap_or_default(), kernel_units().0)
            .unwrap_or_default()
    }

    /// Returns the times since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &MachineTimes) -> MachineTimes {
        let MachineTimes { busy_s, stolen_s } = *earlier;
        MachineTimes { busy_s: self.busy_s - busy_s, stolen_s: self.stolen_s - stolen_s }
    }
}

/// Returns the steal time since boot over all cores, in seconds.
pub fn stolen_s() -> f64 {
    MachineTimes::now().stolen_s
}

/// Parses the first line of `/proc/stat`: `cpu`, then user, nice, system, idle, iowait, irq, softirq and steal time.
fn parse_times(stat: &str, ticks_per_s: f64) -> Option<MachineTimes> {
    let numbers = stat.lines().next()?.split_ascii_whitespace().skip(1);
    let seconds: Vec<f64> =
        numbers.map_while(|number| number.parse().ok()).map(|ticks: f64| ticks / ticks_per_s).collect();
    let [user_s, nice_s, system_s, .., stolen_s] = *seconds.get(..8)? else { return None };
    Some(MachineTimes { busy_s: user_s + nice_s + system_s, stolen_s })
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
        let times = parse_times("cpu  100 20 3 4 5 6 7 800 9 10\ncpu0 0", 100.0);
        assert_eq!(times, Some(MachineTimes { busy_s: 1.23, stolen_s: 8.0 }));
        assert_eq!(parse_times("cpu  1 2 3 4", 100.0), None);
    }
}
