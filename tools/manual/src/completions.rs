//! Shell completions: flags, and the values of flags with a fixed set of values. They offer only arguments that the server
//! accepts: a switch takes no separate value, and a setting whose whole value is secret has no flag.

use std::fmt::Write as _;

use pixi_game_server::config::{ACTIONS, Allowed, SETTINGS};
use pixi_game_server::ops::secret::Secrecy;

use crate::tools::Row;

/// Values of a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Nothing,
    Anything,
    Files,
    Folders,
    Words(&'static [&'static str]),
}

/// A flag of a program.
pub struct Flag {
    short: String,
    long: String,
    help: String,
    values: Values,
}

/// Returns the flags of the server.
pub fn server() -> Vec<Flag> {
    let actions = ACTIONS.iter().map(|action| Flag {
        short: action.short.to_owned(),
        long: action.long.to_owned(),
        help: action.help.to_owned(),
        values: if action.argument.is_some() { Values::Files } else { Values::Nothing },
    });
    let settings = SETTINGS.iter().filter(|setting| setting.secrecy != Secrecy::Whole).map(|setting| Flag {
        short: setting.short.to_owned(),
        long: setting.flag(),
        help: setting.help.to_owned(),
        values: match setting.allowed {
            Allowed::Directory => Values::Folders,
            Allowed::File => Values::Files,
            Allowed::Switch => Values::Nothing,
            Allowed::LogLevel => Values::Words(&["off", "error", "warn", "info", "debug", "trace"]),
            Allowed::LogFormat => Values::Words(&["text", "json"]),
            _ => Values::Anything,
        },
    });
    actions.chain(settings).collect()
}

/// Converts the flags in a tool's help.
pub fn tool(rows: &[Row]) -> Vec<Flag> {
    let flag = |row: &Row| Flag {
        short: row.short.clone(),
        long: row.long.clone(),
        help: row.help.clone(),
        values: match row.argument.as_deref() {
            None => Values::Nothing,
            Some("FILE") => Values::Files,
            Some(_) => Values::Anything,
        },
    };
    rows.iter().map(flag).collect()
}

impl Flag {
    /// Returns the long and the short form, with dashes, separated by `between`.
    fn names(&self, between: &str) -> String {
        let long = format!("--{}", self.long);
        if self.short.is_empty() { long } else { format!("{long}{between}-{}", self.short) }
    }
}

/// Renders the completion for bash.
pub fn bash(program: &str, flags: &[Flag]) -> String {
    let mut cases = String::new();
    for flag in flags {
        let reply = match flag.values {
            Values::Nothing => continue,
            Values::Anything => "COMPREPLY=()".to_owned(),
            Values::Files => "compopt -o default; COMPREPLY=()".to_owned(),
            Values::Folders => "compopt -o dirnames; COMPREPLY=()".to_owned(),
            Values::Words(words) => {
                format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")", words.join(" "))
            }
        };
        let _ = writeln!(cases, "        {}) {reply}; return ;;", flag.names("|"));
    }
    let names: Vec<String> = flags.iter().map(|flag| format!("--{}", flag.long)).collect();
    let function = program.replace('-', "_");
    format!(
        "# bash completion for {program}\n\n\
         _{function}() {{\n    \
             local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} attached=\n    \
             # bash splits --flag=value at the equals sign.\n    \
             if [[ $word == = ]]; then word='' attached=1\n    \
             elif [[ $before == = ]]; then before=${{COMP_WORDS[COMP_CWORD-2]}} attached=1\n    \
             fi\n    \
             case $before in\n{cases}    esac\n    \
             [[ -z $attached ]] || return\n    \
             mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")\n\
         }}\ncomplete -F _{function} {program}\n",
        names.join(" ")
    )
}

