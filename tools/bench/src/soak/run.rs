//! One soak: server, players and hostile peers as children, and a sample of the server every few seconds.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use game_client::text::thousands;
use serde_json::Value as Json;

use super::sample::Sample;
use super::{CONNECTS_PER_S, Options};
use crate::kernel::descriptors;
use crate::process::{Process, log_file};
use crate::stage::{Server, Stage};

/// Time between two samples.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Samples between two lines of progress.
const SAMPLES_PER_LINE: usize = 12;

/// Slots of the server beyond load and hostile peers, for reconnects and connections that are closing.
const SPARE_SLOTS: u64 = 1_000;

/// Maximum time of the load test beyond its measured time, for settling and closing.
const LOAD_PATIENCE: Duration = Duration::from_mins(1);

/// Tolerance for the end of the hostile peers.
const HOSTILE_PATIENCE: Duration = Duration::from_secs(15);

/// Maximum time until the server has closed all connections; exceeds every deadline of a connection.
const REST_PATIENCE: Duration = Duration::from_secs(75);

/// Time in which the connections of the readiness probe are closed.
const START_PAUSE: Duration = Duration::from_millis(500);

/// The observations of a soak.
#[derive(Debug, Default)]
pub struct Run {
    /// Samples in chronological order.
    pub samples: Vec<Sample>,
    /// Descriptors of the server before the first player.
    pub descriptors_before: u64,
    /// The server after the last player has left.
    pub rest: Option<Sample>,
    /// The load test's results.
    pub load: Option<Json>,
    /// Programs that ended early or did not end.
    pub broken: Vec<String>,
    /// Whether a signal ended the soak.
    pub is_interrupted: bool,
    /// The executed commands, as typed in a shell.
    pub commands: Vec<String>,
}

/// The programs of a soak and the folder of their logs.
pub struct Soak<'a> {
    options: &'a Options,
    stage: Stage,
    logs: PathBuf,
}

/// The running load.
struct Load {
    players: Process,
    hostile: Option<Process>,
}

