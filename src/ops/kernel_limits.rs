//! Kernel settings that limit how many players a machine can serve, each with its value, recommended value and meaning.
//!
//! The server warns about critical settings at the start; `pixi-game-ops tune` shows and changes all of them. Pure: the
//! caller passes in a function that reads files.

use std::fmt::Write as _;

use crate::limits::{
    ADMIN_CONNECTIONS_MAX, DESCRIPTORS_OVERHEAD, HTTP_CONNECTIONS_MAX, LISTEN_BACKLOG_USEFUL,
    SEND_BUFFER_BYTES,
};

/// Folder of the files behind sysctl names.
const SYSCTL_FOLDER: &str = "/proc/sys";

/// Limits of the calling process.
pub const OWN_LIMITS: &str = "/proc/self/limits";

/// Frequency governor of the first core, on machines that have one. The other cores have files of the same form.
pub const CPU_GOVERNOR_FILE: &str = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

/// File with the machine's memory size.
const MEMORY: &str = "/proc/meminfo";

/// Kernel memory of a player whose connection has no backlog, in pages: one partly filled page per direction.
const PAGES_A_PLAYER: u64 = 2;

/// Kernel memory of a player who reads nothing, in bytes: the send buffer, which the kernel counts twice, and unread input.
const BYTES_A_PLAYER_MAX: u64 = (3 * SEND_BUFFER_BYTES) as u64;

/// The recommended socket memory never exceeds this fraction (1/n) of the machine's memory.
const MEMORY_SHARE: u64 = 4;

/// conntrack entries per player: the open connection and an ended one, which stays in the table for minutes.
const TRACKED_A_PLAYER: u64 = 2;

/// All ports that are not well-known: first and last.
const PORTS_RECOMMENDED: (u64, u64) = (1024, 65_535);

/// Expected load of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Concurrent players.
    pub players: u64,
    /// Whether a proxy on the same machine forwards them, each over its own local port.
    pub is_proxy_local: bool,
}

impl Workload {
    /// Returns the file descriptors the server needs.
    pub fn open_files(&self) -> u64 {
        self.players + HTTP_CONNECTIONS_MAX as u64 + ADMIN_CONNECTIONS_MAX as u64 + DESCRIPTORS_OVERHEAD
    }
}

/// A setting of the machine, checked against a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSetting {
    /// The sysctl name, or a name in words for other limits.
    pub name: &'static str,
    /// Current value, fields separated by a space.
    pub value: String,
    /// Recommended value, in the same form.
    pub recommended: String,
    /// Whether the value is at least the recommended one.
    pub is_sufficient: bool,
    /// Whether the machine would refuse or drop players at this workload. The server then warns at the start.
    pub is_critical: bool,
    /// Meaning of the setting and effect of a low value.
    pub description: &'static str,
}

impl KernelSetting {
    /// Returns the command that sets the recommended value, to be run as root.
    pub fn command(&self) -> String {
        match self.name {
            OPEN_FILES => format!("prlimit --pid $$ --nofile={0}:{0}", self.recommended),
            CPU_GOVERNOR => "cpupower frequency-set --governor performance".to_owned(),
            name if self.recommended.contains(' ') => format!("sysctl -w {name}=\"{}\"", self.recommended),
            name => format!("sysctl -w {name}={}", self.recommended),
        }
    }

    /// Returns the file to write the recommended value to; `None` for settings without such a file.
    pub fn path(&self) -> Option<String> {
        self.is_sysctl().then(|| path_of(self.name))
    }

    /// Returns whether this is a sysctl.
    pub fn is_sysctl(&self) -> bool {
        self.name != OPEN_FILES && self.name != CPU_GOVERNOR
    }
}

/// Name of the limit of open files.
pub const OPEN_FILES: &str = "open files (ulimit -n)";

/// Name of the CPU frequency governor.
pub const CPU_GOVERNOR: &str = "CPU frequency governor";

/// Minimum values of a numeric setting.
struct Requirement {
    name: &'static str,
    recommended: fn(&Workload) -> Vec<u64>,
    /// Below these values players would notice.
    critical_below: fn(&Workload) -> Vec<u64>,
    description: &'static str,
}

/// For a setting that is never critical, however low its value.
const NEVER: fn(&Workload) -> Vec<u64> = |_| Vec::new();

