//! The installed programs beside the server. Flags come from the tables that parse them.

use game_client::options::Flag;

use crate::{conform, monitor, tune};

/// A program that is installed with the server.
pub struct Program {
    /// Name of the installed program.
    pub installed: &'static str,
    /// Purpose, in half a line.
    pub summary: &'static str,
    /// Its subcommands, or one part without a name.
    pub parts: &'static [Part],
    /// Related manual pages.
    pub see_also: &'static str,
}

/// A program without subcommands, or one of its subcommands.
pub struct Part {
    /// Name of the subcommand; empty for a program without.
    pub subcommand: &'static str,
    /// Its flags, except help and version.
    pub flags: &'static [Flag],
    /// Purpose, in a paragraph.
    pub description: &'static str,
    /// Exit statuses and their meanings.
    pub statuses: &'static [(&'static str, &'static str)],
    /// Command lines.
    pub examples: &'static [&'static str],
}

/// All installed programs beside the server.
pub static PROGRAMS: &[Program] = &[
    Program {
        installed: "pixi-game-ops",
        summary: "monitors and checks game servers and their machine",
        parts: &[
            Part {
                subcommand: "monitor",
                flags: monitor::PROGRAM.flags,
                description: "Requests the metrics of one or more servers and shows them: a dashboard in a terminal, \
                              lines elsewhere. If the server has ADMIN_ADDR, specify that address.",
                statuses: &[("0", "All servers respond."), ("1", "A server does not respond."), INVALID],
                examples: &[
                    "pixi-game-ops monitor",
                    "pixi-game-ops monitor --server 10.0.0.1:9108,10.0.0.2:9108",
                    "pixi-game-ops monitor --once",
                ],
            },
            Part {
                subcommand: "conform",
                flags: conform::PROGRAM.flags,
                description: "Checks over real connections that servers behave as the game's client requires, and \
                              compares their results.",
                statuses: &[("0", "The last server passes every check."), ("1", "It does not."), INVALID],
                examples: &["pixi-game-ops conform --server 10.0.0.1:8108,10.0.0.2:8108"],
            },
            Part {
                subcommand: "tune",
                flags: tune::PROGRAM.flags,
                description: "Shows each kernel setting that limits pixi-game-server(8), its value, the value \
                              recommended for that number of players, and its meaning. Values are only raised, never \
                              lowered.",
                statuses: &[
                    ("0", "Every setting is sufficient, or was made so."),
                    ("1", "A setting is not sufficient."),
                    INVALID,
                ],
                examples: &[
                    "pixi-game-ops tune --players 5000",
                    "pixi-game-ops tune --print-sysctl > /etc/sysctl.d/60-pixi-game-server.conf",
                ],
            },
            Part {
                subcommand: "manual",
                flags: super::PROGRAM.flags,
                description: "Writes manual pages, shell completions and the commented environment file to a folder.",
                statuses: &[("0", "The files are written."), ("1", "A file can't be written."), INVALID],
                examples: &["pixi-game-ops manual /tmp/pages"],
            },
        ],
        see_also: "pixi-game-server(8), pixi-game-loadtest(8), sysctl(8), sysctl.d(5)",
    },
    Program {
        installed: "pixi-game-loadtest",
        summary: "load test for game servers with thousands of simulated players",
        parts: &[
            Part {
                subcommand: "hostile",
                flags: loadtest::hostile::FLAGS,
                description: "Connects hostile peers of several kinds, or runs an attack, and counts the server's reactions.",
                statuses: &[("0", "The run is over."), ("1", "The run failed."), INVALID],
                examples: &["pixi-game-loadtest hostile --peers 2000 --kinds silent,deaf --duration 60s"],
            },
            Part {
                subcommand: "",
                flags: loadtest::FLAGS,
                description: "Connects simulated players to a server and compares the messages they receive with the true \
                          state. Test only your own server: its players notice the load.",
                statuses: &[("0", "Every check passed."), ("1", "A message was lost or wrong."), INVALID],
                examples: &[
                    "pixi-game-loadtest --clients 1000 --moves-per-second 10 --duration 60s",
                    "pixi-game-loadtest --server ws://10.0.0.1:8108/ws --profile player --report report.html",
                ],
            },
        ],
        see_also: "pixi-game-server(8), pixi-game-ops(8)",
    },
];

const INVALID: (&str, &str) = ("2", "An option is invalid.");
