//! Cost of the bus: bytes and CPU time per player, with all players on one, two and three servers.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use serde_json::Value as Json;

use super::local::{LocalCluster, NAMES, Node};
use crate::figures::number;
use crate::kernel::Usage;
use crate::process::Process;
use crate::stage::Stage;

const CLIENTS: u64 = 3_000;
const LOAD: &str = "--clients 3000 --moves-per-second 2 --duration 40s";

/// Duration of the measurement, after all players have joined and settled.
const MEASURED: Duration = Duration::from_secs(20);

/// Returns cumulative CPU time of all servers, of Redis and of the balancer, in seconds, and totals of the bus: bytes
/// published, bytes received, messages published.
fn totals(cluster: &LocalCluster<'_>) -> Result<[f64; 6], Failure> {
    let silent = |node: &Node| Failure::Failed(format!("{} does not respond", node.name));
    let metrics = cluster.nodes.iter().map(|node| node.metrics().ok_or_else(|| silent(node)));
    let metrics: Vec<Json> = metrics.collect::<Result<_, _>>()?;
    let sum = |path: &str| metrics.iter().filter_map(|metrics| number(metrics, path)).sum::<f64>();
    let cpu_s = |process: &Option<Process>| {
        process.as_ref().and_then(|it| Usage::of(it.id())).unwrap_or_default().cpu_s
    };
    Ok([
        sum("/cpu_ns_total") / 1e9,
        cpu_s(&cluster.redis),
        cpu_s(&cluster.proxy),
        sum("/cluster/bus_bytes_out_total"),
        sum("/cluster/bus_bytes_in_total"),
        sum("/cluster/bus_messages_out_total"),
    ])
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
        let _load = stage.start_load(cluster.address(), LOAD)?;
        interrupt
            .wait_for(Duration::from_secs(30), || Ok((cluster.players() == CLIENTS).then_some(())))?
            .ok_or_else(|| Failure::Failed("not all players have joined".to_owned()))?;
        interrupt.sleep(Duration::from_secs(8))?;
        let (before, began) = (totals(&cluster)?, Instant::now());
        interrupt.sleep(MEASURED)?;
        let (after, seconds) = (totals(&cluster)?, began.elapsed().as_secs_f64());
        let [servers, redis, proxy, published, received, messages] =
            std::array::from_fn(|index| (after[index] - before[index]) / seconds);
        let (us, bytes) = (servers * 1e6 / CLIENTS as f64, published / CLIENTS as f64);
        let (published, received) = (published / 1e3, received / 1e3);
        let _ = writeln!(
            text,
            "| {count} | {servers:.2} | {us:.0} | {redis:.2} | {proxy:.2} | {published:.1} | {bytes:.1} | {received:.1} \
             | {messages:.0} |",
        );
    }
    Ok(text)
}
