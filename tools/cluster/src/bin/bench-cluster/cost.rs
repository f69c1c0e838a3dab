//! What the bus costs: bytes and processor time for each player, with all on one server, on two and on three.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cluster::{NAMES, Stand};
use stage::console::progress;
use stage::{Failure, Interrupt, Process};

const CLIENTS: u64 = 3_000;
const LOAD: &str = "--clients 3000 --moves-per-second 2 --duration 40s";

/// How long it is measured, once all are there and have settled.
const MEASURED: Duration = Duration::from_secs(20);

/// Clock ticks of the kernel a second (`USER_HZ`), the same on every machine it runs on.
const TICKS_PER_S: f64 = 100.0;

/// What had been used up at a moment.
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
    fn read(stand: &Stand) -> Result<Meter, Failure> {
        let (mut servers_ns, mut bytes_out, mut bytes_in, mut messages_out) = (0, 0, 0, 0);
        for node in &stand.nodes {
            let metrics =
                node.metrics().ok_or_else(|| Failure::Failed(format!("{} does not answer", node.name())))?;
            servers_ns += metrics["cpu_ns_total"].as_u64().unwrap_or(0);
            let of = |name: &str| metrics["cluster"][name].as_u64().unwrap_or(0);
            bytes_out += of("bus_bytes_out_total");
            bytes_in += of("bus_bytes_in_total");
            messages_out += of("bus_messages_out_total");
        }
        let [redis_s, proxy_s] = stand.helpers().map(|pid| pid.map_or(0.0, cpu_s));
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

/// Processor time of a process, in seconds.
fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What follows the name, which may hold anything; user and system time are the 14th and 15th field of all.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// The part as Markdown.
pub fn measure(interrupt: &Interrupt) -> Result<String, Failure> {
    let mut text = format!(
        "`loadtest {LOAD}` behind HAProxy, {} s of it. All {CLIENTS} players stand in one crowd and move, and every server shows its \
         players the 128 nearest of all: the worst case for the bus, since everybody wants to know about everybody.\n\n\
         | servers | CPU of all servers, cores | us a player and second | Redis, cores | HAProxy, cores | bus, kB/s said | bytes \
         a player and second | kB/s heard | messages/s said |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        MEASURED.as_secs()
    );
    for count in 1..=NAMES.len() {
        progress(format_args!("{CLIENTS} players on {count}"));
        let stand = Stand::start(count, None, interrupt)?;
        let mut command = stand.program("loadtest");
        command.args(["--server", &format!("ws://{}/ws", stand.address())]).args(LOAD.split(' '));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _load = Process::start("loadtest", &mut command)?;
        let all = || {
            let players = stand.nodes.iter().filter_map(|node| node.metrics()?["players"].as_u64());
            Ok((players.sum::<u64>() == CLIENTS).then_some(()))
        };
        interrupt
            .wait_for(Duration::from_secs(30), all)?
            .ok_or_else(|| Failure::Failed("the players are not all there".to_owned()))?;
        interrupt.sleep(Duration::from_secs(8))?;
        let before = Meter::read(&stand)?;
        interrupt.sleep(MEASURED)?;
        let after = Meter::read(&stand)?;
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
