//! What of the kernel limits how many players a box can serve: each setting, its value, what so many players need, and
//! why. The server warns of what would bite, the tool `tune` shows and changes all of it. Pure: files are read by whoever
//! asks.

use std::fmt::Write as _;

use crate::limits::{
    ADMIN_CONNECTIONS_MAX, DESCRIPTORS_OVERHEAD, HTTP_CONNECTIONS_MAX, LISTEN_BACKLOG_USEFUL,
    SEND_BUFFER_BYTES,
};

/// Where the kernel keeps what `sysctl` names.
const SYSCTL_FOLDER: &str = "/proc/sys";

/// Where the limits of the process that asks are.
pub const OWN_LIMITS: &str = "/proc/self/limits";

/// How the first core chooses its clock rate, where it has a choice; the others are named alike.
pub const GOVERNOR: &str = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

/// How much memory the machine has.
const MEMORY: &str = "/proc/meminfo";

/// Size of a page, in which `tcp_mem` counts.
const PAGE_BYTES: u64 = 4096;

/// What the kernel holds for a player whose line keeps up, in pages: some rounding on either side.
const PAGES_A_PLAYER: u64 = 2;

/// The most it holds for one who takes nothing: the send buffer, which it counts twice, and what came in unread.
const PAGES_A_PLAYER_MAX: u64 = (3 * SEND_BUFFER_BYTES) as u64 / PAGE_BYTES;

/// How much of the memory sockets may have, one part in so many, however many players are wanted.
const MEMORY_SHARE: u64 = 4;

/// Connections that conntrack remembers for minutes after their end, for each that is open.
const TRACKED_A_PLAYER: u64 = 2;

/// The ports that can be had without stepping on well-known ones.
const PORTS_WANTED: (u64, u64) = (1024, 65_535);

/// What is to be served on the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Players at a time.
    pub players: u64,
    /// A proxy on the same machine passes them on, each over a local port of its own.
    pub is_proxy_local: bool,
}

impl Demand {
    /// Descriptors the server needs.
    pub fn open_files(&self) -> u64 {
        self.players + HTTP_CONNECTIONS_MAX as u64 + ADMIN_CONNECTIONS_MAX as u64 + DESCRIPTORS_OVERHEAD
    }
}

/// A setting of the box, and what this demand asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As `sysctl` names it; what is no sysctl has a name in words.
    pub name: &'static str,
    /// Its value, fields separated by a blank.
    pub value: String,
    /// The value it should have, in the same form.
    pub wanted: String,
    /// Whether the value will do.
    pub is_met: bool,
    /// Players would be turned away, or dropped, at this demand: worth a warning at the start.
    pub bites: bool,
    /// What it is about.
    pub why: &'static str,
}

impl Finding {
    /// The command that sets it, as root.
    pub fn command(&self) -> String {
        match self.name {
            OPEN_FILES => format!("prlimit --pid $$ --nofile={0}:{0}", self.wanted),
            CPU_GOVERNOR => "cpupower frequency-set --governor performance".to_owned(),
            name if self.wanted.contains(' ') => format!("sysctl -w {name}=\"{}\"", self.wanted),
            name => format!("sysctl -w {name}={}", self.wanted),
        }
    }

    /// The file behind it, where writing it is all there is to do.
    pub fn path(&self) -> Option<String> {
        self.is_sysctl().then(|| path_of(self.name))
    }

    /// Whether `sysctl` knows it.
    pub fn is_sysctl(&self) -> bool {
        self.name != OPEN_FILES && self.name != CPU_GOVERNOR
    }
}

/// The name of the limit of open files.
pub const OPEN_FILES: &str = "open files (ulimit -n)";

/// The name of the choice of clock rates.
pub const CPU_GOVERNOR: &str = "CPU frequency governor";

/// A setting in numbers: the name, the least its fields should be, whether missing that bites, and why.
struct Rule {
    name: &'static str,
    wanted: fn(&Demand) -> Vec<u64>,
    /// Below these fields players would notice.
    bites_below: fn(&Demand) -> Vec<u64>,
    why: &'static str,
}

