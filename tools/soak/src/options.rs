//! What a soak is asked to do: variables of the environment, read and validated in one pass.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// A variable, its default and what it means.
struct Variable(&'static str, &'static str, &'static str);

const DURATION: Variable = Variable("SOAK_DURATION", "1h", "time measured, such as 2m, 90s or 1h30m");
const CLIENTS: Variable = Variable("SOAK_CLIENTS", "3000", "players, of all kinds");
const CHURN: Variable = Variable("SOAK_CHURN", "20", "players a second that leave in any way and come back");
const HOSTILE: Variable = Variable("SOAK_HOSTILE", "150", "hostile peers beside the players; 0 for none");
const RESULTS: Variable = Variable("SOAK_RESULTS", "", "folder for the results [bench/results/DAY-MACHINE]");

const VARIABLES: [&Variable; 5] = [&DURATION, &CLIENTS, &CHURN, &HOSTILE, &RESULTS];

/// Longest soak, in seconds: a week.
const DURATION_S_MAX: u64 = 7 * 86_400;

/// Shortest soak, in seconds: memory at its beginning and at its end are compared.
const DURATION_S_MIN: u64 = 30;

/// Most players: what the usual limit of 20,000 open files leaves.
const CLIENTS_MAX: u64 = 19_000;

/// Most players a second that leave.
const CHURN_MAX: u64 = 1_000;

/// Most hostile peers.
const HOSTILE_MAX: u64 = 5_000;

/// Connections the load test begins a second.
pub const CONNECTS_PER_S: u64 = 1_000;

/// Longest time not measured after everybody has come in, in seconds.
const WARM_UP_S_MAX: u64 = 120;

/// Longest stretch at the beginning and at the end whose memory is compared, in seconds.
const EDGE_S_MAX: u64 = 600;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time measured.
    pub duration: Duration,
    /// Players.
    pub clients: u64,
    /// Players a second that leave and come back.
    pub churn_per_s: u64,
    /// Hostile peers.
    pub hostile: u64,
    /// Where the results go, if not to the usual place.
    pub results: Option<PathBuf>,
}

impl Options {
    /// Time not measured after everybody has come in.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 6).min(WARM_UP_S_MAX))
    }

    /// The stretch at the beginning, and the one at the end, that are compared.
    pub fn edge(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 4).min(EDGE_S_MAX))
    }

    /// From the start of the load to the moment from which is measured.
    pub fn lead(&self) -> Duration {
        Duration::from_secs(self.clients.div_ceil(CONNECTS_PER_S)) + self.warm_up()
    }
}

/// Reads the variables.
///
/// # Errors
/// Each problem in a line, with variable, value and what is allowed.
pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Options, String> {
    let mut problems = Vec::new();
    let text = |of: &Variable| variable(of.0).filter(|text| !text.is_empty()).unwrap_or(of.1.to_owned());
    let mut number = |of: &Variable, least: u64, most: u64| {
        let given = text(of);
        let parsed = given.parse().ok().filter(|number| (least..=most).contains(number));
        parsed.unwrap_or_else(|| {
            problems.push(format!("{}={given}: expected a whole number from {least} to {most}", of.0));
            least
        })
    };
    let (clients, churn_per_s) = (number(&CLIENTS, 1, CLIENTS_MAX), number(&CHURN, 0, CHURN_MAX));
    let hostile = number(&HOSTILE, 0, HOSTILE_MAX);
    let given = text(&DURATION);
    let duration_s = seconds(&given).filter(|seconds| (DURATION_S_MIN..=DURATION_S_MAX).contains(seconds));
    if duration_s.is_none() {
        problems
            .push(format!("{}={given}: expected a time from 30s to 168h, such as 2m or 1h30m", DURATION.0));
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let results = variable(RESULTS.0).filter(|text| !text.is_empty()).map(PathBuf::from);
    let duration = Duration::from_secs(duration_s.unwrap_or(DURATION_S_MIN));
    Ok(Options { duration, clients, churn_per_s, hostile, results })
}

/// Numbers, each with its unit: `1h30m`.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let unit = match after.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = &after[1..];
    }
    (!text.is_empty()).then_some(total)
}

/// What `--help` says beside the flags.
pub fn help() -> String {
    let mut text = String::from(
        "Lets players of all kinds, churn and hostile peers loose on a server for long, and judges it.\n\n\
         Usage: soak, with these variables of the environment:\n",
    );
    for Variable(name, default, meaning) in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        let _ = writeln!(text, "  {name:<14} {meaning}{default}");
    }
    text.push_str("\nExit status: 0 when everything held, 1 when something did not, 2 for bad usage.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Options, String> {
        read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_usual_soak_is_an_hour_of_three_thousand() {
        let options = of(&[]).unwrap();
        assert_eq!((options.duration.as_secs(), options.clients, options.churn_per_s), (3_600, 3_000, 20));
        assert_eq!(options.hostile, 150, "five in a hundred");
        assert_eq!((options.warm_up().as_secs(), options.edge().as_secs()), (120, 600));
        assert_eq!(options.lead().as_secs(), 123);
    }

    #[test]
    fn short_soaks_have_short_edges_that_do_not_meet() {
        let options = of(&[("SOAK_DURATION", "2m"), ("SOAK_CLIENTS", "")]).unwrap();
        assert_eq!((options.warm_up().as_secs(), options.edge().as_secs()), (20, 30));
        assert!(2 * options.edge() < options.duration);
    }

    #[test]
    fn all_problems_are_named() {
        let problems = of(&[("SOAK_DURATION", "5"), ("SOAK_CLIENTS", "many"), ("SOAK_HOSTILE", "-1")]);
        assert_eq!(
            problems.unwrap_err(),
            "SOAK_CLIENTS=many: expected a whole number from 1 to 19000\n\
             SOAK_HOSTILE=-1: expected a whole number from 0 to 5000\n\
             SOAK_DURATION=5: expected a time from 30s to 168h, such as 2m or 1h30m"
        );
    }

    #[test]
    fn times_are_numbers_with_units() {
        for (text, expected) in
            [("90s", Some(90)), ("1h30m", Some(5_400)), ("", None), ("1x", None), ("m", None)]
        {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