/// The numeric settings, in the order in which they affect a connection.
const REQUIREMENTS: [Requirement; 9] = [
    Requirement {
        name: "fs.nr_open",
        recommended: |workload| vec![workload.open_files()],
        critical_below: NEVER, // The limit of open files reports it.
        description: "highest limit of open files that a process may have",
    },
    Requirement {
        name: "fs.file-max",
        recommended: |workload| vec![2 * workload.open_files()],
        critical_below: |workload| vec![workload.open_files()],
        description: "open files of all processes",
    },
    Requirement {
        name: "net.core.somaxconn",
        recommended: |workload| vec![queue(workload)],
        critical_below: |workload| vec![queue(workload) / 4],
        description: "accept queue; when a burst of new connections fills it, clients retry only after seconds",
    },
    Requirement {
        name: "net.ipv4.tcp_max_syn_backlog",
        recommended: |workload| vec![queue(workload)],
        critical_below: NEVER, // SYN cookies replace the queue, unless they are disabled.
        description: "queue of half-open connections",
    },
    Requirement {
        name: "net.netfilter.nf_conntrack_max",
        recommended: |workload| vec![TRACKED_A_PLAYER * workload.players + 10_000],
        critical_below: |workload| vec![workload.players + 1_000],
        description: "connections tracked by the firewall; when the table is full, new ones are dropped silently",
    },
    Requirement {
        name: "net.core.wmem_max",
        recommended: |_| vec![SEND_BUFFER_BYTES as u64],
        critical_below: NEVER, // A smaller buffer affects only clients on slow connections.
        description: "maximum send buffer a program may request; the server requests 64 KiB",
    },
    Requirement {
        name: "net.ipv4.tcp_rmem",
        recommended: |_| vec![4_096, 16_384, 65_536],
        critical_below: NEVER,
        description: "minimum, default and maximum receive buffer in bytes; a client's messages are about 12 bytes each",
    },
    Requirement {
        name: "net.ipv4.tcp_wmem",
        recommended: |_| vec![4_096, 16_384, SEND_BUFFER_BYTES as u64],
        critical_below: NEVER,
        description: "minimum, default and maximum send buffer in bytes",
    },
    Requirement {
        name: "net.core.netdev_max_backlog",
        recommended: |workload| vec![(workload.players / 2).clamp(1_000, 10_000)],
        critical_below: NEVER, // TCP retransmits dropped packets.
        description: "packets queued per CPU; updates are sent in bursts, by the server and by a proxy",
    },
];

/// Returns the useful length of the queue of new connections.
fn queue(workload: &Workload) -> u64 {
    workload.players.clamp(128, LISTEN_BACKLOG_USEFUL)
}

