//! The options of a soak: environment variables, read and validated in one pass.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// A variable with its default and its meaning.
struct Variable(&'static str, &'static str, &'static str);

const DURATION: Variable = Variable("SOAK_DURATION", "1h", "measured time, such as 2m, 90s or 1h30m");
const CLIENTS: Variable = Variable("SOAK_CLIENTS", "3000", "players, of all kinds");
const CHURN: Variable = Variable("SOAK_CHURN", "20", "players per second that disconnect and reconnect");
const HOSTILE: Variable = Variable("SOAK_HOSTILE", "150", "hostile peers; 0 disables");
const RESULTS: Variable = Variable("SOAK_RESULTS", "", "folder for the results [bench/results/DAY-MACHINE]");

const VARIABLES: [&Variable; 5] = [&DURATION, &CLIENTS, &CHURN, &HOSTILE, &RESULTS];

/// Maximum duration, in seconds: a week.
const DURATION_S_MAX: u64 = 7 * 86_400;

/// Minimum duration, in seconds, so that memory at the beginning and the end is comparable.
const DURATION_S_MIN: u64 = 30;

/// Maximum number of players, within the usual limit of 20,000 open files.
const CLIENTS_MAX: u64 = 19_000;

/// Maximum number of disconnects per second.
const CHURN_MAX: u64 = 1_000;

/// Maximum number of hostile peers.
const HOSTILE_MAX: u64 = 5_000;

/// Connections that the load test opens per second.
pub const CONNECTS_PER_S: u64 = 1_000;

/// Maximum warm-up after the last player has joined, in seconds.
const WARM_UP_S_MAX: u64 = 120;

/// Maximum length of the first and the last interval, whose memory is compared, in seconds.
const EDGE_S_MAX: u64 = 600;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Measured time.
    pub duration: Duration,
    /// Players.
    pub clients: u64,
    /// Players per second that disconnect and reconnect.
    pub churn_per_s: u64,
    /// Hostile peers.
    pub hostile: u64,
    /// Folder for the results, instead of the default.
    pub results: Option<PathBuf>,
}

impl Options {
    /// The warm-up after the last player has joined; not measured.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 6).min(WARM_UP_S_MAX))
    }

    /// The length of the first and the last interval, which are compared.
    pub fn edge(&self) -> Duration {
        Duration::from_secs((self.duration.as_secs() / 4).min(EDGE_S_MAX))
    }

    /// The time from the start of the load to the start of the measurement.
    pub fn lead(&self) -> Duration {
        Duration::from_secs(self.clients.div_ceil(CONNECTS_PER_S)) + self.warm_up()
    }
}

/// Reads the variables.
///
/// # Errors
/// One line for each problem: variable, value and allowed values.
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

/// Parses numbers with units, such as `1h30m`.
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

/// Returns the text of `--help` without the flags.
pub fn help() -> String {
    let mut text = String::from(
        "Runs mixed players, churn and hostile peers against a server for hours, and judges it.\n\n\
         Usage: soak, with these environment variables:\n",
    );
    for Variable(name, default, meaning) in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        let _ = writeln!(text, "  {name:<14} {meaning}{default}");
    }
    text.push_str("\nExit status: 0 if all conditions hold, 1 if one fails, 2 for invalid usage.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Options, String> {
        read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_default_soak_is_an_hour_of_three_thousand_players() {
        let options = of(&[]).unwrap();
        assert_eq!((options.duration.as_secs(), options.clients, options.churn_per_s), (3_600, 3_000, 20));
        assert_eq!(options.hostile, 150, "five percent of the players");
        assert_eq!((options.warm_up().as_secs(), options.edge().as_secs()), (120, 600));
        assert_eq!(options.lead().as_secs(), 123);
    }

    #[test]
    fn the_compared_intervals_of_short_soaks_do_not_overlap() {
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
    fn durations_are_numbers_with_units() {
        for (text, expected) in
            [("90s", Some(90)), ("1h30m", Some(5_400)), ("", None), ("1x", None), ("m", None)]
        {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
