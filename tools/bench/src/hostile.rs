//! Measures and judges the effect of thousands of hostile peers on healthy players.
//!
//! A pair is the load test alone and the same load test beside hostile peers, each with a fresh server. The order alternates from pair
//! to pair, so other load on the machine affects both.
//!
//! ```text
//! hostile ──> run        one pair: server, load test, hostile peers, and the server's memory and descriptors
//!         └─> series     summary and verdict of all pairs of a plan, as Markdown
//! ```

mod run;
mod series;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{Bounds, CommandLine, Flag, Program, Value as _, WholeSeconds, verdict};
use loadtest::hostile::attack::Attack;
use loadtest::hostile::kind::Kind;
use serde::Serialize;
use serde_json::json;

use crate::machine::Occasion;
use crate::results::{folder, report, write_json};
use run::Bench;
use series::Series;

const PROGRAM: Program<'_> = Program {
    name: "bench hostile",
    about: "Measures the effect of hostile peers on healthy players.\n\n\
            Exit status: 0 if nothing is lost and every limit is met, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("pairs", "N", "", "pairs of runs, alone and beside [3; 2 beside an attack]").within(1.0, 99.0).variable("PAIRS"),
    Flag::new("duration", "TIME", "", "measured time of each run [10s; 5s beside an attack]").within(1.0, 3_600.0).variable("DURATION"),
    Flag::new("clients", "N", "", "healthy players [500; fewer if an observer must see all]").within(1.0, 1e4).variable("CLIENTS"),
    Flag::new("moves", "N", "5", "MOVEs per second of each").within(1.0, 60.0).variable("MOVES"),
    Flag::new("peers", "N", "", "hostile peers [2000; each attack has its own number]").within(1.0, 1e4).variable("PEERS"),
    Flag::new("kinds", "LIST", "", "kinds of hostile peers and attacks [slow and silent kinds, all attacks]").variable("KINDS"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

/// Slow and silent kinds, which stay connected. Two thirds of these peers are visible players, which cost other players more than
/// floods and garbage do.
const KINDS: &str = "slow-heads,slow-upgrades,slow-frames,silent,deaf,zero-window";

/// Warm-up of the load test beside an attack, in seconds. Beside the kinds, the load test uses its default.
const ATTACK_WARM_UP_S: u64 = 1;

/// The plan of one series of pairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Plan {
    /// The attack; `None` for kinds of peers.
    attack: Option<Attack>,
    /// The kinds, in the syntax of `loadtest hostile`.
    kinds: String,
    /// Number of pairs.
    pairs: u32,
    /// Measured time of each run, in seconds.
    seconds: u64,
    /// Healthy players.
    clients: u32,
    /// MOVEs per second of each healthy player.
    moves: u32,
    /// Hostile peers.
    peers: u32,
}

impl Plan {
    /// The name of the series.
    fn name(&self) -> &'static str {
        self.attack.map_or("crowd", Attack::name)
    }

    /// Flags of the load test, without the server.
    fn load_flags(&self) -> String {
        let warm_up = self.attack.map_or(String::new(), |_| format!(" --warm-up {ATTACK_WARM_UP_S}s"));
        let (clients, moves, seconds) = (self.clients, self.moves, self.seconds);
        format!("--clients {clients} --moves-per-second {moves}{warm_up} --duration {seconds}s")
    }

    /// Flags of `loadtest hostile`, without the server.
    fn hostile_flags(&self) -> String {
        let selection = self
            .attack
            .map_or(format!("--kinds {}", self.kinds), |attack| format!("--attack {}", attack.name()));
        format!("--peers {} {selection}", self.peers)
    }
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |(plans, results)| verdict(bench(&plans, results.as_deref())))
}

/// Returns the series in the order of their measurement, and the folder for the results, if given.
fn options(line: &mut CommandLine<'_>) -> (Vec<Plan>, Option<PathBuf>) {
    let (pairs, duration, clients) =
        (line.optional("pairs"), line.optional("duration"), line.optional("clients"));
    let (moves, peers) = (line.value("moves"), line.optional("peers"));
    let plan = |(attack, kinds): (Option<Attack>, String)| Plan {
        pairs: pairs.unwrap_or(if attack.is_some() { 2 } else { 3 }),
        seconds: duration.map_or(if attack.is_some() { 5 } else { 10 }, |WholeSeconds(seconds)| seconds),
        clients: clients.unwrap_or_else(|| attack.map_or(500, Attack::players)),
        moves,
        peers: peers.unwrap_or_else(|| attack.map_or(2_000, |attack| attack.peers() as u32)),
        attack,
        kinds,
    };
    let selected = line.optional_with("kinds", selected);
    let selected = selected.unwrap_or_else(|| {
        let attacks = Attack::ALL.map(|attack| (Some(attack), String::new()));
        [(None, KINDS.to_owned())].into_iter().chain(attacks).collect()
    });
    (selected.into_iter().map(plan).collect(), line.optional("results"))
}

