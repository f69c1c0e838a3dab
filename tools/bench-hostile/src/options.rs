//! Options: flags, and environment variables of the same names.

use std::path::PathBuf;

use game_client::cli::{self, given, seconds, value, whole};
use getopts::Options as Flags;
use loadtest::hostile::attack::Attack;
use loadtest::hostile::kind::Kind;
use serde::{Deserialize, Serialize};

const PAIRS_MAX: u32 = 99;
const SECONDS_MAX: u64 = 3_600;
const CONNECTIONS_MAX: u32 = 10_000;
const MOVES_MAX: u32 = 60;

/// Slow and silent kinds, which stay connected. Two thirds of these peers are visible players, which cost other players more than
/// floods and garbage do.
const KINDS: &str = "slow-heads,slow-upgrades,slow-frames,silent,deaf,zero-window";

/// Measured time beside these kinds and beside an attack, in seconds.
const CROWD_SECONDS: u64 = 10;
const ATTACK_SECONDS: u64 = 5;

/// Number of pairs beside these kinds and beside an attack.
const CROWD_PAIRS: u32 = 3;
const ATTACK_PAIRS: u32 = 2;

/// Warm-up of the load test beside an attack, in seconds. Beside the kinds, the load test uses its default.
const ATTACK_WARM_UP_S: u64 = 1;

/// Healthy players beside these kinds.
const CROWD_PLAYERS: u32 = 500;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The series in the order of their measurement.
    pub plans: Vec<Plan>,
    /// Folder for the results, if given.
    pub results: Option<PathBuf>,
}

/// The plan of one series of pairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The attack; `None` for kinds of peers.
    pub attack: Option<Attack>,
    /// The kinds, in the syntax of the program `hostile`.
    pub kinds: String,
    /// Number of pairs.
    pub pairs: u32,
    /// Measured time of each run, in seconds.
    pub seconds: u64,
    /// Healthy players.
    pub clients: u32,
    /// MOVEs per second of each healthy player.
    pub moves: u32,
    /// Hostile peers.
    pub peers: u32,
}

impl Plan {
    /// The name of the series.
    pub fn name(&self) -> &'static str {
        self.attack.map_or("crowd", Attack::name)
    }

    /// Flags of the load test, without the server.
    pub fn load_flags(&self) -> String {
        let warm_up = self.attack.map_or(String::new(), |_| format!(" --warm-up {ATTACK_WARM_UP_S}s"));
        let (clients, moves, seconds) = (self.clients, self.moves, self.seconds);
        format!("--clients {clients} --moves-per-second {moves}{warm_up} --duration {seconds}s")
    }

    /// Flags of the program `hostile`, without the server.
    pub fn hostile_flags(&self) -> String {
        let selection = self
            .attack
            .map_or(format!("--kinds {}", self.kinds), |attack| format!("--attack {}", attack.name()));
        format!("--peers {} {selection}", self.peers)
    }
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments after the program's name; `variable` looks up the missing ones.
///
/// # Errors
/// One line with the option, its value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Measures the effect of hostile peers on healthy players.\n\n\
             Exit status: 0 if nothing is lost and every limit is met, 1 otherwise, 2 for invalid usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "pairs", "pairs of runs, alone and beside [3; 2 beside an attack], PAIRS", "N");
        flags.optopt(
            "",
            "duration",
            "measured time of each run [10s; 5s beside an attack], DURATION",
            "TIME",
        );
        flags.optopt("", "clients", "healthy players [500; fewer if an observer must see all], CLIENTS", "N");
        flags.optopt("", "moves", "MOVEs per second of each [5], MOVES", "N");
        flags.optopt("", "peers", "hostile peers [2000; each attack has its own number], PEERS", "N");
        flags.optopt(
            "",
            "kinds",
            "kinds of hostile peers and attacks [slow and silent kinds, all attacks], KINDS",
            "LIST",
        );
        flags.optopt("", "results", "folder to write to [bench/results/DATE-CORES], RESULTS", "FOLDER");
    };
    cli::parse("bench-hostile", args, brief, declare, |matches| {
        let given = |name: &str| given(name, matches.opt_str(name), &variable);
        let number = |name: &str, default: &str, most: u32| {
            value(given(name), default, &format!("a whole number from 1 to {most}"), |text| whole(text, most))
        };
        let times = format!("whole seconds or minutes up to {SECONDS_MAX}s, such as 60s or 2m");
        let if_given = |name: &str, most: u32| given(name).map(|_| number(name, "", most)).transpose();
        let pairs = if_given("pairs", PAIRS_MAX)?;
        let duration = given("duration");
        let duration =
            duration.map(|given| value(Some(given), "", &times, |text| seconds(text, SECONDS_MAX)));
        let (duration, clients) = (duration.transpose()?, if_given("clients", CONNECTIONS_MAX)?);
        let (peers, moves) = (if_given("peers", CONNECTIONS_MAX)?, number("moves", "5", MOVES_MAX)?);
        let plan = |(attack, kinds): (Option<Attack>, String)| Plan {
            attack,
            kinds,
            pairs: pairs.unwrap_or(if attack.is_some() { ATTACK_PAIRS } else { CROWD_PAIRS }),
            seconds: duration.unwrap_or(if attack.is_some() { ATTACK_SECONDS } else { CROWD_SECONDS }),
            clients: clients.unwrap_or_else(|| attack.map_or(CROWD_PLAYERS, Attack::players)),
            moves,
            peers: peers.unwrap_or_else(|| attack.map_or(2_000, |attack| attack.peers() as u32)),
        };
        let series = value(given("kinds"), &default_kinds(), &kinds_allowed(), series)?;
        Ok(Options {
            plans: series.into_iter().map(plan).collect(),
            results: given("results").map(|(_, folder)| PathBuf::from(folder)),
        })
    })
}