const NOBODY: fn(&Demand) -> Vec<u64> = |_| Vec::new();

/// In the order in which a connection meets them.
const RULES: [Rule; 9] = [
    Rule {
        name: "fs.nr_open",
        wanted: |demand| vec![demand.open_files()],
        bites_below: NOBODY, // The limit of open files says so itself.
        why: "the most open files a process may be allowed",
    },
    Rule {
        name: "fs.file-max",
        wanted: |demand| vec![2 * demand.open_files()],
        bites_below: |demand| vec![demand.open_files()],
        why: "open files of all processes together",
    },
    Rule {
        name: "net.core.somaxconn",
        wanted: |demand| vec![queue(demand)],
        bites_below: |demand| vec![queue(demand) / 4],
        why: "connections that wait to be accepted; when it is full, players who all come at once wait seconds for a retry",
    },
    Rule {
        name: "net.ipv4.tcp_max_syn_backlog",
        wanted: |demand| vec![queue(demand)],
        bites_below: NOBODY, // Cookies take over, unless somebody has switched them off.
        why: "connections that are being opened",
    },
    Rule {
        name: "net.netfilter.nf_conntrack_max",
        wanted: |demand| vec![TRACKED_A_PLAYER * demand.players + 10_000],
        bites_below: |demand| vec![demand.players + 1_000],
        why: "connections the firewall remembers; when it is full, new ones are dropped without a word",
    },
    Rule {
        name: "net.core.wmem_max",
        wanted: |_| vec![SEND_BUFFER_BYTES as u64],
        bites_below: NOBODY, // A smaller buffer serves slow lines worse, and nobody else.
        why: "the most the server may ask for as a send buffer; it asks for 64 KiB",
    },
    Rule {
        name: "net.ipv4.tcp_rmem",
        wanted: |_| vec![4_096, 16_384, 65_536],
        bites_below: NOBODY,
        why: "least, usual and most bytes of a receive buffer; a player's messages are a dozen bytes each",
    },
    Rule {
        name: "net.ipv4.tcp_wmem",
        wanted: |_| vec![4_096, 16_384, SEND_BUFFER_BYTES as u64],
        bites_below: NOBODY,
        why: "the same for send buffers",
    },
    Rule {
        name: "net.core.netdev_max_backlog",
        wanted: |demand| vec![(demand.players / 2).clamp(1_000, 10_000)],
        bites_below: NOBODY, // What is dropped is sent again.
        why: "packets that wait for a processor; updates leave in bursts, and so do a proxy's",
    },
];

/// Length of the queue of new connections that is worth having.
fn queue(demand: &Demand) -> u64 {
    demand.players.clamp(128, LISTEN_BACKLOG_USEFUL)
}

/// What the box has for this demand. `read` gives a file's text; what can't be read is left out.
pub fn examine(demand: &Demand, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let limit = read(OWN_LIMITS).and_then(|limits| open_files(&limits));
    let mut findings: Vec<Finding> = limit.map(|limit| judge_open_files(demand, limit)).into_iter().collect();
    let memory_pages = read(MEMORY).and_then(|text| memory_bytes(&text)).map(|bytes| bytes / PAGE_BYTES);
    for rule in &RULES {
        findings.extend(numbers(&read, rule.name).and_then(|values| judge(rule, demand, &values)));
    }
    findings.extend(judge_memory(demand, &numbers(&read, TCP_MEM).unwrap_or_default(), memory_pages));
    findings.extend(numbers(&read, PORTS).and_then(|values| judge_ports(demand, &values)));
    findings.extend(read(GOVERNOR).map(|name| judge_governor(name.trim())));
    findings
}

/// Settings that are to be changed, in the form of a file for `/etc/sysctl.d`, each with its reason.
pub fn sysctl_file(findings: &[Finding], players: u64) -> String {
    let mut text = format!("# pixi-game-server for {players} players\n");
    for finding in findings.iter().filter(|finding| finding.is_sysctl() && !finding.is_met) {
        let (name, wanted, value) = (finding.name, &finding.wanted, &finding.value);
        let _ = write!(text, "\n# {}; it was {value}\n{name} = {wanted}\n", finding.why);
    }
    text
}

