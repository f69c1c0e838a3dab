//! The programs beside the server. What their pages and completions say of flags is what `--help` of each program says.

use std::io;
use std::path::Path;
use std::process::Command;

/// A program that is installed beside the server.
pub struct Tool {
    /// Its name where it is built.
    pub built: &'static str,
    /// Its name where it is installed.
    pub installed: &'static str,
    /// What it does, in half a line.
    pub summary: &'static str,
    /// What it does, in a paragraph.
    pub description: &'static str,
    /// Exit statuses and their meanings.
    pub statuses: &'static [(&'static str, &'static str)],
    /// Command lines.
    pub examples: &'static [&'static str],
    /// Other pages.
    pub see_also: &'static str,
}

/// All of them.
pub static TOOLS: &[Tool] = &[
    Tool {
        built: "pixi-game-tune",
        installed: "pixi-game-tune",
        summary: "what of a machine limits how many players it can serve",
        description: "Shows each setting of the kernel that matters to pixi-game-server(8), its value, the value wanted for \
                      that number of players, and why. Values are only ever raised.",
        statuses: &[
            ("0", "All is as wanted, or was made so."),
            ("1", "Something is not."),
            ("2", "An option is wrong."),
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
        summary: "what servers of the game are doing, in the terminal",
        description: "Asks one server or several for their metrics and shows them: a dashboard in a terminal, lines elsewhere. \
                      With ADMIN_ADDR, name that address of the server.",
        statuses: &[
            ("0", "All servers answer."),
            ("1", "A server does not answer."),
            ("2", "An option is wrong."),
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
        summary: "thousands of players for a server of the game, and a verdict",
        description: "Connects players to a server, lets them play, and compares what they are sent with the truth. \
                      Load only a server of your own: its players notice.",
        statuses: &[
            ("0", "Everything was right."),
            ("1", "Something was lost or wrong."),
            ("2", "A flag is wrong."),
        ],
        examples: &[
            "pixi-game-loadtest --clients 1000 --moves-per-second 10 --duration 60s",
            "pixi-game-loadtest --server ws://10.0.0.1:8108/ws --profile player --report report.html",
        ],
        see_also: "pixi-game-server(8), pixi-game-monitor(8), pixi-game-tune(8)",
    },
];

/// A flag as the help of a program has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name, without dashes.
    pub long: String,
    /// Its letter, without its dash; empty where it has none.
    pub short: String,
    /// What its value is called; none where it takes no value.
    pub argument: Option<String>,
    /// What it does.
    pub help: String,
}

impl Tool {
    /// The flags of the program in this folder.
    ///
    /// # Errors
    /// The program is not there or has no help: the error names it.
    pub fn rows(&self, folder: &Path) -> io::Result<Vec<Row>> {
        let program = folder.join(self.built);
        let named =
            |problem: &dyn std::fmt::Display| io::Error::other(format!("{}: {problem}", program.display()));
        let output = Command::new(&program).arg("--help").output().map_err(|error| named(&error))?;
        let rows = rows(&String::from_utf8_lossy(&output.stdout));
        if rows.is_empty() { Err(named(&"--help names no flags")) } else { Ok(rows) }
    }
}

/// Columns from which on a line continues the row above it.
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

/// A row behind its two dashes.
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
    fn rows_have_names_letters_values_and_lines_that_continue() {
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
