//! A soak: hours of mixed players, churn and hostile peers, and a verdict on leaks and losses.
//!
//! ```text
//! soak ──> run        server, load test and hostile peers as children ──> sample: state of the server
//!      ├─> judge      the conditions of the verdict
//!      └─> report     the verdict as Markdown and text
//! ```

mod judge;
mod report;
mod run;
mod sample;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use game_client::Failure;
use game_client::console::output;
use game_client::options::{CommandLine, Flag, Program, WholeSeconds, verdict};

use crate::machine::Occasion;
use crate::results::{folder, write};
use run::Soak;

const PROGRAM: Program<'_> = Program {
    name: "bench soak",
    about: "Runs mixed players, churn and hostile peers against a server for hours, and judges it.\n\n\
            Exit status: 0 if all conditions hold, 1 if one fails, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

/// Longest duration, in seconds: a week. The shortest makes memory at the beginning and the end comparable.
const WEEK_S: f64 = 7.0 * 86_400.0;

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("duration", "TIME", "1h", "measured time").within(30.0, WEEK_S).variable("SOAK_DURATION"),
    Flag::new("clients", "N", "3000", "players, of all kinds").within(1.0, 19_000.0).variable("SOAK_CLIENTS"),
    Flag::new("churn", "N", "20", "players per second that disconnect and reconnect").within(0.0, 1_000.0).variable("SOAK_CHURN"),
    Flag::new("hostile", "N", "150", "hostile peers; 0 disables").within(0.0, 5_000.0).variable("SOAK_HOSTILE"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("SOAK_RESULTS"),
];

/// Connections that the load test opens per second.
const CONNECTS_PER_S: u64 = 1_000;

/// Maximum warm-up after the last player has joined, in seconds: the default time for which sessions are kept.
const WARM_UP_S_MAX: u64 = 300;

/// Maximum length of the first and the last interval, whose memory is compared, in seconds.
const EDGE_S_MAX: u64 = 600;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Options {
    /// Measured time.
    duration: Duration,
    /// Players.
    clients: u64,
    /// Players per second that disconnect and reconnect.
    churn_per_s: u64,
    /// Hostile peers.
    hostile: u64,
    /// Folder for the results, if given.
    results: Option<PathBuf>,
}

impl Options {
    /// The warm-up after the last player has joined; not measured. Also the time for which the server keeps sessions, so that
    /// as many expire as are added when the measurement begins.
    fn warm_up(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 6).min(WARM_UP_S_MAX))
    }

    /// The length of the first and the last interval, which are compared.
    fn edge(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 4).min(EDGE_S_MAX))
    }

    /// The load test's flags, without server and process.
    fn load_flags(&self) -> String {
        format!(
            "--profile mixed --clients {} --connect-rate {CONNECTS_PER_S} --slow-readers 0.02 \
             --reconnects-per-second {} --warm-up {}s --duration {}s{}",
            self.clients,
            self.churn_per_s,
            self.warm_up().as_secs(),
            self.duration.as_secs(),
            if self.hostile == 0 { " --alone" } else { "" }
        )
    }

    /// The time from the start of the load to the start of the measurement.
    fn lead(&self) -> Duration {
        Duration::from_secs(self.clients.div_ceil(CONNECTS_PER_S)) + self.warm_up()
    }
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(soak(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let WholeSeconds(seconds) = line.value("duration");
    Options {
        duration: Duration::from_secs(seconds),
        clients: line.value("clients"),
        churn_per_s: line.value("churn"),
        hostile: line.value("hostile"),
        results: line.optional("results"),
    }
}

/// Runs the soak, writes the report, and returns whether all conditions hold.
fn soak(options: &Options) -> Result<bool, Failure> {
    let occasion = Occasion::current();
    let folder = folder(options.results.as_deref(), &occasion.machine)?;
    let run = Soak::new(options)?.run(&folder.join("soak.csv"))?;
    let findings = judge::judge(options, &run);
    let file = folder.join("soak.md");
    write(&file, &report::markdown(options, &occasion, &run, &findings))?;
    output(format_args!("{}written to {}", report::text(&findings), file.display()));
    if run.is_interrupted {
        return Err(Failure::Interrupted);
    }
    Ok(findings.iter().all(|finding| finding.holds))
}

#[cfg(test)]
mod tests {
    use game_client::options::Command;
    use pixi_game_server::config::Config;

    use super::*;

    #[test]
    fn compared_intervals_do_not_overlap() {
        for (text, warm_up_s, edge_s, lead_s) in [("", 300, 600, 303), ("2m", 20, 30, 23)] {
            let variable = |name: &str| (name == "SOAK_DURATION").then(|| text.to_owned());
            let Ok(Command::Run(options)) = PROGRAM.parse([], variable, options) else { panic!("{text}") };
            assert_eq!(
                (options.warm_up().as_secs(), options.edge().as_secs(), options.lead().as_secs()),
                (warm_up_s, edge_s, lead_s)
            );
            assert!(2 * options.edge() < options.duration);
            assert!(options.warm_up().as_secs() <= u64::from(Config::default().resume_ttl_s));
        }
    }
}