fn path_of(name: &str) -> String {
    format!("{SYSCTL_FOLDER}/{}", name.replace('.', "/"))
}

fn numbers(read: impl Fn(&str) -> Option<String>, name: &str) -> Option<Vec<u64>> {
    read(&path_of(name))?.split_whitespace().map(|field| field.parse().ok()).collect()
}

/// The soft limit in the text of `/proc/self/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// All the memory of the machine, in the text of `/proc/meminfo`.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn spaced(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// Raises fields and never lowers one: what is larger was somebody's choice.
fn raised(values: &[u64], least: &[u64]) -> Vec<u64> {
    values
        .iter()
        .enumerate()
        .map(|(index, &value)| value.max(least.get(index).copied().unwrap_or(0)))
        .collect()
}

fn judge(rule: &Rule, demand: &Demand, values: &[u64]) -> Option<Finding> {
    let wanted = raised(values, &(rule.wanted)(demand));
    let bites = raised(values, &(rule.bites_below)(demand)) != values;
    (!values.is_empty()).then(|| finding(rule.name, rule.why, values, &wanted, bites))
}

fn finding(name: &'static str, why: &'static str, values: &[u64], wanted: &[u64], bites: bool) -> Finding {
    let is_met = values == wanted;
    Finding { name, value: spaced(values), wanted: spaced(wanted), is_met, bites, why }
}

/// The server raises its own limit and says what is missing, so that it bites there and not here.
fn judge_open_files(demand: &Demand, limit: u64) -> Finding {
    let wanted = demand.open_files().max(limit);
    let why = "one a player, some hundred beside; the server raises its own as far as it may";
    finding(OPEN_FILES, why, &[limit], &[wanted], false)
}

const TCP_MEM: &str = "net.ipv4.tcp_mem";

/// Three thresholds in pages: fine below the first, thrift from the second on, nothing beyond the third.
fn judge_memory(demand: &Demand, values: &[u64], memory_pages: Option<u64>) -> Option<Finding> {
    let &[_, _, most] = values else { return None };
    let share = memory_pages? / MEMORY_SHARE;
    let usual = (demand.players * PAGES_A_PLAYER).min(share);
    let wanted = (demand.players * PAGES_A_PLAYER_MAX).clamp(usual, share.max(usual));
    let wanted = raised(values, &[usual, usual, wanted]);
    let why = "pages that all sockets may hold together; beyond them nobody is sent anything";
    Some(finding(TCP_MEM, why, values, &wanted, most < demand.players * PAGES_A_PLAYER))
}

const PORTS: &str = "net.ipv4.ip_local_port_range";

fn judge_ports(demand: &Demand, values: &[u64]) -> Option<Finding> {
    let &[first, last] = values else { return None };
    let is_met = (last + 1).saturating_sub(first) >= demand.players + 1_000;
    let (from, to) = PORTS_WANTED;
    let wanted = if is_met { vec![first, last] } else { vec![from.min(first), to.max(last)] };
    let why =
        "ports for connections that begin here: a proxy on this machine, or a load test, needs one a player";
    Some(finding(PORTS, why, values, &wanted, !is_met && demand.is_proxy_local))
}

