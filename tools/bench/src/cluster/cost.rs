//! Cost of the bus: bytes and CPU time per player, with all players on one, two and three servers.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use serde_json::Value as Json;

use super::local::{LocalCluster, NAMES, Node};
use crate::figures::number;
use crate::kernel::cpu_s;
use crate::process::Process;
use crate::stage::Stage;

const CLIENTS: u64 = 3_000;
const LOAD: &str = "--clients 3000 --moves-per-second 2 --duration 40s";

/// Duration of the measurement, after all players have joined and settled.
const MEASURED: Duration = Duration::from_secs(20);

/// Cumulative resource usage at one point in time.
struct Meter {
    at: Instant,
    servers_s: f64,
    redis_s: f64,
    proxy_s: f64,
    bus_bytes_out: f64,
    bus_bytes_in: f64,
    bus_messages_out: f64,
}

impl Meter {
    fn read(cluster: &LocalCluster<'_>) -> Result<Meter, Failure> {
        let silent = |node: &Node| Failure::Failed(format!("{} does not respond", node.name));
        let metrics = cluster.nodes.iter().map(|node| node.metrics().ok_or_else(|| silent(node)));
        let metrics: Vec<Json> = metrics.collect::<Result<_, _>>()?;
        let sum = |path: &str| metrics.iter().filter_map(|metrics| number(metrics, path)).sum::<f64>();
        let cpu_s = |process: &Option<Process>| process.as_ref().and_then(|it| cpu_s(it.id())).unwrap_or(0.0);
        Ok(Meter {
            at: Instant::now(),
            servers_s: sum("/cpu_ns_total") / 1e9,
            redis_s: cpu_s(&cluster.redis),
            proxy_s: cpu_s(&cluster.proxy),
            bus_bytes_out: sum("/cluster/bus_bytes_out_total"),
            bus_bytes_in: sum("/cluster/bus_bytes_in_total"),
            bus_messages_out: sum("/cluster/bus_messages_out_total"),
        })
    }
}

/// Measures the cost. Returns a Markdown section.
pub fn measure(stage: &Stage) -> Result<String, Failure> {
    let interrupt = &stage.interrupt;
    let mut text = format!(
        "`loadtest {LOAD}` behind HAProxy, measured over {} s. All {CLIENTS} players move in one crowd, and every server shows its \
         players the 128 nearest ones: the worst case for the bus, since every node subscribes to every region.\n\n\
         | servers | CPU of all servers, cores | us per player and second | Redis, cores | HAProxy, cores | bus, kB/s published | bytes \
         per player and second | kB/s received | messages/s published |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        MEASURED.as_secs()
    );
    for count in 1..=NAMES.len() {
        progress(format_args!("{CLIENTS} players on {count}"));
        let cluster = LocalCluster::start(stage, count, None)?;
        let mut command = stage.load_test(cluster.address(), LOAD);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let _load = Process::start("loadtest", &mut command)?;
        interrupt
            .wait_for(Duration::from_secs(30), || Ok((cluster.players() == CLIENTS).then_some(())))?
            .ok_or_else(|| Failure::Failed("not all players have joined".to_owned()))?;
        interrupt.sleep(Duration::from_secs(8))?;
        let before = Meter::read(&cluster)?;
        interrupt.sleep(MEASURED)?;
        let after = Meter::read(&cluster)?;
        let seconds = (after.at - before.at).as_secs_f64();
        let rate = |before: f64, after: f64| (after - before) / seconds;
        let servers = rate(before.servers_s, after.servers_s);
        let said = rate(before.bus_bytes_out, after.bus_bytes_out);
        let heard = rate(before.bus_bytes_in, after.bus_bytes_in);
        let messages = rate(before.bus_messages_out, after.bus_messages_out);
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
