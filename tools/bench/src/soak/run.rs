//! One soak: server, players and hostile peers as children, and a sample of the server every few seconds.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use game_client::text::thousands;

use super::Options;
use super::report::time;
use super::sample::Sample;
use crate::figures::{MIB, Run};
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
pub struct Observed {
    /// Samples in chronological order.
    pub samples: Vec<Sample>,
    /// Descriptors of the server before the first player.
    pub descriptors_before: u64,
    /// The server after the last player has left.
    pub rest: Option<Sample>,
    /// The load test's results.
    pub load: Option<Run>,
    /// Programs that ended early or did not end.
    pub broken: Vec<String>,
    /// Whether a signal ended the soak.
    pub is_interrupted: bool,
}

/// The programs of a soak and the folder of their logs.
pub struct Soak<'a> {
    options: &'a Options,
    stage: Stage,
    logs: PathBuf,
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
    /// A program can't be started, or a file can't be written. Later failures are in [`Observed::broken`].
    pub fn run(&self, csv: &Path) -> Result<Observed, Failure> {
        let mut run = Observed::default();
        let log = self.logs.join("server.log");
        let slots = self.options.clients + self.options.hostile + SPARE_SLOTS;
        let mut command = self.stage.game();
        command.env("MAX_CONNECTIONS", slots.to_string()).stderr(log_file(&log)?);
        // An hour has the default. A shorter run could not see sessions expire otherwise.
        command.env("RESUME_TTL_SEC", self.options.warm_up().as_secs().to_string());
        let mut server = self.stage.start("server", &mut command, "/health", Some(&log))?;
        self.stage.interrupt.sleep(START_PAUSE)?;
        run.descriptors_before = descriptors(server.process.id()).unwrap_or(0);
        let (mut players, hostile) = (self.start_players(&server)?, self.start_hostile(&server)?);
        match self.watch(&mut server, &mut players, csv, &mut run) {
            Err(Failure::Interrupted) => run.is_interrupted = true,
            watched => {
                run.broken.extend(watched.err().map(|failure| failure.to_string()));
                self.end_load(players, hostile, &mut run)?;
                run.rest = self.rest(&server)?;
            }
        }
        let status = server.process.end()?;
        if !status.success() {
            run.broken.push(format!("the server ended with {status}, see {}", log.display()));
        }
        Ok(run)
    }

    fn start_players(&self, server: &Server) -> Result<Process, Failure> {
        let flags = format!("--pid {} {}", server.process.id(), self.options.load_flags());
        let mut command = self.stage.load_test(server.address, &flags);
        command.arg("--json").stderr(log_file(&self.logs.join("load.log"))?);
        Process::capture("loadtest", &mut command)
    }

    fn start_hostile(&self, server: &Server) -> Result<Option<Process>, Failure> {
        let (peers, seconds) = (self.options.hostile, self.hostile_time().as_secs());
        let flags = format!("--peers {peers} --kinds all --duration {seconds}s");
        (peers > 0).then(|| self.stage.start_hostile(server.address, &flags)).transpose()
    }

    /// The duration of the hostile peers: until the end of the measurement.
    fn hostile_time(&self) -> Duration {
        self.options.lead() + self.options.duration
    }

    /// Samples the server until the load test ends.
    ///
    /// # Errors
    /// The server has ended, the load test does not end in time, or a signal interrupts.
    fn watch(
        &self,
        server: &mut Server,
        players: &mut Process,
        csv: &Path,
        run: &mut Observed,
    ) -> Result<(), Failure> {
        let failed = |problem: &str| Failure::Failed(problem.to_owned());
        let mut csv = File::create(csv)?;
        writeln!(csv, "{}", Sample::heads())?;
        let started = Instant::now();
        while started.elapsed() < self.hostile_time() + LOAD_PATIENCE {
            let sample = Sample::take(server, started.elapsed().as_secs_f64());
            let sample = sample.ok_or_else(|| failed("the server has ended"))?;
            writeln!(csv, "{}", sample.row())?;
            if run.samples.len().is_multiple_of(SAMPLES_PER_LINE) {
                self.progress(&sample);
            }
            run.samples.push(sample);
            let next = POLL_INTERVAL * run.samples.len() as u32;
            if players.wait(&self.stage.interrupt, next.saturating_sub(started.elapsed()))?.is_some() {
                return Ok(());
            }
        }
        Err(failed("the load test did not end in time"))
    }

    /// Waits for the hostile peers and reads the results of the load test.
    fn end_load(
        &self,
        mut players: Process,
        hostile: Option<Process>,
        run: &mut Observed,
    ) -> Result<(), Failure> {
        // After a failure, the soak does not wait for them.
        let patience = if run.broken.is_empty() { HOSTILE_PATIENCE } else { Duration::ZERO };
        if let Some(mut hostile) = hostile {
            match hostile.wait(&self.stage.interrupt, patience)? {
                Some(status) if status.success() => {}
                Some(status) => run.broken.push(format!("the hostile peers ended with {status}")),
                None => run.broken.push("the hostile peers did not end in time".to_owned()),
            }
        }
        players.end()?;
        if let Ok(results) = players.results() {
            if results["interrupted"] != false {
                run.broken.push("the load test was interrupted".to_owned());
            }
            run.load = Some(Run::of(&results));
        }
        Ok(())
    }

    /// Waits until the connection of the sample's own request is the only one, and returns the last sample.
    fn rest(&self, server: &Server) -> Result<Option<Sample>, Failure> {
        let mut last = None;
        self.stage.interrupt.wait_for(REST_PATIENCE, || {
            last = Sample::take(server, 0.0);
            let open = last.as_ref().and_then(|sample| sample.value("open"));
            Ok(open.is_none_or(|open| open <= 1.0).then_some(()))
        })?;
        // The request's socket closes shortly after the response.
        self.stage.interrupt.sleep(START_PAUSE)?;
        if let Some(last) = &mut last {
            let open = descriptors(server.process.id()).unwrap_or(0);
            last.values.insert("descriptors", open as f64);
        }
        Ok(last)
    }

    fn progress(&self, sample: &Sample) {
        let count =
            |column: &str| sample.value(column).map_or("-".to_owned(), |value| thousands(value as u64));
        progress(format_args!(
            "soak {} of {}: {} players, {} joined so far, {} ticks skipped, governor level {}, {:.2} MiB, {} descriptors",
            time(sample.at_s as u64),
            time(self.hostile_time().as_secs()),
            count("players"),
            count("upgraded"),
            count("ticks_skipped"),
            count("governor_level"),
            sample.value("resident_bytes").unwrap_or(0.0) / MIB,
            count("descriptors")
        ));
    }
}
