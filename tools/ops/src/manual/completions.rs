//! Shell completions: flags, and the values of flags with a fixed set of values. They offer only arguments that the server
//! accepts: a switch takes no separate value, and a setting whose whole value is secret has no flag.

use std::fmt::Write as _;

use game_client::options::{self, COMMON};
use pixi_game_server::config::{ACTIONS, Allowed, SETTINGS};
use pixi_game_server::control::ctl::COMMANDS;
use pixi_game_server::ops::secret::Secrecy;

/// A flag of a program.
pub struct Flag {
    short: String,
    long: String,
    help: String,
    /// Its value: FILE, FOLDER, words with bars between them, or anything else; empty for a switch.
    argument: &'static str,
}

/// Returns the flags of the server.
pub fn server() -> Vec<Flag> {
    let actions = ACTIONS.iter().map(|action| Flag {
        short: action.short.to_owned(),
        long: action.long.to_owned(),
        help: action.help.to_owned(),
        argument: action.argument.unwrap_or_default(),
    });
    let settings = SETTINGS.iter().filter(|setting| setting.secrecy != Secrecy::Whole).map(|setting| Flag {
        short: setting.short.to_owned(),
        long: setting.flag(),
        help: setting.help.to_owned(),
        argument: match setting.allowed {
            Allowed::Directory => "FOLDER",
            Allowed::File | Allowed::Socket => "FILE",
            Allowed::Switch => "",
            Allowed::LogLevel => "off|error|warn|info|debug|trace",
            Allowed::LogFormat => "text|json",
            _ => "VALUE",
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
        argument: flag.argument,
    };
    flags.iter().chain(&COMMON).map(flag).collect()
}

impl Flag {
    /// Returns the long and the short form, with dashes, separated by `between`.
    fn names(&self, between: &str) -> String {
        let long = format!("--{}", self.long);
        if self.short.is_empty() { long } else { format!("{long}{between}-{}", self.short) }
    }

    /// Returns the words that its value can be, separated by spaces.
    fn words(&self) -> Option<String> {
        self.argument.contains('|').then(|| self.argument.replace('|', " "))
    }
}

/// The flags of each subcommand of a program by its name. Those without a subcommand have an empty name and come last.
pub type Parts = [(&'static str, Vec<Flag>)];

/// The subcommand of the server that takes commands, which are completed instead of flags.
pub const CTL: &str = "ctl";

/// Returns the words that follow a subcommand, separated by spaces; empty if only flags do.
fn words_after(subcommand: &str) -> String {
    let names = COMMANDS.iter().map(|(name, ..)| *name).filter(|_| subcommand == CTL);
    names.collect::<Vec<_>>().join(" ")
}

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
        bash_flags(&mut body, flags, "");
    } else {
        let _ = writeln!(
            body,
            "    if [[ $COMP_CWORD -eq 1 && $word != -* ]]; then mapfile -t COMPREPLY < <(compgen -W '{names}' \
             -- \"$word\"); return; fi\n    case ${{COMP_WORDS[1]}} in"
        );
        for (name, flags) in parts {
            let _ = writeln!(body, "    {})", pattern(name));
            bash_flags(&mut body, flags, &words_after(name));
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

/// Appends the commands that complete the value of the flag before, or a flag or one of these words.
fn bash_flags(body: &mut String, flags: &[Flag], words: &str) {
    body.push_str("    case $before in\n");
    for flag in flags {
        let reply = match (flag.argument, flag.words()) {
            ("", _) => continue,
            ("FILE", _) => "compopt -o default; COMPREPLY=()".to_owned(),
            ("FOLDER", _) => "compopt -o dirnames; COMPREPLY=()".to_owned(),
            (_, Some(words)) => format!("mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$word\")"),
            (_, None) => "COMPREPLY=()".to_owned(),
        };
        let _ = writeln!(body, "        {}) {reply}; return ;;", flag.names("|"));
    }
    let names = flags.iter().map(|flag| format!("--{}", flag.long));
    let names: Vec<String> = names.chain((!words.is_empty()).then(|| words.to_owned())).collect();
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
        zsh_flags(&mut text, flags, "");
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
        zsh_flags(&mut text, flags, &words_after(name));
        text.push_str("  ;;\n");
    }
    text + "esac\n"
}

fn zsh_flags(text: &mut String, flags: &[Flag], words: &str) {
    text.push_str("_arguments \\\n");
    if !words.is_empty() {
        let _ = writeln!(text, "  '1:command:({words})' \\");
    }
    for flag in flags {
        let help = flag.help.replace('\'', "'\\''").replace('[', "(").replace(']', ")").replace(':', "");
        let values = match (flag.argument, flag.words()) {
            ("", _) => String::new(),
            ("FILE", _) => ":file:_files".to_owned(),
            ("FOLDER", _) => ":directory:_files -/".to_owned(),
            (_, words) => format!(":value:{}", words.map_or(String::new(), |words| format!("({words})"))),
        };
        for name in flag.names(" ").split(' ') {
            // The value follows in its own word, or after an equals sign, which not every program takes after a letter.
            let joint = if !flag.argument.is_empty() && name.starts_with("--") { "=" } else { "" };
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
                let _ = writeln!(text, "complete -c {program} -n __fish_is_first_arg -a {name}");
                format!(" -n '__fish_seen_subcommand_from {name}'")
            }
        };
        let words = words_after(name);
        if !words.is_empty() {
            let _ = writeln!(text, "complete -c {program}{condition} -a '{words}'");
        }
        for flag in flags {
            let short = if flag.short.is_empty() { String::new() } else { format!(" -s {}", flag.short) };
            let values = match (flag.argument, flag.words()) {
                ("", _) => String::new(),
                ("FILE", _) => " -r -F".to_owned(),
                ("FOLDER", _) => " -x -a '(__fish_complete_directories)'".to_owned(),
                (_, words) => format!(" -x{}", words.map_or(String::new(), |words| format!(" -a '{words}'"))),
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
    use pixi_game_server::config::parse;

    use super::*;

    #[test]
    fn the_parser_agrees_on_switches_and_words() {
        let problems = |args: &[&str]| {
            let error = parse(args.iter().map(Into::into), |_| None).err();
            let problems = error.map_or(Vec::new(), |error| error.problems().to_vec());
            // Violated relations between settings don't concern the flag.
            problems.into_iter().filter(|problem| !problem.contains(": must be ")).collect::<Vec<_>>()
        };
        for flag in server() {
            for name in flag.names(" ").split(' ') {
                let needs_value = format!("{name}: expected a value after it; see --help");
                let expected = if flag.argument.is_empty() { vec![] } else { vec![needs_value] };
                assert_eq!(problems(&[name]), expected);
                for word in flag.words().iter().flat_map(|words| words.split(' ')) {
                    assert_eq!(problems(&[name, word]), [""; 0]);
                    assert_eq!(problems(&[name, "no-word"]).len(), 1, "{name}");
                }
                // Help and version ignore further arguments.
                if flag.argument.is_empty() && !["help", "version"].contains(&&*flag.long) {
                    assert_eq!(problems(&[name, "true"]), ["argument 2: unexpected; see --help"], "{name}");
                }
            }
        }
    }
}
