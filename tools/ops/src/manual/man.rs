//! The manual pages. Flags come from the table of settings and from the tools' help.

use game_client::options::COMMON;
use pixi_game_server::config::{ACTIONS, Allowed, RETIRED, SETTINGS, Setting};
use pixi_game_server::control::ctl::COMMANDS;
use pixi_game_server::ops::secret::Secrecy;

use super::programs::{Part, Program};
use super::roff::Page;

/// Renders the page of the server.
pub fn server() -> String {
    let summary = "real-time multiplayer server for a 2D browser game";
    let mut page =
        Page::new("pixi-game-server", concat!("pixi-game-server ", env!("CARGO_PKG_VERSION")), summary);
    page.section("SYNOPSIS")
        .paragraph("pixi-game-server [--FLAG VALUE | --FLAG=VALUE | -FLAG VALUE | -FLAG=VALUE]...")
        .paragraph("pixi-game-server ctl [OPTION]... COMMAND");
    page.section("DESCRIPTION")
        .paragraph(
            "Serves the game to browsers over WebSocket at /ws, and over HTTP its health at /health, its metrics \
             at /metrics, and the files of STATIC_DIR. It runs in the foreground until it receives a signal.",
        )
        .paragraph(
            "Each setting is a flag and an environment variable of the same name. A flag overrides the file of \
             --env-file, which overrides the environment. The server does not start with invalid settings and prints \
             each with its value and the allowed values.",
        );
    page.section("ACTIONS");
    for action in ACTIONS {
        page.entry(&flags(action.short, action.long, action.argument), action.help);
    }
    page.section("SETTINGS");
    for setting in SETTINGS {
        page.entry(&term(setting), setting.help);
        page.note(&values(setting));
    }
    let retired: Vec<_> = RETIRED.iter().map(|retired| retired.variable).collect();
    page.paragraph(&format!("Accepted without effect, from earlier servers: {}.", retired.join(", ")));
    page.section("COMMANDS OF CTL").paragraph(
        "pixi-game-server ctl directs the running server over its CONTROL_SOCKET. ctl --help explains its options.",
    );
    for (name, arguments, about) in COMMANDS {
        page.entry(format!("{name} {arguments}").trim_end(), about);
    }
    page.section("SIGNALS")
        .entry("TERM, INT", "Shuts down: closes all connections, and gives clients SHUTDOWN_TIMEOUT_SEC to read their last bytes. A second signal exits immediately.")
        .entry("HUP", "Reopens LOG_FILE, rereads the file of --env-file and applies its live settings, and reloads the files of STATIC_DIR.");
    page.section("EXIT STATUS")
        .entry("0", "An orderly shutdown.")
        .entry("1", "The server could not start, or failed.")
        .entry("2", "The configuration is invalid.")
        .entry("70", "A panic. The last line of the log has the location.")
        .entry("134", "SIGABRT: the watchdog saw no tick in five wake-ups, one per second.");
    page.section("FILES").entry(
        "/etc/pixi-game-server.env",
        "The settings of the service, which reads them with --env-file; systemctl reload applies changes.",
    );
    page.section("EXAMPLES").example(&[
        "pixi-game-server --port 8109 --static-dir /srv/game",
        "pixi-game-server --check-config --env-file /etc/pixi-game-server.env",
        "pixi-game-server --health-check && echo healthy",
        "pixi-game-server ctl players --sort rejected",
    ]);
    page.section("SEE ALSO").paragraph("pixi-game-ops(8), pixi-game-loadtest(8), systemctl(1), ulimit(1)");
    page.finish()
}

/// Renders the page of a program.
pub fn program(program: &Program) -> String {
    let name = program.installed;
    let mut page = Page::new(name, concat!("pixi-game-server ", env!("CARGO_PKG_VERSION")), program.summary);
    page.section("SYNOPSIS");
    // The part without a subcommand comes first.
    let is_last = |part: &&Part| !part.subcommand.is_empty();
    let mut parts: Vec<&Part> = program.parts.iter().collect();
    parts.sort_by_key(is_last);
    for Part { subcommand, .. } in &parts {
        let subcommand = if subcommand.is_empty() { String::new() } else { format!(" {subcommand}") };
        page.paragraph(&format!("{name}{subcommand} [--FLAG | --FLAG VALUE]..."));
    }
    for part in parts {
        let title = if part.subcommand.is_empty() { "DESCRIPTION" } else { &part.subcommand.to_uppercase() };
        page.section(title);
        for paragraph in part.about.split("\n\n") {
            page.paragraph(paragraph);
        }
        page.subsection("Options");
        for flag in part.flags.iter().chain(&COMMON) {
            let argument = Some(flag.argument).filter(|argument| !argument.is_empty());
            page.entry(&flags(flag.letter, flag.name, argument), &flag.description());
        }
        page.subsection("Examples").example(part.examples);
    }
    page.section("SEE ALSO").paragraph(program.see_also);
    page.finish()
}

fn flags(short: &str, long: &str, argument: Option<&str>) -> String {
    let short = if short.is_empty() { String::new() } else { format!(", -{short}") };
    let argument = argument.map_or(String::new(), |argument| format!(" {argument}"));
    format!("--{long}{short}{argument}")
}

/// Returns a setting as a flag. A setting whose whole value is secret has no flag, and a switch takes no value.
fn term(setting: &Setting) -> String {
    if setting.secrecy == Secrecy::Whole {
        return setting.variable.to_owned();
    }
    let argument = (setting.allowed != Allowed::Switch).then_some("VALUE");
    flags(setting.short, &setting.flag(), argument)
}

fn values(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { "unset" } else { setting.default };
    let live = if setting.is_live { "; changes on SIGHUP" } else { "" };
    format!("{}: {}; default {default}{live}", setting.variable, setting.allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_no_flag_and_a_switch_no_value() {
        let page = server().replace("\\-", "-");
        for term in ["--debug, -d", "--port, -p VALUE", "CLUSTER_SECRET"] {
            assert!(page.contains(&format!("\n.B {term}\n")), "{page}");
        }
        assert!(!page.contains("--cluster-secret"), "{page}");
    }
}