/// Cores that clock down between ticks take their time to clock up.
fn judge_governor(name: &str) -> Finding {
    Finding {
        name: CPU_GOVERNOR,
        value: name.to_owned(),
        wanted: "performance".to_owned(),
        is_met: name == "performance",
        bites: false,
        why: "cores that slow down between ticks take their time to get fast again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand { players: 12_000, is_proxy_local: false };
    const MEMORY_KIB: u64 = 8 << 20;

    /// A box with these files and no others.
    fn on<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    fn only(demand: &Demand, path: &str, text: &str) -> Finding {
        let memory = format!("MemTotal:        {MEMORY_KIB} kB\nMemFree: 1 kB\n");
        let findings = examine(demand, on(&[(path, text), (MEMORY, &memory)]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.into_iter().next().unwrap()
    }

    #[test]
    fn what_is_large_enough_is_left_alone() {
        let found = only(&DEMAND, "/proc/sys/net/core/somaxconn", "8192\n");
        assert_eq!((found.value.as_str(), found.wanted.as_str(), found.is_met), ("8192", "8192", true));
        assert!(!found.bites);
    }

    #[test]
    fn a_short_queue_bites_only_when_it_is_far_too_short() {
        let short = only(&DEMAND, "/proc/sys/net/core/somaxconn", "2048\n");
        assert_eq!((short.is_met, short.bites), (false, false));
        let shorter = only(&DEMAND, "/proc/sys/net/core/somaxconn", "128\n");
        assert_eq!((shorter.is_met, shorter.bites), (false, true));
        assert_eq!(shorter.command(), "sysctl -w net.core.somaxconn=4096");
        let few = Demand { players: 100, ..DEMAND };
        assert!(only(&few, "/proc/sys/net/core/somaxconn", "128\n").is_met);
    }

    #[test]
    fn a_field_that_is_too_small_is_raised_alone() {
        let found = only(&DEMAND, "/proc/sys/net/ipv4/tcp_rmem", "4096\t8192\t6291456\n");
        assert_eq!(found.wanted, "4096 16384 6291456");
        assert_eq!(found.command(), "sysctl -w net.ipv4.tcp_rmem=\"4096 16384 6291456\"");
        assert!(!found.is_met && !found.bites);
    }

    #[test]
    fn memory_for_sockets_is_wanted_up_to_a_share_of_the_machine() {
        let path = "/proc/sys/net/ipv4/tcp_mem";
        let plenty = only(&DEMAND, path, "30000 40000 600000");
        assert_eq!((plenty.wanted.as_str(), plenty.is_met), ("30000 40000 600000", true));
        let little = only(&DEMAND, path, "10000 13000 20000");
        assert_eq!(little.wanted, format!("24000 24000 {}", MEMORY_KIB / 4 / 4));
        assert!(little.bites, "12,000 players need 24,000 pages");
        let small = [(path, "1000 1000 1000"), (MEMORY, "MemTotal: 262144 kB")];
        assert_eq!(examine(&DEMAND, on(&small))[0].wanted, "16384 16384 16384");
    }

    #[test]
    fn local_ports_bite_only_where_a_proxy_needs_them() {
        let path = "/proc/sys/net/ipv4/ip_local_port_range";
        assert!(only(&DEMAND, path, "32768 60999").is_met);
        let many = Demand { players: 40_000, ..DEMAND };
        let found = only(&many, path, "32768 60999");
        assert_eq!((found.wanted.as_str(), found.bites), ("1024 65535", false));
        assert!(only(&Demand { is_proxy_local: true, ..many }, path, "32768 60999").bites);
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one_of_the_process() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 \
                      524288               files\n";
        let found = only(&DEMAND, OWN_LIMITS, limits);
        assert_eq!((found.value.as_str(), found.wanted.as_str()), ("1024", "12560"));
        assert_eq!(found.command(), "prlimit --pid $$ --nofile=12560:12560");
        assert!(only(&DEMAND, OWN_LIMITS, "Max open files unlimited unlimited files").is_met);
    }

    #[test]
    fn what_can_not_be_read_or_understood_is_left_out() {
        assert_eq!(examine(&DEMAND, |_| None), []);
        assert_eq!(examine(&DEMAND, |path| (path != GOVERNOR).then(|| "many".to_owned())), []);
    }

    #[test]
    fn the_file_for_sysctl_has_what_is_to_change_and_nothing_else() {
        let box_of = [
            ("/proc/sys/net/core/somaxconn", "128"),
            ("/proc/sys/fs/nr_open", "1048576"),
            (GOVERNOR, "powersave"),
        ];
        let text = sysctl_file(&examine(&DEMAND, on(&box_of)), 12_000);
        let settings: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(settings, ["net.core.somaxconn = 4096"]);
        assert!(text.starts_with("# pixi-game-server for 12000 players\n"), "{text}");
    }
}
