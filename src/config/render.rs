//! Renders the help text, the version, and the effective configuration as an environment file.

use std::fmt::Write as _;

use super::Config;
use super::command_line::ACTIONS;
use super::env_file;
use super::settings::{RETIRED, SETTINGS, Setting};
use crate::ops::secret::{MASK, without_credentials};

/// Column at which help texts start.
const HELP_COLUMN: usize = 30;

/// Renders the name and version of the server.
pub(super) fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// Renders the text of `--help`, without a final newline.
pub(super) fn help() -> String {
    let mut text = format!(
        "{}: {}\n\n\
         Usage: {name} [--flag value | --flag=value | -flag value | -flag=value]...\n       \
         {name} ctl COMMAND   Direct the running server; see ctl --help\n\n\
         Actions instead of serving:\n",
        version(),
        env!("CARGO_PKG_DESCRIPTION"),
        name = env!("CARGO_PKG_NAME"),
    );
    for flag in ACTIONS {
        let argument = flag.argument.map_or(String::new(), |argument| format!(" {argument}"));
        entry(&mut text, flag.short, &format!("{}{argument}", flag.long), flag.help);
    }
    text.push_str("\nSettings, each with its environment variable; a flag overrides the variable:\n");
    for setting in SETTINGS {
        entry(&mut text, setting.short, &setting.flag(), setting.help);
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        let (variable, allowed) = (setting.variable, setting.allowed);
        line(&mut text, "", &format!("[{variable}: {allowed}; default {default}]"));
    }
    let retired: Vec<_> = RETIRED.iter().map(|retired| retired.variable).collect();
    text.push_str("\nAccepted without effect, from earlier servers: ");
    text.push_str(&retired.join(", "));
    text.push_str("\nApplied on SIGHUP without a restart, together with the files of STATIC_DIR: ");
    let live: Vec<_> =
        SETTINGS.iter().filter(|setting| setting.is_live).map(|setting| setting.variable).collect();
    text.push_str(&live.join(", "));
    text
}

fn entry(text: &mut String, short: &str, long: &str, help: &str) {
    let short = if short.is_empty() { String::new() } else { format!(", -{short}") };
    line(text, &format!("  --{long}{short}"), help);
}

fn line(text: &mut String, left: &str, right: &str) {
    writeln!(text, "{left:HELP_COLUMN$}{right}").expect("writing to a string does not fail");
}

/// Renders the configuration as `NAME=value` lines in the order of the table, without a final newline. An unset setting has
/// an empty value. A value with a secret becomes a comment, so that the file stays valid.
pub(super) fn environment(config: &Config) -> String {
    let lines: Vec<_> =
        config.values().iter().map(|(setting, value)| environment_line(setting, value)).collect();
    lines.join("\n")
}

fn environment_line(setting: &Setting, value: &str) -> String {
    let variable = setting.variable;
    // A URL with a password may be set in any setting by mistake.
    let shown = setting.secrecy.redacted(value);
    let shown = without_credentials(&shown);
    if shown == value {
        env_file::write(variable, value)
    } else if shown == MASK {
        format!("# {variable} is set; its value is secret")
    } else {
        format!("# {variable} is set; its value is secret: {shown}")
    }
}