/// Renders the completion for zsh.
pub fn zsh(program: &str, flags: &[Flag]) -> String {
    let mut text = format!("#compdef {program}\n\n_arguments \\\n");
    for flag in flags {
        let help = flag.help.replace('\'', "'\\''").replace('[', "(").replace(']', ")").replace(':', "");
        let values = match flag.values {
            Values::Nothing => String::new(),
            Values::Anything => ":value:".to_owned(),
            Values::Files => ":file:_files".to_owned(),
            Values::Folders => ":directory:_files -/".to_owned(),
            Values::Words(words) => format!(":value:({})", words.join(" ")),
        };
        for name in flag.names(" ").split(' ') {
            // The value follows in its own word, or after an equals sign, which not every program takes after a letter.
            let joint = if flag.values != Values::Nothing && name.starts_with("--") { "=" } else { "" };
            let _ = writeln!(text, "  '{name}{joint}[{help}]{values}' \\");
        }
    }
    text + "  && return 0\n"
}

/// Renders the completion for fish.
pub fn fish(program: &str, flags: &[Flag]) -> String {
    let mut text = format!("# fish completion for {program}\n\ncomplete -c {program} -f\n");
    for flag in flags {
        let short = if flag.short.is_empty() { String::new() } else { format!(" -s {}", flag.short) };
        let values = match flag.values {
            Values::Nothing => String::new(),
            Values::Anything => " -x".to_owned(),
            Values::Files => " -r -F".to_owned(),
            Values::Folders => " -x -a '(__fish_complete_directories)'".to_owned(),
            Values::Words(words) => format!(" -x -a '{}'", words.join(" ")),
        };
        let help = flag.help.replace('\'', "\\'");
        let _ = writeln!(text, "complete -c {program} -l {}{short} -d '{help}'{values}", flag.long);
    }
    text
}

#[cfg(test)]
mod tests {
    use pixi_game_server::config::{Command, ConfigError, parse};

    use super::*;

    fn run(args: &[&str]) -> Result<Command, ConfigError> {
        parse(args.iter().map(Into::into), |_| None)
    }

    /// Returns a valid value of a setting without a list of words.
    fn some_value(flag: &Flag) -> String {
        let setting = SETTINGS.iter().find(|setting| setting.flag() == flag.long).expect("a setting");
        let text = match setting.allowed {
            Allowed::Whole { min, max } => return min.midpoint(max).to_string(),
            Allowed::Address | Allowed::Networks => "::1",
            Allowed::SocketAddress => "[::1]:9",
            Allowed::Directory | Allowed::CookiePath => "/",
            Allowed::File => "/dev/null",
            Allowed::RedisUrl => "redis://host",
            Allowed::Origins => "*",
            Allowed::Name => "one",
            Allowed::LogLevel | Allowed::LogFormat | Allowed::Switch | Allowed::SharedSecret => {
                panic!("--{} has words, takes no value, or is not a flag", flag.long)
            }
        };
        text.to_owned()
    }

    /// Returns the problems that the parser reports, except violated relations between settings, which don't concern the flag.
    fn problems(args: &[&str]) -> Vec<String> {
        let problems = run(args).err().map_or(Vec::new(), |error| error.problems().to_vec());
        problems.into_iter().filter(|problem| !problem.contains(": must be ")).collect()
    }

    #[test]
    fn the_parser_accepts_exactly_the_offered_values() {
        for flag in server() {
            for name in flag.names(" ").split(' ') {
                let needs_value = format!("{name}: expected a value after it; see --help");
                let expected = if flag.values == Values::Nothing { vec![] } else { vec![needs_value] };
                assert_eq!(problems(&[name]), expected);
                match flag.values {
                    // Help and version ignore further arguments.
                    Values::Nothing if ["help", "version"].contains(&&*flag.long) => {}
                    Values::Nothing => {
                        assert_eq!(
                            problems(&[name, "true"]),
                            ["argument 2: unexpected; see --help"],
                            "{name}"
                        );
                    }
                    Values::Words(words) => {
                        assert!(words.iter().all(|word| problems(&[name, word]).is_empty()), "{name}");
                        assert_eq!(problems(&[name, "no-word"]).len(), 1, "{name}");
                    }
                    Values::Files if flag.long == "env-file" => {
                        assert_eq!(problems(&[name, "/dev/null"]), [""; 0]);
                    }
                    Values::Anything | Values::Files | Values::Folders => {
                        assert_eq!(problems(&[name, &some_value(&flag)]), [""; 0]);
                    }
                }
            }
        }
    }
}