impl<'a> Soak<'a> {
    /// Locates the programs beside this one.
    ///
    /// # Errors
    /// A program is missing, or the folder of the logs can't be created.
    pub fn new(options: &'a Options) -> Result<Soak<'a>, Failure> {
        let stage = Stage::new()?;
        let logs = stage.folder().with_file_name("soak");
        fs::create_dir_all(&logs)?;
        Ok(Soak { options, stage, logs })
    }

    /// Runs to the end or to an interrupt, and writes each sample to `csv`.
    ///
    /// # Errors
    /// A program can't be started, or a file can't be written. Later failures are in [`Run::broken`].
    pub fn run(&self, csv: &Path) -> Result<Run, Failure> {
        let mut run = Run::default();
        let log = self.logs.join("server.log");
        let slots = self.options.clients + self.options.hostile + SPARE_SLOTS;
        let mut command = self.stage.game();
        command.env("MAX_CONNECTIONS", slots.to_string()).stderr(log_file(&log)?);
        let mut server = self.stage.start("server", &mut command, "/health", Some(&log))?;
        run.commands.push(typed(&command));
        self.stage.interrupt.sleep(START_PAUSE)?;
        run.descriptors_before = descriptors(server.process.id()).unwrap_or(0);
        let mut load = self.start_load(&server, &mut run)?;
        match self.watch(&mut server, &mut load, csv, &mut run) {
            Err(Failure::Interrupted) => run.is_interrupted = true,
            watched => {
                watched?;
                self.end_load(load, &mut run)?;
                run.rest = self.rest(&server)?;
            }
        }
        let status = server.process.end()?;
        if !status.success() {
            run.broken.push(format!("the server ended with {status}, see {}", log.display()));
        }
        Ok(run)
    }

    fn start_load(&self, server: &Server, run: &mut Run) -> Result<Load, Failure> {
        let Options { duration, clients, churn_per_s, hostile, .. } = *self.options;
        let (pid, warm_up_s, seconds) =
            (server.process.id(), self.options.warm_up().as_secs(), duration.as_secs());
        let alone = if hostile == 0 { " --alone" } else { "" };
        let flags = format!(
            "--json --pid {pid} --profile mixed --clients {clients} --connect-rate {CONNECTS_PER_S} \
             --slow-readers 0.02 --reconnects-per-second {churn_per_s} --warm-up {warm_up_s}s \
             --duration {seconds}s{alone}"
        );
        let mut command = self.stage.load_test(server.address, &flags);
        command.stdout(File::create(self.load_results())?).stderr(log_file(&self.logs.join("load.log"))?);
        run.commands.push(typed(&command));
        let players = Process::start("loadtest", &mut command)?;
        let hostile = if hostile > 0 { Some(self.start_hostile(server, run)?) } else { None };
        Ok(Load { players, hostile })
    }

    fn start_hostile(&self, server: &Server, run: &mut Run) -> Result<Process, Failure> {
        let (peers, seconds) = (self.options.hostile, self.hostile_time().as_secs());
        let mut command = self.stage.hostile(server.address);
        command.args(format!("--peers {peers} --kinds all --duration {seconds}s").split(' '));
        let log = log_file(&self.logs.join("hostile.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        run.commands.push(typed(&command));
        Process::start("hostile", &mut command)
    }

    /// The duration of the hostile peers: until the end of the measurement.
    fn hostile_time(&self) -> Duration {
        self.options.lead() + self.options.duration
    }

    fn load_results(&self) -> PathBuf {
        self.logs.join("load.json")
    }

    /// Samples the server until the load test ends or a program fails.
    fn watch(&self, server: &mut Server, load: &mut Load, csv: &Path, run: &mut Run) -> Result<(), Failure> {
        let mut csv = File::create(csv)?;
        writeln!(csv, "{}", Sample::heads())?;
        let started = Instant::now();
        let deadline = self.hostile_time() + LOAD_PATIENCE;
        loop {
            let elapsed = started.elapsed();
            let Some(sample) = Sample::take(server, elapsed.as_secs_f64()) else {
                run.broken.push("the server has ended".to_owned());
                return Ok(());
            };
            writeln!(csv, "{}", sample.row())?;
            if run.samples.len().is_multiple_of(SAMPLES_PER_LINE) {
                self.progress(&sample);
            }
            run.samples.push(sample);
            self.check_hostile(load, elapsed, run)?;
            if elapsed > deadline {
                run.broken.push("the load test did not end in time".to_owned());
                return Ok(());
            }
            let next = POLL_INTERVAL * run.samples.len() as u32;
            let pause = next.saturating_sub(started.elapsed());
            let ended = self.stage.interrupt.wait_for(pause, || match server.process.status()? {
                Some(status) => Err(Failure::Failed(format!("the server ended with {status}"))),
                None => Ok(load.players.status()?),
            });
            match ended {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(()),
                Err(Failure::Failed(problem)) => {
                    run.broken.push(problem);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Records that the hostile peers ended early, if they did.
    fn check_hostile(&self, load: &mut Load, elapsed: Duration, run: &mut Run) -> Result<(), Failure> {
        let Some(hostile) = &mut load.hostile else { return Ok(()) };
        if let Some(status) = hostile.status()? {
            if elapsed + HOSTILE_PATIENCE < self.hostile_time() || !status.success() {
                let after = elapsed.as_secs();
                run.broken.push(format!("the hostile peers ended after {after} s with {status}"));
            }
            load.hostile = None;
        }
        Ok(())
    }

    /// Waits for the hostile peers and reads the results of the load test.
    fn end_load(&self, mut load: Load, run: &mut Run) -> Result<(), Failure> {
        // After a failure, the soak does not wait for them.
        let patience = if run.broken.is_empty() { HOSTILE_PATIENCE } else { Duration::ZERO };
        if let Some(hostile) = &mut load.hostile {
            match self.stage.interrupt.wait_for(patience, || Ok(hostile.status()?))? {
                Some(status) if status.success() => {}
                Some(status) => run.broken.push(format!("the hostile peers ended with {status}")),
                None => run.broken.push("the hostile peers did not end in time".to_owned()),
            }
        }
        drop(load);
        run.load = serde_json::from_str(&fs::read_to_string(self.load_results())?).ok();
        Ok(())
    }

    /// Waits until the connection of the sample's own request is the only one, and returns the last sample.
    fn rest(&self, server: &Server) -> Result<Option<Sample>, Failure> {
        let mut last = None;
        self.stage.interrupt.wait_for(REST_PATIENCE, || {
            last = Sample::take(server, 0.0);
            let own = last.as_ref().and_then(|sample| sample.own.as_ref());
            Ok(own.is_none_or(|own| own.open <= 1).then_some(()))
        })?;
        // The request's socket closes shortly after the response.
        self.stage.interrupt.sleep(START_PAUSE)?;
        let descriptors = descriptors(server.process.id()).unwrap_or(0);
        Ok(last.map(|last| Sample { descriptors, ..last }))
    }

    fn progress(&self, sample: &Sample) {
        let minutes = |seconds: u64| format!("{}:{:02}", seconds / 60, seconds % 60);
        let own = sample.own.as_ref().map_or("no response".to_owned(), |own| {
            format!(
                "{} players, {} joined so far, {} ticks skipped, governor level {}",
                thousands(own.players),
                thousands(own.upgraded),
                own.ticks_skipped,
                own.governor_level
            )
        });
        progress(format_args!(
            "soak {} of {}: {own}, {:.2} MiB, {} descriptors",
            minutes(sample.at_s as u64),
            minutes(self.hostile_time().as_secs()),
            sample.resident_bytes as f64 / f64::from(1 << 20),
            thousands(sample.descriptors)
        ));
    }
}

/// Formats a command as typed in a shell, without the folder of the program.
fn typed(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let settings = command.get_envs();
    let settings =
        settings.filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let arguments = command.get_args().map(|argument| argument.display().to_string());
    settings.chain([name.display().to_string()]).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_formatted_as_typed() {
        let mut command = Command::new("/some/folder/server");
        command.env("PORT", "1").env_remove("HOST").args(["--flag", "2"]);
        assert_eq!(typed(&command), "PORT=1 server --flag 2");
    }
}
