//! Completions for the shells: flags, and the values of those that have few.

use std::fmt::Write as _;

use pixi_game_server::config::{Allowed, SETTINGS, actions};

/// What may follow a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Nothing,
    Anything,
    Files,
    Folders,
    Words(&'static [&'static str]),
}

struct Flag {
    short: &'static str,
    long: String,
    help: &'static str,
    values: Values,
}

fn flags() -> Vec<Flag> {
    let actions = actions().map(|action| Flag {
        short: action.short,
        long: action.long.to_owned(),
        help: action.help,
        values: if action.argument.is_some() { Values::Files } else { Values::Nothing },
    });
    let settings = SETTINGS.iter().map(|setting| Flag {
        short: setting.short,
        long: setting.flag(),
        help: setting.help,
        values: match setting.allowed {
            Allowed::Directory => Values::Folders,
            Allowed::File => Values::Files,
            Allowed::Switch => Values::Words(&["true", "false"]),
            Allowed::LogLevel => Values::Words(&["off", "error", "warn", "info", "debug", "trace"]),
            Allowed::LogFormat => Values::Words(&["text", "json"]),
            _ => Values::Anything,
        },
    });
    actions.chain(settings).collect()
}

impl Flag {
    /// All ways to write it, with dashes, separated by `between`.
    fn names(&self, between: &str) -> String {
        let long = format!("--{}", self.long);
        if self.short.is_empty() { long } else { format!("-{}{between}{long}", self.short) }
    }
}

/// For bash.
pub fn bash() -> String {
    let flags = flags();
    let mut cases = String::new();
    for flag in &flags {
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
    format!(
        "# bash completion for pixi-game-server\n\n\
         _pixi_game_server() {{\n    \
             local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
             case $before in\n{cases}    esac\n    \
             mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")\n\
         }}\ncomplete -F _pixi_game_server pixi-game-server\n",
        names.join(" ")
    )
}

/// For zsh.
pub fn zsh() -> String {
    let mut text = "#compdef pixi-game-server\n\n_arguments \\\n".to_owned();
    for flag in flags() {
        let help = flag.help.replace('\'', "'\\''").replace('[', "(").replace(']', ")").replace(':', "");
        let values = match flag.values {
            Values::Nothing => String::new(),
            Values::Anything => ":value:".to_owned(),
            Values::Files => ":file:_files".to_owned(),
            Values::Folders => ":directory:_files -/".to_owned(),
            Values::Words(words) => format!(":value:({})", words.join(" ")),
        };
        for name in flag.names(" ").split(' ') {
            let _ = writeln!(text, "  '{name}[{help}]{values}' \\");
        }
    }
    text + "  && return 0\n"
}

/// For fish.
pub fn fish() -> String {
    let mut text = "# fish completion for pixi-game-server\n\ncomplete -c pixi-game-server -f\n".to_owned();
    for flag in flags() {
        let short = if flag.short.is_empty() { String::new() } else { format!(" -s {}", flag.short) };
        let values = match flag.values {
            Values::Nothing => String::new(),
            Values::Anything => " -x".to_owned(),
            Values::Files => " -r -F".to_owned(),
            Values::Folders => " -x -a '(__fish_complete_directories)'".to_owned(),
            Values::Words(words) => format!(" -x -a '{}'", words.join(" ")),
        };
        let help = flag.help.replace('\'', "\\'");
        let _ = writeln!(text, "complete -c pixi-game-server -l {}{short} -d '{help}'{values}", flag.long);
    }
    text
}