/// Parses a list into series: one for all its kinds together, and one for each attack.
fn series(text: &str) -> Option<Vec<(Option<Attack>, String)>> {
    if text == "all" {
        let attacks = Attack::ALL.map(|attack| (Some(attack), String::new()));
        return Some([(None, text.to_owned())].into_iter().chain(attacks).collect());
    }
    let names = text.split(',').map(str::trim);
    let (attacks, kinds): (Vec<&str>, Vec<&str>) = names.partition(|name| Attack::named(name).is_some());
    let mut series = Vec::new();
    if !kinds.is_empty() {
        let kinds = kinds.join(",");
        Kind::list(&kinds)?;
        series.push((None, kinds));
    }
    let asked = |attack: &Attack| attacks.contains(&attack.name());
    series.extend(Attack::ALL.into_iter().filter(asked).map(|attack| (Some(attack), String::new())));
    Some(series)
}

fn default_kinds() -> String {
    format!("{KINDS},{}", Attack::ALL.map(Attack::name).join(","))
}

fn kinds_allowed() -> String {
    let (kinds, attacks) = (Kind::ALL.map(Kind::name), Attack::ALL.map(Attack::name));
    format!("all or a list of {}, {}", kinds.join(", "), attacks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], variable: (&str, &str)) -> Result<Options, String> {
        let lookup = |name: &str| (name == variable.0).then(|| variable.1.to_owned());
        match parse(args.iter().map(ToString::to_string), lookup)? {
            Command::Run(options) => Ok(options),
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn missing_options_have_defaults_and_flags_override_variables() {
        let options = run(&["-pairs=1", "--peers", "900"], ("PAIRS", "7")).unwrap();
        let crowd = &options.plans[0];
        assert_eq!((crowd.pairs, crowd.peers, crowd.clients, crowd.seconds), (1, 900, 500, 10));
        assert_eq!((crowd.kinds.as_str(), options.plans.len()), (KINDS, 1 + Attack::ALL.len()));
        assert_eq!(run(&[], ("DURATION", "1m")).unwrap().plans[0].seconds, 60);
    }

    #[test]
    fn kinds_share_a_series_and_each_attack_has_one() {
        let plans = run(&[], ("KINDS", "desync,deaf, jump,silent")).unwrap().plans;
        assert_eq!(plans.iter().map(Plan::name).collect::<Vec<_>>(), ["crowd", "jump", "desync"]);
        assert_eq!(plans[0].hostile_flags(), "--peers 2000 --kinds deaf,silent");
        assert_eq!(plans[1].hostile_flags(), "--peers 15 --attack jump");
        assert_eq!(plans[1].load_flags(), "--clients 500 --moves-per-second 5 --warm-up 1s --duration 5s");
        assert_eq!((plans[0].pairs, plans[1].pairs, plans[2].clients), (3, 2, 100));
        assert_eq!(run(&[], ("KINDS", "all")).unwrap().plans[0].kinds, "all");
        assert_eq!(run(&[], ("KINDS", "jump")).unwrap().plans.len(), 1);
    }

    #[test]
    fn invalid_values_are_named_with_the_allowed_ones() {
        let problem = run(&["--kinds=slow"], ("", "")).unwrap_err();
        assert!(problem.starts_with("--kinds slow: expected all or a list of slow-heads, "), "{problem}");
        let problem = "PAIRS=0: expected a whole number from 1 to 99";
        assert_eq!(run(&[], ("PAIRS", "0")).unwrap_err(), problem);
        assert!(run(&["--duration=20"], ("", "")).unwrap_err().starts_with("--duration 20: expected whole"));
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}
