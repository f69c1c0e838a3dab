//! Command-line options.

use game_client::cli::{self, given, value, whole};
use getopts::Options as Flags;

const PLAYERS_MAX: u32 = 1_000_000;

/// A valid set of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Concurrent players.
    pub players: u32,
    /// Whether a proxy on this machine forwards them.
    pub is_proxy_local: bool,
    /// The action.
    pub action: Action,
}

/// The action on the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print a table.
    Show,
    /// Print a file for `/etc/sysctl.d`.
    PrintSysctl,
    /// Change the running kernel.
    Apply,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments that follow the program's name; `variable` returns environment variables for missing flags.
///
/// # Errors
/// One line that names the option, the value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Shows the kernel settings that limit how many players pixi-game-server can serve on this machine.\n\n\
             To keep the changes: pixi-game-tune --print-sysctl > /etc/sysctl.d/60-pixi-game-server.conf\n\n\
             Exit status: 0 when every setting is sufficient, 1 when one is not, 2 for bad usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "players", "concurrent players [12000], PLAYERS", "N");
        flags.optflag(
            "",
            "local-proxy",
            "a proxy on this machine forwards the players, each over a local port",
        );
        flags.optflag("", "print-sysctl", "print the changes as a file for /etc/sysctl.d");
        flags.optflag("", "apply", "apply the changes until the next reboot; needs root");
    };
    cli::parse("pixi-game-tune", args, brief, declare, |matches| {
        let action = match (matches.opt_present("print-sysctl"), matches.opt_present("apply")) {
            (true, true) => return Err("--print-sysctl and --apply: expected one of them".to_owned()),
            (true, false) => Action::PrintSysctl,
            (false, true) => Action::Apply,
            (false, false) => Action::Show,
        };
        let players = given("players", matches.opt_str("players"), variable);
        let allowed = format!("a whole number from 1 to {PLAYERS_MAX}");
        Ok(Options {
            players: value(players, "12000", &allowed, |text| whole(text, PLAYERS_MAX))?,
            is_proxy_local: matches.opt_present("local-proxy"),
            action,
        })
    })
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
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_default() {
        let shown = Options { players: 12_000, is_proxy_local: false, action: Action::Show };
        assert_eq!(run(&[], ("", "")), Ok(shown));
        assert_eq!(run(&["--players=9"], ("PLAYERS", "7")), Ok(Options { players: 9, ..shown }));
        assert_eq!(run(&["-apply"], ("PLAYERS", "7")).unwrap().action, Action::Apply);
        let printed = run(&["--local-proxy", "--print-sysctl"], ("", "")).unwrap();
        assert_eq!((printed.is_proxy_local, printed.action), (true, Action::PrintSysctl));
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_allowed_values() {
        let problem = "--players many: expected a whole number from 1 to 1000000";
        assert_eq!(run(&["--players", "many"], ("", "")).unwrap_err(), problem);
        assert!(run(&["--apply", "--print-sysctl"], ("", "")).unwrap_err().contains("expected one of them"));
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}
