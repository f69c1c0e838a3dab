//! The installed tools. Flags for their pages and completions come from each program's `--help`.

use std::io;
use std::path::Path;
use std::process::Command;

/// A program that is installed with the server.
pub struct Tool {
    /// Name of the built program.
    pub built: &'static str,
    /// Name of the installed program.
    pub installed: &'static str,
    /// Purpose, in half a line.
    pub summary: &'static str,
    /// Purpose, in a paragraph.
    pub description: &'static str,
    /// Exit statuses and their meanings.
    pub statuses: &'static [(&'static str, &'static str)],
    /// Command lines.
    pub examples: &'static [&'static str],
    /// Related manual pages.
    pub see_also: &'static str,
}

/// All installed tools.
pub static TOOLS: &[Tool] = &[
    Tool {
        built: "pixi-game-tune",
        installed: "pixi-game-tune",
        summary: "kernel settings that limit the number of players",
        description: "Shows each kernel setting that limits pixi-game-server(8), its value, the value recommended for \
                      that number of players, and its meaning. Values are only raised, never lowered.",
        statuses: &[
            ("0", "Every setting is sufficient, or was made so."),
            ("1", "A setting is not sufficient."),
            ("2", "An option is invalid."),
        ],
        examples: &[
            "pixi-game-tune --players 5000",
            "pixi-game-tune --print-sysctl > /etc/sysctl.d/60-pixi-game-server.conf",
        ],
        see_also: "pixi-game-server(8), sysctl(8), sysctl.d(5)",
    },
    Tool {
        built: "monitor",
        installed: "pixi-game-monitor",
        summary: "metrics of game servers in the terminal",
        description: "Requests the metrics of one or more servers and shows them: a dashboard in a terminal, lines elsewhere. \
                      If the server has ADMIN_ADDR, specify that address.",
        statuses: &[
            ("0", "All servers respond."),
            ("1", "A server does not respond."),
            ("2", "An option is invalid."),
        ],
        examples: &[
            "pixi-game-monitor",
            "pixi-game-monitor --server 10.0.0.1:9108,10.0.0.2:9108",
            "pixi-game-monitor --once",
        ],
        see_also: "pixi-game-server(8), pixi-game-loadtest(8)",
    },
    Tool {
        built: "loadtest",
        installed: "pixi-game-loadtest",
        summary: "load test for game servers with thousands of simulated players",
        description: "Connects simulated players to a server and compares the messages they receive with the true state. \
                      Test only your own server: its players notice the load.",
        statuses: &[
            ("0", "Every check passed."),
            ("1", "A message was lost or wrong."),
            ("2", "A flag is invalid."),
        ],
        examples: &[
            "pixi-game-loadtest --clients 1000 --moves-per-second 10 --duration 60s",
            "pixi-game-loadtest --server ws://10.0.0.1:8108/ws --profile player --report report.html",
        ],
        see_also: "pixi-game-server(8), pixi-game-monitor(8), pixi-game-tune(8)",
    },
];

/// A flag in the help of a program.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Long name, without dashes.
    pub long: String,
    /// Letter, without its dash; empty if it has none.
    pub short: String,
    /// Placeholder of its value, if it takes one.
    pub argument: Option<String>,
    /// Description.
    pub help: String,
}

impl Tool {
    /// Returns the flags of the program in this folder.
    ///
    /// # Errors
    /// The program is missing or prints no flags; the error names it.
    pub fn rows(&self, folder: &Path) -> io::Result<Vec<Row>> {
        let program = folder.join(self.built);
        let named =
            |problem: &dyn std::fmt::Display| io::Error::other(format!("{}: {problem}", program.display()));
        let output = Command::new(&program).arg("--help").output().map_err(|error| named(&error))?;
        let rows = rows(&String::from_utf8_lossy(&output.stdout));
        if rows.is_empty() { Err(named(&"--help names no flags")) } else { Ok(rows) }
    }
}

/// Indentation from which a line continues the row above.
const CONTINUED_FROM: usize = 16;

fn rows(help: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in help.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(flag) = text.strip_prefix("--").filter(|_| indent > 0) {
            rows.push(row(flag));
        } else if let Some(last) = rows.last_mut().filter(|_| indent >= CONTINUED_FROM && !text.is_empty()) {
            last.help = format!("{} {text}", last.help);
        }
    }
    rows
}

/// Parses a row after its two dashes.
fn row(text: &str) -> Row {
    let mut words = text.split_whitespace().peekable();
    let long = words.next().unwrap_or_default().trim_end_matches(',').to_owned();
    let short = words.next_if(|word| word.len() == 2 && word.starts_with('-'));
    let argument = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()));
    Row {
        long,
        short: short.unwrap_or_default().trim_start_matches('-').to_owned(),
        argument: argument.map(str::to_owned),
        help: words.collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_letters_values_and_continued_lines_are_parsed() {
        let help = "Does things.\n\nUsage: it --all\n\nOptions:\n        --server LIST   metrics [x], SERVER\n\
                    \x20       --once          report once;\n                        end\n  --report, -r FILE  Write it\n\
                    \n  --help, -h   Print\n\nExit status: 0\n";
        let row = |long: &str, short: &str, argument: Option<&str>, help: &str| Row {
            long: long.to_owned(),
            short: short.to_owned(),
            argument: argument.map(str::to_owned),
            help: help.to_owned(),
        };
        assert_eq!(
            rows(help),
            [
                row("server", "", Some("LIST"), "metrics [x], SERVER"),
                row("once", "", None, "report once; end"),
                row("report", "r", Some("FILE"), "Write it"),
                row("help", "h", None, "Print"),
            ]
        );
    }
}