/// Checks the machine's settings against a workload. `page_bytes` is the size of its memory pages, the unit of `tcp_mem`.
/// `read` returns a file's text; unreadable settings are left out.
pub fn inspect(
    workload: &Workload,
    page_bytes: u64,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<KernelSetting> {
    let limit = read(OWN_LIMITS).and_then(|limits| open_files(&limits));
    let mut settings: Vec<KernelSetting> =
        limit.map(|limit| assess_open_files(workload, limit)).into_iter().collect();
    let memory = read(MEMORY).and_then(|text| memory_bytes(&text));
    for requirement in &REQUIREMENTS {
        settings.extend(
            numbers(&read, requirement.name).and_then(|values| assess(requirement, workload, &values)),
        );
    }
    let tcp_mem = numbers(&read, TCP_MEM).unwrap_or_default();
    settings.extend(memory.and_then(|bytes| assess_memory(workload, &tcp_mem, bytes, page_bytes)));
    settings.extend(numbers(&read, PORTS).and_then(|values| assess_ports(workload, &values)));
    settings.extend(read(CPU_GOVERNOR_FILE).map(|name| assess_governor(name.trim())));
    settings
}

/// Renders the insufficient sysctls as a file for `/etc/sysctl.d`, each with its description.
pub fn sysctl_file(settings: &[KernelSetting], players: u64) -> String {
    let mut text = format!("# pixi-game-server for {players} players\n");
    for setting in settings.iter().filter(|setting| setting.is_sysctl() && !setting.is_sufficient) {
        let (name, recommended, value) = (setting.name, &setting.recommended, &setting.value);
        let _ = write!(text, "\n# {}; it was {value}\n{name} = {recommended}\n", setting.description);
    }
    text
}

fn path_of(name: &str) -> String {
    format!("{SYSCTL_FOLDER}/{}", name.replace('.', "/"))
}

fn numbers(read: impl Fn(&str) -> Option<String>, name: &str) -> Option<Vec<u64>> {
    read(&path_of(name))?.split_whitespace().map(|field| field.parse().ok()).collect()
}

/// Parses the soft limit from the text of `/proc/self/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// Parses the machine's memory size from the text of `/proc/meminfo`.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn spaced(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// Raises each field to its minimum. Lowers none, since a larger value was chosen on purpose.
fn raised(values: &[u64], least: &[u64]) -> Vec<u64> {
    values
        .iter()
        .enumerate()
        .map(|(index, &value)| value.max(least.get(index).copied().unwrap_or(0)))
        .collect()
}

fn assess(requirement: &Requirement, workload: &Workload, values: &[u64]) -> Option<KernelSetting> {
    let recommended = raised(values, &(requirement.recommended)(workload));
    let is_critical = raised(values, &(requirement.critical_below)(workload)) != values;
    (!values.is_empty())
        .then(|| setting(requirement.name, requirement.description, values, &recommended, is_critical))
}

fn setting(
    name: &'static str,
    description: &'static str,
    values: &[u64],
    recommended: &[u64],
    is_critical: bool,
) -> KernelSetting {
    let is_sufficient = values == recommended;
    KernelSetting {
        name,
        value: spaced(values),
        recommended: spaced(recommended),
        is_sufficient,
        is_critical,
        description,
    }
}

/// Assesses the limit of open files, which is never critical here: the server raises it and warns when that is not enough.
fn assess_open_files(workload: &Workload, limit: u64) -> KernelSetting {
    let recommended = workload.open_files().max(limit);
    let description = "one per player and a few hundred more; the server raises its soft limit up to the hard limit, \
         which is LimitNOFILE= of a systemd unit";
    setting(OPEN_FILES, description, &[limit], &[recommended], false)
}

const TCP_MEM: &str = "net.ipv4.tcp_mem";

/// Assesses the three thresholds of `tcp_mem`, in pages: end of memory pressure, start of memory pressure, and limit.
fn assess_memory(
    workload: &Workload,
    values: &[u64],
    memory_bytes: u64,
    page_bytes: u64,
) -> Option<KernelSetting> {
    let &[_, _, most] = values else { return None };
    let share = memory_bytes / page_bytes / MEMORY_SHARE;
    let pages_a_player_max = BYTES_A_PLAYER_MAX.div_ceil(page_bytes);
    let usual = (workload.players * PAGES_A_PLAYER).min(share);
    let recommended = (workload.players * pages_a_player_max).clamp(usual, share.max(usual));
    let recommended = raised(values, &[usual, usual, recommended]);
    let description = "memory pages of all TCP sockets together; above the limit the kernel stops sending";
    Some(setting(TCP_MEM, description, values, &recommended, most < workload.players * PAGES_A_PLAYER))
}

const PORTS: &str = "net.ipv4.ip_local_port_range";

fn assess_ports(workload: &Workload, values: &[u64]) -> Option<KernelSetting> {
    let &[first, last] = values else { return None };
    let is_sufficient = (last + 1).saturating_sub(first) >= workload.players + 1_000;
    let (from, to) = PORTS_RECOMMENDED;
    let recommended = if is_sufficient { vec![first, last] } else { vec![from.min(first), to.max(last)] };
    let description =
        "local ports of outgoing connections; a proxy or a load test on this machine needs one per player";
    Some(setting(PORTS, description, values, &recommended, !is_sufficient && workload.is_proxy_local))
}

fn assess_governor(name: &str) -> KernelSetting {
    KernelSetting {
        name: CPU_GOVERNOR,
        value: name.to_owned(),
        recommended: "performance".to_owned(),
        is_sufficient: name == "performance",
        is_critical: false,
        description: "cores that clock down between ticks are slow to clock up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: Workload = Workload { players: 12_000, is_proxy_local: false };
    const MEMORY_KIB: u64 = 8 << 20;
    const PAGE_BYTES: u64 = 4096;

    /// A machine with only these files.
    fn on<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    fn only(workload: &Workload, path: &str, text: &str) -> KernelSetting {
        let memory = format!("MemTotal:        {MEMORY_KIB} kB\nMemFree: 1 kB\n");
        let settings = inspect(workload, PAGE_BYTES, on(&[(path, text), (MEMORY, &memory)]));
        assert_eq!(settings.len(), 1, "{settings:?}");
        settings.into_iter().next().unwrap()
    }

    #[test]
    fn a_sufficient_value_is_not_changed() {
        let found = only(&WORKLOAD, "/proc/sys/net/core/somaxconn", "8192\n");
        assert_eq!(
            (found.value.as_str(), found.recommended.as_str(), found.is_sufficient),
            ("8192", "8192", true)
        );
        assert!(!found.is_critical);
    }

    #[test]
    fn an_accept_queue_is_critical_below_a_quarter_of_the_recommendation() {
        let short = only(&WORKLOAD, "/proc/sys/net/core/somaxconn", "2048\n");
        assert_eq!((short.is_sufficient, short.is_critical), (false, false));
        let shorter = only(&WORKLOAD, "/proc/sys/net/core/somaxconn", "128\n");
        assert_eq!((shorter.is_sufficient, shorter.is_critical), (false, true));
        assert_eq!(shorter.command(), "sysctl -w net.core.somaxconn=4096");
        let few = Workload { players: 100, ..WORKLOAD };
        assert!(only(&few, "/proc/sys/net/core/somaxconn", "128\n").is_sufficient);
    }

    #[test]
    fn only_a_field_that_is_too_small_is_raised() {
        let found = only(&WORKLOAD, "/proc/sys/net/ipv4/tcp_rmem", "4096\t8192\t6291456\n");
        assert_eq!(found.recommended, "4096 16384 6291456");
        assert_eq!(found.command(), "sysctl -w net.ipv4.tcp_rmem=\"4096 16384 6291456\"");
        assert!(!found.is_sufficient && !found.is_critical);
    }

    #[test]
    fn socket_memory_is_recommended_up_to_a_fraction_of_the_machine() {
        let path = "/proc/sys/net/ipv4/tcp_mem";
        let plenty = only(&WORKLOAD, path, "30000 40000 600000");
        assert_eq!((plenty.recommended.as_str(), plenty.is_sufficient), ("30000 40000 600000", true));
        let little = only(&WORKLOAD, path, "10000 13000 20000");
        assert_eq!(little.recommended, format!("24000 24000 {}", MEMORY_KIB / 4 / 4));
        assert!(little.is_critical, "12,000 players need 24,000 pages");
        let small = [(path, "1000 1000 1000"), (MEMORY, "MemTotal: 262144 kB")];
        assert_eq!(inspect(&WORKLOAD, PAGE_BYTES, on(&small))[0].recommended, "16384 16384 16384");
    }

    #[test]
    fn socket_memory_is_counted_in_the_pages_of_the_machine() {
        let memory = format!("MemTotal: {MEMORY_KIB} kB");
        let files = [("/proc/sys/net/ipv4/tcp_mem", "1000 1000 1000"), (MEMORY, memory.as_str())];
        let found = inspect(&WORKLOAD, 65_536, on(&files)).remove(0);
        assert_eq!(found.recommended, format!("24000 24000 {}", MEMORY_KIB / 64 / 4));
    }

    #[test]
    fn too_few_local_ports_are_critical_only_with_a_local_proxy() {
        let path = "/proc/sys/net/ipv4/ip_local_port_range";
        assert!(only(&WORKLOAD, path, "32768 60999").is_sufficient);
        let many = Workload { players: 40_000, ..WORKLOAD };
        let found = only(&many, path, "32768 60999");
        assert_eq!((found.recommended.as_str(), found.is_critical), ("1024 65535", false));
        assert!(only(&Workload { is_proxy_local: true, ..many }, path, "32768 60999").is_critical);
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_limit_of_the_process() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 \
                      524288               files\n";
        let found = only(&WORKLOAD, OWN_LIMITS, limits);
        assert_eq!((found.value.as_str(), found.recommended.as_str()), ("1024", "12560"));
        assert_eq!(found.command(), "prlimit --pid $$ --nofile=12560:12560");
        assert!(only(&WORKLOAD, OWN_LIMITS, "Max open files unlimited unlimited files").is_sufficient);
    }

    #[test]
    fn unreadable_and_malformed_files_are_left_out() {
        assert_eq!(inspect(&WORKLOAD, PAGE_BYTES, |_| None), []);
        assert_eq!(
            inspect(&WORKLOAD, PAGE_BYTES, |path| (path != CPU_GOVERNOR_FILE).then(|| "many".to_owned())),
            []
        );
    }

    #[test]
    fn the_sysctl_file_lists_only_insufficient_settings() {
        let files = [
            ("/proc/sys/net/core/somaxconn", "128"),
            ("/proc/sys/fs/nr_open", "1048576"),
            (CPU_GOVERNOR_FILE, "powersave"),
        ];
        let text = sysctl_file(&inspect(&WORKLOAD, PAGE_BYTES, on(&files)), 12_000);
        let settings: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(settings, ["net.core.somaxconn = 4096"]);
        assert!(text.starts_with("# pixi-game-server for 12000 players\n"), "{text}");
    }
}
