//! One run: servers, load tests, and the figures of both in the same window.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use game_client::Failure;
use serde_json::Value as Json;

use crate::cluster::local::{LocalCluster, Node};
use crate::figures::{Run, number};
use crate::kernel::Usage;
use crate::load::rows::CONNECT_RATE;
use crate::process::Process;
use crate::stage::Stage;

/// Most clients of a load test, within the usual limit of 20,000 open files.
const CLIENTS_MAX: usize = 19_000;

/// Time between the last join and the measured window: the load governor restores a level after three seconds of calm.
const WARM_UP: Duration = Duration::from_secs(15);

/// Measured time of the load tests beyond the window, whose ends they don't know, in seconds.
const SLACK_S: u64 = 4;

/// Longest time until all players have joined, and without another one. The load tests report those that could not.
const JOIN_PATIENCE: Duration = Duration::from_mins(3);
const QUIET_PATIENCE: Duration = Duration::from_secs(12);

/// Longest time of a load test after the window.
const END_PATIENCE: Duration = Duration::from_mins(2);

/// Interval of the samples of the servers' quality.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Figures of the servers that are averaged over window and processes.
const SAMPLED: [&str; 3] = ["flush_interval_ms", "max_visible", "governor_level"];

/// Figures of the load tests that are averaged over them.
const OF_LOAD: [&str; 5] = ["ack_mean_ms", "ack_p99_ms", "to_screen_mean_ms", "moves_per_s", "replicas"];

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Players.
    pub clients: usize,
    /// Flags of each player's behavior.
    pub flags: String,
    /// Measured time, in seconds.
    pub seconds: u64,
}

/// The figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Figures by their keys.
    pub figures: BTreeMap<&'static str, f64>,
    /// Losses and faults.
    pub problems: Vec<String>,
    /// Statements about load tests that were late.
    pub remarks: Vec<String>,
}

impl Load {
    /// Returns the load of a row, whose flags start with the number of clients.
    pub fn of_row(flags: &str, seconds: u64) -> Load {
        let mut words = flags.split_whitespace().skip_while(|word| *word != "--clients").skip(1);
        let clients = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        Load { clients, flags: words.collect::<Vec<_>>().join(" "), seconds }
    }

    /// Returns the flags of each load test.
    pub fn commands(&self, metrics: &str) -> Vec<String> {
        let count = self.clients.div_ceil(CLIENTS_MAX);
        let rate = CONNECT_RATE.parse::<usize>().unwrap_or(1_000) / count;
        (0..count)
            .map(|number| {
                // The first ones take the remainder.
                let clients = self.clients / count + usize::from(number < self.clients % count);
                format!(
                    "--clients {clients} {} --read-every 5s --connect-rate {rate} --warm-up {}s --duration {}s --seed {} \
                     --metrics {metrics}",
                    self.flags,
                    WARM_UP.as_secs(),
                    self.seconds + SLACK_S,
                    number + 1
                )
            })
            .collect()
    }
}

/// CPU time of the processes of a run, in seconds.
struct Cpu {
    servers: f64,
    redis: f64,
    loads: f64,
}

impl Cpu {
    fn now(cluster: &LocalCluster<'_>, loads: &[Process]) -> Cpu {
        let of = |process: &Process| Usage::of(process.id()).map_or(0.0, |usage| usage.cpu_s);
        Cpu {
            servers: cluster.nodes.iter().flat_map(|node| &node.process).map(of).sum(),
            redis: cluster.redis.as_ref().map_or(0.0, of),
            loads: loads.iter().map(of).sum(),
        }
    }
}

