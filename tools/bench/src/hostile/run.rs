//! One pair: the load test alone, and beside the hostile peers.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use game_client::Failure;
use game_client::console::progress;
use loadtest::hostile::attack::Attack;
use pixi_game_server::server::driver::os::page_bytes;
use serde::Serialize;
use serde_json::Value as Json;

use super::Plan;
use crate::figures::{MIB, Run};
use crate::kernel::{Usage, descriptors, tcp_pages};
use crate::process::{Process, Scratch};
use crate::stage::{Server, Stage};

/// Maximum time until the hostile peers are connected, and until the server has closed them; exceeds every timeout of the server.
const PEERS_PATIENCE: Duration = Duration::from_secs(100);

/// Fraction of the hostile peers that must be connected before the players start; some are always reconnecting.
const PEERS_PART: f64 = 0.5;

/// Longer than any run; this program ends the hostile peers.
const HOSTILE_DURATION: &str = "24h";

/// The file that a healthy client downloads slowly, and its size: four seconds at 1 MiB/s.
const DOWNLOAD: &str = "download.bin";
const DOWNLOAD_BYTES: usize = 4 << 20;

/// The results of a pair.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pair {
    /// Results of the load test alone.
    pub alone: Run,
    /// Results of the load test beside the hostile peers.
    pub beside: Run,
    /// Results of the hostile peers.
    pub hostile: Json,
    /// Footprint of the server before the first connection.
    pub before: Footprint,
    /// Maximum footprint during the load.
    pub with: Footprint,
    /// Footprint after all connections have closed.
    pub after: Footprint,
}

/// Memory of the server in MiB, its descriptors, and the kernel's memory for TCP sockets of the whole machine in MiB,
/// which belongs to no process and includes both ends of each connection.
pub type Footprint = [f64; 3];

/// Time between two samples of the footprint.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Measures a process; zeros for values that the kernel does not provide.
fn footprint(pid: u32) -> Footprint {
    let (resident, open) = (Usage::of(pid).unwrap_or_default().resident_bytes, descriptors(pid).unwrap_or(0));
    [resident as f64 / MIB, open as f64, (tcp_pages() * page_bytes()) as f64 / MIB]
}

/// Runs `work`. Returns its result, and the maximum of each value of the process during it.
fn most_while<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Footprint) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = footprint(pid);
            while !is_over.load(Ordering::Relaxed) {
                sleep(POLL_INTERVAL);
                let now = footprint(pid);
                most = std::array::from_fn(|index| most[index].max(now[index]));
            }
            most
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        (done, watch.join().unwrap_or_default())
    })
}

/// The programs of the runs, and the servers' folder of static files.
pub struct Bench {
    stage: Stage,
    files: Scratch,
}

impl Bench {
    /// Locates the programs beside this one.
    ///
    /// # Errors
    /// A program is missing, or the folder can't be created.
    pub fn new() -> Result<Bench, Failure> {
        let bench = Bench { stage: Stage::new()?, files: Scratch::new()? };
        fs::write(bench.files.0.join(DOWNLOAD), vec![b'.'; DOWNLOAD_BYTES])?;
        Ok(bench)
    }

    /// Runs both parts of a pair: beside hostile peers first, or alone first.
    ///
    /// # Errors
    /// A program can't be run, or a signal interrupts. Faults of the server are part of the results.
    pub fn pair(&self, plan: &Plan, beside_first: bool) -> Result<Pair, Failure> {
        if beside_first {
            let pair = self.beside(plan)?;
            return Ok(Pair { alone: self.alone(plan)?, ..pair });
        }
        let alone = self.alone(plan)?;
        Ok(Pair { alone, ..self.beside(plan)? })
    }

    fn alone(&self, plan: &Plan) -> Result<Run, Failure> {
        progress(format_args!("  {} players alone", plan.clients));
        self.load(&self.start_server(plan)?, plan)
    }

    /// Measures the run beside hostile peers, and the server's footprint.
    fn beside(&self, plan: &Plan) -> Result<Pair, Failure> {
        progress(format_args!("  {} players beside {} hostile peers", plan.clients, plan.peers));
        let server = self.start_server(plan)?;
        let pid = server.process.id();
        let before = footprint(pid);
        let mut hostile = self.start_hostile(&server, plan)?;
        if let Some(attack) = plan.attack {
            // The server decides how many of these peers it accepts.
            self.stage.interrupt.sleep(Duration::from_secs(attack.lead_seconds()))?;
        } else {
            let wanted = (f64::from(plan.peers) * PEERS_PART) as u64;
            self.await_connections(&server, Some(&mut hostile), |open| open >= wanted)?;
        }
        let (beside, with) = most_while(pid, || self.load(&server, plan));
        let beside = beside?;
        hostile.end()?;
        let hostile = hostile.results()?;
        // The `/metrics` request has a connection of its own.
        self.await_connections(&server, None, |open| open <= 1)?;
        Ok(Pair { alone: Run::default(), beside, hostile, before, with, after: footprint(pid) })
    }

    fn start_server(&self, plan: &Plan) -> Result<Server, Failure> {
        let mut command = self.stage.game();
        command.env("LOG_LEVEL", "error");
        if plan.attack == Some(Attack::Slots) {
            command.env("STATIC_DIR", &self.files.0);
        }
        self.stage.start("pixi-game-server", &mut command, "/health", None)
    }

    fn start_hostile(&self, server: &Server, plan: &Plan) -> Result<Process, Failure> {
        let is_slots = plan.attack == Some(Attack::Slots);
        let download = if is_slots { format!("--download /{DOWNLOAD}") } else { String::new() };
        let flags = format!("--duration {HOSTILE_DURATION} {} {download}", plan.hostile_flags());
        self.stage.start_hostile(server.address, &flags)
    }

    fn load(&self, server: &Server, plan: &Plan) -> Result<Run, Failure> {
        let flags = format!("--pid {} {}", server.process.id(), plan.load_flags());
        Ok(Run::of(&self.stage.load(server.address, &flags)?))
    }

    /// Waits until the number of open connections is as wanted.
    fn await_connections(
        &self,
        server: &Server,
        mut hostile: Option<&mut Process>,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Result<(), Failure> {
        let mut open = 0;
        let found = self.stage.interrupt.wait_for(PEERS_PATIENCE, || {
            if let Some(hostile) = &mut hostile
                && let Some(status) = hostile.status()?
            {
                return Err(Failure::Failed(format!("hostile: ended at its start with {status}")));
            }
            // The request may find no free slot while the peers hold all of them.
            let Ok(metrics) = server.metrics() else { return Ok(None) };
            open = metrics["connections"]["open"].as_u64().unwrap_or_default();
            Ok(is_wanted(open).then_some(()))
        })?;
        let seconds = PEERS_PATIENCE.as_secs();
        found.ok_or_else(|| Failure::Failed(format!("the server has {open} connections after {seconds} s")))
    }
}
