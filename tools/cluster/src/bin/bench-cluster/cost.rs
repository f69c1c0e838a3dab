//! Cost of the bus: bytes and CPU time per player, with all players on one, two and three servers.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cluster::{LocalCluster, NAMES};
use game_client::console::progress;
use game_client::{Failure, Interrupt};
use stage::Process;

const CLIENTS: u64 = 3_000;
const LOAD: &str = "--clients 3000 --moves-per-second 2 --duration 40s";

/// Duration of the measurement, after all players have joined and settled.
const MEASURED: Duration = Duration::from_secs(20);

/// Kernel clock ticks per second (`USER_HZ`), the same on all machines.
const TICKS_PER_S: f64 = 100.0;

/// Cumulative resource usage at one point in time.
struct Meter {
    at: Instant,
    servers_s: f64,
    redis_s: f64,
    proxy_s: f64,
    bus_bytes_out: u64,
    bus_bytes_in: u64,
    bus_messages_out: u64,
}

impl Meter {
    fn read(cluster: &LocalCluster) -> Result<Meter, Failure> {
        let (mut servers_ns, mut bytes_out, mut bytes_in, mut messages_out) = (0, 0, 0, 0);
        for node in &cluster.nodes {
            let metrics =
                node.metrics().ok_or_else(|| Failure::Failed(format!("{} does not respond", node.name())))?;
            servers_ns += metrics["cpu_ns_total"].as_u64().unwrap_or(0);
            let of = |name: &str| metrics["cluster"][name].as_u64().unwrap_or(0);
            bytes_out += of("bus_bytes_out_total");
            bytes_in += of("bus_bytes_in_total");
            messages_out += of("bus_messages_out_total");
        }
        let [redis_s, proxy_s] = cluster.helpers().map(|pid| pid.map_or(0.0, cpu_s));
        Ok(Meter {
            at: Instant::now(),
            servers_s: servers_ns as f64 / 1e9,
            redis_s,
            proxy_s,
            bus_bytes_out: bytes_out,
            bus_bytes_in: bytes_in,
            bus_messages_out: messages_out,
        })
    }
}

/// CPU time of a process, in seconds.
fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Splits after the name, which may contain anything. User and system time are fields 14 and 15 of the line.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Measures the cost. Returns a Markdown section.
pub fn measure(interrupt: &Interrupt) -> Result<String, Failure> {
    let mut text = format!(
        "`loadtest {LOAD}` behind HAProxy, measured over {} s. All {CLIENTS} players move in one crowd, and every server shows its \
         players the 128 nearest ones: the worst case for the bus, since every node subscribes to every region.\n\n\
         | servers | CPU of all servers, cores | us per player and second | Redis, cores | HAProxy, cores | bus, kB/s published | bytes \
         per player and second | kB/s received | messages/s published |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        MEASURED.as_secs()
    );
    for count in 1..=NAMES.len() {
        progress(format_args!("{CLIENTS} players on {count}"));
        let cluster = LocalCluster::start(count, None, interrupt)?;
        let mut command = cluster.program("loadtest");
        command.args(["--server", &format!("ws://{}/ws", cluster.address())]).args(LOAD.split(' '));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _load = Process::start("loadtest", &mut command)?;
        let all = || {
            let players = cluster.nodes.iter().filter_map(|node| node.metrics()?["players"].as_u64());
            Ok((players.sum::<u64>() == CLIENTS).then_some(()))
        };
        interrupt
            .wait_for(Duration::from_secs(30), all)?
            .ok_or_else(|| Failure::Failed("not all players have joined".to_owned()))?;
        interrupt.sleep(Duration::from_secs(8))?;
        let before = Meter::read(&cluster)?;
        interrupt.sleep(MEASURED)?;
        let after = Meter::read(&cluster)?;
        let seconds = (after.at - before.at).as_secs_f64();
        let rate = |before: f64, after: f64| (after - before) / seconds;
        let servers = rate(before.servers_s, after.servers_s);
        let said = (after.bus_bytes_out - before.bus_bytes_out) as f64 / seconds;
        let heard = (after.bus_bytes_in - before.bus_bytes_in) as f64 / seconds;
        let messages = (after.bus_messages_out - before.bus_messages_out) as f64 / seconds;
        let _ = writeln!(
            text,
            "| {count} | {servers:.2} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {messages:.0} |",
            servers * 1e6 / CLIENTS as f64,
            rate(before.redis_s, after.redis_s),
            rate(before.proxy_s, after.proxy_s),
            said / 1e3,
            said / CLIENTS as f64,
            heard / 1e3,
        );
    }
    Ok(text)
}