/// Runs a load against `processes` servers.
///
/// # Errors
/// A program does not run, players can't join, or Ctrl-C was pressed. Faults of the servers are results.
pub fn run(stage: &Stage, processes: usize, load: &Load) -> Result<Sample, Failure> {
    let cluster = LocalCluster::start_shared(stage, processes, None)?;
    let commands = load.commands(&cluster.metrics_addresses());
    let start = |flags: &String| stage.start_load(cluster.address(), flags);
    let mut loads = commands.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let (mut joined, mut since) = (0, Instant::now());
    stage.interrupt.wait_for(JOIN_PATIENCE, || {
        let players = cluster.players();
        if players > joined {
            (joined, since) = (players, Instant::now());
        }
        let is_over = joined >= load.clients as u64 || since.elapsed() > QUIET_PATIENCE;
        Ok(is_over.then_some(()))
    })?;
    stage.interrupt.sleep(WARM_UP)?;

    let (before, began) = (Cpu::now(&cluster, &loads), Instant::now());
    let mut sampled = vec![Vec::new(); SAMPLED.len()];
    while began.elapsed() < Duration::from_secs(load.seconds) {
        stage.interrupt.sleep(SAMPLE_INTERVAL)?;
        for metrics in cluster.nodes.iter().filter_map(Node::metrics) {
            for (values, key) in sampled.iter_mut().zip(SAMPLED) {
                values.extend(metrics[key].as_f64());
            }
        }
    }
    let (after, seconds) = (Cpu::now(&cluster, &loads), began.elapsed().as_secs_f64());

    let mut results = Vec::new();
    for load in &mut loads {
        load.wait(&stage.interrupt, END_PATIENCE)?;
        results.push(load.results()?);
    }
    let mut sample = of_loads(&results);
    let means = SAMPLED.into_iter().zip(sampled).filter_map(|(key, values)| Some((key, mean(&values)?)));
    sample.figures.extend(means);
    sample.figures.extend([
        ("server_cpu_s", after.servers - before.servers),
        ("redis_cpu_s", after.redis - before.redis),
        ("load_cpu_s", after.loads - before.loads),
        ("server_cores", (after.servers - before.servers) / seconds),
        ("cpu_us_per_player_s", (after.servers - before.servers) / seconds / load.clients as f64 * 1e6),
        ("players", joined as f64),
    ]);
    Ok(sample)
}

/// Returns the figures of all load tests of a run: sums of counts and rates, means of times.
fn of_loads(results: &[Json]) -> Sample {
    let runs: Vec<Run> = results.iter().map(Run::of).collect();
    let mut sample = Sample::default();
    for key in OF_LOAD {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.figures.get(key).copied()).collect();
        let is_sum = !key.ends_with("_ms");
        let value = if is_sum { Some(values.iter().sum()) } else { mean(&values) };
        sample.figures.extend(value.filter(|_| !values.is_empty()).map(|value| (key, value)));
    }
    let joined: Vec<f64> =
        results.iter().filter_map(|load| number(load, "/connections/joined_in_s")).collect();
    sample.figures.extend(joined.into_iter().reduce(f64::max).map(|seconds| ("joined_in_s", seconds)));
    sample.problems = runs.iter().flat_map(|run| run.problems.clone()).collect();
    sample.remarks = runs.iter().flat_map(|run| run.remarks.clone()).collect();
    sample
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn clients_are_divided_between_load_tests_within_their_descriptors() {
        let load = Load::of_row("--clients 36001 --moves-per-second 2", 10);
        let commands = load.commands("127.0.0.1:1,127.0.0.1:2");
        assert_eq!(commands.len(), 2);
        assert!(
            commands[0]
                .starts_with("--clients 18001 --moves-per-second 2 --read-every 5s --connect-rate 750 ")
        );
        assert!(commands[1].starts_with("--clients 18000 ") && commands[1].contains("--seed 2"));
        assert_eq!(Load { clients: CLIENTS_MAX, ..load }.commands("").len(), 1);
    }

    #[test]
    fn times_are_averaged_and_rates_are_added() {
        let load = |ack: f64, problem: &str| {
            json!({
                "problems": [problem],
                "ack_ms": { "count": 1, "mean": ack },
                "traffic": { "moves_per_s": 100.0 },
                "pictures": { "compared": 50 },
                "connections": { "joined_in_s": ack },
                "generator": { "kept_up": true },
            })
        };
        let sample = of_loads(&[load(1.0, "one"), load(3.0, "two")]);
        let figure = |key| sample.figures.get(key).copied();
        assert_eq!(figure("ack_mean_ms"), Some(2.0));
        assert_eq!(figure("moves_per_s"), Some(200.0));
        assert_eq!(figure("replicas"), Some(100.0));
        assert_eq!(figure("joined_in_s"), Some(3.0));
        assert_eq!((figure("to_screen_mean_ms"), sample.problems.len()), (None, 2));
    }
}
