//! The installed programs beside the server. Flags come from the tables that parse them.

use game_client::options::{self, Flag};

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
    /// Purpose and exit status, as in its help.
    pub about: &'static str,
    /// Command lines.
    pub examples: &'static [&'static str],
}

impl Part {
    const fn of(
        subcommand: &'static str,
        program: &options::Program<'static>,
        examples: &'static [&'static str],
    ) -> Part {
        Part { subcommand, flags: program.flags, about: program.about, examples }
    }
}

/// All installed programs beside the server.
pub static PROGRAMS: &[Program] = &[
    Program {
        installed: "pixi-game-ops",
        summary: "monitors and checks game servers and their machine",
        parts: &[
            Part::of(
                "monitor",
                &monitor::PROGRAM,
                &[
                    "pixi-game-ops monitor",
                    "pixi-game-ops monitor --server 10.0.0.1:9108,10.0.0.2:9108",
                    "pixi-game-ops monitor --once",
                ],
            ),
            Part::of(
                "conform",
                &conform::PROGRAM,
                &["pixi-game-ops conform --server 10.0.0.1:8108,10.0.0.2:8108"],
            ),
            Part::of(
                "tune",
                &tune::PROGRAM,
                &[
                    "pixi-game-ops tune --players 5000",
                    "pixi-game-ops tune --print-sysctl > /etc/sysctl.d/60-pixi-game-server.conf",
                ],
            ),
            Part::of("manual", &super::PROGRAM, &["pixi-game-ops manual /tmp/pages"]),
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
                about: "Connects hostile peers of several kinds, or runs an attack, and counts the server's reactions.\n\n\
                        Exit status: 0 if the run is over, 1 if it failed, 2 for invalid usage.",
                examples: &["pixi-game-loadtest hostile --peers 2000 --kinds silent,deaf --duration 60s"],
            },
            Part {
                subcommand: "",
                flags: loadtest::FLAGS,
                about: "Connects simulated players to a server and compares the messages they receive with the true state. \
                        Test only your own server: its players notice the load.\n\n\
                        Exit status: 0 if every check passed, 1 if a message was lost or wrong, 2 for invalid usage.",
                examples: &[
                    "pixi-game-loadtest --clients 1000 --moves-per-second 10 --duration 60s",
                    "pixi-game-loadtest --server ws://10.0.0.1:8108/ws --profile player --report report.html",
                ],
            },
        ],
        see_also: "pixi-game-server(8), pixi-game-ops(8)",
    },
];
