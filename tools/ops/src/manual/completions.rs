//! Shell completions: flags, and the values of flags with a fixed set of values. They offer only arguments that the server
//! accepts: a switch takes no separate value, and a setting whose whole value is secret has no flag.

use std::fmt::Write as _;

use game_client::options::{self, COMMON};
use pixi_game_server::config::{ACTIONS, Allowed, SETTINGS};
use pixi_game_server::ops::secret::Secrecy;

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
            Allowed::File | Allowed::Socket => Values::Files,
            Allowed::Switch => Values::Nothing,
            Allowed::LogLevel => Values::Words(&["off", "error", "warn", "info", "debug", "trace"]),
            Allowed::LogFormat => Values::Words(&["text", "json"]),
            _ => Values::Anything,
        },
    });
    actions.chain(settings).collect()
}

/// Converts a table of flags of the other programs.
pub fn of_table(flags: &[options::Flag]) -> Vec<Flag> {
    let flag = |flag: &options::Flag| Flag {
        short: flag.letter.to_owned(),
        long: flag.name.to_owned(),
        help: flag.description(),
        values: match flag.argument {
            "" => Values::Nothing,
            "FILE" => Values::Files,
            "FOLDER" => Values::Folders,
            _ => Values::Anything,
        },
    };
    flags.iter().chain(&COMMON).map(flag).collect()
}

impl Flag {
    /// Returns the long and the short form, with dashes, separated by `between`.
    fn names(&self, between: &str) -> String {
        let long = format!("--{}", self.long);
        if self.short.is_empty() { long } else { format!("{long}{between}-{}", self.short) }
    }
}

/// The flags of each subcommand of a program by its name. Those without a subcommand have an empty name and come last.
pub type Parts = [(&'static str, Vec<Flag>)];

/// Returns the names of the subcommands, separated by spaces; empty for a program without.
fn subcommands(parts: &Parts) -> String {
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
    names.join(" ")
}

/// The pattern of a subcommand in a shell's `case`.
fn pattern(name: &'static str) -> &'static str {
    if name.is_empty() { "*" } else { name }
}

/// Renders the completion for bash.
pub fn bash(program: &str, parts: &Parts) -> String {
    let names = subcommands(parts);
    let mut body = String::new();
    if let [("", flags)] = parts {
        bash_flags(&mut body, flags);
    } else {
        let _ = writeln!(
            body,
            "    if [[ $COMP_CWORD -eq 1 && $word != -* ]]; then mapfile -t COMPREPLY < <(compgen -W '{names}' \
             -- \"$word\"); return; fi\n    case ${{COMP_WORDS[1]}} in"
        );
        for (name, flags) in parts {
            let _ = writeln!(body, "    {})", pattern(name));
            bash_flags(&mut body, flags);
            body.push_str("    ;;\n");
        }
        body.push_str("    esac\n");
    }
    let function = program.replace('-', "_");
    format!(
        "# bash completion for {program}\n\n\
         _{function}() {{\n    \
             local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} attached=\n    \
             # bash splits --flag=value at the equals sign.\n    \
             if [[ $word == = ]]; then word='' attached=1\n    \
             elif [[ $before == = ]]; then before=${{COMP_WORDS[COMP_CWORD-2]}} attached=1\n    \
             fi\n{body}}}\ncomplete -F _{function} {program}\n"
    )
}

/// Appends the commands that complete the value of the flag before, or a flag.
fn bash_flags(body: &mut String, flags: &[Flag]) {
    body.push_str("    case $before in\n");
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
        let _ = writeln!(body, "        {}) {reply}; return ;;", flag.names("|"));
    }
    let names: Vec<String> = flags.iter().map(|flag| format!("--{}", flag.long)).collect();
    let _ = writeln!(
        body,
        "    esac\n    [[ -z $attached ]] || return\n    mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")",
        names.join(" ")
    );
}

/// Renders the completion for zsh.
pub fn zsh(program: &str, parts: &Parts) -> String {
    let mut text = format!("#compdef {program}\n\n");
    if let [("", flags)] = parts {
        zsh_flags(&mut text, flags);
        return text;
    }
    let _ = writeln!(
        text,
        "if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then compadd -- {}; return; fi\ncase $words[2] in",
        subcommands(parts)
    );
    for (name, flags) in parts {
        let shift = if name.is_empty() { "" } else { "shift words\n(( CURRENT -= 1 ))\n" };
        let _ = write!(text, "{})\n{shift}", pattern(name));
        zsh_flags(&mut text, flags);
        text.push_str("  ;;\n");
    }
    text + "esac\n"
}

fn zsh_flags(text: &mut String, flags: &[Flag]) {
    text.push_str("_arguments \\\n");
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
    text.push_str("  && return 0\n");
}

/// Renders the completion for fish.
pub fn fish(program: &str, parts: &Parts) -> String {
    let mut text = format!("# fish completion for {program}\n\ncomplete -c {program} -f\n");
    let names = subcommands(parts);
    for (name, flags) in parts {
        let condition = match (*name, names.as_str()) {
            ("", "") => String::new(),
            ("", names) => format!(" -n 'not __fish_seen_subcommand_from {names}'"),
            (name, _) => {
                let _ = writeln!(text, "complete -c {program} -n __fish_use_subcommand -a {name}");
                format!(" -n '__fish_seen_subcommand_from {name}'")
            }
        };
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
            let _ = writeln!(
                text,
                "complete -c {program}{condition} -l {}{short} -d '{help}'{values}",
                flag.long
            );
        }
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
            Allowed::File | Allowed::Socket => "/dev/null",
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
