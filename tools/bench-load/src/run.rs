//! One run of a row: the load test against a new server, then against the floor with the same reads and writes.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use game_client::console::progress;
use game_client::{Failure, Interrupt};
use pixi_game_server::config::SETTINGS;
use serde_json::Value as Json;
use stage::Process;
use stage::process::output_of;
use stage::server::{ReadinessProbe, folder_with, free_port, start_server};

use crate::calibrate::Flushes;
use crate::figures::Run;
use crate::rows::Row;

/// The server's connection limit, which fits into the usual hard limit of 20,000 open files.
const MAX_CONNECTIONS: &str = "19400";

/// The environment variable that `start.sh` and the service set for the server. The floor and the load test get it
/// too: the floor for comparability, the load test as with `make load-test`.
const ENVIRONMENT: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// Divisor of the floor's measured time. Its CPU time per call converges sooner than the server's tail latencies.
const FLOOR_PART: u64 = 2;

/// Warm-up of the floor after the last connect.
const FLOOR_WARM_UP: &str = "2s";

/// The programs and the interrupt of all runs.
pub struct Bench {
    /// Folder of the programs.
    folder: PathBuf,
    interrupt: Interrupt,
}

impl Bench {
    /// Locates the programs beside this one.
    ///
    /// # Errors
    /// A program is missing, or no descriptor is left.
    pub fn new() -> Result<Bench, Failure> {
        let folder = folder_with(&["pixi-game-server", "loadtest", "floor"])?;
        Ok(Bench { folder, interrupt: Interrupt::watch()? })
    }

    /// Runs a row once for `seconds`, then the floor `floor_runs` times: its cost varies by up to a tenth from start
    /// to start.
    ///
    /// # Errors
    /// A program does not run, or Ctrl-C was pressed. Faults of the server are results, not errors.
    pub fn run(&self, row: &Row, seconds: u64, floor_runs: usize) -> Result<Run, Failure> {
        let server = self.load_server(&row.flags(seconds))?;
        let floors = match Flushes::matching(&server).filter(|_| row.has_floor) {
            Some(flushes) => {
                let flags = row.flags(floor_seconds(seconds));
                (0..floor_runs).map(|_| self.load_floor(&flushes, &flags)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        Ok(Run { server, floors })
    }

    fn load_server(&self, flags: &str) -> Result<Json, Failure> {
        progress(format_args!("  server: loadtest {flags}"));
        let port = free_port()?;
        let mut command = self.program("pixi-game-server");
        // The server runs with default settings, whatever the environment contains.
        for setting in SETTINGS {
            command.env_remove(setting.variable);
        }
        command.envs([("HOST", "127.0.0.1"), ("MAX_CONNECTIONS", MAX_CONNECTIONS), ("LOG_LEVEL", "warn")]);
        command.env("PORT", port.to_string());
        let server = self.start_server("pixi-game-server", &mut command, port, "/health")?;
        self.load(&server, port, flags)
    }

    fn load_floor(&self, flushes: &Flushes, flags: &str) -> Result<Json, Failure> {
        progress(format_args!("  floor: {}", flushes.flags()));
        let port = free_port()?;
        let mut command = self.program("floor");
        command.args(["--port", &port.to_string()]).args(flushes.flags().split_whitespace());
        let floor = self.start_server("floor", &mut command, port, "/metrics")?;
        self.load(&floor, port, &floor_flags(flags))
    }

    fn start_server(
        &self,
        name: &'static str,
        command: &mut Command,
        port: u16,
        path: &str,
    ) -> Result<Process, Failure> {
        let probe = ReadinessProbe { port, path, log: None };
        start_server(name, command.stdin(Stdio::null()), probe, &self.interrupt)
    }

    fn load(&self, server: &Process, port: u16, flags: &str) -> Result<Json, Failure> {
        let mut command = self.program("loadtest");
        command.args(["--json", "--server", &format!("ws://127.0.0.1:{port}/ws")]);
        command.args(["--pid", &server.id().to_string()]).args(flags.split_whitespace());
        let results = output_of("loadtest", &mut command, &self.interrupt)?;
        serde_json::from_str(&results)
            .map_err(|error| Failure::Failed(format!("loadtest {flags}: no results: {error}")))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command.env(ENVIRONMENT.0, ENVIRONMENT.1);
        command
    }
}

fn floor_seconds(seconds: u64) -> u64 {
    seconds.div_ceil(FLOOR_PART)
}

/// The floor has no players to compare, so there are no viewers.
fn floor_flags(flags: &str) -> String {
    format!("{flags} --warm-up {FLOOR_WARM_UP} --viewers 0")
}

/// Returns the commands that repeat a row by hand: against the server, and against the floor as in this run.
pub fn commands(row: &Row, seconds: u64, run: &Run) -> Vec<String> {
    let mut commands = vec![format!("make load-test LOAD=\"{}\"", row.flags(seconds))];
    if let Some(flushes) = Flushes::matching(&run.server).filter(|_| !run.floors.is_empty()) {
        commands.push(format!(
            "export {}={}; target/release/floor --port 18109 {} & sleep 1; target/release/loadtest --server ws://127.0.0.1:18109/ws \
             --pid $! {}; kill $!",
            ENVIRONMENT.0,
            ENVIRONMENT.1,
            flushes.flags(),
            floor_flags(&row.flags(floor_seconds(seconds)))
        ));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_can_be_run_by_hand() {
        let server = json!({
            "traffic": { "clients": 1000, "moves_per_s": 10_000.0, "per_client_s": { "bytes_in": 870.0 } },
            "server": { "metrics": { "socket_writes_per_s": 18_000.0 } },
        });
        let row = Row::of("a").unwrap();
        let mut run = Run { server, floors: Vec::new() };
        let load =
            "make load-test LOAD=\"--clients 1000 --moves-per-second 10 --connect-rate 1500 --duration 60s\"";
        assert_eq!(commands(row, 60, &run), [load]);
        run.floors.push(json!({}));
        let floor = &commands(row, 60, &run)[1];
        let start = "export GLIBC_TUNABLES=glibc.malloc.hugetlb=1; target/release/floor --port 18109 --flush-bytes 90 ";
        assert!(floor.starts_with(start), "{floor}");
        assert!(floor.contains("--duration 30s --warm-up 2s --viewers 0; kill $!"), "{floor}");
    }
}