/// Parses a list into series: one for all its kinds together, and one for each attack.
fn selected(text: &str, bounds: Bounds) -> Result<Vec<(Option<Attack>, String)>, String> {
    let allowed = |_| format!("all or a list of {}, {}", Kind::names(), Attack::names());
    let names = text.split(',').map(str::trim);
    let (attacks, kinds): (Vec<&str>, Vec<&str>) =
        names.partition(|name| Attack::parse(name, bounds).is_ok());
    let mut series = Vec::new();
    if !kinds.is_empty() {
        let kinds = kinds.join(",");
        Kind::list(&kinds, bounds).map_err(allowed)?;
        series.push((None, kinds));
    }
    let is_selected = |attack: &Attack| text == "all" || attacks.contains(&attack.name());
    series.extend(Attack::ALL.into_iter().filter(is_selected).map(|attack| (Some(attack), String::new())));
    Ok(series)
}

/// Runs all pairs, writes and prints the results, and returns whether every limit is met.
fn bench(plans: &[Plan], given: Option<&Path>) -> Result<bool, Failure> {
    let bench = Bench::new()?;
    let occasion = Occasion::current();
    let mut all = Vec::new();
    for plan in plans {
        let mut pairs = Vec::new();
        for number in 1..=plan.pairs {
            progress(format_args!("{}, pair {number} of {}", plan.name(), plan.pairs));
            pairs.push(bench.pair(plan, number % 2 == 0)?);
        }
        all.push(Series { plan: plan.clone(), pairs });
    }
    let folder = folder(given, &occasion.machine)?;
    let mut text = occasion.head("Healthy players beside hostile peers", "make bench-hostile");
    text.push_str(
        "Server, players and hostile peers are on the same machine. A pair is the load test alone and beside hostile \
         peers, each\nwith a fresh server and default settings. Medians of all pairs, with the range in brackets.\n\n\
         | beside | ratio of mean acks | lost or wrong | missed limits |\n|---|---:|---:|---|\n",
    );
    text.extend(all.iter().map(Series::summary));
    text.extend(all.iter().map(Series::section));
    write_json(&folder.join("hostile.json"), &json!({ "occasion": occasion, "series": all }))?;
    let missed: Vec<String> = all.iter().flat_map(Series::missed).collect();
    report(&folder.join("hostile.md"), &text, &missed)
}

#[cfg(test)]
mod tests {
    use game_client::options::Command;

    use super::*;

    fn plans(args: &[&str], variable: (&str, &str)) -> Result<Vec<Plan>, String> {
        let lookup = |name: &str| (name == variable.0).then(|| variable.1.to_owned());
        match PROGRAM.parse(args.iter().map(ToString::to_string), lookup, options)? {
            Command::Run((plans, _)) => Ok(plans),
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn kinds_share_a_series_and_each_attack_has_one() {
        let defaults = plans(&["-pairs=1", "--peers", "900"], ("PAIRS", "7")).unwrap();
        let crowd = &defaults[0];
        assert_eq!((crowd.pairs, crowd.peers, crowd.clients, crowd.seconds), (1, 900, 500, 10));
        assert_eq!((crowd.kinds.as_str(), defaults.len()), (KINDS, 1 + Attack::ALL.len()));
        let some = plans(&[], ("KINDS", "desync,deaf, jump,silent")).unwrap();
        assert_eq!(some.iter().map(Plan::name).collect::<Vec<_>>(), ["crowd", "jump", "desync"]);
        assert_eq!(some[0].hostile_flags(), "--peers 2000 --kinds deaf,silent");
        assert_eq!(some[1].hostile_flags(), "--peers 15 --attack jump");
        assert_eq!(some[1].load_flags(), "--clients 500 --moves-per-second 5 --warm-up 1s --duration 5s");
        assert_eq!((some[0].pairs, some[1].pairs, some[2].clients), (3, 2, 100));
        let all = plans(&[], ("KINDS", "all")).unwrap();
        assert_eq!((all[0].kinds.as_str(), all.len()), ("all", 1 + Attack::ALL.len()));
        assert_eq!(plans(&[], ("KINDS", "jump")).unwrap().len(), 1);
        let problem = plans(&["--kinds=slow"], ("", "")).unwrap_err();
        assert!(problem.starts_with("--kinds slow: expected all or a list of slow-heads, "), "{problem}");
    }
}
